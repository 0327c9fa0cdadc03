//! A port of this machine that leads into the cluster, by `kubectl port-forward`.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::process::Child;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::kubectl::Kubectl;

/// From the start of kubectl to the line that names the port.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// kubectl takes any pod of a Service, and ends where that one is just being replaced: it is started again for so long.
const AGAIN_TIMEOUT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_secs(1);

/// A forwarded port; it ends with this.
pub struct Forward {
    /// Where the port is.
    pub address: SocketAddr,
    _kubectl: Child,
    /// Reads on: kubectl prints a line for every connection, and would die of the next one with nobody reading, or stand
    /// still with a full pipe.
    _drain: JoinSet<()>,
}

impl Forward {
    /// Forwards a port that the system chooses to `port` of a Service.
    ///
    /// # Errors
    /// kubectl does not start, or names no port in time, in its own words.
    pub async fn start(kubectl: &Kubectl, namespace: &str, service: &str, port: u16) -> anyhow::Result<Self> {
        let (service, port) = (format!("service/{service}"), format!(":{port}"));
        let args = ["-n", namespace, "port-forward", &service, &port];
        let until = Instant::now() + AGAIN_TIMEOUT;
        loop {
            match Self::once(kubectl, &args).await {
                Err(error) if Instant::now() < until => eprintln!("{error:#}; once more"),
                ended => return ended,
            }
            sleep(PAUSE).await;
        }
    }

    async fn once(kubectl: &Kubectl, args: &[&str]) -> anyhow::Result<Self> {
        let mut child = kubectl.start(args)?;
        let mut errors = child.stderr.take().context("no output of errors")?;
        let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
        let line =
            timeout(START_TIMEOUT, lines.next_line()).await.context("kubectl names no port in time")??;
        let named = line.as_deref().and_then(|line| line.strip_prefix("Forwarding from ")?.split(' ').next());
        let Some(address) = named else {
            let mut said = String::new();
            let _ = timeout(START_TIMEOUT, errors.read_to_string(&mut said)).await;
            anyhow::bail!("kubectl forwards no port: {}", said.trim());
        };
        let address = address.parse()?;
        let mut drain = JoinSet::new();
        drain.spawn(read_away(lines.into_inner()));
        drain.spawn(read_away(errors));
        Ok(Self { address, _kubectl: child, _drain: drain })
    }
}

/// Reads to the end.
async fn read_away(mut output: impl AsyncRead + Unpin) {
    let _ = tokio::io::copy(&mut output, &mut tokio::io::sink()).await;
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::*;

    /// Prints far more than a pipe holds, as kubectl does in the course of a thousand connections.
    const TALKATIVE: &str = "#!/bin/sh
echo 'Forwarding from 127.0.0.1:4711 -> 8443'
for n in $(seq 5000); do echo 'Handling connection for 4711'; done
";

    fn kubectl(folder: &Path, script: &str) -> Kubectl {
        let program = folder.join("kubectl");
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        Kubectl::new(program, "none".into())
    }

    /// Fails once, as where the pod it took is being replaced.
    #[tokio::test]
    async fn kubectl_is_started_again() {
        let folder = tempfile::tempdir().unwrap();
        let script = "#!/bin/sh
cd \"$(dirname \"$0\")\" || exit
if mkdir failed 2>/dev/null; then echo 'error: pod is not running' >&2; exit 1; fi
echo 'Forwarding from 127.0.0.1:4711 -> 8443'
";
        let kubectl = kubectl(folder.path(), script);
        let forward = Forward::start(&kubectl, "n", "s", 8443).await.unwrap();
        assert_eq!(forward.address.port(), 4711);
        assert!(folder.path().join("failed").exists());
    }

    #[tokio::test]
    async fn what_kubectl_goes_on_to_print_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let kubectl = kubectl(folder.path(), TALKATIVE);
        let mut forward = Forward::start(&kubectl, "n", "s", 8443).await.unwrap();
        assert_eq!(forward.address.port(), 4711);
        let ended = tokio::time::timeout(START_TIMEOUT, forward._kubectl.wait()).await.unwrap().unwrap();
        assert!(ended.success(), "{ended}");
    }
}
