//! What changed since the last part of a backup.

use std::collections::BTreeMap;
use std::collections::btree_map::IntoKeys;
use std::iter::Peekable;

use super::piece::{Entry, Piece};
use crate::keys::{self, Table};
use crate::keyspace::{ChangesError, Keyspace, ReadError, Revision, View};
use crate::model::UploadId;

/// Changes asked for at once.
const CHANGES_AT_ONCE: usize = 4096;
/// Rows read without giving others a turn.
const READ_AT_ONCE: usize = 256;
/// What a key takes besides its own bytes: its place in the tree, the revision, the allocation.
const KEY_OVERHEAD: usize = 80;

/// The keys that changed since a revision, each with the last change of it that is known.
#[derive(Clone, Debug)]
pub struct Changed {
    keys: BTreeMap<Vec<u8>, Revision>,
    bytes: usize,
    through: Revision,
}

impl Changed {
    /// None, since this revision.
    #[must_use]
    pub fn since(revision: Revision) -> Self {
        Self { keys: BTreeMap::new(), bytes: 0, through: revision }
    }

    /// Takes in some of what has changed meanwhile; false where the engine tells of nothing newer.
    ///
    /// # Errors
    /// `Forgotten` when the engine does not remember all of it: then only a snapshot has everything.
    pub async fn follow(&mut self, keyspace: &impl Keyspace) -> Result<bool, ChangesError> {
        let page = keyspace.changes_since(self.through, CHANGES_AT_ONCE).await?;
        let is_newer = page.through > self.through;
        self.through = page.through;
        for change in page.changes {
            let bytes = bytes_of(&change.key);
            if self.keys.insert(change.key, change.revision).is_none() {
                self.bytes += bytes;
            }
        }
        Ok(is_newer)
    }

    /// The revision up to which it knows all changes.
    #[must_use]
    pub fn through(&self) -> Revision {
        self.through
    }

    /// The keys, in their order.
    pub fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.keys.keys().map(Vec::as_slice)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether this one changed.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        self.keys.contains_key(key)
    }

    /// Bytes of memory that its keys take, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing has changed but what a backup writes down of its own segments under this upload, counts of them, and how far its
    /// copies are.
    #[must_use]
    pub fn is_only_of(&self, upload: UploadId) -> bool {
        let counters = [keys::all(Table::Counter), keys::all(Table::ProfileCounter)];
        let own = [keys::of_upload(Table::UsedSegment, upload)];
        let ending = [keys::all(Table::Reference), keys::all(Table::LeaseDue)];
        let single = [keys::upload(upload), keys::lease(upload), keys::only(Table::Copies)];
        let is_own = |key: &Vec<u8>| {
            counters.iter().chain(&own).any(|range| range.contains(key))
                || single.contains(key)
                || ending.iter().any(|range| range.contains(key)) && key.ends_with(&upload.0)
        };
        self.keys.keys().all(is_own)
    }

    /// The pieces of what changed up to the view's revision. All of that must have been followed: readers may see a commit a moment
    /// before the engine tells of it, and [`Self::through`] says how far that is.
    pub fn pieces<'a, V: View>(&self, view: &'a V) -> ChangedPieces<'a, V> {
        // What changed after the view, too: its value in the view is right as well.
        ChangedPieces { view, keys: self.keys.clone().into_keys().peekable() }
    }

    /// Once these pieces are safe: only what changed after that revision is left.
    pub fn forget_through(&mut self, revision: Revision) {
        self.keys.retain(|_, changed| *changed > revision);
        self.bytes = self.keys.keys().map(|key| bytes_of(key)).sum();
    }
}

fn bytes_of(key: &[u8]) -> usize {
    key.len() + KEY_OVERHEAD
}

/// A log part on its way.
#[derive(Debug)]
pub struct ChangedPieces<'a, V> {
    view: &'a V,
    keys: Peekable<IntoKeys<Vec<u8>, Revision>>,
}

impl<V: View> ChangedPieces<'_, V> {
    /// The next piece; none after the last key.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, ReadError> {
        let (mut piece, mut read) = (Piece::default(), 0_usize);
        while let Some(key) = self.keys.peek() {
            read += 1;
            if read.is_multiple_of(READ_AT_ONCE) {
                // Engines read where they are called: others have their turn.
                tokio::task::yield_now().await;
            }
            let found = self.view.get(key).await?;
            let entry = match &found {
                Some(row) => Entry::Put { key, value: &row.value },
                None => Entry::Delete { key },
            };
            if !piece.add(entry) {
                return Ok(Some(piece.finish()));
            }
            self.keys.next();
        }
        Ok((!piece.is_empty()).then(|| piece.finish()))
    }
}
