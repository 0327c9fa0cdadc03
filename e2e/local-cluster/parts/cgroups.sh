# shellcheck shell=bash
# A cgroup per node, under which the kubelet keeps its pods; by it `down` finds every process of every pod.
# Both layouts of /sys/fs/cgroup: one hierarchy (v2), or one per controller (v1). Sourced, never run.

CGROUPS=/sys/fs/cgroup

unified() { [ -e "$CGROUPS/cgroup.controllers" ]; }

# cgroup_folders NODE: where its cgroups lie, or shall lie.
cgroup_folders() {
    local folder
    if unified; then
        echo "$CGROUPS/$1"
        return
    fi
    for folder in "$CGROUPS"/*/; do [ ! -e "$folder/cgroup.procs" ] || echo "$folder$1"; done
}

make_cgroups() {
    local folder parent file controller
    cgroup_folders "$1" | while read -r folder; do
        parent=$(dirname "$folder")
        if unified; then
            for controller in $(<"$parent/cgroup.controllers"); do
                echo "+$controller" >"$parent/cgroup.subtree_control" 2>/dev/null || true
            done
        fi
        mkdir -p "$folder"
        # A v1 cpuset starts empty and takes no process until it is filled.
        for file in cpuset.cpus cpuset.mems; do
            if ! unified && [ -e "$folder/$file" ]; then cat "$parent/$file" >"$folder/$file"; fi
        done
    done
}

cgroup_processes() {
    local folder
    cgroup_folders "$1" | while read -r folder; do
        [ ! -d "$folder" ] || find "$folder" -name cgroup.procs -exec cat {} + 2>/dev/null
    done | sort -un
}

# kill_pods NODE: every process of every pod, until none is left.
kill_pods() {
    local deadline=$((SECONDS + 10)) left
    while left=$(cgroup_processes "$1") && [ -n "$left" ]; do
        # shellcheck disable=SC2086  # one word a pid
        kill -KILL $left 2>/dev/null || true
        [ "$SECONDS" -lt "$deadline" ] || fail "processes of $1 will not die: $left"
        sleep 0.05
    done
}

remove_cgroups() {
    local folder
    cgroup_folders "$1" | while read -r folder; do
        [ ! -d "$folder" ] || find "$folder" -depth -type d -exec rmdir {} + 2>/dev/null || true
    done
}
