//! datamesh-operator: makes DataMeshClusters and StoragePools what their specs say.
//!
//! One controller per kind, each in five steps: dereference (read what is referred to), validate (check once),
//! build (pure), apply (server-side apply), update_status (conditions). What holds data (volumes, the cluster key) has no
//! owner and is deleted on an explicit wish only; a running pod is restarted only when its template really changed.

use std::io::{IsTerminal as _, Write as _};

use anyhow::anyhow;
use clap::{Parser, Subcommand};

mod backoff;
mod certificates;
mod cluster;
mod conditions;
mod context;
mod controllers;
mod gateway_api;
#[cfg(test)]
mod golden;
mod health;
mod meta;
mod metrics;
mod names;
mod outcome;
mod pod;
mod pool;
mod presence;
#[cfg(test)]
mod rbac;
mod report;
mod run;
mod secrets;
mod tasks;
mod volume;
mod zones;

#[derive(Parser)]
#[command(version, about = "Makes DataMeshClusters and StoragePools what their specs say")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print the custom resource definitions
    Crd,
    /// Run the operator
    Run(run::RunArgs),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        // Colours are for people; in a pod's log they are noise around every field.
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    let provider = rustls::crypto::ring::default_provider();
    provider.install_default().map_err(|_| anyhow!("another TLS provider is installed already"))?;
    match cli.command {
        Command::Crd => Ok(std::io::stdout().write_all(datamesh_crds::all_to_yaml()?.as_bytes())?),
        Command::Run(args) => run::run(args).await,
    }
}
