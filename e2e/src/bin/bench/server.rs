//! The store under test: `datamesh-node dev --processes` in a folder of its own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use datamesh_e2e::signed::Signer;
use datamesh_settings::{Role, Settings};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::cpu::{self, Usage};

/// First ports of the benchmark, apart from those of `make dev`.
pub(crate) const HTTPS_PORT: u16 = 18443;
const BASE_PORT: u16 = 18100;
const READY_WITHIN: Duration = Duration::from_secs(60);

pub(crate) struct Server {
    child: Child,
    pub(crate) pid: u32,
    pub(crate) folder: PathBuf,
    /// The one that `dev` asked first.
    pub(crate) gateways: Vec<Gateway>,
    http: reqwest::Client,
    /// Of the gateway's API.
    pub(crate) api: reqwest::Client,
}

/// Where a gateway serves.
pub(crate) struct Gateway {
    https: SocketAddr,
    s3: SocketAddr,
    health: SocketAddr,
}

/// What all server processes have used so far.
pub(crate) struct Measured {
    pub(crate) processes: Vec<Usage>,
    /// CPU-seconds by pipeline stage, as gateways count them.
    pub(crate) stages: BTreeMap<String, f64>,
}

impl Measured {
    pub(crate) fn cpu_seconds(&self) -> f64 {
        self.processes.iter().map(|process| process.cpu_seconds).sum()
    }

    pub(crate) fn pids(&self) -> Vec<u32> {
        self.processes.iter().map(|process| process.pid).collect()
    }

    /// Peak memory of the gateway that used most, and of the storage node that used most, in MiB.
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
        // It keeps no connection: of those that a gateway has room for, the row of idle ones takes all where open files are 20,000.
        let api =
            reqwest::Client::builder().tls_certs_only([certificate]).pool_max_idle_per_host(0).build()?;
        let gateways = gateways(&folder.join("data"))?;
        Ok(Self { child, pid, folder: folder.into(), gateways, http: reqwest::Client::new(), api })
    }

    pub(crate) fn url(&self) -> String {
        format!("https://127.0.0.1:{HTTPS_PORT}/api/v1")
    }

    /// Of each gateway.
    pub(crate) fn urls(&self) -> impl Iterator<Item = String> {
        self.gateways.iter().map(|gateway| format!("https://{}/api/v1", gateway.https))
    }

    /// Sign requests of S3 to each gateway with the key pair that `dev` made.
    pub(crate) fn signers(&self) -> anyhow::Result<Vec<Signer>> {
        let credentials = self.secret("aws-credentials")?;
        let field = |name: &str| {
            let line = credentials.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
            line.map(str::to_owned).with_context(|| format!("no {name} among the credentials"))
        };
        let (id, secret) = (field("aws_access_key_id")?, field("aws_secret_access_key")?);
        let hosts = self.gateways.iter().map(|gateway| gateway.s3.to_string());
        Ok(hosts.map(|host| Signer::new(host, id.clone(), secret.clone())).collect())
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

    /// What each gateway counts.
    pub(crate) async fn metrics(&self) -> anyhow::Result<Vec<String>> {
        let mut all = Vec::new();
        for gateway in &self.gateways {
            let answer = self.http.get(format!("http://{}/metrics", gateway.health)).send().await?;
            all.push(answer.error_for_status()?.text().await?);
        }
        Ok(all)
    }

    pub(crate) async fn measure(&self) -> anyhow::Result<Measured> {
        let mut stages = BTreeMap::new();
        for (stage, seconds) in self.metrics().await?.iter().flat_map(|text| text.lines().filter_map(stage)) {
            *stages.entry(stage).or_insert(0.0) += seconds;
        }
        Ok(Measured { processes: cpu::tree(self.pid)?, stages })
    }

    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let pid = i32::try_from(self.pid).ok().and_then(rustix::process::Pid::from_raw).context("pid")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        self.child.wait().await?;
        Ok(())
    }
}

/// The gateways whose settings `dev` wrote.
fn gateways(folder: &Path) -> anyhow::Result<Vec<Gateway>> {
    let files = (0..).map(|n| folder.join(format!("gateway-{n}.yaml"))).take_while(|file| file.exists());
    let gateway = |file: PathBuf| {
        let Role::Gateway(of) = Settings::load(&file)?.role else {
            anyhow::bail!("{}: no gateway's", file.display())
        };
        let s3 = of.s3.with_context(|| format!("{}: no S3", file.display()))?.listen;
        Ok(Gateway { https: of.https, s3, health: of.listen.health })
    };
    files.map(gateway).collect()
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
