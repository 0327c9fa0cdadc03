//! The gateway's REST API, as the commands use it.

mod accounts;
mod answers;
mod audit;
mod buckets;
mod cluster;
mod files;
mod fsck;
mod groups;
mod identities;
mod keys;
mod once;
mod operations;
mod shares;
mod trash;
mod users;
mod versions;

use std::net::ToSocketAddrs as _;

use datamesh_shard::BucketName;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};
use reqwest::header::{ETAG, HeaderMap};
use reqwest::{Method, RequestBuilder, Response, Url};
use serde::de::DeserializeOwned;

use crate::config::Config;
use crate::failure::{Failure, Problem};
use crate::retry::Patience;

pub(crate) use accounts::{Asked, Code, Credential, Login, Profile, User};
pub(crate) use answers::{Erasure, ExportedKey, Listing, ObjectInfo, Shredding, Stored, Upload, WHOLE};
pub(crate) use audit::{Chains, Wanted};
pub(crate) use buckets::{Bucket, Retention, WholeBucket};
pub(crate) use files::Only;
pub(crate) use groups::Group;
pub(crate) use identities::Identity;
pub(crate) use keys::{AccessKey, NewKey};
pub(crate) use shares::{Bounds, NewShare, Share};
pub(crate) use trash::{Deleted, Trash};
pub(crate) use users::{Invite, Invited};
pub(crate) use versions::{Version, Which};

/// Characters of a query value that stay as they are.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Rows asked for in one page of a list.
const LIST_LIMIT: usize = 1000;

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

    /// A request with the user's token.
    fn user(&self, method: Method, path: &str) -> Result<RequestBuilder, Failure> {
        Ok(self.http.request(method, format!("{}/api/v1{path}", self.base)).bearer_auth(self.config.token()?))
    }

    /// Asks for JSON, and again while that fails in passing: reading changes nothing.
    async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let attempt = || async { json(accepted(self.user(Method::GET, path)?.send().await?).await?).await };
        self.patience.retried(attempt).await
    }

    async fn administer<T: DeserializeOwned>(&self, method: Method, path: &str) -> Result<T, Failure> {
        let url = format!("{}/api/v1/admin{path}", self.base);
        let attempt = || async {
            let request = self.http.request(method.clone(), &url).bearer_auth(self.config.admin_token()?);
            json(accepted(request.send().await?).await?).await
        };
        self.patience.retried(attempt).await
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

/// A header's text.
pub(crate) fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(Into::into)
}

/// The object's entity tag in an answer, as listings show it: without the quotes of the header.
pub(crate) fn etag(response: &Response) -> Option<String> {
    header(response.headers(), ETAG.as_str()).map(|tag| tag.trim_matches('"').to_owned())
}
