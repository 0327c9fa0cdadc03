#!/usr/bin/env bash
# Brings up DataMesh with an example cluster and says how to store a file in it. Safe to run again: what is there is
# updated. Uses the Kubernetes of KUBECONFIG, else kind where Docker and kind are there, else one on this machine.
#   up.sh [--print-env]   with the option: KUBECONFIG, KUBECTL and DATAMESH_CONFIG as lines for a program, not for people
#   DATAMESH_IMAGE   an image the cluster of KUBECONFIG can pull; without it the image is built here
#   DATAMESH_STATE   where notes, logs and the client's configuration go (and the local cluster's data)
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source-path=SCRIPTDIR source=target.sh
source scripts/target.sh
# shellcheck source-path=SCRIPTDIR source=progress.sh
source scripts/progress.sh

NAMESPACE=datamesh
CLUSTER=demo
# shellcheck disable=SC2034  # for progress.sh
READY_SECONDS=300
SERVICE=$CLUSTER-gateway
PORT=8443
SECRETS=$STATE/secrets

bring_up_kubernetes() {
    case $1 in
        local) e2e/local-cluster/up >/dev/null ;;
        kind)
            mkdir -p "$STATE"
            kind get clusters 2>/dev/null | grep -qx "$KIND_CLUSTER" ||
                kind create cluster --name "$KIND_CLUSTER" --config scripts/kind.yaml --wait 120s
            kind get kubeconfig --name "$KIND_CLUSTER" >"$STATE/kind.kubeconfig"
            ;;
        given)
            mkdir -p "$STATE"
            ln -sfn "$(realpath "${KUBECONFIG%%:*}")" "$GIVEN_KUBECONFIG"
            ;;
    esac
    mkdir -p "$PIDS" "$LOG"
    touch "$MARKER"
    echo "$1" >"$TARGET_FILE"
}

# provide_image TARGET: sets IMAGE, an image the nodes have or can pull.
provide_image() {
    local built archive
    IMAGE=${DATAMESH_IMAGE:-}
    [ -z "$IMAGE" ] || return 0
    [ "$1" != given ] || fail "KUBECONFIG is set: also set DATAMESH_IMAGE to an image that cluster can pull (scripts/image.sh builds one)"
    say "building the image"
    built=$(scripts/image.sh "$([ "$1" = kind ] && echo docker || echo buildah)")
    read -r IMAGE archive <<<"$built"
    case $1 in
        kind) kind load docker-image --name "$KIND_CLUSTER" "$IMAGE" ;;
        local) e2e/local-cluster/load "$archive" ;;
    esac
}

# The manifests name an image by a fixed name; what runs here is the one built here, named by its content.
operator_manifest() { sed -E "s|^( *image: *)datamesh:.*|\1\"$IMAGE\"|" manifests/install.yaml; }

example_manifest() {
    sed -E -e "s|^( *repository: *)datamesh\$|\1\"${IMAGE%:*}\"|" -e "s|^( *tag: *)dev\$|\1\"${IMAGE##*:}\"|" \
        manifests/examples/cluster.yaml
}

install() {
    say "installing the operator"
    operator_manifest | kubectl apply --server-side --force-conflicts -f - >/dev/null
    kubectl wait --for=condition=Established --timeout=60s \
        crd/datameshclusters.datamesh.io crd/storagepools.datamesh.io >/dev/null
    kubectl -n datamesh-system rollout status deployment --timeout=120s >/dev/null || {
        explain datamesh-system
        fail "the operator does not start"
    }
    say "applying manifests/examples/cluster.yaml"
    kubectl create namespace "$NAMESPACE" --dry-run=client -o yaml | kubectl apply --server-side -f - >/dev/null
    example_manifest | kubectl apply --server-side --force-conflicts -f - >/dev/null
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
  alias datamesh=${CARGO_TARGET_DIR:-$CACHE/target}/debug/datamesh

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

main() {
    local target
    [ -f manifests/install.yaml ] || fail "manifests/install.yaml is missing: make generate"
    scripts/install-deps.sh
    target=$(choose_target)
    say "using $(describe_target "$target")"
    bring_up_kubernetes "$target"
    use_target "$target"
    provide_image "$target"
    install
    wait_until_ready "$NAMESPACE" "datameshcluster/$CLUSTER" storagepool/main
    find_address
    write_client_files
    if [ "${1:-}" = --print-env ]; then print_env; else say_what_next; fi
}

main "$@"
