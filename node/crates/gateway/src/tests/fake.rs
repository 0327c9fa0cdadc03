//! A FAKE of the mesh and its storage nodes: shards in memory, failures on demand. It keeps the promises of the real
//! ones that the gateway relies on: shards are verified, puts are idempotent, old generations are not deleted.

mod anchors;
pub(crate) mod bucket;
mod lost;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use datamesh_exchange::anchor::AnchorId;
use datamesh_exchange::frame::FrameError;
use datamesh_exchange::message::{Refusal, Request, Response};
use datamesh_exchange::net::{Answer, Net, NoAnswer};
use datamesh_placement::SignedLayout;
use datamesh_settings::admin::{NodeReport, ScrubReport, ScrubSpec};
use datamesh_settings::mesh::MeshView;
use datamesh_shard::{Generation, Held, PeerKey, SegmentHeader, SegmentId, ShardIndex, ShardKey, ShardSet};
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::watch;

struct Kept {
    header: Bytes,
    payload: Bytes,
    generation: Generation,
}

#[derive(Default)]
struct Node {
    shards: BTreeMap<ShardKey, Kept>,
    /// Not reachable, and known to be.
    down: bool,
    /// Answers so many more requests, then none.
    answers_left: Option<usize>,
    /// Takes no new shards.
    full: bool,
    /// Takes so many more puts at once; the answers to later ones never come.
    quick_puts: Option<usize>,
    /// How long its disk takes for a shard.
    slow: Duration,
    /// Every shard it gives is damaged.
    lies: bool,
    /// It finds every shard corrupt, and says so.
    rotten: bool,
    layouts_learned: usize,
    /// Segments whose partitions it was asked to look at.
    looks: Vec<SegmentId>,
    /// Segments to be shredded, each time it was asked.
    shredded: Vec<SegmentId>,
    deletes: usize,
    /// Segments that were deleted, and the highest generation of that.
    deleted: BTreeMap<SegmentId, Generation>,
    scrub: ScrubReport,
    scrub_orders: usize,
    /// Of each chain the newest.
    anchors: BTreeMap<(u64, u64), (AnchorId, Bytes)>,
    layout: Option<SignedLayout>,
    /// It keeps no anchor, and says so.
    keeps_none: bool,
    /// Too busy to give an anchor.
    is_busy: bool,
}

/// A message as it lies on a connection before TLS: lengths and head, then the payload.
pub(super) struct Frame {
    pub(super) start: Bytes,
    pub(super) payload: Bytes,
}

/// All fake nodes.
pub(crate) struct FakeNodes {
    nodes: Mutex<HashMap<PeerKey, Node>>,
    stored: watch::Sender<usize>,
    /// What went over the wire, once somebody listens.
    wire: Mutex<Option<Vec<Frame>>>,
}

impl FakeNodes {
    pub(super) fn new(count: u8) -> Self {
        let nodes = (0..count).map(|n| (peer(n), Node::default())).collect();
        Self { nodes: Mutex::new(nodes), stored: watch::Sender::new(0), wire: Mutex::new(None) }
    }

    /// Keeps all that is sent to the nodes and answered by them from now on.
    pub(super) fn listen(&self) {
        *self.wire.lock() = Some(Vec::new());
    }

    /// What was sent and answered since the last call.
    pub(super) fn heard(&self) -> Vec<Frame> {
        self.wire.lock().replace(Vec::new()).unwrap_or_default()
    }

    /// `start` is encoded whether anyone listens or not: a message that fits no frame is wrong in every test.
    fn hear(&self, start: Result<Bytes, FrameError>, payload: &Bytes) {
        let start = start.unwrap();
        if let Some(wire) = &mut *self.wire.lock() {
            // A copy: the payload itself is a buffer of the gateway's budget.
            wire.push(Frame { start, payload: Bytes::copy_from_slice(payload) });
        }
    }

    fn change(&self, n: u8, change: impl FnOnce(&mut Node)) {
        change(self.nodes.lock().get_mut(&peer(n)).unwrap());
    }

    /// Segments this node was asked to shred, each time counted.
    pub(super) fn shredded(&self, n: u8) -> usize {
        self.nodes.lock()[&peer(n)].shredded.len()
    }

