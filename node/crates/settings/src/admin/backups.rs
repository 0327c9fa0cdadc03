//! Backups of the catalog, for whoever administers them.

use datamesh_shard::NodeName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::BackupStatus;

/// `GET /api/v1/admin/backup`: how backups of the catalog stand. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupOverview {
    /// The gateway that answers.
    pub gateway: NodeName,
    /// The newest, which nodes were asked for where another gateway makes backups; its copies; and what the catalog itself came out of.
    pub newest: BackupStatus,
    /// So far before the newest a time may lie to come back to out of the mesh.
    pub reach_seconds: u64,
    /// The last that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<AskedBackup>,
    /// The snapshot that the gateway which answers is writing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writing: Option<WritingSnapshot>,
    /// Seconds until another snapshot may begin; until then what is asked for goes behind the last one. Absent where another gateway makes
    /// them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_snapshot_seconds: Option<u64>,
}

/// `POST /api/v1/admin/backup`: a backup that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AskedBackup {
    /// A backup that leads up to this revision of the catalog has all that was acknowledged before it was asked for.
    pub revision: u64,
    /// When it was asked for, by the clock of the gateway that was asked.
    pub asked_unix_ms: u64,
    /// Whether enough nodes keep one.
    pub done: bool,
}

/// A snapshot that is being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WritingSnapshot {
    /// Since when.
    pub since_unix_ms: u64,
    /// Pieces of it that are durable.
    pub pieces: u64,
}

/// `GET /api/v1/admin/backup/points`: what can be come back to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupPoints {
    /// Those in the mesh, then those elsewhere, each the newest first.
    pub points: Vec<BackupPoint>,
    /// Nodes that did not say what they keep: there may be more points.
    pub silent_nodes: u32,
    /// Why the copies elsewhere are not among them, if they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copies_error: Option<String>,
}

/// A snapshot with what changed after it: any time between its two can be come back to. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupPoint {
    /// Generation of the catalog and revision of the snapshot; a copy of it has the same.
    pub id: String,
    /// Where it is.
    pub place: BackupPlace,
    /// The earliest time. Absent of copies, whose names alone were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_unix_ms: Option<u64>,
    /// What was acknowledged by then is in it.
    pub until_unix_ms: u64,
    /// The catalog's revision that it leads up to.
    pub revision: u64,
    /// Sealed bytes of it, before coding. Absent of copies but the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Its segments. Absent of copies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segments: Option<u64>,
    /// Nodes that keep the way to it. Absent of copies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<u32>,
}

/// Where a backup is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum BackupPlace {
    /// In the pools; nodes proved the way to it.
    Mesh,
    /// In the bucket of another S3.
    Copies,
}
