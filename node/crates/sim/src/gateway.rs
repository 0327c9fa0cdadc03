//! The simulated gateway process: the production core over a catalog whose commits take time, and can be cut off.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use datamesh_catalog::engine::{Gate, MemoryKeyspace};
use datamesh_catalog::record::RestoredRecord;
use datamesh_catalog::{CatalogOptions, EmbeddedCatalog};
use datamesh_gateway::Tokens;
use datamesh_gateway::embed::{
    BackupPace, EmbedConfig, EmbeddedGateway, RestoreConfig, Surroundings, restore,
};
use datamesh_mesh::worker;
use datamesh_seal::{ClusterSecret, Random};
use datamesh_settings::CatalogBackups;
use datamesh_shard::{Incarnation, NodeName, PeerKey};
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tower::ServiceExt;

use crate::dice::Dice;
use crate::life::{Aim, Life, own};
use crate::net::{Link, Me};
use crate::node::Surrounding;
use crate::run::PARTITIONS_LOG2;

/// How long garbage is kept for late readers.
const RETENTION_MS: u64 = 20_000;
/// How long what a put left behind waits for its gateway to live on: longer than any outage.
pub(crate) const PUT_LEASE: Duration = Duration::from_secs(120);
/// As with nodes: the proportions are those of production.
const BACKUP_PACE: BackupPace = BackupPace {
    part_every: Duration::from_secs(5),
    snapshot_every: Duration::from_secs(60),
    snapshot_rest: Duration::from_secs(10),
    margin: Duration::from_secs(2),
};
/// Nodes have half a minute to come, and a backup is a few segments.
const RESTORED_WITHIN: Duration = Duration::from_secs(600);
const TOKEN: &str = "the-token-of-the-simulation";
/// Buffers for all transfers of one gateway: nobody waits for memory here.
const BUFFER_BYTES: u64 = 256 << 20;
/// Room for a few of the objects, so that some are hit and some make room.
const CACHE_BYTES: u64 = 96 << 10;

struct Fate {
    life: Life,
    dice: Dice,
    aim: Aim,
}

impl Gate for Fate {
    fn before(&self) -> BoxFuture<'_, ()> {
        async {
            let _under_way = self.aim.begin();
            self.life.sleep(self.dice.millis(1, 8)).await;
        }
        .boxed()
    }

    fn after(&self) -> BoxFuture<'_, ()> {
        async {
            let _under_way = self.aim.begin();
            self.life.sleep(self.dice.millis(0, 4)).await;
        }
        .boxed()
    }
}

struct World {
    dice: Dice,
    clock: datamesh_mesh::keeper::Clock,
}

impl Random for World {
    fn fill(&self, bytes: &mut [u8]) {
        self.dice.fill(bytes);
    }
}

impl Surroundings for World {
    fn now_unix_ms(&self) -> u64 {
        (self.clock)() * 1000
    }
}

/// The gateway of a run, started and crashed over and over on one catalog.
pub(crate) struct Gateway {
    pub(crate) secret: Arc<ClusterSecret>,
    keyspace: MemoryKeyspace,
    peer: PeerKey,
    incarnation: Incarnation,
    /// Its catalog's commits.
    pub(crate) aim: Aim,
    running: watch::Sender<Option<Arc<Running>>>,
    /// Binary logarithm of the partitions it shall see to.
    pub(crate) partitions_log2: u8,
    /// Where its catalog is backed up to.
    pub(crate) backups: CatalogBackups,
    /// Reads answered from memory in lives before.
    hits_before: u64,
    /// Bytes coded anew in lives before.
    recoded_before: u64,
}

/// One life of it.
pub(crate) struct Running {
    pub(crate) embedded: EmbeddedGateway,
    pub(crate) catalog: EmbeddedCatalog,
    /// Its way to the nodes.
    pub(crate) net: Arc<Link>,
    router: Router,
    life: Life,
    /// The workers; dropped with it.
    _tasks: Vec<AbortOnDropHandle<()>>,
}

/// How a request ended.
#[derive(Debug)]
pub(crate) enum Ended {
    Answered(StatusCode, http::HeaderMap, Bytes),
    /// The gateway died meanwhile, or broke the answer off.
    Unknown,
}

