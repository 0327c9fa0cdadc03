//! A piece of a backup: some rows, as one segment's plaintext.
//!
//! Version (1 byte), then entries: 1, the key's length (u16, little-endian), the key, the value's length (u32), the value; or 2, the
//! key's length, the key: that row is gone. Fixed by `tests/golden/backup-piece-v1.hex`.

use datamesh_shard::limits::SEGMENT_BYTES_MAX;

use crate::keyspace::{KEY_BYTES_MAX, RESERVED_FIRST_BYTE, VALUE_BYTES_MAX};

/// Bytes of a piece at most: a whole segment's. The largest row fits.
pub const PIECE_BYTES_MAX: usize = SEGMENT_BYTES_MAX;
const VERSION: u8 = 1;
const PUT: u8 = 1;
const DELETE: u8 = 2;

/// What a backup says of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// It has this value.
    Put {
        /// The row's key.
        key: &'a [u8],
        /// Its value.
        value: &'a [u8],
    },
    /// There is no such row.
    Delete {
        /// The row's key.
        key: &'a [u8],
    },
}

impl Entry<'_> {
    fn bytes(&self) -> usize {
        match self {
            Self::Put { key, value } => 1 + 2 + key.len() + 4 + value.len(),
            Self::Delete { key } => 1 + 2 + key.len(),
        }
    }
}

/// A piece as it is filled.
#[derive(Debug)]
pub struct Piece(Vec<u8>);

impl Default for Piece {
    fn default() -> Self {
        Self(vec![VERSION])
    }
}

impl Piece {
    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.len() == 1
    }

    /// Adds an entry, within a keyspace's limits; false, and not added, when the piece has no room for it.
    #[must_use]
    pub fn add(&mut self, entry: Entry<'_>) -> bool {
        let has_room = self.0.len() + entry.bytes() <= PIECE_BYTES_MAX;
        if has_room {
            let (kind, key) = match entry {
                Entry::Put { key, .. } => (PUT, key),
                Entry::Delete { key } => (DELETE, key),
            };
            self.0.push(kind);
            self.0.extend(u16::try_from(key.len()).unwrap_or(u16::MAX).to_le_bytes());
            self.0.extend(key);
            if let Entry::Put { value, .. } = entry {
                self.0.extend(u32::try_from(value.len()).unwrap_or(u32::MAX).to_le_bytes());
                self.0.extend(value);
            }
        }
        has_room
    }

    /// Its bytes.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Why bytes are no piece of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PieceError {
    /// Written by a later version, or nothing.
    #[error("version {0:?} of a backup's piece is not known to this version")]
    Version(Option<u8>),
    /// Longer than any.
    #[error("a backup's piece of {0} bytes is too long")]
    Long(usize),
    /// No entry begins so.
    #[error("an entry of kind {0}")]
    Kind(u8),
    /// It ends in the middle of an entry.
    #[error("it ends in the middle of an entry")]
    Cut,
    /// A key or value that no keyspace takes.
    #[error("a row with a key of {key} bytes and a value of {value} is beyond a keyspace's limits")]
    Row {
        /// Bytes of the key.
        key: usize,
        /// Bytes of the value.
        value: usize,
    },
}

/// The entries of a piece, in the order in which they were added. Nothing comes after an error.
#[derive(Debug)]
pub struct Entries<'a>(&'a [u8]);

impl<'a> Entries<'a> {
    /// Reads a piece.
    ///
    /// # Errors
    /// `Version` or `Long`; what is wrong further on comes with the entries.
    pub fn of(bytes: &'a [u8]) -> Result<Self, PieceError> {
        if bytes.len() > PIECE_BYTES_MAX {
            return Err(PieceError::Long(bytes.len()));
        }
        match bytes.split_first() {
            Some((&VERSION, entries)) => Ok(Self(entries)),
            first => Err(PieceError::Version(first.map(|(version, _)| *version))),
        }
    }

