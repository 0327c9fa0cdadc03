//! Brings k shards of one segment together: drives a [`GetMachine`] against the mesh.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use datamesh_buffers::{Payload, Place};
use datamesh_catalog::SegmentRef;
use datamesh_exchange::message::{Refusal, Request, Response};
use datamesh_exchange::{Doubt, GetAction, GetBudget, GetFailure, GetMachine};
use datamesh_shard::{SegmentHeader, ShardIndex, ShardKey};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::time::Instant;

use super::budget::Cut;
use super::context::Context;
use super::cpu::Stopped;
use super::probe;
use crate::metrics::Stage;
use crate::pools::reputation::Asked;
use crate::pools::{Sources, ended};

/// Bounds of the time after which a shard counts as late: its peer's own p95 decides between them.
const HEDGE_MIN: Duration = Duration::from_millis(25);
const HEDGE_MAX: Duration = Duration::from_secs(2);
/// Until a peer's p95 is known.
const HEDGE_DEFAULT: Duration = Duration::from_millis(250);
/// What is not there by then is given up.
const GIVE_UP: Duration = Duration::from_secs(30);
/// The transport's patience with one shard.
const FETCH_TIMEOUT: Duration = Duration::from_secs(15);
/// Times a segment is read again whose fetches failed in passing, or brought nothing; with the pauses, about the 5 s after which the mesh
/// asks a silent node anew.
const RETRIES_MAX: u32 = 4;
/// Before the first of those; each next one is twice as long.
const RETRY_PAUSE: Duration = Duration::from_millis(400);

/// How shards are proven as they arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// They are of the segment and of the right length by their header; the sealed frames in them prove the rest.
    Frames,
    /// Each is held against its leaf.
    Leaves,
}

/// The shards that suffice.
pub(super) struct Gathered {
    /// Data shards that lie where they were wanted.
    pub(super) there: Vec<ShardIndex>,
    /// The others.
    pub(super) elsewhere: BTreeMap<ShardIndex, Bytes>,
}

/// Shards as they arrive.
type Arrived = BTreeMap<ShardIndex, Payload>;

impl Gathered {
    /// Their places are given back with that.
    fn of(arrived: Arrived) -> Self {
        let mut gathered = Self { there: Vec::new(), elsewhere: BTreeMap::new() };
        for (index, payload) in arrived {
            match payload {
                Payload::There(_) => gathered.there.push(index),
                Payload::Elsewhere(bytes) => drop(gathered.elsewhere.insert(index, bytes)),
            }
        }
        gathered
    }
}

/// Why a segment's shards could not be brought together.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error(transparent)]
    Machine(#[from] GetFailure),
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

enum Event {
    Shard(ShardIndex, u16, Got),
    Located(u16, Option<Vec<ShardIndex>>),
}

enum Got {
    Verified(Payload),
    Missing,
    Corrupt,
    /// Not what its proof says, given as if it were.
    Wrong,
    Failed,
    Stopped,
}

/// One segment to be read.
pub(super) struct Fetch<'a> {
    pub(super) context: &'a Context,
    pub(super) reference: &'a SegmentRef,
    pub(super) sources: Sources,
    /// Where data shards are to land, by index.
    pub(super) places: Option<&'a Cut>,
}

