//! Why a restore does not come to a catalog, or not yet.

use std::io;
use std::path::PathBuf;

use datamesh_catalog::backup::{PieceError as RowPieceError, RestoreError as RowsError};
use datamesh_catalog::catalog::OpenError;
use datamesh_catalog::engine::EngineError;
use datamesh_catalog::record::RecordError;

use crate::backup::copies::{CopyProblem, NoCopy};
use crate::pipeline::PieceError;

/// What to do about an object that is not what it should be: nobody goes back to an older one unasked.
const ADVICE_COPY: &str =
    "Put back what was there, or ask for a time before it, or remove the anchor that needs it";

/// Why there is no catalog out of a backup.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Nodes that do not answer are in the way. Nothing was decided: it is tried again.
    #[error("{0}")]
    NotYet(String),
    /// None of those that the nodes keep, as far as they are of the time that is asked for.
    #[error(
        "none of the {tried} backups that could be is whole; the last: {last}. Those from longer before the newest than deleted files are kept \
         are not taken: what they refer to may be deleted"
    )]
    None {
        /// How many were tried.
        tried: usize,
        /// What was wrong with the last.
        last: String,
    },
    /// The newest backup is of a catalog that this wish restored.
    #[error(
        "{0:?} has restored this catalog before, and does so once: if it was lost again, ask for newest#2 or the like, which \
         is another wish"
    )]
    Again(String),
    /// A time from which what was deleted since is not there any more.
    #[error(
        "the backups reach back to {earliest}: what was deleted {reach_ms} ms before the newest one may be gone \
         (deletedRetentionSeconds, a day at most); ask for a later time"
    )]
    TooOld {
        /// The earliest time that can be asked for.
        earliest: String,
        /// So far back they reach from the newest one.
        reach_ms: u64,
    },
    /// The newest backup is not what is expected of it.
    #[error(
        "the newest backup is of {at}, more than a day ago: if backups had stopped before the catalog was lost, all since then is lost, and \
         files that were deleted since may be damaged in it. To restore it all the same ask for that time, {at}"
    )]
    Stale {
        /// Its time.
        at: String,
    },
    /// An object of the copies.
    #[error("a copy of a backup: {0}. {ADVICE_COPY}")]
    Copy(String),
    /// A copy is of a later version.
    #[error("a copy of a backup: {0}")]
    LaterCopy(String),
    /// A copy is of long before the time that is asked for.
    #[error(
        "the copy before the time that is asked for leads to {at}, more than an hour before it: if that is early enough, ask for {at}"
    )]
    FarBefore {
        /// Its last point.
        at: String,
    },
    /// No copy is of that time.
    #[error("the first copy begins at {first}: ask for no earlier time")]
    NoCopyThen {
        /// Its first point.
        first: String,
    },
    /// There is none.
    #[error(
        "no copy of this cluster's catalog can be taken, of {tried} that do not prove themselves; the last: {last}. Look at backupCopies \
         (bucket, prefix) and at the cluster secret"
    )]
    NoCopies {
        /// How many were looked at.
        tried: usize,
        /// What was wrong with the last.
        last: String,
    },
    /// The nodes know better.
    #[error(
        "the newest copy is of {at}, and nodes keep a backup of {newer}: restore that, with restoreFrom Mesh; if it cannot be read, ask for \
         the time {at}"
    )]
    NewerInMesh {
        /// The copy's time.
        at: String,
        /// The backup's.
        newer: String,
    },
    /// The volume.
    #[error("{path}: {source}")]
    File {
        /// Which file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The engine did not open on it, or was cut off.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The catalog did not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The engine did not take the rows.
    #[error("writing the catalog: {0}")]
    Rows(RowsError),
    /// What was written by a later version is no damage.
    #[error("{0}: restore with the version that made the backup, or a later one")]
    Later(RowsError),
    /// A layout that nodes know was not taken over.
    #[error("a layout that nodes know: {0}")]
    Layout(String),
}

impl From<CopyProblem> for RestoreError {
    fn from(problem: CopyProblem) -> Self {
        Self::Copy(problem.to_string())
    }
}

impl From<NoCopy> for RestoreError {
    fn from(error: NoCopy) -> Self {
        match error {
            // It may pass: the key may come, too.
            NoCopy::Endpoint(error) => Self::NotYet(format!("for the copies of backups: {error}")),
            NoCopy::Copy(problem) => problem.into(),
            NoCopy::Later(_) => Self::LaterCopy(error.to_string()),
        }
    }
}

/// Why one backup does not come to a catalog.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unread {
    /// Nodes did not answer, or it is damaged.
    #[error("a piece cannot be read: {0}")]
    Piece(#[from] PieceError),
    /// It was sealed so.
    #[error(transparent)]
    Rows(RowsError),
    /// Not the backup's fault.
    #[error(transparent)]
    Here(#[from] RestoreError),
}

impl From<RowsError> for Unread {
    fn from(error: RowsError) -> Self {
        match error {
            RowsError::Piece(RowPieceError::Version(Some(_)))
            | RowsError::Record(RecordError::Version { .. }) => Self::Here(RestoreError::Later(error)),
            RowsError::Piece(_) | RowsError::Record(_) | RowsError::Nobodys => Self::Rows(error),
            _ => Self::Here(RestoreError::Rows(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_later_version_wrote_is_no_reason_to_take_an_older_backup() {
        let later = RowsError::Piece(RowPieceError::Version(Some(2)));
        assert!(matches!(Unread::from(later), Unread::Here(RestoreError::Later(_))));
        let later = RowsError::Record(RecordError::Version { record: "cluster", version: 2 });
        assert!(matches!(Unread::from(later), Unread::Here(RestoreError::Later(_))));
        for damaged in [RowsError::Piece(RowPieceError::Version(None)), RowsError::Nobodys] {
            assert!(matches!(Unread::from(damaged), Unread::Rows(_)));
        }
    }
}
