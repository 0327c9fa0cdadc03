//! The `datamesh` program, as an administrator runs it.

use std::ffi::OsStr;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};

use crate::cluster::Cluster;

impl Cluster {
    /// Runs `datamesh` against the example's gateway and gives what it printed.
    ///
    /// # Errors
    /// It fails; the message holds what it said.
    pub async fn datamesh<S: AsRef<OsStr>>(&self, args: &[S]) -> anyhow::Result<String> {
        let door = self.gateway().await?;
        let access = door.gateway.access().clone();
        let output = tokio::process::Command::new(self.program("datamesh")?)
            .args(args)
            .env("DATAMESH_CONFIG", &self.client_config)
            .env("DATAMESH_SERVER", format!("https://{}", access.address))
            .env("DATAMESH_TOKEN", access.token)
            .env("DATAMESH_ADMIN_TOKEN", access.admin_token)
            .kill_on_drop(true)
            .output()
            .await?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "datamesh: {}: {said}", output.status);
        Ok(String::from_utf8(output.stdout)?)
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
