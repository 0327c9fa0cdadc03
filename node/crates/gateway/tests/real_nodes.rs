//! A whole cluster in one process: a gateway behind HTTPS and six storage nodes with their stores, over real sockets.
#![allow(clippy::unwrap_used, clippy::panic, reason = "all of it is for tests")]

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use datamesh_gateway::{Addresses, Gateway};
use datamesh_mesh::StorageNode;
use datamesh_seal::ClusterSecret;
use datamesh_settings::admin::{ClusterStatus, DesiredMember, PoolSpec};
use datamesh_settings::{
    ClusterSettings, Endpoint, GatewaySettings, Listen, Role, SETTINGS_VERSION, Settings, StorageSettings,
    TlsFiles,
};
use datamesh_shard::{Cipher, ErasureProfile, NodeName, PoolName, ZoneName};
use datamesh_store::{Store, StoreOptions};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const NODES: u8 = 6;
const CAPACITY_BYTES: u64 = 1 << 30;
/// Asking again whether something has come true: over HTTP there is no event to wait for.
const PAUSE: Duration = Duration::from_millis(50);
const ASKED_MAX: usize = 600;

struct Running {
    stop: CancellationToken,
    task: JoinSet<()>,
}

impl Running {
    fn start(run: impl Future<Output = ()> + Send + 'static, stop: CancellationToken) -> Self {
        let mut task = JoinSet::new();
        task.spawn(run);
        Self { stop, task }
    }

    async fn end(mut self) {
        self.stop.cancel();
        self.task.join_next().await.unwrap().unwrap();
    }
}

struct Cluster {
    dir: TempDir,
    secret: ClusterSecret,
    gateway: Option<Running>,
    addresses: Addresses,
    nodes: Vec<Option<Running>>,
    client: reqwest::Client,
}

fn any() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn listen() -> Listen {
    Listen { mesh: any(), bulk: any(), health: any() }
}

fn pool() -> PoolName {
    PoolName::new("main").unwrap()
}

fn node(n: u8) -> NodeName {
    NodeName::new(&format!("n{n}")).unwrap()
}

fn zone(n: u8) -> ZoneName {
    ZoneName::new(&format!("z{}", n % 3)).unwrap()
}

fn cluster_settings(secret: &ClusterSecret, gateways: Vec<Endpoint>) -> ClusterSettings {
    ClusterSettings { name: NodeName::new("c").unwrap(), public_key: secret.signing_key().public(), gateways }
}

async fn start_gateway(dir: &Path, secret: &ClusterSecret) -> (Running, Addresses) {
    let settings = GatewaySettings {
        data_dir: dir.join("gateway"),
        cluster_secret_file: dir.join("secret"),
        token_file: dir.join("user"),
        admin_token_file: dir.join("admin"),
        tls: TlsFiles { certificate_file: dir.join("tls.crt"), key_file: dir.join("tls.key") },
        https: any(),
        listen: listen(),
        advertise_host: None,
        buffer_bytes: 64 << 20,
    };
    let settings = Settings {
        version: SETTINGS_VERSION,
        cluster: cluster_settings(secret, Vec::new()),
        node: NodeName::new("gw").unwrap(),
        role: Role::Gateway(Box::new(settings)),
    };
    let gateway = Box::pin(Gateway::bind(&settings)).await.unwrap();
    let (addresses, stop) = (gateway.addresses(), CancellationToken::new());
    let running = stop.clone();
    let run = async move { Box::pin(gateway.run(running)).await.unwrap() };
    (Running::start(run, stop), addresses)
}

impl Cluster {
    async fn start() -> Self {
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
        let root = reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
        let client = reqwest::Client::builder().tls_certs_only([root]).http1_only().build().unwrap();
        let (gateway, addresses) = start_gateway(dir.path(), &secret).await;
        let mut cluster = Self { dir, secret, gateway: Some(gateway), addresses, nodes: Vec::new(), client };
        for n in 0..NODES {
            let running = cluster.start_node(n).await;
            cluster.nodes.push(Some(running));
        }
        cluster
    }

