//! A client that seals by itself against real processes: its upload goes on where it stopped, whoever dies meanwhile, and what it sealed is
//! read by nobody else.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking and prints its seed"
)]

#[path = "support/cluster.rs"]
#[allow(dead_code, reason = "each test uses a part")]
mod cluster;

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use cluster::{Cluster, files_with, new_seed, random};
use datamesh_seal::{BucketMark, BucketSecret, PRIVATE_SEGMENT_BYTES_MAX, Prepared, SegmentKey};
use datamesh_shard::{Cipher, ErasureProfile, SegmentId};
use futures::StreamExt as _;
use reqwest::Method;
use serde_json::{Value, json};

/// What records of the client's are sealed for.
const RECORD: [u8; 16] = [1; 16];
const BYTES: usize = 40 << 20;

/// What a client keeps, and makes everything else of again after a crash: its text and a secret. Keys are derived from both, so the same
/// text has the same segments.
struct Client {
    text: Vec<u8>,
    secret: BucketSecret,
    name: String,
}

struct Segment {
    id: SegmentId,
    sealed: Vec<u8>,
    key: [u8; 32],
}

impl Client {
    fn new(seed: u64) -> Self {
        let secret = *random(seed + 1, 32).first_chunk().unwrap();
        let name = format!("a-name-that-nobody-reads-{seed:016x}");
        Self { text: random(seed, BYTES), secret: BucketSecret::from_bytes(1, secret), name }
    }

    fn key(&self) -> String {
        URL_SAFE_NO_PAD.encode(datamesh_seal::seal_record(
            &self.secret,
            &RECORD,
            b"name",
            self.name.as_bytes(),
        ))
    }

    /// Sealed as an upload wants it.
    fn sealed(&self, sealing: &Value) -> Vec<Segment> {
        let mark: BucketMark = sealing["mark"].as_str().unwrap().parse().unwrap();
        let number = |name: &str| u8::try_from(sealing[name].as_u64().unwrap()).unwrap();
        let profile = ErasureProfile::new(number("dataShards"), number("parityShards")).unwrap();
        let seal = |text: &[u8]| {
            let mut sealed = vec![0; datamesh_seal::private_bytes_of(text.len())];
            let place = mark.put(&mut sealed).unwrap();
            let derived =
                Prepared::new(Cipher::Aes256Gcm, text, None, place).unwrap().derive(&self.secret).unwrap();
            let key = *derived.key().as_bytes();
            derived.seal().unwrap();
            Segment { id: datamesh_erasure::segment_id(profile, &sealed).unwrap(), sealed, key }
        };
        self.text.chunks(PRIVATE_SEGMENT_BYTES_MAX).map(seal).collect()
    }

    fn manifest(&self, segments: &[Segment]) -> Value {
        let keys: Vec<u8> = segments.iter().flat_map(|segment| segment.key).collect();
        let sealed = datamesh_seal::seal_record(&self.secret, &RECORD, b"manifest", &keys);
        let ids: Vec<_> = segments.iter().map(|segment| segment.id.to_string()).collect();
        json!({"segments": ids, "sealed": STANDARD.encode(sealed)})
    }

    /// Reads it back and opens it.
    async fn read(&self, cluster: &Cluster, mark: BucketMark) -> Vec<u8> {
        let path = format!("/buckets/vault/sealed/{}", self.key());
        let manifest = ok(cluster, Method::GET, &path, None).await;
        let sealed = STANDARD.decode(manifest["sealed"].as_str().unwrap()).unwrap();
        let keys = datamesh_seal::open_record(&self.secret, &RECORD, b"manifest", &sealed).unwrap();
        let segments = manifest["segments"].as_array().unwrap();
        let (mut text, keys) = (Vec::new(), keys.as_chunks::<32>().0);
        assert_eq!(segments.len(), keys.len());
        for (segment, key) in segments.iter().zip(keys) {
            let (id, object) = (segment["id"].as_str().unwrap(), manifest["object"].as_str().unwrap());
            let path = format!("/buckets/vault/segments/{id}/{}?object={object}", self.key());
            let answer =
                cluster.request(Method::GET, &path).send().await.unwrap().error_for_status().unwrap();
            let mut sealed = answer.bytes().await.unwrap().to_vec();
            let mut plain = Vec::new();
            let (key, place) = (SegmentKey::from_bytes(*key), mark.take(&mut sealed).unwrap());
            datamesh_seal::open_derived_segment(&self.secret, &key, place, &mut plain).unwrap();
            text.extend(plain);
        }
        text
    }
}

