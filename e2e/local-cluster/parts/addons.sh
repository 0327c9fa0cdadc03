# shellcheck shell=bash
# What runs inside the cluster before anything is installed: DNS and the default StorageClass. Sourced, never run.

addons_up() {
    kubectl_admin apply -f "$HERE/manifests" >/dev/null || fail "cannot apply $HERE/manifests"
}

wait_until_ready() {
    local name
    for name in "${NODES[@]}"; do
        wait_for 60 "kubelet-$name" "$name is not Ready" kubectl_admin wait --for=condition=Ready --timeout=1s "node/$name"
    done
    kubectl_admin -n kube-system rollout status deployment/coredns --timeout=90s >/dev/null || {
        kubectl_admin -n kube-system describe pods >&2
        fail "the cluster's DNS does not become ready"
    }
}
