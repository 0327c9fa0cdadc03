#!/usr/bin/env bash
# Where the CPU of all server processes goes while rows of the benchmark run: a table by stage, and a flame graph.
#   profile.sh "GET 10 MiB" OUT.svg     a row as `make bench` calls it; rows of the same size are run as well, unprofiled
#   profile.sh "rebuild of a node"                   three minutes
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source-path=SCRIPTDIR source=cache.sh
source scripts/cache.sh
# shellcheck source-path=SCRIPTDIR source=progress.sh
source scripts/progress.sh
row=${1:?the name of a row, as "GET 10 MiB"} svg=${2:-}
rows=${row#* }
[ "$row" != "rebuild of a node" ] || rows=lost
tools=${DATAMESH_TOOLS:-$CACHE/tools}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

command -v perf >/dev/null || fail "perf is missing; on Debian: apt-get install linux-perf"
[ -x "$tools/bin/inferno-collapse-perf" ] ||
    cargo install --quiet --locked --root "$tools" --version 0.12.8 inferno
cargo build --quiet --workspace --bins
"$CARGO_TARGET_DIR/debug/bench" "$CARGO_TARGET_DIR/debug/datamesh-node" --rows "$rows" --profile "$row=$work/data" | tee "$work/table"
# What the row cost in all, while it was sampled.
cost=$(sed -nE "s|^$row .* ([0-9.]+) CPU-s/GB .*|\1|p" "$work/table")
perf script --no-inline -i "$work/data" 2>/dev/null | "$tools/bin/inferno-collapse-perf" >"$work/folded"
[ -z "$svg" ] || "$tools/bin/inferno-flamegraph" --title "$row" --minwidth 0.3 "$work/folded" >"$svg"

# The first line that fits a stack says what it is for. What copies stands behind what it copies for.
awk -v cost="${cost:-0}" -f scripts/stages.awk "$work/folded"
