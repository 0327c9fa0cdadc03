//! Segments as their clients sealed them: put as they are under the id that comes of them, and given as they are.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datamesh_catalog::SegmentRef;
use datamesh_seal::BucketMark;
use datamesh_shard::limits::SEALED_BYTES_MAX;
use datamesh_shard::{ErasureProfile, SegmentId};

use super::context::Context;
use super::fetch::Proof;
use super::get::{ReadError, fetch};
use super::job::Job;
use super::open::{OpenSegmentError, Room, sealed_bytes_of};
use super::segment::{Shards, shards_bytes_of};
use super::store::{Durability, StoreError, settle};
use crate::api::Incoming;

/// A sealed segment that arrived, as shards of its pool's present profile.
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

/// Takes a body in whole, and codes it. Nothing is held of a client that sends nothing.
pub(crate) async fn arrive(
    context: &Context,
    job: &Job,
    mark: BucketMark,
    body: &mut Incoming,
) -> Result<Coded, ArrivedError> {
    if !body.more().await.map_err(StoreError::from)? {
        return Err(ArrivedError::Empty);
    }
    let room = body.left().and_then(|left| usize::try_from(left).ok()).unwrap_or(SEALED_BYTES_MAX);
    let room = room.clamp(1, SEALED_BYTES_MAX);
    let profile = job.recipe(context)?.profile;
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

/// Some bytes of a sealed segment. Its shards are held against their leaves: no key is there that would prove them.
pub(crate) async fn read_sealed(
    context: &Arc<Context>,
    reference: &SegmentRef,
    range: Range<usize>,
) -> Result<Bytes, ReadError> {
    let ticket = context.budget.reserve(sealed_bytes_of(reference)).await;
    let room = Room::new(reference, ticket);
    let (gathered, room) = room.gather(fetch(context, reference).await?, Proof::Leaves).await;
    let (reference, gathered) = (reference.clone(), gathered?);
    let joined = context.cpu.run(move |_| room.join(&reference, gathered)).await?;
    let whole = joined.map_err(OpenSegmentError::from)?;
    context.metrics.sent(u64::try_from(range.len()).unwrap_or_default());
    Ok(whole.slice(range))
}
