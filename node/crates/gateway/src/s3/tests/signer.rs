//! A client that signs as version 4 wants it, small enough to be read: an oracle beside the real ones.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use axum::Router;
use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use datamesh_catalog::Permission;
use datamesh_catalog::catalog::KeyFor;
use datamesh_shard::BucketName;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use ring::{digest, hmac};
use tower::ServiceExt as _;

use crate::access_keys::{MadeKey, NewKey};
use crate::auth::Address;
use crate::tests::house::{Got, House, read};
use crate::{limits, s3};

pub(super) const HOST: &str = "gateway.test";
/// Where unsigned requests come from.
pub(super) const STRANGER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);

/// A key pair and the port it is used at.
pub(super) struct Client {
    router: Router,
    pub(super) id: String,
    secret: String,
}

impl Got {
    /// The code of a refusal; `None` where it was done.
    pub(super) fn code(&self) -> Option<String> {
        if self.status.is_success() {
            return None;
        }
        let text = String::from_utf8_lossy(&self.body).into_owned();
        let code = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
        Some(code.unwrap_or_else(|| panic!("{}: {text}", self.status)).0.to_owned())
    }
}

/// What one request says.
#[derive(Default)]
pub(super) struct Ask<'a> {
    pub(super) headers: &'a [(&'a str, &'a str)],
    /// Sent and not signed.
    pub(super) unsigned: &'a [(&'a str, &'a str)],
    pub(super) body: &'a [u8],
}

impl Client {
    /// With a new key.
    pub(super) async fn new(house: &House, permission: Permission, buckets: &[&str]) -> Self {
        Self::of(house, "admin", (permission, buckets)).await
    }

    /// With a new key that acts for a name.
    pub(super) async fn of(house: &House, owner: &str, (permission, buckets): (Permission, &[&str])) -> Self {
        let buckets = buckets.iter().map(|name| BucketName::new(name).unwrap()).collect();
        let new = NewKey { name: "test".into(), owner: owner.into(), permission, buckets };
        Self::with(house, house.core.app.keys.create(new, KeyFor::Nobody).await.unwrap())
    }

    /// With this key.
    pub(super) fn with(house: &House, made: MadeKey) -> Self {
        Self::shown(house, made.key.id.as_str(), &made.secret)
    }

    /// With the key of which this was shown.
    pub(super) fn shown(house: &House, id: &str, secret: &str) -> Self {
        let domain = Some("buckets.test".into());
        let router = s3::router(house.core.app.clone(), domain, limits::S3_INTAKE_BYTES_MAX);
        Self { router, id: id.to_owned(), secret: secret.to_owned() }
    }

    /// The same key at another's gateway.
    pub(super) fn beside(self, other: &Self) -> Self {
        Self { router: other.router.clone(), ..self }
    }

    /// The same key with another secret.
    pub(super) fn with_secret(&self, secret: &str) -> Self {
        Self { router: self.router.clone(), id: self.id.clone(), secret: secret.to_owned() }
    }

    /// One request, signed now, from [`STRANGER`].
    pub(super) async fn signed_from_there(&self, method: &str, target: &str) -> Got {
        let mut request = self.signed(HOST, method, target, &Ask::default());
        request.extensions_mut().insert(Address(STRANGER.into()));
        self.send(request).await
    }

    /// One request, signed now. `path` is encoded already; `query` is sorted.
    pub(super) async fn ask(&self, method: &str, target: &str, ask: Ask<'_>) -> Got {
        self.ask_host(HOST, method, target, ask).await
    }

    pub(super) async fn ask_host(&self, host: &str, method: &str, target: &str, ask: Ask<'_>) -> Got {
        self.send(self.signed(host, method, target, &ask)).await
    }

