//! A real cluster for a test: `datamesh-node dev --processes` in a temporary folder, spoken to over HTTPS.

use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use datamesh_settings::admin::ClusterStatus;
use datamesh_settings::mesh::MeshStatus;
use reqwest::{Method, RequestBuilder};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// Generous: a loaded machine must not fail a test.
const DEADLINE: Duration = Duration::from_secs(120);
/// What each node may use.
pub(crate) const CAPACITY_BYTES: u64 = 2_000_000_000;
/// Storage nodes unless more are asked for: as many as 4+2 needs.
const NODES: u16 = 6;
/// Ports a cluster of 10 processes needs, behind them those of HTTPS, and one that a test may have.
const PORTS: u16 = HTTPS + 4;
/// The first gateway's of HTTPS, after the first port; those of the others follow.
const HTTPS: u16 = 40;
/// Ports between the first ones of two clusters.
const STRETCH: u16 = 64;

pub(crate) struct Cluster {
    processes: Processes,
    nodes: u16,
    folder: TempDir,
    ports: Ports,
    http: reqwest::Client,
    token: String,
    admin_token: String,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        Self::start_with(NODES).await
    }

    /// With so many storage nodes, at most 7.
    pub(crate) async fn start_with(nodes: u16) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), Ports::free(), nodes, &["--no-restart"]).await
    }

    /// One that may tell of events at `127.0.0.1`, at the port that this gives: nobody listens there yet.
    pub(crate) async fn start_telling() -> (Self, u16) {
        let ports = Ports::free();
        let port = ports.base + PORTS - 1;
        let hook = format!("hook=http://127.0.0.1:{port}/");
        let options = ["--no-restart", "--notify", &hook];
        (Self::start_in(tempfile::tempdir().unwrap(), ports, NODES, &options).await, port)
    }

    /// A process that dies is started again.
    pub(crate) async fn start_restarting() -> Self {
        Self::start_restarting_with(1).await
    }

    /// The same with 1 or 3 gateways.
    pub(crate) async fn start_restarting_with(gateways: u16) -> Self {
        let options = ["--gateways", &gateways.to_string()];
        Self::start_in(tempfile::tempdir().unwrap(), Ports::free(), NODES, &options).await
    }

    /// With these options besides.
    pub(crate) async fn start_so(options: &[&str]) -> Self {
        let options = [&["--no-restart"], options].concat();
        Self::start_in(tempfile::tempdir().unwrap(), Ports::free(), NODES, &options).await
    }

    async fn start_in(folder: TempDir, ports: Ports, nodes: u16, options: &[&str]) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let data = folder.path().join("data");
        let child = dev(folder.path(), (&ports, nodes), options).spawn().unwrap();
        let mut processes = Processes(child);
        let mut lines = BufReader::new(processes.0.stdout.take().unwrap()).lines();
        let ready = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if line.contains("is ready") {
                    return true;
                }
            }
            false
        };
        let ready = tokio::time::timeout(DEADLINE, ready).await;
        let log = || std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
        assert!(matches!(ready, Ok(true)), "not ready within {DEADLINE:?}; its log:\n{}", log());
        let secret = |name: &str| std::fs::read(data.join("secrets").join(name)).unwrap();
        let certificate = reqwest::Certificate::from_pem(&secret("ca.crt")).unwrap();
        let http =
            reqwest::Client::builder().tls_certs_only([certificate]).timeout(DEADLINE).build().unwrap();
        let token = String::from_utf8(secret("token")).unwrap();
        let admin_token = String::from_utf8(secret("admin-token")).unwrap();
        Self { processes, nodes, folder, ports, http, token, admin_token }
    }

    /// Stops everything in order and starts it again on the same volumes.
    pub(crate) async fn restart(self) -> Self {
        self.stop().await.start(&[]).await
    }

    /// Kills everything at once and starts it again on the same volumes.
    pub(crate) async fn crash(self) -> Self {
        self.cut().await.start(&[]).await
    }

    /// Kills everything at once, as a power cut to the processes would. Only the process that started the others is killed here:
    /// they end with it.
    pub(crate) async fn cut(mut self) -> Stopped {
        let all = children(self.processes.0.id().unwrap());
        assert!(all.len() >= usize::from(self.nodes), "only the gateway may have been killed before");
        self.processes.0.kill().await.unwrap();
        let begun = tokio::time::Instant::now();
        while let Some(pid) = all.iter().find(|pid| runs(**pid)) {
            assert!(begun.elapsed() < DEADLINE, "process {pid} outlives the one that started it");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Stopped { folder: self.folder, ports: self.ports, nodes: self.nodes }
    }

    /// Stops everything in order. The volumes stay.
    pub(crate) async fn stop(mut self) -> Stopped {
        self.signal_all("-TERM");
        self.processes.0.wait().await.unwrap();
        Stopped { folder: self.folder, ports: self.ports, nodes: self.nodes }
    }

    fn signal_all(&self, name: &str) {
        assert!(signal(name, self.processes.0.id().unwrap()));
    }

    /// SIGKILLs one process, by its settings file.
    pub(crate) fn kill(&self, name: &str) {
        assert!(self.kill_if_running(name), "{name} does not run");
    }

    /// The same, if it has not just been killed; whether it ran.
    pub(crate) fn kill_if_running(&self, name: &str) -> bool {
        self.pid(name).is_some_and(|pid| signal("-KILL", pid))
    }

    fn pid(&self, name: &str) -> Option<u32> {
        let settings = self.data().join(format!("{name}.yaml"));
        let settings = settings.to_str().unwrap();
        let parent = self.processes.0.id().unwrap();
        let is_it = |pid: &u32| {
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            command.split(|&byte| byte == 0).any(|part| part == settings.as_bytes())
        };
        children(parent).into_iter().find(is_it)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// All that its processes write, logs too.
    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// The volumes of the storage nodes.
    pub(crate) fn volumes(&self) -> Vec<PathBuf> {
        (0..self.nodes).map(|n| self.data().join(format!("node-{n}"))).collect()
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.request_at(0, method, path)
    }

    /// The same of another gateway, where there are several.
    pub(crate) fn request_at(&self, gateway: u16, method: Method, path: &str) -> RequestBuilder {
        let url = format!("https://127.0.0.1:{}/api/v1{path}", self.ports.base + HTTPS + gateway);
        self.http.request(method, url).bearer_auth(&self.token)
    }

    /// Where REST is served, without the path.
    pub(crate) fn rest(&self) -> String {
        format!("https://127.0.0.1:{}", self.ports.base + HTTPS)
    }

    /// Where S3 is served.
    pub(crate) fn s3(&self) -> String {
        format!("https://{}", self.s3_host(0))
    }

    /// Where a gateway serves it: further ones have their ports behind those of the nodes.
    pub(crate) fn s3_host(&self, gateway: u16) -> String {
        let slot = if gateway == 0 { 0 } else { self.nodes + gateway };
        format!("127.0.0.1:{}", self.ports.base + 4 * slot + 3)
    }

    /// What trusts its certificates.
    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// The key pair that was made at the start: its id and secret.
    pub(crate) fn s3_key(&self) -> (String, String) {
        let text = std::fs::read_to_string(self.data().join("secrets/aws-credentials")).unwrap();
        let value = |line: &str| line.split_once(" = ").unwrap().1.to_owned();
        let mut lines = text.lines().skip(1);
        (value(lines.next().unwrap()), value(lines.next().unwrap()))
    }

    /// The same, for an administrator.
    pub(crate) fn admin(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("https://127.0.0.1:{}/api/v1/admin{path}", self.ports.base + HTTPS);
        self.http.request(method, url).bearer_auth(&self.admin_token)
    }

    /// Stores; the durability the gateway acknowledged, or its refusal.
    pub(crate) async fn put(&self, key: &str, data: Vec<u8>) -> Result<String, String> {
        let sent = self.request(Method::PUT, &format!("/files/{key}")).body(data).send().await;
        let response = sent.map_err(|error| format!("{error:?}"))?;
        if !response.status().is_success() {
            return Err(response.text().await.unwrap_or_default());
        }
        Ok(response.headers()["datamesh-durability"].to_str().unwrap().to_owned())
    }

    /// Fetches what is expected to be there.
    pub(crate) async fn get(&self, key: &str) -> Vec<u8> {
        let response = self.request(Method::GET, &format!("/files/{key}")).send().await.unwrap();
        let status = response.status();
        let body = response.bytes().await.unwrap_or_else(|error| panic!("{key}: {error:?}"));
        assert!(status.is_success(), "{key}: {status} {}", String::from_utf8_lossy(&body));
        body.to_vec()
    }

    /// Asks for the status until it is as wanted.
    pub(crate) async fn until(&self, what: &str, wanted: impl Fn(&ClusterStatus) -> bool) {
        self.until_async(what, async || wanted(&self.status().await)).await;
    }

    /// Asks until the answer is yes.
    pub(crate) async fn until_async(&self, what: &str, wanted: impl AsyncFn() -> bool) {
        let begun = tokio::time::Instant::now();
        while !wanted().await {
            assert!(begun.elapsed() < DEADLINE * 3, "not {what}: {:#?}", self.status().await);
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    /// What the nodes see of one another.
    pub(crate) async fn mesh(&self) -> MeshStatus {
        let answer = self.admin(Method::GET, "/mesh").send().await.unwrap();
        answer.error_for_status().unwrap().json().await.unwrap()
    }

    /// The status, if anybody answers.
    pub(crate) async fn try_status(&self) -> Option<ClusterStatus> {
        self.request(Method::GET, "/status").send().await.ok()?.json().await.ok()
    }

    pub(crate) async fn status(&self) -> ClusterStatus {
        self.request(Method::GET, "/status").send().await.unwrap().json().await.unwrap()
    }
}

/// The process that starts the others.
fn dev(folder: &Path, (ports, nodes): (&Ports, u16), options: &[&str]) -> Command {
    let log = std::fs::File::options().create(true).append(true).open(folder.join("log")).unwrap();
    let (base, https) = (ports.base.to_string(), (ports.base + HTTPS).to_string());
    let mut command = Command::new(env!("CARGO_BIN_EXE_datamesh-node"));
    command
        .args(["dev", "--processes", "--nodes", &nodes.to_string()])
        .args(options)
        .args(["--capacity-bytes", &CAPACITY_BYTES.to_string()])
        .args(["--base-port", &base, "--https-port", &https])
        .arg("--data")
        .arg(folder.join("data"))
        .stdout(Stdio::piped())
        .stderr(log)
        .kill_on_drop(true);
    command
}

/// A cluster's volumes.
pub(crate) struct Stopped {
    folder: TempDir,
    ports: Ports,
    nodes: u16,
}

impl Stopped {
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Starts it again, with these options besides, for as long as it takes until one of the processes logs this.
    pub(crate) async fn start_until_said(&self, text: &str, options: &[&str]) {
        let log = self.folder.path().join("log");
        let before = std::fs::metadata(&log).unwrap().len();
        let options = [&["--no-restart"], options].concat();
        let child = dev(self.folder.path(), (&self.ports, self.nodes), &options).spawn().unwrap();
        let mut processes = Processes(child);
        let begun = tokio::time::Instant::now();
        let said = || {
            let bytes = std::fs::read(&log).unwrap();
            contains(&bytes[usize::try_from(before).unwrap()..], text.as_bytes())
        };
        while !said() {
            assert!(begun.elapsed() < DEADLINE, "nobody says {text:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert!(signal("-TERM", processes.0.id().unwrap()));
        processes.0.wait().await.unwrap();
    }

    /// Starts it again, with these options besides.
    pub(crate) async fn start(self, options: &[&str]) -> Cluster {
        Cluster::start_in(self.folder, self.ports, self.nodes, &[&["--no-restart"], options].concat()).await
    }
}

/// The dev process, and its children, which outlive a parent that is killed: all are killed when dropped.
struct Processes(Child);

impl Drop for Processes {
    fn drop(&mut self) {
        let Some(dev) = self.0.id() else { return };
        for pid in children(dev) {
            let _ = std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status();
        }
    }
}

/// Whether there was such a process.
fn signal(name: &str, pid: u32) -> bool {
    std::process::Command::new("kill").args([name, &pid.to_string()]).status().unwrap().success()
}

/// Whether there is such a process, and it has not just ended.
fn runs(pid: u32) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|command| !command.is_empty())
}

fn children(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let lists =
        tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default());
    lists
        .flat_map(|list| list.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<_>>())
        .collect()
}

/// A stretch of ports nobody listens on, kept from other tests as long as it lives.
struct Ports {
    base: u16,
    /// One holder a stretch: the system lets nobody else bind this. The cluster itself uses TCP only.
    _claim: UdpSocket,
}

impl Ports {
    fn free() -> Self {
        let mut random = [0; 2];
        loop {
            getrandom::fill(&mut random).unwrap();
            // Whole stretches, so that two of them never overlap by a part.
            let base = 20_000 + u16::from_le_bytes(random) % 150 * STRETCH;
            let free = || (base..base + PORTS).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok());
            if let Ok(claim) = UdpSocket::bind(("127.0.0.1", base))
                && free()
            {
                return Self { base, _claim: claim };
            }
        }
    }
}

/// Bytes nobody can compress or guess; the seed is printed with the test's output.
pub(crate) fn random(seed: u64, bytes: usize) -> Vec<u8> {
    let mut data = vec![0; bytes];
    let key = blake3::hash(&seed.to_le_bytes());
    blake3::Hasher::new_keyed(key.as_bytes()).finalize_xof().fill(&mut data);
    data
}

/// A new seed, printed so that a failure can be repeated.
pub(crate) fn new_seed() -> u64 {
    let mut seed = [0; 8];
    getrandom::fill(&mut seed).unwrap();
    let seed = u64::from_le_bytes(seed);
    println!("seed {seed}");
    seed
}

/// Files below a folder that contain `needle`.
pub(crate) fn files_with(folder: &Path, needle: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if contains(&std::fs::read(&path).unwrap_or_default(), needle) {
                found.push(path);
            }
        }
    }
    found
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}
