# shellcheck shell=bash
# Stops everything `up` started and takes back what it made on the machine, in whatever state that is. Sourced, never run.

stop_everything() {
    local name
    mapfile -t names < <(started kubelet-; started kube-proxy-; started volume-provisioner; started port-forward)
    stop "${names[@]}"
    for name in "${NODES[@]}"; do kill_pods "$name"; done
    stop_shims
    mapfile -t names < <(started '')
    stop "${names[@]}"
    unmount_all
    network_down
    for name in "${NODES[@]}"; do remove_cgroups "$name"; done
    remove_traces
}

# Shims outlive containerd by design. Ours carry the address of our containerd.
stop_shims() {
    local pid deadline=$((SECONDS + 5))
    while [ -n "$(our_shims)" ]; do
        for pid in $(our_shims); do
            if [ "$SECONDS" -ge "$deadline" ]; then kill -KILL "$pid" 2>/dev/null || true; else kill "$pid" 2>/dev/null || true; fi
        done
        sleep 0.1
    done
}

our_shims() {
    local line pid
    for line in /proc/[0-9]*/cmdline; do
        pid=${line#/proc/}
        if tr '\0' ' ' <"$line" 2>/dev/null | grep -q "^[^ ]*containerd-shim[^ ]* .*-address $STATE/"; then
            echo "${pid%/cmdline}"
        fi
    done
}

our_mounts() { awk -v inside="$STATE/" 'index($2, inside) == 1 { print $2 }' /proc/self/mounts | sort -r; }

unmount_all() {
    local place
    # A mount may hide another below it at the same place: as often as it takes.
    while place=$(our_mounts | head -n 1) && [ -n "$place" ]; do
        umount "$place" 2>/dev/null || umount --lazy "$place" || fail "cannot unmount $place"
    done
}

# What kubelet, containerd and the network plugins leave in places that cannot be moved into the state folder.
remove_traces() {
    local link
    for link in /var/log/containers/*; do
        case $(readlink "$link" 2>/dev/null) in "$STATE"/*) rm -f "$link" ;; esac
    done
    rm -f /var/lib/cni/results/dm-pods-* /var/lib/cni/cache/results/dm-pods-*
    rmdir /var/log/containers /var/lib/cni/cache/results /var/lib/cni/cache /var/lib/cni/results /var/lib/cni 2>/dev/null || true
}

# leftovers: what of the cluster can still be found on the machine, one a line.
leftovers() {
    local name
    our_mounts
    our_shims
    for name in "$CONTROL" "${NODES[@]}"; do
        [ ! -e "/run/netns/$name" ] || echo "network namespace $name"
        if ip link show "v-$name" >/dev/null 2>&1; then echo "interface v-$name"; fi
        cgroup_processes "$name"
    done
    if ip link show "$BRIDGE" >/dev/null 2>&1; then echo "interface $BRIDGE"; fi
    iptables -S FORWARD 2>/dev/null | grep -- "$RULE" || true
}
