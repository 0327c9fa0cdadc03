//! Segments of private buckets: what a client seals by itself begins with the mark of its bucket.

use std::fmt;
use std::str::FromStr;

use datamesh_shard::limits::{FRAME_BYTES, SEGMENT_BYTES_MAX};

use crate::error::{OpenError, SealError};
use crate::segment::sealed_bytes_of;

/// Bytes of a mark.
pub const MARK_BYTES: usize = 16;
/// Plaintext bytes of a segment of a private bucket at most: with its mark it is no longer than other segments.
pub const PRIVATE_SEGMENT_BYTES_MAX: usize = SEGMENT_BYTES_MAX - FRAME_BYTES;

/// The first half of every mark. No seal header begins so: they begin with their version.
const WORD: [u8; 8] = *b"DMprivt1";

/// What all segments of one private bucket begin with, and none of any other bucket: so no two buckets have equal segments, and none of
/// them can be deleted by way of another bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BucketMark([u8; MARK_BYTES]);

impl BucketMark {
    /// The mark of the bucket with this number.
    #[must_use]
    pub fn of(bucket: u64) -> Self {
        let mut mark = [0; MARK_BYTES];
        mark[..8].copy_from_slice(&WORD);
        mark[8..].copy_from_slice(&bucket.to_be_bytes());
        Self(mark)
    }

    /// Whether these bytes begin with it, and have more.
    #[must_use]
    pub fn begins(&self, segment: &[u8]) -> bool {
        segment.len() > MARK_BYTES && segment.starts_with(&self.0)
    }

    /// Writes it to the front of a segment, and gives the place behind it: there what is sealed belongs.
    ///
    /// # Errors
    /// `Room` where there is no place for it.
    pub fn put<'a>(&self, segment: &'a mut [u8]) -> Result<&'a mut [u8], SealError> {
        let room = SealError::Room { need: MARK_BYTES, have: segment.len() };
        let (front, sealed) = segment.split_first_chunk_mut().ok_or(room)?;
        *front = self.0;
        Ok(sealed)
    }

    /// What is sealed in a segment of the bucket, to be opened.
    ///
    /// # Errors
    /// `Mark` where it is of another bucket.
    pub fn take<'a>(&self, segment: &'a mut [u8]) -> Result<&'a mut [u8], OpenError> {
        if self.begins(segment) { Ok(&mut segment[MARK_BYTES..]) } else { Err(OpenError::Mark) }
    }
}

impl fmt::Display for BucketMark {
    /// Hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// Why a text is no mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a bucket's mark is 32 hexadecimal digits that begin as all marks do")]
pub struct BucketMarkError;

impl FromStr for BucketMark {
    type Err = BucketMarkError;

    fn from_str(text: &str) -> Result<Self, BucketMarkError> {
        let mut mark = [0; MARK_BYTES];
        hex::decode_to_slice(text, &mut mark).map_err(|_| BucketMarkError)?;
        if mark.starts_with(&WORD) { Ok(Self(mark)) } else { Err(BucketMarkError) }
    }
}

/// Bytes of a private segment whose plaintext is stored as it is, its mark among them; compression only makes it shorter.
#[must_use]
pub fn private_bytes_of(plain_len: usize) -> usize {
    MARK_BYTES + sealed_bytes_of(plain_len)
}

#[cfg(test)]
mod tests {
    use datamesh_shard::Cipher;
    use datamesh_shard::limits::SEALED_BYTES_MAX;

    use super::*;
    use crate::random::SystemRandom;
    use crate::secret::SegmentKey;
    use crate::segment::{open_segment, seal_segment};

    #[test]
    fn marks_are_what_they_have_always_been() {
        let mark = BucketMark::of(258);
        assert_eq!(mark.to_string(), "444d707269767431".to_owned() + "0000000000000102");
        assert_eq!(mark.to_string().parse(), Ok(mark));
        for wrong in ["", "44", "004d7072697674310000000000000102", "zz4d7072697674310000000000000102"] {
            assert_eq!(wrong.parse::<BucketMark>(), Err(BucketMarkError), "{wrong}");
        }
    }

    #[test]
    fn a_segment_opens_in_its_bucket_only() {
        let (mark, key) = (BucketMark::of(7), SegmentKey::random_from(&SystemRandom));
        let text = b"what nobody else reads".repeat(100);
        let mut whole = vec![0; private_bytes_of(text.len())];
        let sealed = seal_segment(&key, Cipher::Aes256Gcm, &text, true, mark.put(&mut whole).unwrap());
        whole.truncate(MARK_BYTES + sealed.unwrap());
        let mut plain = Vec::new();
        open_segment(&key, mark.take(&mut whole.clone()).unwrap(), &mut plain).unwrap();
        assert_eq!(plain, text);
        assert_eq!(BucketMark::of(8).take(&mut whole.clone()), Err(OpenError::Mark));
        assert_eq!(mark.take(&mut whole[..MARK_BYTES].to_vec()), Err(OpenError::Mark), "nothing behind it");
        assert!(open_segment(&key, &mut whole, &mut plain).is_err(), "nor as one of a managed bucket");
        assert!(matches!(mark.put(&mut [0; MARK_BYTES - 1]), Err(SealError::Room { .. })));
    }

    #[test]
    fn the_largest_is_no_longer_than_other_segments() {
        assert!(private_bytes_of(PRIVATE_SEGMENT_BYTES_MAX) <= SEALED_BYTES_MAX);
        assert!(private_bytes_of(SEGMENT_BYTES_MAX) > SEALED_BYTES_MAX);
    }
}
