//! A client that signs as version 4 wants it, small enough to be read: an oracle beside the real ones.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use axum::Router;
use axum::body::Body;
use datamesh_catalog::Permission;
use datamesh_shard::BucketName;
use http::{HeaderName, HeaderValue, Method, Request};
use ring::{digest, hmac};
use tower::ServiceExt as _;

use crate::access_keys::{MadeKey, NewKey};
use crate::auth::Address;
use crate::s3;
use crate::tests::house::{Got, House, read};

const HOST: &str = "gateway.test";
/// Where unsigned requests come from.
pub(super) const STRANGER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);

/// A key pair and the port it is used at.
pub(super) struct Client {
    router: Router,
    pub(super) id: String,
    secret: String,
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
        let buckets = buckets.iter().map(|name| BucketName::new(name).unwrap()).collect();
        let new = NewKey { name: "test".into(), owner: "admin".into(), permission, buckets };
        Self::with(house, house.core.app.keys.create(new).await.unwrap())
    }

    /// With this key.
    pub(super) fn with(house: &House, made: MadeKey) -> Self {
        let router = s3::router(house.core.app.clone(), Some("buckets.test".into()));
        Self { router, id: made.key.id.to_string(), secret: made.secret.to_string() }
    }

    /// The same key with another secret.
    pub(super) fn with_secret(&self, secret: &str) -> Self {
        Self { router: self.router.clone(), id: self.id.clone(), secret: secret.to_owned() }
    }

    /// One request, signed now, from [`STRANGER`].
    pub(super) async fn signed_from_there(&self, method: &str, target: &str) -> Got {
        let mut request = self.signed(HOST, method, target, &Ask::default());
        request.extensions_mut().insert(Address(STRANGER.into()));
        read(self.router.clone().oneshot(request).await.unwrap()).await
    }

    /// One request, signed now. `path` is encoded already; `query` is sorted.
    pub(super) async fn ask(&self, method: &str, target: &str, ask: Ask<'_>) -> Got {
        self.ask_host(HOST, method, target, ask).await
    }

    pub(super) async fn ask_host(&self, host: &str, method: &str, target: &str, ask: Ask<'_>) -> Got {
        let request = self.signed(host, method, target, &ask);
        read(self.router.clone().oneshot(request).await.unwrap()).await
    }

    fn signed(&self, host: &str, method: &str, target: &str, ask: &Ask<'_>) -> Request<Body> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let hash = hex::encode(digest::digest(&digest::SHA256, ask.body));
        let said = |name: &str| ask.headers.iter().find(|(said, _)| *said == name).map(|(_, value)| *value);
        let hash = said("x-amz-content-sha256").unwrap_or(&hash).to_owned();
        let mut covered =
            BTreeMap::from([("host", host), ("x-amz-content-sha256", &hash), ("x-amz-date", &now)]);
        covered.extend(ask.headers.iter().copied().filter(|(name, _)| name.starts_with("x-amz-")));
        let signed = covered.keys().copied().collect::<Vec<_>>().join(";");
        let lines: String = covered.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let canonical = format!("{method}\n{path}\n{query}\n{lines}\n{signed}\n{hash}");
        let scope = format!("{}/us-east-1/s3/aws4_request", &now[..8]);
        let canonical = hex::encode(digest::digest(&digest::SHA256, canonical.as_bytes()));
        let text = format!("AWS4-HMAC-SHA256\n{now}\n{scope}\n{canonical}");
        let mut key = format!("AWS4{}", self.secret).into_bytes();
        for part in [&now[..8], "us-east-1", "s3", "aws4_request"] {
            key = mac(&key, part.as_bytes());
        }
        let signature = hex::encode(mac(&key, text.as_bytes()));
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={signed}, Signature={signature}",
            self.id
        );
        let mut request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).unwrap())
            .uri(target)
            .header("host", host)
            .header("x-amz-content-sha256", &hash)
            .header("x-amz-date", &now)
            .header("authorization", authorization)
            .header("content-length", ask.body.len())
            .body(Body::from(ask.body.to_vec()))
            .unwrap();
        for (name, value) in ask.headers.iter().chain(ask.unsigned) {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            request.headers_mut().insert(name, HeaderValue::from_str(value).unwrap());
        }
        request
    }

    /// The code of a refusal; `None` where it was done.
    pub(super) async fn refusal(&self, method: &str, target: &str, ask: Ask<'_>) -> Option<String> {
        let got = self.ask(method, target, ask).await;
        if got.status.is_success() {
            return None;
        }
        let text = String::from_utf8_lossy(&got.body).into_owned();
        let code = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
        Some(code.unwrap_or_else(|| panic!("{}: {text}", got.status)).0.to_owned())
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
        read(self.router.clone().oneshot(request).await.unwrap()).await
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
        read(self.router.clone().oneshot(request).await.unwrap()).await
    }
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
}
