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
    local file words
    for file in /proc/[0-9]*/cmdline; do
        { mapfile -d '' -t words <"$file"; } 2>/dev/null || continue
        [[ ${words[0]:-} == *containerd-shim* && " ${words[*]} " == *" -address $STATE/"* ]] || continue
        file=${file#/proc/}
        echo "${file%/cmdline}"
    done
}

our_mounts() { awk -v inside="$STATE/" 'index($2, inside) == 1 { print $2 }' /proc/self/mounts | sort -r; }

# All at once: each container's file system is synced to disk as it goes, and one sync serves them all.
# A mount may hold others, or hide one at the same place: as often as it takes, in the end lazily.
unmount_all() {
    local places place round=0 how=()
    while mapfile -t places < <(our_mounts) && [ "${#places[@]}" -gt 0 ]; do
        round=$((round + 1))
        [ "$round" -le 10 ] || how=(--lazy)
        [ "$round" -le 20 ] || fail "cannot unmount ${places[*]}"
        for place in "${places[@]}"; do umount "${how[@]}" "$place" 2>/dev/null & done
        wait
    done
}

# Folders the programs use that cannot be moved into the state folder. Those that were not there before `up` go again.
SHARED_FOLDERS=(/etc/cni /var/lib/cni /var/lib/kubelet /var/log/containers /usr/libexec/kubernetes /run/containerd)

note_absent_folders() {
    local folder
    [ ! -e "$STATE/absent-before" ] || return 0
    for folder in "${SHARED_FOLDERS[@]}"; do [ -e "$folder" ] || echo "$folder"; done >"$STATE/absent-before"
}

remove_traces() {
    local link result folder
    for link in /var/log/containers/*; do
        case $(readlink "$link" || true) in "$STATE"/*) rm -f "$link" ;; esac
    done
    for result in /var/lib/cni/results/dm-pods-*-eth0; do
        rm -f "$result" "$(sed 's/dm-pods-/cni-loopback-/; s/-eth0$/-lo/' <<<"$result")"
    done
    [ -e "$STATE/absent-before" ] || return 0
    while read -r folder; do
        [ -d "$folder" ] || continue
        rm -f "$folder/net.d/cni.lock" "$folder/device-plugins/kubelet.sock"
        find "$folder" -depth -type d -empty -delete
    done <"$STATE/absent-before"
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
