#!/usr/bin/env bash
# Builds the image from the Dockerfile and prints what was made. On the Debian release of the image it takes the programs
# compiled by this machine's cargo, so that nothing is compiled twice; elsewhere Docker compiles them in a build stage.
#   image.sh                  with Docker if its daemon answers, else with buildah (needs root and that Debian release)
#   image.sh docker|buildah   with that one
# Prints the image's name, tagged by its content so that pods see a new one, and for buildah the OCI archive's path.
set -euo pipefail
cd "$(dirname "$0")/.."

# shellcheck source-path=SCRIPTDIR source=cache.sh
source scripts/cache.sh
PROGRAMS=(datamesh-node datamesh-operator datamesh)
CONTEXT=$CACHE/images/context
RELEASE=debian/bookworm # of the Dockerfile's runtime stage
# What the build stage sees of this folder (.dockerignore), and what decides how it is built.
SOURCES=(Dockerfile .dockerignore .cargo Cargo.toml Cargo.lock rust-toolchain.toml crds operator node cli e2e)

docker_answers() { command -v docker >/dev/null && docker info >/dev/null 2>&1; }

# A program needs the C library of the release it was built on, or a newer one.
same_release() {
    # shellcheck disable=SC1091
    [ -r /etc/os-release ] && [ "$(. /etc/os-release && echo "${ID:-}/${VERSION_CODENAME:-}")" = "$RELEASE" ]
}

# Docker may run, or build for, another machine than this one.
same_processor() {
    [ -z "${DOCKER_DEFAULT_PLATFORM:-}" ] && [ "$(docker info --format '{{.OSType}}/{{.Architecture}}')" = "linux/$(uname -m)" ]
}

# Debug information stays in the target folder; the image gets stripped copies. An unchanged program is left as it is.
collect_programs() {
    local program built
    cargo build --quiet --workspace --bins
    mkdir -p "$CONTEXT/bin"
    for program in "${PROGRAMS[@]}"; do
        built=$CARGO_TARGET_DIR/debug/$program
        if [ "$built" -nt "$CONTEXT/bin/$program" ]; then strip -o "$CONTEXT/bin/$program" "$built"; fi
    done
}

tag_of() { sha256sum | cut -c1-12; }
programs_tag() { cat Dockerfile "$CONTEXT"/bin/* | tag_of; }

# Names and contents.
sources_tag() {
    local source present=()
    for source in "${SOURCES[@]}"; do [ ! -e "$source" ] || present+=("$source"); done
    find "${present[@]}" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | tag_of
}

# docker_build TAG ARGUMENTS...: unless it is there. The Dockerfile needs BuildKit, whatever this Docker's default is: the
# old builder builds every stage, wanted or not.
docker_build() {
    local image=docker.io/library/datamesh:dev-$1
    shift
    docker image inspect "$image" >/dev/null 2>&1 ||
        DOCKER_BUILDKIT=1 docker build --file Dockerfile --tag "$image" "$@" >/dev/null
    echo "$image"
}

with_docker() {
    local tag
    if same_release && same_processor; then
        collect_programs
        tag=$(programs_tag)
        docker_build "$tag" --quiet --build-arg BINARIES=prebuilt "$CONTEXT"
    else
        echo "Docker compiles, since what this machine compiles need not run in $RELEASE (the first time about 20 minutes)" >&2
        tag=$(sources_tag)
        docker_build "$tag" .
    fi
}

# One archive is kept: the last.
with_buildah() {
    local tag image archive
    same_release || {
        echo "without Docker the image is built only on $RELEASE: install Docker and kind, or set KUBECONFIG and DATAMESH_IMAGE" >&2
        return 1
    }
    collect_programs
    tag=$(programs_tag)
    image=docker.io/library/datamesh:dev-$tag
    archive=$CACHE/images/datamesh-$tag.tar
    if [ ! -e "$archive" ]; then
        rm -f "$CACHE"/images/datamesh-*.tar
        scripts/buildah.sh file Dockerfile "$CONTEXT" "$image" "$archive" BINARIES=prebuilt
        scripts/buildah.sh keep-only "$image"
    fi
    echo "$image $archive"
}

case ${1:-} in
    docker) with_docker ;;
    buildah) with_buildah ;;
    '') if docker_answers; then with_docker; else with_buildah; fi ;;
    *) sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
