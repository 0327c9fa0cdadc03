#!/usr/bin/env bash
# Licences, sources and duplicate bans of all dependencies, by cargo-deny; installed into the cache when missing.
# DATAMESH_ADVISORIES=1 checks advisories too: that fetches the RustSec database, which cannot be had everywhere.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=${DATAMESH_CACHE:-$HOME/.cache/datamesh}/tools
version=0.20.2
if ! "$tools/bin/cargo-deny" --version 2>/dev/null | grep -qF " $version"; then
    echo "installing cargo-deny $version"
    # Unoptimised: it runs for a second, optimising it would cost minutes.
    cargo install --quiet --locked --debug --root "$tools" --target-dir "$tools/build" "cargo-deny@$version"
    rm -rf "$tools/build"
fi
# The lock file names crates of other platforms too, which no build here has fetched.
cargo fetch --quiet --locked
"$tools/bin/cargo-deny" --log-level error --offline check bans licenses sources
if [ "${DATAMESH_ADVISORIES:-}" = 1 ]; then "$tools/bin/cargo-deny" --log-level error check advisories; fi
