//! The sealed part of a page: what opens its segments again.
//!
//! Plaintext of version 1: version (1 byte), number of segments (u16, little-endian), then per segment its key
//! (32 bytes), its plaintext bytes (u32, little-endian) and its seal header (48 bytes). The seal header stands here
//! too, so that a small range needs nothing but the frames it lies in.

use datamesh_catalog::limits::PAGE_SEGMENTS_MAX;
use datamesh_seal::SegmentKey;
use datamesh_shard::limits::{SEAL_HEADER_BYTES, SEGMENT_BYTES_MAX};
use zeroize::Zeroizing;

const VERSION: u8 = 1;
const HEAD_BYTES: usize = 3;
const KEY_BYTES: usize = 32;
pub(super) const ENTRY_BYTES: usize = KEY_BYTES + 4 + SEAL_HEADER_BYTES;

/// What opens one segment.
#[derive(Clone)]
pub(crate) struct SegmentSecret {
    pub(crate) key: SegmentKey,
    pub(crate) plain_bytes: u32,
    pub(crate) seal_header: [u8; SEAL_HEADER_BYTES],
}

/// Why bytes are no manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ManifestError {
    #[error("manifest version {0} is not known to this version")]
    Version(u8),
    #[error("a manifest of {0} bytes")]
    Length(usize),
    #[error("a segment of {0} plaintext bytes")]
    PlainBytes(u32),
}

/// Encodes the secrets of a page.
pub(crate) fn encode(secrets: &[SegmentSecret]) -> Result<Zeroizing<Vec<u8>>, ManifestError> {
    let bytes = HEAD_BYTES + secrets.len() * ENTRY_BYTES;
    let count = u16::try_from(secrets.len()).map_err(|_| ManifestError::Length(bytes))?;
    let mut out = Zeroizing::new(Vec::with_capacity(bytes));
    out.push(VERSION);
    out.extend(count.to_le_bytes());
    for secret in secrets {
        out.extend(secret.key.as_bytes());
        out.extend(secret.plain_bytes.to_le_bytes());
        out.extend(secret.seal_header);
    }
    Ok(out)
}

/// Reads them back.
pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<SegmentSecret>, ManifestError> {
    let Some(([version, count @ ..], entries)) = bytes.split_first_chunk::<HEAD_BYTES>() else {
        return Err(ManifestError::Length(bytes.len()));
    };
    if *version != VERSION {
        return Err(ManifestError::Version(*version));
    }
    let count = usize::from(u16::from_le_bytes(*count));
    if count > PAGE_SEGMENTS_MAX || entries.len() != count * ENTRY_BYTES {
        return Err(ManifestError::Length(bytes.len()));
    }
    entries.as_chunks::<ENTRY_BYTES>().0.iter().map(entry).collect()
}

fn entry(bytes: &[u8; ENTRY_BYTES]) -> Result<SegmentSecret, ManifestError> {
    let wrong = ManifestError::Length(bytes.len());
    let (key, rest) = bytes.split_first_chunk::<KEY_BYTES>().ok_or(wrong)?;
    let (plain_bytes, rest) = rest.split_first_chunk::<4>().ok_or(wrong)?;
    let plain_bytes = u32::from_le_bytes(*plain_bytes);
    if plain_bytes == 0 || plain_bytes as usize > SEGMENT_BYTES_MAX {
        return Err(ManifestError::PlainBytes(plain_bytes));
    }
    let seal_header = *rest.first_chunk::<SEAL_HEADER_BYTES>().ok_or(wrong)?;
    Ok(SegmentSecret { key: SegmentKey::from_bytes(*key), plain_bytes, seal_header })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(n: u8, plain_bytes: u32) -> SegmentSecret {
        SegmentSecret {
            key: SegmentKey::from_bytes([n; 32]),
            plain_bytes,
            seal_header: [n ^ 0xff; SEAL_HEADER_BYTES],
        }
    }

    #[test]
    fn golden_version_1() {
        let golden = include_str!("../../tests/golden/manifest-v1.hex");
        let encoded = encode(&[secret(1, 4 << 20), secret(2, 70_001)]).unwrap();
        assert_eq!(hex::encode(&*encoded), golden.trim());
        let read = decode(&hex::decode(golden.trim()).unwrap()).unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!(read[1].plain_bytes, 70_001);
        assert_eq!(read[1].key.as_bytes(), &[2; 32]);
        assert_eq!(read[0].seal_header, [0xfe; SEAL_HEADER_BYTES]);
    }

    #[test]
    fn every_wrong_byte_of_the_frame_is_refused() {
        let good = encode(&[secret(1, 5)]).unwrap();
        assert_eq!(decode(&[]).err(), Some(ManifestError::Length(0)));
        let mut version = good.clone();
        version[0] = 2;
        assert_eq!(decode(&version).err(), Some(ManifestError::Version(2)));
        let mut count = good.clone();
        count[1] = 2;
        assert!(decode(&count).is_err());
        assert!(decode(&good[..good.len() - 1]).is_err());
        let mut size = good.clone();
        size[HEAD_BYTES + KEY_BYTES..][..4].copy_from_slice(&[0; 4]);
        assert_eq!(decode(&size).err(), Some(ManifestError::PlainBytes(0)));
        size[HEAD_BYTES + KEY_BYTES..][..4].copy_from_slice(&[0xff; 4]);
        assert_eq!(decode(&size).err(), Some(ManifestError::PlainBytes(u32::MAX)));
        assert!(decode(&[1, 0xff, 0xff]).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(0_u8.., 0..400), count in 0_u16..5) {
            let _ = decode(&bytes);
            let head = [&[VERSION][..], &count.to_le_bytes()].concat();
            if let Ok(read) = decode(&[&head[..], &bytes].concat()) {
                proptest::prop_assert_eq!(read.len() * ENTRY_BYTES, bytes.len());
            }
        }
    }
}
