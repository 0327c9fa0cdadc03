//! Why a wish about a pool or a node is not kept, or a layout not taken.

use datamesh_catalog::catalog::{CatalogError, CommitLayoutError};
use datamesh_placement::LayoutError;
use datamesh_shard::{NodeName, PoolName};

use crate::pools::plan::SpecError;

/// Why a pool's wish is not kept.
#[derive(Debug, thiserror::Error)]
pub enum PutPoolError {
    /// It is no possible pool, or not what this one can become.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The catalog did not take it.
    #[error("cannot keep the pool's wish: {0}")]
    Keep(#[from] CommitLayoutError),
    /// What other gateways committed is not known; nothing was done.
    #[error(transparent)]
    Load(#[from] LoadLayoutError),
    /// It is kept, but its layout could not go on.
    #[error(transparent)]
    Advance(#[from] AdvanceError),
}

/// Why nothing is done about a node.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// No such pool.
    #[error("there is no pool {0}")]
    NoPool(PoolName),
    /// No such node.
    #[error("pool {pool} wants no node {node}: its nodes are listed by `datamesh node status`")]
    NoMember {
        /// The pool.
        pool: PoolName,
        /// The node.
        node: NodeName,
    },
    /// It is there, and its volume with it.
    #[error(
        "node {node} of pool {pool} answered a moment ago, so its volume is not lost: drain it if it shall go"
    )]
    Answers {
        /// The pool.
        pool: PoolName,
        /// The node.
        node: NodeName,
    },
    /// The pool cannot do without it.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The catalog did not take it.
    #[error("cannot keep the wish: {0}")]
    Keep(#[from] CatalogError),
    /// What other gateways committed is not known; nothing was done.
    #[error(transparent)]
    Load(#[from] LoadLayoutError),
    /// It is kept, but the layout could not go on.
    #[error(transparent)]
    Advance(#[from] AdvanceError),
}

/// Why a pool's layout could not go on.
#[derive(Debug, thiserror::Error)]
pub enum AdvanceError {
    /// The catalog was not read.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The catalog did not take the layout.
    #[error("cannot commit the layout: {0}")]
    Commit(#[from] CommitLayoutError),
    /// No table comes of it.
    #[error("no table can be computed from the layout: {0}")]
    Layout(#[from] LayoutError),
    /// It has no bytes.
    #[error("cannot encode the layout: {0}")]
    Encode(#[from] postcard::Error),
    /// What other gateways committed is not known.
    #[error(transparent)]
    Load(#[from] LoadLayoutError),
    /// The gateway is stopping.
    #[error("computing the table was interrupted")]
    Interrupted,
}

/// Why a layout of the catalog cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadLayoutError {
    /// Written by a later version.
    #[error("a stored layout of version {0:?} is not known to this version")]
    Version(Option<u8>),
    /// Not a signed layout.
    #[error("a stored layout cannot be read: {0}")]
    Malformed(#[from] postcard::Error),
    /// Bytes are left after it.
    #[error("{0} bytes left over after a stored layout")]
    Trailing(usize),
    /// Signed by another key.
    #[error("a stored layout of pool {0} is not signed by this cluster's key")]
    Signature(PoolName),
    /// No table comes of it.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl PutPoolError {
    /// The catalog's own fault, if that is what it was.
    pub(crate) fn catalog(&self) -> Option<&CatalogError> {
        match self {
            Self::Keep(CommitLayoutError::Catalog(error)) => Some(error),
            Self::Load(error) => error.catalog(),
            Self::Advance(error) => error.catalog(),
            Self::Spec(_) | Self::Keep(_) => None,
        }
    }
}

impl NodeError {
    /// The catalog's own fault, if that is what it was.
    pub(crate) fn catalog(&self) -> Option<&CatalogError> {
        match self {
            Self::Keep(error) => Some(error),
            Self::Load(error) => error.catalog(),
            Self::Advance(error) => error.catalog(),
            Self::NoPool(_) | Self::NoMember { .. } | Self::Answers { .. } | Self::Spec(_) => None,
        }
    }
}

impl AdvanceError {
    fn catalog(&self) -> Option<&CatalogError> {
        match self {
            Self::Catalog(error) | Self::Commit(CommitLayoutError::Catalog(error)) => Some(error),
            Self::Load(error) => error.catalog(),
            Self::Commit(_) | Self::Layout(_) | Self::Encode(_) | Self::Interrupted => None,
        }
    }
}

impl LoadLayoutError {
    fn catalog(&self) -> Option<&CatalogError> {
        match self {
            Self::Catalog(error) => Some(error),
            _ => None,
        }
    }
}
