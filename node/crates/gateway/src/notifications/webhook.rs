//! How targets are told: one POST each time, which any answer of success ends. Nothing is followed, and no answer is read.

use std::path::PathBuf;
use std::time::Duration;

use datamesh_settings::{SettingsError, read_secret};
use http::header;
use reqwest::{Client, StatusCode, Url};
use ring::hmac;
use zeroize::Zeroizing;

use crate::outward::{Authorities, NoClient};

/// How long a connection may take to come.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// How long a target may take in all.
const ANSWER_WAIT: Duration = Duration::from_secs(20);
/// A time, and what proves that who sends knew the secret then.
const SIGNATURE: &str = "datamesh-signature";

/// Why a message did not arrive. The address is not told: it may be known to its operator alone.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Untold {
    /// The secret's file.
    #[error(transparent)]
    Secret(#[from] SettingsError),
    /// Nobody is there, or does not prove who it is.
    #[error("it cannot be reached")]
    Unreachable,
    /// It does not answer.
    #[error("it takes too long")]
    Late,
    /// It answers something else than success.
    #[error("it answers {0}")]
    Refused(StatusCode),
}

impl Untold {
    /// Whether it may be what is sent that is not taken, and not who sends, the address or the moment.
    pub(crate) fn blames_the_message(&self) -> bool {
        use StatusCode as S;
        let of_others =
            [S::UNAUTHORIZED, S::FORBIDDEN, S::NOT_FOUND, S::REQUEST_TIMEOUT, S::TOO_MANY_REQUESTS];
        matches!(self, Self::Refused(status) if status.is_client_error() && !of_others.contains(status))
    }
}

/// A web address that takes messages.
pub(crate) struct Webhook {
    client: Client,
    url: Url,
    secret_file: Option<PathBuf>,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Addresses of webhooks are often secrets.
        f.write_str("Webhook")
    }
}

impl Webhook {
    pub(crate) fn new(
        url: Url,
        secret_file: Option<PathBuf>,
        authorities: Authorities,
    ) -> Result<Self, NoClient> {
        let client =
            authorities.client(|client| client.connect_timeout(CONNECT_WAIT).timeout(ANSWER_WAIT))?;
        Ok(Self { client, url, secret_file })
    }

    /// Sends a message. The secret is read anew, so that it may change.
    pub(crate) async fn tell(&self, body: Vec<u8>, now_unix_ms: u64) -> Result<(), Untold> {
        let mut request = self.client.post(self.url.clone()).header(header::CONTENT_TYPE, "application/json");
        if let Some(file) = self.secret_file.clone() {
            let secret = tokio::task::spawn_blocking(move || read_secret(&file).map(Zeroizing::new)).await;
            let secret = secret.map_err(|_| Untold::Unreachable)??;
            request = request.header(SIGNATURE, signature(secret.as_bytes(), now_unix_ms / 1000, &body));
        }
        let answer = request
            .body(body)
            .send()
            .await
            .map_err(|error| if error.is_timeout() { Untold::Late } else { Untold::Unreachable })?;
        if answer.status().is_success() { Ok(()) } else { Err(Untold::Refused(answer.status())) }
    }
}

/// The time is signed too, so that nobody sends an old message again much later.
fn signature(secret: &[u8], at_unix_s: u64, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret));
    context.update(format!("{at_unix_s}.").as_bytes());
    context.update(body);
    format!("t={at_unix_s},v1={}", hex::encode(context.sign()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_covers_time_and_body() {
        // As `printf '1790000000.{}' | openssl dgst -sha256 -hmac key` has it.
        let known = "t=1790000000,v1=099d33989336226b12c85da813adf6100e1bbab1e91bede9a41ddeb7882d66b8";
        assert_eq!(signature(b"key", 1_790_000_000, b"{}"), known);
        for other in [
            signature(b"kez", 1_790_000_000, b"{}"),
            signature(b"key", 1_790_000_001, b"{}"),
            signature(b"key", 1_790_000_000, b"[]"),
        ] {
            assert_ne!(other, known);
        }
    }
}
