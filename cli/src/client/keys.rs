//! S3 key pairs.

use percent_encoding::utf8_percent_encode;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::accounts::put_code;
use super::{Client, QUERY, json};
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

/// What is wanted of a new one.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct NewKey<'a> {
    pub(crate) name: &'a str,
    pub(crate) permission: &'a str,
    pub(crate) buckets: &'a [String],
    /// Left out: who asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) owner: Option<&'a str>,
}

#[derive(Deserialize)]
struct AccessKeys {
    items: Vec<AccessKey>,
}

fn path_of(id: &str) -> String {
    format!("/keys/{}", utf8_percent_encode(id, QUERY))
}

impl Client {
    /// Makes a key pair, as an administrator.
    pub(crate) async fn create_key(&self, new: NewKey<'_>) -> Result<AccessKey, Failure> {
        self.administrator_makes("/keys", Some(&json!(new))).await
    }

    /// Makes one of one's own, by the password and, where there is a second factor, a code of it.
    pub(crate) async fn create_own_key(
        &self,
        new: NewKey<'_>,
        (password, code): (&str, Option<&str>),
    ) -> Result<AccessKey, Failure> {
        let mut body = json!(new);
        body["password"] = json!(password);
        put_code(&mut body, code);
        self.makes(|| self.own_request(Method::POST, "/keys", Some(&body))).await
    }

    /// All key pairs, or one's own.
    pub(crate) async fn keys(&self, mine: bool) -> Result<Vec<AccessKey>, Failure> {
        let keys: AccessKeys = match mine {
            true => json(self.own(Method::GET, "/keys", None).await?).await?,
            false => self.administer(Method::GET, "/keys").await?,
        };
        Ok(keys.items)
    }

    /// Refuses a key pair from now on, or takes it again.
    pub(crate) async fn disable_key(&self, id: &str, disabled: bool) -> Result<(), Failure> {
        let change = json!({ "disabled": disabled });
        self.as_administrator(Method::PUT, &path_of(id), Some(change)).await.map(drop)
    }

    /// Revokes a key pair, or one of one's own.
    pub(crate) async fn delete_key(&self, id: &str, mine: bool) -> Result<(), Failure> {
        let deleted = match mine {
            true => self.own(Method::DELETE, &path_of(id), None).await,
            false => self.as_administrator(Method::DELETE, &path_of(id), None).await,
        };
        deleted.map(drop)
    }
}
