//! Versions of objects.

use percent_encoding::utf8_percent_encode;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Client, ObjectInfo, QUERY, accepted, json};
use crate::failure::Failure;

/// An object, or a version of it.
#[derive(Clone, Copy)]
pub(crate) struct Which<'a> {
    pub(crate) key: &'a str,
    pub(crate) version: Option<&'a str>,
}

impl<'a> From<&'a str> for Which<'a> {
    fn from(key: &'a str) -> Self {
        Self { key, version: None }
    }
}

impl<'a> From<&'a String> for Which<'a> {
    fn from(key: &'a String) -> Self {
        key.as_str().into()
    }
}

/// A version, or a delete.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Version {
    pub(crate) key: String,
    pub(crate) version: String,
    pub(crate) is_latest: bool,
    pub(crate) deleted: bool,
    pub(crate) size: Option<u64>,
    pub(crate) etag: Option<String>,
    pub(crate) last_modified: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    items: Vec<Version>,
    next_cursor: Option<String>,
}

impl Client {
    /// All versions of a key, or of all keys that begin so.
    pub(crate) async fn versions(&self, key: &str, is_prefix: bool) -> Result<Vec<Version>, Failure> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let prefix = utf8_percent_encode(key, QUERY);
            let path = format!("/buckets/{}/versions?prefix={prefix}{cursor}", self.bucket);
            let Page { items, next_cursor }: Page = self.read(&path).await?;
            // Of all keys that begin with it, the key itself comes first.
            let is_over = !is_prefix && items.last().is_some_and(|version| version.key != key);
            all.extend(items.into_iter().filter(|version| is_prefix || version.key == key));
            match next_cursor.filter(|_| !is_over) {
                Some(next) => cursor = format!("&cursor={}", utf8_percent_encode(&next, QUERY)),
                None => return Ok(all),
            }
        }
    }

    /// Puts a copy of a version in front of what the key has.
    pub(crate) async fn restore_version(&self, key: &str, version: &str) -> Result<ObjectInfo, Failure> {
        let path = format!("/buckets/{}/versions/restore", self.bucket);
        let body = json!({ "key": key, "version": version });
        json(accepted(self.user(Method::POST, &path)?.json(&body).send().await?).await?).await
    }
}
