//! A segment's header: what every shard carries, so that any node proves any shard by itself.

use bytes::{BufMut, Bytes, BytesMut};

use crate::limits::SEALED_BYTES_MAX;
use crate::numbers::ShardIndex;
use crate::profile::{ErasureProfile, ProfileError};

/// Domain separation of segment ids from every other BLAKE3 use.
const ID_CONTEXT: &str = "datamesh.io 2026 segment id";
/// First byte of an encoded header.
const VERSION: u8 = 1;
/// Second byte: systematic Reed-Solomon over GF(2^8), contiguous data shards.
const CODE_REED_SOLOMON: u8 = 1;
const FIXED_BYTES: usize = 8;
const LEAF_BYTES: usize = 32;

/// Names a segment by its content: BLAKE3 over the encoded header, leaf hashes included.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SegmentId(pub [u8; 32]);

impl SegmentId {
    /// The top 64 bits, from which the partition is taken.
    #[must_use]
    pub fn top(self) -> u64 {
        let mut top = [0; 8];
        top.copy_from_slice(&self.0[..8]);
        u64::from_be_bytes(top)
    }
}

impl std::fmt::Display for SegmentId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl std::fmt::Debug for SegmentId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SegmentId({}…)", hex::encode(&self.0[..6]))
    }
}

crate::names::serde_as_text_or_bytes!(SegmentId, 32);

/// Names one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct ShardKey {
    /// The segment it is a piece of.
    pub segment: SegmentId,
    /// Which piece.
    pub index: ShardIndex,
}

impl std::fmt::Display for ShardKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.segment, self.index)
    }
}

/// The BLAKE3 hash of one shard's payload.
#[must_use]
pub fn leaf_hash(payload: &[u8]) -> [u8; 32] {
    blake3::hash(payload).into()
}

/// Shape and leaf hashes of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    profile: ErasureProfile,
    sealed_bytes: u32,
    leaves: Vec<[u8; 32]>,
}

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Length does not fit the shape.
    #[error("segment header of {0} bytes")]
    Length(usize),
    /// Written by a later version.
    #[error("segment header version {0} is not known to this version")]
    Version(u8),
    /// Another erasure code.
    #[error("erasure code {0} is not known to this version")]
    Code(u8),
    /// k or m out of range.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// Sealed length out of range.
    #[error("sealed length {0} is not within 1 and {SEALED_BYTES_MAX}")]
    SealedBytes(u32),
}

/// Why a shard is not what its header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShardError {
    /// The header hashes to another segment.
    #[error("the header is of segment {0:?}")]
    Segment(SegmentId),
    /// Index beyond k+m.
    #[error("shard index {0} is beyond the segment's shards")]
    Index(ShardIndex),
    /// Payload length differs from the shape's.
    #[error("payload of {0} bytes where {1} belong")]
    Length(usize, usize),
    /// Payload differs from its leaf hash.
    #[error("payload does not match its leaf hash")]
    Leaf,
}

fn profile_of([version, code, data, parity, ..]: [u8; FIXED_BYTES]) -> Result<ErasureProfile, HeaderError> {
    if version != VERSION {
        return Err(HeaderError::Version(version));
    }
    if code != CODE_REED_SOLOMON {
        return Err(HeaderError::Code(code));
    }
    Ok(ErasureProfile::new(data, parity)?)
}

impl SegmentHeader {
    /// A header over k+m leaf hashes.
    ///
    /// # Errors
    /// Refuses a sealed length of 0 or above the limit, and a number of leaves other than k+m.
    pub fn new(
        profile: ErasureProfile,
        sealed_bytes: u32,
        leaves: Vec<[u8; 32]>,
    ) -> Result<Self, HeaderError> {
        if sealed_bytes == 0 || sealed_bytes as usize > SEALED_BYTES_MAX {
            return Err(HeaderError::SealedBytes(sealed_bytes));
        }
        if leaves.len() != profile.total() {
            return Err(HeaderError::Length(FIXED_BYTES + leaves.len() * LEAF_BYTES));
        }
        Ok(Self { profile, sealed_bytes, leaves })
    }

