//! Writes a body behind what an upload has, segment by segment: each is written down as soon as it is durable, so that whatever breaks
//! off, what came before stays. Who writes to the same upload meanwhile, at whichever gateway, is found out by the catalog.

use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::catalog::{AppendError, CatalogError, PutPageError};
use datamesh_catalog::keyspace::Revision;
use datamesh_catalog::limits::{PAGE_SEGMENTS_MAX, PART_PAGES_MAX};
use datamesh_catalog::{PageAt, PlacedPage, UploadId};
use datamesh_shard::SegmentId;
use tokio::sync::mpsc;

use super::context::Context;
use super::job::Job;
use super::manifest;
use super::pages::PageError;
use super::put::{self, PARALLEL, Storing};
use super::records::{Record, Secrets};
use super::store::{Durability, StoreError, Stored};
use crate::api::Incoming;
use crate::limits;
use crate::owned;
use crate::problem::Kind;

/// The one part that is appended to, as that of a plain put.
pub(crate) const PART: u32 = 0;
/// Segments of each of an upload's first pages: a page is written anew with each segment that comes to it.
const SHORT_PAGE_SEGMENTS: usize = 16;
/// Pages that are short: with full ones behind them, the largest object has room.
const SHORT_PAGES: u32 = PART_PAGES_MAX / 2;

/// Why no more was written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppendFailure {
    /// Another writer was faster.
    #[error("another writes to the upload")]
    Overtaken,
    /// As of a put.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is there does not read.
    #[error(transparent)]
    Page(#[from] PageError),
    /// As many pages as there may be.
    #[error("the upload came in too many pieces")]
    Full,
}

impl From<AppendError> for AppendFailure {
    fn from(error: AppendError) -> Self {
        match error {
            // Whoever made the object, or is about to, let go of what nobody had written down.
            AppendError::PartsChanged | AppendError::Page(PutPageError::StaleGeneration { .. }) => {
                Self::Overtaken
            }
            AppendError::Page(error) => Self::Store(error.into()),
        }
    }
}

impl From<CatalogError> for AppendFailure {
    fn from(error: CatalogError) -> Self {
        Self::Page(error.into())
    }
}

/// Where an upload is, as somebody saw it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Pages it has.
    pub(crate) pages: u32,
    /// Their bytes.
    pub(crate) offset: u64,
    /// When that was so.
    pub(crate) seen: Revision,
}

/// What became of a body.
pub(crate) struct Appended {
    pub(crate) place: Place,
    /// The upload is whole: its last page, which becomes durable with the object's commit.
    pub(crate) last_page: Option<PlacedPage>,
    /// What is in that page alone: to be let go if nothing comes of it.
    pub(crate) held: Vec<SegmentId>,
    pub(crate) durability: Durability,
    /// How the body ended, if not well.
    pub(crate) ended: Result<(), AppendFailure>,
}

/// Writes to one upload.
pub(crate) struct Appender<'a> {
    context: &'a Arc<Context>,
    job: &'a Arc<Job>,
    secrets: &'a Secrets,
    /// Bytes of the whole.
    length: u64,
    place: Place,
    /// Segments of the last page, if there is room for more in it.
    open: Vec<Stored>,
    durability: Durability,
}

impl<'a> Appender<'a> {
    /// Goes on where an upload of `length` bytes is.
    pub(crate) async fn resume(
        context: &'a Arc<Context>,
        job: &'a Arc<Job>,
        secrets: &'a Secrets,
        (place, length): (Place, u64),
    ) -> Result<Self, AppendFailure> {
        let open = match place.pages.checked_sub(1) {
            None => Vec::new(),
            Some(page) => last_page(context, job, secrets, PageAt { part: PART, page }).await?,
        };
        Ok(Self { context, job, secrets, length, place, open, durability: Durability::Whole })
    }

