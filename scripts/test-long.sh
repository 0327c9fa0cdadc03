#!/usr/bin/env bash
# What does not fit into `make test`: longer fuzzing, more seeds of the simulation and of the catalog under faults, gateways that become fewer, the tables of
# 1,000 nodes in docs/scale.md, all promises on Kubernetes, and a 10 GiB object through a gateway pod limited to 256 MiB.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source-path=SCRIPTDIR source=target.sh
source scripts/target.sh
SECONDS_EACH=${SECONDS_EACH:-60} scripts/fuzz.sh
DATAMESH_LONG=1 cargo test --quiet --workspace --test generated
scripts/blindness.sh --lib
SEEDS=${SEEDS:-0..4000} cargo test --quiet --workspace --test sim
DATAMESH_SEEDS=${CATALOG_SEEDS:-3000} cargo test --quiet --workspace --test it under_faults
cargo test --quiet --workspace --test clusters fewer_gateways -- --ignored --test-threads 1
DATAMESH_LONG=1 scripts/e2e.sh
# A cluster that was up before stays.
[ -e "$TARGET_FILE" ] || trap scripts/down.sh EXIT
scripts/up.sh
scripts/measure.sh $((10 << 30))
