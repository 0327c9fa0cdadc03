//! The gateway's REST API, as the commands use it.

use std::net::ToSocketAddrs as _;

use datamesh_settings::admin::ClusterStatus;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{ETAG, HeaderMap, IF_MATCH, IF_NONE_MATCH, RANGE};
use reqwest::{Method, RequestBuilder, Response, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::failure::{Failure, Problem};

/// Characters of a key that stay as they are in a path; `/` separates the parts people see.
const KEY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');
/// Characters of a query value that stay as they are.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// Keys asked for in one page of a listing.
const LIST_LIMIT: usize = 1000;

/// A connection to one gateway.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    config: Config,
    base: String,
    bucket: String,
}

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
    pub(crate) part_bytes: u64,
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

/// `POST /admin/key/export`.
#[derive(Debug, Deserialize)]
pub(crate) struct ExportedKey {
    pub(crate) cluster: String,
    pub(crate) fingerprint: String,
    pub(crate) secret: String,
}

/// A stored object and how safely it is stored.
pub(crate) struct Stored {
    pub(crate) info: ObjectInfo,
    /// `whole`, or how many shards are durable.
    pub(crate) durability: String,
}

impl Client {
    pub(crate) fn new(config: Config, bucket: &str) -> Result<Self, Failure> {
        let mut builder =
            reqwest::Client::builder().user_agent(concat!("datamesh/", env!("CARGO_PKG_VERSION")));
        // HTTP/1.1: one connection per transfer needs no flow-control window to grow first.
        builder = builder.http1_only().tcp_nodelay(true).connect_timeout(std::time::Duration::from_secs(10));
        if let Some(path) = &config.ca_file {
            let pem = std::fs::read(path).map_err(Failure::file(path))?;
            builder = builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(&pem)?);
        }
        let mut base = config.server.clone();
        if let Some(name) = &config.server_name {
            let (url, address) = renamed(&config.server, name)?;
            builder = builder.resolve(name, address);
            base = url;
        }
        Ok(Self { http: builder.build()?, config, base, bucket: bucket.into() })
    }

    /// A request with the user's token.
    fn user(&self, method: Method, path: &str) -> Result<RequestBuilder, Failure> {
        Ok(self.http.request(method, format!("{}/api/v1{path}", self.base)).bearer_auth(self.config.token()?))
    }

    fn file_path(&self, key: &str) -> String {
        format!("/buckets/{}/files/{}", self.bucket, utf8_percent_encode(key, KEY))
    }

    /// Stores a body of known or unknown size under a key.
    pub(crate) async fn put(
        &self,
        key: &str,
        body: reqwest::Body,
        size: Option<u64>,
        no_clobber: bool,
    ) -> Result<Stored, Failure> {
        let mut request = self.user(Method::PUT, &self.file_path(key))?.body(body);
        if let Some(size) = size {
            request = request.header(reqwest::header::CONTENT_LENGTH, size);
        }
        if no_clobber {
            request = request.header(IF_NONE_MATCH, "*");
        }
        stored(accepted(request.send().await?).await?).await
    }

    /// Fetches an object from `offset` on, only if it is still the one with `etag`.
    pub(crate) async fn get(&self, key: &str, offset: u64, etag: Option<&str>) -> Result<Response, Failure> {
        let mut request = self.user(Method::GET, &self.file_path(key))?;
        if offset > 0 {
            request = request.header(RANGE, format!("bytes={offset}-"));
        }
        if let Some(etag) = etag {
            request = request.header(IF_MATCH, etag);
        }
        accepted(request.send().await?).await
    }

    pub(crate) async fn delete(&self, key: &str) -> Result<(), Failure> {
        accepted(self.user(Method::DELETE, &self.file_path(key))?.send().await?).await.map(drop)
    }

    /// One page of a listing.
    pub(crate) async fn list(
        &self,
        prefix: &str,
        delimiter: bool,
        cursor: Option<&str>,
    ) -> Result<Listing, Failure> {
        let mut path = format!(
            "/buckets/{}/files?limit={LIST_LIMIT}&prefix={}",
            self.bucket,
            utf8_percent_encode(prefix, QUERY)
        );
        if delimiter {
            path.push_str("&delimiter=%2F");
        }
        if let Some(cursor) = cursor {
            path.push_str(&format!("&cursor={}", utf8_percent_encode(cursor, QUERY)));
        }
        json(accepted(self.user(Method::GET, &path)?.send().await?).await?).await
    }

    /// Every key below a prefix.
    pub(crate) async fn list_all(&self, prefix: &str) -> Result<Vec<ObjectInfo>, Failure> {
        let mut all = Vec::new();
        let mut cursor = None;
        loop {
            let page = self.list(prefix, false, cursor.as_deref()).await?;
            all.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(all);
            }
        }
    }

    /// Begins an upload in parts.
    pub(crate) async fn begin_upload(&self, key: &str) -> Result<Upload, Failure> {
        let body = serde_json::json!({ "bucket": self.bucket, "key": key });
        json(accepted(self.user(Method::POST, "/uploads")?.json(&body).send().await?).await?).await
    }

    /// What of an upload is stored already.
    pub(crate) async fn upload(&self, id: &str) -> Result<Upload, Failure> {
        json(accepted(self.user(Method::GET, &format!("/uploads/{id}"))?.send().await?).await?).await
    }

    pub(crate) async fn put_part(
        &self,
        id: &str,
        number: u32,
        body: reqwest::Body,
        size: u64,
    ) -> Result<(), Failure> {
        let request = self.user(Method::PUT, &format!("/uploads/{id}/parts/{number}"))?;
        let request = request.header(reqwest::header::CONTENT_LENGTH, size).body(body);
        accepted(request.send().await?).await.map(drop)
    }

    pub(crate) async fn complete_upload(&self, id: &str, no_clobber: bool) -> Result<Stored, Failure> {
        let mut request = self.user(Method::POST, &format!("/uploads/{id}/complete"))?;
        if no_clobber {
            request = request.header(IF_NONE_MATCH, "*");
        }
        stored(accepted(request.send().await?).await?).await
    }

    pub(crate) async fn status(&self) -> Result<ClusterStatus, Failure> {
        json(accepted(self.user(Method::GET, "/status")?.send().await?).await?).await
    }

    pub(crate) async fn export_key(&self) -> Result<ExportedKey, Failure> {
        let url = format!("{}/api/v1/admin/key/export", self.base);
        let request = self.http.post(url).bearer_auth(self.config.admin_token()?);
        json(accepted(request.send().await?).await?).await
    }
}

