//! Codes segments of an object anew: their sealed bytes, which stay what they are, as shards of the pool's present profile. No key
//! is needed for that. The new segments are put like any others, under an upload of their own; then one batch of the catalog puts
//! them in the page's place of the old ones, which are condemned. Whatever is cut off before that is an upload whose lease ends.

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
use super::open;
use super::put::renew;
use super::segment::{MakeError, Shards, shards_bytes_of};
use super::store::{Job, StoreError, send_only, settle};
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
}

/// Codes a group anew. Nothing has changed when that fails; what was put is let go.
pub(crate) async fn recode(context: &Arc<Context>, group: &Group) -> Result<(), RecodeError> {
    let Group { object, segments, .. } = group;
    let Some(first) = segments.first() else { return Ok(()) };
    let writer = UploadId(random(&*context.surroundings));
    let target = Target { bucket: object.bucket, key: object.key.clone(), upload: writer };
    let job = Arc::new(Job::new(context, target, first.pool.clone(), Default::default())?);
    let renewing = owned::spawn(renew(Arc::clone(context), Arc::clone(&job)));
    let done = write(context, &job, group).await;
    drop(renewing);
    if done.is_err()
        && let Err(error) = context.catalog.abort_upload(writer, context.surroundings.now_unix_ms()).await
    {
        tracing::warn!(%error, "what was to be coded anew is let go once its lease ends");
    }
    done
}

async fn write(context: &Arc<Context>, job: &Arc<Job>, group: &Group) -> Result<(), RecodeError> {
    let mut swapped = Vec::with_capacity(group.segments.len());
    for old in &group.segments {
        let made = made_anew(context, job, old).await?;
        // Durable where it belongs, as far as a put promises, before anybody relies on it.
        let new = match is_planted(Planted::SwappedTooEarly) {
            false => settle(context, job, &made).await?.0,
            true => send_only(context, job, &made).await?,
        };
        swapped.push((old.id, new));
    }
    let swap =
        Swap { object: group.object.upload, at: group.at, writer: job.target.upload, segments: swapped };
    Ok(context.catalog.swap_segments(&swap, context.surroundings.now_unix_ms()).await?)
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
    let shards = fetch(context, old)?.gather(Proof::Leaves).await?;
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
