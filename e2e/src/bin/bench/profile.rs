//! Has perf sample processes while a row is measured.

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

/// Samples a second and processor: odd, so as not to keep step with timers.
const FREQUENCY: &str = "1999";
/// Bytes of stack kept of each sample: frames are found by unwinding, since libraries keep no frame pointers.
const CALL_GRAPH: &str = "dwarf,8192";

pub(crate) struct Sampling(Child);

impl Sampling {
    /// Begins; what is sampled goes to `file`, over what was there.
    pub(crate) fn of(pids: &[u32], file: &str) -> anyhow::Result<Self> {
        let pids = pids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let child = Command::new("perf")
            .args(["record", "--quiet", "-F", FREQUENCY, "--call-graph", CALL_GRAPH, "-p", &pids, "-o", file])
            .kill_on_drop(true)
            .spawn()
            .context("perf (Debian: linux-perf)")?;
        Ok(Self(child))
    }

    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        let pid = self.0.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        kill_process(pid.context("perf ended early")?, Signal::INT)?;
        self.0.wait().await?;
        Ok(())
    }
}
