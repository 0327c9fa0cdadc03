//! A whole cluster in one process: a gateway behind HTTPS and six storage nodes with their stores, over real sockets.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use datamesh_gateway::{Addresses, Gateway, GatewayError};
use datamesh_mesh::{Pace, StorageNode};
use datamesh_seal::ClusterSecret;
use datamesh_settings::admin::{ClusterStatus, DesiredMember, PoolSpec, RecodeSpec};
use datamesh_settings::{
    BulkEncryption, CatalogBackups, CatalogMove, ClusterSettings, DatabaseFiles, Endpoint, GatewaySettings,
    Listen, Role, SETTINGS_VERSION, Settings, StorageSettings, TlsFiles,
};
use datamesh_shard::{Cipher, ErasureProfile, NodeName, PoolName, ZoneName};
use datamesh_store::{Store, StoreOptions};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) const NODES: u8 = 6;
/// Names the catalog's database.
pub(crate) const DATABASE_FILE: &str = "database";
/// Says which way the catalog moves.
pub(crate) const MOVE_FILE: &str = "move";
/// Is there where the catalog is backed up into the mesh: where segments are counted, it is not.
pub(crate) const BACKUPS_FILE: &str = "backups";
/// So that tests wait for seconds only.
const PACE: Pace = Pace {
    grace: Duration::from_secs(4),
    look: Duration::from_millis(200),
    rest_open: Duration::from_millis(200),
    rest_whole: Duration::from_secs(1),
    scrub_period: Duration::from_secs(3600),
    rest_homing: Duration::from_millis(200),
    rest_max: Duration::from_secs(2),
};
const CAPACITY_BYTES: u64 = 1 << 30;
/// Asking again whether something has come true: over HTTP there is no event to wait for.
const PAUSE: Duration = Duration::from_millis(50);
const ASKED_MAX: usize = 2400;

pub(crate) struct Running {
    stop: CancellationToken,
    task: JoinSet<()>,
}

impl Running {
    pub(crate) fn start(run: impl Future<Output = ()> + Send + 'static, stop: CancellationToken) -> Self {
        let mut task = JoinSet::new();
        task.spawn(run);
        Self { stop, task }
    }

    /// As the end of a process is: nothing is said to anybody.
    pub(crate) async fn kill(mut self) {
        self.task.shutdown().await;
    }

    pub(crate) async fn end(mut self) {
        self.stop.cancel();
        self.task.join_next().await.unwrap().unwrap();
    }
}

pub(crate) struct Cluster {
    pub(crate) dir: TempDir,
    pub(crate) secret: ClusterSecret,
    pub(crate) gateway: Option<Running>,
    pub(crate) addresses: Addresses,
    pub(crate) others: Vec<(Running, Addresses)>,
    pub(crate) nodes: Vec<Option<Running>>,
    client: reqwest::Client,
}

/// A node's store, for its node or to look into while that is stopped.
pub(crate) async fn open_store(dir: PathBuf) -> Store {
    let options = StoreOptions {
        capacity_bytes: CAPACITY_BYTES,
        reserve_bytes: 1 << 20,
        log_bytes_max: 64 << 20,
        lock_wait: Duration::from_secs(10),
    };
    tokio::task::spawn_blocking(move || Store::open(&dir, options)).await.unwrap().unwrap()
}

pub(crate) fn any() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

pub(crate) fn listen() -> Listen {
    Listen { mesh: any(), bulk: any(), health: any() }
}

fn pool() -> PoolName {
    PoolName::new("main").unwrap()
}

pub(crate) fn node(n: u8) -> NodeName {
    NodeName::new(&format!("n{n}")).unwrap()
}

fn zone(n: u8) -> ZoneName {
    ZoneName::new(&format!("z{}", n % 3)).unwrap()
}

pub(crate) fn cluster_settings(secret: &ClusterSecret, gateways: Vec<Endpoint>) -> ClusterSettings {
    ClusterSettings {
        name: NodeName::new("c").unwrap(),
        public_key: secret.signing_key().public(),
        gateways,
        bulk_encryption: BulkEncryption::default(),
    }
}

/// Its catalog is in the database of `dir/database`, if there is that file.
fn gateway_settings(dir: &Path, folder: &str) -> GatewaySettings {
    let database = dir.join(DATABASE_FILE);
    let catalog_database = database.exists().then_some(DatabaseFiles { uri_file: database, ca_file: None });
    let catalog_move = match std::fs::read_to_string(dir.join(MOVE_FILE)).as_deref() {
        Ok("ToDatabase") => Some(CatalogMove::ToDatabase),
        Ok("FromDatabase") => Some(CatalogMove::FromDatabase),
        _ => None,
    };
    let catalog_backups = match dir.join(BACKUPS_FILE).exists() {
        true => CatalogBackups::Mesh,
        false => CatalogBackups::Off,
    };
    GatewaySettings { catalog_database, catalog_move, catalog_backups, ..settings_of_gateway(dir, folder) }
}

