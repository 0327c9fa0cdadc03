//! A segment: a header, then frames of 64 KiB that are sealed one by one and bound to it and to their places.

use datamesh_shard::Cipher;
use datamesh_shard::limits::{FRAME_BYTES, SEAL_HEADER_BYTES, SEGMENT_BYTES_MAX, TAG_BYTES};
use zeroize::Zeroize as _;

use crate::compress::{self, Compression, ZSTD_LEVEL};
use crate::context::{SEGMENT_DERIVED, keyed};
use crate::error::{OpenError, SealError};
use crate::header::{Fields, SealHeader, sealed_len};
use crate::secret::{BucketSecret, SegmentKey};

/// Bytes of a sealed segment whose plaintext is stored as it is; compression only makes it shorter.
#[must_use]
pub fn sealed_bytes_of(plain_len: usize) -> usize {
    sealed_len(plain_len)
}

/// A segment that is compressed, or not, and waits for its key.
pub struct Prepared<'a> {
    cipher: Cipher,
    compression: Compression,
    plain: &'a [u8],
    stored_bytes: usize,
    out: &'a mut [u8],
}

impl std::fmt::Debug for Prepared<'_> {
    /// Without the plaintext.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Prepared({:?}, {:?}, {} bytes)", self.cipher, self.compression, self.plain.len())
    }
}

impl<'a> Prepared<'a> {
    /// Compresses `plain` at `level` (`None`: not at all) into `out`, where the sealed segment will stand. What does not
    /// shrink by a sixteenth is stored as it is.
    ///
    /// # Errors
    /// Refuses an empty or too long plaintext and an output shorter than [`sealed_bytes_of`] it.
    pub fn new(
        cipher: Cipher,
        plain: &'a [u8],
        level: Option<i32>,
        out: &'a mut [u8],
    ) -> Result<Self, SealError> {
        if plain.is_empty() || plain.len() > SEGMENT_BYTES_MAX {
            return Err(SealError::PlainLength(plain.len()));
        }
        let (need, have) = (sealed_bytes_of(plain.len()), out.len());
        let room = out.get_mut(SEAL_HEADER_BYTES..need).ok_or(SealError::Room { need, have })?;
        let packed = level.and_then(|level| compress::compress(plain, level, room));
        let (compression, stored_bytes) = match packed {
            Some(bytes) => (Compression::Zstd, bytes),
            None => (Compression::None, plain.len()),
        };
        Ok(Self { cipher, compression, plain, stored_bytes, out })
    }

    /// Seals under a fresh key, which must not have sealed anything else, and returns the sealed bytes.
    ///
    /// # Errors
    /// None that [`Prepared::new`] has not found.
    pub fn seal(self, key: &SegmentKey) -> Result<usize, SealError> {
        self.seal_as(key, false)
    }

    /// Derives the key from the bucket's secret and everything that will enter the AEAD, so that equal content has an
    /// equal key and equal sealed bytes, and no other message has that key.
    ///
    /// # Errors
    /// None that [`Prepared::new`] has not found.
    pub fn derive(self, secret: &BucketSecret) -> Result<Derived<'a>, SealError> {
        let fields = self.fields(true)?;
        let stored = match self.compression {
            Compression::None => Some(self.plain),
            Compression::Zstd => self.out.get(SEAL_HEADER_BYTES..SEAL_HEADER_BYTES + self.stored_bytes),
        };
        let key = derived_key(secret, fields, stored.unwrap_or_default());
        Ok(Derived { prepared: self, key })
    }

    fn fields(&self, derived: bool) -> Result<Fields, SealError> {
        let bytes = |len| u32::try_from(len).map_err(|_| SealError::PlainLength(len));
        Ok(Fields {
            cipher: self.cipher,
            compression: self.compression,
            derived,
            plain_bytes: bytes(self.plain.len())?,
            stored_bytes: bytes(self.stored_bytes)?,
        })
    }

    fn seal_as(self, key: &SegmentKey, derived: bool) -> Result<usize, SealError> {
        let (header, frame_key) = SealHeader::seal(self.fields(derived)?, key);
        let aad = header.encode();
        let have = self.out.len();
        let need = header.sealed_len();
        let out = self.out.get_mut(..need).ok_or(SealError::Room { need, have })?;
        // Backwards: compressed bytes stand behind the header without gaps, and move up to make room for the tags.
        for frame in (0..header.frames()).rev() {
            let (from, range) = (frame as usize * FRAME_BYTES, header.frame_range(frame));
            let text_bytes = range.len() - TAG_BYTES;
            if self.compression == Compression::Zstd {
                let from = SEAL_HEADER_BYTES + from;
                out.copy_within(from..from + text_bytes, range.start);
            }
            let (text, tag) = out[range].split_at_mut(text_bytes);
            if self.compression == Compression::None {
                text.copy_from_slice(&self.plain[from..from + text_bytes]);
            }
            tag.copy_from_slice(&frame_key.seal(header.place(frame), &aad, text));
        }
        out[..SEAL_HEADER_BYTES].copy_from_slice(&aad);
        Ok(need)
    }
}

/// A segment whose key is derived from its content: look it up, and seal it when it is not there yet.
#[derive(Debug)]
pub struct Derived<'a> {
    prepared: Prepared<'a>,
    key: SegmentKey,
}

