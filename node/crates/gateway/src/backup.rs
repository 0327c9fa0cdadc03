//! Backups of the catalog, into the mesh itself ([ADR 39](../../../../docs/adr/0039-backups-of-the-catalog.md)).
//!
//! * `plan`: what is due next, and when a snapshot may begin; decided without I/O.
//! * `keep`: the worker that does it; `snapshot`: what a chain begins with; `chain`: what it makes grow.
//! * `holders`: which nodes keep the anchor, and telling them.
//! * `proof`: an anchor that a node gives, opened. What nodes say of anchors is believed after that alone.
//! * `forget`: has nodes let go of what they keep, where there shall be no backups.
//! * `copies`: copies of what nodes keep, at any other S3.
//! * `points`: what there is to come back to, asked of those who keep it.
//! * `standing`: how far the backup is, for the status, and for what must not be deleted before it is further.

mod chain;
pub(crate) mod copies;
mod forget;
mod holders;
mod keep;
mod plan;
mod points;
mod proof;
mod snapshot;
mod standing;

pub(crate) use forget::ForgetBackups;
pub(crate) use keep::KeepBackup;
pub use plan::BackupPace;
pub(crate) use points::{Points, earliest};
pub(crate) use proof::{Given, Opener};
pub(crate) use standing::Standing;