    async fn start_node(&self, n: u8) -> Running {
        let dir = self.dir.path().join(node(n).as_str());
        let token = self.secret.mint_join_token(&node(n), &pool(), [n; 16]);
        let token_file = self.dir.path().join(format!("token-{n}"));
        std::fs::write(&token_file, token.as_str()).unwrap();
        let settings = StorageSettings {
            pool: pool(),
            zone: zone(n),
            data_dir: dir.clone(),
            capacity_bytes: CAPACITY_BYTES,
            reserve_bytes: 1 << 20,
            join_token_file: token_file,
            listen: listen(),
            advertise_host: None,
        };
        let gateway = Endpoint {
            host: "127.0.0.1".to_owned(),
            mesh_port: self.addresses.mesh.port(),
            bulk_port: self.addresses.bulk.port(),
        };
        let settings = Settings {
            version: SETTINGS_VERSION,
            cluster: cluster_settings(&self.secret, vec![gateway]),
            node: node(n),
            role: Role::Storage(Box::new(settings)),
        };
        let options = StoreOptions {
            capacity_bytes: CAPACITY_BYTES,
            reserve_bytes: 1 << 20,
            log_bytes_max: 64 << 20,
            lock_wait: Duration::from_secs(10),
        };
        let store = tokio::task::spawn_blocking(move || Store::open(&dir, options)).await.unwrap().unwrap();
        let bound = Box::pin(StorageNode::bind(&settings, store)).await.unwrap();
        let stop = CancellationToken::new();
        let running = stop.clone();
        let run = async move { Box::pin(bound.run(running)).await.unwrap() };
        Running::start(run, stop)
    }

    async fn kill(&mut self, n: u8) {
        self.nodes[usize::from(n)].take().unwrap().end().await;
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}/api/v1{path}", self.addresses.https.port())
    }

    async fn put_pool(&self) {
        let member = |n| DesiredMember { node: node(n), zone: zone(n), capacity_bytes: CAPACITY_BYTES };
        let spec = PoolSpec {
            erasure: ErasureProfile::new(4, 2).unwrap(),
            cipher: Cipher::Aes256Gcm,
            ack_shards: None,
            members: (0..NODES).map(member).collect(),
        };
        let request = self.client.put(self.url("/admin/pools/main")).bearer_auth("admin-token-for-tests");
        let answered = request.json(&spec).send().await.unwrap();
        assert!(answered.status().is_success(), "{}", answered.text().await.unwrap());
    }

    async fn status_until(&self, good: impl Fn(&ClusterStatus) -> bool) -> ClusterStatus {
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

    async fn put(&self, key: &str, text: &[u8]) -> String {
        let request = self.client.put(self.url(&format!("/files/{key}"))).bearer_auth("user-token-for-tests");
        let answered = request.body(text.to_vec()).send().await.unwrap();
        let durability =
            answered.headers().get("datamesh-durability").map(|value| value.to_str().unwrap().to_owned());
        assert!(answered.status().is_success(), "{}", answered.text().await.unwrap());
        durability.unwrap()
    }

    async fn get(&self, key: &str) -> Vec<u8> {
        let request = self.client.get(self.url(&format!("/files/{key}"))).bearer_auth("user-token-for-tests");
        let answered = request.send().await.unwrap();
        assert!(answered.status().is_success(), "{}", answered.text().await.unwrap());
        answered.bytes().await.unwrap().to_vec()
    }
}

fn noise(seed: u8, bytes: usize) -> Vec<u8> {
    let mut out = vec![0; bytes];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut out);
    out
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_survive_dead_nodes_and_a_restarted_gateway() {
    let mut cluster = Cluster::start().await;
    cluster.put_pool().await;
    cluster.status_until(|status| status.pools.iter().all(|pool| pool.writable)).await;
    let first = noise(1, 20 << 20);
    assert_eq!(cluster.put("first", &first).await, "whole");
    assert!(cluster.get("first").await == first);

    cluster.kill(0).await;
    cluster.kill(3).await;
    assert!(cluster.get("first").await == first, "with two nodes dead");
    let second = noise(2, 20 << 20);
    cluster.put("second", &second).await;
    assert!(cluster.get("second").await == second);

    cluster.gateway.take().unwrap().end().await;
    let (gateway, addresses) = start_gateway(cluster.dir.path(), &cluster.secret).await;
    (cluster.gateway, cluster.addresses) = (Some(gateway), addresses);
    assert!(cluster.get("first").await == first, "the address book outlives the gateway");
    assert!(cluster.get("second").await == second);

    for n in [0, 3] {
        let running = cluster.start_node(n).await;
        cluster.nodes[usize::from(n)] = Some(running);
    }
    cluster.status_until(|status| status.pools[0].problems.is_empty()).await;
    assert_eq!(cluster.put("third", &first).await, "whole");
    for running in cluster.nodes.drain(..).flatten() {
        running.end().await;
    }
    cluster.gateway.take().unwrap().end().await;
}
