# shellcheck shell=bash
# Where build output and what was downloaded are kept, outside of the clone. Sourced, never run.

CACHE=${DATAMESH_CACHE:-$HOME/.cache/datamesh}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$CACHE/target}