/// A gateway that keeps its data in this folder of `dir`, where the files are that all have.
pub(crate) fn settings_of_gateway(dir: &Path, folder: &str) -> GatewaySettings {
    GatewaySettings {
        data_dir: dir.join(folder),
        cluster_secret_file: dir.join("secret"),
        token_file: dir.join("user"),
        admin_token_file: dir.join("admin"),
        tls: TlsFiles { certificate_file: dir.join("tls.crt"), key_file: dir.join("tls.key") },
        https: any(),
        s3: None,
        listen: listen(),
        advertise_host: None,
        buffer_bytes: 64 << 20,
        // What is read shall come from the nodes.
        cache_bytes: 0,
        deleted_retention_seconds: datamesh_settings::DELETED_RETENTION_SECONDS_DEFAULT,
        audit_retention_seconds: datamesh_settings::AUDIT_RETENTION_SECONDS_DEFAULT,
        catalog_database: None,
        catalog_members: Vec::new(),
        catalog_leaving: Vec::new(),
        catalog_move: None,
        request_limits: Default::default(),
        mail: None,
        restore: None,
        // Segments are counted in these tests.
        catalog_backups: CatalogBackups::Off,
        backup_copies: None,
        restore_from: Default::default(),
        notifications: Vec::new(),
        public_url: None,
        oidc: Vec::new(),
    }
}

pub(crate) async fn start_gateway(dir: &Path, secret: &ClusterSecret) -> (Running, Addresses) {
    start_gateway_as(dir, secret, "gateway").await
}

/// The gateway of this name, with its data in the folder of that name.
pub(crate) async fn start_gateway_as(dir: &Path, secret: &ClusterSecret, name: &str) -> (Running, Addresses) {
    let gateway = bind_gateway(dir, secret, name).await.unwrap();
    let (addresses, stop) = (gateway.addresses(), CancellationToken::new());
    let running = stop.clone();
    let run = async move { Box::pin(gateway.run(running)).await.unwrap() };
    (Running::start(run, stop), addresses)
}

/// The same, where it may not come to be.
pub(crate) async fn bind_gateway(
    dir: &Path,
    secret: &ClusterSecret,
    name: &str,
) -> Result<Gateway, GatewayError> {
    let settings = Settings {
        version: SETTINGS_VERSION,
        cluster: cluster_settings(secret, Vec::new()),
        node: NodeName::new(name).unwrap(),
        role: Role::Gateway(Box::new(gateway_settings(dir, name))),
    };
    Box::pin(Gateway::bind(&settings)).await
}

/// What all processes share: a folder with secret, tokens and certificate; and the certificate.
pub(crate) fn files() -> (TempDir, ClusterSecret, String) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (dir, secret) = (tempfile::tempdir().unwrap(), ClusterSecret::generate());
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    for (name, text) in [
        ("secret", secret.to_hex().to_string()),
        ("user", "user-token-for-tests".to_owned()),
        ("admin", "admin-token-for-tests".to_owned()),
        ("tls.crt", made.cert.pem()),
        ("tls.key", made.signing_key.serialize_pem()),
    ] {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    (dir, secret, made.cert.pem())
}

pub(crate) fn client(certificate: &str) -> reqwest::Client {
    let root = reqwest::Certificate::from_pem(certificate.as_bytes()).unwrap();
    reqwest::Client::builder().tls_certs_only([root]).http1_only().build().unwrap()
}

/// A storage node that joins by these gateways.
pub(crate) async fn start_node(
    dir: &Path,
    secret: &ClusterSecret,
    n: u8,
    gateways: Vec<Endpoint>,
) -> Running {
    let data_dir = dir.join(node(n).as_str());
    let token = secret.mint_join_token(&node(n), &pool(), [n; 16]);
    let token_file = dir.join(format!("token-{n}"));
    std::fs::write(&token_file, token.as_str()).unwrap();
    let settings = StorageSettings {
        pool: pool(),
        zone: zone(n),
        data_dir: data_dir.clone(),
        capacity_bytes: CAPACITY_BYTES,
        reserve_bytes: 1 << 20,
        join_token_file: token_file,
        listen: listen(),
        advertise_host: None,
    };
    let settings = Settings {
        version: SETTINGS_VERSION,
        cluster: cluster_settings(secret, gateways),
        node: node(n),
        role: Role::Storage(Box::new(settings)),
    };
    let bound = Box::pin(StorageNode::bind(&settings, open_store(data_dir).await)).await.unwrap().paced(PACE);
    let stop = CancellationToken::new();
    let running = stop.clone();
    let run = async move { Box::pin(bound.run(running)).await.unwrap() };
    Running::start(run, stop)
}