    /// What a request says once it is signed now, and what signs the chunks of its body.
    pub(super) fn sign(&self, host: &str, method: &str, target: &str, ask: &Ask<'_>) -> (HeaderMap, Chain) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let said = |name: &str| ask.headers.iter().find(|(said, _)| *said == name).map(|(_, value)| *value);
        let hash = said("x-amz-content-sha256").map_or_else(|| sha256(ask.body), str::to_owned);
        let mut chain = Chain::now(&self.secret);
        let mut covered =
            BTreeMap::from([("host", host), ("x-amz-content-sha256", &hash), ("x-amz-date", &chain.now)]);
        covered.extend(ask.headers.iter().copied().filter(|(name, _)| name.starts_with("x-amz-")));
        let signed = covered.keys().copied().collect::<Vec<_>>().join(";");
        let lines: String = covered.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let canonical = format!("{method}\n{path}\n{query}\n{lines}\n{signed}\n{hash}");
        let text =
            format!("AWS4-HMAC-SHA256\n{}\n{}\n{}", chain.now, chain.scope, sha256(canonical.as_bytes()));
        let mut headers: Vec<(String, String)> =
            covered.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let signature = chain.sign(&text);
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders={signed}, Signature={signature}",
            self.id, chain.scope
        );
        headers.push(("authorization".into(), authorization));
        headers
            .extend(ask.headers.iter().chain(ask.unsigned).map(|(n, v)| ((*n).to_owned(), (*v).to_owned())));
        (said_in(headers), chain)
    }

    /// A path with its signature in the query, for an hour.
    pub(super) fn presigned(&self, method: &str, path: &str) -> String {
        let mut chain = Chain::now(&self.secret);
        let credential = format!("{}/{}", self.id, chain.scope).replace('/', "%2F");
        let query = format!(
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={credential}&X-Amz-Date={}&X-Amz-Expires=3600\
             &X-Amz-SignedHeaders=host",
            chain.now
        );
        let canonical = format!("{method}\n{path}\n{query}\nhost:{HOST}\n\nhost\nUNSIGNED-PAYLOAD");
        let text =
            format!("AWS4-HMAC-SHA256\n{}\n{}\n{}", chain.now, chain.scope, sha256(canonical.as_bytes()));
        format!("{path}?{query}&X-Amz-Signature={}", chain.sign(&text))
    }

    /// The fields of a form that may put what this policy allows until the end of 2099, with `conditions` as JSON.
    pub(super) fn form_fields(&self, conditions: &str) -> Vec<(&'static str, String)> {
        let mut chain = Chain::now(&self.secret);
        let credential = format!("{}/{}", self.id, chain.scope);
        let policy = format!(
            r#"{{"expiration": "2099-12-31T00:00:00.000Z", "conditions": [{conditions}, {{"x-amz-credential": "{credential}"}},
            {{"x-amz-algorithm": "AWS4-HMAC-SHA256"}}, {{"x-amz-date": "{}"}}]}}"#,
            chain.now
        );
        let policy = STANDARD.encode(policy);
        vec![
            ("x-amz-credential", credential),
            ("x-amz-algorithm", "AWS4-HMAC-SHA256".into()),
            ("x-amz-date", chain.now.clone()),
            ("x-amz-signature", chain.sign(&policy)),
            ("policy", policy),
        ]
    }

    pub(super) fn signed(&self, host: &str, method: &str, target: &str, ask: &Ask<'_>) -> Request<Body> {
        let request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).unwrap())
            .uri(target)
            .header("content-length", ask.body.len());
        let mut request = request.body(Body::from(ask.body.to_vec())).unwrap();
        request.headers_mut().extend(self.sign(host, method, target, ask).0);
        request
    }

    /// What it is used at.
    pub(super) fn router(&self) -> Router {
        self.router.clone()
    }

    /// The code of a refusal; `None` where it was done.
    pub(super) async fn refusal(&self, method: &str, target: &str, ask: Ask<'_>) -> Option<String> {
        self.ask(method, target, ask).await.code()
    }

    /// A request that is ready.
    pub(super) async fn send(&self, request: Request<Body>) -> Got {
        read(self.router.clone().oneshot(request).await.unwrap()).await
    }

    /// A request without a signature.
    pub(super) async fn unsigned(&self, method: &str, target: &str) -> Got {
        self.stranger(method, target, Ask::default()).await
    }

    /// The same with more to say, from [`STRANGER`].
    pub(super) async fn stranger(&self, method: &str, target: &str, ask: Ask<'_>) -> Got {
        let mut request = Request::builder().method(method).uri(target).header("host", HOST);
        for (name, value) in ask.headers {
            request = request.header(*name, *value);
        }
        let mut request = request
            .header("content-length", ask.body.len())
            .extension(Address(STRANGER.into()))
            .body(Body::from(ask.body.to_vec()))
            .unwrap();
        if ask.body.is_empty() {
            request.headers_mut().remove("content-length");
        }
        self.send(request).await
    }

    /// The same with headers, to a name.
    pub(super) async fn plain(
        &self,
        host: &str,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Got {
        let request = Request::builder().method(method).uri(target).header("host", host);
        let with =
            |request: http::request::Builder, (name, value): &(&str, &str)| request.header(*name, *value);
        let request = headers.iter().fold(request, with).body(Body::empty()).unwrap();
        self.send(request).await
    }
}

/// What signs the texts of one request: each is signed together with the signature before.
pub(super) struct Chain {
    key: Vec<u8>,
    now: String,
    scope: String,
    last: String,
}

impl Chain {
    fn now(secret: &str) -> Self {
        let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let mut key = format!("AWS4{secret}").into_bytes();
        for part in [&now[..8], "us-east-1", "s3", "aws4_request"] {
            key = mac(&key, part.as_bytes());
        }
        Self { key, scope: format!("{}/us-east-1/s3/aws4_request", &now[..8]), now, last: String::new() }
    }

    fn sign(&mut self, text: &str) -> String {
        self.last = hex::encode(mac(&self.key, text.as_bytes()));
        self.last.clone()
    }

    /// The next chunk's signature.
    pub(super) fn chunk(&mut self, data: &[u8]) -> String {
        let text = format!(
            "AWS4-HMAC-SHA256-PAYLOAD\n{}\n{}\n{}\n{}\n{}",
            self.now,
            self.scope,
            self.last,
            sha256(b""),
            sha256(data)
        );
        self.sign(&text)
    }

    /// That of what follows the last one: a line `name:value` and a line break for each.
    pub(super) fn trailer(&mut self, lines: &str) -> String {
        let hash = sha256(lines.as_bytes());
        let text = format!("AWS4-HMAC-SHA256-TRAILER\n{}\n{}\n{}\n{hash}", self.now, self.scope, self.last);
        self.sign(&text)
    }
}

fn said_in(headers: Vec<(String, String)>) -> HeaderMap {
    let mut all = HeaderMap::new();
    for (name, value) in headers {
        all.insert(HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap());
    }
    all
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes))
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
}
