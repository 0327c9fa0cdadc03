//! Why a gateway does not start, or ends.

use std::path::PathBuf;

use datamesh_catalog::catalog::{CatalogError, OpenError};
use datamesh_mesh::{IdentityError, NotTrusted, ServerError, SwarmBindError};
use datamesh_seal::ClusterSecretError;
use datamesh_settings::{
    AUDIT_RETENTION_SECONDS_MAX, AUDIT_RETENTION_SECONDS_MIN, DELETED_RETENTION_SECONDS_MAX,
    DELETED_RETENTION_SECONDS_MIN, SettingsError,
};

use super::{BUFFER_BYTES_MIN, CACHE_BYTES_MIN};
use crate::auth::TokenError;
use crate::backup::copies::CopiesError;
use crate::group::GroupError;
use crate::https;
use crate::layouts::LoadLayoutError;
use crate::mail::MailError;
use crate::moving::MoveFault;
use crate::notifications::TargetError;
use crate::oidc::OidcError;
use crate::restore::RestoreError;

/// Why a gateway could not be bound, or ended.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The settings are of another role.
    #[error("these settings are not a gateway's")]
    Role,
    /// A file that the settings name.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The cluster secret's file holds none.
    #[error("{path}: {source}")]
    Secret {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ClusterSecretError,
    },
    /// The secret is another cluster's.
    #[error("the cluster secret does not belong to the public key of the settings: it is another cluster's")]
    OtherSecret,
    /// Too little memory to work with.
    #[error("bufferBytes is {0}, at least {BUFFER_BYTES_MIN} are needed")]
    BufferBytes(u64),
    /// A cache that would hold next to nothing.
    #[error("cacheBytes is {0}: write 0 for no cache, or at least {CACHE_BYTES_MIN}")]
    CacheBytes(u64),
    /// A retention in which a read under way could lose what it reads, or one that never ends.
    #[error(
        "deletedRetentionSeconds is {0}: write {DELETED_RETENTION_SECONDS_MIN} to {DELETED_RETENTION_SECONDS_MAX}; reads under way need what was deleted for that long"
    )]
    DeletedRetention(u64),
    /// An audit that says next to nothing, or one that is never cut.
    #[error(
        "auditRetentionSeconds is {0}: write {AUDIT_RETENTION_SECONDS_MIN} to {AUDIT_RETENTION_SECONDS_MAX}, a day to ten years"
    )]
    AuditRetention(u64),
    /// The certificates of the catalog's database.
    #[error("{path}: {source}")]
    DatabaseCa {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Where users sign in besides.
    #[error(transparent)]
    Oidc(#[from] OidcError),
    /// How mail is sent.
    #[error(transparent)]
    Mail(#[from] MailError),
    /// Whom events are told.
    #[error(transparent)]
    Notifications(#[from] TargetError),
    /// A token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The certificate or its key.
    #[error("certificate: {0}")]
    Certificate(String),
    /// The data folder.
    #[error("data folder {path}: {source}")]
    DataDir {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The stored identity is none.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The catalog.
    #[error("catalog: {0}")]
    Catalog(#[from] OpenError),
    /// The catalog failed later.
    #[error("catalog: {0}")]
    CatalogFailed(#[from] CatalogError),
    /// Layouts of the catalog.
    #[error(transparent)]
    Layouts(#[from] LoadLayoutError),
    /// The HTTPS listener.
    #[error(transparent)]
    Https(#[from] https::BindError),
    /// The bulk server.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The swarm.
    #[error(transparent)]
    Swarm(#[from] SwarmBindError),
    /// It is not, or not yet, one of those that keep the catalog.
    #[error(
        "this gateway's copy of the catalog is not among those that count yet: the others bring it up to them"
    )]
    NoVote,
    /// It is to leave.
    #[error("this gateway is to leave those that keep the catalog: ask another")]
    Leaves,
    /// Nothing is known of the storage nodes yet.
    #[error("this gateway has not asked its nodes yet how they are")]
    NotAsked,
    /// The group that keeps the catalog.
    #[error("catalog: {0}")]
    Group(#[from] GroupError),
    /// The catalog's move.
    #[error("catalog: {0}")]
    Move(#[from] MoveFault),
    /// A wish that is none.
    #[error(
        "restore is {0:?}: write newest, or a time like 2026-11-30T02:00:00Z, and to ask for the same again #2 behind it"
    )]
    Restore(String),
    /// The catalog is in a database.
    #[error(
        "restore: the catalog is in PostgreSQL, which has backups of its own: restore it there, and remove the setting"
    )]
    RestoreElsewhere,
    /// There is no place that copies are at.
    #[error(
        "restoreFrom is Copies, and backupCopies does not say where those are: write it, or set restoreFrom to Mesh"
    )]
    RestoreNoCopies,
    /// Where copies of backups go.
    #[error(transparent)]
    Copies(#[from] CopiesError),
    /// A restore that came to nothing.
    #[error("restoring the catalog: {0}")]
    NotRestored(#[from] RestoreError),
    /// A part ended although nobody stopped it.
    #[error("{0} ended before it was stopped")]
    Ended(&'static str),
    /// The own certificate.
    #[error("own certificate: {0}")]
    Membership(#[from] NotTrusted),
}