    /// Writes down what comes, until the body ends or breaks off. Of one that is checked all is written down at its end, or nothing.
    pub(crate) async fn run(mut self, body: &mut Incoming, is_checked: bool) -> Appended {
        // As long as this goes on, whatever it waits for.
        let _renewing = owned::spawn(put::renew(Arc::clone(self.context), Arc::clone(self.job)));
        let mut held = Vec::new();
        let taken = match self.take(body, &mut held, is_checked).await {
            // What came is kept, and its client is told how much: the rest comes later.
            Err(error) if !is_checked && is_cut(&error) => Ok(()),
            taken => taken,
        };
        let is_whole = taken.is_ok() && self.is_whole(&held);
        let (last_page, ended) = match taken {
            _ if is_whole => match self.page(&held, true) {
                Ok((last, _)) => (Some(last), Ok(())),
                Err(error) => (None, Err(error)),
            },
            Ok(()) => (None, self.write_down(&mut held).await),
            Err(error) => (None, Err(error)),
        };
        let held: Vec<_> = held.iter().map(|stored| stored.reference.id).collect();
        if last_page.is_none() {
            let_go(self.context, self.job.target.upload, &held).await;
        }
        Appended { place: self.place, last_page, held, durability: self.durability, ended }
    }

    /// Stores what comes. What is durable and not written down yet is in `held`: all of a body that is checked, else the end of the whole.
    async fn take(
        &mut self,
        body: &mut Incoming,
        held: &mut Vec<Stored>,
        is_checked: bool,
    ) -> Result<(), AppendFailure> {
        let wait = if is_checked { limits::SEGMENT_WAIT } else { limits::APPEND_WAIT };
        // One is waited for, and the next one arrives meanwhile.
        let (to, from) = mpsc::channel(PARALLEL - 1);
        let read = read(self.context, self.job, (body, wait), to);
        let (read, written) = tokio::join!(read, self.write(from, held, is_checked));
        written.and(read.map_err(AppendFailure::from))
    }

    async fn write(
        &mut self,
        mut from: mpsc::Receiver<Storing>,
        held: &mut Vec<Stored>,
        is_checked: bool,
    ) -> Result<(), AppendFailure> {
        let mut written = Ok(());
        while let Some(storing) = from.recv().await {
            let stored = put::stored(storing).await;
            match (&written, stored) {
                (Ok(()), Ok(_)) if held.len() == PAGE_SEGMENTS_MAX => written = Err(AppendFailure::Full),
                (Ok(()), Ok(stored)) => written = self.keep(stored, held, is_checked).await,
                (Ok(()), Err(error)) => written = Err(error.into()),
                // What is on its way is waited for, so that it can be let go.
                (Err(_), Ok(stored)) => held.push(stored),
                (Err(_), Err(_)) => {}
            }
            if written.is_err() {
                from.close();
            }
        }
        written
    }

    async fn keep(
        &mut self,
        segment: Stored,
        held: &mut Vec<Stored>,
        is_checked: bool,
    ) -> Result<(), AppendFailure> {
        self.durability = self.durability.and(segment.durability);
        held.push(segment);
        if is_checked || self.is_whole(held) { Ok(()) } else { self.write_down(held).await }
    }

    /// Whether nothing is missing any more.
    fn is_whole(&self, held: &[Stored]) -> bool {
        !held.is_empty() && self.place.offset.saturating_add(bytes_of(held)) == self.length
    }

    /// Has the catalog know of them, in one step; then they are the upload's.
    async fn write_down(&mut self, held: &mut Vec<Stored>) -> Result<(), AppendFailure> {
        if held.is_empty() {
            return Ok(());
        }
        let (placed, open) = self.page(held, false)?;
        let (upload, now) = (self.job.target.upload, self.context.surroundings.now_unix_ms());
        let seen = self.context.catalog.append_page(upload, &placed, self.place.seen, now).await?;
        let offset = self.place.offset.saturating_add(bytes_of(held));
        self.place = Place { pages: placed.at.page + 1, offset, seen };
        self.open = open;
        held.clear();
        Ok(())
    }

