#!/usr/bin/env bash
# Put, get, small objects and list against the store in separate processes on loopback, with one gateway and then with three. Each row is
# printed as soon as it is measured. Bounded in count and in time: some ten minutes with optimised programs, 45 at most.
#   bench.sh                     all rows
#   bench.sh --rows "of 200"     those with that in their names: "at 3" (three gateways), S3, "10 MiB"; gone, lost and idle stand for theirs
#   bench.sh --tenth             a tenth of clients, requests and users, to see that rows work: no figures to quote
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source-path=SCRIPTDIR source=cache.sh
source scripts/cache.sh
cargo build --quiet --workspace --bins
"$CARGO_TARGET_DIR/debug/bench" "$CARGO_TARGET_DIR/debug/datamesh-node" "$@"