    /// Segments that node `n` was asked to look at.
    pub(super) fn looks(&self, n: u8) -> Vec<SegmentId> {
        self.nodes.lock()[&peer(n)].looks.clone()
    }

    pub(super) fn kill(&self, n: u8) {
        self.change(n, |node| node.down = true);
    }

    pub(super) fn revive(&self, n: u8) {
        self.change(n, |node| {
            node.down = false;
            node.answers_left = None;
        });
    }

    /// It dies after so many more answers, and nobody is told.
    pub(super) fn kill_after(&self, n: u8, answers: usize) {
        self.change(n, |node| node.answers_left = Some(answers));
    }

    pub(super) fn fill(&self, n: u8) {
        self.change(n, |node| node.full = true);
    }

    /// Takes new shards again.
    pub(super) fn make_room(&self, n: u8) {
        self.change(n, |node| node.full = false);
    }

    pub(super) fn hang_after(&self, n: u8, puts: usize) {
        self.change(n, |node| node.quick_puts = Some(puts));
    }

    /// Whether the node takes this put and never answers.
    fn hangs(&self, to: &PeerKey, request: &Request) -> bool {
        let mut nodes = self.nodes.lock();
        let left = nodes.get_mut(to).and_then(|node| node.quick_puts.as_mut());
        match (request, left) {
            (Request::Put { .. }, Some(0)) => true,
            (Request::Put { .. }, Some(left)) => {
                *left -= 1;
                false
            }
            _ => false,
        }
    }

    pub(super) fn lie(&self, n: u8, lies: bool) {
        self.change(n, |node| node.lies = lies);
    }

    pub(super) fn slow_down(&self, n: u8, slow: Duration) {
        self.change(n, |node| node.slow = slow);
    }

    /// How long the node's disk takes for this.
    fn takes(&self, to: &PeerKey, request: &Request) -> Duration {
        let is_on_disk = matches!(
            request,
            Request::Put { .. }
                | Request::Get { .. }
                | Request::GetRange { .. }
                | Request::DeleteSegment { .. }
                | Request::Anchors
        );
        self.nodes.lock().get(to).filter(|_| is_on_disk).map(|node| node.slow).unwrap_or_default()
    }

    pub(super) fn rot(&self, n: u8) {
        self.change(n, |node| node.rotten = true);
    }

    pub(super) fn shards(&self, n: u8) -> usize {
        self.nodes.lock()[&peer(n)].shards.len()
    }

    pub(super) fn all_shards(&self) -> usize {
        self.nodes.lock().values().map(|node| node.shards.len()).sum()
    }

    /// The segment headers of all shards.
    pub(super) fn headers(&self) -> Vec<Bytes> {
        let nodes = self.nodes.lock();
        nodes.values().flat_map(|node| node.shards.values()).map(|kept| kept.header.clone()).collect()
    }

    /// The generation of each segment, the highest of its shards.
    pub(super) fn generations(&self) -> BTreeMap<SegmentId, Generation> {
        let (nodes, mut all) = (self.nodes.lock(), BTreeMap::new());
        for (key, kept) in nodes.values().flat_map(|node| &node.shards) {
            let highest: &mut Generation = all.entry(key.segment).or_default();
            *highest = kept.generation.max(*highest);
        }
        all
    }

    /// Node `n` forgets what was deleted from it, as after a power cut or a day.
    pub(super) fn forget_deletes(&self, n: u8) {
        self.change(n, |node| node.deleted.clear());
    }

    pub(super) fn payload_bytes(&self) -> usize {
        let nodes = self.nodes.lock();
        nodes.values().flat_map(|node| node.shards.values()).map(|kept| kept.payload.len()).sum()
    }

    pub(super) fn layouts_learned(&self, n: u8) -> usize {
        self.nodes.lock()[&peer(n)].layouts_learned
    }

    /// What the node says of its scrub, and how often it was told how to.
    pub(super) fn scrub(&self, n: u8) -> (ScrubReport, usize) {
        let nodes = self.nodes.lock();
        let node = &nodes[&peer(n)];
        (node.scrub, node.scrub_orders)
    }

    pub(super) fn scrubbed(&self, n: u8, report: ScrubReport) {
        self.change(n, |node| node.scrub = report);
    }

    pub(super) fn deletes(&self) -> usize {
        self.nodes.lock().values().map(|node| node.deletes).sum()
    }

