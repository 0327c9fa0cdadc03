use serde::{Deserialize, Serialize};

use super::{RESERVED_FIRST_BYTE, Row};

/// Rows of one call in the absence of a reason for another number.
const ROWS_DEFAULT: usize = 1000;
/// Bytes of one call's rows: bounds what a read holds in memory.
const BYTES_DEFAULT: usize = 4 << 20;

/// Keys from `start` (inclusive) to `end` (exclusive; absent: to the end of the keyspace).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRange {
    /// The first key that may be in it.
    #[serde(with = "crate::record::bytes")]
    pub start: Vec<u8>,
    /// The first key that is beyond it.
    pub end: Option<Vec<u8>>,
}

impl KeyRange {
    /// All keys that begin with these bytes.
    #[must_use]
    pub fn prefix(prefix: impl Into<Vec<u8>>) -> Self {
        let start = prefix.into();
        let end = after_prefix(&start);
        Self { start, end }
    }

    /// From a key up to another, exclusive.
    #[must_use]
    pub fn between(start: impl Into<Vec<u8>>, end: impl Into<Vec<u8>>) -> Self {
        Self { start: start.into(), end: Some(end.into()) }
    }

    /// Whether the key is in it.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        self.start.as_slice() <= key && self.end.as_deref().is_none_or(|end| key < end)
    }

    /// Whether no key can be in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.end.as_deref().is_some_and(|end| end <= self.start.as_slice())
    }

    /// The rest of it after a key of it.
    #[must_use]
    pub fn after(&self, key: &[u8]) -> Self {
        Self { start: successor(key), end: self.end.clone() }
    }

    /// Without the keys that are the engine's own.
    #[must_use]
    pub fn without_reserved(&self) -> Self {
        let start = self.start.as_slice().max(&[RESERVED_FIRST_BYTE + 1]).to_vec();
        Self { start, end: self.end.clone() }
    }
}

/// The key right after this one.
#[must_use]
pub fn successor(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

/// The first key after all that begin with `prefix`; absent when there is none.
#[must_use]
pub fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let kept = prefix.iter().rposition(|&byte| byte != u8::MAX)?;
    let mut end = prefix.get(..=kept)?.to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    Some(end)
}

/// When a range read stops before the range's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeLimits {
    /// After this many rows.
    pub rows: usize,
    /// After the row that reaches this many bytes of keys and values.
    pub bytes: usize,
}

impl Default for RangeLimits {
    fn default() -> Self {
        Self { rows: ROWS_DEFAULT, bytes: BYTES_DEFAULT }
    }
}

impl RangeLimits {
    /// At most this many rows.
    #[must_use]
    pub fn rows(rows: usize) -> Self {
        Self { rows, ..Self::default() }
    }
}

/// What a range read gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangePage {
    /// In the order of their keys.
    pub rows: Vec<Row>,
    /// Whether a limit ended it and the range has more rows.
    pub more: bool,
}
