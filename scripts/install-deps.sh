#!/usr/bin/env bash
# Installs what is missing on a Debian machine, as far as Debian has it: what compiling needs and, where the Kubernetes of
# `make up` has to be made on this machine, what that needs. What Debian does not have (CONTRIBUTING.md lists all of it)
# must be there; it is told which. Says nothing when all is there.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source-path=SCRIPTDIR source=target.sh
source scripts/target.sh

TO_COMPILE=(gcc libc6-dev make pkg-config clang libclang-dev ca-certificates)
# Clients of S3, a mail server and a database, for the tests; those of Python come from node/tests/s3/requirements.txt, those of
# JavaScript, and a provider to sign in at, from the lock files that `need_npm` is told below.
TO_TEST=(postgresql python3 python3-venv rclone fuse3 restic)
TO_RUN_KUBERNETES=(containerd runc containernetworking-plugins iproute2 iptables conntrack etcd-server buildah debootstrap
    openssl procps util-linux)
GO_WANTED=1.25
NODE_WANTED=20
RUST_WANTED=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)

say() { echo "install-deps: $*" >&2; }

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

install_packages() {
    local package missing=()
    for package in "$@"; do installed "$package" || missing+=("$package"); done
    [ "${#missing[@]}" -gt 0 ] || return 0
    [ "$(id -u)" = 0 ] || fail "run as root: apt-get install --no-install-recommends ${missing[*]}"
    say "installing ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }

# Debian has rustup from release 13 on.
debian_has() { apt-cache policy "$1" 2>/dev/null | grep -E '^ +Candidate: [0-9]' >/dev/null; }

# Any rustup fetches by itself what rust-toolchain.toml names; a cargo without it has to be new enough.
need_rust() {
    local found
    command -v rustup >/dev/null && return 0
    found=$(cargo --version 2>/dev/null | cut -d' ' -f2 || true)
    [ -n "$found" ] && at_least "$RUST_WANTED" "$found" && return 0
    if [ "$(id -u)" = 0 ] && [ -z "$found" ] && apt-get update -qq && debian_has rustup; then
        install_packages rustup
        say "fetching Rust $RUST_WANTED"
        rustup toolchain install --profile minimal --component clippy --component rustfmt "$RUST_WANTED" >/dev/null
        return 0
    fi
    fail "Rust $RUST_WANTED is missing (found: ${found:-none}): install rustup (https://rustup.rs), which then fetches that version"
}

need_go() {
    local version
    version=$(go env GOVERSION 2>/dev/null || true)
    [ -n "$version" ] && at_least "$GO_WANTED" "${version#go}" && return 0
    fail "Go $GO_WANTED or newer is missing (found: ${version:-none}), and Debian has none so new: install it from https://go.dev/dl," \
        "or use another Kubernetes than one made here: Docker with kind and kubectl, or KUBECONFIG"
}

# The Python clients of S3, each file by its hash, in a place of their own; anew when the list has changed.
need_python_clients() {
    local list=node/tests/s3/requirements.txt venv=${DATAMESH_S3_VENV:-$HOME/.cache/datamesh/venv}
    cmp -s "$list" "$venv/requirements.txt" && return 0
    say "installing Python clients of S3 to $venv"
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$list"
    cp "$list" "$venv/requirements.txt"
}

# Node.js as the machine has it, if it is new enough, or Debian's.
need_node() {
    local found
    command -v npm >/dev/null || install_packages nodejs npm
    found=$(node --version)
    at_least "$NODE_WANTED" "${found#v}" && return 0
    fail "Node.js $NODE_WANTED or newer is missing (found: $found): install it from https://nodejs.org"
}

# What tests run on Node.js, as the lock file of a folder names it by hash, in a place of its own; anew when that file has changed.
need_npm() {
    local from=$1 to=$2
    cmp -s "$from/package-lock.json" "$to/package-lock.json" && [ -e "$to/node_modules/.complete" ] && return 0
    say "installing packages of $from to $to"
    rm -rf "$to"
    mkdir -p "$to"
    cp "$from/package.json" "$from/package-lock.json" "$to"
    npm ci --silent --no-audit --no-fund --ignore-scripts --prefix "$to"
    touch "$to/node_modules/.complete"
}

if ! command -v dpkg-query >/dev/null; then
    say "not a Debian machine: nothing installed; see CONTRIBUTING.md for what is needed"
    exit 0
fi
# Tests start a server of their own: the one that the package would set up is in nobody's way, and nobody's use.
if ! installed postgresql && [ "$(id -u)" = 0 ]; then
    mkdir -p /etc/postgresql-common
    [ -e /etc/postgresql-common/createcluster.conf ] ||
        echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
fi
install_packages "${TO_COMPILE[@]}" "${TO_TEST[@]}"
need_python_clients
need_node
need_npm node/tests/npm "${DATAMESH_NPM:-$HOME/.cache/datamesh/npm}"
need_npm node/crates/gateway/tests/oidc "${DATAMESH_OIDC_PROVIDER:-$HOME/.cache/datamesh/oidc}"
need_rust
if [ "$(choose_target)" = local ]; then
    install_packages "${TO_RUN_KUBERNETES[@]}"
    need_go
fi
