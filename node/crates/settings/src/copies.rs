//! Where copies of the catalog's backups go besides the mesh.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A bucket of any S3 that copies of the catalog's backups go to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackupCopies {
    /// Where it is served: `https://HOST` or `https://HOST:PORT`. `http` for a server on the same machine alone.
    pub endpoint: String,
    /// The region that requests are signed for; servers that have none mostly take `us-east-1`.
    pub region: String,
    /// The bucket, which must be there.
    pub bucket: String,
    /// What names of objects begin with. Empty: nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// Whether the bucket stands in the path, and not before the host.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub path_style: bool,
    /// Holds the access key's id. Read for each copy, so that it may come later and change.
    pub access_key_id_file: PathBuf,
    /// Holds its secret. Read for each copy.
    pub secret_access_key_file: PathBuf,
    /// Holds PEM certificates of the authorities that vouch for the server. Read for each copy; where it cannot be, nothing is copied. Absent: the
    /// public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Seconds for which a point can be come back to.
    pub keep_seconds: u64,
}

/// Where a backup is restored from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestoreFrom {
    /// What storage nodes keep.
    #[default]
    Mesh,
    /// The copies at [`BackupCopies`].
    Copies,
}

impl RestoreFrom {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
