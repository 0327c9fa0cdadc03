#!/usr/bin/env bash
# Coverage-guided fuzzing of the decoders. SECONDS_EACH (default 5) for each target; findings lie in the cache folder
# and replay with the printed command. libFuzzer's coverage needs no nightly compiler; address sanitizing would.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"
cache=${DATAMESH_CACHE:-$HOME/.cache/datamesh}/fuzz
export CARGO_TARGET_DIR=$cache/target
coverage=(-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg=fuzzing -Ccodegen-units=1)
triple=$(rustc -vV | sed -n 's/^host: //p')
# --target keeps the instrumentation out of build scripts and macros.
RUSTFLAGS="${coverage[*]}" cargo build --quiet --locked --target "$triple" --bins
for target in targets/*.rs; do
    name=$(basename "$target" .rs)
    mkdir -p "$cache/corpus/$name" "$cache/findings"
    echo "fuzzing $name for ${SECONDS_EACH:-5} s"
    "$CARGO_TARGET_DIR/$triple/debug/$name" -max_total_time="${SECONDS_EACH:-5}" -max_len=65536 -rss_limit_mb=1024 \
        -artifact_prefix="$cache/findings/$name-" -verbosity=0 -print_final_stats=1 "$cache/corpus/$name" 2>&1 |
        sed -n 's/^stat::number_of_executed_units: */    inputs: /p; /ERROR/p; /panicked/p; /Test unit written/p'
done
