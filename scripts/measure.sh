#!/usr/bin/env bash
# One large file through the cluster that `make up` made: rate, CPU over all pods, the gateway's memory, storage overhead.
#   measure.sh [BYTES]   default 1 GiB; the content is random and never on a disk of this machine
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source-path=SCRIPTDIR source=cache.sh
source scripts/cache.sh
# shellcheck source-path=SCRIPTDIR source=target.sh
source scripts/target.sh
bytes=${1:-1073741824}
# shellcheck disable=SC2046
export $(scripts/up.sh --print-env | grep -E '^(KUBECONFIG|KUBECTL|DATAMESH_CONFIG)=')
datamesh=$CARGO_TARGET_DIR/debug/datamesh
key=$(openssl rand -hex 16)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

pods() { "$KUBECTL" -n datamesh get pods -o name; }
inside() { "$KUBECTL" -n datamesh exec "$1" -- sh -c "$2"; }
# User and system time of every pod's process, in seconds.
cpu() { for pod in $(pods); do inside "$pod" "cut -d' ' -f14,15 /proc/1/stat"; done | awk '{t += $1 + $2} END {print t / 100}'; }
stored() { for pod in $(pods | grep main); do inside "$pod" 'du -sb /data | cut -f1'; done | awk '{t += $1} END {printf "%.0f", t}'; }
stream() { head -c "$bytes" /dev/zero | openssl enc -aes-128-ctr -K "$key" -iv 00000000000000000000000000000000; }
now() { date +%s.%N; }
report() { # name, seconds, cpu seconds
    awk -v n="$1" -v s="$2" -v c="$3" -v b="$bytes" 'BEGIN {
        printf "%-4s %6.1f s  %6.0f MB/s  %5.2f CPU-s/GB over all pods\n", n, s, b / 1e6 / s, c / (b / 1e9) }'
}

stored_before=$(stored)
cpu_0=$(cpu) from=$(now)
stream | tee >(sha256sum >"$work/put") | "$datamesh" --quiet put - measure/large
put_seconds=$(awk "BEGIN {print $(now) - $from}") cpu_1=$(cpu)
from=$(now)
"$datamesh" --quiet get measure/large - | sha256sum >"$work/get"
get_seconds=$(awk "BEGIN {print $(now) - $from}") cpu_2=$(cpu)
stored_after=$(stored)
cmp "$work/put" "$work/get"
echo "sha256 $(cut -c1-64 "$work/get"), put and fetched alike, $bytes bytes"
report put "$put_seconds" "$(awk "BEGIN {print $cpu_1 - $cpu_0}")"
report get "$get_seconds" "$(awk "BEGIN {print $cpu_2 - $cpu_1}")"
awk -v b="$bytes" -v s="$((stored_after - stored_before))" 'BEGIN {
    printf "stored %.4f bytes for each byte (4+2 alone: 1.5, at most 1.545)\n", s / b; exit s > b * 1.545 }'
echo "gateway memory: $(inside pod/demo-gateway-0 "grep -E 'VmHWM|VmRSS' /proc/1/status" | tr -s '\t\n ' ' '), limit 256 MiB"
head -c 10000000 /dev/urandom >"$work/ten"
for way in put get; do
    from=$(now)
    if [ $way = put ]; then "$datamesh" -q put "$work/ten" measure/ten; else "$datamesh" -q get measure/ten "$work/back"; fi >/dev/null
    printf '10 MB %s: %.2f s\n' "$way" "$(awk "BEGIN {print $(now) - $from}")"
done
cmp "$work/ten" "$work/back"
"$datamesh" rm measure/large measure/ten >/dev/null
