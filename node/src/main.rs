//! `datamesh-node`: one binary, the role is the subcommand.

mod args;
mod dev;
mod gateway;
mod health;
mod logging;
mod stop;
mod storage;

use std::process::ExitCode;

use clap::Parser as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::args::{Args, RoleCommand};

/// Exit code for settings that cannot work: restarting will not help (EX_USAGE).
const EXIT_SETTINGS: u8 = 64;

fn main() -> ExitCode {
    let args = Args::parse();
    if let Err(error) = logging::start(&args.log, args.log_json) {
        eprintln!("datamesh-node: --log {:?}: {error}", args.log);
        return ExitCode::from(EXIT_SETTINGS);
    }
    if datamesh_seal::UNSEALED {
        tracing::error!("THIS BUILD STORES PLAINTEXT: it is for the blindness test alone");
    }
    raise_open_files();
    // One TLS provider for the whole process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match run(args.role) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            let settings = error.downcast_ref::<datamesh_settings::SettingsError>().is_some();
            ExitCode::from(if settings { EXIT_SETTINGS } else { 1 })
        }
    }
}

/// As many files and connections as the system lets the process have: the usual limit is one for programs that use `select`.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, "the limit of open files stays at {:?}", limit.current);
    }
}

fn run(role: RoleCommand) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        let stop = stop::on_signal()?;
        match role {
            RoleCommand::Storage(file) => storage::run(file.load()?, stop).await,
            RoleCommand::Gateway(file) => gateway::run(file.load()?, stop).await,
            RoleCommand::Dev(dev) => dev::run(dev, stop).await,
        }
    });
    // Blocking reads of a dead disk must not keep a stopped process alive.
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    outcome
}
