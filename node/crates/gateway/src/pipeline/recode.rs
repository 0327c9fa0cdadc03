//! Codes segments of an object anew: their sealed bytes, which stay what they are, as shards of the pool's present profile. No key
//! is needed for that. The new segments are put like any others, under an upload of their own, but whole or not at all; then one batch of
//! the catalog puts them in the page's place of the old ones, which are condemned. What does not come to that is let go with the
//! upload; what is cut off is an upload whose lease ends.

use std::sync::Arc;

use datamesh_catalog::catalog::{Swap, SwapError};
use datamesh_catalog::{Object, PageAt, SegmentRef, Target, UploadId};
use datamesh_erasure::CodeError;
use datamesh_mesh::planted::{Planted, is_planted};

use super::budget::{Buffer, Ticket};
use super::context::Context;
use super::cpu::Stopped;
use super::fetch::{FetchError, Gathered, Proof};
use super::get::{ReadError, fetch};
use super::job::Job;
use super::open;
use super::put::renew;
use super::segment::{MakeError, Shards, shards_bytes_of};
use super::store::{Durability, StoreError, send_only, settle};
use crate::owned;
use crate::surroundings::random;

/// Some segments of one page, all of one pool.
pub(crate) struct Group {
    pub(crate) object: Object,
    pub(crate) at: PageAt,
    pub(crate) segments: Vec<SegmentRef>,
}

/// Why segments are left as they are.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecodeError {
    /// Other transfers need the memory.
    #[error("other transfers take all buffers")]
    Busy,
    #[error("cannot be read: {0}")]
    Read(#[from] ReadError),
    #[error("cannot be coded: {0}")]
    Code(#[from] CodeError),
    #[error("cannot be coded: {0}")]
    Make(#[from] MakeError),
    #[error("cannot be stored: {0}")]
    Store(#[from] StoreError),
    /// It would be less safe than what it takes the place of.
    #[error("only {durable} of {of} shards could be stored where they belong")]
    Short {
        /// Shards that are durable.
        durable: u8,
        /// k + m.
        of: u8,
    },
    #[error(transparent)]
    Swap(#[from] SwapError),
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl From<FetchError> for RecodeError {
    fn from(error: FetchError) -> Self {
        ReadError::from(error).into()
    }
}

impl RecodeError {
    /// Whether nobody has to do anything about it: the object was deleted or replaced meanwhile, or it is tried again soon.
    pub(crate) fn passes(&self) -> bool {
        matches!(
            self,
            Self::Busy | Self::Stopped(_) | Self::Swap(SwapError::PageGone | SwapError::WriterGone)
        )
    }

    /// Whether it is of one segment alone, and others may fare better.
    fn is_of_one(&self) -> bool {
        !matches!(self, Self::Busy | Self::Stopped(_) | Self::Swap(_) | Self::Store(StoreError::Upload(_)))
    }
}

/// What coding a group anew came to.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Sealed bytes of the segments that were.
    pub(crate) bytes: u64,
    /// Why the others, or all, are as they were: the first reason.
    pub(crate) failure: Option<RecodeError>,
}

/// Codes a group anew, as far as that can be done now. What was put in vain is let go.
pub(crate) async fn recode(context: &Arc<Context>, group: &Group) -> Outcome {
    let Group { object, segments, .. } = group;
    let Some(first) = segments.first() else { return Outcome::default() };
    let writer = UploadId(random(&*context.surroundings));
    let target = Target { bucket: object.bucket, key: object.key.clone(), upload: writer };
    let job = match job(context, target, first).await {
        Ok(job) => Arc::new(job),
        Err(error) => return Outcome { bytes: 0, failure: Some(error) },
    };
    let renewing = owned::spawn(renew(Arc::clone(context), Arc::clone(&job)));
    let outcome = write(context, &job, group).await;
    drop(renewing);
    // Where segments were swapped it has ended with that.
    if outcome.bytes == 0
        && let Err(error) = context.catalog.abort_upload(writer, context.surroundings.now_unix_ms()).await
    {
        tracing::warn!(%error, "what was to be coded anew is let go once its lease ends");
    }
    outcome
}

async fn job(context: &Context, target: Target, first: &SegmentRef) -> Result<Job, RecodeError> {
    let given_up = context.catalog.given_up().await.map_err(SwapError::from)?.into_iter().collect();
    Ok(Job::anew(context, target, first.pool.clone(), given_up)?)
}

async fn write(context: &Arc<Context>, job: &Arc<Job>, group: &Group) -> Outcome {
    let (mut outcome, mut swapped) = (Outcome::default(), Vec::with_capacity(group.segments.len()));
    for old in &group.segments {
        match put(context, job, old).await {
            Ok(new) => {
                swapped.push((old.id, new));
                outcome.bytes += u64::from(old.sealed_bytes);
            }
            Err(error) => {
                let goes_on = error.is_of_one();
                tracing::debug!(segment = ?old.id, %error, "a segment is not coded anew");
                outcome.failure.get_or_insert(error);
                if !goes_on {
                    break;
                }
            }
        }
    }
    if swapped.is_empty() {
        return outcome;
    }
    let swap =
        Swap { object: group.object.upload, at: group.at, writer: job.target.upload, segments: swapped };
    match context.catalog.swap_segments(&swap, context.surroundings.now_unix_ms()).await {
        Ok(()) => outcome,
        Err(error) => Outcome { bytes: 0, failure: Some(error.into()) },
    }
}

/// A segment in the present profile, durable with all its holders: that is what the old one is, for all that is known.
async fn put(context: &Arc<Context>, job: &Arc<Job>, old: &SegmentRef) -> Result<SegmentRef, RecodeError> {
    let made = made_anew(context, job, old).await?;
    if is_planted(Planted::SwappedTooEarly) {
        return Ok(send_only(context, job, &made).await?);
    }
    match settle(context, job, &made).await? {
        (new, Durability::Whole) => Ok(new),
        (_, Durability::Short { durable, of }) => Err(RecodeError::Short { durable, of }),
    }
}

/// The shards of a segment in the present profile. Each shard that is read is held against its leaf, so what comes out is what the
/// old segment's id names.
async fn made_anew(context: &Context, job: &Job, old: &SegmentRef) -> Result<Shards, RecodeError> {
    let profile = job.recipe(context)?.profile;
    let sealed = old.sealed_bytes as usize;
    let (read, made) = (open::data_bytes(old), shards_bytes_of(profile, sealed));
    // As they arrive, and put together and coded; behind all transfers.
    let room = read.max(made);
    let mut ticket = context.budget.try_reserve(read + room).ok_or(RecodeError::Busy)?;
    let shards = fetch(context, old).await?.gather(Proof::Leaves).await?;
    let out = ticket.buffer(room);
    let old = old.clone();
    let coding = context.cpu.run(move |stages| {
        let sealed = joined(&old, shards, (out, ticket))?;
        Ok::<_, RecodeError>(Shards::of(profile, sealed, old.sealed_bytes as usize, stages)?)
    });
    coding.await?
}

fn joined(
    old: &SegmentRef,
    shards: Gathered,
    (mut out, ticket): (Buffer, Ticket),
) -> Result<Buffer, CodeError> {
    open::join(old, shards, &mut out[..open::data_bytes(old)])?;
    drop(ticket);
    Ok(out)
}
