# shellcheck shell=bash
# Which Kubernetes `make up` uses and where its state is kept. Sourced, never run.
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

NAMESPACE=datamesh # of the example, manifests/examples/cluster.yaml
CLUSTER=demo
POOL=main
KIND_CLUSTER=datamesh
KIND_KUBECONFIG=$STATE/kind.kubeconfig
GIVEN_KUBECONFIG=$STATE/given.kubeconfig # a copy: the way to the cluster as it was when `up` was given it
TARGET_FILE=$STATE/target

# noted_target: the one that `up` used, and `down` has not removed since; else nothing.
noted_target() { cat "$TARGET_FILE" 2>/dev/null || true; }

docker_answers() { command -v docker >/dev/null && docker info >/dev/null 2>&1; }

# choose_target: given, kind or local. A kubeconfig that `up` wrote stands for the cluster it wrote it for.
choose_target() {
    local noted
    noted=$(noted_target)
    case ${KUBECONFIG:-} in
        "$STATE/admin.kubeconfig") echo local ;;
        "$KIND_KUBECONFIG") echo kind ;;
        ?*) echo given ;;
        *)
            # One that is somebody else's is used only by name, or nobody would notice.
            if [ "$noted" = local ] || [ "$noted" = kind ]; then
                echo "$noted"
            elif command -v kind >/dev/null && docker_answers; then
                echo kind
            else
                echo local
            fi
            ;;
    esac
}

# server_of KUBECONFIG-FILE: where its first cluster is.
server_of() { sed -n 's/^ *server: *//p' "$1" 2>/dev/null | head -n 1; }

describe_target() {
    case $1 in
        given) echo "the Kubernetes of KUBECONFIG" ;;
        kind) echo "kind (cluster $KIND_CLUSTER)" ;;
        local) echo "a Kubernetes of 4 nodes in 3 zones on this machine, state in $STATE" ;;
    esac
}

# refuse_another TARGET: notes of one Kubernetes over those of another, and nobody would know what to remove.
refuse_another() {
    local noted hint=''
    noted=$(noted_target)
    if [ -z "$noted" ] || [ "$noted" = "$1" ]; then return 0; fi
    if [ "$noted" = given ]; then
        hint=" (at $(server_of "$GIVEN_KUBECONFIG")); to go on there: export KUBECONFIG=$GIVEN_KUBECONFIG"
    fi
    fail "DataMesh is up on $(describe_target "$noted")$hint. To use $(describe_target "$1"): make down first"
}

# find_kubectl TARGET: sets KUBECTL.
find_kubectl() {
    KUBECTL=$(type -P kubectl || true)
    if [ "$1" = local ] || { [ -z "$KUBECTL" ] && [ -x "$PROGRAMS/kubectl" ]; }; then KUBECTL=$PROGRAMS/kubectl; fi
    [ -n "$KUBECTL" ] || fail "kubectl is not installed: https://kubernetes.io/docs/tasks/tools"
}

# use_target TARGET: sets KUBECONFIG and KUBECTL for it.
use_target() {
    case $1 in
        given) export KUBECONFIG=$GIVEN_KUBECONFIG ;;
        kind) export KUBECONFIG=$KIND_KUBECONFIG ;;
        local) export KUBECONFIG=$STATE/admin.kubeconfig KUBECACHEDIR=$STATE/kubectl-cache ;;
    esac
    find_kubectl "$1"
}

kubectl() { "$KUBECTL" "$@"; }
