//! The gateway's REST API as a client outside the cluster uses it: HTTPS, verified against the cluster's own CA.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use datamesh_settings::admin::{BackupOverview, ClusterStatus};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use serde_json::Value;

/// A request that takes longer is stuck.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Keys asked for in one page of a listing; small, so that a test sees several.
const LIST_LIMIT: usize = 100;

/// What a client needs to reach a gateway.
#[derive(Clone)]
pub struct Access {
    /// Where it is reached.
    pub address: SocketAddr,
    /// The name its certificate is for.
    pub host: String,
    /// PEM.
    pub ca: Vec<u8>,
    /// Bearer token of users.
    pub token: String,
    /// Bearer token of administrators.
    pub admin_token: String,
}

/// A client of one gateway.
#[derive(Clone)]
pub struct Gateway {
    http: reqwest::Client,
    base: Url,
    access: Access,
}

/// One listed object.
#[derive(Clone, Debug, Deserialize)]
pub struct Item {
    /// Its key.
    pub key: String,
    /// Its bytes.
    pub size: u64,
}

/// A key pair of S3.
#[derive(Clone, Deserialize)]
pub struct S3Key {
    /// The public half.
    pub id: String,
    /// The other.
    pub secret: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listing {
    items: Vec<Item>,
    next_cursor: Option<String>,
}

impl Gateway {
    /// A client; nothing is sent yet.
    ///
    /// # Errors
    /// The CA is not one.
    pub fn new(access: Access) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .http1_only()
            .tcp_nodelay(true)
            .timeout(REQUEST_TIMEOUT)
            .tls_certs_only(reqwest::Certificate::from_pem_bundle(&access.ca)?)
            .resolve(&access.host, access.address)
            .build()?;
        let base = Url::parse(&format!("https://{}:{}/api/v1/", access.host, access.address.port()))?;
        Ok(Self { http, base, access })
    }

    /// How it is reached.
    #[must_use]
    pub fn access(&self) -> &Access {
        &self.access
    }

    fn request(&self, method: Method, path: &[&str], token: &str) -> anyhow::Result<RequestBuilder> {
        let mut url = self.base.clone();
        url.path_segments_mut().map_err(|()| anyhow::anyhow!("no base"))?.pop_if_empty().extend(path);
        Ok(self.http.request(method, url).bearer_auth(token))
    }

    /// Any request with a document, below `/api/v1/`; gives the answer's, `null` if it has none.
    ///
    /// # Errors
    /// Anything but success, with the gateway's words.
    pub async fn tell(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: &Value,
    ) -> anyhow::Result<Value> {
        let mut request = self.http.request(method, self.base.join(path)?).json(body);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let told = accepted(request.send().await?).await?.bytes().await?;
        Ok(if told.is_empty() { Value::Null } else { serde_json::from_slice(&told)? })
    }

    fn file(&self, method: Method, key: &str) -> anyhow::Result<RequestBuilder> {
        let path: Vec<&str> = std::iter::once("files").chain(key.split('/')).collect();
        self.request(method, &path, &self.access.token)
    }

    /// Stores an object; says how durable it is: `whole`, or `short;durable=n`.
    ///
    /// # Errors
    /// Anything but success, with the gateway's words.
    pub async fn put(&self, key: &str, body: Bytes) -> anyhow::Result<String> {
        let answer = accepted(self.file(Method::PUT, key)?.body(body).send().await?).await?;
        let durability = answer.headers().get("datamesh-durability").context("no DataMesh-Durability")?;
        Ok(durability.to_str()?.to_owned())
    }

    /// Fetches an object.
    ///
    /// # Errors
    /// Anything but success, with the gateway's words.
    pub async fn get(&self, key: &str) -> anyhow::Result<Bytes> {
        Ok(accepted(self.file(Method::GET, key)?.send().await?).await?.bytes().await?)
    }

    /// Fetches the bytes `from..=to`.
    ///
    /// # Errors
    /// Anything but partial content.
    pub async fn get_range(&self, key: &str, from: usize, to: usize) -> anyhow::Result<Bytes> {
        let request = self.file(Method::GET, key)?.header("range", format!("bytes={from}-{to}"));
        let answer = accepted(request.send().await?).await?;
        ensure!(answer.status() == StatusCode::PARTIAL_CONTENT, "a range got {}", answer.status());
        Ok(answer.bytes().await?)
    }

