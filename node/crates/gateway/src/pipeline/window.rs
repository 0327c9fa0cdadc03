//! A small range of an uncompressed segment: only the frames it lies in, each proven by its own tag.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use datamesh_exchange::message::{Request, Response};
use datamesh_seal::{Compression, SealHeader, SegmentKey};
use datamesh_shard::limits::FRAME_BYTES;
use datamesh_shard::{SegmentHeader, ShardIndex, ShardKey};
use futures::future::try_join_all;

use super::budget::{Buffer, Ticket};
use super::context::Context;
use super::cpu::Stopped;
use super::fetch::Fetch;
use super::manifest::SegmentSecret;
use super::open::Pieces;
use crate::metrics::Stage;

/// Beyond this share of a segment, reading (and verifying) it whole is the better bargain: 1/4.
const SHARE: usize = 4;
/// Short: whatever goes wrong is made good by the whole read.
pub(super) const TIMEOUT: Duration = Duration::from_secs(2);

/// What a range of a segment needs.
struct Window {
    header: SealHeader,
    frames: Range<u32>,
    /// Sealed bytes of those frames.
    sealed: Range<usize>,
}

/// Bytes of buffers that reading `range` by its frames needs; `None` when the segment or the range is not suited.
pub(super) fn bytes_of(secret: &SegmentSecret, range: &Range<usize>) -> Option<usize> {
    // As received, and once more to be opened.
    Some(2 * window(secret, range)?.sealed.len())
}

/// Reads `range` (plaintext bytes of the segment) by its frames alone. `None` when the segment or the range is not
/// suited, or anything at all goes wrong: the whole, verified read answers then. `ticket` covers [`bytes_of`].
pub(super) async fn read(
    fetch: &Fetch<'_>,
    secret: &SegmentSecret,
    range: Range<usize>,
    mut ticket: Ticket,
) -> Option<Pieces> {
    let window = window(secret, &range)?;
    let parts = parts(fetch, &window.sealed);
    let read = parts.into_iter().map(|(shard, part)| read_part(fetch, shard, part));
    let Ok(parts) = try_join_all(read).await else {
        fetch.context.metrics.shard_error(fetch.reference.pool.as_str(), "get-range", "unreachable");
        return None;
    };
    let mut sealed = ticket.buffer(window.sealed.len());
    let mut at = 0;
    for part in parts {
        sealed.get_mut(at..at + part.len())?.copy_from_slice(&part);
        at += part.len();
    }
    drop(ticket);
    let opened = opened(fetch.context, &secret.key, window, sealed, range).await;
    if let Ok(None) = opened {
        fetch.context.metrics.shard_error(fetch.reference.pool.as_str(), "get-range", "corrupt");
    }
    opened.ok()?
}

/// As [`read`], out of the segment's sealed bytes.
pub(super) async fn read_kept(
    context: &Context,
    secret: &SegmentSecret,
    range: Range<usize>,
    kept: Bytes,
    mut ticket: Ticket,
) -> Option<Pieces> {
    let window = window(secret, &range)?;
    let part = kept.get(window.sealed.clone())?;
    let mut sealed = ticket.buffer(part.len());
    sealed.copy_from_slice(part);
    // An entry may be evicted meanwhile, and this read's ticket covers no more than its part.
    drop((kept, ticket));
    opened(context, &secret.key, window, sealed, range).await.ok()?
}

async fn opened(
    context: &Context,
    key: &SegmentKey,
    window: Window,
    sealed: Buffer,
    range: Range<usize>,
) -> Result<Option<Pieces>, Stopped> {
    let key = key.clone();
    context.cpu.run(move |stages| stages.measure(Stage::Open, || open(&key, &window, sealed, range))).await
}

fn window(secret: &SegmentSecret, range: &Range<usize>) -> Option<Window> {
    let header = SealHeader::decode(&secret.seal_header).ok()?;
    if header.compression() != Compression::None || range.is_empty() || range.end > header.plain_len() {
        return None;
    }
    let frames = u32::try_from(range.start / FRAME_BYTES).ok()?
        ..u32::try_from(range.end.div_ceil(FRAME_BYTES)).ok()?;
    let sealed = header.frame_range(frames.start).start..header.frame_range(frames.end - 1).end;
    (sealed.len() * SHARE <= header.sealed_len()).then_some(Window { header, frames, sealed })
}

/// The shards that the sealed bytes lie in, and where.
pub(super) fn parts(fetch: &Fetch<'_>, sealed: &Range<usize>) -> Vec<(ShardIndex, Range<usize>)> {
    let shard_bytes =
        SegmentHeader::shard_bytes_of(fetch.reference.profile, fetch.reference.sealed_bytes as usize);
    let shards = (0..fetch.reference.profile.data()).map(ShardIndex);
    shards
        .map(|shard| {
            let base = shard.at() * shard_bytes;
            let (start, end) = (sealed.start.max(base), sealed.end.min(base + shard_bytes));
            (shard, start.saturating_sub(base)..end.saturating_sub(base))
        })
        .filter(|(_, part)| !part.is_empty())
        .collect()
}

async fn read_part(fetch: &Fetch<'_>, shard: ShardIndex, part: Range<usize>) -> Result<Bytes, ()> {
    let holder = fetch.sources.holders().get(shard.at()).copied().ok_or(())?;
    let peer = fetch.sources.peer(holder).ok_or(())?;
    if !fetch.context.net.is_live(&peer) || fetch.context.pools.avoided(&peer).is_some() {
        return Err(());
    }
    let len = u32::try_from(part.len()).map_err(|_| ())?;
    let offset = u32::try_from(part.start).map_err(|_| ())?;
    let key = ShardKey { segment: fetch.reference.id, index: shard };
    match fetch.context.net.request(&peer, Request::GetRange { key, offset, len }, None, TIMEOUT).await {
        Ok((Response::Range, bytes)) if bytes.len() == part.len() => Ok(bytes),
        _ => Err(()),
    }
}

/// Opens all frames of the window where they lie, and cuts `range` out of them.
fn open(key: &SegmentKey, window: &Window, mut sealed: Buffer, range: Range<usize>) -> Option<Pieces> {
    let mut texts = Vec::with_capacity(window.frames.len());
    for frame in window.frames.clone() {
        let place = window.header.frame_range(frame);
        let at = place.start - window.sealed.start..place.end - window.sealed.start;
        let bytes =
            datamesh_seal::open_frame(key, &window.header, frame, sealed.get_mut(at.clone())?).ok()?;
        let first = frame as usize * FRAME_BYTES;
        let (start, end) = (range.start.saturating_sub(first), range.end.saturating_sub(first).min(bytes));
        texts.push(at.start + start..at.start + end);
    }
    let sealed = sealed.freeze();
    Some(texts.into_iter().filter(|text| !text.is_empty()).map(|text| sealed.slice(text)).collect())
}
