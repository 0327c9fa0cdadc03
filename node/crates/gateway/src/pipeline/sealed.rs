//! Segments as their clients sealed them: put as they are under the id that comes of them, and given as they are.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datamesh_catalog::SegmentRef;
use datamesh_seal::BucketMark;
use datamesh_shard::limits::{FRAME_BYTES, SEALED_BYTES_MAX};
use datamesh_shard::{ErasureProfile, SegmentId};
use futures::future::join_all;
use tokio::sync::mpsc;

use super::context::Context;
use super::fetch::Proof;
use super::get::{ReadError, fetch, give_up, send};
use super::job::Job;
use super::open::{OpenSegmentError, Pieces, Room, data_bytes, sealed_bytes_of};
use super::segment::{Shards, shards_bytes_of};
use super::store::{Durability, StoreError, settle};
use super::window;
use crate::api::Incoming;
use crate::metrics::Stage;

/// A sealed segment that arrived, as shards.
pub(crate) struct Coded(Shards);

impl Coded {
    /// The id that comes of its bytes.
    pub(crate) fn id(&self) -> SegmentId {
        self.0.id
    }

    /// k and m.
    pub(crate) fn profile(&self) -> ErasureProfile {
        self.0.profile
    }

    /// Its bytes.
    pub(crate) fn sealed_bytes(&self) -> u32 {
        self.0.sealed_bytes
    }
}

/// Why a body is no sealed segment.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArrivedError {
    #[error("there is no body")]
    Empty,
    #[error("it does not begin with the bucket's mark")]
    Mark,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Takes a body in whole, and codes it: in this profile, or the pool's present one. Nothing is held of a client that sends nothing.
pub(crate) async fn arrive(
    context: &Context,
    (job, profile): (&Job, Option<ErasureProfile>),
    mark: BucketMark,
    body: &mut Incoming,
) -> Result<Coded, ArrivedError> {
    if !body.more().await.map_err(StoreError::from)? {
        return Err(ArrivedError::Empty);
    }
    let room = body.left().and_then(|left| usize::try_from(left).ok()).unwrap_or(SEALED_BYTES_MAX);
    let room = room.clamp(1, SEALED_BYTES_MAX);
    let profile = profile.map_or_else(|| job.profile(context), Ok)?;
    let bytes = shards_bytes_of(profile, room);
    let mut out = context.budget.reserve(bytes).await.buffer(bytes);
    let sealed = body.fill(&mut out[..room]).await.map_err(StoreError::from)?;
    // Its end, or what is wrong with that.
    body.more().await.map_err(StoreError::from)?;
    context.metrics.received(u64::try_from(sealed).unwrap_or(u64::MAX));
    if !mark.begins(&out[..sealed]) {
        return Err(ArrivedError::Mark);
    }
    let coding = context.cpu.run(move |stages| Shards::of(profile, out, sealed, stages));
    let shards = coding.await.map_err(StoreError::from)?;
    Ok(Coded(shards.map_err(StoreError::from)?))
}

/// Places and references what arrived.
pub(crate) async fn keep(
    context: &Arc<Context>,
    job: &Arc<Job>,
    coded: &Coded,
) -> Result<Durability, StoreError> {
    Ok(settle(context, job, &coded.0).await?.1)
}

/// Sends some bytes of a sealed segment, as reads of objects are sent.
pub(crate) async fn read_sealed(
    context: Arc<Context>,
    (reference, range): (SegmentRef, Range<usize>),
    to: mpsc::Sender<Result<Pieces, ReadError>>,
) {
    let sent = match read(&context, &reference, range).await {
        Ok(pieces) => send(&context, &to, pieces).await,
        Err(error) => Err(error),
    };
    if let Err(error) = sent {
        give_up(error, &to).await;
    }
}

/// Bytes of a sealed segment. Its shards are held against their leaves, since no key is here that would prove them; so they are not kept
/// in memory either, where nothing would.
async fn read(
    context: &Arc<Context>,
    reference: &SegmentRef,
    range: Range<usize>,
) -> Result<Pieces, ReadError> {
    if let Some(pieces) = read_shards(context, reference, &range).await? {
        return Ok(pieces);
    }
    let ticket = context.budget.reserve(sealed_bytes_of(reference)).await;
    let room = Room::new(reference, ticket);
    let (gathered, room) = room.gather(fetch(context, reference).await?, Proof::Leaves).await;
    let (gathered, joining) = (gathered?, reference.clone());
    let joined =
        context.cpu.run(move |stages| stages.measure(Stage::Decode, || room.join(&joining, gathered)));
    let sealed = joined.await?.map_err(OpenSegmentError::from)?;
    Ok(in_pieces(&sealed.slice(range)))
}

/// The same out of those data shards alone that they lie in. None where they are in all of them, or one does not come: the whole read answers
/// then. No smaller part of a shard proves itself without a key.
async fn read_shards(
    context: &Context,
    reference: &SegmentRef,
    range: &Range<usize>,
) -> Result<Option<Pieces>, ReadError> {
    let fetch = fetch(context, reference).await?;
    let parts = window::parts(&fetch, range);
    if parts.len() >= reference.profile.k() {
        return Ok(None);
    }
    let shard_bytes = data_bytes(reference) / reference.profile.k();
    let mut ticket = context.budget.reserve(parts.len() * shard_bytes + range.len()).await;
    let asked = parts.iter().map(|(shard, _)| fetch.home_shard(*shard, window::TIMEOUT));
    let came: Option<Vec<Bytes>> = join_all(asked).await.into_iter().collect();
    let Some(shards) = came else { return Ok(None) };
    let mut wanted = ticket.buffer(range.len());
    let mut at = 0;
    for (shard, (_, part)) in shards.iter().zip(parts) {
        wanted[at..at + part.len()].copy_from_slice(&shard[part.clone()]);
        at += part.len();
    }
    Ok(Some(in_pieces(&wanted.freeze())))
}

/// Whole, it would fill a connection's queue with sixteen times what the queue is reckoned at.
fn in_pieces(bytes: &Bytes) -> Pieces {
    let end = bytes.len();
    (0..end).step_by(FRAME_BYTES).map(|at| bytes.slice(at..end.min(at + FRAME_BYTES))).collect()
}
