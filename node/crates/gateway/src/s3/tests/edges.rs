//! Requests that were right, changed by a byte, a word, a line or a header: whatever reads signatures, chunks, forms and documents answers
//! within time, without a failure of its own, and does nothing that was not signed.

use std::time::Duration;

use axum::body::Body;
use datamesh_catalog::Permission;
use http::{HeaderName, HeaderValue, Request, StatusCode};
use proptest::prelude::{Strategy, any};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use tokio::sync::Mutex;

use super::chunks::{Chunked, SIGNED_TRAILER, UNSIGNED_TRAILER, crc32c};
use super::signer::{Ask, Client, HOST};
use crate::tests::house::{House, seed};

mod changes;

use changes::{Change, change};

/// Requests of one run, unless `CASES` says another number.
const CASES: u32 = 1500;
/// Generous: a loaded machine must not fail a test.
const DEADLINE: Duration = Duration::from_secs(60);
const TEXT: &[u8] = b"the bytes that were signed, which are a few more than one chunk of them has";
const SHOWN: &[u8] = b"what may be read";
const HIDDEN: &[u8] = b"what may not be read";

/// A request as it travels.
#[derive(Clone, Debug)]
struct Shot {
    method: &'static str,
    target: Vec<u8>,
    headers: Vec<(HeaderName, Vec<u8>)>,
    body: Vec<u8>,
}

/// What a request is, and so what it may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A put whose signature stands in a header, of the body's hash too.
    Put,
    SignedChunks,
    UnsignedChunks,
    /// By a URL, which does not sign the body.
    PutByUrl,
    GetByUrl,
    /// By a form, which may put anything below `in/`.
    Form,
    /// An upload that becomes an object; its document is not signed.
    Complete,
}

const KINDS: [Kind; 7] = [
    Kind::Put,
    Kind::SignedChunks,
    Kind::UnsignedChunks,
    Kind::PutByUrl,
    Kind::GetByUrl,
    Kind::Form,
    Kind::Complete,
];

/// A gateway with an empty bucket `edges`, and an upload of it whose part 1 is [`TEXT`]: its id, and the part's tag.
struct World {
    _house: House,
    client: Client,
    upload: Mutex<(String, String)>,
}

impl World {
    async fn new() -> Self {
        let house = House::new(6).await;
        let client = Client::new(&house, Permission::Admin, &[]).await;
        for bucket in ["/edges", "/shown"] {
            assert_eq!(client.refusal("PUT", bucket, Ask::default()).await, None);
        }
        for (target, body) in [("/shown/x", SHOWN), ("/shown/y", HIDDEN)] {
            assert_eq!(client.refusal("PUT", target, Ask { body, ..Ask::default() }).await, None);
        }
        let upload = Mutex::new(begun(&client).await);
        Self { _house: house, client, upload }
    }

    /// A right request, and what proves it: texts that must be in it, in this order, for it to be done.
    async fn right(&self, kind: Kind) -> (Shot, Vec<String>) {
        let shot = |method, target: &str, headers: http::HeaderMap, body: &[u8]| Shot {
            method,
            target: target.into(),
            headers: headers.iter().map(|(name, value)| (name.clone(), value.as_bytes().to_vec())).collect(),
            body: body.to_vec(),
        };
        let plain = |kind: &str| -> http::HeaderMap {
            let headers = [("host", HOST), ("content-type", kind)];
            headers.into_iter().map(|(n, v)| (n.parse::<HeaderName>().unwrap(), v.parse().unwrap())).collect()
        };
        let shot = match kind {
            Kind::Put => {
                let ask = Ask { headers: &[("x-amz-meta-colour", "blue")], body: TEXT, ..Ask::default() };
                shot("PUT", "/edges/x", self.client.sign(HOST, "PUT", "/edges/x", &ask).0, TEXT)
            }
            Kind::SignedChunks | Kind::UnsignedChunks => {
                let mode = if kind == Kind::SignedChunks { SIGNED_TRAILER } else { UNSIGNED_TRAILER };
                let sum = crc32c(TEXT);
                let chunked = Chunked::new(mode, TEXT, 32, Some(("x-amz-checksum-crc32c", &sum)));
                let (headers, body) = chunked.sign(&self.client, HOST, "/edges/x");
                shot("PUT", "/edges/x", headers, &body)
            }
            Kind::PutByUrl => {
                shot("PUT", &self.client.presigned("PUT", "/edges/x"), plain("text/plain"), TEXT)
            }
            Kind::GetByUrl => {
                shot("GET", &self.client.presigned("GET", "/shown/x"), plain("text/plain"), b"")
            }
            Kind::Form => {
                let conditions = r#"{"bucket": "edges"}, ["starts-with", "$key", "in/"]"#;
                let body = form(&self.client.form_fields(conditions));
                shot("POST", "/edges", plain("multipart/form-data; boundary=a-boundary"), body.as_bytes())
            }
            Kind::Complete => {
                let (id, etag) = self.upload.lock().await.clone();
                let body = format!(
                    "<CompleteMultipartUpload><Part><ETag>{etag}</ETag><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>"
                );
                let (target, ask) = (
                    format!("/edges/x?uploadId={id}"),
                    Ask { headers: &[("x-amz-content-sha256", "UNSIGNED-PAYLOAD")], ..Ask::default() },
                );
                shot("POST", &target, self.client.sign(HOST, "POST", &target, &ask).0, body.as_bytes())
            }
        };
        let proofs = proofs(&shot);
        assert!(!proofs.is_empty());
        (shot, proofs)
    }

