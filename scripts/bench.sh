#!/usr/bin/env bash
# Put, get, small objects and list against the store in separate processes on loopback. Bounded in count; about a minute.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$HOME/.cache/datamesh/target}
cargo build --quiet --workspace --bins
"$target/debug/bench" "$target/debug/datamesh-node" "$@"
