#!/usr/bin/env bash
# Every check: first what tells the most, last what a run that is short of time may leave out. Prints the minutes of each step and their sum.
#   scripts/test.sh          everything `make test` promises
#   scripts/test.sh --long   also what does not fit into its time
set -euo pipefail
cd "$(dirname "$0")/.."

started=$SECONDS
summary=()

step() { # name, command...
    local name=$1 from=$SECONDS
    shift
    printf '\n==> %s\n' "$name"
    if ! "$@"; then
        printf '\n%s FAILED after %s\n' "$name" "$(minutes $((SECONDS - from)))" >&2
        exit 1
    fi
    summary+=("$(printf '%-34s %s' "$name" "$(minutes $((SECONDS - from)))")")
}

minutes() { printf '%d min %02d s' $(($1 / 60)) $(($1 % 60)); }

# Runs that have to end say until when further steps may begin (DATAMESH_UNTIL, in Unix seconds): a machine that is too slow for all
# checks the first, and is told what it left out.
step_in_time() { # name, command...
    if [ -n "${DATAMESH_UNTIL:-}" ] && [ "$(date +%s)" -gt "$DATAMESH_UNTIL" ]; then
        printf '\n==> %s: LEFT OUT, the time is up (DATAMESH_UNTIL)\n' "$1"
        summary+=("$(printf '%-34s %s' "$1" "LEFT OUT, the time is up")")
    else
        step "$@"
    fi
}

e2e_wanted() { [ "${DATAMESH_SKIP_E2E:-}" != 1 ]; }

step "formatting" cargo fmt --all --check
step "compile" cargo build --quiet --workspace --all-targets
step "licences and sources" scripts/deny.sh
step "unit and process tests" cargo test --quiet --workspace --no-fail-fast
step_in_time "clippy, warnings as errors" cargo clippy --quiet --workspace --all-targets -- -D warnings
step_in_time "fuzzing every decoder, briefly" scripts/fuzz.sh
step_in_time "blindness, with sealing off" scripts/blindness.sh
if e2e_wanted; then
    step_in_time "end-to-end on Kubernetes" scripts/e2e.sh
else
    echo "end-to-end tests left out: DATAMESH_SKIP_E2E=1"
fi

printf '\n'
printf '%s\n' "${summary[@]}"
printf '%-34s %s\n' "all" "$(minutes $((SECONDS - started)))"
