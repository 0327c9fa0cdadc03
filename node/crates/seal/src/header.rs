use std::ops::Range;

use datamesh_shard::Cipher;
use datamesh_shard::limits::{FRAME_BYTES, SEAL_HEADER_BYTES, SEGMENT_BYTES_MAX, TAG_BYTES};
use subtle::ConstantTimeEq as _;

use crate::aead::Place;
use crate::compress::Compression;
use crate::context::{SEGMENT_AEAD, SEGMENT_COMMITMENT, derive};
use crate::secret::SegmentKey;
use crate::{OpenError, UNSEALED, aead::FrameKey};

const VERSION: u8 = 1;
/// Flag: the key was derived from the bucket's secret and the content (deduplication).
const DERIVED: u8 = 1;
/// Flag: nothing is sealed. Only the build that tests blindness makes or reads it.
const NOT_SEALED: u8 = 0x80;
/// Bytes of the fields, in front of the commitment.
pub(crate) const FIELD_BYTES: usize = 12;
const COMMITMENT_BYTES: usize = 32;
const CHECK_BYTES: usize = 4;
const FRAME_BYTES_U32: u32 = 64 << 10;
const _: () = assert!(FRAME_BYTES_U32 as usize == FRAME_BYTES);
const SEALED_FRAME_BYTES: usize = FRAME_BYTES + TAG_BYTES;

/// The first 48 bytes of a sealed segment: version, suite, compression, flags (one byte each), plaintext bytes and
/// stored bytes (u32, little-endian), the commitment to the key (32 bytes), and the first four bytes of the fields' BLAKE3
/// hash, which tells a damaged header from a wrong key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealHeader {
    fields: Fields,
    commitment: [u8; COMMITMENT_BYTES],
}

/// What a header says besides the key. All of it enters the AEAD's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fields {
    pub(crate) cipher: Cipher,
    pub(crate) compression: Compression,
    pub(crate) derived: bool,
    pub(crate) plain_bytes: u32,
    pub(crate) stored_bytes: u32,
}

/// Why bytes are no seal header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealHeaderError {
    /// Fewer than 48 bytes.
    #[error("seal header of {0} bytes")]
    Length(usize),
    /// Written by a later version.
    #[error("seal header version {0} is not known to this version")]
    Version(u8),
    /// The fields are not those that were written.
    #[error("the seal header is damaged")]
    Check,
    /// A later cipher.
    #[error("cipher suite {0} is not known to this version")]
    Suite(u8),
    /// A later compression.
    #[error("compression {0} is not known to this version")]
    Compression(u8),
    /// A later flag, or that of the test build which seals nothing.
    #[error("seal flags {0:#04x} are not known to this version")]
    Flags(u8),
    /// Lengths that no segment has.
    #[error("{plain} plaintext bytes in {stored} stored bytes")]
    Lengths {
        /// Plaintext bytes.
        plain: u32,
        /// Bytes inside the frames.
        stored: u32,
    },
}

impl Fields {
    pub(crate) fn encode(self) -> [u8; FIELD_BYTES] {
        let mut bytes = [0; FIELD_BYTES];
        let not_sealed = if UNSEALED { NOT_SEALED } else { 0 };
        let flags = if self.derived { DERIVED | not_sealed } else { not_sealed };
        bytes[..4].copy_from_slice(&[VERSION, self.cipher.code(), self.compression.code(), flags]);
        bytes[4..8].copy_from_slice(&self.plain_bytes.to_le_bytes());
        bytes[8..].copy_from_slice(&self.stored_bytes.to_le_bytes());
        bytes
    }

    fn decode(bytes: [u8; FIELD_BYTES]) -> Result<Self, SealHeaderError> {
        let [_, suite, compression, flags, p0, p1, p2, p3, stored @ ..] = bytes;
        let cipher = Cipher::from_code(suite).ok_or(SealHeaderError::Suite(suite))?;
        let compression =
            Compression::from_code(compression).ok_or(SealHeaderError::Compression(compression))?;
        let not_sealed = if UNSEALED { NOT_SEALED } else { 0 };
        if flags & !DERIVED != not_sealed {
            return Err(SealHeaderError::Flags(flags));
        }
        let fields = Self {
            cipher,
            compression,
            derived: flags & DERIVED != 0,
            plain_bytes: u32::from_le_bytes([p0, p1, p2, p3]),
            stored_bytes: u32::from_le_bytes(stored),
        };
        fields.check_lengths()?;
        Ok(fields)
    }

    fn check_lengths(self) -> Result<(), SealHeaderError> {
        let (plain, stored) = (self.plain_bytes, self.stored_bytes);
        let stored_fits = match self.compression {
            Compression::None => stored == plain,
            Compression::Zstd => stored > 0 && stored < plain,
        };
        if plain == 0 || plain as usize > SEGMENT_BYTES_MAX || !stored_fits {
            return Err(SealHeaderError::Lengths { plain, stored });
        }
        Ok(())
    }

