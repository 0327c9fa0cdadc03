//! Several gateways, three unless a test says otherwise, and six storage nodes in one process, over real sockets.

use std::path::PathBuf;
use std::time::Duration;

use datamesh_gateway::{Addresses, Gateway, GatewayError};
use datamesh_seal::ClusterSecret;
use datamesh_settings::admin::ClusterStatus;
use datamesh_settings::{
    CatalogMove, DatabaseFiles, Endpoint, GatewayAddress, GatewaySettings, Listen, Role, SETTINGS_VERSION,
    Settings,
};
use datamesh_shard::{ErasureProfile, NodeName};
use futures::future::{join_all, try_join_all};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::cluster::{self, NODES, Running, any, cluster_settings, settings_of_gateway};

/// Asking again whether something has come true: over HTTP there is no event to wait for.
const PAUSE: Duration = Duration::from_millis(50);
const ASKED_MAX: usize = 2400;

pub(crate) struct Gateways {
    dir: TempDir,
    secret: ClusterSecret,
    client: reqwest::Client,
    endpoints: Vec<Endpoint>,
    https: Vec<u16>,
    /// So many gateways stay, from the first, and so many after those leave, by what each is told from its next start on.
    stay: usize,
    leave: usize,
    running: Vec<Option<Running>>,
    addresses: Vec<Option<Addresses>>,
    nodes: Vec<Running>,
    /// Who led when somebody asked last.
    leader: Option<usize>,
    /// What gateways are told of where the catalog is.
    pub(crate) place: Place,
}

/// What gateways are told of where the catalog is; the database is named by a file.
#[derive(Clone, Default)]
pub(crate) enum Place {
    #[default]
    Volumes,
    /// It moves.
    Both(PathBuf, CatalogMove),
    Database(PathBuf),
}

/// Puts and gets through one of several gateways.
pub(crate) struct Client {
    client: reqwest::Client,
    addresses: Vec<Option<Addresses>>,
}

fn name(at: usize) -> NodeName {
    NodeName::new(&format!("gw-{at}")).unwrap()
}

/// A port that was free a moment ago.
fn port() -> u16 {
    std::net::TcpListener::bind(any()).unwrap().local_addr().unwrap().port()
}

impl Gateways {
    fn prepare(gateways: usize) -> Self {
        let (dir, secret, certificate) = cluster::files();
        let endpoint = |_| Endpoint { host: "127.0.0.1".to_owned(), mesh_port: port(), bulk_port: port() };
        Self {
            dir,
            secret,
            client: cluster::client(&certificate),
            endpoints: (0..gateways).map(endpoint).collect(),
            https: (0..gateways).map(|_| port()).collect(),
            stay: gateways,
            leave: 0,
            running: (0..gateways).map(|_| None).collect(),
            addresses: vec![None; gateways],
            nodes: Vec::new(),
            leader: None,
            place: Place::default(),
        }
    }

    /// All three at once, and the storage nodes.
    pub(crate) async fn start() -> Self {
        Self::start_of(3).await
    }

    /// The same of so many.
    pub(crate) async fn start_of(gateways: usize) -> Self {
        let mut all = Self::prepare(gateways);
        all.start_all().await;
        all.start_nodes().await;
        all
    }

    /// The first alone, and the storage nodes.
    pub(crate) async fn start_alone() -> Self {
        let mut three = Self::prepare(3);
        three.start_one_alone(0).await.unwrap();
        three.start_nodes().await;
        three
    }

    /// Starts all that stay as members of one group.
    pub(crate) async fn start_all(&mut self) {
        self.restart_together(0..self.stay).await;
    }

    /// Starts one that keeps its catalog alone.
    pub(crate) async fn start_one_alone(&mut self, at: usize) -> Result<(), GatewayError> {
        let (_, running, addresses) = self.bind_again(at, false).await?;
        (self.running[at], self.addresses[at]) = (Some(running), Some(addresses));
        Ok(())
    }

    /// From the next start of each on, so many stay and so many leave.
    pub(crate) fn tell(&mut self, stay: usize, leave: usize) {
        (self.stay, self.leave) = (stay, leave);
    }

    /// Stops one in order.
    pub(crate) async fn stop(&mut self, at: usize) {
        self.running[at].take().unwrap().end().await;
        self.addresses[at] = None;
    }