    /// Whether an object is there.
    ///
    /// # Errors
    /// Neither found nor not found.
    pub async fn exists(&self, key: &str) -> anyhow::Result<bool> {
        let answer = self.file(Method::HEAD, key)?.send().await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(false);
        }
        Ok(answer.error_for_status().map(|_| true)?)
    }

    /// Deletes an object.
    ///
    /// # Errors
    /// Anything but success, with the gateway's words.
    pub async fn delete(&self, key: &str) -> anyhow::Result<()> {
        accepted(self.file(Method::DELETE, key)?.send().await?).await?;
        Ok(())
    }

    /// All objects whose keys begin with `prefix`, page by page.
    ///
    /// # Errors
    /// Anything but success, with the gateway's words.
    pub async fn list(&self, prefix: &str) -> anyhow::Result<Vec<Item>> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let mut query = vec![("prefix", prefix.to_owned()), ("limit", LIST_LIMIT.to_string())];
            if !cursor.is_empty() {
                query.push(("cursor", cursor));
            }
            let request = self.request(Method::GET, &["files"], &self.access.token)?.query(&query);
            let page: Listing = accepted(request.send().await?).await?.json().await?;
            all.extend(page.items);
            match page.next_cursor {
                Some(next) => cursor = next,
                None => return Ok(all),
            }
        }
    }

    /// Makes a bucket.
    ///
    /// # Errors
    /// Anything but success, with the gateway's words.
    pub async fn make_bucket(&self, bucket: &str) -> anyhow::Result<()> {
        accepted(self.request(Method::PUT, &["buckets", bucket], &self.access.token)?.send().await?).await?;
        Ok(())
    }

    /// Makes a key pair of S3 that may do everything.
    ///
    /// # Errors
    /// Anything but success, with the gateway's words.
    pub async fn make_s3_key(&self, name: &str) -> anyhow::Result<S3Key> {
        let request = self.request(Method::POST, &["admin", "keys"], &self.access.admin_token)?;
        let wanted = serde_json::json!({"name": name, "permission": "admin"});
        Ok(accepted(request.json(&wanted).send().await?).await?.json().await?)
    }

    /// Says that a catalog which came out of copies is the one that is wanted.
    ///
    /// # Errors
    /// Anything but success, with the gateway's words.
    pub async fn confirm_restored(&self) -> anyhow::Result<()> {
        let path = ["admin", "restored", "confirm"];
        accepted(self.request(Method::POST, &path, &self.access.admin_token)?.send().await?).await?;
        Ok(())
    }

    /// How backups of its catalog stand, whichever gateway makes them.
    ///
    /// # Errors
    /// Anything but success, with the gateway's words.
    pub async fn backups(&self) -> anyhow::Result<BackupOverview> {
        let request = self.request(Method::GET, &["admin", "backup"], &self.access.admin_token)?;
        Ok(accepted(request.send().await?).await?.json().await?)
    }

    /// What the cluster knows of itself.
    ///
    /// # Errors
    /// Anything but success, with the gateway's words.
    pub async fn status(&self) -> anyhow::Result<ClusterStatus> {
        let request = self.request(Method::GET, &["admin", "status"], &self.access.admin_token)?;
        Ok(accepted(request.send().await?).await?.json().await?)
    }
}

/// A refusal, in the gateway's words.
#[derive(Debug)]
pub struct Refused {
    status: StatusCode,
    path: String,
    text: String,
}

impl Refused {
    /// Whether the request may succeed if it is made again as it is.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        const FOR_NOW: [u16; 4] = [408, 409, 423, 429];
        !self.status.is_client_error() || FOR_NOW.contains(&self.status.as_u16())
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.path, self.status, self.text)
    }
}

impl std::error::Error for Refused {}

async fn accepted(answer: Response) -> anyhow::Result<Response> {
    let (status, path) = (answer.status(), answer.url().path().to_owned());
    if !status.is_success() {
        let text = answer.text().await.unwrap_or_default();
        return Err(Refused { status, path, text }.into());
    }
    Ok(answer)
}
