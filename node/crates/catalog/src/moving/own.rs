//! The rows that say whose keyspace this is, and how it came here or went: each side of a move has its own.

use crate::keys::{self, Table};
use crate::keyspace::KeyRange;

/// Not copied.
const TABLES: [Table; 4] = [Table::Cluster, Table::Move, Table::Fence, Table::Came];

/// Whether no copy has the row.
pub(super) fn is_own(key: &[u8]) -> bool {
    TABLES.iter().any(|table| keys::all(*table).contains(key))
}

/// Everything that is copied, and what is not besides.
pub(super) fn all() -> KeyRange {
    KeyRange { start: Vec::new(), end: None }.without_reserved()
}
