# shellcheck shell=bash
# Waiting for DataMesh's objects, seen: each condition is printed when it changes. Sourced by up.sh, never run.

WATCHERS=() # kubectl processes that watch an object
PRINTERS=() # and those that print what they say

# print_changes OBJECT: prints those of the conditions on stdin, one a line, that differ from the ones before.
print_changes() {
    local line type
    declare -A shown
    while read -r line; do
        type=${line%%=*}
        if [[ ! $type =~ ^[A-Za-z]+$ ]] || [ "${shown[$type]:-}" = "$line" ]; then continue; fi
        shown[$type]=$line
        printf '%4d s  %s  %.160s\n' "$SECONDS" "$1" "$line"
    done
}

# watch_changes NAMESPACE OBJECT: prints them in the background.
watch_changes() {
    local lines
    exec {lines}< <(exec "$KUBECTL" -n "$1" get "$2" --watch 2>/dev/null \
        -o 'jsonpath={range .status.conditions[*]}{.type}={.status} {.reason}: {.message}{"\n"}{end}')
    WATCHERS+=("$!")
    print_changes "$2" <&"$lines" >&2 &
    PRINTERS+=("$!")
    exec {lines}<&-
}

stop_watching() {
    [ "${#WATCHERS[@]}" -gt 0 ] || return 0
    kill "${WATCHERS[@]}" 2>/dev/null || true
    wait "${PRINTERS[@]}" || true
    WATCHERS=() PRINTERS=()
}

# await ARGUMENTS...: kubectl waits, until DEADLINE at the longest.
await() {
    local left=$((DEADLINE - SECONDS))
    kubectl wait --timeout="$((left > 0 ? left : 1))s" "$@" >/dev/null
}

# at_rest NAMESPACE OBJECT...: until every object is Ready and nothing is left to be done. kubectl passes over conditions
# whose observedGeneration is older than the object's generation.
at_rest() {
    await -n "$@" --for=condition=Ready && await -n "$@" --for=condition=Progressing=false
}

# all_run NAMESPACE IMAGE: until every pod of the cluster is one of this image, and ready. A pool's conditions cannot tell at
# first: the image stands in the cluster's spec, so the pool's own generation stays as it was.
all_run() {
    await -n "$1" statefulset -l "datamesh.io/cluster=$CLUSTER" --for=jsonpath='{.spec.template.spec.containers[0].image}'="$2" &&
        kubectl -n "$1" rollout status statefulset -l "datamesh.io/cluster=$CLUSTER" \
            --timeout="$((DEADLINE > SECONDS ? DEADLINE - SECONDS : 1))s" >/dev/null
}

# wait_until_ready NAMESPACE IMAGE OBJECT...: until all of it is as the specs say.
wait_until_ready() {
    local namespace=$1 image=$2 object
    shift 2
    DEADLINE=$((SECONDS + READY_SECONDS))
    for object in "$@"; do watch_changes "$namespace" "$object"; done
    if ! { at_rest "$namespace" "$@" && all_run "$namespace" "$image" && at_rest "$namespace" "$@"; }; then
        explain "$namespace"
        explain datamesh-system
        fail "not ready after $READY_SECONDS s"
    fi
    stop_watching
}

# explain NAMESPACE: what a person would look at first.
explain() {
    {
        kubectl -n "$1" get pods -o wide
        kubectl -n "$1" get events --sort-by=.lastTimestamp | tail -n 15
        if [ "$1" = datamesh-system ]; then kubectl -n "$1" logs --all-containers --tail=30 -l app.kubernetes.io/component=operator; fi
    } >&2 || true
}