    fn commitment(self, key: &SegmentKey) -> [u8; COMMITMENT_BYTES] {
        *derive(SEGMENT_COMMITMENT, &[key.as_bytes(), &self.encode()])
    }

    /// The key of this message: another one for every other combination of fields.
    fn frame_key(self, key: &SegmentKey) -> FrameKey {
        FrameKey::new(self.cipher, &derive(SEGMENT_AEAD, &[key.as_bytes(), &self.encode()]))
    }
}

fn check_of(fields: [u8; FIELD_BYTES]) -> [u8; CHECK_BYTES] {
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(&blake3::hash(&fields).as_bytes()[..CHECK_BYTES]);
    check
}

impl SealHeader {
    /// The header of a message, and the key that seals its frames.
    pub(crate) fn seal(fields: Fields, key: &SegmentKey) -> (Self, FrameKey) {
        (Self { fields, commitment: fields.commitment(key) }, fields.frame_key(key))
    }

    /// The key that opens the frames, when `key` is the one that was committed to.
    pub(crate) fn open(&self, key: &SegmentKey) -> Result<FrameKey, OpenError> {
        if !bool::from(self.fields.commitment(key).ct_eq(&self.commitment)) {
            return Err(OpenError::Commitment);
        }
        Ok(self.fields.frame_key(key))
    }

    /// Writes the header.
    #[must_use]
    pub fn encode(&self) -> [u8; SEAL_HEADER_BYTES] {
        let fields = self.fields.encode();
        let mut bytes = [0; SEAL_HEADER_BYTES];
        bytes[..FIELD_BYTES].copy_from_slice(&fields);
        bytes[FIELD_BYTES..][..COMMITMENT_BYTES].copy_from_slice(&self.commitment);
        bytes[FIELD_BYTES + COMMITMENT_BYTES..].copy_from_slice(&check_of(fields));
        bytes
    }

    /// Reads the header at the front of `sealed`; what follows it is not looked at.
    ///
    /// # Errors
    /// Every way in which hostile bytes can be wrong has its variant.
    pub fn decode(sealed: &[u8]) -> Result<Self, SealHeaderError> {
        let Some((header, _)) = sealed.split_first_chunk::<SEAL_HEADER_BYTES>() else {
            return Err(SealHeaderError::Length(sealed.len()));
        };
        let mut fields = [0; FIELD_BYTES];
        let mut commitment = [0; COMMITMENT_BYTES];
        fields.copy_from_slice(&header[..FIELD_BYTES]);
        commitment.copy_from_slice(&header[FIELD_BYTES..][..COMMITMENT_BYTES]);
        if fields[0] != VERSION {
            return Err(SealHeaderError::Version(fields[0]));
        }
        if header[FIELD_BYTES + COMMITMENT_BYTES..] != check_of(fields) {
            return Err(SealHeaderError::Check);
        }
        Ok(Self { fields: Fields::decode(fields)?, commitment })
    }

    pub(crate) fn fields(&self) -> Fields {
        self.fields
    }

    /// The cipher of the frames.
    #[must_use]
    pub fn cipher(&self) -> Cipher {
        self.fields.cipher
    }

    /// How the bytes inside the frames are packed.
    #[must_use]
    pub fn compression(&self) -> Compression {
        self.fields.compression
    }

    /// Whether the key was derived from the bucket's secret and the content.
    #[must_use]
    pub fn is_derived(&self) -> bool {
        self.fields.derived
    }

    /// Plaintext bytes of the segment.
    #[must_use]
    pub fn plain_len(&self) -> usize {
        self.fields.plain_bytes as usize
    }

    /// Bytes inside the frames: the plaintext, compressed or not.
    #[must_use]
    pub fn stored_len(&self) -> usize {
        self.fields.stored_bytes as usize
    }

    /// Bytes of the whole sealed segment.
    #[must_use]
    pub fn sealed_len(&self) -> usize {
        sealed_len(self.stored_len())
    }

    /// Number of frames, at least 1.
    #[must_use]
    pub fn frames(&self) -> u32 {
        self.fields.stored_bytes.div_ceil(FRAME_BYTES_U32)
    }

    /// Where frame `frame`, tag included, lies in the sealed segment; empty beyond the last. Its content is the stored
    /// bytes from `frame * 64 KiB` on.
    #[must_use]
    pub fn frame_range(&self, frame: u32) -> Range<usize> {
        let end = self.sealed_len();
        let start =
            (frame as usize).saturating_mul(SEALED_FRAME_BYTES).saturating_add(SEAL_HEADER_BYTES).min(end);
        start..(start + SEALED_FRAME_BYTES).min(end)
    }

    pub(crate) fn place(&self, frame: u32) -> Place {
        Place { frame, last: frame + 1 == self.frames() }
    }
}

/// Bytes of a sealed segment with this many bytes inside its frames.
pub(crate) fn sealed_len(stored_bytes: usize) -> usize {
    SEAL_HEADER_BYTES + stored_bytes + stored_bytes.div_ceil(FRAME_BYTES) * TAG_BYTES
}
