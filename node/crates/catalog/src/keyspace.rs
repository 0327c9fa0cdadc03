//! The ordered keyspace that the catalog's logic stands on, and nothing else: what an engine must give.
//!
//! Keys are ordered by their bytes. Every successful [`Keyspace::commit`] that writes gets a [`Revision`] of its own,
//! higher than all before; every row carries the revision of the commit that last wrote it. `tests/conformance.rs` is
//! the suite that every engine passes.

mod batch;
mod errors;
mod range;

use std::fmt;
use std::future::Future;

pub use batch::{Batch, Check, Write};
pub use errors::{ChangesError, CommitError, ReadError};
pub use range::{KeyRange, RangeLimits, RangePage, after_prefix, successor};
use serde::{Deserialize, Serialize};

/// Bytes of one key at most: an object key with every byte escaped, and its table and bucket.
pub const KEY_BYTES_MAX: usize = 4096;
/// Bytes of one value at most.
pub const VALUE_BYTES_MAX: usize = 2 << 20;
/// Writes and checks of one batch at most, each: bounds what one caller can make the others wait.
pub const BATCH_ITEMS_MAX: usize = 8192;
/// Bytes of one batch's keys and values at most.
pub const BATCH_BYTES_MAX: usize = 4 << 20;
/// Keys that begin with this byte are the engine's own.
pub const RESERVED_FIRST_BYTE: u8 = 0;

/// Position in the keyspace's history: rises by one with each commit that writes; 0 is the empty keyspace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A value and the commit that wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned {
    /// The commit that last wrote the row.
    pub version: Revision,
    /// The row's value.
    pub value: Vec<u8>,
}

/// A row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its key.
    pub key: Vec<u8>,
    /// The commit that last wrote it.
    pub version: Revision,
    /// Its value.
    pub value: Vec<u8>,
}

/// What a commit did to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It has a new value (put or add).
    Written,
    /// It is gone (also if it was not there).
    Deleted,
}

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The commit that did it.
    pub revision: Revision,
    /// The key.
    pub key: Vec<u8>,
    /// What happened to it.
    pub kind: ChangeKind,
}

/// A piece of the change log: whole commits only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// In the order of commits, and within a commit of its writes.
    pub changes: Vec<Change>,
    /// Ask on from here. Equals the asked revision when there is nothing newer.
    pub through: Revision,
}

/// The keyspace as it was at one revision; later commits do not show.
pub trait View: Send + Sync {
    /// The newest commit in it.
    ///
    /// # Errors
    /// The engine's faults.
    fn revision(&self) -> impl Future<Output = Result<Revision, ReadError>> + Send;

    /// One row.
    ///
    /// # Errors
    /// The engine's faults.
    fn get(&self, key: &[u8]) -> impl Future<Output = Result<Option<Versioned>, ReadError>> + Send;

    /// Rows of a range in the order of their keys, from its beginning, until the range or a limit ends. At least one row
    /// is given if there is one, whatever its size.
    ///
    /// # Errors
    /// The engine's faults.
    fn range(
        &self,
        range: &KeyRange,
        limits: RangeLimits,
    ) -> impl Future<Output = Result<RangePage, ReadError>> + Send;
}

/// An ordered keyspace. Cheap to clone; all clones are one keyspace.
pub trait Keyspace: Clone + Send + Sync + 'static {
    /// A consistent state to read from.
    type View<'a>: View
    where
        Self: 'a;

    /// The newest state: contains every commit acknowledged before the call (linearizable). Keep it briefly: while it
    /// lives, the engine keeps what later commits replace.
    ///
    /// # Errors
    /// The engine's faults.
    fn view(&self) -> impl Future<Output = Result<Self::View<'_>, ReadError>> + Send;

    /// One row of the newest state (linearizable).
    ///
    /// # Errors
    /// The engine's faults.
    fn get(&self, key: &[u8]) -> impl Future<Output = Result<Option<Versioned>, ReadError>> + Send;

    /// Does all of the batch's writes, or none when a check fails. Durable when it returns. A batch without writes
    /// checks only and gives the newest revision. The order of concurrent commits is one order for all.
    ///
    /// # Errors
    /// See [`CommitError`]; after `Engine` and `Closed` the outcome is unknown: read before trying again.
    fn commit(&self, batch: Batch) -> impl Future<Output = Result<Revision, CommitError>> + Send;

    /// Changes of commits after `since`, at most `limit` of them unless the first commit alone has more.
    ///
    /// # Errors
    /// `Forgotten` when the bounded log no longer reaches back to `since`: read anew.
    fn changes_since(
        &self,
        since: Revision,
        limit: usize,
    ) -> impl Future<Output = Result<Changes, ChangesError>> + Send;

    /// After a commit that was refused because the catalog has gone from here: whether this keyspace is now the one that it has gone to, so
    /// that what was refused can be planned anew. Waits some seconds for that.
    fn past_fence(&self) -> impl Future<Output = bool> + Send {
        std::future::ready(false)
    }
}
