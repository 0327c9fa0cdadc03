#!/usr/bin/env bash
# The end-to-end promises, on the Kubernetes of DATAMESH_E2E_KUBECONFIG (or KUBECONFIG), else on one brought up as
# `make up` does and removed at the end.
#   e2e.sh [PART-OF-A-NAME...]   only the promises whose names contain one of these
#   DATAMESH_E2E_KEEP=1          leaves the cluster up
# After a failure, logs, events and objects lie in artifacts/.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source-path=SCRIPTDIR source=cache.sh
source scripts/cache.sh

keep=${DATAMESH_E2E_KEEP:-}

# not_ours: a cluster that was up before, or is somebody else's.
not_ours() (
    export KUBECONFIG=${DATAMESH_E2E_KUBECONFIG:-${KUBECONFIG:-}}
    # shellcheck source-path=SCRIPTDIR source=target.sh
    source scripts/target.sh
    [ -n "$(noted_target)" ] || [ "$(choose_target)" = given ]
)

clean_up() {
    if [ "$keep" = 1 ]; then echo "the cluster is left up; make down removes it" >&2; else scripts/down.sh; fi
}

if not_ours; then keep=1; fi
trap clean_up EXIT
rm -rf artifacts
DATAMESH_E2E=1 cargo test --quiet --workspace --test promises -- "$@"
