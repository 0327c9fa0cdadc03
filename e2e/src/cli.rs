//! The `datamesh` program, as an administrator runs it.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Output;

use anyhow::{Context as _, ensure};
use tokio::process::Command;

use crate::cluster::{Cluster, NAMESPACE};

impl Cluster {
    /// Runs `datamesh` against the example's gateway and gives what it printed.
    ///
    /// # Errors
    /// It fails; the message holds what it said.
    pub async fn datamesh<S: AsRef<OsStr>>(&self, args: &[S]) -> anyhow::Result<String> {
        let mut command = self.for_administrators("datamesh").await?;
        let output = command.args(args).output().await?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "datamesh: {}: {said}", output.status);
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Runs `kubectl datamesh` in the example's namespace, and gives its output whatever its exit code.
    ///
    /// # Errors
    /// It does not start.
    pub async fn kubectl_datamesh<S: AsRef<OsStr>>(&self, args: &[S]) -> anyhow::Result<Output> {
        let mut command = self.for_administrators("kubectl-datamesh").await?;
        command.args(args).args(["-n", NAMESPACE]).env("KUBECONFIG", self.kubeconfig());
        Ok(command.output().await?)
    }

    async fn for_administrators(&self, program: &str) -> anyhow::Result<Command> {
        let access = self.gateway().await?.gateway.access().clone();
        let mut command = Command::new(self.program(program)?);
        command
            .env("DATAMESH_CONFIG", &self.client_config)
            .env("DATAMESH_SERVER", format!("https://{}", access.address))
            .env("DATAMESH_TOKEN", access.token)
            .env("DATAMESH_ADMIN_TOKEN", access.admin_token)
            .kill_on_drop(true);
        Ok(command)
    }

    /// A program for administrators beside this test, where `up.sh` built it.
    ///
    /// # Errors
    /// It is not there.
    pub fn program(&self, name: &str) -> anyhow::Result<PathBuf> {
        let this = std::env::current_exe()?;
        let folder = this.ancestors().nth(2).context("no target folder")?;
        let program = folder.join(name);
        ensure!(program.is_file(), "{} is not built", program.display());
        Ok(program)
    }
}
