//! Reads an object or a range of it: segments in order, the next ones fetched ahead as far as the budget has room. What is
//! hot comes from memory.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datamesh_catalog::{PageAt, SegmentRef};
use datamesh_shard::{Epoch, PoolName};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::budget::Ticket;
use super::context::Context;
use super::cpu::Stopped;
use super::fetch::{Fetch, FetchError, Proof};
use super::manifest::SegmentSecret;
use super::open::{self, OpenSegmentError, Pieces, Plain, Room, Source};
use super::pages::{PageError, Reader, Segments};
use super::window;
use crate::cache::{Flight, Lookup, SegmentCache};
use crate::limits;
use crate::owned;

/// Segments fetched at the same time, the one being sent among them. Fetching ahead takes free budget only.
const AHEAD: usize = 3;
/// Pieces (64 KiB each, mostly) handed to the connection at once: handing over means waking, which costs as much for one of them.
const GROUP_PIECES: usize = 4;
/// Such groups between the reader and its connection: a quarter of a segment.
pub(crate) const GROUPS_MAX: usize = 4;

/// Why an object could not be read (on).
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error(transparent)]
    Page(#[from] PageError),
    #[error("the layout of epoch {1} of pool {0} is not known")]
    NoLayout(PoolName, Epoch),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Open(#[from] OpenSegmentError),
    #[error(transparent)]
    Stopped(#[from] Stopped),
    #[error("the client takes nothing, or too little")]
    Stalled,
}

/// A segment to be read, and which of its plaintext bytes.
pub(super) struct Item {
    pub(super) reference: SegmentRef,
    pub(super) secret: SegmentSecret,
    pub(super) range: Range<usize>,
    reader: Arc<Reader>,
    /// Its page, and its place there.
    place: (PageAt, usize),
    /// Whether it shall be kept, once the cache was asked.
    keep: Option<bool>,
}

impl Item {
    pub(super) fn new(
        reader: &Arc<Reader>,
        place: (PageAt, usize),
        (reference, secret): (SegmentRef, SegmentSecret),
        range: Range<usize>,
    ) -> Self {
        Self { reader: Arc::clone(reader), place, reference, secret, range, keep: None }
    }

    /// Asked right before it is fetched: it may be another segment with the same sealed bytes by now.
    async fn refresh(&mut self, context: &Context) -> Result<(), PageError> {
        if let Some(now) = self.reader.may_fetch(context, self.place).await?
            && now.sealed_bytes == self.reference.sealed_bytes
        {
            self.reference = now;
        }
        Ok(())
    }

    /// Whether this is to be read whole and kept. The cache counts each item once.
    fn is_to_be_kept(&mut self, cache: &SegmentCache) -> bool {
        let (id, whole) = (&self.reference.id, self.secret.plain_bytes as usize);
        *self.keep.get_or_insert_with(|| cache.touch(id, self.range.len(), whole))
    }

    fn bytes(&self) -> usize {
        open::bytes_of(&self.reference, &self.secret)
    }
}

/// Sends the plaintext of all segments, in order, until the end or the first error.
pub(crate) async fn run(
    context: Arc<Context>,
    segments: Segments,
    to: mpsc::Sender<Result<Pieces, ReadError>>,
) {
    if let Err(error) = send_all(&context, segments, &to).await {
        give_up(error, &to).await;
    }
}

/// A read ends before its end.
pub(super) async fn give_up(error: ReadError, to: &mpsc::Sender<Result<Pieces, ReadError>>) {
    tracing::warn!(%error, "a read ends early");
    // Nobody may be there to be told.
    let _ = timeout(limits::WRITE_STALL, to.send(Err(error))).await;
}

type Whole = AbortOnDropHandle<Result<Pieces, ReadError>>;

async fn send_all(
    context: &Arc<Context>,
    mut segments: Segments,
    to: &mpsc::Sender<Result<Pieces, ReadError>>,
) -> Result<(), ReadError> {
    let mut ahead: VecDeque<Whole> = VecDeque::with_capacity(AHEAD);
    let mut next = segments.next(context).await?;
    loop {
        // The first one waits for its buffers. Those after it take what is free: were they to wait too, transfers that
        // hold later segments could wait for each other for ever.
        while ahead.len() < AHEAD
            && let Some(mut item) = next.take()
        {
            let window = window::bytes_of(&item.secret, &item.range);
            if !ahead.is_empty() && window.is_some() {
                next = Some(item);
                break;
            }
            if let Some(bytes) = window {
                let ticket = context.budget.reserve(bytes).await;
                if let Some(pieces) = read_window(context, &mut item, ticket).await? {
                    send(context, to, pieces).await?;
                    next = segments.next(context).await?;
                    continue;
                }
            }
            let ticket = match ahead.is_empty() {
                true => Some(context.budget.reserve(item.bytes()).await),
                false => context.budget.try_reserve(item.bytes()),
            };
            let Some(ticket) = ticket else {
                next = Some(item);
                break;
            };
            ahead.push_back(owned::spawn(read_whole(Arc::clone(context), item, ticket)));
            next = segments.next(context).await?;
        }
        let Some(first) = ahead.pop_front() else { return Ok(()) };
        let pieces = match first.await {
            Ok(pieces) => pieces?,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => return Err(Stopped.into()),
        };
        send(context, to, pieces).await?;
    }
}

/// Hands pieces over to the connection, within bounds of time: they lie in buffers that all transfers share.
pub(super) async fn send(
    context: &Context,
    to: &mpsc::Sender<Result<Pieces, ReadError>>,
    pieces: Pieces,
) -> Result<(), ReadError> {
    // The pieces of a segment lie in one buffer, which is free again when the last one was taken.
    let deadline = Instant::now() + limits::SEGMENT_WAIT;
    let mut pieces = pieces.into_iter();
    loop {
        let group: Pieces = pieces.by_ref().take(GROUP_PIECES).collect();
        if group.is_empty() {
            return Ok(());
        }
        let bytes: usize = group.iter().map(Bytes::len).sum();
        context.metrics.sent(u64::try_from(bytes).unwrap_or(u64::MAX));
        let until = deadline.min(Instant::now() + limits::WRITE_STALL);
        match timeout_at(until, to.send(Ok(group))).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return Err(ReadError::Stalled),
        }
    }
}

pub(super) async fn fetch<'a>(
    context: &'a Context,
    reference: &'a SegmentRef,
) -> Result<Fetch<'a>, ReadError> {
    let sources = context.pools.sources_soon(reference).await;
    let sources = sources.ok_or_else(|| ReadError::NoLayout(reference.pool.clone(), reference.epoch))?;
    Ok(Fetch { context, reference, sources, places: None })
}

