//! `datamesh`: files in a DataMesh cluster from the command line. `datamesh help` explains every command.

use std::process::ExitCode;

fn main() -> ExitCode {
    datamesh_cli::datamesh()
}
