use datamesh_shard::{ErasureProfile, ShardIndex};

/// Why shards were neither encoded nor rebuilt. Nothing was written, except where said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// A shard's length is 0 or above the limit.
    #[error("shards of {0} bytes are not within 1 and {max}", max = datamesh_shard::limits::SHARD_BYTES_MAX)]
    ShardBytes(usize),
    /// A sealed segment's length is 0 or above the limit.
    #[error("a sealed segment of {0} bytes is not within 1 and {max}", max = datamesh_shard::limits::SEALED_BYTES_MAX)]
    SealedBytes(usize),
    /// The buffer is not k+m shards long.
    #[error("a buffer of {got} bytes where {expected} belong")]
    Buffer {
        /// Bytes of k+m shards.
        expected: usize,
        /// Bytes given.
        got: usize,
    },
    /// One shard (survivor or output) is longer or shorter than the first survivor.
    #[error("shard {index} has {got} bytes where the others have {expected}")]
    Length {
        /// Which shard.
        index: ShardIndex,
        /// Bytes of the first survivor.
        expected: usize,
        /// Bytes of this one.
        got: usize,
    },
    /// The list of survivors has another length than k+m.
    #[error("{got} places for shards where {expected} belong")]
    Places {
        /// k+m.
        expected: usize,
        /// Places given.
        got: usize,
    },
    /// The numbers of wanted shards and of output slices differ.
    #[error("{outputs} outputs for {wanted} wanted shards")]
    Outputs {
        /// Indices wanted.
        wanted: usize,
        /// Slices given.
        outputs: usize,
    },
    /// An index beyond the profile.
    #[error("shard index {0} is beyond the segment's shards")]
    Index(ShardIndex),
    /// Fewer than k survivors.
    #[error("{have} shards are left where {need} are needed")]
    TooFew {
        /// Survivors.
        have: usize,
        /// k.
        need: usize,
    },
    /// The coding engine refused what was checked before; outputs are undefined.
    #[error("the coding engine refused profile {0}")]
    Engine(ErasureProfile),
}
