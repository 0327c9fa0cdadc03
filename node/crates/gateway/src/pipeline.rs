//! How bytes get from a request's body to the storage nodes and back, with bounded memory.
//!
//! A put: body → segment buffer → compress, seal, encode, hash (one thread) → shards to the nodes while the catalog
//! writes the references → pages → commit. A get: pages → k shards per segment → rebuild, open (one thread) → client.

mod append;
mod budget;
mod context;
mod cpu;
mod damage;
mod fetch;
mod get;
mod job;
mod manifest;
mod open;
mod pages;
mod piece;
mod placing;
mod probe;
mod put;
mod recode;
mod records;
mod sealed;
mod segment;
mod spread;
mod store;
mod window;

pub(crate) use append::{AppendFailure, Appender, PART as APPENDED_PART, Place, let_go};
pub use budget::Budget;
pub(crate) use context::Context;
pub(crate) use damage::Damage;
pub(crate) use get::{GROUPS_MAX, ReadError, run as read};
pub(crate) use job::Job;
pub(crate) use manifest::{ManifestError, SegmentSecret};
pub(crate) use pages::{PageError, Segments};
pub(crate) use piece::{Keeping, PieceError, Pieces, hold, open_piece, piece, sealed_piece, segments_of};
pub(crate) use put::{Chunk, Written, next_chunk, write};
pub(crate) use recode::{Group, Outcome, RecodeError, recode};
pub(crate) use records::{OpenRecordError, Record, Secrets};
pub(crate) use sealed::{ArrivedError, Coded, arrive, keep, read_sealed};
pub(crate) use store::{Durability, StoreError, millis};
