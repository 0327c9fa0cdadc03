//! Requests of S3: put, get, list, delete. Signed by `rusty-s3`, sent by the client that the tree has. Nothing is followed to another
//! place, nothing is read without a bound, and no address, which holds a signature, gets into an error.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use datamesh_settings::{SettingsError, read_secret};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use ring::digest;
use rusty_s3::actions::{ListObjectsV2, S3Action};
use rusty_s3::{Bucket, Credentials};
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::outward::{Authorities, NoAuthorities, NoClient};

/// How long a connection may take to come.
const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// How long a request may take in all: a piece at 35 KiB/s.
const ANSWER_WAIT: Duration = Duration::from_secs(120);
/// How long a list may take, however many pages it has.
const LIST_WAIT: Duration = Duration::from_secs(600);
/// Times something is asked for before that fails, and the pause before the second; twice as long before each further one.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_secs(1);
/// Clocks may differ by some minutes, and it is asked for some minutes.
const SIGNED_FOR: Duration = Duration::from_secs(3600);
/// Bytes of an error's text and of a page of a list that are read at most.
const ERROR_BYTES_MAX: usize = 64 << 10;
const LIST_BYTES_MAX: usize = 8 << 20;
/// Objects of a list, bytes of each name, which is ours, and pages, which may be empty.
const OBJECTS_MAX: usize = 100_000;
const NAME_BYTES_MAX: usize = 512;
const PAGES_MAX: usize = 2000;
/// Objects of a page at most.
const PAGE_MAX: usize = 1000;
const CHECKSUM: &str = "x-amz-checksum-sha256";

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EndpointError {
    #[error("its key: {0}; the Secret needs the fields accessKeyId and secretAccessKey")]
    Key(#[from] SettingsError),
    #[error(transparent)]
    Authorities(#[from] NoAuthorities),
    #[error("the connection cannot be prepared: {0}")]
    Client(#[from] NoClient),
    #[error("its key's files were not read to their end")]
    Stopped,
    #[error("it cannot be reached, or does not prove who it is")]
    Unreachable,
    #[error("it takes too long")]
    Late,
    #[error("its answer is cut off")]
    Cut,
    #[error("its answer is longer than {0} bytes")]
    Long(usize),
    #[error("it redirects ({0}), which is not followed: give the endpoint and region that the bucket has")]
    Redirects(StatusCode),
    #[error("it answers {status}{}", .code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default())]
    Refused { status: StatusCode, code: Option<String> },
    #[error("it has no {0}")]
    Missing(String),
    #[error("its list of objects is none")]
    NoList,
    #[error("its list of objects has no end")]
    Endless,
    #[error("it took something else than was sent")]
    Checksum,
    #[error("it lists what was not asked for")]
    Other,
}

/// Files of the key.
#[derive(Clone, Debug)]
pub(super) struct Files {
    pub(super) access_key_id: PathBuf,
    pub(super) secret_access_key: PathBuf,
    pub(super) authorities: Option<PathBuf>,
}

impl EndpointError {
    /// Whether the same request may do in a moment.
    fn passes(&self) -> bool {
        use StatusCode as S;
        match self {
            Self::Unreachable | Self::Late | Self::Cut => true,
            Self::Refused { status, .. } => {
                status.is_server_error() || [S::TOO_MANY_REQUESTS, S::REQUEST_TIMEOUT].contains(status)
            }
            _ => false,
        }
    }
}

/// What a list tells of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) bytes: u64,
}

/// A bucket, and who may use it.
pub(crate) struct Endpoint {
    client: Client,
    bucket: Bucket,
    credentials: Credentials,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("bucket", &self.bucket.name()).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// Reads the key and the certificates, and reaches for nobody.
    pub(super) async fn open(bucket: Bucket, files: Files) -> Result<Self, EndpointError> {
        let reading = tokio::task::spawn_blocking(move || read(&files));
        let (credentials, authorities) = reading.await.map_err(|_| EndpointError::Stopped)??;
        let client = authorities
            .client(|client| client.http1_only().connect_timeout(CONNECT_WAIT).timeout(ANSWER_WAIT))?;
        Ok(Self { client, bucket, credentials })
    }

    /// Puts an object, in one request, which the other side holds against its checksum.
    pub(super) async fn put(&self, name: &str, body: Bytes) -> Result<(), EndpointError> {
        let checksum = STANDARD.encode(digest::digest(&digest::SHA256, &body));
        let mut action = self.bucket.put_object(Some(&self.credentials), name);
        action.headers_mut().insert(CHECKSUM, checksum.clone());
        let request = self.client.put(action.sign(SIGNED_FOR)).header(CHECKSUM, &checksum).body(body);
        let answer = self.send(request).await?;
        match answer.headers().get(CHECKSUM) {
            Some(told) if told.as_bytes() != checksum.as_bytes() => Err(EndpointError::Checksum),
            _ => Ok(()),
        }
    }

    /// An object of so many bytes at most.
    pub(super) async fn get(&self, name: &str, bytes_max: usize) -> Result<Bytes, EndpointError> {
        let action = self.bucket.get_object(Some(&self.credentials), name);
        let answer =
            self.send(self.client.get(action.sign(SIGNED_FOR))).await.map_err(|error| match error {
                EndpointError::Refused { status: StatusCode::NOT_FOUND, code }
                    if is_no_object(code.as_deref()) =>
                {
                    EndpointError::Missing(name.to_owned())
                }
                error => error,
            })?;
        body(answer, bytes_max).await
    }

    /// Deletes an object; one that is not there is deleted.
    pub(super) async fn delete(&self, name: &str) -> Result<(), EndpointError> {
        let action = self.bucket.delete_object(Some(&self.credentials), name);
        match self.send(self.client.delete(action.sign(SIGNED_FOR))).await {
            Err(EndpointError::Refused { status: StatusCode::NOT_FOUND, code })
                if is_no_object(code.as_deref()) =>
            {
                Ok(())
            }
            outcome => outcome.map(drop),
        }
    }

    /// All objects whose names begin so, page by page, in order.
    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<Listed>, EndpointError> {
        let mut all = Vec::new();
        let reading = self.pages(prefix, None, |page| {
            for object in page.contents {
                check_name(&object.key, prefix)?;
                all.push(Listed { name: object.key, bytes: object.size.unwrap_or(0) });
            }
            if all.len() > OBJECTS_MAX { Err(EndpointError::Endless) } else { Ok(()) }
        });
        timeout(LIST_WAIT, reading).await.map_err(|_| EndpointError::Late)??;
        all.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(all)
    }

    /// The folders right below one.
    pub(super) async fn folders(&self, prefix: &str) -> Result<Vec<String>, EndpointError> {
        let mut all = Vec::new();
        let reading = self.pages(prefix, Some("/"), |page| {
            for folder in page.common_prefixes {
                check_name(&folder.prefix, prefix)?;
                all.push(folder.prefix);
            }
            if all.len() > OBJECTS_MAX { Err(EndpointError::Endless) } else { Ok(()) }
        });
        timeout(LIST_WAIT, reading).await.map_err(|_| EndpointError::Late)??;
        Ok(all)
    }

    async fn pages(
        &self,
        prefix: &str,
        delimiter: Option<&'static str>,
        mut take: impl FnMut(rusty_s3::actions::ListObjectsV2Response) -> Result<(), EndpointError>,
    ) -> Result<(), EndpointError> {
        let mut token: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let mut action = self.bucket.list_objects_v2(Some(&self.credentials));
            action.with_prefix(prefix);
            action.with_max_keys(PAGE_MAX);
            if let Some(delimiter) = delimiter {
                action.with_delimiter(delimiter);
            }
            if let Some(token) = token.take() {
                action.with_continuation_token(token);
            }
            let answer = self.send(self.client.get(action.sign(SIGNED_FOR))).await?;
            let text = body(answer, LIST_BYTES_MAX).await?;
            let text = std::str::from_utf8(&text).map_err(|_| EndpointError::NoList)?;
            let mut page = ListObjectsV2::parse_response(text).map_err(|_| EndpointError::NoList)?;
            token = page.next_continuation_token.take();
            take(page)?;
            if token.is_none() {
                return Ok(());
            }
        }
        Err(EndpointError::Endless)
    }

    /// The answer, if it is one of success. Asks more than once where that may help.
    async fn send(&self, request: RequestBuilder) -> Result<Response, EndpointError> {
        let mut pause = PAUSE;
        for _ in 1..TRIES {
            let Some(again) = request.try_clone() else { break };
            match self.send_once(again).await {
                Err(error) if error.passes() => {}
                outcome => return outcome,
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        self.send_once(request).await
    }

    async fn send_once(&self, request: RequestBuilder) -> Result<Response, EndpointError> {
        let answer = request.send().await.map_err(|error| of(error, EndpointError::Unreachable))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        if status.is_redirection() {
            return Err(EndpointError::Redirects(status));
        }
        let code = body(answer, ERROR_BYTES_MAX).await.ok().and_then(|text| code_in(&text));
        Err(EndpointError::Refused { status, code })
    }
}

/// What the other side says is held in memory, and never told on: only names as we make them are.
fn check_name(name: &str, prefix: &str) -> Result<(), EndpointError> {
    let is_asked_for = name.len() <= NAME_BYTES_MAX && name.starts_with(prefix);
    if is_asked_for { Ok(()) } else { Err(EndpointError::Other) }
}

fn of(error: reqwest::Error, otherwise: EndpointError) -> EndpointError {
    let is_late = error.is_timeout();
    tracing::debug!(error = ?error.without_url(), "a request for copies of backups fails");
    if is_late { EndpointError::Late } else { otherwise }
}

/// Whether a 404 is of the object: where the bucket is none, or something in between answers, nothing is known of it.
fn is_no_object(code: Option<&str>) -> bool {
    code == Some("NoSuchKey")
}

async fn body(mut answer: Response, bytes_max: usize) -> Result<Bytes, EndpointError> {
    let long = EndpointError::Long(bytes_max);
    let told = answer.content_length().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0);
    if told > bytes_max {
        return Err(long);
    }
    let mut all = BytesMut::with_capacity(told);
    while let Some(some) = answer.chunk().await.map_err(|error| of(error, EndpointError::Cut))? {
        if all.len() + some.len() > bytes_max {
            return Err(long);
        }
        all.extend_from_slice(&some);
    }
    Ok(all.freeze())
}

/// The code of an error of S3, as far as it is a word.
fn code_in(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?;
    let (_, rest) = text.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    let is_word = code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_word.then(|| code.to_owned())
}

fn read(files: &Files) -> Result<(Credentials, Authorities), EndpointError> {
    let id = read_secret(&files.access_key_id)?;
    let secret = Zeroizing::new(read_secret(&files.secret_access_key)?);
    let authorities = Authorities::of(files.authorities.as_deref())?;
    Ok((Credentials::new(id, secret.as_str()), authorities))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_an_error_is_a_word_or_none() {
        let code = |text: &str| code_in(text.as_bytes());
        assert_eq!(code("<Error><Code>NoSuchBucket</Code></Error>"), Some("NoSuchBucket".into()));
        for text in ["", "<Code>", "<Code>a b</Code>", &format!("<Code>{}</Code>", "a".repeat(65))] {
            assert_eq!(code(text), None, "{text}");
        }
        assert!(
            !is_no_object(None) && is_no_object(Some("NoSuchKey")) && !is_no_object(Some("NoSuchBucket"))
        );
        assert!(check_name("of/a", "of/").is_ok() && check_name("a", "of/").is_err());
        assert!(check_name(&format!("of/{}", "a".repeat(600)), "of/").is_err());
    }
}
