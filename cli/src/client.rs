//! The gateway's REST API, as the commands use it.

mod accounts;
mod answers;
mod audit;
mod buckets;
mod fsck;
mod groups;
mod identities;
mod keys;
mod once;
mod operations;
mod shares;
mod trash;
mod versions;

use std::net::ToSocketAddrs as _;
use std::sync::atomic::{AtomicBool, Ordering};

use datamesh_settings::admin::ClusterStatus;
use datamesh_settings::mesh::MeshStatus;
use datamesh_shard::{BucketName, NodeName, PoolName};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{ETAG, HeaderMap, IF_MATCH, IF_NONE_MATCH, RANGE};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;

use crate::config::Config;
use crate::failure::{Failure, Problem};
use crate::retry::Patience;

pub(crate) use accounts::{Asked, Code, Credential, Invite, Invited, Login, Profile, User};
pub(crate) use answers::{
    Erasure, ExportedKey, Listing, ObjectInfo, Shredding, Shreddings, Stored, Upload, WHOLE,
};
pub(crate) use audit::{Chains, Wanted};
pub(crate) use buckets::{Bucket, Retention, WholeBucket};
pub(crate) use groups::Group;
pub(crate) use identities::Identity;
pub(crate) use keys::{AccessKey, NewKey};
pub(crate) use shares::{Bounds, NewShare, Share};
pub(crate) use trash::{Deleted, Trash};
pub(crate) use versions::{Version, Which};

/// Characters of a key that stay as they are in a path; `/` separates the parts people see.
const KEY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');
/// Characters of a query value that stay as they are.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// Keys asked for in one page of a listing.
const LIST_LIMIT: usize = 1000;

/// What must be there for a change to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Only {
    /// Whatever there is.
    Always,
    /// Nothing.
    IfAbsent,
    /// The version with this entity tag, as listings show it.
    IfMatch(String),
}

impl Only {
    pub(crate) fn if_absent(wanted: bool) -> Self {
        if wanted { Self::IfAbsent } else { Self::Always }
    }

    fn asked_of(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::Always => request,
            Self::IfAbsent => request.header(IF_NONE_MATCH, "*"),
            Self::IfMatch(etag) => request.header(IF_MATCH, format!("\"{etag}\"")),
        }
    }
}

/// A connection to one gateway.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    config: Config,
    base: String,
    bucket: BucketName,
    /// How long what may be sent twice is tried.
    pub(crate) patience: Patience,
}

impl Client {
    pub(crate) fn new(config: Config, bucket: &str, patience: Patience) -> Result<Self, Failure> {
        let bucket = BucketName::new(bucket).map_err(|error| Failure::Usage(error.to_string()))?;
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
        Ok(Self { http: builder.build()?, config, base, bucket, patience })
    }

    /// The same gateway, another bucket.
    pub(crate) fn of_bucket(&self, bucket: &str) -> Result<Self, Failure> {
        let bucket = BucketName::new(bucket).map_err(|error| Failure::Usage(error.to_string()))?;
        Ok(Self { bucket, ..self.clone() })
    }

    /// # Errors
    /// When no request can name this key.
    pub(crate) fn can_name(&self, key: &str) -> Result<(), Failure> {
        file_path(&self.bucket, key).map(drop)
    }

    /// A request with the user's token.
    fn user(&self, method: Method, path: &str) -> Result<RequestBuilder, Failure> {
        Ok(self.http.request(method, format!("{}/api/v1{path}", self.base)).bearer_auth(self.config.token()?))
    }

