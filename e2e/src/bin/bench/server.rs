//! The store under test: `datamesh-node dev --processes` in a folder of its own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use datamesh_e2e::signed::Signer;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::cpu::{self, Usage};

/// Ports of the benchmark, apart from those of `make dev`.
pub(crate) const HTTPS_PORT: u16 = 18443;
const BASE_PORT: u16 = 18100;
/// The gateway's health port: third of its four.
const METRICS_PORT: u16 = BASE_PORT + 2;
const READY_WITHIN: Duration = Duration::from_secs(60);

pub(crate) struct Server {
    child: Child,
    pub(crate) pid: u32,
    pub(crate) folder: PathBuf,
    http: reqwest::Client,
    /// Of the gateway's API.
    pub(crate) api: reqwest::Client,
}

/// What all server processes have used so far.
pub(crate) struct Measured {
    pub(crate) processes: Vec<Usage>,
    /// CPU-seconds by pipeline stage, as the gateway counts them.
    pub(crate) stages: BTreeMap<String, f64>,
}

impl Measured {
    pub(crate) fn cpu_seconds(&self) -> f64 {
        self.processes.iter().map(|process| process.cpu_seconds).sum()
    }

    pub(crate) fn pids(&self) -> Vec<u32> {
        self.processes.iter().map(|process| process.pid).collect()
    }

    /// Peak memory of the gateway, and of the storage node that used most, in MiB.
    pub(crate) fn peaks(&self) -> (f64, f64) {
        let is_gateway = |process: &&Usage| process.name.starts_with("gateway");
        let most = |all: &mut dyn Iterator<Item = &Usage>| all.map(|one| one.peak_mib).fold(0.0, f64::max);
        let nodes = |process: &&Usage| process.name.starts_with("node");
        (most(&mut self.processes.iter().filter(is_gateway)), most(&mut self.processes.iter().filter(nodes)))
    }
}

impl Server {
    /// Starts the store and waits until it says that it is ready.
    pub(crate) async fn start(node: &Path, folder: &Path, options: &[OsString]) -> anyhow::Result<Self> {
        let log = std::fs::File::create(folder.join("log"))?;
        let mut child = Command::new(node)
            .args(["--log", "warn", "dev", "--processes"])
            .args(["--https-port", &HTTPS_PORT.to_string(), "--base-port", &BASE_PORT.to_string()])
            .arg("--data")
            .arg(folder.join("data"))
            .args(options)
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().context("ended at once")?;
        let mut lines = BufReader::new(child.stdout.take().context("standard output")?).lines();
        let ready = async {
            while let Some(line) = lines.next_line().await? {
                if line.contains("is ready") {
                    return Ok(());
                }
            }
            anyhow::bail!("datamesh-node ended before it was ready")
        };
        tokio::time::timeout(READY_WITHIN, ready).await.context("not ready in time")??;
        let certificate = std::fs::read(folder.join("data/secrets/ca.crt"))?;
        let certificate = reqwest::Certificate::from_pem(&certificate)?;
        let api = reqwest::Client::builder().tls_certs_only([certificate]).build()?;
        Ok(Self { child, pid, folder: folder.into(), http: reqwest::Client::new(), api })
    }

    pub(crate) fn url(&self) -> String {
        format!("https://127.0.0.1:{HTTPS_PORT}/api/v1")
    }

    /// Signs requests of S3 with the key pair that `dev` made.
    pub(crate) fn signer(&self) -> anyhow::Result<Signer> {
        let credentials = self.secret("aws-credentials")?;
        let field = |name: &str| {
            let line = credentials.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
            line.map(str::to_owned).with_context(|| format!("no {name} among the credentials"))
        };
        let host = format!("127.0.0.1:{}", BASE_PORT + 3);
        Ok(Signer::new(host, field("aws_access_key_id")?, field("aws_secret_access_key")?))
    }

    pub(crate) fn secret(&self, name: &str) -> anyhow::Result<String> {
        let path = self.folder.join("data/secrets").join(name);
        std::fs::read_to_string(&path).with_context(|| path.display().to_string())
    }

    pub(crate) fn token(&self) -> anyhow::Result<String> {
        self.secret("token")
    }

    pub(crate) fn certificate(&self) -> anyhow::Result<String> {
        self.secret("ca.crt")
    }

    pub(crate) async fn measure(&self) -> anyhow::Result<Measured> {
        let text =
            self.http.get(format!("http://127.0.0.1:{METRICS_PORT}/metrics")).send().await?.text().await?;
        let stages = text.lines().filter_map(stage).collect();
        Ok(Measured { processes: cpu::tree(self.pid)?, stages })
    }

    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let pid = i32::try_from(self.pid).ok().and_then(rustix::process::Pid::from_raw).context("pid")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        self.child.wait().await?;
        Ok(())
    }
}

/// `datamesh_gateway_cpu_seconds_total{stage="seal"} 1.5` as ("seal", 1.5).
fn stage(line: &str) -> Option<(String, f64)> {
    let (name, value) = line.rsplit_once(' ')?;
    let (metric, labels) = name.split_once('{')?;
    if metric != "datamesh_gateway_cpu_seconds_total" {
        return None;
    }
    let stage = labels.split("stage=\"").nth(1)?.split('"').next()?;
    Some((stage.into(), value.parse().ok()?))
}
