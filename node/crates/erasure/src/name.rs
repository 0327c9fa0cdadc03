use datamesh_shard::limits::SEALED_BYTES_MAX;
use datamesh_shard::{ErasureProfile, HeaderError, SegmentHeader, SegmentId, leaf_hash};

use crate::{CodeError, Coder};

/// Why sealed bytes have no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Too few bytes, or too many.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// As above.
    #[error(transparent)]
    Header(#[from] HeaderError),
}

/// The id that a sealed segment has in a profile, for whoever seals by themselves. Codes it, in memory of its own.
///
/// # Errors
/// Refuses lengths that no sealed segment has.
pub fn segment_id(profile: ErasureProfile, sealed: &[u8]) -> Result<SegmentId, NameError> {
    if sealed.is_empty() || sealed.len() > SEALED_BYTES_MAX {
        return Err(CodeError::SealedBytes(sealed.len()).into());
    }
    let mut shards = vec![0; SegmentHeader::shard_bytes_of(profile, sealed.len()) * profile.total()];
    shards[..sealed.len()].copy_from_slice(sealed);
    let shard_bytes = Coder::new(profile).encode_segment(&mut shards, sealed.len())?;
    let leaves = shards.chunks_exact(shard_bytes).map(leaf_hash).collect();
    let bytes = u32::try_from(sealed.len()).map_err(|_| CodeError::SealedBytes(sealed.len()))?;
    Ok(SegmentHeader::new(profile, bytes, leaves)?.id())
}
