# shellcheck shell=bash
# Builds what the local cluster runs, from the Go module proxy and the base image alone. Outputs carry a hash of their
# sources in the name, under the cache folder: built once, then found. Sourced, never run.

export GOMODCACHE=${GOMODCACHE:-$CACHE/go/mod} GOCACHE=${GOCACHE:-$CACHE/go/build} CGO_ENABLED=0
KUBERNETES=v1.34.4
KUBE_PROGRAMS=(kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet kubectl volume-provisioner)

sources_hash() { cat "$@" | sha256sum | cut -c1-12; }

# cached FILE WHAT COMMAND...: runs the command, which writes $OUT, unless FILE is there.
cached() {
    local file=$1 what=$2
    shift 2
    [ ! -e "$file" ] || return 0
    say "building $what"
    mkdir -p "$(dirname "$file")"
    OUT=$file.part
    "$@" || fail "building $what failed"
    mv "$OUT" "$file"
}

build_kubernetes() {
    local version=k8s.io/component-base/version
    cd "$HERE" && go build -trimpath -tags providerless -o "$OUT" -ldflags \
        "-s -w -X $version.gitVersion=$KUBERNETES -X $version.gitMajor=1 -X $version.gitMinor=34" .
}

build_dns() { cd "$HERE/dns" && go build -ldflags "-s -w" -o "$OUT" .; }

build_pause() { cc -Os -static -o "$OUT" "$HERE/pause.c"; }

# pack PROGRAM NAME ENTRYPOINT: an image archive that holds one static program and nothing else.
pack() { "$HERE/../../scripts/buildah.sh" single "$1" "$2" "$3" "$OUT"; }

# Builds what is missing; sets PAUSE_IMAGE and DNS_IMAGE to their archives.
build_all() {
    local kube dns pause
    kube=$CACHE/bin/kubernetes-$(sources_hash "$HERE"/{go.mod,go.sum,main.go,provisioner.go})
    dns=$CACHE/bin/coredns-$(sources_hash "$HERE"/dns/{go.mod,go.sum,main.go})
    pause=$CACHE/bin/pause-$(sources_hash "$HERE/pause.c")
    cached "$kube" "Kubernetes $KUBERNETES (about 5 minutes the first time)" in_subshell build_kubernetes
    cached "$dns" "CoreDNS" in_subshell build_dns
    cached "$pause" "the pause program" build_pause
    PAUSE_IMAGE=$CACHE/images/$(basename "$pause").tar
    DNS_IMAGE=$CACHE/images/$(basename "$dns").tar
    cached "$PAUSE_IMAGE" "the pause image" pack "$pause" datamesh.local/pause:1 /pause
    cached "$DNS_IMAGE" "the CoreDNS image" pack "$dns" datamesh.local/coredns:1 /coredns
    mkdir -p "$PROGRAMS"
    for name in "${KUBE_PROGRAMS[@]}"; do ln -sfn "$kube" "$PROGRAMS/$name"; done
}

in_subshell() ( "$@" )
