#!/usr/bin/env bash
# What does not fit into `make test`: longer fuzzing, and a 10 GiB object through a gateway pod limited to 256 MiB.
set -euo pipefail
cd "$(dirname "$0")/.."
SECONDS_EACH=${SECONDS_EACH:-60} scripts/fuzz.sh
scripts/up.sh
scripts/measure.sh $((10 << 30))
scripts/down.sh
