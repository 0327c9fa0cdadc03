//! A bucket of S3 by HTTP that keeps what is put in memory, and fails as it is told to. It proves no signature: real servers do that in
//! tests of processes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use datamesh_settings::BackupCopies;
use http::{Method, StatusCode, Uri};
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use crate::owned;

/// Objects of a page of a list: few, so that each list has several.
const PAGE: usize = 2;

/// How it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Not at all.
    None,
    /// To everything.
    Refuses,
    /// To what is put.
    Full,
    /// To everything: elsewhere.
    Redirects,
    /// It says that it keeps pieces, and does not.
    Loses,
    /// What is put after so many objects is not answered, unless it is let on.
    HangsAfter(usize),
    /// Nor is who reads pieces after so many.
    HangsReading(usize),
    /// So many requests are answered that it is busy.
    Busy(usize),
    /// It lists what is elsewhere.
    ListsOthers,
    /// Its lists have no end.
    ListsForEver,
    /// So many answers of objects end in the middle.
    Cuts(usize),
}

struct Inner {
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
    /// How often each was put.
    puts: Mutex<BTreeMap<String, usize>>,
    fault: Mutex<Fault>,
    /// How often pieces were read.
    reads: AtomicUsize,
    hung: Notify,
    lets_on: Notify,
}

impl Inner {
    async fn hang(&self) {
        let let_on = self.lets_on.notified();
        self.hung.notify_one();
        let_on.await;
    }

    /// Whether this one is not answered.
    fn counts_read(&self) -> bool {
        self.reads.fetch_add(1, Ordering::SeqCst);
        match &mut *self.fault.lock() {
            Fault::HangsReading(0) => true,
            Fault::HangsReading(left) => {
                *left -= 1;
                false
            }
            _ => false,
        }
    }
}

/// The bucket, for as long as this lives.
pub(crate) struct Bucket {
    inner: Arc<Inner>,
    address: SocketAddr,
    /// Holds the files of the key.
    dir: TempDir,
    _serving: AbortOnDropHandle<()>,
}

impl Bucket {
    pub(crate) async fn start() -> Self {
        let inner = Inner {
            objects: Mutex::default(),
            puts: Mutex::default(),
            fault: Mutex::new(Fault::None),
            reads: AtomicUsize::new(0),
            hung: Notify::new(),
            lets_on: Notify::new(),
        };
        let inner = Arc::new(inner);
        let router = Router::new().fallback(answer).with_state(Arc::clone(&inner));
        let router = router.layer(axum::extract::DefaultBodyLimit::disable());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let _serving = owned::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("id"), "AKIDEXAMPLE").unwrap();
        std::fs::write(dir.path().join("key"), "hunter2").unwrap();
        Self { inner, address, dir, _serving }
    }

    /// Where copies go to it.
    pub(crate) fn settings(&self) -> BackupCopies {
        BackupCopies {
            endpoint: format!("http://{}", self.address),
            region: "us-east-1".into(),
            bucket: "copies".into(),
            prefix: "of/here".into(),
            path_style: true,
            access_key_id_file: self.dir.path().join("id"),
            secret_access_key_file: self.dir.path().join("key"),
            ca_file: None,
            keep_seconds: 24 * 3600,
        }
    }

    pub(crate) fn fails(&self, fault: Fault) {
        *self.inner.fault.lock() = fault;
    }

    /// Waits until something is never answered.
    pub(crate) async fn hung(&self) {
        self.inner.hung.notified().await;
    }

    /// Has what is not answered go on.
    pub(crate) fn let_on(&self) {
        self.inner.lets_on.notify_waiters();
    }

    /// How often pieces were asked for by now.
    pub(crate) fn reads(&self) -> usize {
        self.inner.reads.load(Ordering::SeqCst)
    }

    /// Names that have this in them, in order.
    pub(crate) fn names(&self, part: &str) -> Vec<String> {
        self.inner.objects.lock().keys().filter(|name| name.contains(part)).cloned().collect()
    }

    /// How often an object was put.
    pub(crate) fn puts(&self, name: &str) -> usize {
        self.inner.puts.lock().get(name).copied().unwrap_or(0)
    }

    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<String, Vec<u8>>) -> T) -> T {
        change(&mut self.inner.objects.lock())
    }
}

