//! Backups of the catalog, as far as they are bytes and rows (ADR 39): pieces of rows, read from a keyspace and written into another,
//! and the anchor that says which segments have them. Who puts the pieces where is not known here.

use crate::model::BucketId;

mod anchor;
mod changed;
mod piece;
mod restore;
mod rows;

pub use anchor::{ANCHOR_RECORD_BYTES_MAX, Anchor, AnchorPart, Chunk};
pub use changed::{Changed, ChangedPieces};
pub use piece::{Entries, Entry, PIECE_BYTES_MAX, Piece, PieceError};
pub use restore::{Restore, RestoreError, begins_after};
pub use rows::RowPieces;

/// The bucket of a backup's pieces: no bucket is it, so what is put for it is no object's.
pub const BACKUP_BUCKET: BucketId = BucketId(0);
/// Older points are not kept, however long deleted objects are: each costs a snapshot of the whole catalog now and then.
const REACH_MS_MAX: u64 = 24 * 60 * 60 * 1000;

/// How far before the newest backup a point to come back to may lie, where deleted objects are kept for so long. The pieces of a chain that
/// grows no more are kept for this time.
#[must_use]
pub fn reach_ms(retention_ms: u64) -> u64 {
    retention_ms.min(REACH_MS_MAX)
}
