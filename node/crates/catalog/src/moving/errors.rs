use super::standing::Store;
use crate::keyspace::{ChangesError, CommitError, ReadError};
use crate::record::{Keeper, RecordError};

/// Why a catalog does not move to a target: nothing was written, and nothing will be before somebody has looked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The source is none.
    #[error("there is no catalog to move")]
    Nothing,
    /// Rows, and no word whose.
    #[error(
        "the target holds something that is no catalog: give the move an empty database, or an empty folder"
    )]
    Strange,
    /// A catalog that this one did not come from.
    #[error(
        "the target holds a catalog already, of the cluster secret with fingerprint {fingerprint}, which is not the one that moves: name an \
         empty database; or remove that catalog, if nobody needs it (in PostgreSQL the tables datamesh_head, datamesh_rows and \
         datamesh_changes, else the folder)"
    )]
    Another {
        /// Whose.
        fingerprint: String,
    },
    /// Half a copy that another move left.
    #[error(
        "the target holds half a copy that another move has left: name an empty database, or remove that copy (in PostgreSQL the tables \
         datamesh_head, datamesh_rows and datamesh_changes, else the folder)"
    )]
    HalfOfAnother,
    /// It has moved, and not there.
    #[error(
        "the catalog has gone to {to}, and not to the target that is named now, which {found}: name the one again that it has gone to"
    )]
    WentElsewhere {
        /// Where.
        to: Keeper,
        /// What is here.
        found: &'static str,
    },
}

impl MoveError {
    /// Whether an engine did not answer, or not so that it is known what it did: each step may be done twice.
    #[must_use]
    pub const fn passes(&self) -> bool {
        matches!(self, Self::Read(_) | Self::Commit(_) | Self::Changes(ChangesError::Read(_)))
    }
}

impl Refusal {
    /// Whether it is for a catalog of this cluster secret, by its fingerprint.
    #[must_use]
    pub fn is_of(&self, own: &str) -> bool {
        matches!(self, Self::Another { fingerprint } if fingerprint == own)
    }
}

impl Store {
    /// For people.
    pub(super) const fn words(&self) -> &'static str {
        match self {
            Self::Empty => "is empty",
            Self::Open { .. } => "holds another catalog",
            Self::Gone { .. } => "holds a catalog that has gone",
            Self::Coming { .. } => "holds half a copy of another move",
            Self::Strange => "holds no catalog",
        }
    }
}

/// Why a step of a move failed. All but a refusal pass, or are mended by beginning the reading anew.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoveError {
    /// It may not be.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// An engine did not read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The source did not tell what changed.
    #[error(transparent)]
    Changes(#[from] ChangesError),
    /// An engine did not write.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// A row of the move does not read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Another gateway goes on with it.
    #[error("another gateway goes on with the move")]
    Overtaken,
    /// The copy is not what it was made of.
    #[error(
        "the copy differs from the catalog in the row {key}, which did not change meanwhile: it is copied and compared anew"
    )]
    Differs {
        /// In hexadecimal.
        key: String,
    },
    /// The target would give versions that the source has given.
    #[error(
        "the target counts its commits from {target}, which is not above the catalog's {source_at}: name an empty one"
    )]
    NotAbove {
        /// The target's newest.
        target: u64,
        /// The source's newest.
        source_at: u64,
    },
}