/// By its frames alone; `None` when that failed, or the segment is to be read whole.
async fn read_window(
    context: &Context,
    item: &mut Item,
    ticket: Ticket,
) -> Result<Option<Pieces>, ReadError> {
    if let Some(kept) = context.cache.get(&item.reference.id) {
        return Ok(window::read_kept(context, &item.secret, item.range.clone(), kept, ticket).await);
    }
    if item.is_to_be_kept(&context.cache) {
        return Ok(None);
    }
    item.refresh(context).await?;
    let fetch = fetch(context, &item.reference).await?;
    Ok(window::read(&fetch, &item.secret, item.range.clone(), ticket).await)
}

/// From the cache, or from the nodes: then others that want the same segment wait for this one.
async fn read_whole(context: Arc<Context>, mut item: Item, ticket: Ticket) -> Result<Pieces, ReadError> {
    let room = open::Room::new(&item.reference, ticket);
    let id = item.reference.id;
    match context.cache.lookup(id).await {
        Lookup::Hit(sealed) => match open(&context, &item, Source::Cache(sealed), room).await? {
            Ok(plain) => Ok(cut(plain.pieces, item.range)),
            Err((error, room)) => {
                tracing::error!(segment = ?id, %error, "the memory of the cache is damaged");
                context.cache.remove(&id);
                read_nodes(&context, &mut item, *room, None).await
            }
        },
        Lookup::Miss(flight) => read_nodes(&context, &mut item, room, flight).await,
    }
}

async fn read_nodes(
    context: &Context,
    item: &mut Item,
    mut room: Room,
    flight: Option<Flight>,
) -> Result<Pieces, ReadError> {
    let touched = item.is_to_be_kept(&context.cache);
    // The frames' tags prove what was read, at a cost that is paid anyway. Only when they do not are the shards held
    // against their leaves, which names the corrupt one and reads another in its place.
    for proof in [Proof::Frames, Proof::Leaves] {
        item.refresh(context).await?;
        let (gathered, back) = room.gather(fetch(context, &item.reference).await?, proof).await;
        room = back;
        let shards = match gathered {
            Ok(shards) => shards,
            Err(_) if !item.reader.is_there(context).await? => return Err(PageError::Taken.into()),
            Err(error) => return Err(error.into()),
        };
        let keep = touched || flight.as_ref().is_some_and(Flight::is_followed);
        match open(context, item, Source::Shards { shards, keep }, room).await? {
            Ok(Plain { pieces, sealed }) => {
                if let Some(sealed) = sealed {
                    context.cache.insert(item.reference.id, sealed);
                }
                return Ok(cut(pieces, item.range.clone()));
            }
            Err((error, _)) if proof == Proof::Leaves => return Err(error.into()),
            Err((error, back)) => {
                tracing::warn!(segment = ?item.reference.id, %error, "a segment does not open; its shards are checked");
                room = *back;
            }
        }
    }
    Err(Stopped.into())
}

async fn open(
    context: &Context,
    item: &Item,
    source: Source,
    room: Room,
) -> Result<Result<Plain, (OpenSegmentError, Box<Room>)>, Stopped> {
    let (reference, secret) = (item.reference.clone(), item.secret.clone());
    context.cpu.run(move |stages| open::open(&reference, &secret, source, room, stages)).await
}

/// The part of the pieces that lies in `range`.
fn cut(pieces: Pieces, range: Range<usize>) -> Pieces {
    let mut at = 0;
    let mut out = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let start = range.start.saturating_sub(at).min(piece.len());
        let end = range.end.saturating_sub(at).min(piece.len());
        at += piece.len();
        if start < end {
            out.push(piece.slice(start..end));
        }
    }
    out
}

impl From<ReadError> for io::Error {
    fn from(error: ReadError) -> Self {
        Self::other(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_what_lies_in_the_range() {
        let text: Vec<u8> = (0..100).collect();
        let pieces = || text.chunks(7).map(Bytes::copy_from_slice).collect::<Vec<_>>();
        for start in 0..=100 {
            for end in start..=100 {
                let got: Vec<u8> = cut(pieces(), start..end).concat();
                assert_eq!(got, text[start..end], "{start}..{end}");
            }
        }
    }
}
