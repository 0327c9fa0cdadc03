//! What the gateway answers.

use serde::{Deserialize, Serialize};

/// One object, as listings and answers show it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ObjectInfo {
    pub(crate) key: String,
    pub(crate) size: u64,
    pub(crate) etag: String,
    pub(crate) last_modified: String,
}

/// One page of a listing.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Listing {
    pub(crate) items: Vec<ObjectInfo>,
    #[serde(default)]
    pub(crate) common_prefixes: Vec<String>,
    #[serde(default)]
    pub(crate) next_cursor: Option<String>,
}

/// An upload in parts.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Upload {
    pub(crate) id: String,
    /// Bytes of each part but the last that work best.
    pub(crate) part_bytes: u64,
    pub(crate) part_bytes_max: u64,
    /// Parts already stored.
    #[serde(default)]
    pub(crate) parts: Vec<Part>,
}

/// A stored part.
#[derive(Debug, Deserialize)]
pub(crate) struct Part {
    pub(crate) number: u32,
    pub(crate) size: u64,
}

/// `POST /admin/key/export`. It cannot be shown for debugging: whoever sees the secret can read everything.
#[derive(Deserialize)]
pub(crate) struct ExportedKey {
    pub(crate) cluster: String,
    pub(crate) fingerprint: String,
    pub(crate) secret: String,
}

/// A stored object and how safely it is stored.
pub(crate) struct Stored {
    pub(crate) info: ObjectInfo,
    /// [`WHOLE`], or how many shards are durable.
    pub(crate) durability: String,
}

/// The durability of what survives the loss of any m nodes.
pub(crate) const WHOLE: &str = "whole";