impl Fetch<'_> {
    /// k shards, data shards first. A node that is just restarting, a connection that just broke, and a shard that went
    /// home between two questions look like a loss, and one that was changed on its way like a corrupt one: all that is asked
    /// again before the read is given up.
    pub(super) async fn gather(&self, proof: Proof) -> Result<Gathered, FetchError> {
        let mut pause = RETRY_PAUSE;
        for _ in 0..RETRIES_MAX {
            match self.attempt(proof).await {
                Err(FetchError::Machine(
                    GetFailure::TooFewShards { failed: 1.., .. }
                    | GetFailure::TooFewShards { missing: 1.., .. }
                    | GetFailure::TooFewShards { corrupt: 1.., .. },
                )) => {}
                outcome => return outcome,
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        self.attempt(proof).await
    }

    async fn attempt(&self, proof: Proof) -> Result<Gathered, FetchError> {
        let begun = Instant::now();
        let mut machine = self.machine();
        self.probe();
        let mut asked: FuturesUnordered<BoxFuture<'_, Event>> = FuturesUnordered::new();
        let (mut shards, mut lost) = (Arrived::new(), BTreeMap::new());
        loop {
            for action in machine.next(begun.elapsed()) {
                match action {
                    GetAction::Fetch { shard, from } => {
                        let place = self.places.and_then(|places| places.take(shard.at()));
                        asked.push(Box::pin(self.fetch(shard, from, place, proof)));
                    }
                    GetAction::Locate { from } => asked.push(Box::pin(self.locate(from))),
                    GetAction::Decode { have } => {
                        self.count(&lost, &shards);
                        shards.retain(|index, _| have.contains(index));
                        return Ok(Gathered::of(shards));
                    }
                    GetAction::Fail(failure) => {
                        self.count(&lost, &shards);
                        return Err(failure.into());
                    }
                }
            }
            let wake = machine.wake_at().unwrap_or_default();
            tokio::select! {
                biased;
                Some(event) = asked.next() => match event {
                    Event::Shard(shard, from, Got::Verified(payload)) => {
                        shards.insert(shard, payload);
                        machine.on_shard(shard, from);
                    }
                    Event::Shard(shard, from, Got::Missing) => {
                        lost.insert(shard, false);
                        machine.on_missing(shard, from);
                    }
                    Event::Shard(shard, from, Got::Corrupt | Got::Wrong) => {
                        lost.insert(shard, true);
                        machine.on_corrupt(shard, from);
                    }
                    Event::Shard(shard, from, Got::Failed) => machine.on_failed(shard, from),
                    Event::Shard(_, _, Got::Stopped) => return Err(Stopped.into()),
                    Event::Located(from, Some(found)) => machine.on_located(from, &found),
                    Event::Located(from, None) => machine.on_locate_failed(from),
                },
                () = tokio::time::sleep_until(begun + wake) => {}
            }
        }
    }

    /// One shard of whoever it belongs to, held against its leaf. None where that does not bring it at once: others are not asked.
    pub(super) async fn home_shard(&self, shard: ShardIndex, within: Duration) -> Option<Bytes> {
        let holder = self.sources.holders().get(shard.at()).copied()?;
        if self.doubt(holder) != Doubt::None {
            return None;
        }
        let fetching = self.fetch(shard, holder, None, Proof::Leaves);
        match tokio::time::timeout(within, fetching).await {
            Ok(Event::Shard(_, _, Got::Verified(payload))) => Some(payload.into_bytes()),
            _ => None,
        }
    }

    fn machine(&self) -> GetMachine {
        let (holders, others) = (self.sources.holders(), self.sources.others());
        let budget = GetBudget {
            hedge_after: HEDGE_DEFAULT,
            extra_fetches: self.reference.profile.parity(),
            give_up: GIVE_UP,
        };
        let p95 = |member| self.context.net.p95(&self.sources.peer(member)?);
        GetMachine::new(self.reference.profile, &holders, &others, budget, Duration::ZERO)
            .avoiding(|member| self.doubt(member))
            .hedging(|member| p95(member).map(|p95| p95.clamp(HEDGE_MIN, HEDGE_MAX)))
    }

    /// Asks the slow ones among those that would be asked first, too.
    fn probe(&self) {
        let data = (0..self.reference.profile.data()).map(ShardIndex).zip(self.sources.holders());
        for (index, holder) in data {
            if let Some(peer) = self.sources.peer(holder) {
                probe::get(self.context, peer, ShardKey { segment: self.reference.id, index });
            }
        }
    }

    fn doubt(&self, member: u16) -> Doubt {
        match self.sources.peer(member) {
            Some(peer) if self.context.net.is_live(&peer) => {
                if self.context.pools.avoided(&peer).is_some() {
                    Doubt::Avoided
                } else {
                    Doubt::None
                }
            }
            _ => Doubt::Down,
        }
    }

    async fn fetch(&self, shard: ShardIndex, from: u16, place: Option<Place>, proof: Proof) -> Event {
        let Some(peer) = self.sources.peer(from) else { return Event::Shard(shard, from, Got::Failed) };
        let key = ShardKey { segment: self.reference.id, index: shard };
        let timing = self.context.pools.timing(peer, Asked::Get);
        let answer = self.context.net.fetch(&peer, Request::Get { key }, place, FETCH_TIMEOUT).await;
        timing.end(ended(&answer));
        let got = match answer {
            Ok((Response::Shard { header }, payload)) => match self.shaped(key, &header, &payload) {
                None => Got::Wrong,
                Some(_) if proof == Proof::Frames => Got::Verified(payload),
                Some(header) => self.verify(key, header, payload).await,
            },
            Ok((Response::Refused(Refusal::NotFound), _)) => Got::Missing,
            Ok((Response::Refused(Refusal::Corrupt { .. }), _)) => Got::Corrupt,
            Ok((Response::Refused(_), _)) | Err(_) => Got::Failed,
            Ok(_) => Got::Wrong,
        };
        self.note(&got, key, from);
        Event::Shard(shard, from, got)
    }

    /// The header, if it is the segment's and the payload as long as it says.
    fn shaped(&self, key: ShardKey, header: &[u8], payload: &Payload) -> Option<SegmentHeader> {
        let header = SegmentHeader::decode(header).ok()?;
        let shape = header.profile() == self.reference.profile
            && header.sealed_bytes() == self.reference.sealed_bytes
            && payload.as_ref().len() == header.shard_bytes();
        (shape && header.id() == key.segment).then_some(header)
    }

    /// A node's word is not enough: the payload is what its leaf says, or corrupt.
    async fn verify(&self, key: ShardKey, header: SegmentHeader, payload: Payload) -> Got {
        let checked = self.context.cpu.run(move |stages| {
            stages.measure(Stage::Hash, || {
                header.verify_leaf(key.index, payload.as_ref()).is_ok().then_some(payload)
            })
        });
        match checked.await {
            Ok(Some(payload)) => Got::Verified(payload),
            Ok(None) => Got::Wrong,
            Err(Stopped) => Got::Stopped,
        }
    }

    fn note(&self, got: &Got, key: ShardKey, from: u16) {
        let reason = match got {
            Got::Verified(_) | Got::Stopped => return,
            Got::Missing => "missing",
            Got::Corrupt => "corrupt",
            Got::Wrong => "wrong",
            Got::Failed => "unreachable",
        };
        self.context.metrics.shard_error(self.reference.pool.as_str(), "get", reason);
        let peer = self.sources.peer(from);
        let node = peer.and_then(|peer| self.context.pools.name_of(&self.reference.pool, &peer));
        match got {
            Got::Wrong => {
                tracing::warn!(shard = %key, ?node, "a node gave a wrong shard, or it was changed on its way");
                peer.into_iter().for_each(|peer| self.context.pools.note_wrong(peer, key));
            }
            Got::Corrupt => tracing::warn!(shard = %key, ?node, "a shard is corrupt"),
            _ => tracing::debug!(shard = %key, ?node, reason, "a shard was not read"),
        }
    }

    async fn locate(&self, from: u16) -> Event {
        let Some(peer) = self.sources.peer(from) else { return Event::Located(from, None) };
        let request = Request::Locate { segment: self.reference.id };
        match self.context.net.request(&peer, request, None, FETCH_TIMEOUT).await {
            Ok((Response::Located(found), _)) => Event::Located(from, Some(found)),
            _ => Event::Located(from, None),
        }
    }

    /// Missing at its holder but found elsewhere is handoff, not damage, and while shards are on the move most are not looked
    /// for any further: others suffice. Corrupt is damage in any case.
    fn count(&self, lost: &BTreeMap<ShardIndex, bool>, shards: &Arrived) {
        let may_be_elsewhere = || self.context.pools.is_on_the_move(&self.reference.pool);
        let is_damaged = |(index, corrupt): &(&ShardIndex, &bool)| {
            **corrupt || !shards.contains_key(index) && !may_be_elsewhere()
        };
        let damaged = lost.iter().filter(is_damaged).count();
        let damaged = u64::try_from(damaged).unwrap_or(u64::MAX);
        self.context.damage.shards(&self.reference.pool, self.reference.id, damaged);
        if shards.keys().any(|index| index.at() >= self.reference.profile.k()) {
            self.context.metrics.rebuilt();
        }
    }
}