    /// k and m.
    #[must_use]
    pub fn profile(&self) -> ErasureProfile {
        self.profile
    }

    /// Bytes of the sealed segment, before padding to k equal shards.
    #[must_use]
    pub fn sealed_bytes(&self) -> u32 {
        self.sealed_bytes
    }

    /// Leaf hashes, by shard index.
    #[must_use]
    pub fn leaves(&self) -> &[[u8; 32]] {
        &self.leaves
    }

    /// Payload bytes of each shard of a segment of this sealed length: its k-th part, rounded up.
    #[must_use]
    pub fn shard_bytes_of(profile: ErasureProfile, sealed_bytes: usize) -> usize {
        sealed_bytes.div_ceil(profile.k())
    }

    /// Payload bytes of each shard.
    #[must_use]
    pub fn shard_bytes(&self) -> usize {
        Self::shard_bytes_of(self.profile, self.sealed_bytes as usize)
    }

    /// version, code, k, m, sealed length (u32, little-endian), then the k+m leaves of 32 bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(Self::encoded_bytes(self.profile));
        out.put_u8(VERSION);
        out.put_u8(CODE_REED_SOLOMON);
        out.put_u8(self.profile.data());
        out.put_u8(self.profile.parity());
        out.put_u32_le(self.sealed_bytes);
        for leaf in &self.leaves {
            out.put_slice(leaf);
        }
        out.freeze()
    }

    /// Bytes of an encoded header of this profile.
    #[must_use]
    pub fn encoded_bytes(profile: ErasureProfile) -> usize {
        FIXED_BYTES + profile.total() * LEAF_BYTES
    }

    /// Reads an encoded header.
    ///
    /// # Errors
    /// Every way in which hostile bytes can be wrong has its variant; nothing is allocated before the length is checked.
    pub fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let Some((fixed, leaves)) = bytes.split_first_chunk::<FIXED_BYTES>() else {
            return Err(HeaderError::Length(bytes.len()));
        };
        let [.., a, b, c, d] = *fixed;
        let profile = profile_of(*fixed)?;
        if bytes.len() != Self::encoded_bytes(profile) {
            return Err(HeaderError::Length(bytes.len()));
        }
        let leaves = leaves.as_chunks::<LEAF_BYTES>().0.to_vec();
        Self::new(profile, u32::from_le_bytes([a, b, c, d]), leaves)
    }

    /// The k and m that an encoded header says, without reading the rest of it.
    ///
    /// # Errors
    /// As of decoding it.
    pub fn profile_in(bytes: &[u8]) -> Result<ErasureProfile, HeaderError> {
        let fixed = bytes.first_chunk::<FIXED_BYTES>().ok_or(HeaderError::Length(bytes.len()))?;
        profile_of(*fixed)
    }

    /// The segment's id: what the whole mesh calls it.
    #[must_use]
    pub fn id(&self) -> SegmentId {
        SegmentId(blake3::derive_key(ID_CONTEXT, &self.encode()))
    }

    /// Proves that `payload` is the shard `key`: header, index, length and leaf.
    ///
    /// # Errors
    /// Names what does not fit.
    pub fn verify(&self, key: ShardKey, payload: &[u8]) -> Result<(), ShardError> {
        let id = self.id();
        if id != key.segment {
            return Err(ShardError::Segment(id));
        }
        self.verify_leaf(key.index, payload)
    }

    /// Proves one payload against its leaf; the header itself is already proven.
    ///
    /// # Errors
    /// Names what does not fit.
    pub fn verify_leaf(&self, index: ShardIndex, payload: &[u8]) -> Result<(), ShardError> {
        let leaf = self.leaves.get(index.at()).ok_or(ShardError::Index(index))?;
        if payload.len() != self.shard_bytes() {
            return Err(ShardError::Length(payload.len(), self.shard_bytes()));
        }
        if leaf_hash(payload) != *leaf {
            return Err(ShardError::Leaf);
        }
        Ok(())
    }
}
