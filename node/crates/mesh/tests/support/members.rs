//! Members of a pool in one process: keepers over disks in memory, and wires that count what is asked.
#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses a part; all of it is for tests")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use datamesh_exchange::message::{Refusal, Request, Response};
use datamesh_exchange::net::{Answer, Net, NoAnswer};
use datamesh_mesh::keeper::{Keeper, KeeperParts, StorageService};
use datamesh_mesh::{Caller, Handler, MemoryRecords, Pace, Trust, worker};
use datamesh_placement::{Layout, SignedLayout, Table};
use datamesh_seal::{Certificate, MemberRole};
use datamesh_shard::{Incarnation, PeerKey};
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::shelf::MemoryShelf;
use crate::world::{World, cluster, pool};

type Member = (Arc<StorageService>, Arc<Trust>);

/// All members, and who may reach them.
#[derive(Default)]
pub(crate) struct Wires {
    services: Mutex<BTreeMap<PeerKey, Member>>,
    /// Requests between members.
    asked: Mutex<Vec<Request>>,
    /// Bytes of them and of their answers, without the shards.
    bytes: AtomicUsize,
    /// Members that know no digests, as those of older versions.
    pub(crate) older: AtomicBool,
    /// Members say digests of one partition at a time, as those with much to read.
    pub(crate) terse: AtomicBool,
    /// Seconds that a shard takes to another member.
    pub(crate) put_seconds: AtomicU64,
}

struct Link {
    wires: Arc<Wires>,
    me: PeerKey,
}

impl Link {
    async fn answer(
        &self,
        service: &StorageService,
        caller: Caller,
        mut request: Request,
        payload: Bytes,
    ) -> (Response, Bytes) {
        if let Request::Digests(asked) = &mut request
            && self.wires.terse.load(Ordering::SeqCst)
        {
            asked.partitions.truncate(1);
        }
        service.handle(caller, request, payload).await
    }
}

impl Net for Link {
    fn request<'a>(
        &'a self,
        peer: &'a PeerKey,
        request: Request,
        payload: Option<Bytes>,
        _: Duration,
    ) -> BoxFuture<'a, Answer> {
        async move {
            let found = self.wires.services.lock().get(peer).cloned();
            let (service, trust) = found.ok_or_else(|| NoAnswer("nobody there".into()))?;
            self.wires.asked.lock().push(request.clone());
            let caller = trust.accepts(self.me, None, Incarnation(1)).unwrap();
            // As over a network, others run in between.
            tokio::time::sleep(Duration::from_millis(1)).await;
            if matches!(request, Request::Put { .. }) {
                let seconds = self.wires.put_seconds.load(Ordering::SeqCst);
                tokio::time::sleep(Duration::from_secs(seconds)).await;
            }
            let is_new = matches!(request, Request::Digests(_) | Request::Slice { .. });
            let mut bytes = request.encode(0).unwrap().len();
            let answer = match is_new && self.wires.older.load(Ordering::SeqCst) {
                true => (Response::Refused(Refusal::BadRequest("not understood".into())), Bytes::new()),
                false => self.answer(&service, caller, request, payload.unwrap_or_default()).await,
            };
            bytes += answer.0.encode(0).unwrap().len();
            self.wires.bytes.fetch_add(bytes, Ordering::SeqCst);
            Ok(answer)
        }
        .boxed()
    }

    fn is_live(&self, peer: &PeerKey) -> bool {
        self.wires.services.lock().contains_key(peer)
    }

    fn p95(&self, _: &PeerKey) -> Option<Duration> {
        None
    }

    fn round_trip(&self, _: &PeerKey) -> Option<Duration> {
        None
    }
}

/// A pool.
pub(crate) struct Members {
    pub(crate) wires: Arc<Wires>,
    pub(crate) table: Table,
    pub(crate) shelves: Vec<Arc<MemoryShelf>>,
    _working: JoinSet<()>,
}

/// The key of member `n`.
pub(crate) fn peer(n: u8) -> PeerKey {
    PeerKey([n + 1; 32])
}

impl Members {
    /// So many, whose stewards and criers work at this pace.
    pub(crate) fn start(world: &World, count: u8, pace: Pace) -> Self {
        let peers: Vec<_> = (0..count).map(peer).collect();
        Self::of(world, world.layout(1, &peers), pace, |_, _| {})
    }

    /// Those of a layout, each with what is on its disk.
    pub(crate) fn of(
        world: &World,
        layout: SignedLayout,
        pace: Pace,
        fill: impl Fn(&Table, &[Arc<MemoryShelf>]),
    ) -> Self {
        let table = Table::compute(Layout::decode(&layout.bytes).unwrap()).unwrap();
        let (wires, mut working) = (Arc::<Wires>::default(), JoinSet::new());
        let shelves: Vec<_> = table.layout().members.iter().map(|_| Arc::<MemoryShelf>::default()).collect();
        fill(&table, &shelves);
        for (member, shelf) in table.layout().members.iter().zip(&shelves) {
            let (own, trust) = (member.peer, world.trust());
            trust.learn_layout(&layout).unwrap();
            let keeper = Keeper::new(KeeperParts {
                shelf: Arc::<MemoryShelf>::clone(shelf),
                records: Arc::new(MemoryRecords::default()),
                net: Arc::new(Link { wires: Arc::clone(&wires), me: own }),
                trust: Arc::clone(&trust),
                pool: pool(),
                own,
                clock: Arc::new(|| 1_800_000_000),
                pace,
            });
            let Keeper { service, steward, crier, .. } = keeper;
            wires.services.lock().insert(own, (Arc::new(service), trust));
            working.spawn(worker::run(steward, CancellationToken::new()));
            working.spawn(worker::run(crier, CancellationToken::new()));
        }
        Self { wires, table, shelves, _working: working }
    }

    /// What a gateway is answered by member `n`.
    pub(crate) async fn ask(&self, n: u16, request: Request, payload: Bytes) -> (Response, Bytes) {
        let peer = PeerKey([99; 32]);
        let node = cluster();
        let role = Certificate { role: MemberRole::Gateway, node, peer, not_after_unix: u64::MAX };
        let caller = Caller { role: Some(role), ..Caller::stranger(peer) };
        self.ask_as(caller, n, request, payload).await
    }

    /// The same for anybody.
    pub(crate) async fn ask_as(
        &self,
        caller: Caller,
        n: u16,
        request: Request,
        payload: Bytes,
    ) -> (Response, Bytes) {
        let of = self.table.layout().members[usize::from(n)].peer;
        let service = Arc::clone(&self.wires.services.lock()[&of].0);
        service.handle(caller, request, payload).await
    }

    /// Those that were not killed.
    pub(crate) fn left(&self) -> Vec<u16> {
        let services = self.wires.services.lock();
        let all = (0..).zip(&self.table.layout().members);
        all.filter(|(_, member)| services.contains_key(&member.peer)).map(|(n, _)| n).collect()
    }

    /// Bytes of requests and answers between members since the last call.
    pub(crate) fn bytes(&self) -> usize {
        self.wires.bytes.swap(0, Ordering::SeqCst)
    }

    /// Nobody reaches member `n` any more, and all know.
    pub(crate) fn kill(&self, n: u16) {
        let peer = self.table.layout().members[usize::from(n)].peer;
        self.wires.services.lock().remove(&peer);
    }

    /// What members asked of one another since the last call.
    pub(crate) fn asked(&self) -> Vec<Request> {
        std::mem::take(&mut *self.wires.asked.lock())
    }
}
