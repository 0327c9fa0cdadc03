//! `kubectl datamesh`: how the clusters of a Kubernetes are, what is wrong and what to do. `kubectl datamesh help` explains it.

use std::process::ExitCode;

fn main() -> ExitCode {
    datamesh_cli::kubectl()
}
