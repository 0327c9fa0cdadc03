#!/usr/bin/env bash
# Images without a container registry and without Docker: buildah with storage of its own under the cache folder, and
# Debian's own bootstrap as the base image. Needs root.
#   buildah.sh single PROGRAM NAME ENTRYPOINT ARCHIVE   an image that holds one static program
#   buildah.sh file DOCKERFILE CONTEXT NAME ARCHIVE [ARG=VALUE...]   a Dockerfile whose bases are scratch and Debian
#   buildah.sh keep-only NAME   drops images that differ from this one in the tag alone
set -euo pipefail

CACHE=${DATAMESH_CACHE:-$HOME/.cache/datamesh}
IMAGES=$CACHE/images
BASE=docker.io/library/debian:bookworm-slim
export BUILDAH_ISOLATION=chroot

# vfs: plain copies, which work anywhere and leave no mount behind.
quiet_buildah() {
    local log
    log=$(mktemp)
    if ! buildah --root "$IMAGES/storage" --runroot "$IMAGES/run" --storage-driver vfs "$@" >"$log" 2>&1; then
        cat "$log" >&2
        rm -f "$log"
        return 1
    fi
    cat "$log"
    rm -f "$log"
}

have_image() { quiet_buildah inspect --type image "$1" >/dev/null 2>&1; }

make_base() {
    local root container
    ! have_image "$BASE" || return 0
    echo "making the base image $BASE (about a minute the first time)" >&2
    root=$IMAGES/base
    rm -rf --one-file-system "$root"
    debootstrap --variant=minbase bookworm "$root" >"$IMAGES/debootstrap.log" 2>&1 || {
        tail -n 20 "$IMAGES/debootstrap.log" >&2
        return 1
    }
    rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* \
        "$root"/usr/share/{doc,man,locale,info}/* "$root"/var/log/*.log
    container=$(quiet_buildah from --cni-config-dir "$IMAGES/cni" scratch)
    quiet_buildah copy --quiet "$container" "$root" / >/dev/null
    quiet_buildah config --cmd /bin/bash --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
    quiet_buildah commit --rm --quiet "$container" "$BASE" >/dev/null
    rm -rf --one-file-system "$root"
}

# save NAME ARCHIVE: written aside and moved, so that a broken-off run leaves no half archive.
save() {
    rm -f "$2.part"
    quiet_buildah push --quiet --disable-compression "$1" "oci-archive:$2.part:$1" >/dev/null
    mv "$2.part" "$2"
}

single() {
    local program=$1 name=$2 entrypoint=$3 archive=$4 container
    container=$(quiet_buildah from --cni-config-dir "$IMAGES/cni" scratch)
    quiet_buildah copy --quiet --chmod 755 "$container" "$program" "$entrypoint" >/dev/null
    quiet_buildah config --entrypoint "[\"$entrypoint\"]" "$container"
    quiet_buildah commit --rm --quiet "$container" "$name" >/dev/null
    save "$name" "$archive"
}

file() {
    local dockerfile=$1 context=$2 name=$3 archive=$4 argument arguments=()
    shift 4
    make_base
    for argument in "$@"; do arguments+=(--build-arg "$argument"); done
    quiet_buildah bud --quiet --pull-never --layers=false --cni-config-dir "$IMAGES/cni" \
        --file "$dockerfile" --tag "$name" "${arguments[@]}" "$context" >/dev/null
    save "$name" "$archive"
    # It leaves the containers and images of the earlier stages.
    quiet_buildah rm --all >/dev/null
    quiet_buildah rmi --prune >/dev/null
}

# keep-only NAME:TAG: drops the images of the same name with other tags.
keep_only() {
    local image
    quiet_buildah images --format '{{.Name}}:{{.Tag}}' | while read -r image; do
        if [ "${image%:*}" = "${1%:*}" ] && [ "$image" != "$1" ]; then quiet_buildah rmi "$image" >/dev/null; fi
    done
}

mkdir -p "$IMAGES"
case ${1:-} in
    single | file) "$@" ;;
    keep-only) keep_only "$2" ;;
    *) sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
