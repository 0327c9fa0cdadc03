//! From plaintext to named shards, on one thread: compress, seal, encode, hash.

use bytes::Bytes;
use datamesh_erasure::{CodeError, Coder};
use datamesh_seal::{SealError, SegmentKey};
use datamesh_shard::limits::{SEAL_HEADER_BYTES, SEALED_BYTES_MAX};
use datamesh_shard::{Cipher, ErasureProfile, HeaderError, SegmentHeader, SegmentId, leaf_hash};

use super::budget::{Buffer, Ticket};
use super::manifest::SegmentSecret;
use crate::metrics::{Stage, Stages};

/// A sealed segment as shards, ready to be spread.
pub(super) struct Shards {
    pub(super) id: SegmentId,
    /// The encoded header that proves every shard.
    pub(super) header: Bytes,
    /// By shard index; all are slices of one buffer of the budget.
    pub(super) shards: Vec<Bytes>,
    pub(super) sealed_bytes: u32,
    pub(super) profile: ErasureProfile,
}

/// How a pool's segments are made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recipe {
    pub(super) profile: ErasureProfile,
    pub(super) cipher: Cipher,
}

/// Why a segment could not be made: each a fault of this program, not of the data.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MakeError {
    #[error("cannot seal a segment: {0}")]
    Seal(#[from] SealError),
    #[error("cannot encode a segment: {0}")]
    Code(#[from] CodeError),
    #[error("cannot name a segment: {0}")]
    Header(#[from] HeaderError),
    #[error("a sealed segment of {0} bytes")]
    Length(usize),
}

impl Recipe {
    /// Bytes of buffers one segment of this many plaintext bytes needs in all: its plaintext, and its shards.
    pub(super) fn bytes_of(self, plain_bytes: usize) -> usize {
        plain_bytes + self.shard_room(plain_bytes)
    }

    /// Bytes of all shards together at most.
    fn shard_room(self, plain_bytes: usize) -> usize {
        let sealed = datamesh_seal::sealed_bytes_of(plain_bytes).min(SEALED_BYTES_MAX);
        shards_bytes_of(self.profile, sealed)
    }

    /// Makes the shards of `plain[..plain_bytes]`, sealed under `key`, which sealed nothing before. The plaintext's buffer
    /// is free again once it is sealed.
    pub(super) fn make(
        self,
        plain: Buffer,
        plain_bytes: usize,
        mut ticket: Ticket,
        key: SegmentKey,
        stages: &Stages,
    ) -> Result<(Shards, SegmentSecret), MakeError> {
        let mut out = ticket.buffer(self.shard_room(plain_bytes));
        drop(ticket);
        let sealed = stages.measure(Stage::Seal, || {
            let text = &plain[..plain_bytes];
            let compress = datamesh_seal::pays_to_compress(text);
            datamesh_seal::seal_segment(&key, self.cipher, text, compress, &mut out)
        })?;
        drop(plain);
        let seal_header = out.first_chunk::<SEAL_HEADER_BYTES>().copied().ok_or(MakeError::Length(sealed))?;
        let plain_bytes = u32::try_from(plain_bytes).map_err(|_| MakeError::Length(plain_bytes))?;
        let shards = Shards::of(self.profile, out, sealed, stages)?;
        Ok((shards, SegmentSecret { key, plain_bytes, seal_header }))
    }
}

/// Bytes of all shards of a sealed segment together.
pub(super) fn shards_bytes_of(profile: ErasureProfile, sealed_bytes: usize) -> usize {
    SegmentHeader::shard_bytes_of(profile, sealed_bytes) * profile.total()
}

impl Shards {
    /// Codes a sealed segment that stands at the front of `out`, which has room for all of its shards.
    pub(super) fn of(
        profile: ErasureProfile,
        mut out: Buffer,
        sealed: usize,
        stages: &Stages,
    ) -> Result<Self, MakeError> {
        let coder = Coder::new(profile);
        let shard_bytes = stages.measure(Stage::Encode, || coder.encode_segment(&mut out, sealed))?;
        let leaves = stages.measure(Stage::Hash, || {
            out.chunks_exact(shard_bytes).take(profile.total()).map(leaf_hash).collect()
        });
        let sealed_bytes = u32::try_from(sealed).map_err(|_| MakeError::Length(sealed))?;
        let header = SegmentHeader::new(profile, sealed_bytes, leaves)?;
        let bytes = out.freeze();
        let shards =
            (0..profile.total()).map(|i| bytes.slice(i * shard_bytes..(i + 1) * shard_bytes)).collect();
        Ok(Self { id: header.id(), header: header.encode(), shards, sealed_bytes, profile })
    }
}
