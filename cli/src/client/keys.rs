//! S3 key pairs.

use reqwest::Method;
use serde::{Deserialize, Serialize};

use super::{Client, accepted};
use crate::failure::Failure;

/// A key pair as the gateway shows it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AccessKey {
    pub(crate) id: String,
    /// Only where the key was just made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<String>,
    pub(crate) name: String,
    pub(crate) owner: String,
    pub(crate) permission: String,
    /// None: all.
    pub(crate) buckets: Vec<String>,
    pub(crate) created_at: String,
    pub(crate) disabled: bool,
}

#[derive(Deserialize)]
struct AccessKeys {
    items: Vec<AccessKey>,
}

impl Client {
    /// Makes a key pair.
    pub(crate) async fn create_key(
        &self,
        name: &str,
        permission: &str,
        buckets: &[String],
    ) -> Result<AccessKey, Failure> {
        let wanted = serde_json::json!({ "name": name, "permission": permission, "buckets": buckets });
        let url = format!("{}/api/v1/admin/keys", self.base);
        self.makes(|| Ok(self.http.post(&url).bearer_auth(self.config.admin_token()?).json(&wanted))).await
    }

    /// All key pairs.
    pub(crate) async fn keys(&self) -> Result<Vec<AccessKey>, Failure> {
        Ok(self.administer::<AccessKeys>(Method::GET, "/keys").await?.items)
    }

    /// Revokes a key pair.
    pub(crate) async fn delete_key(&self, id: &str) -> Result<(), Failure> {
        let id = percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC);
        let url = format!("{}/api/v1/admin/keys/{id}", self.base);
        let request = self.http.delete(url).bearer_auth(self.config.admin_token()?);
        accepted(request.send().await?).await.map(drop)
    }
}
