# shellcheck shell=bash
# One node: containerd, kubelet and kube-proxy in its network namespace, under its own folder and cgroups.
# Sourced, never run.

# node_up N: containerd, the base images, then kubelet and kube-proxy.
node_up() {
    local n=$1 name=${NODES[$1 - 1]}
    mkdir -p "$STATE/$name/cni"
    write_network_config "$n" "$name"
    write_containerd_config "$name"
    write_kubelet_config "$n" "$name"
    write_proxy_config "$name"
    make_cgroups "$name"
    start "containerd-$name" nsenter --net="/run/netns/$name" containerd -c "$STATE/$name/containerd.toml"
    wait_for 20 "containerd-$name" "containerd of $name does not answer" ctr_of "$name" version
    import_image "$name" "$PAUSE_IMAGE" "$DNS_IMAGE"
    start "kubelet-$name" nsenter --net="/run/netns/$name" "$PROGRAMS/kubelet" \
        --config="$STATE/$name/kubelet.yaml" --kubeconfig="$STATE/$name.kubeconfig" --hostname-override="$name" \
        --node-ip="$(node_ip "$n")" --root-dir="$STATE/$name/kubelet" --cert-dir="$STATE/$name/kubelet-pki" \
        --node-labels="topology.kubernetes.io/zone=${ZONES[n - 1]}"
    start "kube-proxy-$name" nsenter --net="/run/netns/$name" "$PROGRAMS/kube-proxy" \
        --config="$STATE/$name/proxy.yaml"
}

# Images and containers live in memory, about 1 GiB in all: on a disk every pod's end waits for a sync of that whole disk,
# and removing the cluster for some 50,000 files. Volumes stay on the disk.
container_storage_up() {
    mkdir -p "$CONTAINERS"
    mountpoint -q "$CONTAINERS" || mount -t tmpfs -o mode=0711 datamesh-local "$CONTAINERS"
}

ctr_of() {
    local name=$1
    shift
    ctr --address "$STATE/$name/containerd.sock" --namespace k8s.io "$@"
}

# import_image NODE ARCHIVE...
import_image() {
    local name=$1 archive
    shift
    for archive in "$@"; do
        ctr_of "$name" images import "$archive" >/dev/null || fail "$name: cannot import $archive"
    done
}

write_network_config() {
    cat >"$STATE/$2/cni/10-pods.conflist" <<JSON
{
  "cniVersion": "0.4.0",
  "name": "dm-pods",
  "plugins": [{
    "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, "hairpinMode": true,
    "ipam": {
      "type": "host-local", "dataDir": "$STATE/$2/ipam",
      "ranges": [[{"subnet": "$(pod_subnet "$1")"}]], "routes": [{"dst": "0.0.0.0/0"}]
    }
  }]
}
JSON
}

# restrict_oom_score_adj: where the capability to lower the score is missing, every sandbox fails without it.
write_containerd_config() {
    cat >"$STATE/$1/containerd.toml" <<TOML
version = 2
root = "$CONTAINERS/$1/root"
state = "$CONTAINERS/$1/run"
[grpc]
  address = "$STATE/$1/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "$CONTAINERS/$1/opt"
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  sandbox_image = "datamesh.local/pause:1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$STATE/$1/cni"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
    Root = "$CONTAINERS/$1/runc"
TOML
}

# Images are never collected: nothing here could pull them again.
write_kubelet_config() {
    cat >"$STATE/$2/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $(node_ip "$1")
authentication:
  anonymous: {enabled: false}
  x509: {clientCAFile: $STATE/pki/ca.crt}
  webhook: {enabled: true}
authorization: {mode: Webhook}
tlsCertFile: $STATE/pki/$2.crt
tlsPrivateKeyFile: $STATE/pki/$2.key
cgroupDriver: cgroupfs
cgroupRoot: /$2
failSwapOn: false
failCgroupV1: false
clusterDNS: [$DNS_IP]
clusterDomain: cluster.local
containerRuntimeEndpoint: unix://$STATE/$2/containerd.sock
podLogsDir: $STATE/$2/pods
volumePluginDir: $STATE/$2/volume-plugins
evictionHard: {memory.available: 50Mi, nodefs.available: 1%, imagefs.available: 1%}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
maxPods: 60
healthzBindAddress: 127.0.0.1
YAML
}

write_proxy_config() {
    cat >"$STATE/$1/proxy.yaml" <<YAML
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
hostnameOverride: $1
clusterCIDR: $POD_NETWORK
clientConnection: {kubeconfig: $STATE/proxy.kubeconfig}
conntrack: {maxPerCore: 0}
YAML
}
