//! Where events of buckets are told.

use std::path::PathBuf;

use datamesh_shard::TargetName;
use serde::{Deserialize, Serialize};

/// A web address that events may be sent to. Users of S3 name it, and can name no other: no request of theirs makes a gateway call an
/// address that its operator has not chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NotificationTarget {
    /// What users call it, in `arn:datamesh:sqs:::NAME`.
    pub name: TargetName,
    /// Like `https://hooks.example.org/datamesh`; `http` on this machine alone.
    pub url: String,
    /// Holds the secret that messages are signed with. Absent: they are not. Read for each message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    /// Holds PEM certificates of the authorities that vouch for the server. Absent: the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}
