//! From shards to plaintext, on one thread: rebuild, decrypt, decompress. Every frame proves itself by its tag, and with
//! them all the shards they came from.

use std::ops::Range;

use bytes::Bytes;
use datamesh_catalog::SegmentRef;
use datamesh_erasure::{CodeError, Coder};
use datamesh_seal::{Compression, OpenError, SealHeader};
use datamesh_shard::limits::{DATA_SHARDS_MAX, FRAME_BYTES};
use datamesh_shard::{SegmentHeader, ShardIndex};

use super::budget::{Buffer, Ticket};
use super::fetch::{Fetch, FetchError, Gathered, Proof};
use super::manifest::SegmentSecret;
use crate::metrics::{Stage, Stages};

/// A segment's plaintext, in order; slices of buffers of the budget.
pub(super) type Pieces = Vec<Bytes>;

/// Why shards do not open: one of them is corrupt or, when their leaves are proven, the manifest is not theirs.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenSegmentError {
    #[error("cannot rebuild: {0}")]
    Code(#[from] CodeError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("the cache has {0} bytes of it")]
    Kept(usize),
    #[error("the segment's seal header is not the one its manifest names")]
    SealHeader,
    #[error("the segment has {got} plaintext bytes, its manifest says {expected}")]
    PlainBytes { expected: usize, got: usize },
}

/// Plaintext that a buffer of the system's holds while the budget counts it.
struct Held {
    plain: Vec<u8>,
    _ticket: Ticket,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.plain
    }
}

/// Bytes of buffers that reading a segment whole needs: its shards as they arrive, and once more to put them together
/// or to decompress.
pub(super) fn bytes_of(reference: &SegmentRef, secret: &SegmentSecret) -> usize {
    let shards = room_bytes(reference);
    shards + shards.max(secret.plain_bytes as usize)
}

/// Bytes of buffers that reading the sealed bytes alone needs: as they arrive, and put together.
pub(super) fn sealed_bytes_of(reference: &SegmentRef) -> usize {
    2 * room_bytes(reference)
}

/// Bytes of the data shards of these sealed bytes, in whatever profile: it may be coded anew before it is read.
fn room_bytes(reference: &SegmentRef) -> usize {
    reference.sealed_bytes as usize + usize::from(DATA_SHARDS_MAX)
}

/// Bytes of a segment's data shards.
pub(super) fn data_bytes(reference: &SegmentRef) -> usize {
    let profile = reference.profile;
    SegmentHeader::shard_bytes_of(profile, reference.sealed_bytes as usize) * profile.k()
}

/// Where a segment is put together, and the right to hold it as it arrives and as it is passed on.
pub(super) struct Room {
    sealed: Buffer,
    ticket: Ticket,
}

impl Room {
    /// `ticket` covers [`bytes_of`].
    pub(super) fn new(reference: &SegmentRef, mut ticket: Ticket) -> Self {
        Self { sealed: ticket.buffer(room_bytes(reference)), ticket }
    }

    /// Gathers shards, those of the data into their places in it.
    pub(super) async fn gather(self, fetch: Fetch<'_>, proof: Proof) -> (Result<Gathered, FetchError>, Self) {
        let Self { sealed, ticket } = self;
        let profile = fetch.reference.profile;
        let places = sealed.cut(data_bytes(fetch.reference) / profile.k(), profile.k());
        // Held against its leaf on another thread, a shard may be in use when its place is wanted back.
        let lent = (proof == Proof::Frames).then_some(&places);
        let gathered = Fetch { places: lent, ..fetch }.gather(proof).await;
        (gathered, Self { sealed: places.join(), ticket })
    }
}

impl Room {
    /// The sealed bytes themselves, of shards that were held against their leaves.
    pub(super) fn join(mut self, reference: &SegmentRef, shards: Gathered) -> Result<Bytes, CodeError> {
        join(reference, shards, &mut self.sealed[..data_bytes(reference)])?;
        self.sealed.truncate(reference.sealed_bytes as usize);
        Ok(self.sealed.freeze())
    }
}

/// Where a segment's sealed bytes come from.
pub(super) enum Source {
    /// The nodes.
    Shards {
        /// As many as suffice.
        shards: Gathered,
        /// Whether to make the copy that the cache keeps.
        keep: bool,
    },
    /// The cache.
    Cache(Bytes),
}

/// A segment that was opened.
pub(super) struct Plain {
    pub(super) pieces: Pieces,
    /// A copy of its sealed bytes, all of which the tags have proven.
    pub(super) sealed: Option<Bytes>,
}

/// Rebuilds what is missing and opens the segment. The room comes back when that fails, for another try.
pub(super) fn open(
    reference: &SegmentRef,
    secret: &SegmentSecret,
    source: Source,
    mut room: Room,
    stages: &Stages,
) -> Result<Plain, (OpenSegmentError, Box<Room>)> {
    let sealed = match stages.measure(Stage::Decode, || assemble(reference, source, &mut room.sealed)) {
        Ok(sealed) => sealed,
        Err(error) => return Err((error, Box::new(room))),
    };
    match stages.measure(Stage::Open, || unseal(reference, secret, &mut room.sealed)) {
        Ok(opened) => Ok(Plain { pieces: pieces(opened, room), sealed }),
        Err(error) => Err((error, Box::new(room))),
    }
}

