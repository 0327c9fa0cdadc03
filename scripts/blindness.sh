#!/usr/bin/env bash
# A build without sealing, in which the search for what nodes must not see has to find it: on their disks; with --lib also on the wires.
set -euo pipefail
cd "$(dirname "$0")/.."

# It serves this alone, and its speed is nothing: its own crates are not optimised, the others are there already.
unoptimised=()
for crate in $(cargo metadata --no-deps --format-version 1 | grep -o '"name":"datamesh[a-z0-9-]*","version"' | cut -d'"' -f4); do
    unoptimised+=(--config "profile.dev.package.$crate.opt-level=0")
done
cargo test --quiet --workspace "${unoptimised[@]}" --features datamesh-node/unsealed-for-blindness-test \
    --test processes "$@" nodes_see_neither_contents_nor_names
