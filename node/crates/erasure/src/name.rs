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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_and_the_profile_make_the_name() {
        let profile = ErasureProfile::new(4, 2).unwrap();
        let mut sealed: Vec<u8> = (0..100_003_u32).map(|n| n.to_le_bytes()[0]).collect();
        let id = segment_id(profile, &sealed).unwrap();
        assert_eq!(segment_id(profile, &sealed), Ok(id));
        assert_ne!(segment_id(ErasureProfile::new(2, 1).unwrap(), &sealed), Ok(id));
        // Zeroes that pad the last shard are no part of it.
        assert_ne!(segment_id(profile, &[&sealed[..], &[0]].concat()), Ok(id));
        for at in [0, 25_001, 100_002] {
            sealed[at] ^= 1;
            assert_ne!(segment_id(profile, &sealed), Ok(id), "{at}");
            sealed[at] ^= 1;
        }
    }

    #[test]
    fn what_no_segment_has_is_refused() {
        let profile = ErasureProfile::new(4, 2).unwrap();
        for bytes in [0, SEALED_BYTES_MAX + 1] {
            let refused = segment_id(profile, &vec![0; bytes]);
            assert_eq!(refused, Err(CodeError::SealedBytes(bytes).into()));
        }
        assert!(segment_id(profile, &vec![0; SEALED_BYTES_MAX]).is_ok());
    }
}