/// A segment's plaintext: where its frames lie in the buffer, or what was decompressed out of it.
enum Opened {
    InPlace(Vec<Range<usize>>),
    Decompressed(Vec<u8>),
}

impl Opened {
    fn bytes(&self) -> usize {
        match self {
            Self::InPlace(frames) => frames.iter().map(ExactSizeIterator::len).sum(),
            Self::Decompressed(plain) => plain.len(),
        }
    }
}

fn pieces(opened: Opened, room: Room) -> Pieces {
    let Room { sealed, ticket } = room;
    match opened {
        Opened::InPlace(frames) => {
            let bytes = sealed.freeze();
            frames.into_iter().map(|frame| bytes.slice(frame)).collect()
        }
        Opened::Decompressed(plain) => {
            drop(sealed);
            // Whole, it would fill a connection's queue with sixteen times what the queue is reckoned at.
            let text = Bytes::from_owner(Held { plain, _ticket: ticket });
            let end = |start: usize| text.len().min(start + FRAME_BYTES);
            (0..text.len()).step_by(FRAME_BYTES).map(|start| text.slice(start..end(start))).collect()
        }
    }
}

/// Puts the sealed bytes into `out`; a copy comes back where one is to be kept.
fn assemble(
    reference: &SegmentRef,
    source: Source,
    out: &mut [u8],
) -> Result<Option<Bytes>, OpenSegmentError> {
    let bytes = reference.sealed_bytes as usize;
    match source {
        Source::Cache(sealed) => {
            let place = out.get_mut(..sealed.len()).filter(|place| place.len() == bytes);
            place.ok_or(OpenSegmentError::Kept(sealed.len()))?.copy_from_slice(&sealed);
            Ok(None)
        }
        Source::Shards { shards, keep } => {
            // What they took is counted for the copy from now on, until the cache counts it.
            join(reference, shards, out)?;
            Ok(keep.then(|| Bytes::copy_from_slice(&out[..bytes])))
        }
    }
}

/// Puts the data shards side by side, rebuilding those that are not there.
pub(super) fn join(reference: &SegmentRef, shards: Gathered, out: &mut [u8]) -> Result<(), CodeError> {
    let profile = reference.profile;
    let shard_bytes = SegmentHeader::shard_bytes_of(profile, reference.sealed_bytes as usize);
    let Gathered { there, elsewhere } = shards;
    let (mut wanted, mut places) = (Vec::new(), Vec::new());
    let mut present: Vec<Option<&[u8]>> = (0..profile.data() + profile.parity())
        .map(|index| elsewhere.get(&ShardIndex(index)).map(AsRef::as_ref))
        .collect();
    let places_of_data = out.chunks_exact_mut(shard_bytes).zip(&mut present).take(profile.k());
    for (index, (place, present)) in (0..).map(ShardIndex).zip(places_of_data) {
        match present {
            Some(shard) => place.copy_from_slice(shard),
            None if there.contains(&index) => *present = Some(place),
            None => {
                wanted.push(index);
                places.push(place);
            }
        }
    }
    if wanted.is_empty() {
        return Ok(());
    }
    Coder::new(profile).rebuild(&present, &wanted, &mut places)
}

fn unseal(
    reference: &SegmentRef,
    secret: &SegmentSecret,
    buffer: &mut [u8],
) -> Result<Opened, OpenSegmentError> {
    let sealed = &mut buffer[..reference.sealed_bytes as usize];
    let header = SealHeader::decode(sealed).map_err(OpenError::from)?;
    if header.encode() != secret.seal_header {
        return Err(OpenSegmentError::SealHeader);
    }
    let expected = secret.plain_bytes as usize;
    let opened = match header.compression() {
        Compression::None => Opened::InPlace(frames(&header, secret, sealed)?),
        Compression::Zstd => {
            let mut plain = Vec::with_capacity(expected);
            datamesh_seal::open_segment(&secret.key, sealed, &mut plain)?;
            Opened::Decompressed(plain)
        }
    };
    let got = opened.bytes();
    if got != expected {
        return Err(OpenSegmentError::PlainBytes { expected, got });
    }
    Ok(opened)
}

/// Opens every frame where it lies: what is not compressed is never copied again.
fn frames(
    header: &SealHeader,
    secret: &SegmentSecret,
    sealed: &mut [u8],
) -> Result<Vec<Range<usize>>, OpenSegmentError> {
    let (expected, got) = (header.sealed_len(), sealed.len());
    if got != expected {
        return Err(OpenError::Truncated { expected, got }.into());
    }
    let mut ranges = Vec::with_capacity(header.frames() as usize);
    for frame in 0..header.frames() {
        let range = header.frame_range(frame);
        let plain = datamesh_seal::open_frame(&secret.key, header, frame, &mut sealed[range.clone()])?;
        ranges.push(range.start..range.start + plain);
    }
    Ok(ranges)
}
