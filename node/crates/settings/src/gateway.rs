//! What a gateway is told.

use std::net::SocketAddr;
use std::path::PathBuf;

use datamesh_shard::NodeName;
use serde::{Deserialize, Serialize};

use super::request_limits::RequestLimits;
use super::{BackupCopies, Endpoint, Listen, RestoreFrom, TlsFiles, mail, notifications, oidc};

/// Bytes of hot segments a gateway keeps in memory when nobody says otherwise.
pub const CACHE_BYTES_DEFAULT: u64 = 32 << 20;

/// Bytes of memory that a gateway which serves S3 needs besides, at least, for bodies that must be whole before anything can be done with
/// them: the largest form of 17 MiB, documents, signed chunks.
pub const S3_INTAKE_BYTES_MIN: u64 = 32 << 20;
/// Bytes of memory that a gateway needs besides its budgets and that: half for the catalog's caches, code and stacks, half at least for
/// connections, whose number a gateway takes from what its limit leaves.
pub const MEMORY_BYTES_BESIDES: u64 = 96 << 20;

/// Seconds for which what was deleted is kept for reads under way when nobody says otherwise.
pub const DELETED_RETENTION_SECONDS_DEFAULT: u64 = 3600;
/// Those seconds at least. Before each segment it fetches, a read that is older than the retention looks whether its object is there;
/// what it then fetches must not go meanwhile, and five attempts of 30 s with the pauses between them are 156 s.
pub const DELETED_RETENTION_SECONDS_MIN: u64 = 600;
/// Those seconds at most: a year.
pub const DELETED_RETENTION_SECONDS_MAX: u64 = 365 * 24 * 3600;

/// Seconds for which entries of the audit are kept when nobody says otherwise: 400 days.
pub const AUDIT_RETENTION_SECONDS_DEFAULT: u64 = 400 * 24 * 3600;
/// Those seconds at least: a day, or who did something could wait for its trace to go.
pub const AUDIT_RETENTION_SECONDS_MIN: u64 = 24 * 3600;
/// Those seconds at most: ten years.
pub const AUDIT_RETENTION_SECONDS_MAX: u64 = 10 * 365 * 24 * 3600;

/// A gateway's settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewaySettings {
    /// Folder of the catalog's volume.
    pub data_dir: PathBuf,
    /// 64 hexadecimal digits: the cluster secret.
    pub cluster_secret_file: PathBuf,
    /// Bearer token of users.
    pub token_file: PathBuf,
    /// Bearer token of the operator and administrators.
    pub admin_token_file: PathBuf,
    /// Certificate and key of HTTPS; both re-read when they change.
    pub tls: TlsFiles,
    /// HTTPS API.
    pub https: SocketAddr,
    /// S3, with the same certificate. Absent: it is not served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Settings>,
    /// Own mesh addresses.
    pub listen: Listen,
    /// Host others reach it by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advertise_host: Option<String>,
    /// Bytes of segment buffers all transfers share.
    pub buffer_bytes: u64,
    /// Bytes of memory for hot segments, besides the buffers; 0: none are kept. Left out where it is the default, which builds
    /// that know no cache can read.
    #[serde(default = "cache_bytes_default", skip_serializing_if = "is_cache_bytes_default")]
    pub cache_bytes: u64,
    /// Seconds for which the segments of deleted and replaced objects are kept for reads under way. Left out where it is the
    /// default, which builds that know no such setting can read.
    #[serde(
        default = "deleted_retention_seconds_default",
        skip_serializing_if = "is_deleted_retention_seconds_default"
    )]
    pub deleted_retention_seconds: u64,
    /// Seconds for which entries of the audit are kept, where there are not too many of them. Left out where it is the default, which
    /// builds that know no such setting can read.
    #[serde(
        default = "audit_retention_seconds_default",
        skip_serializing_if = "is_audit_retention_seconds_default"
    )]
    pub audit_retention_seconds: u64,
    /// The PostgreSQL database that has the catalog. Absent: the catalog is in the data folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalog_database: Option<DatabaseFiles>,
    /// The gateways that keep the catalog together, this one among them, each on its own volume: 3 or 5. Empty: this gateway keeps
    /// it alone, or the database does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub catalog_members: Vec<GatewayAddress>,
    /// Gateways that kept it with those and are to leave, this one perhaps among them: their votes count until they are taken away. Of
    /// `catalog_members` there may be 1 then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub catalog_leaving: Vec<GatewayAddress>,
    /// The catalog moves between the data folder and the database, and is served meanwhile. Absent: it stays where it is. From the database it
    /// comes to the first of `catalog_members`, where those are named; the others serve the database until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalog_move: Option<CatalogMove>,
    /// How many requests are taken of whom. Left out where it is the default.
    #[serde(default, skip_serializing_if = "RequestLimits::are_usual")]
    pub request_limits: RequestLimits,
    /// How mail leaves the cluster. Absent: none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mail: Option<mail::MailSettings>,
    /// Where the volume has no catalog, it is restored from a backup (see `restore_from`): `newest`, or a time like
    /// `2026-11-30T02:00:00Z`, after which nothing is in it. Absent: an empty volume gets a new catalog.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<String>,
    /// Where the catalog is backed up to. Left out where it is the default, which builds that know no such setting can read. A database
    /// has backups of its own.
    #[serde(default, skip_serializing_if = "CatalogBackups::is_default")]
    pub catalog_backups: CatalogBackups,
    /// Where copies of those backups go. Absent: nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_copies: Option<BackupCopies>,
    /// Where `restore` finds backups. Left out where it is the default.
    #[serde(default, skip_serializing_if = "RestoreFrom::is_default")]
    pub restore_from: RestoreFrom,
    /// Where events of buckets may be told. Empty: nowhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notifications: Vec<notifications::NotificationTarget>,
    /// Where browsers reach the API, `https://HOST` or `https://HOST:PORT`. Needed for `oidc`: providers send browsers back there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_url: Option<String>,
    /// Providers of OpenID Connect that users may sign in at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub oidc: Vec<oidc::OidcSettings>,
}

