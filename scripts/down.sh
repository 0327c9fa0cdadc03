#!/usr/bin/env bash
# Removes what up.sh made, stored data included: on a Kubernetes made by it the whole cluster, on a given one the
# example, its volumes and keys, and the operator. Safe to run again.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source-path=SCRIPTDIR source=target.sh
source scripts/target.sh

remove_from_given() {
    use_target given
    kubectl -n datamesh delete datameshcluster,storagepool --all --timeout=120s --ignore-not-found || {
        say "the operator does not finish; is it running? kubectl -n datamesh-system get pods"
        return 1
    }
    kubectl delete namespace datamesh --timeout=120s --ignore-not-found
    kubectl delete -f manifests/install.yaml --timeout=120s --ignore-not-found
}

remove_state() {
    [ ! -e "$MARKER" ] || rm -rf --one-file-system "${STATE:?}"
}

main() {
    local target
    target=$(cat "$TARGET_FILE" 2>/dev/null || choose_target)
    case $target in
        local) e2e/local-cluster/down ;;
        kind)
            stop port-forward
            kind delete cluster --name "$KIND_CLUSTER"
            remove_state
            ;;
        given)
            [ -e "$TARGET_FILE" ] || fail "nothing was brought up from here: no notes in $STATE"
            unset KUBECONFIG # the one `up` was given, whatever is set now
            stop port-forward
            remove_from_given
            remove_state
            ;;
    esac
}

main "$@"
