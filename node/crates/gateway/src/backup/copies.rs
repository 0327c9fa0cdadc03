//! Copies of the catalog's backups at any S3 ([ADR 58](../../../../../docs/adr/0058-copies-of-backups-at-any-s3.md)): for when the mesh is
//! gone as well.
//!
//! * `place`: where that is, as the settings say it.
//! * `endpoint`: requests of S3, and no more of it than is needed.
//! * `names`: what the objects are called.
//! * `objects`: anchors and pieces, as objects. Who copies and who restores see copies by it.
//! * `keep`: what may go; decided without I/O.
//! * `copy`: the worker that copies.

mod copy;
mod endpoint;
mod keep;
mod names;
mod objects;
mod place;

use std::sync::Arc;

use datamesh_catalog::backup::Anchor;
use datamesh_exchange::anchor::AnchorId;
use tokio::sync::watch;

pub(crate) use copy::{CopyBackups, Copying, UnderWay};
pub(crate) use endpoint::EndpointError;
pub(crate) use objects::{Copies, CopyProblem, NoCopy};
pub(crate) use place::{CopiesError, Place};

/// A backup that nodes keep the way to.
pub(crate) struct Backup {
    pub(crate) id: AnchorId,
    pub(crate) anchor: Anchor,
}

/// The newest one that this gateway has made; a newer one takes its place, whether it was copied or not.
pub(crate) type Newest = watch::Receiver<Option<Arc<Backup>>>;
