//! Backups of the catalog, into the mesh itself ([ADR 39](../../../../docs/adr/0039-backups-of-the-catalog.md)).
//!
//! * `plan`: what is due next, decided without I/O.
//! * `keep`: the worker that does it.
//! * `holders`: which nodes keep the anchor, and telling them.
//! * `standing`: how far the backup is, for the status, and for what must not be deleted before it is further.

mod holders;
mod keep;
mod plan;
mod standing;

pub(crate) use keep::KeepBackup;
pub(crate) use standing::Standing;
