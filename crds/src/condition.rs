//! Condition types of both kinds. Reasons stand where they are decided, in the operator.

/// Puts and gets work.
pub const READY: &str = "Ready";
/// The operator is bringing the object to what its spec says.
pub const PROGRESSING: &str = "Progressing";
/// Works, but something is down or was lost: the message names it and what it means.
pub const DEGRADED: &str = "Degraded";
/// Every acknowledged byte survives the next loss, as the nodes themselves report.
pub const DATA_SAFE: &str = "DataSafe";
/// Nodes give their shards to the others, or leave (pools only). False: none does, or those that do are done.
pub const DRAINING: &str = "Draining";
/// Volumes exist, but the key that opens them does not (clusters only).
pub const KEY_MISSING: &str = "KeyMissing";
/// The newest copy of the catalog's backups at another S3 is whole and new (clusters only). Not there where none was ever wanted.
pub const BACKUP_COPIES: &str = "BackupCopies";
/// Its reason where none is wanted any more.
pub const NOT_WANTED: &str = "NotWanted";

/// Whether a condition of this type is what one wants to see.
#[must_use]
pub fn is_good(type_: &str, status: &str) -> bool {
    status == if matches!(type_, READY | DATA_SAFE | BACKUP_COPIES) { "True" } else { "False" }
}

/// Whether somebody should look: work in progress is no alarm unless it fails.
#[must_use]
pub fn is_alarming(type_: &str, status: &str, reason: &str) -> bool {
    match type_ {
        PROGRESSING => matches!(reason, "Retrying" | "InvalidSpec" | "VolumesNotGrown"),
        DRAINING => matches!(reason, "Stalled" | "Refused"),
        _ => !is_good(type_, status),
    }
}
