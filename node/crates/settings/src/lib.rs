//! The node's configuration file, typed. The operator writes it, the node reads it; `datamesh-node dev` makes its own.
//! Pure but for reading the files it names: a wrong file is refused with the field and the remedy.

pub mod admin;
pub mod audit;
mod copies;
mod gateway;
pub mod mail;
pub mod mesh;
pub mod notifications;
pub mod oidc;
pub mod request_limits;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

pub use copies::{BackupCopies, RestoreFrom};
use datamesh_shard::{NodeName, PeerKey, PoolName, ZoneName};
pub use gateway::{
    AUDIT_RETENTION_SECONDS_DEFAULT, AUDIT_RETENTION_SECONDS_MAX, AUDIT_RETENTION_SECONDS_MIN,
    CACHE_BYTES_DEFAULT, CatalogBackups, CatalogMove, DELETED_RETENTION_SECONDS_DEFAULT,
    DELETED_RETENTION_SECONDS_MAX, DELETED_RETENTION_SECONDS_MIN, DatabaseFiles, GatewayAddress,
    GatewaySettings, MEMORY_BYTES_BESIDES, S3_INTAKE_BYTES_MIN, S3Settings,
};
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
