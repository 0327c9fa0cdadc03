# shellcheck shell=bash
# Background processes by pid file. A pid file holds the pid and the process's start time, so that a pid the kernel
# gave to somebody else is never signalled. Sourced, never run.

start_time() { awk '{sub(/.*\) /, ""); print $20}' "/proc/$1/stat" 2>/dev/null; }

# start NAME COMMAND...: runs it in the background, its output in the log folder.
start() {
    local name=$1 pid
    shift
    setsid "$@" >"$LOG/$name.log" 2>&1 </dev/null &
    pid=$!
    echo "$pid $(start_time "$pid")" >"$PIDS/$name"
}

# pid_of NAME: its pid if it still runs, else nothing.
pid_of() {
    local pid started
    read -r pid started 2>/dev/null <"$PIDS/$1" || return 1
    [ -n "$started" ] && [ "$(start_time "$pid")" = "$started" ] || return 1
    echo "$pid"
}

# wait_for SECONDS NAME WHAT COMMAND...: until the command succeeds. Says why with the end of NAME's log if it does not.
wait_for() {
    local deadline=$((SECONDS + $1)) name=$2 what=$3
    shift 3
    until "$@" >/dev/null 2>&1; do
        if [ -e "$PIDS/$name" ] && ! pid_of "$name" >/dev/null; then
            show_log "$name"
            fail "$what: $name ended"
        fi
        if [ "$SECONDS" -ge "$deadline" ]; then
            show_log "$name"
            fail "$what: not in time"
        fi
        sleep 0.1
    done
}

show_log() {
    [ -s "$LOG/$1.log" ] || return 0
    say "last lines of $LOG/$1.log:"
    tail -n 20 "$LOG/$1.log" >&2
}

# stop NAME...: asks all of them to end, kills those that have not after some seconds.
stop() {
    local name pid deadline=$((SECONDS + 8)) left
    for name in "$@"; do
        if pid=$(pid_of "$name"); then kill "$pid" 2>/dev/null || true; fi
    done
    while :; do
        left=()
        for name in "$@"; do
            if pid=$(pid_of "$name"); then left+=("$pid"); else rm -f "$PIDS/$name"; fi
        done
        [ "${#left[@]}" -gt 0 ] || return 0
        if [ "$SECONDS" -ge "$deadline" ]; then kill -KILL "${left[@]}" 2>/dev/null || true; fi
        sleep 0.1
    done
}

# started PREFIX: names of the pid files that begin with it.
started() { find "$PIDS" -maxdepth 1 -type f -name "$1*" -printf '%f\n' 2>/dev/null; }
