//! A real PostgreSQL for tests: one server a test binary, a database a test. The server goes, with its files, when the binary ends.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use datamesh_catalog::engine::{AnyKeyspace, PostgresKeyspace, PostgresOptions};
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls};
use zeroize::Zeroizing;

/// Who runs it where the tests run as root: PostgreSQL refuses to be root's.
const USER: &str = "postgres";
/// Until a server that is starting answers.
const START_TRIES: u32 = 300;

/// Runs the server until its standard input ends, which it does however the tests end; then removes it.
const SCRIPT: &str = r#"
set -e
cd "$1"
"$2/initdb" --pgdata=data --username=admin --auth=trust --encoding=UTF8 --locale=C --no-sync >initdb.log
printf 'hostssl all with_password 127.0.0.1/32 scram-sha-256\nhost all admin 127.0.0.1/32 trust\n' >data/pg_hba.conf
"$2/postgres" -D data -p "$3" -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=500 \
    -c shared_buffers=64MB -c ssl=on -c ssl_cert_file=../server.pem -c ssl_key_file=../server.key >server.log 2>&1 &
server=$!
cat >/dev/null
kill -QUIT "$server"
wait "$server" || true
rm -rf "$1"
"#;

/// A server.
pub(crate) struct Server {
    port: u16,
    /// Vouches for it.
    pub(crate) ca_pem: Vec<u8>,
    databases: AtomicU32,
    /// Its end is the server's.
    _process: Child,
}

/// An administrator's connection to a database.
pub(crate) struct Admin {
    client: Client,
    _connection: JoinSet<()>,
}

impl std::ops::Deref for Admin {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

/// The one of this binary.
pub(crate) fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(Server::start)
}

/// Where Debian has the programs.
pub(crate) fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql");
    let versions = versions.expect("PostgreSQL is not installed: scripts/install-deps.sh does that");
    let newest = versions.map(|version| version.unwrap().path()).max().unwrap();
    newest.join("bin")
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A folder that the server's user may use.
fn folder() -> PathBuf {
    let dir = tempfile::Builder::new().prefix("datamesh-postgres-").tempdir().unwrap().keep();
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o777)).unwrap();
    dir
}

fn certificate(dir: &Path) -> Vec<u8> {
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = dir.join("server.key");
    std::fs::write(dir.join("server.pem"), signed.cert.pem()).unwrap();
    std::fs::write(&key, signed.signing_key.serialize_pem()).unwrap();
    // Root's, with a group that may read it, is what PostgreSQL takes besides its own user's.
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    signed.cert.pem().into_bytes()
}

impl Server {
    fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let dir = folder();
        let ca_pem = certificate(&dir);
        let mut command = Command::new("sh");
        if is_root() {
            let given = Command::new("chown").arg("-R").arg(USER).arg(&dir).status().unwrap();
            assert!(given.success(), "the files are not given to {USER}");
            command = Command::new("setpriv");
            command.args(["--reuid", USER, "--regid", USER, "--clear-groups", "sh"]);
        }
        command.arg("-c").arg(SCRIPT).arg("sh").arg(&dir).arg(programs()).arg(port.to_string());
        let process = command.stdin(Stdio::piped()).spawn().unwrap();
        Self { port, ca_pem, databases: AtomicU32::new(0), _process: process }
    }

    /// A connection string that names an empty database of this name.
    pub(crate) fn uri(&self, database: &str) -> String {
        format!("postgres://admin@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// For what only an administrator does. Waits for a server that is starting.
    pub(crate) async fn admin(&self, database: &str) -> Admin {
        for _ in 0..START_TRIES {
            if let Ok((client, connection)) = tokio_postgres::connect(&self.uri(database), NoTls).await {
                let mut tasks = JoinSet::new();
                tasks.spawn(async move { drop(connection.await) });
                return Admin { client, _connection: tasks };
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        panic!("PostgreSQL did not start");
    }

    /// The name of a new database.
    pub(crate) async fn database(&self) -> String {
        let name = format!("catalog_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.admin("postgres").await.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        name
    }

    pub(crate) fn options(&self, database: &str) -> PostgresOptions {
        PostgresOptions::new(Zeroizing::new(self.uri(database)), None)
    }

    /// As somebody with a password, over TLS.
    pub(crate) fn encrypted(&self, database: &str, password: &str, ca_pem: &[u8]) -> PostgresOptions {
        let uri = format!("postgres://with_password:{password}@localhost:{}/{database}", self.port);
        PostgresOptions::new(Zeroizing::new(uri), Some(ca_pem.to_vec()))
    }
}

/// A keyspace in a database of its own, as a gateway has it.
pub(crate) async fn any_keyspace() -> AnyKeyspace {
    let server = server();
    PostgresKeyspace::open(server.options(&server.database().await)).await.unwrap().into()
}