/// The pool of all nodes.
pub(crate) fn pool_spec(erasure: ErasureProfile, enabled: bool) -> PoolSpec {
    let member = |n| DesiredMember { node: node(n), zone: zone(n), capacity_bytes: CAPACITY_BYTES };
    PoolSpec {
        erasure,
        cipher: Cipher::Aes256Gcm,
        ack_shards: None,
        members: (0..NODES).map(member).collect(),
        scrub: Default::default(),
        recode: RecodeSpec { enabled, max_bytes_per_second: None },
    }
}

impl Cluster {
    /// Ends the nodes, and the gateway if it runs.
    pub(crate) async fn end(mut self) {
        let nodes = self.nodes.drain(..).flatten();
        for running in nodes.chain(self.gateway.take()) {
            running.end().await;
        }
    }

    pub(crate) async fn start() -> Self {
        Self::start_on(None).await
    }

    /// With the catalog in this database.
    pub(crate) async fn start_on(database: Option<&str>) -> Self {
        Self::start_among(database, &[]).await
    }

    /// The same, and other gateways of these names, which the nodes know too.
    pub(crate) async fn start_among(database: Option<&str>, names: &[&str]) -> Self {
        let (dir, secret, certificate) = files();
        if let Some(uri) = database {
            std::fs::write(dir.path().join(DATABASE_FILE), uri).unwrap();
        }
        let client = client(&certificate);
        let (gateway, addresses) = start_gateway(dir.path(), &secret).await;
        let mut others = Vec::new();
        for name in names {
            others.push(start_gateway_as(dir.path(), &secret, name).await);
        }
        let gateway = Some(gateway);
        let mut cluster = Self { dir, secret, gateway, addresses, others, nodes: Vec::new(), client };
        for n in 0..NODES {
            let running = cluster.start_node(n).await;
            cluster.nodes.push(Some(running));
        }
        cluster
    }

    pub(crate) async fn start_node(&self, n: u8) -> Running {
        let endpoint = |addresses: &Addresses| Endpoint {
            host: "127.0.0.1".to_owned(),
            mesh_port: addresses.mesh.port(),
            bulk_port: addresses.bulk.port(),
        };
        let others = self.others.iter().map(|(_, addresses)| addresses);
        let gateways = std::iter::once(&self.addresses).chain(others).map(endpoint).collect();
        start_node(self.dir.path(), &self.secret, n, gateways).await
    }

    pub(crate) async fn kill(&mut self, n: u8) {
        self.nodes[usize::from(n)].take().unwrap().end().await;
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}/api/v1{path}", self.addresses.https.port())
    }

    pub(crate) async fn put_pool(&self) {
        self.put_pool_as(ErasureProfile::new(4, 2).unwrap(), false).await;
    }

    /// The same with another profile, and whether what is there is coded anew in it.
    pub(crate) async fn put_pool_as(&self, erasure: ErasureProfile, enabled: bool) {
        let spec = pool_spec(erasure, enabled);
        let request = self.client.put(self.url("/admin/pools/main")).bearer_auth("admin-token-for-tests");
        let answered = request.json(&spec).send().await.unwrap();
        assert!(answered.status().is_success(), "{}", answered.text().await.unwrap());
    }

    pub(crate) async fn status_until(&self, good: impl Fn(&ClusterStatus) -> bool) -> ClusterStatus {
        let mut last = None;
        for _ in 0..ASKED_MAX {
            let request = self.client.get(self.url("/status")).bearer_auth("user-token-for-tests");
            let status: ClusterStatus = request.send().await.unwrap().json().await.unwrap();
            if good(&status) {
                return status;
            }
            last = Some(status);
            tokio::time::sleep(PAUSE).await;
        }
        panic!("it never came true: {last:#?}");
    }

    pub(crate) async fn put(&self, key: &str, text: &[u8]) -> String {
        let request = self.client.put(self.url(&format!("/files/{key}"))).bearer_auth("user-token-for-tests");
        let answered = request.body(text.to_vec()).send().await.unwrap();
        let durability =
            answered.headers().get("datamesh-durability").map(|value| value.to_str().unwrap().to_owned());
        assert!(answered.status().is_success(), "{}", answered.text().await.unwrap());
        durability.unwrap()
    }

    pub(crate) async fn get(&self, key: &str) -> Vec<u8> {
        let request = self.client.get(self.url(&format!("/files/{key}"))).bearer_auth("user-token-for-tests");
        let answered = request.send().await.unwrap();
        assert!(answered.status().is_success(), "{}", answered.text().await.unwrap());
        answered.bytes().await.unwrap().to_vec()
    }
}

pub(crate) fn noise(seed: u8, bytes: usize) -> Vec<u8> {
    let mut out = vec![0; bytes];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut out);
    out
}
