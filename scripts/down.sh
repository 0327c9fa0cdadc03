#!/usr/bin/env bash
# Removes what up.sh made, stored data included: a Kubernetes made by it as a whole; on a given one the example, its volumes
# and its key, and the operator unless others use it. Safe to run again, and after an `up` that failed.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source-path=SCRIPTDIR source=target.sh
source scripts/target.sh
# shellcheck source-path=SCRIPTDIR source=given.sh
source scripts/given.sh

remove_state() {
    [ ! -e "$MARKER" ] || rm -rf --one-file-system "${STATE:?}"
}

# Without notes, only a local cluster that was brought up by its own script can be there.
remove_unnoted() {
    if [ -e "$MARKER" ] && [ "$(id -u)" = 0 ]; then
        e2e/local-cluster/down
    else
        remove_state
        say "nothing to remove: no notes in $STATE"
    fi
}

main() {
    TARGET=$(noted_target)
    case $TARGET in
        local) e2e/local-cluster/down ;;
        kind)
            stop port-forward
            kind delete cluster --name "$KIND_CLUSTER" --kubeconfig "$KIND_KUBECONFIG"
            remove_state
            ;;
        given)
            use_target given # the one `up` was given, whatever KUBECONFIG says now
            stop port-forward
            remove_from_given
            remove_state
            ;;
        *) remove_unnoted ;;
    esac
}

main "$@"
