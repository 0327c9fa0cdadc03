//! Requests of S3, signed as version 4 wants it, their payload too: what a client does that trusts nobody on the way.

use std::collections::BTreeSet;

use bytes::Bytes;
use ring::{digest, hmac};

/// The region that clients sign for in the absence of a reason for another one.
const REGION: &str = "us-east-1";
const SIGNED_HEADERS: &str = "host;x-amz-content-sha256;x-amz-date";

/// A key pair, and where it is used.
#[derive(Clone)]
pub struct Signer {
    host: String,
    id: String,
    secret: String,
}

impl Signer {
    /// For requests to `host` (`name:port`), with the key pair `id` and `secret`.
    #[must_use]
    pub fn new(host: String, id: String, secret: String) -> Self {
        Self { host, id, secret }
    }

    /// A request. `path` needs no encoding, `query` is encoded and in order.
    pub fn request(
        &self,
        http: &reqwest::Client,
        method: reqwest::Method,
        (path, query): (&str, &str),
        body: Bytes,
    ) -> reqwest::RequestBuilder {
        let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let payload = sha256(&body);
        let canonical = format!(
            "{method}\n{path}\n{query}\nhost:{}\nx-amz-content-sha256:{payload}\nx-amz-date:{now}\n\n{SIGNED_HEADERS}\n{payload}",
            self.host
        );
        let authorization = self.authorization(&now, &canonical);
        http.request(method, format!("https://{}{path}?{query}", self.host))
            .header("x-amz-content-sha256", payload)
            .header("x-amz-date", now)
            .header("authorization", authorization)
            .body(body)
    }

    fn authorization(&self, now: &str, canonical: &str) -> String {
        let day = now.get(..8).unwrap_or_default();
        let scope = format!("{day}/{REGION}/s3/aws4_request");
        let text = format!("AWS4-HMAC-SHA256\n{now}\n{scope}\n{}", sha256(canonical.as_bytes()));
        let key = [day, REGION, "s3", "aws4_request"]
            .iter()
            .fold(format!("AWS4{}", self.secret).into_bytes(), |key, part| mac(&key, part.as_bytes()));
        let signature = hex::encode(mac(&key, text.as_bytes()));
        format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={SIGNED_HEADERS}, Signature={signature}",
            self.id
        )
    }
}

/// The keys of an answer to ListObjectsV2, none of which needs escaping.
#[must_use]
pub fn listed_keys(answer: &str) -> BTreeSet<String> {
    let keys = answer.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next());
    keys.map(str::to_owned).collect()
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes))
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
}
