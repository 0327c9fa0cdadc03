//! A port of this machine that leads into the cluster, by `kubectl port-forward`.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;
use tokio::task::JoinSet;

use crate::kubectl::Kubectl;

/// From the start of kubectl to the line that names the port.
const START_TIMEOUT: Duration = Duration::from_secs(20);

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
    /// kubectl does not start, or names no port in time.
    pub async fn start(kubectl: &Kubectl, namespace: &str, service: &str, port: u16) -> anyhow::Result<Self> {
        let (service, port) = (format!("service/{service}"), format!(":{port}"));
        let mut child = kubectl.start(&["-n", namespace, "port-forward", &service, &port])?;
        let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
        let line = tokio::time::timeout(START_TIMEOUT, lines.next_line()).await??;
        let named = line.as_deref().and_then(|line| line.strip_prefix("Forwarding from ")?.split(' ').next());
        let address = named.context("kubectl forwards no port")?.parse()?;
        let mut drain = JoinSet::new();
        drain.spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { address, _kubectl: child, _drain: drain })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// Prints far more than a pipe holds, as kubectl does in the course of a thousand connections.
    const TALKATIVE: &str = "#!/bin/sh
echo 'Forwarding from 127.0.0.1:4711 -> 8443'
for n in $(seq 5000); do echo 'Handling connection for 4711'; done
";

    #[tokio::test]
    async fn what_kubectl_goes_on_to_print_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("kubectl");
        std::fs::write(&program, TALKATIVE).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let kubectl = Kubectl::new(program, "none".into());
        let mut forward = Forward::start(&kubectl, "n", "s", 8443).await.unwrap();
        assert_eq!(forward.address.port(), 4711);
        let ended = tokio::time::timeout(START_TIMEOUT, forward._kubectl.wait()).await.unwrap().unwrap();
        assert!(ended.success(), "{ended}");
    }
}
