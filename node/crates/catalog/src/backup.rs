//! Backups of the catalog, as far as they are bytes and rows (ADR 39): pieces of rows, read from a keyspace and written into another,
//! and the anchor that says which segments have them. Who puts the pieces where is not known here.

mod anchor;
mod changed;
mod piece;
mod restore;
mod rows;

pub use anchor::{ANCHOR_RECORD_BYTES_MAX, Anchor, AnchorPart, Chunk};
pub use changed::{Changed, ChangedPieces};
pub use piece::{Entries, Entry, PIECE_BYTES_MAX, Piece, PieceError};
pub use restore::{Restore, RestoreError};
pub use rows::RowPieces;
