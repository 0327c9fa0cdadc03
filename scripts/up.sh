#!/usr/bin/env bash
# Brings up DataMesh with an example cluster and says how to store a file in it. Safe to run again: what is there is
# updated. Uses the Kubernetes of KUBECONFIG, else kind where Docker and kind are there, else one on this machine.
#   up.sh [--print-env]   with the option: KUBECONFIG, KUBECTL and DATAMESH_CONFIG as lines for a program, not for people
#   DATAMESH_IMAGE   an image the cluster of KUBECONFIG can pull; without it the image is built here
#   DATAMESH_STATE   where notes, logs and the client's configuration go (and the local cluster's data)
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source-path=SCRIPTDIR source=cache.sh
source scripts/cache.sh
# shellcheck source-path=SCRIPTDIR source=target.sh
source scripts/target.sh
# shellcheck source-path=SCRIPTDIR source=given.sh
source scripts/given.sh
# shellcheck source-path=SCRIPTDIR source=progress.sh
source scripts/progress.sh

# shellcheck disable=SC2034  # for progress.sh; a new image restarts the nodes one after the other
READY_SECONDS=600
SERVICE=$CLUSTER-gateway
PORT=8443
SECRETS=$STATE/secrets

kind_is_there() { kind get clusters 2>/dev/null | grep -x "$KIND_CLUSTER" >/dev/null; }

# check_first: what would fail later, or hit what is not ours, before anything is written or created.
check_first() {
    [ -f manifests/install.yaml ] || fail "manifests/install.yaml is missing: make generate"
    refuse_another "$TARGET"
    case $TARGET in
        local) need_root ;;
        kind)
            find_kubectl kind
            if [ -z "$(noted_target)" ] && kind_is_there; then
                fail "kind has a cluster $KIND_CLUSTER that is not from here: remove it, or give its kubeconfig by KUBECONFIG"
            fi
            ;;
        given)
            [ -n "${DATAMESH_IMAGE:-}" ] ||
                fail "KUBECONFIG is set: also set DATAMESH_IMAGE to an image that cluster can pull (scripts/image.sh builds one)"
            find_kubectl given
            read_given "$WORK/kubeconfig"
            ;;
    esac
}

# The note comes before the first trace, so that `down` finds what a broken-off run leaves.
note_target() {
    claim_state
    [ "$TARGET" != given ] || keep_given "$WORK/kubeconfig"
    echo "$TARGET" >"$TARGET_FILE"
}

bring_up_kubernetes() {
    case $TARGET in
        local) e2e/local-cluster/up >/dev/null ;;
        kind)
            kind_is_there ||
                kind create cluster --name "$KIND_CLUSTER" --config scripts/kind.yaml --kubeconfig "$KIND_KUBECONFIG" --wait 120s
            (umask 077 && kind get kubeconfig --name "$KIND_CLUSTER" >"$KIND_KUBECONFIG")
            ;;
    esac
    use_target "$TARGET"
    [ "$TARGET" != kind ] || kubectl wait --for=condition=Ready --timeout=120s nodes --all >/dev/null ||
        fail "kind's nodes are not ready: make down, then make up"
}

# split_image: sets REPOSITORY and TAG from IMAGE. A digest stands where a tag does, and over one; a port is no tag.
split_image() {
    local name=${IMAGE%%@*} tag=latest
    if [[ ${name##*/} == *:* ]]; then tag=${name##*:} name=${name%:*}; fi
    REPOSITORY=$name
    case $IMAGE in
        *@*) TAG=${IMAGE#*@} IMAGE=$name@$TAG ;;
        *) TAG=$tag IMAGE=$name:$TAG ;;
    esac
}

# build_image: sets IMAGE, one the nodes can pull or are given, and its ARCHIVE where buildah makes one.
build_image() {
    local built
    IMAGE=${DATAMESH_IMAGE:-} ARCHIVE=''
    if [ -z "$IMAGE" ]; then
        say "building the image"
        built=$(scripts/image.sh "$([ "$TARGET" = kind ] && echo docker || echo buildah)")
        read -r IMAGE ARCHIVE <<<"$built"
    fi
    split_image
    # For this machine; with the programs of the image it may be there already.
    cargo build --quiet --workspace --bin datamesh --bin kubectl-datamesh
}

load_image() {
    [ -z "${DATAMESH_IMAGE:-}" ] || return 0
    case $TARGET in
        kind) kind load docker-image --name "$KIND_CLUSTER" "$IMAGE" ;;
        local) e2e/local-cluster/load "$ARCHIVE" ;;
    esac
}

apply() { kubectl apply --server-side --force-conflicts -f - >/dev/null; }

