//! Which rows are wanted, and the stores they are measured on.

use std::cell::Cell;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

use crate::load::Load;
use crate::profile::Profile;
use crate::rounds::{COMMITS, GROUP_S3_ROUNDS, ROUNDS, Round, S3_ROUNDS, USERS_ROUNDS};
use crate::server::Server;
use crate::{commits, idle, report, trouble, users};

/// Words that stand for the rows of `trouble`.
const GONE: &str = "gone";
const LOST: &str = "lost";
/// And for idle connections.
const IDLE: &str = "idle";
/// Gateways of the rows of one catalog on several.
const GROUP: u16 = 3;
/// One row takes seconds, on a slow machine minutes.
const ROW_WITHIN: Duration = Duration::from_secs(600);

/// What was asked for.
pub(crate) struct Plan {
    node: PathBuf,
    /// Of `datamesh-node dev`.
    options: Vec<OsString>,
    profile: Profile,
    wanted: String,
    /// Of how many clients and requests there is one: of all, or of ten.
    parts: usize,
    /// Rows that could not be measured.
    failed: Cell<usize>,
}

/// Takes an option and its value out of the others.
fn taken(options: &mut Vec<OsString>, name: &str) -> anyhow::Result<Option<String>> {
    let Some(at) = options.iter().position(|option| option == name) else { return Ok(None) };
    let value = options.drain(at..(at + 2).min(options.len())).nth(1);
    Ok(Some(value.with_context(|| format!("{name} needs a value"))?.to_string_lossy().into_owned()))
}

impl Plan {
    pub(crate) fn of(mut arguments: impl Iterator<Item = OsString>) -> anyhow::Result<Self> {
        let usage = "usage: bench PATH-TO-datamesh-node [--rows WORD] [--tenth] [OPTION-OF-dev...]";
        let node = arguments.next().map(PathBuf::from).context(usage)?;
        let mut options: Vec<_> = arguments.collect();
        let profile = Profile::of(taken(&mut options, "--profile")?.as_deref())?;
        let wanted = taken(&mut options, "--rows")?.unwrap_or_default();
        let all = options.len();
        options.retain(|option| option != "--tenth");
        let parts = if options.len() < all { 10 } else { 1 };
        ensure!(
            !options.iter().any(|option| option == "--gateways"),
            "--gateways: rows say how many by themselves (--rows \"at 3\")"
        );
        let plan = Self { node, options, profile, wanted, parts, failed: Cell::new(0) };
        if !plan.is_of_one() && !plan.is_of_group() {
            bail!(
                "--rows {:?}: no row has that in its name, and it is none of gone, lost, idle",
                plan.wanted
            );
        }
        Ok(plan)
    }

    pub(crate) async fn run(&self) -> anyhow::Result<()> {
        if self.is_of_one() {
            self.on_one().await.context("with one gateway")?;
        }
        if self.is_of_group() {
            self.on_group().await.context("with three gateways")?;
        }
        match self.failed.get() {
            0 => Ok(()),
            failed => bail!("{failed} rows could not be measured"),
        }
    }

    fn among<'a>(&self, rounds: &'a [Round]) -> impl Iterator<Item = &'a Round> {
        rounds.iter().filter(|round| round.name.contains(&self.wanted))
    }

    fn has(&self, rounds: &[Round]) -> bool {
        self.among(rounds).next().is_some()
    }

    fn is_part(&self, part: &str) -> bool {
        self.wanted.is_empty() || self.wanted == part
    }

    fn is_of_one(&self) -> bool {
        [ROUNDS, USERS_ROUNDS, S3_ROUNDS].into_iter().any(|rounds| self.has(rounds))
            || [GONE, LOST, IDLE].into_iter().any(|part| self.is_part(part))
    }

    fn is_of_group(&self) -> bool {
        self.has(GROUP_S3_ROUNDS) || self.has(&[COMMITS])
    }

    /// Measures a row, and prints it. Where a request is refused or there is no time left, that is printed, and other rows come all the same.
    async fn row(&self, server: &Server, load: &Load, round: &Round) -> anyhow::Result<()> {
        let round = &round.one_of(self.parts);
        let before = server.measure().await?;
        let sampling = self.profile.begin(round.name, &before.pids())?;
        let run = tokio::time::timeout(ROW_WITHIN, load.run(round)).await;
        let after = server.measure().await?;
        sampling.end().await?;
        match run.map_err(|_| anyhow::anyhow!("not over within {ROW_WITHIN:?}")).flatten() {
            Ok(timing) => report::row(round, &timing, &before, &after),
            Err(error) => {
                self.failed.set(self.failed.get() + 1);
                report::note(&format!("{:<22} failed: {error:#}", round.name));
            }
        }
        Ok(())
    }

    async fn rows(&self, server: &Server, load: &Load, rounds: &[Round]) -> anyhow::Result<()> {
        for round in self.among(rounds) {
            self.row(server, load, round).await?;
        }
        Ok(())
    }

    async fn on_one(&self) -> anyhow::Result<()> {
        let folder = tempfile::Builder::new().prefix("datamesh-bench").tempdir()?;
        let server = Server::start(&self.node, folder.path(), &self.options).await?;
        let load = Load::new(&server)?;
        self.rows(&server, &load, ROUNDS).await?;
        if self.has(S3_ROUNDS) {
            self.rows(&server, &load.over_s3(&server).await?, S3_ROUNDS).await?;
        }
        let sessions = match self.has(USERS_ROUNDS) || self.is_part(IDLE) {
            true => users::signed_in(&server, users::MANY / self.parts).await?,
            false => Vec::new(),
        };
        if self.has(USERS_ROUNDS) {
            self.rows(&server, &load.of_users(&server, &sessions), USERS_ROUNDS).await?;
        }
        if self.is_part(GONE) || self.is_part(LOST) {
            trouble::stored(&server, &load).await?;
        }
        if self.is_part(GONE) {
            trouble::gone(&server, &load).await?;
        }
        if self.is_part(LOST) {
            trouble::lost(&server, &load, &self.profile).await?;
        }
        if self.is_part(IDLE) {
            idle::connections(&server, sessions, idle::CONNECTIONS / self.parts).await?;
        }
        server.stop().await
    }

    async fn on_group(&self) -> anyhow::Result<()> {
        let folder = tempfile::Builder::new().prefix("datamesh-bench").tempdir()?;
        let mut options = self.options.clone();
        options.extend(["--gateways".into(), GROUP.to_string().into()]);
        let server = Server::start(&self.node, folder.path(), &options).await?;
        commits::until_together(&server).await?;
        let load = Load::new(&server)?;
        if self.has(GROUP_S3_ROUNDS) {
            self.rows(&server, &load.over_s3(&server).await?, GROUP_S3_ROUNDS).await?;
        }
        if self.has(&[COMMITS]) {
            let before = commits::settled(&server).await?;
            self.row(&server, &load, &COMMITS).await?;
            commits::tell(COMMITS.count / self.parts, &before, &commits::settled(&server).await?);
        }
        server.stop().await
    }
}
