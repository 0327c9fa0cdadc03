//! Buckets as a whole.

use datamesh_shard::BucketName;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Client, accepted, json};
use crate::failure::Failure;

/// A bucket as lists show it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Bucket {
    pub(crate) name: String,
    /// Gateways before private buckets do not say it.
    #[serde(default = "managed")]
    pub(crate) kind: String,
    pub(crate) pool: String,
    pub(crate) created_at: String,
}

fn managed() -> String {
    "managed".to_owned()
}

/// And what is set of it and what it has.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WholeBucket {
    #[serde(flatten)]
    pub(crate) bucket: Bucket,
    pub(crate) versioning: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) trash_days: Option<u32>,
    pub(crate) locks: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) default_retention: Option<Retention>,
    pub(crate) objects: u64,
    pub(crate) bytes: u64,
    pub(crate) versions: u64,
    pub(crate) version_bytes: u64,
}

/// For days or for years.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Retention {
    pub(crate) mode: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) days: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) years: Option<u32>,
}

#[derive(Deserialize)]
struct Buckets {
    items: Vec<Bucket>,
}

fn path(name: &str) -> Result<String, Failure> {
    let name = BucketName::new(name).map_err(|error| Failure::Usage(error.to_string()))?;
    Ok(format!("/buckets/{name}"))
}

impl Client {
    /// All buckets, by name.
    pub(crate) async fn buckets(&self) -> Result<Vec<Bucket>, Failure> {
        Ok(self.read::<Buckets>("/buckets").await?.items)
    }

    /// One.
    pub(crate) async fn bucket(&self, name: &str) -> Result<WholeBucket, Failure> {
        self.read(&path(name)?).await
    }

    /// Makes one.
    pub(crate) async fn create_bucket(&self, name: &str, kind: &str) -> Result<Bucket, Failure> {
        let request = self.user(Method::PUT, &path(name)?)?.json(&json!({ "kind": kind }));
        json(accepted(request.send().await?).await?).await
    }

    /// Removes one that is empty.
    pub(crate) async fn remove_bucket(&self, name: &str) -> Result<(), Failure> {
        accepted(self.user(Method::DELETE, &path(name)?)?.send().await?).await.map(drop)
    }
}