impl Gateway {
    pub(crate) fn new(secret: ClusterSecret, peer: PeerKey) -> Self {
        Self {
            secret: Arc::new(secret),
            keyspace: MemoryKeyspace::new(),
            peer,
            incarnation: Incarnation(0),
            aim: Aim::default(),
            partitions_log2: PARTITIONS_LOG2,
            running: watch::Sender::new(None),
            backups: CatalogBackups::Mesh,
            hits_before: 0,
            recoded_before: 0,
        }
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Option<Arc<Running>>> {
        self.running.subscribe()
    }

    pub(crate) fn running(&self) -> Option<Arc<Running>> {
        self.running.borrow().clone()
    }

    pub(crate) async fn start(&mut self, surrounding: &Surrounding) -> Result<(), String> {
        self.incarnation = self.incarnation.next();
        let Surrounding { fabric, dice, cluster, clock, .. } = surrounding.clone();
        let life = Life::new();
        let name: NodeName = "gateway".parse().map_err(|_| "a name")?;
        let me = Me::gateway(self.peer, name.clone(), self.incarnation);
        let net = Arc::new(Link { fabric: fabric.clone(), me, life: life.clone() });
        let gate = Arc::new(Fate { life: life.clone(), dice: dice.clone(), aim: self.aim.clone() });
        let options = CatalogOptions { retention_ms: RETENTION_MS };
        let (keyspace, fingerprint) = (self.keyspace.clone().with_gate(gate), self.secret.fingerprint());
        let catalog = EmbeddedCatalog::in_memory(keyspace, &fingerprint, options);
        let catalog = catalog.await.map_err(|error| error.to_string())?;
        let embedded = EmbeddedGateway::assemble(EmbedConfig {
            cluster,
            gateway: name,
            secret: Arc::clone(&self.secret),
            tokens: Arc::new(Tokens::fixed(TOKEN, TOKEN).map_err(|error| error.to_string())?),
            catalog: catalog.clone(),
            net: net.clone(),
            surroundings: Arc::new(World { dice, clock }),
            buffer_bytes: BUFFER_BYTES,
            cache_bytes: CACHE_BYTES,
            request_limits: Default::default(),
            on_layout: Box::new(|_| {}),
            on_given_up: Box::new(|_| {}),
            mailer: None,
            targets: Vec::new(),
            providers: Default::default(),
            put_lease: PUT_LEASE,
            audit_retention: Duration::from_secs(datamesh_settings::AUDIT_RETENTION_SECONDS_DEFAULT),
            partitions_log2: Some(self.partitions_log2),
            catalog_backups: self.backups,
            backup_pace: BACKUP_PACE,
            backup_copies: None,
        })
        .await
        .map_err(|error| error.to_string())?;
        let never = CancellationToken::new();
        let workers = embedded.take_workers().into_iter();
        let mut tasks: Vec<_> = workers.map(|w| own(worker::run(w, never.clone()))).collect();
        let probe = fabric.probe(self.peer, life.clone(), surrounding.peers.clone(), None);
        tasks.push(own(probe));
        let router = embedded.router();
        self.running.send_replace(Some(Arc::new(Running {
            embedded,
            catalog,
            net,
            router,
            life,
            _tasks: tasks,
        })));
        Ok(())
    }

    /// Makes a catalog out of the newest backup, in place of the one there was.
    pub(crate) async fn restore(&mut self, surrounding: &Surrounding) -> Result<RestoredRecord, String> {
        self.crash();
        self.incarnation = self.incarnation.next();
        self.keyspace = MemoryKeyspace::new();
        let Surrounding { fabric, dice, cluster, clock, peers, .. } = surrounding.clone();
        let life = Life::new();
        let name: NodeName = "gateway".parse().map_err(|_| "a name")?;
        let me = Me::gateway(self.peer, name, self.incarnation);
        let _probing = own(fabric.clone().probe(self.peer, life.clone(), peers.clone(), None));
        let waits_for = Arc::new(Mutex::new(String::new()));
        let told = Arc::clone(&waits_for);
        let restoring = restore(RestoreConfig {
            cluster,
            secret: Arc::clone(&self.secret),
            net: Arc::new(Link { fabric, me, life }),
            nodes: peers,
            surroundings: Arc::new(World { dice, clock }),
            buffer_bytes: BUFFER_BYTES,
            options: CatalogOptions { retention_ms: RETENTION_MS },
            catalog: self.keyspace.clone(),
            waits: Box::new(move |reason| *told.lock() = reason),
        });
        match tokio::time::timeout(RESTORED_WITHIN, restoring).await {
            Ok(restored) => restored.map_err(|error| error.to_string()),
            Err(_) => Err(format!("it waits {}", waits_for.lock())),
        }
    }

    /// Reads answered from memory, in all lives.
    pub(crate) fn cache_hits(&self) -> u64 {
        self.hits_before + self.running().map_or(0, |running| running.embedded.cache_hits())
    }

    /// Bytes coded anew, in all lives.
    pub(crate) fn recoded_bytes(&self) -> u64 {
        self.recoded_before + self.running().map_or(0, |running| running.embedded.recoded_bytes())
    }

    /// The process ends at once, wherever it is; whether that was in the middle of a commit.
    pub(crate) fn crash(&mut self) -> bool {
        if let Some(running) = self.running.send_replace(None) {
            self.hits_before += running.embedded.cache_hits();
            self.recoded_before += running.embedded.recoded_bytes();
            running.life.end();
            running.embedded.cut_off();
        }
        // What is under way in a dead process stays so: the next one counts anew.
        std::mem::take(&mut self.aim).is_open()
    }
}

/// One request to the gateway that runs now, or runs next.
pub(crate) async fn ask(
    gateway: &mut watch::Receiver<Option<Arc<Running>>>,
    method: Method,
    path: &str,
    body: Vec<u8>,
) -> Ended {
    let Ok(running) = gateway.wait_for(Option::is_some).await.map(|running| running.clone()) else {
        return Ended::Unknown;
    };
    let Some(running) = running else { return Ended::Unknown };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"))
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONTENT_LENGTH, body.len())
        .body(Body::from(body));
    let Ok(request) = request else { return Ended::Unknown };
    let router = running.router.clone();
    let answering = async move {
        let Ok(response) = router.oneshot(request).await;
        let (parts, body) = response.into_parts();
        match body.collect().await {
            // A copy: the pieces themselves are buffers of the gateway's budget.
            Ok(whole) => {
                Ended::Answered(parts.status, parts.headers, Bytes::copy_from_slice(&whole.to_bytes()))
            }
            Err(_) => Ended::Unknown,
        }
    };
    let died = async {
        let _ = gateway.wait_for(|now| now.as_ref().is_none_or(|now| !Arc::ptr_eq(now, &running))).await;
    };
    tokio::select! {
        biased;
        ended = answering => ended,
        () = died => Ended::Unknown,
    }
}