    /// Waits until so many shards were stored in all, since the beginning.
    pub(super) async fn stored(&self, count: usize) {
        self.stored.subscribe().wait_for(|stored| *stored >= count).await.unwrap();
    }

    /// Whether any node holds these bytes.
    pub(super) fn holds(&self, needle: &[u8]) -> bool {
        let nodes = self.nodes.lock();
        let mut kept = nodes.values().flat_map(|node| node.shards.values());
        kept.any(|kept| kept.payload.windows(needle.len()).any(|window| window == needle))
    }

    fn answer(&self, to: &PeerKey, request: &Request, payload: &Bytes) -> Answer {
        let mut nodes = self.nodes.lock();
        let node = nodes.get_mut(to).ok_or_else(|| NoAnswer("unknown".into()))?;
        match &mut node.answers_left {
            Some(0) => return Err(NoAnswer("died".into())),
            Some(left) => *left -= 1,
            None if node.down => return Err(NoAnswer("down".into())),
            None => {}
        }
        let nothing = |response| Ok((response, Bytes::new()));
        match request {
            Request::Put { key, generation, header, .. } => {
                let answer = node.put(*key, *generation, (header, payload))?;
                self.stored.send_modify(|stored| *stored += usize::from(answer == Response::Done));
                nothing(answer)
            }
            Request::Get { key } => match node.shards.get(key) {
                None => nothing(Response::Refused(Refusal::NotFound)),
                Some(_) if node.rotten => {
                    nothing(Response::Refused(Refusal::Corrupt { detail: "in a test".into() }))
                }
                Some(kept) => {
                    Ok((Response::Shard { header: kept.header.clone() }, node.given(&kept.payload)))
                }
            },
            Request::GetRange { key, offset, len } => match node.shards.get(key) {
                None => nothing(Response::Refused(Refusal::NotFound)),
                Some(kept) => {
                    let (from, len) = (*offset as usize, *len as usize);
                    Ok((Response::Range, node.given(&kept.payload.slice(from..from + len))))
                }
            },
            &Request::Inventory { partitions_log2, partition, after } => {
                nothing(Response::Inventory(node.inventory(partitions_log2, partition, after)))
            }
            Request::Locate { segment } => nothing(Response::Located(node.located(*segment))),
            Request::Delete { key, generation } => {
                node.deletes += 1;
                node.shards.retain(|kept_key, kept| kept_key != key || kept.generation > *generation);
                nothing(Response::Done)
            }
            Request::Mesh => nothing(Response::Mesh(MeshView::default())),
            Request::Report => nothing(Response::Report(node.report())),
            &Request::Scrub { period_seconds, paused, max_bytes_per_second } => {
                node.ordered(ScrubSpec { period_seconds, paused, max_bytes_per_second })
            }
            Request::Layout(signed) => nothing(node.learn(signed)),
            Request::DeleteSegment { segment, generation } => {
                node.delete(*segment, *generation);
                nothing(Response::Done)
            }
            Request::Look { segments } => {
                node.looks.extend(segments);
                nothing(Response::Done)
            }
            Request::Shred { segments } => nothing(node.shred(segments)),
            Request::KeepAnchor { .. }
            | Request::ForgetAnchors { .. }
            | Request::Anchors
            | Request::Anchor { .. }
            | Request::NewestLayout => nothing(node.of_backups(request)),
            Request::Hello { .. }
            | Request::Join(_)
            | Request::Standing
            | Request::Replica
            | Request::Digests(_)
            | Request::Slice { .. }
            | Request::Home { .. }
            | Request::Stewardship { .. } => nothing(Response::Refused(Refusal::Busy)),
        }
    }
}

impl Node {
    fn put(
        &mut self,
        key: ShardKey,
        generation: Generation,
        (header, payload): (&Bytes, &Bytes),
    ) -> Result<Response, NoAnswer> {
        if self.full {
            return Ok(Response::Refused(Refusal::Full));
        }
        let checked = SegmentHeader::decode(header).unwrap().verify(key, payload);
        checked.map_err(|error| NoAnswer(format!("the gateway sent a wrong shard: {error}")))?;
        if self.deleted.get(&key.segment).is_some_and(|deleted| *deleted >= generation) {
            return Ok(Response::Refused(Refusal::StaleGeneration));
        }
        let known = self.shards.get(&key).map(|kept| kept.generation).unwrap_or_default();
        let (header, payload) = (header.clone(), Bytes::copy_from_slice(payload));
        self.shards.insert(key, Kept { header, payload, generation: known.max(generation) });
        Ok(Response::Done)
    }

