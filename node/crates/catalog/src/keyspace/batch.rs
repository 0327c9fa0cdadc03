use serde::{Deserialize, Serialize};

use super::{
    BATCH_BYTES_MAX, BATCH_ITEMS_MAX, CommitError, KEY_BYTES_MAX, KeyRange, RESERVED_FIRST_BYTE, Revision,
    VALUE_BYTES_MAX,
};

/// A precondition, evaluated against the state before the batch's own writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Check {
    /// The row exists and was last written by this commit.
    At {
        /// The row's key.
        #[serde(with = "crate::record::bytes")]
        key: Vec<u8>,
        /// The commit.
        version: Revision,
    },
    /// There is no such row.
    Absent {
        /// The row's key.
        #[serde(with = "crate::record::bytes")]
        key: Vec<u8>,
    },
    /// No commit after `since` wrote or deleted a key of the range. Fails too when the change log no longer reaches back.
    Unchanged {
        /// The range.
        range: KeyRange,
        /// The revision of the view it was read from.
        since: Revision,
    },
}

/// One write. Of several writes to one key in a batch, each sees the ones before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Write {
    /// Gives the row this value.
    Put {
        /// The row's key.
        #[serde(with = "crate::record::bytes")]
        key: Vec<u8>,
        /// Its new value.
        #[serde(with = "crate::record::bytes")]
        value: Vec<u8>,
    },
    /// Removes the row if there is one.
    Delete {
        /// The row's key.
        #[serde(with = "crate::record::bytes")]
        key: Vec<u8>,
    },
    /// Adds to a counter row (8 bytes, little-endian, signed); an absent row counts as 0. Wraps at the ends.
    Add {
        /// The row's key.
        #[serde(with = "crate::record::bytes")]
        key: Vec<u8>,
        /// What to add.
        delta: i64,
    },
}

impl Write {
    /// The key it writes.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        match self {
            Self::Put { key, .. } | Self::Delete { key } | Self::Add { key, .. } => key,
        }
    }
}

/// Checks and writes that happen together or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// What must be true.
    pub checks: Vec<Check>,
    /// What then happens, in this order.
    pub writes: Vec<Write>,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Requires the row to be as read: at this version, or absent.
    pub fn expect(&mut self, key: impl Into<Vec<u8>>, version: Option<Revision>) {
        let key = key.into();
        self.checks.push(match version {
            Some(version) => Check::At { key, version },
            None => Check::Absent { key },
        });
    }

    /// Requires that nobody wrote in the range since.
    pub fn expect_unchanged(&mut self, range: KeyRange, since: Revision) {
        self.checks.push(Check::Unchanged { range, since });
    }

    /// Writes a row.
    pub fn put(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.writes.push(Write::Put { key: key.into(), value: value.into() });
    }

    /// Removes a row.
    pub fn delete(&mut self, key: impl Into<Vec<u8>>) {
        self.writes.push(Write::Delete { key: key.into() });
    }

    /// Adds to a counter; adding nothing is left out.
    pub fn add(&mut self, key: impl Into<Vec<u8>>, delta: i64) {
        if delta != 0 {
            self.writes.push(Write::Add { key: key.into(), delta });
        }
    }

    /// Bytes of keys and values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let checks = self.checks.iter().map(|check| match check {
            Check::At { key, .. } | Check::Absent { key } => key.len(),
            Check::Unchanged { range, .. } => range.start.len() + range.end.as_ref().map_or(0, Vec::len),
        });
        let writes = self.writes.iter().map(|write| match write {
            Write::Put { key, value } => key.len() + value.len(),
            Write::Delete { key } | Write::Add { key, .. } => key.len(),
        });
        checks.sum::<usize>() + writes.sum::<usize>()
    }

    /// Holds the batch against the limits. Every engine calls it first.
    ///
    /// # Errors
    /// `TooLarge` or `BadKey`.
    pub fn validate(&self) -> Result<(), CommitError> {
        let items = self.checks.len().max(self.writes.len());
        let bytes = self.bytes();
        if items > BATCH_ITEMS_MAX || bytes > BATCH_BYTES_MAX {
            return Err(CommitError::TooLarge { items, bytes });
        }
        for write in &self.writes {
            validate_key(write.key())?;
            if let Write::Put { value, .. } = write
                && value.len() > VALUE_BYTES_MAX
            {
                return Err(CommitError::TooLarge { items, bytes: value.len() });
            }
        }
        for check in &self.checks {
            if let Check::At { key, .. } | Check::Absent { key } = check {
                validate_key(key)?;
            }
        }
        Ok(())
    }
}

fn validate_key(key: &[u8]) -> Result<(), CommitError> {
    match key.first() {
        Some(&first) if first != RESERVED_FIRST_BYTE && key.len() <= KEY_BYTES_MAX => Ok(()),
        _ => Err(CommitError::BadKey { bytes: key.len() }),
    }
}
