# shellcheck shell=bash
# etcd, API server, controller manager, scheduler: in a network namespace of their own, so no port of the host is taken.
# Sourced, never run.

control_plane_up() {
    start etcd "${IN_CONTROL[@]}" etcd --data-dir "$STATE/etcd" --unsafe-no-fsync \
        --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
        --listen-peer-urls http://127.0.0.1:2380
    start_api_server
    wait_for 60 apiserver "the API server does not answer" api_answers
    start controller-manager "${IN_CONTROL[@]}" "$PROGRAMS/kube-controller-manager" --leader-elect=false \
        --kubeconfig="$STATE/controller-manager.kubeconfig" --use-service-account-credentials=true \
        --service-account-private-key-file="$STATE/pki/sa.key" --root-ca-file="$STATE/pki/ca.crt"
    start scheduler "${IN_CONTROL[@]}" "$PROGRAMS/kube-scheduler" --leader-elect=false --kubeconfig="$STATE/scheduler.kubeconfig"
    start volume-provisioner "$PROGRAMS/volume-provisioner" \
        --kubeconfig="$STATE/admin.kubeconfig" --folder="$STATE/volumes"
}

start_api_server() {
    local pki=$STATE/pki
    start apiserver "${IN_CONTROL[@]}" "$PROGRAMS/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 \
        --advertise-address="$CONTROL_IP" --secure-port=6443 --service-cluster-ip-range="$SERVICES" \
        --client-ca-file="$pki/ca.crt" \
        --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" \
        --service-account-key-file="$pki/sa.pub" --service-account-signing-key-file="$pki/sa.key" \
        --service-account-issuer=https://kubernetes.default.svc \
        --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true \
        --kubelet-client-certificate="$pki/kubelet-client.crt" --kubelet-client-key="$pki/kubelet-client.key" \
        --kubelet-preferred-address-types=InternalIP
}