impl Derived<'_> {
    /// The derived key.
    #[must_use]
    pub fn key(&self) -> &SegmentKey {
        &self.key
    }

    /// Seals, and returns the sealed bytes.
    ///
    /// # Errors
    /// None that [`Prepared::new`] has not found.
    pub fn seal(self) -> Result<usize, SealError> {
        self.prepared.seal_as(&self.key, true)
    }
}

fn derived_key(secret: &BucketSecret, fields: Fields, stored: &[u8]) -> SegmentKey {
    SegmentKey::from_bytes(*keyed(&secret.derive(SEGMENT_DERIVED), &[&fields.encode(), stored]))
}

/// Seals `plain` into the front of `out` under a fresh random key and returns the sealed bytes. `out` holds
/// [`sealed_bytes_of`] the plaintext at least. Nothing is allocated unless `compress` is set.
///
/// # Errors
/// Refuses an empty or too long plaintext and too short an output.
pub fn seal_segment(
    key: &SegmentKey,
    cipher: Cipher,
    plain: &[u8],
    compress: bool,
    out: &mut [u8],
) -> Result<usize, SealError> {
    Prepared::new(cipher, plain, compress.then_some(ZSTD_LEVEL), out)?.seal(key)
}

/// Opens a whole sealed segment: `sealed` is scratch room afterwards, `plain_out` is emptied and receives the plaintext.
/// On an error it stays empty, and `sealed` is zeroed as far as it was opened.
///
/// # Errors
/// Names the part that is wrong. A segment under a derived key is refused: see [`open_derived_segment`].
pub fn open_segment(key: &SegmentKey, sealed: &mut [u8], plain_out: &mut Vec<u8>) -> Result<(), OpenError> {
    plain_out.clear();
    let header = checked_header(sealed)?;
    if header.is_derived() {
        return Err(OpenError::DerivedKey);
    }
    let stored = open_frames(key, &header, sealed)?;
    unpack(&header, stored, plain_out)
}

/// As [`open_segment`], for a segment whose key was derived from its content: the key is derived again from what was
/// opened, so whoever knows the key alone cannot put other content in its place.
///
/// # Errors
/// Names the part that is wrong.
pub fn open_derived_segment(
    secret: &BucketSecret,
    key: &SegmentKey,
    sealed: &mut [u8],
    plain_out: &mut Vec<u8>,
) -> Result<(), OpenError> {
    plain_out.clear();
    let header = checked_header(sealed)?;
    if !header.is_derived() {
        return Err(OpenError::NotDerivedFromContent);
    }
    let stored = open_frames(key, &header, sealed)?;
    if derived_key(secret, header.fields(), stored) != *key {
        stored.zeroize();
        return Err(OpenError::NotDerivedFromContent);
    }
    unpack(&header, stored, plain_out)
}

fn checked_header(sealed: &[u8]) -> Result<SealHeader, OpenError> {
    let header = SealHeader::decode(sealed)?;
    let (expected, got) = (header.sealed_len(), sealed.len());
    match got.cmp(&expected) {
        std::cmp::Ordering::Less => Err(OpenError::Truncated { expected, got }),
        std::cmp::Ordering::Greater => Err(OpenError::Extended { expected, got }),
        std::cmp::Ordering::Equal => Ok(header),
    }
}

/// Opens all frames and moves the stored bytes to the front of `sealed`.
fn open_frames<'a>(
    key: &SegmentKey,
    header: &SealHeader,
    sealed: &'a mut [u8],
) -> Result<&'a mut [u8], OpenError> {
    let frame_key = header.open(key)?;
    let aad = header.encode();
    for frame in 0..header.frames() {
        // The engine moves what it opens to the front of what it is given: past the frames opened so far.
        let (to, range) = (frame as usize * FRAME_BYTES, header.frame_range(frame));
        let opened = frame_key.open(header.place(frame), &aad, &mut sealed[to..range.end], range.start - to);
        if opened.is_err() {
            sealed[..to].zeroize();
            return Err(OpenError::Frame { frame });
        }
    }
    Ok(&mut sealed[..header.stored_len()])
}

fn unpack(header: &SealHeader, stored: &[u8], plain_out: &mut Vec<u8>) -> Result<(), OpenError> {
    match header.compression() {
        Compression::None => plain_out.extend_from_slice(stored),
        Compression::Zstd => {
            if compress::decompress(stored, header.plain_len(), plain_out).is_none() {
                plain_out.zeroize();
                return Err(OpenError::Decompress);
            }
        }
    }
    Ok(())
}

/// Opens one frame in place, for a small range of an uncompressed segment: `sealed_frame` is what stands at
/// [`SealHeader::frame_range`]. Returns how many stored bytes are now at its front: those from `frame * 64 KiB` on.
///
/// # Errors
/// Names the part that is wrong.
pub fn open_frame(
    key: &SegmentKey,
    header: &SealHeader,
    frame: u32,
    sealed_frame: &mut [u8],
) -> Result<usize, OpenError> {
    if frame >= header.frames() {
        return Err(OpenError::NoSuchFrame { frame, frames: header.frames() });
    }
    let (expected, got) = (header.frame_range(frame).len(), sealed_frame.len());
    if got < expected {
        return Err(OpenError::Truncated { expected, got });
    }
    if got > expected {
        return Err(OpenError::Extended { expected, got });
    }
    let opened = header.open(key)?.open(header.place(frame), &header.encode(), sealed_frame, 0);
    opened.map_err(|_| OpenError::Frame { frame })
}