    /// Starts one of them again.
    pub(crate) async fn restart(&mut self, at: usize) {
        let (_, running, addresses) = self.bind_again(at, true).await.unwrap();
        (self.running[at], self.addresses[at]) = (Some(running), Some(addresses));
    }

    /// The same of one that leaves: it waits for ever where it has lost its vote before it is there.
    pub(crate) async fn restart_within(&mut self, at: usize, limit: Duration) {
        if let Ok(bound) = tokio::time::timeout(limit, self.bind_again(at, true)).await {
            let (_, running, addresses) = bound.unwrap();
            (self.running[at], self.addresses[at]) = (Some(running), Some(addresses));
        }
    }

    /// What was killed gives its folder and its ports back when its last task is gone. Until then, whoever looks into the folder,
    /// which takes no lock, may miss a file that was there a moment ago.
    async fn bind_again(
        &self,
        at: usize,
        together: bool,
    ) -> Result<(usize, Running, Addresses), GatewayError> {
        let mut bound = self.bind(at, together).await;
        for _ in 0..ASKED_MAX {
            let Err(error) = &bound else { break };
            let text = error.to_string();
            if !["open elsewhere", "in use", "cannot listen on", "While open a file for random read"]
                .iter()
                .any(|passes| text.contains(passes))
            {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            bound = self.bind(at, together).await;
        }
        bound
    }

    async fn bind(&self, at: usize, together: bool) -> Result<(usize, Running, Addresses), GatewayError> {
        let member = |(at, endpoint): (usize, &Endpoint)| GatewayAddress {
            node: name(at),
            endpoint: endpoint.clone(),
        };
        let (catalog_move, database, names_others) = match &self.place {
            Place::Volumes => (None, None, true),
            Place::Both(uri_file, to) => (Some(*to), Some(uri_file.clone()), true),
            Place::Database(uri_file) => (None, Some(uri_file.clone()), false),
        };
        let told = self.endpoints.iter().enumerate().map(member).take(self.stay + self.leave);
        let mut told: Vec<GatewayAddress> = told.collect();
        if !together || !names_others || told.len() == 1 {
            told.clear();
        }
        let catalog_leaving = told.split_off(self.stay.min(told.len()));
        let on = |port| std::net::SocketAddr::from(([127, 0, 0, 1], port));
        let Endpoint { mesh_port, bulk_port, .. } = self.endpoints[at];
        let gateway = GatewaySettings {
            catalog_members: told,
            catalog_leaving,
            catalog_move,
            catalog_database: database.map(|uri_file| DatabaseFiles { uri_file, ca_file: None }),
            https: on(self.https[at]),
            listen: Listen { mesh: on(mesh_port), bulk: on(bulk_port), health: any() },
            ..settings_of_gateway(self.dir.path(), name(at).as_str())
        };
        let settings = Settings {
            version: SETTINGS_VERSION,
            cluster: cluster_settings(&self.secret, self.endpoints.clone()),
            node: name(at),
            role: Role::Gateway(Box::new(gateway)),
        };
        let gateway = Box::pin(Gateway::bind(&settings)).await?;
        let (addresses, stop) = (gateway.addresses(), CancellationToken::new());
        let running = stop.clone();
        let run = async move { Box::pin(gateway.run(running)).await.unwrap() };
        Ok((at, Running::start(run, stop), addresses))
    }

    async fn start_nodes(&mut self) {
        for n in 0..NODES {
            let endpoints = self.endpoints.clone();
            self.nodes.push(cluster::start_node(self.dir.path(), &self.secret, n, endpoints).await);
        }
    }

    /// Names a database.
    pub(crate) fn database(&self, uri: &str) -> PathBuf {
        let file = self.dir.path().join(cluster::DATABASE_FILE);
        std::fs::write(&file, uri).unwrap();
        file
    }

    /// Starts these, which wait for one another.
    pub(crate) async fn restart_together(&mut self, which: impl Iterator<Item = usize>) {
        for (at, running, addresses) in try_join_all(which.map(|at| self.bind_again(at, true))).await.unwrap()
        {
            (self.running[at], self.addresses[at]) = (Some(running), Some(addresses));
        }
    }

    pub(crate) fn dir(&self, at: usize) -> PathBuf {
        self.dir.path().join(name(at).as_str())
    }

    pub(crate) async fn kill(&mut self, at: usize) {
        if let Some(running) = self.running[at].take() {
            running.kill().await;
        }
        self.addresses[at] = None;
    }

    /// In one step: what was killed may still be writing a file of it.
    pub(crate) fn lose_volume(&self, at: usize) {
        let lost = tempfile::tempdir_in(self.dir.path()).unwrap().keep();
        std::fs::rename(self.dir(at), lost.join("volume")).unwrap();
    }

    pub(crate) fn client(&self) -> Client {
        Client { client: self.client.clone(), addresses: self.addresses.clone() }
    }

    pub(crate) async fn put_pool(&self, at: usize) {
        let spec = cluster::pool_spec(ErasureProfile::new(4, 2).unwrap(), false);
        let request = self.client.put(self.client().url(at, "/admin/pools/main"));
        let answered = request.bearer_auth("admin-token-for-tests").json(&spec).send().await.unwrap();
        assert!(answered.status().is_success(), "{}", answered.text().await.unwrap());
    }

    pub(crate) async fn status(&self, at: usize) -> Result<ClusterStatus, reqwest::Error> {
        let request = self.client.get(self.client().url(at, "/status")).bearer_auth("user-token-for-tests");
        request.send().await?.error_for_status()?.json().await
    }

    pub(crate) async fn until_at(&self, at: usize, good: impl Fn(&ClusterStatus) -> bool) {
        let mut last = None;
        for _ in 0..ASKED_MAX {
            let status = self.status(at).await;
            if status.as_ref().is_ok_and(&good) {
                return;
            }
            last = Some(status);
            tokio::time::sleep(PAUSE).await;
        }
        panic!("it never came true at {at}: {last:#?}");
    }

    /// Until all that stay say so.
    pub(crate) async fn until(&self, good: impl Fn(&ClusterStatus) -> bool) {
        for at in 0..self.stay {
            self.until_at(at, &good).await;
        }
    }

    /// Who leads, as all see it that run.
    pub(crate) async fn leader(&mut self) -> usize {
        let at = (0..self.addresses.len()).find(|at| self.addresses[*at].is_some()).unwrap();
        self.until_at(at, |status| status.catalog.members.iter().any(|member| member.leads)).await;
        let status = self.status(at).await.unwrap();
        self.leader = status.catalog.members.iter().position(|member| member.leads);
        self.leader.unwrap()
    }

    pub(crate) async fn put(&self, at: usize, key: &str, bytes: &[u8]) -> Result<(), reqwest::Error> {
        self.client().put(at, key, bytes).await
    }

    pub(crate) async fn get(&self, at: usize, key: &str) -> Result<Vec<u8>, reqwest::Error> {
        self.client().get(at, key).await
    }

    pub(crate) async fn end(self) {
        join_all(self.running.into_iter().flatten().map(Running::end)).await;
        join_all(self.nodes.into_iter().map(Running::end)).await;
    }
}

impl Client {
    fn url(&self, at: usize, path: &str) -> String {
        format!("https://localhost:{}/api/v1{path}", self.addresses[at].unwrap().https.port())
    }

    pub(crate) async fn put(&self, at: usize, key: &str, bytes: &[u8]) -> Result<(), reqwest::Error> {
        let request = self.client.put(self.url(at, &format!("/files/{key}")));
        let request = request.bearer_auth("user-token-for-tests").body(bytes.to_vec());
        request.send().await?.error_for_status().map(drop)
    }

    pub(crate) async fn get(&self, at: usize, key: &str) -> Result<Vec<u8>, reqwest::Error> {
        let request = self.client.get(self.url(at, &format!("/files/{key}")));
        let answered = request.bearer_auth("user-token-for-tests").send().await?.error_for_status()?;
        Ok(answered.bytes().await?.to_vec())
    }

    /// Puts through one of these, whichever takes it: a failure is one that a retry mends.
    pub(crate) async fn put_until_done(&self, through: &[usize], key: &str, bytes: &[u8]) {
        let mut failures = Vec::new();
        for at in through.iter().cycle().take(100) {
            match self.put(*at, key, bytes).await {
                Ok(()) => return,
                Err(error) => failures.push(error.to_string()),
            }
            tokio::time::sleep(PAUSE).await;
        }
        panic!("no retry mends it: {failures:?}");
    }
}