    /// The page they go into, the last one if it has room for them, and all that is in it then.
    fn page(&self, more: &[Stored], last: bool) -> Result<(PlacedPage, Vec<Stored>), AppendFailure> {
        let (page, mut all) = match self.place.pages.checked_sub(1) {
            Some(page) if self.open.len() + more.len() <= room_of(page) => (page, self.open.clone()),
            _ => (self.place.pages, Vec::new()),
        };
        if page >= PART_PAGES_MAX {
            return Err(AppendFailure::Full);
        }
        all.extend_from_slice(more);
        let at = PageAt { part: PART, page };
        let placed = put::sealed_page((self.secrets, &self.job.target), at, all.iter().cloned(), last)?;
        Ok((placed, all))
    }
}

/// Lets go of segments of an upload that nobody will ask for. If the catalog does not hear of that, whoever makes the object does it, or the
/// upload's end.
pub(crate) async fn let_go(context: &Context, upload: UploadId, segments: &[SegmentId]) {
    let now = context.surroundings.now_unix_ms();
    if !segments.is_empty()
        && let Err(error) = context.catalog.unreference(upload, segments, now).await
    {
        tracing::debug!(%upload, %error, "segments that nobody wrote down stay for now");
    }
}

/// Has what comes stored while more comes, until the body ends or breaks off, or nobody takes it any more.
async fn read(
    context: &Arc<Context>,
    job: &Arc<Job>,
    (body, wait): (&mut Incoming, Duration),
    to: mpsc::Sender<Storing>,
) -> Result<(), StoreError> {
    let reading = async {
        while body.more().await? {
            let (chunk, come) = put::gathered(context, job, body, wait).await?;
            // Room first: what is being stored is always somebody's.
            let Ok(room) = to.reserve().await else { break };
            room.send(chunk.store(context, job));
            come?;
        }
        Ok(())
    };
    tokio::select! {
        ended = reading => ended,
        () = to.closed() => Ok(()),
    }
}

/// Segments of a page of this number, before the next one begins.
fn room_of(page: u32) -> usize {
    if page < SHORT_PAGES { SHORT_PAGE_SEGMENTS } else { PAGE_SEGMENTS_MAX }
}

fn bytes_of(segments: &[Stored]) -> u64 {
    segments.iter().map(|stored| u64::from(stored.secret.plain_bytes)).sum()
}

/// Whether nothing but the connection failed.
fn is_cut(error: &AppendFailure) -> bool {
    matches!(error, AppendFailure::Store(StoreError::Body(problem)) if problem.kind() == Kind::BodyIncomplete)
}

/// The segments of a page that is there.
async fn last_page(
    context: &Context,
    job: &Job,
    secrets: &Secrets,
    at: PageAt,
) -> Result<Vec<Stored>, AppendFailure> {
    let page = context.catalog.page(job.target.upload, at).await?.ok_or(PageError::Gone(at))?;
    let opened = secrets.open(&job.target, Record::Page(at), &page.sealed).map_err(PageError::from)?;
    let keys = manifest::decode(&opened).map_err(PageError::from)?;
    let (expected, got) = (page.segments.len(), keys.len());
    if expected != got {
        return Err(PageError::Count { at, expected, got }.into());
    }
    let stored = |(reference, secret)| Stored { reference, secret, durability: Durability::Whole };
    Ok(page.segments.into_iter().zip(keys).map(stored).collect())
}

#[cfg(test)]
mod tests {
    use datamesh_shard::limits::{OBJECT_BYTES_MAX, SEGMENT_BYTES_MAX};

    use super::*;

    #[test]
    fn the_largest_object_has_room() {
        let segments: usize = (0..PART_PAGES_MAX).map(room_of).sum();
        assert!((segments as u64) * (SEGMENT_BYTES_MAX as u64) >= OBJECT_BYTES_MAX);
    }
}
