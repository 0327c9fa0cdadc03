//! Objects of a bucket: stored, fetched, listed, deleted.

use std::sync::atomic::{AtomicBool, Ordering};

use datamesh_shard::BucketName;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{HeaderMap, IF_MATCH, IF_NONE_MATCH, RANGE};
use reqwest::{Method, RequestBuilder, Response, StatusCode};

use super::answers::Shreddings;
use super::{
    Client, Erasure, LIST_LIMIT, Listing, ObjectInfo, QUERY, Shredding, Stored, Upload, Which, accepted,
    header, json,
};
use crate::failure::Failure;

/// Characters of a key that stay as they are in a path; `/` separates the parts people see.
const KEY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

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

impl Client {
    /// # Errors
    /// When no request can name this key.
    pub(crate) fn can_name(&self, key: &str) -> Result<(), Failure> {
        file_path(&self.bucket, key).map(drop)
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

async fn stored(response: Response) -> Result<Stored, Failure> {
    let durability = durability(&response);
    Ok(Stored { info: json(response).await?, durability })
}

fn durability(response: &Response) -> String {
    header(response.headers(), "datamesh-durability").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use reqwest::Url;

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
