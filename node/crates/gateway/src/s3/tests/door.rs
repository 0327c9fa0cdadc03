//! The S3 port behind its real listener: TLS over sockets of this machine.

use std::sync::Arc;

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::signer::Client;
use crate::https::{Certificates, Connections, Https};
use crate::tests::https::{client, write_certificate};

/// A listener, until it is dropped, and whoever comes to it.
pub(super) struct Door {
    pub(super) host: String,
    pub(super) http: reqwest::Client,
    stop: CancellationToken,
    _serving: AbortOnDropHandle<()>,
    _certificate: TempDir,
}

impl Door {
    pub(super) async fn open(to: &Client, http2: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (files, root) = write_certificate(dir.path());
        let certificates = Arc::new(Certificates::open(&files).unwrap());
        let https = Https::bind("127.0.0.1:0".parse().unwrap(), certificates, Connections::within(None))
            .await
            .unwrap();
        let host = format!("localhost:{}", https.local_addr().port());
        let stop = CancellationToken::new();
        let serving = crate::owned::spawn(https.run(to.router(), stop.clone()));
        Self { host, http: client(&root, http2), stop, _serving: serving, _certificate: dir }
    }

    /// Sends a body with what was signed of it; the status, and the code of a refusal.
    pub(super) async fn put(&self, target: &str, headers: http::HeaderMap, body: Vec<u8>) -> (u16, String) {
        let request = self.http.put(format!("https://{}{target}", self.host)).headers(headers).body(body);
        let answer = request.send().await.unwrap();
        let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
        let code = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
        (status, code.map_or_else(String::new, |(code, _)| code.to_owned()))
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
