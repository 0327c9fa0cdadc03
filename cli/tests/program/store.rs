//! The real store, `datamesh-node dev` in a temporary folder, and users who run the real program on it.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak, mpsc};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// Generous: a loaded machine must not fail a test.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
/// Storage nodes of the shared store: as many as 4+2 needs.
const NODES: u16 = 6;

/// The store of all tests that run at the same time: each uses keys of its own.
static SHARED: Mutex<Weak<Store>> = Mutex::new(Weak::new());

pub(crate) struct Store {
    child: Child,
    folder: TempDir,
    pub(crate) https_port: u16,
    s3_port: u16,
}

impl Store {
    fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = shared.upgrade() {
            return store;
        }
        let store = Arc::new(Self::start());
        *shared = Arc::downgrade(&store);
        store
    }

    fn start() -> Self {
        Self::start_with(NODES, &[])
    }

    /// One of its own, with so many storage nodes and these options.
    pub(crate) fn start_with(nodes: u16, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        // Each node's and the gateway's, and one for HTTPS.
        let ports = 4 * (nodes + 1) + 1;
        let base_port = free_ports(ports);
        let https_port = base_port + ports - 1;
        let mut command = Command::new(beside("datamesh-node"));
        command.args(["dev", "--capacity-bytes", "4000000000", "--nodes", &nodes.to_string()]).args(options);
        command.args(["--base-port", &base_port.to_string(), "--https-port", &https_port.to_string()]);
        command.arg("--data").arg(folder.path().join("data"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(std::fs::File::create(&log).unwrap());
        let mut store = Self { child: command.spawn().unwrap(), folder, https_port, s3_port: base_port + 3 };
        let lines = BufReader::new(store.child.stdout.take().unwrap()).lines();
        let (tell, ready) = mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok).filter(|line| line.contains("is ready")) {
                let _ = tell.send(line);
            }
        });
        let log = || std::fs::read_to_string(&log).unwrap_or_default();
        assert!(ready.recv_timeout(DEADLINE).is_ok(), "not ready; its log:\n{}", log());
        store
    }

    /// Has one of its processes do nothing until what is given back is dropped.
    pub(crate) fn hold(&self, name: &str) -> Held {
        let settings = self.folder.path().join("data").join(format!("{name}.yaml"));
        let is_it = |pid: &u32| {
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            command.split(|&byte| byte == 0).any(|part| part == settings.as_os_str().as_encoded_bytes())
        };
        let all = std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
        let pid = all.into_iter().find(is_it).unwrap_or_else(|| panic!("{name} does not run"));
        signal("-STOP", pid);
        Held(pid)
    }

    /// A file of the store's secrets.
    pub(crate) fn secret(&self, name: &str) -> PathBuf {
        self.folder.path().join("data/secrets").join(name)
    }

    pub(crate) fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.https_port)
    }

    /// Where S3 is, as requests to it are signed for.
    pub(crate) fn s3_host(&self) -> String {
        format!("127.0.0.1:{}", self.s3_port)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process that is held.
pub(crate) struct Held(u32);

impl Drop for Held {
    fn drop(&mut self) {
        signal("-CONT", self.0);
    }
}

fn signal(name: &str, pid: u32) {
    let _ = Command::new("kill").args([name, &pid.to_string()]).status();
}

/// A program of the workspace: Cargo puts all of them into one folder.
pub(crate) fn beside(name: &str) -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_datamesh")).with_file_name(name);
    assert!(program.is_file(), "{} is missing: cargo build --workspace --bins", program.display());
    program
}

/// A stretch of ports nobody listens on. Another process could take one before the store does: its log then says so.
fn free_ports(count: u16) -> u16 {
    loop {
        let base = 20_000 + u16::try_from(new_seed() % 10_000).unwrap();
        if (base..base + count).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return base;
        }
    }
}

/// Somebody with a home folder, which is where the program runs.
pub(crate) struct User {
    pub(crate) store: Arc<Store>,
    pub(crate) home: TempDir,
}

impl User {
    pub(crate) fn new() -> Self {
        Self::of(Store::shared())
    }

    pub(crate) fn of(store: Arc<Store>) -> Self {
        Self { store, home: tempfile::tempdir().unwrap() }
    }

    /// The program, told by a configuration file whom to ask.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.unconfigured(args);
        command.env("DATAMESH_CONFIG", self.store.secret("cli.yaml"));
        command
    }

    /// The program that knows no gateway and no token.
    pub(crate) fn unconfigured(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_datamesh"));
        command.env_clear().env("HOME", self.home.path());
        command.current_dir(self.home.path()).args(args).stdin(Stdio::null());
        command
    }

    /// What a command that succeeds prints.
    pub(crate) fn run(&self, args: &[&str]) -> Vec<u8> {
        succeeded(self.command(args).output().unwrap())
    }

    pub(crate) fn json(&self, args: &[&str]) -> Value {
        serde_json::from_slice(&self.run(&[args, &["--output", "json"]].concat())).unwrap()
    }

    /// Stores an object as another client could: by a request that names its key in JSON.
    pub(crate) fn put_raw(&self, key: &str, content: &'static str) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let authority = std::fs::read(self.store.secret("ca.crt")).unwrap();
        let authority = reqwest::Certificate::from_pem(&authority).unwrap();
        let token = std::fs::read_to_string(self.store.secret("token")).unwrap();
        let uploads = format!("{}/api/v1/uploads", self.store.url());
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let http = reqwest::Client::builder().tls_certs_only([authority]).build().unwrap();
            let send = async |request: reqwest::RequestBuilder| {
                let response = request.bearer_auth(&token).send().await.unwrap();
                response.error_for_status().unwrap().json::<Value>().await.unwrap()
            };
            let upload = send(http.post(&uploads).json(&serde_json::json!({ "key": key }))).await;
            let upload = format!("{uploads}/{}", upload["id"].as_str().unwrap());
            send(http.put(format!("{upload}/parts/1")).body(content)).await;
            assert_eq!(send(http.post(format!("{upload}/complete"))).await["key"], key);
        });
    }

    /// A file in the home folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Writes a file into the home folder; gives its bytes.
    pub(crate) fn write(&self, name: &str, bytes: Vec<u8>) -> Vec<u8> {
        let path = self.file(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &bytes).unwrap();
        bytes
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.file(name)).unwrap()
    }
}

/// What a command printed that must have done its work. On a loaded machine a node may be late, and a put therefore
/// not yet whole (7).
pub(crate) fn succeeded(output: Output) -> Vec<u8> {
    let done = matches!(output.status.code(), Some(0 | 7));
    assert!(done, "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Bytes nobody can compress or guess.
pub(crate) fn random(seed: u64, bytes: usize) -> Vec<u8> {
    let mut data = vec![0; bytes];
    let key = blake3::hash(&seed.to_le_bytes());
    blake3::Hasher::new_keyed(key.as_bytes()).finalize_xof().fill(&mut data);
    data
}

/// A new seed, printed so that a failure can be repeated.
pub(crate) fn new_seed() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    let seed = std::hash::RandomState::new().build_hasher().finish();
    println!("seed {seed}");
    seed
}
