//! The node's configuration file, typed. The operator writes it, the node reads it; `datamesh-node dev` makes its own.
//! Pure but for reading the files it names: a wrong file is refused with the field and the remedy.

pub mod admin;
pub mod audit;
mod copies;
pub mod mail;
pub mod mesh;
pub mod notifications;
pub mod oidc;
pub mod request_limits;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

pub use copies::{BackupCopies, RestoreFrom};
use datamesh_shard::{NodeName, PeerKey, PoolName, ZoneName};
use request_limits::RequestLimits;
use serde::{Deserialize, Serialize};

/// The version of the file's format this build writes and the only one it reads so far.
pub const SETTINGS_VERSION: u32 = 1;
/// Bytes of a settings file at most.
const SETTINGS_BYTES_MAX: u64 = 1 << 20;
/// Bytes of a secret file (token, key) at most.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// Port of libp2p: discovery, Kademlia, pings.
pub const MESH_PORT: u16 = 7100;
/// Port of bulk shards and join requests: TLS 1.3 with raw public keys.
pub const BULK_PORT: u16 = 7101;
/// Port of the gateway's HTTPS API.
pub const HTTPS_PORT: u16 = 8443;
/// Port of the gateway's S3.
pub const S3_PORT: u16 = 9000;
/// Port of `/livez`, `/readyz` and `/metrics`, plain HTTP.
pub const HEALTH_PORT: u16 = 9100;

/// Bytes of hot segments a gateway keeps in memory when nobody says otherwise.
pub const CACHE_BYTES_DEFAULT: u64 = 32 << 20;

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

/// One process's whole configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// Format of the file; [`SETTINGS_VERSION`].
    pub version: u32,
    /// The cluster this process belongs to.
    pub cluster: ClusterSettings,
    /// This process's identity in the cluster.
    pub node: NodeName,
    /// What it does, with that role's own settings.
    pub role: Role,
}

/// What all members of a cluster share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterSettings {
    /// The DataMeshCluster's name, unique where it runs (`namespace.name` on Kubernetes).
    pub name: NodeName,
    /// The Ed25519 public key derived from the cluster secret: it signs layouts and membership certificates.
    pub public_key: PeerKey,
    /// Where gateways answer join requests and bootstrap libp2p: `host`s, resolved anew at each attempt.
    pub gateways: Vec<Endpoint>,
    /// What is encrypted between the cluster's processes.
    #[serde(default, skip_serializing_if = "BulkEncryption::is_default")]
    pub bulk_encryption: BulkEncryption,
}

/// What is encrypted on connections between processes. Both sides of every connection prove their keys in a TLS 1.3 handshake
/// in any case. Where the two sides want different things, everything is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum BulkEncryption {
    /// Requests and answers, by keys of the handshake. Shards travel as they lie on the disks: sealed by the gateway, which
    /// alone has the keys, and proven by whoever takes them. Who watches the network learns their sizes and could keep what
    /// a stolen disk would show as well.
    #[default]
    Requests,
    /// Everything, in TLS: about half a CPU-second per GB more for each transfer between two processes.
    Everything,
}

impl BulkEncryption {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Where one process is reached by others; the host may be a DNS name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Endpoint {
    /// DNS name or address.
    pub host: String,
    /// libp2p port.
    pub mesh_port: u16,
    /// Bulk port.
    pub bulk_port: u16,
}

/// Addresses a process listens on. Port 0 lets the system choose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Listen {
    /// libp2p.
    pub mesh: SocketAddr,
    /// Bulk shards and joining.
    pub bulk: SocketAddr,
    /// Health and metrics.
    pub health: SocketAddr,
}

/// The part a process plays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// Keeps shards.
    Storage(Box<StorageSettings>),
    /// Serves clients and carries the catalog.
    Gateway(Box<GatewaySettings>),
}

/// A storage node's settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StorageSettings {
    /// The pool it serves.
    pub pool: PoolName,
    /// The failure domain it stands in; the same as the pool's desired member has.
    pub zone: ZoneName,
    /// Folder of the volume.
    pub data_dir: PathBuf,
    /// Bytes it may use; its weight in the layout.
    pub capacity_bytes: u64,
    /// Free bytes below which it takes no new shards.
    pub reserve_bytes: u64,
    /// The one-use token it joins with.
    pub join_token_file: PathBuf,
    /// Own addresses.
    pub listen: Listen,
    /// Host others reach it by; on Kubernetes the pod's address from `ADVERTISE_HOST`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advertise_host: Option<String>,
}

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

/// Certificate chain and private key, PEM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TlsFiles {
    /// Chain, leaf first.
    pub certificate_file: PathBuf,
    /// PKCS#8 key.
    pub key_file: PathBuf,
}

/// Why settings could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A file could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file is larger than it may be.
    #[error("{path} has {bytes} bytes, at most {max} are read")]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// The text is not the settings' format.
    #[error("settings {path}: {source}")]
    Parse {
        /// Which.
        path: PathBuf,
        /// Field and line.
        source: serde_yaml::Error,
    },
    /// Another version of the format.
    #[error(
        "settings {path}: field `version` is {found}, this build reads {SETTINGS_VERSION}: use matching operator and node images"
    )]
    Version {
        /// Which.
        path: PathBuf,
        /// What it says.
        found: u32,
    },
    /// A secret file is not what it should be. The content is never shown.
    #[error("secret {path}: {problem}")]
    Secret {
        /// Which.
        path: PathBuf,
        /// What is wrong, without the content.
        problem: &'static str,
    },
}

impl Settings {
    /// Reads and checks a settings file.
    ///
    /// # Errors
    /// Names the file, the field and what it should be.
    pub fn load(path: &Path) -> Result<Self, SettingsError> {
        let text = read_text(path, SETTINGS_BYTES_MAX)?;
        let settings =
            Self::from_yaml(&text).map_err(|source| SettingsError::Parse { path: path.into(), source })?;
        if settings.version != SETTINGS_VERSION {
            return Err(SettingsError::Version { path: path.into(), found: settings.version });
        }
        Ok(settings)
    }

    /// Reads settings from a file's text; the version is not looked at.
    ///
    /// # Errors
    /// The field and line.
    pub fn from_yaml(text: &str) -> Result<Self, serde_yaml::Error> {
        serde_yaml::from_str(text)
    }

    /// The file's text.
    ///
    /// # Errors
    /// None that a well-formed value can cause; the serializer's own otherwise.
    pub fn to_yaml(&self) -> Result<String, serde_yaml::Error> {
        serde_yaml::to_string(self)
    }
}

/// Reads a secret file (token or key), without its trailing line break. The caller wraps it to be zeroized.
///
/// # Errors
/// Names the file; never shows what is in it.
pub fn read_secret(path: &Path) -> Result<String, SettingsError> {
    let mut text = read_text(path, SECRET_BYTES_MAX)?;
    text.truncate(text.trim_end().len());
    if text.is_empty() {
        return Err(SettingsError::Secret { path: path.into(), problem: "the file is empty" });
    }
    Ok(text)
}

fn read_text(path: &Path, max: u64) -> Result<String, SettingsError> {
    let read = |source| SettingsError::Read { path: path.into(), source };
    let bytes = std::fs::metadata(path).map_err(read)?.len();
    if bytes > max {
        return Err(SettingsError::TooLarge { path: path.into(), bytes, max });
    }
    std::fs::read_to_string(path).map_err(read)
}
