//! Writes a body: cuts it into segments, stores several of them at once, and lists them in pages.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::limits::PAGE_SEGMENTS_MAX;
use datamesh_catalog::{Page, PageAt, PlacedPage, Target};
use datamesh_shard::limits::SEGMENT_BYTES_MAX;
use tokio_util::task::AbortOnDropHandle;

use super::budget::{Buffer, Ticket};
use super::context::Context;
use super::cpu::Stopped;
use super::job::Job;
use super::manifest;
use super::records::{Record, Secrets};
use super::segment::Recipe;
use super::store::{Durability, StoreError, Stored, millis, store};
use crate::api::Incoming;
use crate::owned;
use crate::problem::Problem;

/// Segments of one put that are stored at the same time, while the next one arrives. Two hide the nodes' fdatasync
/// behind the network, the third evens out; more only take memory from others.
pub(super) const PARALLEL: usize = 3;

/// Plaintext on its way: what arrived of a body, and the right to the buffers it needs further on.
pub(crate) struct Chunk {
    plain: Buffer,
    bytes: usize,
    recipe: Recipe,
    ticket: Ticket,
}

/// A segment that is being stored.
pub(super) type Storing = AbortOnDropHandle<Result<Stored, StoreError>>;

impl Chunk {
    /// Stores it, beside whatever comes next.
    pub(super) fn store(self, context: &Arc<Context>, job: &Arc<Job>) -> Storing {
        let Self { plain, bytes, recipe, ticket } = self;
        owned::spawn(store(Arc::clone(context), Arc::clone(job), recipe, (plain, bytes), ticket))
    }

    /// The plaintext.
    pub(crate) fn text(&self) -> &[u8] {
        &self.plain[..self.bytes]
    }
}

/// What writing a body came to.
pub(crate) struct Written {
    /// The last page, to be written with the commit; all before it are written.
    pub(crate) last_page: PlacedPage,
    pub(crate) bytes: u64,
    pub(crate) durability: Durability,
}

/// The next segment of the body; `None` at its end. Buffers are asked for once its first bytes are there, so a client
/// that sends nothing holds nothing.
pub(crate) async fn next_chunk(
    context: &Context,
    job: &Job,
    body: &mut Incoming,
) -> Result<Option<Chunk>, StoreError> {
    if !body.more().await? {
        return Ok(None);
    }
    let mut chunk = empty_chunk(context, job, body.left()).await?;
    chunk.bytes = body.fill(&mut chunk.plain).await?;
    context.metrics.received(u64::try_from(chunk.bytes).unwrap_or(u64::MAX));
    Ok(Some(chunk))
}

/// The same of a body that may take its time: what came within `wait` is a segment, and so is what came before it broke off.
pub(super) async fn gathered(
    context: &Context,
    job: &Job,
    body: &mut Incoming,
    wait: Duration,
) -> Result<(Chunk, Result<(), Problem>), StoreError> {
    let mut chunk = empty_chunk(context, job, body.left()).await?;
    let (bytes, ended) = body.gather(&mut chunk.plain, wait).await;
    chunk.bytes = bytes;
    context.metrics.received(u64::try_from(bytes).unwrap_or(u64::MAX));
    Ok((chunk, ended))
}

/// Room for the next segment of a body of which so much is left.
async fn empty_chunk(context: &Context, job: &Job, left: Option<u64>) -> Result<Chunk, StoreError> {
    let room = left.and_then(|left| usize::try_from(left).ok()).unwrap_or(SEGMENT_BYTES_MAX);
    let room = room.clamp(1, SEGMENT_BYTES_MAX);
    let recipe = job.recipe(context)?;
    let mut ticket = context.budget.reserve(recipe.bytes_of(room)).await;
    let plain = ticket.buffer(room);
    Ok(Chunk { plain, bytes: 0, recipe, ticket })
}

