//! Writes a backup into an empty keyspace.

use datamesh_shard::Incarnation;

use super::piece::{Entries, Entry, PieceError};
use crate::keys::{self, Table};
use crate::keyspace::{
    BATCH_BYTES_MAX, BATCH_ITEMS_MAX, Batch, CommitError, KeyRange, Keyspace, RangeLimits, ReadError,
    Revision, View,
};
use crate::model::UploadId;
use crate::record::{self, ClusterRecord, DeletionHeldRecord, RecordError, RestoredRecord, RestoringRecord};

/// Why a backup does not become a catalog.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// There is something already.
    #[error("the catalog to restore into is not empty")]
    NotEmpty,
    /// A piece of it is none.
    #[error("the backup: {0}")]
    Piece(#[from] PieceError),
    /// Its own row.
    #[error("the backup: {0}")]
    Record(#[from] RecordError),
    /// It has no row that says whose it is.
    #[error("the backup says of no cluster that it is its")]
    Nobodys,
    /// The engine did not read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Or write.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Commits that the lost catalog made after its backup, at most: those of three years, at 10,000 each second.
const LOST_COMMITS_MAX: u64 = 1 << 40;

/// Where a restored catalog begins to count its commits: above all of the lost one's. Their numbers order the events of a key, of which
/// some were told after the backup, and some wait in it.
#[must_use]
pub const fn begins_after(restored: &RestoredRecord) -> Revision {
    Revision(restored.revision.saturating_add(LOST_COMMITS_MAX))
}

/// How the lost catalog came to where it was, or was about to go, is nothing of the restored one's.
fn is_of_a_move(entry: &Entry<'_>) -> bool {
    let (Entry::Put { key, .. } | Entry::Delete { key }) = entry;
    [Table::Move, Table::Fence, Table::Came].iter().any(|table| keys::all(*table).contains(key))
}

/// A restore under way.
#[derive(Debug)]
pub struct Restore<K> {
    keyspace: K,
}

impl<K: Keyspace> Restore<K> {
    /// Into a keyspace in which nothing is.
    ///
    /// # Errors
    /// `NotEmpty`, or the engine's.
    pub async fn into_empty(keyspace: K) -> Result<Self, RestoreError> {
        let all = KeyRange { start: Vec::new(), end: None }.without_reserved();
        let found = keyspace.view().await?.range(&all, RangeLimits::rows(1)).await?.rows;
        if found.is_empty() { Ok(Self { keyspace }) } else { Err(RestoreError::NotEmpty) }
    }

    /// Goes on with a restore of the same parts that was cut off: those of a chain, by its anchor's upload, up to the one of this revision. Gives how
    /// many of their pieces are there.
    ///
    /// # Errors
    /// `NotEmpty` where something else is there, or the engine's.
    pub async fn resume(
        keyspace: K,
        (upload, revision): (UploadId, u64),
    ) -> Result<(Self, u64), RestoreError> {
        let row = keyspace.get(&keys::only(Table::Restoring)).await?;
        let known = row.map(|row| record::decode::<RestoringRecord>(&row.value)).transpose()?;
        match known {
            Some(known) if (known.upload, known.revision) == (upload, revision) => {
                Ok((Self { keyspace }, known.pieces))
            }
            _ => Ok((Self::into_empty(keyspace).await?, 0)),
        }
    }

    /// Writes down how far it has come. Pieces behind that are written again: each says all of what it says of a key, in order, so
    /// nothing comes of it.
    ///
    /// # Errors
    /// The engine's.
    pub async fn note(&self, come: &RestoringRecord) -> Result<(), RestoreError> {
        let mut batch = Batch::new();
        batch.put(keys::only(Table::Restoring), record::encode(come)?);
        self.keyspace.commit(batch).await?;
        Ok(())
    }

    /// Has it be a catalog like any: it is whole.
    ///
    /// # Errors
    /// The engine's.
    pub async fn settle(keyspace: &K) -> Result<(), RestoreError> {
        let mut batch = Batch::new();
        batch.delete(keys::only(Table::Restoring));
        keyspace.commit(batch).await?;
        Ok(())
    }

    /// Writes the next piece.
    ///
    /// # Errors
    /// See [`RestoreError`]; what was written by then stays.
    pub async fn write(&self, piece: &[u8]) -> Result<(), RestoreError> {
        let (mut batch, mut bytes) = (Batch::new(), 0);
        for entry in Entries::of(piece)? {
            let entry = entry?;
            if is_of_a_move(&entry) {
                continue;
            }
            let more = match entry {
                Entry::Put { key, value } => key.len() + value.len(),
                Entry::Delete { key } => key.len(),
            };
            if batch.writes.len() == BATCH_ITEMS_MAX || bytes + more > BATCH_BYTES_MAX {
                self.keyspace.commit(std::mem::take(&mut batch)).await?;
                bytes = 0;
            }
            bytes += more;
            match entry {
                Entry::Put { key, value } => batch.put(key, value),
                Entry::Delete { key } => batch.delete(key),
            }
        }
        if !batch.writes.is_empty() {
            self.keyspace.commit(batch).await?;
        }
        Ok(())
    }

    /// Raises the catalog's incarnation above that of the one that was lost, however often that was opened since, and notes what it
    /// came out of; and, where that is asked for, that nothing is deleted before somebody has looked.
    ///
    /// # Errors
    /// See [`RestoreError`].
    pub async fn finish(
        self,
        at_least: Incarnation,
        (restored, holds_deletion): (&RestoredRecord, bool),
    ) -> Result<K, RestoreError> {
        let key = keys::only(Table::Cluster);
        let row = self.keyspace.get(&key).await?.ok_or(RestoreError::Nobodys)?;
        let before = ClusterRecord::open_or_closed(&row.value)?;
        let incarnation = Incarnation(before.incarnation.0.saturating_add(1)).max(at_least);
        let mut batch = Batch::new();
        batch.put(key, record::encode(&ClusterRecord { incarnation, ..before })?);
        batch.put(keys::only(Table::Restored), record::encode(restored)?);
        if holds_deletion {
            let held = DeletionHeldRecord { since_unix_ms: restored.at_unix_ms };
            batch.put(keys::only(Table::DeletionHeld), record::encode(&held)?);
        }
        self.keyspace.commit(batch).await?;
        Ok(self.keyspace)
    }
}
