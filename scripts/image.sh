#!/usr/bin/env bash
# Builds the image from the Dockerfile with the programs compiled by this machine's cargo, so that nothing is compiled
# twice; prints what was made.
#   image.sh                  with Docker if its daemon answers, else with buildah (needs root)
#   image.sh docker|buildah   with that one
# Prints the image's name, tagged by its content so that pods see a new one, and for buildah the OCI archive's path.
set -euo pipefail
cd "$(dirname "$0")/.."

CACHE=${DATAMESH_CACHE:-$HOME/.cache/datamesh}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$CACHE/target}
PROGRAMS=(datamesh-node datamesh-operator datamesh)
CONTEXT=$CACHE/images/context

docker_answers() { command -v docker >/dev/null && docker info >/dev/null 2>&1; }

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

content_tag() { cat Dockerfile "$CONTEXT"/bin/* | sha256sum | cut -c1-12; }

with_docker() {
    local image
    image=docker.io/library/datamesh:dev-$(content_tag)
    docker image inspect "$image" >/dev/null 2>&1 ||
        docker build --quiet --build-arg BINARIES=prebuilt --file Dockerfile --tag "$image" "$CONTEXT" >/dev/null
    echo "$image"
}

# One archive is kept: the last.
with_buildah() {
    local tag image archive
    tag=$(content_tag)
    image=docker.io/library/datamesh:dev-$tag
    archive=$CACHE/images/datamesh-$tag.tar
    if [ ! -e "$archive" ]; then
        rm -f "$CACHE"/images/datamesh-*.tar
        scripts/buildah.sh file Dockerfile "$CONTEXT" "$image" "$archive" BINARIES=prebuilt
        scripts/buildah.sh keep-only "$image"
    fi
    echo "$image $archive"
}

collect_programs
case ${1:-} in
    docker) with_docker ;;
    buildah) with_buildah ;;
    '') if docker_answers; then with_docker; else with_buildah; fi ;;
    *) sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
