# shellcheck shell=bash
# Which Kubernetes `make up` uses and where its state is kept. Sourced by up.sh, down.sh and e2e.sh, never run.
# The state folder holds what up made a note of: the target, background processes, the client's configuration.
# shellcheck disable=SC2034  # the variables are for the scripts that source this file

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [ -z "${DATAMESH_STATE:-}" ] && [ "$(id -u)" != 0 ]; then
    export DATAMESH_STATE=${XDG_STATE_HOME:-$HOME/.local/state}/datamesh-local
fi
# shellcheck source-path=SCRIPTDIR source=../e2e/local-cluster/parts/names.sh
source "$ROOT/e2e/local-cluster/parts/names.sh"
# shellcheck source-path=SCRIPTDIR source=../e2e/local-cluster/parts/processes.sh
source "$ROOT/e2e/local-cluster/parts/processes.sh"
say() { echo "$*" >&2; } # the local cluster's own scripts say where a line comes from

KIND_CLUSTER=datamesh
TARGET_FILE=$STATE/target
GIVEN_KUBECONFIG=$STATE/given.kubeconfig # a link to the kubeconfig `up` was given

# choose_target: given, kind or local.
choose_target() {
    if [ -n "${KUBECONFIG:-}" ]; then
        if [ "$KUBECONFIG" = "$STATE/admin.kubeconfig" ]; then echo local; else echo given; fi
    elif command -v kind >/dev/null && command -v docker >/dev/null && docker info >/dev/null 2>&1; then
        echo kind
    else
        echo local
    fi
}

# use_target TARGET: sets KUBECONFIG and KUBECTL for it.
use_target() {
    case $1 in
        given) export KUBECONFIG=${KUBECONFIG:-$GIVEN_KUBECONFIG} ;;
        kind) export KUBECONFIG=$STATE/kind.kubeconfig ;;
        local) export KUBECONFIG=$STATE/admin.kubeconfig KUBECACHEDIR=$STATE/kubectl-cache ;;
    esac
    KUBECTL=$(command -v kubectl || true)
    if [ "$1" = local ] || { [ -z "$KUBECTL" ] && [ -x "$PROGRAMS/kubectl" ]; }; then KUBECTL=$PROGRAMS/kubectl; fi
    [ -n "$KUBECTL" ] || fail "kubectl is not installed"
}

kubectl() { "$KUBECTL" "$@"; }
