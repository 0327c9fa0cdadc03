#!/usr/bin/env bash
# Installs what is missing on a Debian 12 machine: what compiling needs and, where the Kubernetes of `make up` has to be
# made on this machine, what that needs. Says nothing when all is there.
set -euo pipefail

COMPILE=(gcc libc6-dev make pkg-config clang libclang-dev cmake protobuf-compiler ca-certificates)
CLUSTER=(containerd runc containernetworking-plugins iproute2 iptables conntrack etcd-server buildah debootstrap openssl
    procps util-linux)
GO_WANTED=1.25

say() { echo "install-deps: $*" >&2; }

# A Kubernetes of the user's own, or kind: then nothing is made on this machine.
other_cluster() {
    [ -n "${KUBECONFIG:-}" ] || { command -v kind && docker info; } >/dev/null 2>&1
}

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

install_packages() {
    local package missing=()
    for package in "$@"; do installed "$package" || missing+=("$package"); done
    [ "${#missing[@]}" -gt 0 ] || return 0
    if [ "$(id -u)" != 0 ]; then
        say "run as root: apt-get install --no-install-recommends ${missing[*]}"
        exit 1
    fi
    say "installing ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }

need_rust() {
    command -v cargo >/dev/null && return 0
    say "Rust is missing: install rustup (https://rustup.rs), which then fetches the version rust-toolchain.toml names"
    exit 1
}

need_go() {
    local version
    version=$(go env GOVERSION 2>/dev/null || true)
    at_least "$GO_WANTED" "${version#go}" && [ -n "$version" ] && return 0
    say "Go $GO_WANTED or newer is missing (found: ${version:-none}); Debian 12 has none: install it from https://go.dev/dl"
    exit 1
}

if ! command -v dpkg-query >/dev/null; then
    say "not a Debian machine: nothing installed; see CONTRIBUTING.md for what is needed"
    exit 0
fi
install_packages "${COMPILE[@]}"
need_rust
if ! other_cluster; then
    install_packages "${CLUSTER[@]}"
    need_go
fi