    /// Asks for JSON, and again while that fails in passing: reading changes nothing.
    async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let attempt = || async { json(accepted(self.user(Method::GET, path)?.send().await?).await?).await };
        self.patience.retried(attempt).await
    }

    /// Stores a body of known or unknown size under a key.
    pub(crate) async fn put(
        &self,
        key: &str,
        body: reqwest::Body,
        size: Option<u64>,
        only: &Only,
    ) -> Result<Stored, Failure> {
        self.put_as(key, body, size, only, HeaderMap::new()).await
    }

    /// As [`Self::put`], with headers that say what it is.
    pub(crate) async fn put_as(
        &self,
        key: &str,
        body: reqwest::Body,
        size: Option<u64>,
        only: &Only,
        headers: HeaderMap,
    ) -> Result<Stored, Failure> {
        let request = self.user(Method::PUT, &file_path(&self.bucket, key)?)?;
        let mut request = request.headers(headers).body(body);
        if let Some(size) = size {
            request = request.header(reqwest::header::CONTENT_LENGTH, size);
        }
        stored(accepted(only.asked_of(request).send().await?).await?).await
    }

    /// Fetches an object from `offset` on, only if it is still the one with `etag`.
    pub(crate) async fn get(
        &self,
        which: impl Into<Which<'_>>,
        offset: u64,
        etag: Option<&str>,
    ) -> Result<Response, Failure> {
        let Which { key, version } = which.into();
        let mut path = file_path(&self.bucket, key)?;
        if let Some(version) = version {
            path.push_str(&format!("?version={}", utf8_percent_encode(version, QUERY)));
        }
        let mut request = self.user(Method::GET, &path)?;
        if offset > 0 {
            request = request.header(RANGE, format!("bytes={offset}-"));
        }
        if let Some(etag) = etag {
            request = request.header(IF_MATCH, format!("\"{}\"", etag.trim_matches('"')));
        }
        accepted(request.send().await?).await
    }

    /// All objects under a prefix as a zip.
    pub(crate) async fn archive(&self, prefix: &str) -> Result<Response, Failure> {
        let prefix = utf8_percent_encode(prefix, QUERY);
        let path = format!("/buckets/{}/archive?prefix={prefix}", self.bucket);
        accepted(self.user(Method::GET, &path)?.send().await?).await
    }

    /// Deletes a key; `None` when nothing was there, or the gateway is one that does not say more.
    pub(crate) async fn delete(&self, key: &str, only: &Only) -> Result<Option<Erasure>, Failure> {
        let request = self.user(Method::DELETE, &file_path(&self.bucket, key)?)?;
        let response = accepted(only.asked_of(request).send().await?).await?;
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        json(response).await.map(Some)
    }

    /// Deletes a key if it still has this version, and asks again while that fails in passing.
    pub(crate) async fn delete_version(&self, key: &str, etag: &str) -> Result<(), Failure> {
        let only = Only::IfMatch(etag.to_owned());
        let asked = AtomicBool::new(false);
        let (only, asked) = (&only, &asked);
        let attempt = || async move {
            let is_first = !asked.swap(true, Ordering::Relaxed);
            match self.delete(key, only).await {
                // The answer to the first was lost, not what it asked for.
                Err(Failure::Refused { status: 404 | 412, .. }) if !is_first => Ok(()),
                deleted => deleted.map(drop),
            }
        };
        self.patience.retried(attempt).await
    }

    /// Deletes a key and has it shredded; `None` when there was none.
    pub(crate) async fn shred(&self, key: &str) -> Result<Option<Shredding>, Failure> {
        let path = format!("{}?shred=true", file_path(&self.bucket, key)?);
        let response = accepted(self.user(Method::DELETE, &path)?.send().await?).await?;
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        json(response).await.map(Some)
    }

    /// How far a shredding is.
    pub(crate) async fn shredding(&self, id: &str) -> Result<Shredding, Failure> {
        self.read(&format!("/shreds/{}", utf8_percent_encode(id, QUERY))).await
    }

    /// All of them.
    pub(crate) async fn shreddings(&self) -> Result<Vec<Shredding>, Failure> {
        Ok(self.read::<Shreddings>("/shreds").await?.items)
    }

    /// Calls one off, or forgets it.
    pub(crate) async fn forget_shredding(&self, id: &str) -> Result<(), Failure> {
        let path = format!("/shreds/{}", utf8_percent_encode(id, QUERY));
        accepted(self.user(Method::DELETE, &path)?.send().await?).await.map(drop)
    }

    /// One page of a listing.
    pub(crate) async fn list(
        &self,
        prefix: &str,
        delimiter: bool,
        cursor: Option<&str>,
    ) -> Result<Listing, Failure> {
        let mut path = self.list_path(prefix, LIST_LIMIT);
        if delimiter {
            path.push_str("&delimiter=%2F");
        }
        if let Some(cursor) = cursor {
            path.push_str(&format!("&cursor={}", utf8_percent_encode(cursor, QUERY)));
        }
        self.read(&path).await
    }

    fn list_path(&self, prefix: &str, limit: usize) -> String {
        let prefix = utf8_percent_encode(prefix, QUERY);
        format!("/buckets/{}/files?limit={limit}&prefix={prefix}", self.bucket)
    }

    /// Every key below a prefix.
    pub(crate) async fn list_all(&self, prefix: &str) -> Result<Vec<ObjectInfo>, Failure> {
        let mut all = Vec::new();
        self.each_object(prefix, |object| {
            all.push(object);
            Ok(())
        })
        .await?;
        Ok(all)
    }

    /// Shows every object below a prefix in order of key, page by page: a bucket need not fit into memory.
    pub(crate) async fn each_object(
        &self,
        prefix: &str,
        mut see: impl FnMut(ObjectInfo) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut cursor = None;
        loop {
            let page = self.list(prefix, false, cursor.as_deref()).await?;
            page.items.into_iter().try_for_each(&mut see)?;
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }

    /// Begins an upload in parts, and asks again while that fails in passing.
    pub(crate) async fn begin_upload(&self, key: &str) -> Result<Upload, Failure> {
        // What is stored under a key that no path can name could never be fetched.
        self.can_name(key)?;
        let body = serde_json::json!({ "bucket": self.bucket, "key": key });
        self.makes(|| Ok(self.user(Method::POST, "/uploads")?.json(&body))).await
    }

    /// What of an upload is stored already.
    pub(crate) async fn upload(&self, id: &str) -> Result<Upload, Failure> {
        self.read(&format!("/uploads/{id}")).await
    }

    /// Stores a part; gives its durability.
    pub(crate) async fn put_part(
        &self,
        id: &str,
        number: u32,
        body: reqwest::Body,
        size: u64,
    ) -> Result<String, Failure> {
        let request = self.user(Method::PUT, &format!("/uploads/{id}/parts/{number}"))?;
        let request = request.header(reqwest::header::CONTENT_LENGTH, size).body(body);
        Ok(durability(&accepted(request.send().await?).await?))
    }

    /// Makes the object of these parts. How durable it is, their own answers said.
    pub(crate) async fn complete_upload(
        &self,
        id: &str,
        parts: &[u32],
        only: &Only,
    ) -> Result<ObjectInfo, Failure> {
        let mut request = self.user(Method::POST, &format!("/uploads/{id}/complete"))?;
        request = request.json(&serde_json::json!({ "parts": parts }));
        json(accepted(only.asked_of(request).send().await?).await?).await
    }

    /// Why an object that could not be sent is refused, if it is: a gateway answers before it read the whole body, and
    /// that answer is often lost with the connection.
    pub(crate) async fn refusal(&self, key: &str) -> Result<(), Failure> {
        self.refused(&self.list_path(key, 1)).await
    }

    /// As [`Self::refusal`], of a part.
    pub(crate) async fn refusal_of_part(&self, id: &str) -> Result<(), Failure> {
        self.refused(&format!("/uploads/{id}")).await
    }

    async fn refused(&self, path: &str) -> Result<(), Failure> {
        match accepted(self.user(Method::GET, path)?.send().await?).await {
            Err(refused) if !refused.is_passing() => Err(refused),
            _ => Ok(()),
        }
    }

    pub(crate) async fn status(&self) -> Result<ClusterStatus, Failure> {
        self.read("/status").await
    }

    /// Has a node give its shards away; asked again, nothing changes.
    pub(crate) async fn drain(&self, pool: &PoolName, node: &NodeName) -> Result<ClusterStatus, Failure> {
        self.change_node(Method::PUT, &format!("/{pool}/drains/{node}")).await
    }

    /// Has a node take shards again.
    pub(crate) async fn undrain(&self, pool: &PoolName, node: &NodeName) -> Result<ClusterStatus, Failure> {
        self.change_node(Method::DELETE, &format!("/{pool}/drains/{node}")).await
    }

    /// Gives a node's volume up: it may join with an empty one.
    pub(crate) async fn replace(&self, pool: &PoolName, node: &NodeName) -> Result<ClusterStatus, Failure> {
        self.change_node(Method::POST, &format!("/{pool}/nodes/{node}/replace")).await
    }

    /// Asks every node what it sees.
    pub(crate) async fn mesh(&self) -> Result<MeshStatus, Failure> {
        self.administer(Method::GET, "/mesh").await
    }

    /// Asked twice, it is done once.
    async fn change_node(&self, method: Method, path: &str) -> Result<ClusterStatus, Failure> {
        self.administer(method, &format!("/pools{path}")).await
    }

    async fn administer<T: DeserializeOwned>(&self, method: Method, path: &str) -> Result<T, Failure> {
        let url = format!("{}/api/v1/admin{path}", self.base);
        let attempt = || async {
            let request = self.http.request(method.clone(), &url).bearer_auth(self.config.admin_token()?);
            json(accepted(request.send().await?).await?).await
        };
        self.patience.retried(attempt).await
    }

    pub(crate) async fn export_key(&self) -> Result<ExportedKey, Failure> {
        let url = format!("{}/api/v1/admin/key/export", self.base);
        let request = self.http.post(url).bearer_auth(self.config.admin_token()?);
        json(accepted(request.send().await?).await?).await
    }
}

