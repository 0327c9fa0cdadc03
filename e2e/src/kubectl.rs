//! kubectl as a child process, for what the API client does not do: exec, apply of whole files, logs, port-forward.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

/// No call takes longer, or something hangs.
const CALL_TIMEOUT: Duration = Duration::from_secs(120);

/// The program and the cluster it speaks to.
#[derive(Clone, Debug)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
}

impl Kubectl {
    /// `program` speaks to the cluster of `kubeconfig`.
    #[must_use]
    pub fn new(program: PathBuf, kubeconfig: PathBuf) -> Self {
        Self { program, kubeconfig }
    }

    /// A command of kubectl, not started yet; it ends with the handle.
    fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = Command::new(&self.program);
        command.env("KUBECONFIG", &self.kubeconfig).args(args).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs it and gives its output, whatever its exit code.
    ///
    /// # Errors
    /// It does not start or does not end in time.
    pub async fn output<S: AsRef<OsStr>>(&self, args: &[S]) -> anyhow::Result<Output> {
        let ended = tokio::time::timeout(CALL_TIMEOUT, self.command(args).output()).await;
        ended.context("kubectl hangs")?.context("kubectl does not start")
    }

    /// Runs it and gives what it printed.
    ///
    /// # Errors
    /// It fails; the message holds what it printed.
    pub async fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> anyhow::Result<String> {
        text_of(self.output(args).await?)
    }

    /// Runs a program in a pod.
    ///
    /// # Errors
    /// It fails; the message holds what it printed.
    pub async fn exec(&self, namespace: &str, pod: &str, command: &[&str]) -> anyhow::Result<String> {
        let args = [&["-n", namespace, "exec", pod, "--"], command].concat();
        self.run(&args).await.with_context(|| format!("in pod {pod}"))
    }

    /// Applies a manifest and gives kubectl's own answer, refusals included.
    ///
    /// # Errors
    /// It does not run.
    pub async fn try_apply(&self, manifest: &str, options: &[&str]) -> anyhow::Result<Output> {
        let args = [&["apply", "-f", "-"], options].concat();
        let mut child = self.command(&args).stdin(Stdio::piped()).spawn()?;
        let mut stdin = child.stdin.take().context("no stdin")?;
        stdin.write_all(manifest.as_bytes()).await?;
        drop(stdin);
        Ok(tokio::time::timeout(CALL_TIMEOUT, child.wait_with_output()).await.context("kubectl hangs")??)
    }

    /// Applies a manifest.
    ///
    /// # Errors
    /// The cluster refuses it; the message says why.
    pub async fn apply(&self, manifest: &str) -> anyhow::Result<String> {
        text_of(self.try_apply(manifest, &[]).await?)
    }

    /// Starts a command that goes on until the child is dropped; both its outputs are to be read.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(&self, args: &[&str]) -> anyhow::Result<Child> {
        Ok(self.command(args).stderr(Stdio::piped()).spawn()?)
    }
}

fn text_of(output: Output) -> anyhow::Result<String> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("kubectl: {}\n{text}{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(text)
}
