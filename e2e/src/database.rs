//! A PostgreSQL beside the cluster, as a platform team has one: reached over TLS, with a name and a password, and looked after by
//! others. Debian's own server, on this machine.

use std::fs::Permissions;
use std::net::{IpAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::Secret;
use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde_json::json;
use tempfile::TempDir;

use crate::cluster::Cluster;
use crate::wait;

/// Who runs it where this runs as root: PostgreSQL refuses to be root's.
const USER: &str = "postgres";
/// Whoever connects.
const ROLE: &str = "mesh";
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A server with an empty database. It goes with this, or with this process.
pub struct Database {
    dir: TempDir,
    address: IpAddr,
    port: u16,
    password: String,
    /// Vouches for it.
    ca_pem: String,
    server: Child,
}

impl Database {
    /// Starts it where pods of the cluster reach it.
    ///
    /// # Errors
    /// PostgreSQL is not installed, or does not start.
    pub async fn start(cluster: &Cluster) -> anyhow::Result<Self> {
        let address = cluster.address_for_pods().await?;
        let port = TcpListener::bind((address, 0))?.local_addr()?.port();
        let dir = tempfile::Builder::new().prefix("datamesh-e2e-postgres-").tempdir()?;
        let mut random = [0; 16];
        getrandom::fill(&mut random).context("no random bytes")?;
        let password = hex::encode(random);
        let ca_pem = write_files(dir.path(), address, &password)?;
        let server = serve(dir.path(), address, port)?;
        let database = Self { dir, address, port, password, ca_pem, server };
        database.until_ready().await?;
        Ok(database)
    }

    /// Makes the Secret that says how gateways reach it.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn make_secret(&self, cluster: &Cluster, space: &str, name: &str) -> anyhow::Result<()> {
        let Self { password, address, port, .. } = self;
        let uri = format!("postgres://{ROLE}:{password}@{address}:{port}/postgres");
        let secret: Secret = serde_json::from_value(json!({
            "metadata": {"name": name}, "stringData": {"uri": uri, "ca.crt": self.ca_pem},
        }))?;
        cluster.api::<Secret>(space).create(&Default::default(), &secret).await?;
        Ok(())
    }

    /// Its TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Breaks it off as a crash does, and starts it again: it recovers from its log.
    ///
    /// # Errors
    /// It does not come back.
    pub async fn crash_and_recover(&mut self) -> anyhow::Result<()> {
        self.break_off()?;
        self.server = serve(self.dir.path(), self.address, self.port)?;
        self.until_ready().await
    }

    fn break_off(&mut self) -> anyhow::Result<()> {
        let pid = Pid::from_child(&self.server);
        kill_process(pid, Signal::QUIT)?;
        self.server.wait()?;
        Ok(())
    }

    async fn until_ready(&self) -> anyhow::Result<()> {
        let (host, port) = (self.address.to_string(), self.port.to_string());
        wait::until("PostgreSQL takes connections", START_TIMEOUT, async || {
            let mut asking = tokio::process::Command::new(programs()?.join("pg_isready"));
            let answer = asking.args(["--host", &host, "--port", &port]).output().await?;
            ensure!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stdout));
            Ok(())
        })
        .await
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Err(error) = self.break_off() {
            eprintln!("PostgreSQL was not stopped: {error:#}");
        }
    }
}

/// Where Debian has the newest.
fn programs() -> anyhow::Result<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql");
    let versions = versions.context("PostgreSQL is not installed: scripts/install-deps.sh does that")?;
    let newest = versions.filter_map(Result::ok).map(|version| version.path()).max();
    Ok(newest.context("/usr/lib/postgresql is empty")?.join("bin"))
}

/// Its certificate, its files, and who may connect from where. Gives the certificate.
fn write_files(dir: &Path, address: IpAddr, password: &str) -> anyhow::Result<String> {
    let signed = rcgen::generate_simple_self_signed([address.to_string()])?;
    std::fs::write(dir.join("server.pem"), signed.cert.pem())?;
    let key = dir.join("server.key");
    std::fs::write(&key, signed.signing_key.serialize_pem())?;
    std::fs::set_permissions(&key, Permissions::from_mode(0o600))?;
    std::fs::write(dir.join("password"), password)?;
    if geteuid().is_root() {
        run(Command::new("chown").arg("-R").arg(USER).arg(dir))?;
    }
    let mut initdb = as_its_user(&programs()?.join("initdb"));
    initdb.current_dir(dir).args(["--pgdata=data", "--pwfile=password", "--auth=scram-sha-256"]);
    run(initdb.arg(format!("--username={ROLE}")).args(["--encoding=UTF8", "--locale=C"]))?;
    std::fs::write(dir.join("data/pg_hba.conf"), format!("hostssl all {ROLE} 0.0.0.0/0 scram-sha-256\n"))?;
    Ok(signed.cert.pem())
}

fn serve(dir: &Path, address: IpAddr, port: u16) -> anyhow::Result<Child> {
    let log = std::fs::File::options().create(true).append(true).open(dir.join("server.log"))?;
    let mut postgres = as_its_user(&programs()?.join("postgres"));
    postgres.current_dir(dir).args(["-D", "data", "-p", &port.to_string()]);
    for setting in [
        format!("listen_addresses={address}"),
        "unix_socket_directories=".into(),
        "ssl=on".into(),
        "ssl_cert_file=../server.pem".into(),
        "ssl_key_file=../server.key".into(),
    ] {
        postgres.args(["-c", &setting]);
    }
    Ok(postgres.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?)
}

/// A program of PostgreSQL's that ends when this process does.
fn as_its_user(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "QUIT"]);
    if geteuid().is_root() {
        command.args(["--reuid", USER, "--regid", USER, "--clear-groups"]);
    }
    command.arg(program);
    command
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let ran = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(ran.status.success(), "{command:?}: {}", String::from_utf8_lossy(&ran.stderr));
    Ok(())
}