/// Which way a catalog moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CatalogMove {
    /// From the data folder, or from those of `catalogMembers`, into `catalogDatabase`.
    ToDatabase,
    /// From `catalogDatabase` into the data folder.
    FromDatabase,
}

/// Where gateways that keep the catalog on their volumes back it up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CatalogBackups {
    /// Into the pools, sealed and coded like any data; storage nodes keep the way to it.
    #[default]
    Mesh,
    /// Nowhere. Storage nodes let go of what they keep of earlier backups.
    Off,
}

impl CatalogBackups {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl GatewaySettings {
    /// All gateways that may have a part of the catalog: those that stay, then those that leave.
    pub fn catalog_gateways(&self) -> impl Iterator<Item = &GatewayAddress> + Clone {
        self.catalog_members.iter().chain(&self.catalog_leaving)
    }
}

/// A gateway, and where other gateways reach it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewayAddress {
    /// Its `node`.
    pub node: NodeName,
    /// Where its mesh listens; a name of its own, not one that several share.
    pub endpoint: Endpoint,
}

/// How a PostgreSQL database is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DatabaseFiles {
    /// Holds the connection string, like `postgres://user:password@host:5432/database`.
    pub uri_file: PathBuf,
    /// Holds the certificates of the authorities that vouch for the server, PEM. Absent: the connection is not encrypted, and the
    /// connection string must allow that (`sslmode=disable`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

const fn cache_bytes_default() -> u64 {
    CACHE_BYTES_DEFAULT
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_cache_bytes_default(bytes: &u64) -> bool {
    *bytes == CACHE_BYTES_DEFAULT
}

const fn deleted_retention_seconds_default() -> u64 {
    DELETED_RETENTION_SECONDS_DEFAULT
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_deleted_retention_seconds_default(seconds: &u64) -> bool {
    *seconds == DELETED_RETENTION_SECONDS_DEFAULT
}

const fn audit_retention_seconds_default() -> u64 {
    AUDIT_RETENTION_SECONDS_DEFAULT
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_audit_retention_seconds_default(seconds: &u64) -> bool {
    *seconds == AUDIT_RETENTION_SECONDS_DEFAULT
}

/// Where and how S3 is served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct S3Settings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The DNS domain below which each name is a bucket, as in `photos.s3.example.com`; the certificate must cover them. Absent:
    /// buckets stand in paths only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
}
