//! Pieces of a backup of the catalog: whole segments, put and read one at a time.

use std::sync::Arc;

use bytes::Bytes;
use datamesh_catalog::backup::{ANCHOR_RECORD_BYTES_MAX, Chunk};
use datamesh_catalog::catalog::UploadError;
use datamesh_catalog::limits::PAGE_SEGMENTS_MAX;
use datamesh_catalog::{SegmentRef, Target, UploadId};
use datamesh_shard::PoolName;
use tokio_util::task::AbortOnDropHandle;

use super::context::Context;
use super::cpu::Stopped;
use super::fetch::Proof;
use super::get::{ReadError, fetch};
use super::job::Job;
use super::manifest::{self, ManifestError, SegmentSecret};
use super::open::{self, OpenSegmentError, Room, Source};
use super::put::renew;
use super::store::{StoreError, millis, store};
use crate::owned;

/// An upload that keeps what is put under it for as long as this lives. It begins with its first piece.
pub(crate) struct Keeping {
    pub(crate) job: Arc<Job>,
    _renewing: AbortOnDropHandle<()>,
}

impl Keeping {
    /// For pieces in a pool.
    pub(crate) fn new(context: &Arc<Context>, target: Target, pool: PoolName) -> Result<Self, StoreError> {
        let job = Arc::new(Job::new(context, target, pool)?);
        let _renewing = owned::spawn(renew(Arc::clone(context), Arc::clone(&job)));
        Ok(Self { job, _renewing })
    }
}

