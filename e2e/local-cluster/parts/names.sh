# shellcheck shell=bash
# Names, addresses and folders of the local cluster, and the few words its scripts share. Sourced, never run.
# Everything it makes on the machine carries the prefix `dm-` or lies in the state folder, so that `down` can name it.
# shellcheck disable=SC2034  # the variables are for the scripts that source this file

STATE=${DATAMESH_STATE:-/var/lib/datamesh-local}
CACHE=${DATAMESH_CACHE:-$HOME/.cache/datamesh}
PROGRAMS=$CACHE/bin/local-cluster # links by which the one Kubernetes binary is called
MARKER=$STATE/.datamesh-local     # `down` deletes no folder without it
PIDS=$STATE/pids
LOG=$STATE/log
CONTAINERS=$STATE/containers

NODES=(dm-node1 dm-node2 dm-node3 dm-node4)
ZONES=(zone-a zone-a zone-b zone-c)
CONTROL=dm-control # network namespace of etcd, the API server, the scheduler and the controller manager
IN_CONTROL=(nsenter "--net=/run/netns/$CONTROL")
BRIDGE=dm-br0
NETWORK=172.30.0.0/24
HOST_IP=172.30.0.1
CONTROL_IP=172.30.0.10
SERVICES=10.96.0.0/16
DNS_IP=10.96.0.10
API_IP=10.96.0.1
POD_NETWORK=10.244.0.0/16
API=https://$CONTROL_IP:6443
RULE=datamesh-local # comment on the firewall rules it adds

node_ip() { echo "172.30.0.1$1"; }     # of the n-th node, from 1
pod_subnet() { echo "10.244.$1.0/24"; } # of the n-th node's pods

say() { echo "local cluster: $*" >&2; }

fail() {
    say "$*"
    exit 1
}

need_root() {
    [ "$(id -u)" = 0 ] || fail "must run as root: it makes network namespaces and mounts (or use Docker and kind, or KUBECONFIG)"
}

# claim_state: the state folder is ours from here on, by the marker without which nothing is ever removed from it.
claim_state() {
    if [ -e "$STATE" ] && [ ! -e "$MARKER" ] && [ -n "$(ls -A "$STATE")" ]; then
        fail "$STATE is not empty and not from here: set DATAMESH_STATE to another folder"
    fi
    mkdir -p "$STATE"
    touch "$MARKER"
    mkdir -p "$PIDS" "$LOG"
}

kubectl_admin() { KUBECACHEDIR=$STATE/kubectl-cache "$PROGRAMS/kubectl" --kubeconfig "$STATE/admin.kubeconfig" "$@"; }

api_answers() {
    [ -x "$PROGRAMS/kubectl" ] && [ -f "$STATE/admin.kubeconfig" ] &&
        kubectl_admin --request-timeout=2s get --raw /readyz >/dev/null 2>&1
}

in_namespace() {
    local namespace=$1
    shift
    # Not `ip netns exec`: that remounts /sys and hides the cgroups.
    nsenter --net="/run/netns/$namespace" "$@"
}