    /// Sends it in pieces of so many bytes, and holds against what was signed what became of it. `None`: HTTP itself does not allow it.
    async fn send(
        &self,
        kind: Kind,
        (shot, proofs): (&Shot, &[String]),
        piece: usize,
    ) -> Option<Result<bool, TestCaseError>> {
        let request = request(shot, piece)?;
        let Ok(got) = tokio::time::timeout(DEADLINE, self.client.send(request)).await else {
            return Some(Err(TestCaseError::fail("no answer")));
        };
        let failed = got.status.is_server_error() && got.status != StatusCode::NOT_IMPLEMENTED;
        let whole =
            [&shot.target, &shot.headers.iter().flat_map(|(_, value)| value.clone()).collect(), &shot.body]
                .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
                .concat();
        let proven = in_order(&whole, proofs);
        let there = self.there().await;
        let right = match kind {
            Kind::GetByUrl => there.is_empty() && got.body[..] == *SHOWN,
            Kind::PutByUrl => there == [("x".to_owned(), shot.body.clone())],
            Kind::Form => {
                there.len() == 1 && there.iter().all(|(key, _)| key.replace("%2F", "/").starts_with("in/"))
            }
            _ => there == [("x".to_owned(), TEXT.to_vec())],
        };
        let done = got.status.is_success();
        let leaks = !done && got.body.windows(HIDDEN.len()).any(|bytes| bytes == HIDDEN);
        if kind == Kind::Complete && done {
            *self.upload.lock().await = begun(&self.client).await;
        }
        if !done {
            println!("{kind:?}: {} {}", got.status, String::from_utf8_lossy(&got.body));
        }
        let verdict = match () {
            () if failed => "it failed",
            () if leaks => "it gave what was not asked for",
            () if done && !proven => "it was done without what proves it",
            () if done && !right => "what was done was not signed",
            () if !done && !there.is_empty() => "it was refused and done",
            () => return Some(Ok(done)),
        };
        Some(Err(TestCaseError::fail(format!("{verdict}: {}, {there:?}", got.status))))
    }

    /// What is in the bucket, which is empty afterwards.
    async fn there(&self) -> Vec<(String, Vec<u8>)> {
        let listed =
            self.client.ask("GET", "/edges?encoding-type=url&list-type=2", Ask::default()).await.ok();
        let text = String::from_utf8_lossy(&listed.body).into_owned();
        let keys =
            text.split("<Key>").skip(1).filter_map(|rest| Some(rest.split_once("</Key>")?.0.to_owned()));
        let mut there = Vec::new();
        for key in keys {
            let target = format!("/edges/{key}");
            let got = self.client.ask("GET", &target, Ask::default()).await.ok();
            there.push((key, got.body.to_vec()));
            assert_eq!(self.client.refusal("DELETE", &target, Ask::default()).await, None);
        }
        there
    }
}

/// Begins an upload and puts its part 1.
async fn begun(client: &Client) -> (String, String) {
    let begun = client.ask("POST", "/edges/x?uploads=", Ask::default()).await.ok();
    let text = String::from_utf8_lossy(&begun.body).into_owned();
    let id = text.split_once("<UploadId>").and_then(|(_, rest)| rest.split_once('<')).unwrap().0.to_owned();
    let target = format!("/edges/x?partNumber=1&uploadId={id}");
    let put = client.ask("PUT", &target, Ask { body: TEXT, ..Ask::default() }).await.ok();
    (id, put.header("etag").to_owned())
}

