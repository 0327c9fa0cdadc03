#!/usr/bin/env bash
# Coverage-guided fuzzing of the decoders. SECONDS_EACH (default 4) for each target; findings lie in the cache folder
# and replay with the printed command. libFuzzer's coverage needs no nightly compiler; address sanitizing would.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"
cache=${DATAMESH_CACHE:-$HOME/.cache/datamesh}/fuzz
export CARGO_TARGET_DIR=$cache/target
coverage=(-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg=fuzzing -Ccodegen-units=1)
triple=$(rustc -vV | sed -n 's/^host: //p')

# The golden files' bytes, in hexadecimal: the last word of each line, where it is some.
golden() { # file below node/crates
    awk '$NF ~ /^[0-9a-f]+$/ && length($NF) % 2 == 0 { print $1, $NF }' "../node/crates/$1"
}

# Each line's last word becomes a file to begin with, named by its hash as libFuzzer names its own.
plant() { # target; lines on standard input
    mkdir -p "$cache/seeds/$1"
    local bytes
    while read -r bytes; do
        bytes=${bytes##* }
        printf '%b' "$(sed 's/../\\x&/g' <<<"$bytes")" >"$cache/seeds/$1/$(sha1sum <<<"$bytes" | cut -c1-40)"
    done
}

# A mutant of what is valid gets further than one of nothing: every target begins with the golden files of its crate.
rm -rf "$cache/seeds"
golden shard/tests/golden/segment-header-v1.txt | plant segment_header
# Whole frames, and heads alone.
golden exchange/tests/golden/messages.txt | plant messages
golden exchange/tests/golden/messages.txt | sed 's/ .\{16\}/ /' | plant messages
golden placement/tests/golden/layout-v1.hex | plant layout
golden seal/tests/golden/seal-v1.txt | grep -E '^(segment-[a-z]+-(short|zstd|derived)|record) ' | plant sealed
golden seal/tests/golden/seal-v1.txt | grep -E '^(certificate|wrapped|join)' | plant certificates
# What is signed in a certificate: behind its length, in front of the signature and that one's length.
golden seal/tests/golden/seal-v1.txt | sed -n 's/^certificate.* ..\(.*\).\{130\}$/\1/p' | plant certificates
golden store/tests/golden/index-rows-v2.hex | plant store_format
# A log's head, and its records: the heads' checksums are made right by the target.
log=../node/crates/store/tests/golden/log-v1.bin
head -c 32 "$log" >"$cache/seeds/store_format/log"
tail -c +33 "$log" >"$cache/seeds/store_format/records"
golden catalog/tests/golden/records-v1.txt | plant catalog_rows
golden catalog/tests/golden/keys-v1.txt | plant catalog_rows
golden catalog/tests/golden/backup-piece-v1.hex | plant catalog_rows
mkdir -p "$cache/seeds/settings"
cp ../node/crates/settings/tests/golden/* "$cache/seeds/settings"

# --target keeps the instrumentation out of build scripts and macros.
RUSTFLAGS="${coverage[*]}" cargo build --quiet --locked --target "$triple" --bins
for target in targets/*.rs; do
    name=$(basename "$target" .rs)
    mkdir -p "$cache/corpus/$name" "$cache/findings"
    seeds=$(find "$cache/seeds/$name" -type f -size +0 | wc -l)
    echo "fuzzing $name for ${SECONDS_EACH:-4} s, from $seeds golden inputs"
    [ "$seeds" -gt 0 ]
    "$CARGO_TARGET_DIR/$triple/debug/$name" -max_total_time="${SECONDS_EACH:-4}" -max_len=65536 -rss_limit_mb=1024 \
        -artifact_prefix="$cache/findings/$name-" -verbosity=0 -print_final_stats=1 \
        "$cache/corpus/$name" "$cache/seeds/$name" 2>&1 |
        sed -n 's/^stat::number_of_executed_units: */    inputs: /p; /ERROR/p; /panicked/p; /Test unit written/p'
done