    fn delete(&mut self, segment: SegmentId, generation: Generation) {
        self.deletes += 1;
        let deleted = self.deleted.entry(segment).or_default();
        *deleted = (*deleted).max(generation);
        self.shards.retain(|key, kept| key.segment != segment || kept.generation > generation);
    }

    fn learn(&mut self, signed: &SignedLayout) -> Response {
        self.layouts_learned += 1;
        self.layout = Some(signed.clone());
        Response::Done
    }

    /// Done when it is asked for the second time.
    fn shred(&mut self, segments: &[SegmentId]) -> Response {
        self.shredded.extend(segments);
        Response::Shredding { done: self.shredded.len() > segments.len(), left: 0 }
    }

    /// A page of what it has of a partition, by rising segment.
    fn inventory(&self, partitions_log2: u8, partition: u32, after: Option<SegmentId>) -> Vec<Held> {
        let (from, to) = datamesh_placement::segments_of(partitions_log2, partition).unwrap();
        let mut all: BTreeMap<SegmentId, Held> = BTreeMap::new();
        let within = |id: &SegmentId| *id >= from && to.is_none_or(|to| *id < to) && Some(*id) > after;
        for (key, kept) in self.shards.iter().filter(|(key, _)| within(&key.segment)) {
            let profile = SegmentHeader::decode(&kept.header).unwrap().profile();
            let new =
                Held { segment: key.segment, profile, generation: kept.generation, shards: ShardSet::EMPTY };
            let held = all.entry(key.segment).or_insert(new);
            held.shards.insert(key.index);
            held.generation = held.generation.max(kept.generation);
        }
        all.into_values().take(datamesh_exchange::message::INVENTORY_ROWS_MAX).collect()
    }

    fn located(&self, segment: SegmentId) -> Vec<ShardIndex> {
        self.shards.keys().filter(|key| key.segment == segment).map(|key| key.index).collect()
    }

    fn report(&self) -> NodeReport {
        let (shards, scrub) = (self.shards.len() as u64, Some(self.scrub));
        NodeReport { shards, accepting: !self.full, scrub, ..NodeReport::default() }
    }

    fn ordered(&mut self, scrub: ScrubSpec) -> Answer {
        self.scrub.ordered = scrub;
        self.scrub_orders += 1;
        Ok((Response::Done, Bytes::new()))
    }

    fn given(&self, payload: &Bytes) -> Bytes {
        if !self.lies {
            return payload.clone();
        }
        let mut damaged = payload.to_vec();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 1;
        damaged.into()
    }
}

impl Net for FakeNodes {
    fn request<'a>(
        &'a self,
        to: &'a PeerKey,
        request: Request,
        payload: Option<Bytes>,
        timeout: Duration,
    ) -> BoxFuture<'a, Answer> {
        async move {
            let payload = payload.unwrap_or_default();
            self.hear(request.encode(payload.len()), &payload);
            if self.hangs(to, &request) {
                tokio::time::sleep(timeout).await;
                return Err(NoAnswer("no answer in time".into()));
            }
            let slow = self.takes(to, &request);
            if !slow.is_zero() {
                tokio::time::sleep(slow).await;
            }
            // As over a network, others run in between.
            tokio::task::yield_now().await;
            let (response, given) = self.answer(to, &request, &payload)?;
            self.hear(response.encode(given.len()), &given);
            Ok((response, given))
        }
        .boxed()
    }

    fn is_live(&self, peer: &PeerKey) -> bool {
        self.nodes.lock().get(peer).is_some_and(|node| !node.down)
    }

    fn round_trip(&self, _: &PeerKey) -> Option<Duration> {
        None
    }

    fn p95(&self, _: &PeerKey) -> Option<Duration> {
        Some(Duration::from_secs(1))
    }
}

/// The key of fake node `n`.
pub(super) fn peer(n: u8) -> PeerKey {
    PeerKey([n + 1; 32])
}
