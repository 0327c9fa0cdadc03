# shellcheck shell=bash
# One bridge; one network namespace for the control plane and one per node. The host reaches pods and services too.
# Sourced, never run.

network_up() {
    local i name
    if [ -n "$(ip -4 route show "$NETWORK" | grep -v "dev $BRIDGE" || true)" ]; then
        fail "$NETWORK is in use on this machine by: $(ip -4 route show "$NETWORK")"
    fi
    ip link show "$BRIDGE" >/dev/null 2>&1 || ip link add "$BRIDGE" type bridge
    ip addr replace "$HOST_IP/24" dev "$BRIDGE"
    ip link set "$BRIDGE" up
    allow_forwarding
    attach "$CONTROL" "$CONTROL_IP"
    for i in "${!NODES[@]}"; do attach "${NODES[i]}" "$(node_ip $((i + 1)))"; done
    for name in "$CONTROL" "${NODES[@]}"; do route_pods "$name" in_namespace "$name"; done
    route_pods host env
    # The first node's kube-proxy answers for services; it rewrites the source of what comes from outside the pods.
    ip route replace "$SERVICES" via "$(node_ip 1)"
}

# attach NAMESPACE ADDRESS: the namespace, with eth0 on the bridge.
attach() {
    local name=$1 address=$2 outside=v-$1
    [ -e "/run/netns/$name" ] || ip netns add "$name"
    if ! ip link show "$outside" >/dev/null 2>&1; then
        ip link add "$outside" type veth peer name eth0 netns "$name"
    fi
    ip link set "$outside" master "$BRIDGE" up
    in_namespace "$name" ip link set lo up
    in_namespace "$name" ip addr replace "$address/24" dev eth0
    in_namespace "$name" ip link set eth0 up
    in_namespace "$name" ip route replace default via "$HOST_IP"
    in_namespace "$name" sysctl -qw net.ipv4.ip_forward=1
}

# route_pods NAME PREFIX...: routes to the other nodes' pods; PREFIX runs a command in the place meant.
route_pods() {
    local name=$1 i
    shift
    for i in "${!NODES[@]}"; do
        [ "${NODES[i]}" = "$name" ] || "$@" ip route replace "$(pod_subnet $((i + 1)))" via "$(node_ip $((i + 1)))"
    done
}

# Where bridged traffic passes the host's firewall, one that drops by default (Docker's) would part the nodes.
allow_forwarding() {
    local direction
    for direction in -i -o; do
        iptables -C FORWARD "$direction" "$BRIDGE" -m comment --comment "$RULE" -j ACCEPT 2>/dev/null ||
            iptables -I FORWARD "$direction" "$BRIDGE" -m comment --comment "$RULE" -j ACCEPT
    done
}

network_down() {
    local direction name
    for direction in -i -o; do
        while iptables -D FORWARD "$direction" "$BRIDGE" -m comment --comment "$RULE" -j ACCEPT 2>/dev/null; do :; done
    done
    for name in "$CONTROL" "${NODES[@]}"; do
        ip link del "v-$name" 2>/dev/null || true
        [ ! -e "/run/netns/$name" ] || ip netns del "$name"
    done
    ip link del "$BRIDGE" 2>/dev/null || true
    # `ip netns` makes this folder a mount of its own.
    if [ -d /run/netns ] && [ -z "$(ls -A /run/netns)" ]; then
        umount /run/netns 2>/dev/null || true
        rmdir /run/netns 2>/dev/null || true
    fi
}
