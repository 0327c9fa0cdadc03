//! Requests that make something are sent again while they fail in passing. Each thing has a key of its own, by which the gateway makes
//! it once and answers the same again. (A gateway before that ignores the key: an answer that is lost there may leave a second one.)

use reqwest::RequestBuilder;
use serde::de::DeserializeOwned;

use super::{Client, accepted, json};
use crate::failure::Failure;

/// The header.
const KEY: &str = "Idempotency-Key";

impl Client {
    /// Has something made, and reads what is told of it.
    pub(super) async fn makes<T: DeserializeOwned>(
        &self,
        request: impl Fn() -> Result<RequestBuilder, Failure>,
    ) -> Result<T, Failure> {
        let key = fresh_key()?;
        let attempt = || async { json(accepted(request()?.header(KEY, &key).send().await?).await?).await };
        self.patience.retried(attempt).await
    }
}

/// 128 random bits: nobody guesses it, and nobody else has it.
fn fresh_key() -> Result<String, Failure> {
    let mut key = [0; 16];
    getrandom::fill(&mut key).map_err(std::io::Error::other)?;
    Ok(format!("\"{:032x}\"", u128::from_be_bytes(key)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::config::Config;
    use crate::retry::Patience;

    /// Reads a request, and gives the key it has.
    async fn read(stream: &mut TcpStream) -> String {
        let mut text = Vec::new();
        while !text.ends_with(b"{}") {
            assert!(stream.read_buf(&mut text).await.unwrap() > 0, "a request with a body of {{}}");
        }
        let text = String::from_utf8(text).unwrap().to_ascii_lowercase();
        let line = text.lines().find(|line| line.starts_with("idempotency-key: ")).unwrap();
        line.trim_start_matches("idempotency-key: ").to_owned()
    }

    async fn answer(stream: &mut TcpStream, status: &str, body: &str) {
        let bytes = body.len();
        let text = format!("HTTP/1.1 {status}\r\ncontent-length: {bytes}\r\nconnection: close\r\n\r\n{body}");
        stream.write_all(text.as_bytes()).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_made_is_asked_again_with_its_key_and_something_else_with_another() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = Config::of(format!("http://{}", listener.local_addr().unwrap()));
        let client = Client::new(config, "default", Patience(Duration::from_secs(30))).unwrap();
        let post = || Ok(client.http.post(&client.base).body("{}"));
        let under_way =
            r#"{"type":"https://datamesh.io/problems/request-under-way","title":"x","detail":"x"}"#;
        let serve = async {
            let mut keys = Vec::new();
            for (status, body) in
                [("", ""), ("409 Conflict", under_way), ("201 Created", "7"), ("201 Created", "8")]
            {
                let (mut stream, _) = listener.accept().await.unwrap();
                keys.push(read(&mut stream).await);
                if !status.is_empty() {
                    answer(&mut stream, status, body).await;
                }
            }
            keys
        };
        let ask =
            async { (client.makes::<u8>(post).await.unwrap(), client.makes::<u8>(post).await.unwrap()) };
        let (keys, answers) = tokio::join!(serve, ask);
        assert_eq!(answers, (7, 8));
        assert!(keys[0] == keys[1] && keys[1] == keys[2] && keys[2] != keys[3], "{keys:?}");
        assert_eq!(keys[0].len(), 34);
    }
}
