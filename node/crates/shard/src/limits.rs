//! Every limit on data from the network or a disk, in one place. Checked before anything is allocated.

/// Plaintext bytes of one segment at most: 4 MiB.
pub const SEGMENT_BYTES_MAX: usize = 4 << 20;
/// Plaintext bytes of one frame: 64 KiB, sealed on its own.
pub const FRAME_BYTES: usize = 64 << 10;
/// Bytes the AEAD adds to a frame.
pub const TAG_BYTES: usize = 16;
/// Bytes of the seal header in front of the frames.
pub const SEAL_HEADER_BYTES: usize = 48;
/// Bytes of one sealed segment at most: header, frames and their tags.
pub const SEALED_BYTES_MAX: usize =
    SEAL_HEADER_BYTES + SEGMENT_BYTES_MAX + (SEGMENT_BYTES_MAX / FRAME_BYTES) * TAG_BYTES;
/// Data shards of a profile at most.
pub const DATA_SHARDS_MAX: u8 = 16;
/// Parity shards of a profile at most.
pub const PARITY_SHARDS_MAX: u8 = 8;
/// Bytes of one shard's payload at most: a whole sealed segment, for profiles with k = 1.
pub const SHARD_BYTES_MAX: usize = SEALED_BYTES_MAX;
/// Plaintext bytes that live inside an object's catalog row at most: 4 KiB.
pub const INLINE_BYTES_MAX: usize = 4 << 10;
/// Bytes of an object's key at most (as in S3).
pub const OBJECT_KEY_BYTES_MAX: usize = 1024;
/// Bytes of one object at most: 5 TiB (as in S3).
pub const OBJECT_BYTES_MAX: u64 = 5 << 40;
/// Bytes of one encoded control message (everything but shard payloads) at most: 1 MiB.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Bytes of one message between gateways that keep the catalog together at most: 20 MiB, two of the largest groups of commits.
pub const REPLICA_BYTES_MAX: usize = 20 << 20;
/// Members of one pool at most.
pub const POOL_MEMBERS_MAX: usize = 1000;
/// Binary logarithm of the number of partitions of a layout at most (65,536).
pub const PARTITIONS_LOG2_MAX: u8 = 16;