/// Keeps what was put under an upload whose [`Keeping`] is gone, for a lease from now on. One that has ended stays so.
pub(crate) async fn hold(context: &Context, upload: UploadId) -> Result<(), UploadError> {
    let (now, lease) = (context.surroundings.now_unix_ms(), millis(context.put_lease));
    // The same time for a while: nothing is written where it was asked for a moment ago.
    let step = (lease / 4).max(1);
    let until = (now - now % step).saturating_add(step).saturating_add(lease);
    match context.catalog.renew_upload(upload, until).await {
        Ok(()) | Err(UploadError::Gone) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The pieces of a part as they are put.
#[derive(Default)]
pub(crate) struct Pieces(Vec<(SegmentRef, SegmentSecret)>);

/// Bytes that an anchor has for its other parts at least, beside the snapshot's pieces.
const OTHERS_BYTES: usize = 64 << 10;
/// Bytes of a reference at most, without its pool's name: the segment, four numbers and a profile.
const REFERENCE_BYTES_MAX: usize = 32 + 5 + 1 + 2 + 10 + 10;

impl Pieces {
    /// Pieces of a snapshot in this pool that fit an anchor.
    pub(crate) fn max_in_anchor(pool: &PoolName) -> usize {
        let each = REFERENCE_BYTES_MAX + pool.as_str().len() + manifest::ENTRY_BYTES;
        (ANCHOR_RECORD_BYTES_MAX - OTHERS_BYTES) / each
    }

    /// How many were put.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Puts one: from 1 byte to a segment's.
    pub(crate) async fn put(
        &mut self,
        context: &Arc<Context>,
        keeping: &Keeping,
        piece: &[u8],
    ) -> Result<(), StoreError> {
        let recipe = keeping.job.recipe(context)?;
        let mut ticket = context.budget.reserve(recipe.bytes_of(piece.len())).await;
        let mut plain = ticket.buffer(piece.len());
        plain[..piece.len()].copy_from_slice(piece);
        let (context, job) = (Arc::clone(context), Arc::clone(&keeping.job));
        let stored = store(context, job, recipe, (plain, piece.len()), ticket).await?;
        self.0.push((stored.reference, stored.secret));
        Ok(())
    }

    /// What finds and opens them.
    pub(crate) fn finish(self) -> Result<Vec<Chunk>, ManifestError> {
        let mut chunks = Vec::new();
        for some in self.0.chunks(PAGE_SEGMENTS_MAX) {
            let (segments, secrets): (Vec<_>, Vec<_>) = some.iter().cloned().unzip();
            chunks.push(Chunk { segments, secrets: manifest::encode(&secrets)?.to_vec() });
        }
        Ok(chunks)
    }
}

/// Why pieces are not read back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PieceError {
    #[error("what opens the segments: {0}")]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// The segments of a chunk, with what opens them.
pub(crate) fn segments_of(chunk: &Chunk) -> Result<Vec<(SegmentRef, SegmentSecret)>, ManifestError> {
    let secrets = manifest::decode(&chunk.secrets)?;
    match secrets.len() == chunk.segments.len() {
        true => Ok(chunk.segments.iter().cloned().zip(secrets).collect()),
        false => Err(ManifestError::Length(chunk.secrets.len())),
    }
}

/// Reads a piece back: k shards, and others where their frames do not open.
pub(crate) async fn piece(
    context: &Context,
    (reference, secret): (SegmentRef, SegmentSecret),
) -> Result<Vec<u8>, ReadError> {
    let ticket = context.budget.reserve(open::bytes_of(&reference, &secret)).await;
    let mut room = Room::new(&reference, ticket);
    for proof in [Proof::Frames, Proof::Leaves] {
        let (gathered, back) = room.gather(fetch(context, &reference).await?, proof).await;
        let source = Source::Shards { shards: gathered?, keep: false };
        let (reference, secret) = (reference.clone(), secret.clone());
        let opening = move |stages: &_| open::open(&reference, &secret, source, back, stages);
        match context.cpu.run(opening).await? {
            Ok(plain) => return Ok(plain.pieces.concat()),
            Err((error, _)) if proof == Proof::Leaves => return Err(error.into()),
            Err((_, back)) => room = *back,
        }
    }
    Err(Stopped.into())
}

/// A piece's sealed bytes: no key is needed, each shard is held against its leaf.
pub(crate) async fn sealed_piece(context: &Context, reference: &SegmentRef) -> Result<Bytes, ReadError> {
    let room = open::data_bytes(reference);
    // As they arrive, and put together.
    let mut ticket = context.budget.reserve(2 * room).await;
    let shards = fetch(context, reference).await?.gather(Proof::Leaves).await?;
    let (mut out, reference) = (ticket.buffer(room), reference.clone());
    let joining = context.cpu.run(move |_| {
        open::join(&reference, shards, &mut out).map_err(OpenSegmentError::from)?;
        let sealed = Bytes::copy_from_slice(&out[..reference.sealed_bytes as usize]);
        drop((out, ticket));
        Ok::<_, ReadError>(sealed)
    });
    joining.await?
}

/// Opens a piece's sealed bytes, wherever they come from: their tags prove them, under a key that sealed nothing else.
pub(crate) async fn open_piece(
    context: &Context,
    (reference, secret): (SegmentRef, SegmentSecret),
    sealed: Bytes,
) -> Result<Vec<u8>, ReadError> {
    let ticket = context.budget.reserve(open::bytes_of(&reference, &secret)).await;
    let room = Room::new(&reference, ticket);
    let opening = move |stages: &_| open::open(&reference, &secret, Source::Cache(sealed), room, stages);
    match context.cpu.run(opening).await? {
        Ok(plain) => Ok(plain.pieces.concat()),
        Err((error, _)) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use datamesh_catalog::backup::{Anchor, AnchorPart};
    use datamesh_catalog::record;
    use datamesh_seal::SegmentKey;
    use datamesh_shard::limits::SEAL_HEADER_BYTES;
    use datamesh_shard::{Epoch, ErasureProfile, Generation, SegmentId};

    use super::*;
    use crate::surroundings::OperatingSystem;

    #[test]
    fn as_many_pieces_as_may_be_fit_an_anchor() {
        let pool = PoolName::new(&"p".repeat(30)).unwrap();
        let (mut pieces, max) = (Pieces::default(), Pieces::max_in_anchor(&pool));
        for _ in 0..max {
            let reference = SegmentRef {
                id: SegmentId([7; 32]),
                sealed_bytes: u32::MAX,
                pool: pool.clone(),
                profile: ErasureProfile::new(10, 4).unwrap(),
                epoch: Epoch(u64::MAX),
                generation: Generation(u64::MAX),
            };
            let key = SegmentKey::random_from(&OperatingSystem);
            let secret = SegmentSecret { key, plain_bytes: 1, seal_header: [1; SEAL_HEADER_BYTES] };
            pieces.0.push((reference, secret));
        }
        let part = AnchorPart { revision: 1, at_unix_ms: 1, chunks: pieces.finish().unwrap() };
        let anchor = Anchor {
            cluster: "c".parse().unwrap(),
            gateway: "g".parse().unwrap(),
            generation: u64::MAX,
            wish: Some("w".repeat(64)),
            pools: vec![pool; 64],
            reach_ms: u64::MAX,
            upload: UploadId([1; 16]),
            at_unix_ms: u64::MAX,
            parts: vec![part],
        };
        assert!(max > 2500, "10 GiB of rows: {max}");
        assert!(record::encode(&anchor).unwrap().len() > ANCHOR_RECORD_BYTES_MAX / 2);
    }
}