fn form(fields: &[(&str, String)]) -> String {
    let key = [("key", "in/x".to_owned())];
    let fields: String = key
        .iter()
        .chain(fields)
        .map(|(name, value)| {
            format!("--a-boundary\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        })
        .collect();
    format!(
        "{fields}--a-boundary\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\nby form\r\n--a-boundary--\r\n"
    )
}

/// The signatures in a request, and what says which key it is signed with.
fn proofs(shot: &Shot) -> Vec<String> {
    let authorization = shot.headers.iter().find(|(name, _)| name == "authorization").map(|(_, value)| value);
    let texts = [Some(&shot.target), authorization, Some(&shot.body)];
    let texts = texts.into_iter().flatten().map(|text| String::from_utf8_lossy(text).into_owned());
    let mut all = Vec::new();
    for text in texts {
        let digits = text.split(|char: char| !char.is_ascii_hexdigit()).filter(|word| word.len() == 64);
        all.extend(digits.map(str::to_owned));
    }
    all
}

fn in_order(text: &str, proofs: &[String]) -> bool {
    let after =
        proofs.iter().try_fold(text, |rest, proof| rest.split_once(proof.as_str()).map(|(_, rest)| rest));
    after.is_some()
}

fn request(shot: &Shot, piece: usize) -> Option<Request<Body>> {
    let pieces: Vec<_> =
        shot.body.chunks(piece).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect();
    let target = http::Uri::try_from(&shot.target[..]).ok()?;
    let body = Body::from_stream(futures::stream::iter(pieces));
    let mut request = Request::builder().method(shot.method).uri(target).body(body).ok()?;
    request.headers_mut().insert("content-length", HeaderValue::from(shot.body.len()));
    for (name, value) in &shot.headers {
        request.headers_mut().append(name, HeaderValue::from_bytes(value).ok()?);
    }
    Some(request)
}

#[test]
fn nothing_is_done_that_was_not_signed() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let world = runtime.block_on(World::new());
    for kind in KINDS {
        let (shot, proofs) = runtime.block_on(world.right(kind));
        for piece in [1, 64, usize::MAX] {
            let done = runtime.block_on(world.send(kind, (&shot, &proofs), piece)).unwrap().unwrap();
            assert!(done, "{kind:?} is right as it is, in pieces of {piece}");
        }
    }
    let cases = std::env::var("CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES);
    let config =
        Config { cases, failure_persistence: None, max_global_rejects: u32::MAX, ..Config::default() };
    let bytes: Vec<u8> = seed().to_le_bytes().into_iter().cycle().take(32).collect();
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let change_of = any::<[u16; 6]>().prop_map(Change::from);
    let cases = (0..KINDS.len(), proptest::collection::vec(change_of, 1..4), 1_usize..200);
    let ran = runner.run(&cases, |(kind, changes, piece)| {
        runtime.block_on(async {
            let (mut shot, proofs) = world.right(KINDS[kind]).await;
            changes.iter().for_each(|wanted| change(&mut shot, wanted));
            let verdict = world.send(KINDS[kind], (&shot, &proofs), piece).await;
            verdict.unwrap_or_else(|| Err(TestCaseError::reject("no HTTP"))).map(drop)
        })
    });
    ran.unwrap_or_else(|error| panic!("{error}"));
}

/// The other side of it: what the search above would find is found.
#[tokio::test]
async fn a_planted_fault_is_found() {
    let world = World::new().await;
    let judged = async |kind, shot: &Shot, proofs: &[String]| {
        let verdict = world.send(kind, (shot, proofs), usize::MAX).await.unwrap();
        verdict.map_err(|error| error.to_string())
    };
    let found = |verdict: Result<bool, String>, what: &str| {
        let error = verdict.unwrap_err();
        assert!(error.contains(what), "{error}");
    };
    let (right, proofs) = world.right(Kind::Put).await;
    assert_eq!(judged(Kind::Put, &right, &proofs).await, Ok(true));
    let other = proofs.iter().map(|proof| proof.replace('0', "1")).collect::<Vec<_>>();
    found(judged(Kind::Put, &right, &other).await, "without what proves it");
    let twice = [&proofs[..], &proofs].concat();
    found(judged(Kind::Put, &right, &twice).await, "without what proves it");
    for (target, body) in [("/edges/y", TEXT), ("/edges/x", SHOWN)] {
        let ask = Ask { body, ..Ask::default() };
        let headers = world.client.sign(HOST, "PUT", target, &ask).0;
        let headers = headers.iter().map(|(name, value)| (name.clone(), value.as_bytes().to_vec())).collect();
        let shot = Shot { target: target.into(), headers, body: body.to_vec(), ..right.clone() };
        let proofs = self::proofs(&shot);
        found(judged(Kind::Put, &shot, &proofs).await, "was not signed");
    }
    let mut wrong = right.clone();
    wrong.body[0] ^= 1;
    assert_eq!(judged(Kind::Put, &wrong, &proofs).await, Ok(false));
    let planted = world.client.refusal("PUT", "/edges/z", Ask { body: TEXT, ..Ask::default() }).await;
    assert_eq!(planted, None);
    found(judged(Kind::Put, &wrong, &proofs).await, "refused and done");
}
