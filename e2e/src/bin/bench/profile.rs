//! Has perf sample processes while a row is measured.

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

/// Samples a second and processor: odd, so as not to keep step with timers.
const FREQUENCY: &str = "1999";
/// Bytes of stack kept of each sample: frames are found by unwinding, since libraries keep no frame pointers.
const CALL_GRAPH: &str = "dwarf,8192";

/// Which row is sampled, and the file for it; none without `--profile`.
pub(crate) struct Profile(Option<(String, String)>);

impl Profile {
    /// Of `ROW=FILE`.
    pub(crate) fn of(text: Option<&str>) -> anyhow::Result<Self> {
        let split = |text: &str| text.split_once('=').map(|(row, file)| (row.to_owned(), file.to_owned()));
        let row = text.map(|text| split(text).context("--profile takes ROW=FILE")).transpose()?;
        Ok(Self(row))
    }

    /// Begins if this is the row; what is sampled goes over what was in the file.
    pub(crate) fn begin(&self, row: &str, pids: &[u32]) -> anyhow::Result<Sampling> {
        let Some((_, file)) = self.0.as_ref().filter(|(wanted, _)| wanted == row) else {
            return Ok(Sampling(None));
        };
        let pids = pids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let child = Command::new("perf")
            .args(["record", "--quiet", "-F", FREQUENCY, "--call-graph", CALL_GRAPH, "-p", &pids, "-o", file])
            .kill_on_drop(true)
            .spawn()
            .context("perf (Debian: linux-perf)")?;
        Ok(Sampling(Some(child)))
    }
}

/// Perf while it runs, if it was asked for.
pub(crate) struct Sampling(Option<Child>);

impl Sampling {
    pub(crate) async fn end(self) -> anyhow::Result<()> {
        let Some(mut child) = self.0 else { return Ok(()) };
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        kill_process(pid.context("perf ended early")?, Signal::INT)?;
        child.wait().await?;
        Ok(())
    }
}
