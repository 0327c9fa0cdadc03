# shellcheck shell=bash
# Waiting for DataMesh's objects, seen: each condition is printed when it changes. Sourced by up.sh, never run.

describe_target() {
    case $1 in
        given) echo "the Kubernetes of KUBECONFIG=$KUBECONFIG" ;;
        kind) echo "kind (cluster $KIND_CLUSTER)" ;;
        local) echo "a Kubernetes of 4 nodes in 3 zones on this machine, state in $STATE" ;;
    esac
}

# conditions_of NAMESPACE OBJECT: one line each, first whether the status speaks of the present spec.
conditions_of() {
    kubectl -n "$1" get "$2" -o 'jsonpath={range .status.conditions[*]}{.type}={.status} {.reason}: {.message}{"\n"}{end}'
}

up_to_date() {
    local seen
    seen=$(kubectl -n "$1" get "$2" -o 'jsonpath={.metadata.generation} {.status.observedGeneration}')
    [ "${seen% *}" = "${seen#* }" ]
}

# wait_until_ready NAMESPACE OBJECT...: until every object's Ready is True for its present spec.
wait_until_ready() {
    local namespace=$1 deadline=$((SECONDS + READY_SECONDS)) object waiting
    shift
    declare -A shown
    while :; do
        waiting=()
        for object in "$@"; do
            show_changes "$namespace" "$object"
            [[ ${shown[$object/Ready]:-} == Ready=True* ]] && up_to_date "$namespace" "$object" || waiting+=("$object")
        done
        [ "${#waiting[@]}" -gt 0 ] || return 0
        if [ "$SECONDS" -ge "$deadline" ]; then
            explain "$namespace"
            explain datamesh-system
            fail "not ready after $READY_SECONDS s: ${waiting[*]}"
        fi
        sleep 0.5
    done
}

show_changes() {
    local line type
    while read -r line; do
        type=${line%%=*}
        if [ -z "$type" ] || [ "${shown[$2/$type]:-}" = "$line" ]; then continue; fi
        shown[$2/$type]=$line
        printf '%4d s  %s  %s\n' "$SECONDS" "$2" "$line" | cut -c1-200 >&2
    done < <(conditions_of "$1" "$2" 2>/dev/null)
}

# explain NAMESPACE: what a person would look at first.
explain() {
    {
        kubectl -n "$1" get pods -o wide
        kubectl -n "$1" get events --sort-by=.lastTimestamp | tail -n 15
        if [ "$1" = datamesh-system ]; then kubectl -n "$1" logs --all-containers --tail=30 -l app.kubernetes.io/component=operator; fi
    } >&2 || true
}