/// The server's URL with its host replaced by the certificate's name, and the address the host stands for.
fn renamed(server: &str, name: &str) -> Result<(String, std::net::SocketAddr), Failure> {
    let wrong = |problem: &dyn std::fmt::Display| Failure::Usage(format!("server {server:?}: {problem}"));
    let mut url = Url::parse(server).map_err(|error| wrong(&error))?;
    let host = url.host_str().ok_or_else(|| wrong(&"no host"))?.trim_matches(['[', ']']).to_owned();
    let port = url.port_or_known_default().unwrap_or(443);
    let address =
        (host.as_str(), port).to_socket_addrs()?.next().ok_or_else(|| wrong(&"the host has no address"))?;
    url.set_host(Some(name)).map_err(|error| wrong(&error))?;
    Ok((url.as_str().trim_end_matches('/').into(), address))
}

/// An error answer as a failure with the gateway's own words.
async fn accepted(response: Response) -> Result<Response, Failure> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let body = response.bytes().await.unwrap_or_default();
    let mut problem: Problem = serde_json::from_slice(&body).unwrap_or_default();
    if problem.title.is_empty() && problem.detail.is_empty() {
        problem.title = status.to_string();
    }
    Err(Failure::Refused { status: status.as_u16(), problem })
}

async fn json<T: DeserializeOwned>(response: Response) -> Result<T, Failure> {
    let body = response.bytes().await?;
    serde_json::from_slice(&body).map_err(|error| Failure::Answer(error.to_string()))
}

async fn stored(response: Response) -> Result<Stored, Failure> {
    let durability = header(response.headers(), "datamesh-durability").unwrap_or_default();
    Ok(Stored { info: json(response).await?, durability })
}

/// A header's text.
pub(crate) fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(Into::into)
}

/// The object's ETag of an answer.
pub(crate) fn etag(response: &Response) -> Option<String> {
    header(response.headers(), ETAG.as_str())
}