async fn ok(cluster: &Cluster, method: Method, path: &str, body: Option<Value>) -> Value {
    let mut request = cluster.request(method.clone(), path);
    if let Some(body) = body {
        request = request.json(&body);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let text = answer.text().await.unwrap();
    assert!(status.is_success(), "{method} {path}: {status} {text}");
    serde_json::from_str(&text).unwrap()
}

/// Puts a segment; its status, or nothing where nobody answers.
async fn put(cluster: &Cluster, upload: &str, segment: &Segment) -> Option<u16> {
    let path = format!("/uploads/{upload}/segments/{}", segment.id);
    let sent = cluster.request(Method::PUT, &path).body(segment.sealed.clone()).send().await;
    sent.ok().map(|answer| answer.status().as_u16())
}

async fn durable(cluster: &Cluster, upload: &str) -> Vec<String> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/uploads/{upload}/segments?limit=3{cursor}");
        let page = ok(cluster, Method::GET, &path, None).await;
        all.extend(
            page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()),
        );
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_on_after_its_gateway_was_killed_and_nobody_reads_it() {
    let (seed, cluster) = (new_seed(), Cluster::start().await);
    let client = Client::new(seed);
    ok(&cluster, Method::PUT, "/buckets/vault", Some(json!({"kind": "private"}))).await;
    let begin = json!({"bucket": "vault", "key": client.key()});
    let begun = ok(&cluster, Method::POST, "/uploads", Some(begin)).await;
    let upload = begun["id"].as_str().unwrap().to_owned();
    let object = client.sealed(&begun["sealing"]);
    assert_eq!(object.len(), 11);
    let mut acknowledged = Vec::new();
    for segment in &object[..4] {
        assert_eq!(put(&cluster, &upload, segment).await, Some(201));
        acknowledged.push(segment.id.to_string());
    }
    // The gateway is killed while segments are on their way, then the nodes, as by a power cut.
    let (at, into, mut is_killed) = (&cluster, upload.as_str(), false);
    let putting = |segment| async move { (segment, put(at, into, segment).await) };
    let mut under_way = Box::pin(futures::stream::iter(&object[4..]).map(putting).buffer_unordered(3));
    while let Some((segment, answer)) = under_way.next().await {
        if answer == Some(201) {
            acknowledged.push(segment.id.to_string());
        }
        if !is_killed && acknowledged.len() == 6 {
            cluster.kill("gateway-0");
            is_killed = true;
        }
    }
    drop(under_way);
    assert!(is_killed && acknowledged.len() < object.len(), "it was killed in the middle"); // Of 11.
    let cluster = cluster.crash().await;
    // So is the client: it makes everything anew, and asks what need not be put again.
    drop(object);
    let shown = ok(&cluster, Method::GET, &format!("/uploads/{upload}"), None).await;
    let object = client.sealed(&shown["sealing"]);
    let there = durable(&cluster, &upload).await;
    println!(
        "{} of {} segments are durable, {} were acknowledged",
        there.len(),
        object.len(),
        acknowledged.len()
    );
    assert!(acknowledged.iter().all(|id| there.contains(id)), "{acknowledged:?} in {there:?}");
    for segment in object.iter().filter(|segment| !there.contains(&segment.id.to_string())) {
        assert_eq!(put(&cluster, &upload, segment).await, Some(201));
    }
    assert_eq!(put(&cluster, &upload, &object[0]).await, Some(200), "nothing is stored twice");
    let commit = format!("/uploads/{upload}/commit");
    ok(&cluster, Method::POST, &commit, Some(client.manifest(&object))).await;
    let mark: BucketMark = shown["sealing"]["mark"].as_str().unwrap().parse().unwrap();
    assert!(client.read(&cluster, mark).await == client.text);
    is_blind(&cluster, &client, &object);
    // Any two of six nodes may be lost.
    for node in ["node-0", "node-3"] {
        cluster.kill(node);
    }
    assert!(client.read(&cluster, mark).await == client.text);
}

/// Whatever of the client's a file of the cluster's has, its logs too. The search finds what may be there.
fn is_blind(cluster: &Cluster, client: &Client, object: &[Segment]) {
    let files = |needle: &[u8]| -> Vec<PathBuf> { files_with(&cluster.folder(), needle) };
    let keys = object.iter().map(|segment| segment.key.to_vec());
    let regions = [0, 70_000, 5 << 20, BYTES - 32].map(|at| client.text[at..at + 32].to_vec());
    // Sealing that is switched off is switched off in clients too: then the same search finds all of their contents.
    let unsealed = cfg!(feature = "unsealed-for-blindness-test");
    for secret in keys.chain([client.name.clone().into_bytes()]).filter(|_| !unsealed) {
        assert_eq!(files(&secret), Vec::<PathBuf>::new(), "{}", hex::encode(&secret));
    }
    for region in &regions {
        assert_eq!(!files(region).is_empty(), unsealed, "contents: {:?}", files(region));
    }
    assert!(!files(&object[5].sealed[1000..1032]).is_empty(), "the control: what was sealed");
}
