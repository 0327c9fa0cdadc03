//! A cluster's key and what it signs, and a server that keeps shards in memory.
#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses a part; all of it is for tests")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use datamesh_exchange::message::{Joined, Refusal, Request, Response};
use datamesh_mesh::{BulkServer, Caller, Handler, Identity, Peers, Trust, now_unix};
use datamesh_placement::{LAYOUT_CONTEXT, Layout, Member, SignedLayout};
use datamesh_seal::{Certificate, ClusterSecret, ClusterSigningKey, MemberRole, SignedCertificate};
use datamesh_settings::Endpoint;
use datamesh_shard::{
    Epoch, ErasureProfile, Generation, Incarnation, NodeName, PeerKey, PoolName, SegmentHeader, ShardIndex,
    ShardKey, ZoneName, leaf_hash,
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
pub(crate) const LOOPBACK: &str = "127.0.0.1:0";

pub(crate) fn cluster() -> NodeName {
    NodeName::new("test").unwrap()
}

pub(crate) fn pool() -> PoolName {
    PoolName::new("fast").unwrap()
}

pub(crate) fn zone() -> ZoneName {
    ZoneName::new("a").unwrap()
}

pub(crate) struct World {
    pub(crate) key: ClusterSigningKey,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { key: ClusterSecret::generate().signing_key() }
    }

    pub(crate) fn trust(&self) -> Arc<Trust> {
        Arc::new(Trust::new(cluster(), self.key.public(), Box::new(|_, _| {})))
    }

    pub(crate) fn certificate(&self, role: MemberRole, peer: PeerKey, seconds: i64) -> SignedCertificate {
        let not_after_unix = now_unix().checked_add_signed(seconds).unwrap();
        let node = NodeName::new("someone").unwrap();
        SignedCertificate::sign(&self.key, Certificate { role, node, peer, not_after_unix })
    }

    /// A trust that shows a gateway's certificate.
    pub(crate) fn gateway_trust(&self, identity: &Identity) -> Arc<Trust> {
        let trust = self.trust();
        trust
            .set_own(&self.certificate(MemberRole::Gateway, identity.peer(), 3600), &identity.peer())
            .unwrap();
        trust
    }

    pub(crate) fn layout(&self, epoch: u64, peers: &[PeerKey]) -> SignedLayout {
        self.layout_of(epoch, peers, (1, 1), 4)
    }

    /// Of this profile and so many partitions, by their binary logarithm.
    pub(crate) fn layout_of(
        &self,
        epoch: u64,
        peers: &[PeerKey],
        (data, parity): (u8, u8),
        partitions_log2: u8,
    ) -> SignedLayout {
        let member = |(i, peer): (usize, &PeerKey)| Member {
            node: NodeName::new(&format!("node-{i}")).unwrap(),
            peer: *peer,
            zone: zone(),
            capacity_bytes: 1 << 30,
            draining: false,
        };
        let layout = Layout {
            cluster: cluster(),
            pool: pool(),
            profile: ErasureProfile::new(data, parity).unwrap(),
            epoch: Epoch(epoch),
            partitions_log2,
            members: peers.iter().enumerate().map(member).collect(),
            earlier: Vec::new(),
            holders: Vec::new(),
        };
        let bytes = layout.encode();
        let signature = self.key.sign(LAYOUT_CONTEXT, &bytes);
        SignedLayout { bytes, signature }
    }
}

/// A 1+1 segment of these bytes: its header and its two shards' keys.
pub(crate) fn segment(payload: &[u8]) -> (Bytes, [ShardKey; 2]) {
    let leaf = leaf_hash(payload);
    let profile = ErasureProfile::new(1, 1).unwrap();
    let header =
        SegmentHeader::new(profile, u32::try_from(payload.len()).unwrap(), vec![leaf, leaf]).unwrap();
    let key = |index| ShardKey { segment: header.id(), index: ShardIndex(index) };
    (header.encode(), [key(0), key(1)])
}

pub(crate) fn put(key: ShardKey, header: &Bytes, epoch: u64) -> Request {
    Request::Put { key, pool: pool(), epoch: Epoch(epoch), generation: Generation(0), header: header.clone() }
}

/// Bytes that differ from place to place and by `seed`.
pub(crate) fn noise(seed: u64, len: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..len).map(|_| next()).collect()
}

/// What a gateway says to who may join.
pub(crate) type Answer = dyn Fn(&Caller) -> Joined + Send + Sync;

/// Keeps shards in memory; lets anyone in who joins with the token "good".
#[derive(Clone, Default)]
pub(crate) struct MemoryShards {
    pub(crate) shards: Arc<parking_lot::Mutex<HashMap<ShardKey, (Bytes, Bytes)>>>,
    pub(crate) joins: Arc<AtomicU64>,
    pub(crate) asked: Arc<AtomicU64>,
    pub(crate) answer: Option<Arc<Answer>>,
    pub(crate) active: Arc<AtomicU64>,
    /// Most requests that were being answered at one time.
    pub(crate) busiest: Arc<AtomicU64>,
}

impl Handler for MemoryShards {
    async fn handle(&self, from: Caller, request: Request, payload: Bytes) -> (Response, Bytes) {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.busiest.fetch_max(self.active.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        self.active.fetch_sub(1, Ordering::SeqCst);
        let response = match request {
            Request::Put { key, header, .. } => {
                self.shards.lock().insert(key, (header, payload));
                Response::Done
            }
            Request::Get { key } => match self.shards.lock().get(&key).cloned() {
                Some((header, payload)) => return (Response::Shard { header }, payload),
                None => Response::Refused(Refusal::NotFound),
            },
            Request::Join(join) => match &self.answer {
                Some(answer) if join.token == "good" => {
                    self.joins.fetch_add(1, Ordering::SeqCst);
                    Response::Joined(answer(&from))
                }
                _ => Response::Refused(Refusal::TokenRejected("not good".into())),
            },
            _ => Response::Refused(Refusal::BadRequest("not in this test".into())),
        };
        (response, Bytes::new())
    }
}

pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) peer: PeerKey,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Running {
    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint { host: "127.0.0.1".into(), mesh_port: 0, bulk_port: self.address.port() }
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.tasks.join_all().await;
    }
}

pub(crate) async fn serve(
    listen: SocketAddr,
    identity: &Identity,
    trust: Arc<Trust>,
    handler: MemoryShards,
) -> Running {
    serve_as(listen, identity, trust, handler, Incarnation(1)).await
}

pub(crate) async fn serve_as(
    listen: SocketAddr,
    identity: &Identity,
    trust: Arc<Trust>,
    handler: MemoryShards,
    incarnation: Incarnation,
) -> Running {
    let server = BulkServer::bind(listen, identity, trust, incarnation, handler).await.unwrap();
    let (address, stop) = (server.local_addr(), CancellationToken::new());
    let mut tasks = JoinSet::new();
    tasks.spawn(server.run(stop.clone()));
    Running { address, peer: identity.peer(), stop, tasks }
}

/// A gateway's client side.
pub(crate) fn gateway(world: &World) -> Peers {
    let identity = Identity::generate().0;
    let trust = world.gateway_trust(&identity);
    Peers::new(identity, trust, Incarnation(1))
}

pub(crate) fn loopback() -> SocketAddr {
    LOOPBACK.parse().unwrap()
}