/// Stores `first` and the rest of the body as the pages of a part.
pub(crate) async fn write(
    context: &Arc<Context>,
    job: &Arc<Job>,
    secrets: &Secrets,
    (part, first): (u32, Option<Chunk>),
    body: &mut Incoming,
) -> Result<Written, StoreError> {
    let mut pages = Pages {
        context,
        job,
        secrets,
        part,
        page: 0,
        open: Vec::new(),
        bytes: 0,
        durability: Durability::Whole,
    };
    // As long as this put lives, whatever it waits for.
    let _renewing = owned::spawn(renew(Arc::clone(context), Arc::clone(job)));
    let mut under_way = VecDeque::with_capacity(PARALLEL);
    let mut next = first;
    while let Some(chunk) = next {
        if under_way.len() == PARALLEL
            && let Some(oldest) = under_way.pop_front()
        {
            pages.push(stored(oldest).await?).await?;
        }
        under_way.push_back(chunk.store(context, job));
        next = next_chunk(context, job, body).await?;
    }
    while let Some(oldest) = under_way.pop_front() {
        pages.push(stored(oldest).await?).await?;
    }
    let last_page = pages.close(true)?;
    Ok(Written { last_page, bytes: pages.bytes, durability: pages.durability })
}

/// Renews the lease of a put, until dropped.
pub(super) async fn renew(context: Arc<Context>, job: Arc<Job>) {
    loop {
        tokio::time::sleep(context.put_lease / 4).await;
        let until = context.surroundings.now_unix_ms().saturating_add(millis(context.put_lease));
        // Gone before its first segment is written down, or because the lease has ended: then the put itself is told.
        if let Err(error) = context.catalog.renew_upload(job.target.upload, until).await {
            tracing::debug!(upload = %job.target.upload, %error, "a lease was not renewed");
        }
    }
}

/// Waits for it.
pub(super) async fn stored(task: Storing) -> Result<Stored, StoreError> {
    match task.await {
        Ok(stored) => stored,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(Stopped.into()),
    }
}

/// The pages of one part as they fill.
struct Pages<'a> {
    context: &'a Context,
    job: &'a Job,
    secrets: &'a Secrets,
    part: u32,
    page: u32,
    open: Vec<Stored>,
    bytes: u64,
    durability: Durability,
}

impl Pages<'_> {
    /// Adds a segment; a page that is full is written before the next one begins.
    async fn push(&mut self, segment: Stored) -> Result<(), StoreError> {
        if self.open.len() == PAGE_SEGMENTS_MAX {
            let page = self.close(false)?;
            let (upload, now) = (self.job.target.upload, self.context.surroundings.now_unix_ms());
            self.context.catalog.put_page(upload, &page, now).await?;
        }
        self.durability = self.durability.and(segment.durability);
        self.bytes = self.bytes.saturating_add(u64::from(segment.secret.plain_bytes));
        self.open.push(segment);
        Ok(())
    }

    /// Seals the open page.
    fn close(&mut self, last: bool) -> Result<PlacedPage, StoreError> {
        let at = PageAt { part: self.part, page: self.page };
        self.page = self.page.saturating_add(1);
        sealed_page((self.secrets, &self.job.target), at, std::mem::take(&mut self.open), last)
    }
}

/// A page of these segments.
pub(super) fn sealed_page(
    (secrets, target): (&Secrets, &Target),
    at: PageAt,
    stored: impl IntoIterator<Item = Stored>,
    last: bool,
) -> Result<PlacedPage, StoreError> {
    let (segments, keys): (Vec<_>, Vec<_>) =
        stored.into_iter().map(|stored| (stored.reference, stored.secret)).unzip();
    let plain_bytes = keys.iter().map(|secret| u64::from(secret.plain_bytes)).sum();
    let sealed = secrets.seal(target, Record::Page(at), &manifest::encode(&keys)?)?;
    Ok(PlacedPage { at, page: Page { segments, plain_bytes, last, sealed } })
}