    fn read(&mut self) -> Result<Entry<'a>, PieceError> {
        let [kind] = self.fixed::<1>()?;
        if kind != PUT && kind != DELETE {
            return Err(PieceError::Kind(kind));
        }
        let key_bytes = usize::from(u16::from_le_bytes(self.fixed()?));
        let key = self.take(key_bytes)?;
        let value = match kind {
            PUT => {
                let value_bytes = u32::from_le_bytes(self.fixed()?);
                Some(self.take(usize::try_from(value_bytes).unwrap_or(usize::MAX))?)
            }
            _ => None,
        };
        let is_bad_key = key.first().is_none_or(|first| *first == RESERVED_FIRST_BYTE);
        let value_bytes = value.map_or(0, <[u8]>::len);
        if is_bad_key || key.len() > KEY_BYTES_MAX || value_bytes > VALUE_BYTES_MAX {
            return Err(PieceError::Row { key: key.len(), value: value_bytes });
        }
        Ok(value.map_or(Entry::Delete { key }, |value| Entry::Put { key, value }))
    }

    fn take(&mut self, bytes: usize) -> Result<&'a [u8], PieceError> {
        let (taken, rest) = self.0.split_at_checked(bytes).ok_or(PieceError::Cut)?;
        self.0 = rest;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], PieceError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(PieceError::Cut)?;
        self.0 = rest;
        Ok(*taken)
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, PieceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let entry = self.read();
        if entry.is_err() {
            self.0 = &[];
        }
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: [Entry<'_>; 3] = [
        Entry::Put { key: b"\x01a", value: b"value" },
        Entry::Delete { key: b"\x01gone" },
        Entry::Put { key: b"\x02", value: b"" },
    ];

    fn sample() -> Vec<u8> {
        let mut piece = Piece::default();
        assert!(SAMPLE.into_iter().all(|entry| piece.add(entry)));
        piece.finish()
    }

    #[test]
    fn golden_version_1() {
        let golden = hex::decode(include_str!("../../tests/golden/backup-piece-v1.hex").trim()).unwrap();
        assert_eq!(hex::encode(sample()), hex::encode(&golden));
        let read: Result<Vec<_>, _> = Entries::of(&golden).unwrap().collect();
        assert_eq!(read.unwrap(), SAMPLE);
    }

    #[test]
    fn the_largest_row_fits_and_a_full_piece_takes_no_more() {
        let (key, value) = (vec![1; KEY_BYTES_MAX], vec![2; VALUE_BYTES_MAX]);
        let mut piece = Piece::default();
        assert!(piece.is_empty() && piece.add(Entry::Put { key: &key, value: &value }));
        assert!(!piece.add(Entry::Put { key: &key, value: &value }));
        assert!(piece.add(Entry::Delete { key: b"\x01" }));
        assert_eq!(Entries::of(&piece.finish()).unwrap().count(), 2);
    }

    #[test]
    fn every_cut_is_noticed_but_between_entries() {
        let whole = sample();
        let ends: Vec<usize> = SAMPLE
            .iter()
            .scan(1, |at, entry| {
                *at += entry.bytes();
                Some(*at)
            })
            .collect();
        for cut in 1..whole.len() {
            let read: Result<Vec<_>, _> = Entries::of(&whole[..cut]).unwrap().collect();
            assert_eq!(read.is_ok(), cut == 1 || ends.contains(&cut), "{cut}");
        }
    }

    #[test]
    fn what_no_keyspace_takes_is_refused() {
        let read = |bytes: &'static [u8]| Entries::of(bytes).unwrap().collect::<Result<Vec<_>, _>>();
        assert_eq!(Entries::of(&[]).err(), Some(PieceError::Version(None)));
        assert_eq!(Entries::of(&[2]).err(), Some(PieceError::Version(Some(2))));
        assert!(matches!(Entries::of(&vec![1; PIECE_BYTES_MAX + 1]).err(), Some(PieceError::Long(_))));
        assert_eq!(read(&[1, 3]), Err(PieceError::Kind(3)));
        assert_eq!(read(&[1, 2, 0, 0]), Err(PieceError::Row { key: 0, value: 0 }));
        assert_eq!(read(&[1, 2, 1, 0, 0]), Err(PieceError::Row { key: 1, value: 0 }), "an engine's own key");
        assert_eq!(read(&[1, 1, 1, 0, 7, 255, 255, 255, 255]), Err(PieceError::Cut));
    }

    #[test]
    fn any_byte_may_be_another() {
        let whole = sample();
        for (at, byte) in (0..whole.len()).flat_map(|at| (0..=u8::MAX).map(move |byte| (at, byte))) {
            let mut changed = whole.clone();
            changed[at] = byte;
            let Ok(entries) = Entries::of(&changed) else { continue };
            let read: usize = entries.filter_map(Result::ok).map(|entry| entry.bytes()).sum();
            assert!(read < changed.len(), "byte {at} is {byte}");
        }
    }
}