/// The path of a key, as the gateway takes it: no part of a key is special there.
///
/// # Errors
/// For keys with a part `.` or `..`. Whatever parses a URL resolves these, percent-encoded ones too, so that the
/// request would meet another key.
fn file_path(bucket: &BucketName, key: &str) -> Result<String, Failure> {
    if key.is_empty() {
        return Err(Failure::Usage("the key is empty: name one".into()));
    }
    if let Some(part) = key.split('/').find(|part| matches!(*part, "." | "..")) {
        return Err(Failure::Usage(format!(
            "key {key:?}: a URL cannot carry the part {part:?}, it would name another key; choose a key without it"
        )));
    }
    Ok(format!("/buckets/{bucket}/files/{}", utf8_percent_encode(key, KEY)))
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
    let durability = durability(&response);
    Ok(Stored { info: json(response).await?, durability })
}

fn durability(response: &Response) -> String {
    header(response.headers(), "datamesh-durability").unwrap_or_default()
}

/// A header's text.
pub(crate) fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(Into::into)
}

/// The object's entity tag in an answer, as listings show it: without the quotes of the header.
pub(crate) fn etag(response: &Response) -> Option<String> {
    header(response.headers(), ETAG.as_str()).map(|tag| tag.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(key: &str) -> Result<String, Failure> {
        file_path(&BucketName::new("b").unwrap(), key)
    }

    /// A URL parser changes nothing of the paths that are sent.
    #[test]
    fn a_request_names_the_key_it_was_asked_for() {
        let odd = "%2e%2e/%2E/x ... .a a. //x// /x a\\b a?b a#b a;b ~x +a ä\u{1f600} a\tb a\nb \u{7f} *'()!@:&=$,|\"<>^`{}[]";
        let keys = odd.split(' ').chain(["with space", " ", "/", "a/"]);
        for key in keys {
            let path = path(key).unwrap();
            let url = Url::parse(&format!("https://h:1/api/v1{path}")).unwrap();
            assert_eq!(url.path(), format!("/api/v1{path}"), "{key:?}");
            assert_eq!((url.query(), url.fragment()), (None, None), "{key:?}");
            let sent = percent_encoding::percent_decode_str(url.path()).decode_utf8().unwrap();
            assert_eq!(sent, format!("/api/v1/buckets/b/files/{key}"));
        }
    }

    #[test]
    fn keys_that_a_url_would_make_another_are_refused() {
        for key in ["", ".", "..", "a/../b", "../a", "a/.", "./a", "a/..", "a//../b"] {
            assert!(matches!(path(key), Err(Failure::Usage(text)) if text.contains(key)), "{key:?}");
        }
        // Why: without the refusal, another key would be met.
        let url = Url::parse("https://h/api/v1/buckets/b/files/logs/%2e%2e/x").unwrap();
        assert_eq!(url.path(), "/api/v1/buckets/b/files/x");
    }
}
