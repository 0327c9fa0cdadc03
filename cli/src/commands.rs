//! One file per command.

mod admin;
mod audit;
mod backup;
mod buckets;
mod cp;
mod du;
mod email;
mod files;
mod find;
mod fsck;
mod get;
mod groups;
mod identities;
mod invites;
mod jobs;
mod keys;
mod login;
mod ls;
mod man;
mod mesh;
pub(crate) mod node;
mod put;
mod rm;
mod second_factor;
mod shares;
mod shreds;
mod status;
mod sync;
mod tokens;
mod trash;
mod users;
mod versions;
mod zip;

use std::process::ExitCode;
use std::time::Duration;

use clap::CommandFactory as _;
use serde::Serialize;

use crate::args::{
    AdminCommand, Args, Command, Format, Global, JobsCommand, KeyCommand, MeshCommand, NodeCommand,
};
use crate::client::Client;
use crate::config::Config;
use crate::failure::Failure;
use crate::output;
use crate::retry::Patience;

pub(crate) use find::{Age, Size};
pub(crate) use sync::Direction;

/// What every command needs: who to ask and how to show it.
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) server: String,
    pub(crate) bucket: String,
    pub(crate) json: bool,
    pub(crate) quiet: bool,
}

impl Session {
    pub(crate) fn open(global: &Global) -> Result<Self, Failure> {
        let config = Config::load(global)?;
        let server = config.server.clone();
        let patience = Patience(Duration::from_secs(global.retry_seconds));
        let client = Client::new(config, &global.bucket, patience)?;
        let json = global.output == Format::Json;
        Ok(Self { client, server, bucket: global.bucket.clone(), json, quiet: global.quiet })
    }

    /// Prints a result: one JSON document for programs, words for people.
    pub(crate) fn show(
        &self,
        result: &impl Serialize,
        words: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<ExitCode, Failure> {
        if self.json {
            output::json(result)?
        } else {
            words()?
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Runs one command.
pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let session = || Session::open(&args.global);
    match args.command {
        Command::Files(command) => files::run(&session()?, command).await,
        Command::Shreds { id: Some(id), forget: true } => shreds::forget(&session()?, &id).await,
        Command::Shreds { id, .. } => shreds::show(&session()?, id).await,
        Command::Buckets { command } => buckets::run(&session()?, command).await,
        Command::Jobs { command } => jobs::run(&session()?, command.unwrap_or(JobsCommand::List)).await,
        Command::Backup { command } => backup::run(&session()?, command).await,
        Command::Status => status::run(&session()?).await,
        Command::Node { command: NodeCommand::Status { node, pool } } => {
            node::status(&session()?, node, pool).await
        }
        Command::Node { command: NodeCommand::Drain { node, pool, no_wait } } => {
            node::drain(&session()?, node::Which { node, pool }, !no_wait).await
        }
        Command::Node { command: NodeCommand::Undrain { node, pool } } => {
            node::undrain(&session()?, node::Which { node, pool }).await
        }
        Command::Node { command: NodeCommand::Replace { node, pool, volume_is_lost } } => {
            node::replace(&session()?, node::Which { node, pool }, volume_is_lost).await
        }
        Command::Mesh { command: MeshCommand::Status } => mesh::status(&session()?).await,
        Command::Mesh { command: MeshCommand::Diagnose } => mesh::diagnose(&session()?).await,
        Command::Fsck(how) => fsck::run(&session()?, how).await,
        Command::Keys { command } => keys::run(&session()?, command).await,
        Command::Login { oidc: Some(provider), .. } => login::at_provider(&session()?, &provider).await,
        Command::Login { token: true, stdin, .. } => login::by_token(&session()?, stdin).await,
        Command::Login { name, code, stdin, .. } => {
            let name = name.unwrap_or_default();
            login::login(&session()?, &name, (login::Secrets::of(stdin), code)).await
        }
        Command::Register { name, invite, email, stdin } => {
            let newcomer = login::Newcomer { name: &name, invited: invite, email: email.as_deref() };
            login::register(&session()?, newcomer, login::Secrets::of(stdin)).await
        }
        Command::SecondFactor { command } => second_factor::run(&session()?, command).await,
        Command::Groups { command } => groups::run(&session()?, command).await,
        Command::Invites { command } => invites::run(&session()?, command).await,
        Command::Whoami => identities::whoami(&session()?).await,
        Command::Identities { command } => identities::run(&session()?, command).await,
        Command::Logout => login::logout(&session()?).await,
        Command::Email { confirm: true, stdin, .. } => {
            email::confirm(&session()?, login::Secrets::of(stdin)).await
        }
        Command::Email { address, stdin, .. } => {
            email::change(&session()?, &address.unwrap_or_default(), login::Secrets::of(stdin)).await
        }
        Command::Password { forgotten: Some(name), .. } => login::forgotten(&session()?, &name).await,
        Command::Password { stdin, .. } => login::password(&session()?, login::Secrets::of(stdin)).await,
        Command::Sessions { command } => tokens::of_sessions(&session()?, command).await,
        Command::Tokens { command } => tokens::run(&session()?, command).await,
        Command::Shares { command } => shares::run(&session()?, command).await,
        Command::Trash { command } => trash::run(&session()?, command).await,
        Command::Users { command } => users::run(&session()?, command).await,
        Command::Audit { command } => audit::run(&session()?, command).await,
        Command::Admin { command: AdminCommand::Key { command: KeyCommand::Export { file } } } => {
            admin::export_key(&session()?, file).await
        }
        Command::Man { folder } => man::run(args.global.output == Format::Json, folder.as_deref()),
        Command::Completion { shell } => Ok(complete(shell)),
    }
}

fn complete(shell: clap_complete::Shell) -> ExitCode {
    clap_complete::generate(shell, &mut Args::command(), "datamesh", &mut std::io::stdout());
    ExitCode::SUCCESS
}
