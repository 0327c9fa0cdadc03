//! Links by which others have what is a user's.

use percent_encoding::utf8_percent_encode;
use reqwest::{Method, Response};
use serde::{Deserialize, Serialize};

use super::{Client, QUERY, accepted, json};
use crate::failure::Failure;

/// A link that is wanted, as the gateway reads it.
#[derive(Serialize)]
pub(crate) struct NewShare<'a> {
    pub(crate) bucket: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) prefix: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) upload: Option<Bounds>,
    pub(crate) days: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) password: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) downloads: Option<u32>,
}

/// What a drop box takes.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Bounds {
    pub(crate) files: u32,
    pub(crate) bytes: u64,
}

/// A link as the gateway shows it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Share {
    pub(crate) id: String,
    pub(crate) bucket: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) prefix: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) upload: Option<Bounds>,
    pub(crate) password: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) downloads: Option<u32>,
    pub(crate) used: Used,
    pub(crate) created_at: String,
    pub(crate) expires_at: String,
    /// Only where it was just made: the whole address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) link: Option<String>,
}

/// How much of a link was used.
#[derive(Serialize, Deserialize)]
pub(crate) struct Used {
    pub(crate) downloads: u32,
    pub(crate) files: u32,
    pub(crate) bytes: u64,
}

#[derive(Deserialize)]
struct Shares {
    items: Vec<Share>,
}

impl Client {
    /// Asks for something of the links of who signed in, or of a user's as an administrator.
    async fn of_shares(&self, method: Method, path: &str, of: Option<&str>) -> Result<Response, Failure> {
        if let Some(name) = of {
            let path = format!("/users/{}/shares{path}", utf8_percent_encode(name, QUERY));
            return self.as_administrator(method, &path, None).await;
        }
        let url = format!("{}/api/v1/shares{path}", self.base);
        accepted(self.http.request(method, url).bearer_auth(self.config.own_token()?).send().await?).await
    }

    /// Makes a link. Asked once only: a second try would make a second one.
    pub(crate) async fn make_share(&self, wanted: &NewShare<'_>) -> Result<Share, Failure> {
        let url = format!("{}/api/v1/shares", self.base);
        let request = self.http.post(url).bearer_auth(self.config.own_token()?).json(wanted);
        let made: Share = json(accepted(request.send().await?).await?).await?;
        Ok(Share { link: made.link.map(|path| format!("{}{path}", self.base)), ..made })
    }

    /// Those that count.
    pub(crate) async fn shares(&self, of: Option<&str>) -> Result<Vec<Share>, Failure> {
        Ok(json::<Shares>(self.of_shares(Method::GET, "", of).await?).await?.items)
    }

    /// Ends one.
    pub(crate) async fn end_share(&self, id: &str, of: Option<&str>) -> Result<(), Failure> {
        let path = format!("/{}", utf8_percent_encode(id, QUERY));
        self.of_shares(Method::DELETE, &path, of).await.map(drop)
    }
}