async fn answer(
    State(inner): State<Arc<Inner>>,
    Query(query): Query<BTreeMap<String, String>>,
    (method, uri): (Method, Uri),
    body: Bytes,
) -> Response {
    let Some(path) = uri.path().strip_prefix("/copies") else {
        return refusal(StatusCode::NOT_FOUND, "NoSuchBucket");
    };
    if !query.contains_key("X-Amz-Signature") {
        return refusal(StatusCode::FORBIDDEN, "AccessDenied");
    }
    let (fault, name) = (*inner.fault.lock(), path.trim_start_matches('/').to_owned());
    if let Fault::Busy(left @ 1..) = fault {
        *inner.fault.lock() = Fault::Busy(left - 1);
        return refusal(StatusCode::SERVICE_UNAVAILABLE, "SlowDown");
    }
    match fault {
        Fault::ListsOthers if method == Method::GET && name.is_empty() => {
            let elsewhere = BTreeMap::from([("elsewhere".to_owned(), vec![0])]);
            return list(&elsewhere, &BTreeMap::new());
        }
        // The same page, over and over.
        Fault::ListsForEver if method == Method::GET && name.is_empty() => {
            return list(&inner.objects.lock(), &BTreeMap::new());
        }
        Fault::Refuses => return refusal(StatusCode::FORBIDDEN, "AccessDenied"),
        Fault::Redirects => {
            return (StatusCode::TEMPORARY_REDIRECT, [("location", "http://127.0.0.1:1/")]).into_response();
        }
        Fault::Full if method == Method::PUT => return refusal(StatusCode::FORBIDDEN, "QuotaExceeded"),
        Fault::HangsAfter(most) if method == Method::PUT && inner.objects.lock().len() >= most => {
            inner.hang().await;
        }
        _ => {}
    }
    match method {
        Method::PUT => {
            *inner.puts.lock().entry(name.clone()).or_default() += 1;
            if fault != Fault::Loses || !name.contains("/pieces/") {
                inner.objects.lock().insert(name, body.to_vec());
            }
            StatusCode::OK.into_response()
        }
        Method::GET if name.is_empty() => list(&inner.objects.lock(), &query),
        Method::GET => {
            if name.contains("/pieces/") && inner.counts_read() {
                inner.hang().await;
            }
            object(&inner, &name)
        }
        Method::DELETE => {
            inner.objects.lock().remove(&name);
            StatusCode::NO_CONTENT.into_response()
        }
        _ => refusal(StatusCode::NOT_IMPLEMENTED, "NotImplemented"),
    }
}

fn object(inner: &Inner, name: &str) -> Response {
    let Some(object) = inner.objects.lock().get(name).cloned() else {
        return refusal(StatusCode::NOT_FOUND, "NoSuchKey");
    };
    let mut fault = inner.fault.lock();
    if let Fault::Cuts(left @ 1..) = *fault {
        *fault = Fault::Cuts(left - 1);
        let half = Bytes::copy_from_slice(&object[..object.len() / 2]);
        let pieces = [Ok(half), Err(std::io::Error::other("cut"))];
        return Body::from_stream(futures::stream::iter(pieces)).into_response();
    }
    object.into_response()
}

fn refusal(status: StatusCode, code: &str) -> Response {
    (status, format!("<Error><Code>{code}</Code><Message>no</Message></Error>")).into_response()
}

/// Objects, or the folders right below the prefix, from the token on.
fn list(objects: &BTreeMap<String, Vec<u8>>, query: &BTreeMap<String, String>) -> Response {
    let prefix = query.get("prefix").cloned().unwrap_or_default();
    let below = objects.iter().filter(|(name, _)| name.starts_with(&prefix));
    let mut entries: BTreeMap<String, String> = BTreeMap::new();
    for (name, object) in below {
        let folder = query.get("delimiter").and_then(|_| Some(name[prefix.len()..].split_once('/')?.0));
        let (key, entry) = match folder {
            Some(folder) => {
                let folder = format!("{prefix}{folder}/");
                (folder.clone(), format!("<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>"))
            }
            None => {
                let size = object.len();
                let entry = format!(
                    "<Contents><Key>{name}</Key><LastModified>2026-11-30T00:00:00.000Z</LastModified><ETag>\"x\"</ETag>\
                     <Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
                );
                (name.clone(), entry)
            }
        };
        entries.insert(key, entry);
    }
    let from = query.get("continuation-token").cloned().unwrap_or_default();
    let mut after = entries.range((std::ops::Bound::Excluded(from), std::ops::Bound::Unbounded));
    let page: Vec<_> = after.by_ref().take(PAGE).collect();
    let token = match (after.next(), page.last()) {
        (Some(_), Some((last, _))) => {
            format!("<IsTruncated>true</IsTruncated><NextContinuationToken>{last}</NextContinuationToken>")
        }
        _ => "<IsTruncated>false</IsTruncated>".to_owned(),
    };
    let page: String = page.into_iter().map(|(_, entry)| entry.as_str()).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
         <Name>copies</Name><Prefix>{prefix}</Prefix><KeyCount>1</KeyCount><MaxKeys>1000</MaxKeys>{token}{page}</ListBucketResult>"
    )
    .into_response()
}