install_operator() {
    if foreign_operator; then
        say "an operator is there that is not from make up: it is used as it is"
        return
    fi
    say "installing the operator"
    apply_definition manifests/crds/datameshclusters.yaml datameshclusters.datamesh.io
    apply_definition manifests/crds/storagepools.yaml storagepools.datamesh.io
    kubectl wait --for=condition=Established --timeout=60s \
        crd/datameshclusters.datamesh.io crd/storagepools.datamesh.io >/dev/null
    make_namespace datamesh-system
    # The manifests name an image by a fixed name; what runs here is the one built here, named by its content.
    operator_manifest | sed -E "s|^( *image: *)datamesh:.*|\1\"$IMAGE\"|" | apply
    kubectl -n datamesh-system rollout status deployment --timeout=120s >/dev/null || {
        explain datamesh-system
        fail "the operator does not start"
    }
}

example_manifest() {
    sed -E -e "s|^( *repository: *)datamesh\$|\1\"$REPOSITORY\"|" -e "s|^( *tag: *)dev\$|\1\"$TAG\"|" \
        manifests/examples/cluster.yaml
}

install_example() {
    say "applying manifests/examples/cluster.yaml"
    if foreign_namespace; then
        # The first document is the namespace: it stays as its owner made it.
        example_manifest | sed '1,/^---$/d' | apply
    else
        make_namespace "$NAMESPACE"
        example_manifest | apply
    fi
}

secret_field() {
    kubectl -n "$NAMESPACE" get secret "$1" -o "jsonpath={.data.${2//./\\.}}" | base64 -d
}

write_client_files() {
    (
        umask 077
        mkdir -p "$SECRETS"
        secret_field "$CLUSTER-gateway-tls" ca.crt >"$SECRETS/ca.crt"
        secret_field "$CLUSTER-tokens" token >"$SECRETS/token"
        secret_field "$CLUSTER-tokens" admin-token >"$SECRETS/admin-token"
        cat >"$SECRETS/cli.yaml" <<YAML
server: https://$ADDRESS
serverName: $SERVICE.$NAMESPACE.svc
caFile: ca.crt
tokenFile: token
adminTokenFile: admin-token
YAML
    )
}

reachable() { timeout 2 bash -c "exec 3<>/dev/tcp/$1/$2" 2>/dev/null; }

# Sets ADDRESS: the Service's own where this machine reaches it, else a forwarded port.
find_address() {
    local ip
    ip=$(kubectl -n "$NAMESPACE" get service "$SERVICE" -o jsonpath='{.spec.clusterIP}')
    if reachable "$ip" "$PORT"; then
        ADDRESS=$ip:$PORT
        return
    fi
    stop port-forward
    start port-forward "$KUBECTL" -n "$NAMESPACE" port-forward "service/$SERVICE" ":$PORT"
    wait_for 20 port-forward "the gateway cannot be reached" grep -q '^Forwarding from 127' "$LOG/port-forward.log"
    ADDRESS=127.0.0.1:$(sed -n 's/^Forwarding from 127.0.0.1:\([0-9]*\) .*/\1/p' "$LOG/port-forward.log")
}

print_env() { printf '%s\n' "KUBECONFIG=$KUBECONFIG" "KUBECTL=$KUBECTL" "DATAMESH_CONFIG=$SECRETS/cli.yaml"; }

say_what_next() {
    local name=$SERVICE.$NAMESPACE.svc
    cat <<TEXT

DataMesh is ready. The gateway: https://$ADDRESS

  export KUBECONFIG=$KUBECONFIG
  export DATAMESH_CONFIG=$SECRETS/cli.yaml
  alias kubectl=$KUBECTL
  alias datamesh=$CARGO_TARGET_DIR/debug/datamesh

  datamesh put /usr/bin/openssl           # store a file
  datamesh get openssl /tmp/copy          # and fetch it
  datamesh status                         # how safe everything is

The same by curl:
  S=$SECRETS
  curl --cacert \$S/ca.crt --connect-to $name:$PORT:$ADDRESS -H "Authorization: Bearer \$(cat \$S/token)" \\
      -T README.md https://$name:$PORT/api/v1/files/readme

Keep a copy of the cluster's key, where the cluster is not. Without it nothing stored can be read again:
  datamesh admin key export demo-key.yaml

Remove everything, data included: make down
TEXT
}

clean_up() {
    stop_watching
    rm -rf "$WORK"
}

main() {
    WORK=$(mktemp -d)
    trap clean_up EXIT
    TARGET=$(choose_target)
    check_first
    scripts/install-deps.sh
    build_image
    say "using $(describe_target "$TARGET")"
    note_target
    bring_up_kubernetes
    load_image
    install_operator
    install_example
    wait_until_ready "$NAMESPACE" "$IMAGE" "datameshcluster/$CLUSTER" "storagepool/$POOL"
    find_address
    write_client_files
    if [ "${1:-}" = --print-env ]; then print_env; else say_what_next; fi
}

main "$@"
