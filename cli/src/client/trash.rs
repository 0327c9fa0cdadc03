//! What was deleted of a bucket and can be put back.

use percent_encoding::utf8_percent_encode;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Client, QUERY, accepted, json};
use crate::failure::Failure;

/// Where what is deleted goes.
#[derive(Serialize, Deserialize)]
pub(crate) struct Trash {
    /// None: the bucket has no trash.
    pub(crate) days: Option<u32>,
    pub(crate) keeps: bool,
}

/// An object that was deleted.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Deleted {
    pub(crate) id: String,
    pub(crate) key: String,
    pub(crate) size: u64,
    pub(crate) etag: String,
    pub(crate) deleted_at: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    items: Vec<Deleted>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Purged {
    purged: usize,
}

impl Client {
    async fn of_trash(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<reqwest::Response, Failure> {
        let mut request = self.user(method, &format!("/buckets/{}/trash{path}", self.bucket))?;
        if let Some(body) = body {
            request = request.json(&body);
        }
        accepted(request.send().await?).await
    }

    /// Where what is deleted goes.
    pub(crate) async fn trash(&self) -> Result<Trash, Failure> {
        json(self.of_trash(Method::GET, "", None).await?).await
    }

    /// Has it kept for so many days from now on; `None`: no more.
    pub(crate) async fn keep_deleted(&self, days: Option<u32>) -> Result<Trash, Failure> {
        match days {
            Some(days) => json(self.of_trash(Method::PUT, "", Some(json!({ "days": days }))).await?).await,
            None => {
                self.of_trash(Method::DELETE, "", None).await?;
                self.trash().await
            }
        }
    }

    /// All that was deleted of keys that begin so.
    pub(crate) async fn deleted(&self, prefix: &str) -> Result<Vec<Deleted>, Failure> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let prefix = utf8_percent_encode(prefix, QUERY);
            let path = format!("/buckets/{}/trash/files?prefix={prefix}{cursor}", self.bucket);
            let page: Page = self.read(&path).await?;
            all.extend(page.items);
            match page.next_cursor {
                Some(next) => cursor = format!("&cursor={}", utf8_percent_encode(&next, QUERY)),
                None => return Ok(all),
            }
        }
    }

    /// Puts one back.
    pub(crate) async fn restore(&self, deleted: &Deleted, overwrite: bool) -> Result<(), Failure> {
        let body = json!({ "key": deleted.key, "id": deleted.id, "overwrite": overwrite });
        self.of_trash(Method::POST, "/restore", Some(body)).await.map(drop)
    }

    /// Deletes one for good.
    pub(crate) async fn purge(&self, deleted: &Deleted) -> Result<(), Failure> {
        let body = json!({ "key": deleted.key, "id": deleted.id });
        self.of_trash(Method::POST, "/purge", Some(body)).await.map(drop)
    }

    /// Deletes all for good that was deleted of keys that begin so. Gives how many objects went.
    pub(crate) async fn empty_trash(&self, prefix: &str) -> Result<usize, Failure> {
        let path = format!("/files?prefix={}", utf8_percent_encode(prefix, QUERY));
        Ok(json::<Purged>(self.of_trash(Method::DELETE, &path, None).await?).await?.purged)
    }
}
