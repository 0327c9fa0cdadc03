//! What the programs of this crate do; and their [`reference`], for what is written about them.

mod args;
mod client;
mod commands;
mod config;
mod exit;
mod failure;
mod kubectl;
mod output;
mod progress;
pub mod reference;
mod retry;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::Args;
use crate::failure::Failure;

/// The program `datamesh`.
pub fn datamesh() -> ExitCode {
    ended(run(commands::run(Args::parse())))
}

/// The program `kubectl-datamesh`, which kubectl runs for `kubectl datamesh`.
pub fn kubectl() -> ExitCode {
    ended(run(kubectl::run(kubectl::KubectlArgs::parse())))
}

fn ended(outcome: Result<ExitCode, Failure>) -> ExitCode {
    outcome.unwrap_or_else(|failure| {
        output::note(&failure.to_string());
        failure.exit().into()
    })
}

/// Runs a command to its end, or until somebody interrupts it.
fn run(command: impl Future<Output = Result<ExitCode, Failure>>) -> Result<ExitCode, Failure> {
    // One provider for all TLS of the process; a second installation only happens in tests and changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            outcome = command => outcome,
            _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted),
        }
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_arguments_are_consistent() {
        crate::args::Args::command().debug_assert();
        crate::kubectl::KubectlArgs::command().debug_assert();
    }
}
