# shellcheck shell=bash
# A Kubernetes that is somebody else's. The way to it is kept as it was at `up`, whatever the user's files say later; what
# `up` makes there carries a label, so that `down` removes that and nothing else. Sourced by up.sh and down.sh, never run.

OURS_KEY=datamesh.io/made-by
OURS_VALUE=make-up
IDENTITY_FILE=$STATE/given.identity # of the cluster: an address may lead to another one later

cannot_ask() { fail "cannot ask the Kubernetes at $(server_of "$KUBECONFIG")"; }

# there ARGUMENTS...: whether an object exists. An answer that does not come ends the script, since it is no "no".
there() {
    local found
    found=$(kubectl get "$@" --ignore-not-found -o name) || cannot_ask
    [ -n "$found" ]
}

# is_ours ARGUMENTS...: whether the object exists and `up` made it.
is_ours() {
    local value
    value=$(kubectl get "$@" --ignore-not-found -o "jsonpath={.metadata.labels.${OURS_KEY//./\\.}}") ||
        cannot_ask
    [ "$value" = "$OURS_VALUE" ]
}

# A namespace of the example, or an operator, that was there before `up`. A cluster made here holds nothing foreign.
foreign_namespace() { [ "$TARGET" = given ] && there "namespace/$NAMESPACE" && ! is_ours "namespace/$NAMESPACE"; }
foreign_operator() {
    [ "$TARGET" = given ] && ! is_ours namespace/datamesh-system &&
        { there namespace/datamesh-system || there clusterrole/datamesh-operator; }
}

# make_namespace NAME: labelled, unless it is there.
make_namespace() {
    there "namespace/$1" || kubectl create namespace "$1" --dry-run=client -o yaml |
        kubectl label --local -f - "$OURS_KEY=$OURS_VALUE" -o yaml | kubectl create -f - >/dev/null
}

# apply_definition FILE NAME: labelled, unless it was there before.
apply_definition() {
    if there "crd/$2" && ! is_ours "crd/$2"; then
        apply <"$1"
    else
        kubectl label --local -f "$1" "$OURS_KEY=$OURS_VALUE" -o yaml | apply
    fi
}

# identity: of the cluster KUBECONFIG leads to.
identity() { kubectl get namespace kube-system --request-timeout=20s -o 'jsonpath={.metadata.uid}'; }

# read_given FILE: writes the way to the cluster that KUBECONFIG's current context names, certificates included, and makes
# sure that it is the one of the notes, if there are any, and that nothing of somebody else's would be changed there.
read_given() {
    (umask 077 && kubectl config view --raw --minify --flatten >"$1") ||
        fail "KUBECONFIG=$KUBECONFIG leads nowhere: see kubectl config get-contexts"
    export KUBECONFIG=$1
    say "KUBECONFIG leads to the Kubernetes at $(server_of "$1")"
    IDENTITY=$(identity) || fail "the Kubernetes at $(server_of "$1") does not answer"
    if [ "$(noted_target)" != given ]; then
        refuse_foreign_example
        return
    fi
    [ "$IDENTITY" = "$(cat "$IDENTITY_FILE")" ] ||
        fail "DataMesh is up on the Kubernetes at $(server_of "$GIVEN_KUBECONFIG"), and KUBECONFIG now leads to another one, at" \
            "$(server_of "$1"): make down first, or export KUBECONFIG=$GIVEN_KUBECONFIG"
}

# Before the first `up`: a cluster of the example's name is somebody's, and so are the volumes and the key it left. `up`
# would change it, `down` destroy it.
refuse_foreign_example() {
    local found
    found=$(
        if there crd/datameshclusters.datamesh.io; then find_example "datameshcluster/$CLUSTER"; fi
        if there crd/storagepools.datamesh.io; then find_example "storagepool/$POOL"; fi
        find_example pvc -l "datamesh.io/cluster=$CLUSTER"
        find_example "secret/$CLUSTER-cluster-key"
    ) || cannot_ask
    [ -z "$found" ] ||
        fail "namespace $NAMESPACE has a cluster $CLUSTER, or what is left of one, that is not from here: ${found//$'\n'/, }"
}

find_example() { kubectl -n "$NAMESPACE" get "$@" --ignore-not-found -o name || exit 1; }

# keep_given FILE: the notes of it.
keep_given() {
    mv -f "$1" "$GIVEN_KUBECONFIG"
    echo "$IDENTITY" >"$IDENTITY_FILE"
}

# remove_from_given: what `up` made there, as far as it still is there.
remove_from_given() {
    local now
    now=$(identity) || fail "the Kubernetes at $(server_of "$KUBECONFIG") does not answer; if it is gone: rm -r $STATE"
    [ "$now" = "$(cat "$IDENTITY_FILE")" ] ||
        fail "at $(server_of "$KUBECONFIG") another Kubernetes answers now: nothing is touched there; to forget the old one: rm -r $STATE"
    remove_example
    remove_operator
}

remove_example() {
    there "namespace/$NAMESPACE" || return 0
    if is_ours "namespace/$NAMESPACE"; then
        remove_kind storagepool --all
        remove_kind datameshcluster --all
        kubectl delete namespace "$NAMESPACE" --timeout=120s --ignore-not-found
    else
        say "namespace $NAMESPACE was there before make up: it stays, without cluster $CLUSTER, its volumes and its key"
        remove_kind storagepool "$POOL"
        remove_kind datameshcluster "$CLUSTER"
        kubectl -n "$NAMESPACE" delete pvc -l "datamesh.io/cluster=$CLUSTER" --timeout=120s
        kubectl -n "$NAMESPACE" delete secret "$CLUSTER-cluster-key" --ignore-not-found
    fi
}

# remove_kind KIND NAME|--all: while the operator runs, which has to let them go.
remove_kind() {
    there "crd/${1}s.datamesh.io" || return 0
    kubectl -n "$NAMESPACE" delete "$1" "$2" --timeout=120s --ignore-not-found ||
        fail "the operator does not finish; is it running? kubectl -n datamesh-system get pods"
}

# Deleting a definition deletes all its objects, whosever they are.
remove_operator() {
    local left crd
    left=$(objects_left) || cannot_ask
    if [ -n "$left" ]; then
        say "the operator and the definitions stay, since these need them:"
        say "$left"
        return
    fi
    for crd in datameshclusters.datamesh.io storagepools.datamesh.io; do
        ! is_ours "crd/$crd" || kubectl delete crd "$crd" --timeout=60s
    done
    ! is_ours namespace/datamesh-system || operator_manifest | kubectl delete -f - --timeout=120s --ignore-not-found
}

objects_left() {
    local kind
    for kind in datameshclusters storagepools; do
        there "crd/$kind.datamesh.io" || continue
        kubectl get "$kind" --all-namespaces \
            -o 'jsonpath={range .items[*]}  {.kind} {.metadata.namespace}/{.metadata.name}{"\n"}{end}' || exit 1
    done
}

# What install.yaml has besides the definitions.
operator_manifest() { awk 'BEGIN { RS = ORS = "---\n" } !/\nkind: CustomResourceDefinition\n/' manifests/install.yaml; }
