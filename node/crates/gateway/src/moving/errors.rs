use std::path::PathBuf;

use datamesh_catalog::catalog::CatalogError;
use datamesh_catalog::engine::{EngineError, PostgresError};
use datamesh_catalog::moving::{MoveError, Refusal};
use datamesh_shard::NodeName;

use crate::group::GroupError;

/// Why a catalog does not move, or a gateway does not start with it.
#[derive(Debug, thiserror::Error)]
pub enum MoveFault {
    /// Half of what it needs.
    #[error(
        "catalogMove is set, and catalogDatabase is not: name the database that the catalog moves to or from"
    )]
    NoDatabase,
    /// A database that is empty beside a volume that is not.
    #[error(
        "the catalog's database is empty, and {0} holds a catalog: to move it there, set catalogMove to ToDatabase; to begin with an \
         empty catalog, move that folder away"
    )]
    Forgotten(PathBuf),
    /// The catalog that moves.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A step of it.
    #[error(transparent)]
    Move(#[from] MoveError),
    /// The database did not open.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// The volume did not.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Nor may.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// What is left there of the catalog is not removed.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// It is not this gateway's to open.
    #[error("the catalog moves to the volume of {0}: that gateway opens it")]
    Elsewhere(NodeName),
    /// The thread that opened it ended early.
    #[error("opening the move's target was cut short")]
    Cut,
}

impl MoveFault {
    /// Whether the step that failed may be done again by the mover that did it.
    pub(super) const fn may_be_repeated(&self) -> bool {
        matches!(self, Self::Move(error) if error.passes())
    }

    /// Whether there are two open catalogs of the cluster with this fingerprint.
    pub(super) fn is_of_two(&self, own: &str) -> bool {
        matches!(self, Self::Move(MoveError::Refused(refusal)) if refusal.is_of(own))
    }

    /// Whether it stays so until somebody has changed something.
    pub(super) const fn stays(&self) -> bool {
        match self {
            Self::Move(error) => matches!(error, MoveError::Refused(_) | MoveError::NotAbove { .. }),
            Self::NoDatabase | Self::Forgotten(_) | Self::Group(_) | Self::Elsewhere(_) => true,
            Self::Catalog(_) | Self::Postgres(_) | Self::Engine(_) | Self::File { .. } | Self::Cut => false,
        }
    }
}

impl From<Refusal> for MoveFault {
    fn from(refusal: Refusal) -> Self {
        Self::Move(refusal.into())
    }
}
