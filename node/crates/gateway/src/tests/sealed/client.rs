//! A client that brings its own keys: it seals, names and opens by itself.

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use datamesh_seal::{BucketMark, BucketSecret, PRIVATE_SEGMENT_BYTES_MAX, SegmentKey, SystemRandom};
use datamesh_shard::{Cipher, ErasureProfile, SegmentId};
use http::Method;
use serde_json::{Value, json};

use crate::tests::house::{Got, House};

pub(in crate::tests) const BUCKET: &str = "vault";
/// What records of the client's are sealed for, besides their page.
const RECORD: [u8; 16] = [1; 16];

/// A gateway, however it is asked.
pub(in crate::tests) trait Asked {
    /// One request of a user.
    async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Got;
}

impl Asked for House {
    async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Got {
        Self::ask(self, method, path, headers, body).await
    }
}

pub(in crate::tests) struct Client {
    secret: BucketSecret,
    pub(in crate::tests) mark: BucketMark,
    pub(in crate::tests) profile: ErasureProfile,
}

/// A segment that is sealed, and what opens it.
#[derive(Clone)]
pub(in crate::tests) struct Sealed {
    pub(in crate::tests) id: SegmentId,
    pub(in crate::tests) sealed: Vec<u8>,
    pub(in crate::tests) key: SegmentKey,
}

pub(in crate::tests) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

impl Client {
    /// Makes a private bucket.
    pub(in crate::tests) async fn new(house: &impl Asked) -> Self {
        let made =
            house.ask(Method::PUT, "/api/v1/buckets/vault", &[], json!({"kind": "private"}).to_string());
        assert_eq!(made.await.ok().json()["kind"], "private");
        let mut client = Self {
            secret: BucketSecret::generate_from(1, &SystemRandom),
            mark: BucketMark::of(0),
            profile: ErasureProfile::new(4, 2).unwrap(),
        };
        let begun = client.begun(house, &client.name("probe")).await;
        let sealing = &begun["sealing"];
        let number = |name: &str| u8::try_from(sealing[name].as_u64().unwrap()).unwrap();
        client.mark = sealing["mark"].as_str().unwrap().parse().unwrap();
        client.profile = ErasureProfile::new(number("dataShards"), number("parityShards")).unwrap();
        assert_eq!((&sealing["pool"], &sealing["cipher"]), (&json!("main"), &json!("AES-256-GCM")));
        let path = format!("/api/v1/uploads/{}", begun["id"].as_str().unwrap());
        let shown = house.ask(Method::GET, &path, &[], Body::empty()).await.ok().json();
        assert_eq!(&shown["sealing"], sealing);
        house.ask(Method::DELETE, &path, &[], Body::empty()).await.ok();
        client
    }

    /// A name whose components nobody else reads.
    pub(in crate::tests) fn name(&self, path: &str) -> String {
        let seal = |part: &str| {
            let sealed = datamesh_seal::seal_record(&self.secret, &RECORD, b"name", part.as_bytes());
            URL_SAFE_NO_PAD.encode(sealed)
        };
        path.split('/').map(seal).collect::<Vec<_>>().join("/")
    }

    /// Cuts and seals, for the profile that the client knows.
    pub(in crate::tests) fn seal(&self, text: &[u8]) -> Vec<Sealed> {
        let seal = |text: &[u8]| {
            let key = SegmentKey::random();
            let mut sealed = vec![0; datamesh_seal::private_bytes_of(text.len())];
            let place = self.mark.put(&mut sealed).unwrap();
            let bytes = datamesh_seal::seal_segment(&key, Cipher::Aes256Gcm, text, false, place).unwrap();
            assert_eq!(bytes + datamesh_seal::MARK_BYTES, sealed.len());
            Sealed { id: datamesh_erasure::segment_id(self.profile, &sealed).unwrap(), sealed, key }
        };
        text.chunks(PRIVATE_SEGMENT_BYTES_MAX).map(seal).collect()
    }

    pub(in crate::tests) async fn begun(&self, house: &impl Asked, key: &str) -> Value {
        let body = json!({"bucket": BUCKET, "key": key}).to_string();
        house.ask(Method::POST, "/api/v1/uploads", &[], body).await.ok().json()
    }

    pub(in crate::tests) async fn begin(&self, house: &impl Asked, key: &str) -> String {
        self.begun(house, key).await["id"].as_str().unwrap().to_owned()
    }

    pub(in crate::tests) async fn put_segment(
        &self,
        house: &impl Asked,
        upload: &str,
        segment: &Sealed,
    ) -> Got {
        let path = format!("/api/v1/uploads/{upload}/segments/{}", segment.id);
        house.ask(Method::PUT, &path, &[], segment.sealed.clone()).await
    }

    /// Ids of what is durable, in pages of so many.
    pub(in crate::tests) async fn durable(
        &self,
        house: &impl Asked,
        upload: &str,
        limit: usize,
    ) -> Vec<String> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/api/v1/uploads/{upload}/segments?limit={limit}{cursor}");
            let page = house.ask(Method::GET, &path, &[], Body::empty()).await.ok().json();
            let ids = page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap());
            all.extend(ids.map(str::to_owned));
            match page["nextCursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return all,
            }
        }
    }

    /// A page of a manifest, with the keys of its segments sealed.
    pub(in crate::tests) fn page(&self, number: usize, segments: &[Sealed]) -> Value {
        let keys: Vec<u8> = segments.iter().flat_map(|segment| *segment.key.as_bytes()).collect();
        let sealed = datamesh_seal::seal_record(&self.secret, &RECORD, &number.to_le_bytes(), &keys);
        let ids: Vec<_> = segments.iter().map(|segment| segment.id.to_string()).collect();
        json!({"segments": ids, "sealed": base64(&sealed)})
    }

    pub(in crate::tests) async fn put_page(
        &self,
        house: &impl Asked,
        upload: &str,
        number: usize,
        segments: &[Sealed],
    ) -> Got {
        let (path, page) = (format!("/api/v1/uploads/{upload}/pages/{number}"), self.page(number, segments));
        house.ask(Method::PUT, &path, &[], page.to_string()).await
    }

    pub(in crate::tests) async fn commit(
        &self,
        house: &impl Asked,
        upload: &str,
        segments: &[Sealed],
        headers: &[(&str, &str)],
    ) -> Got {
        self.commit_as(house, upload, (0, segments), headers).await
    }

    pub(in crate::tests) async fn commit_as(
        &self,
        house: &impl Asked,
        upload: &str,
        (number, segments): (usize, &[Sealed]),
        headers: &[(&str, &str)],
    ) -> Got {
        let mut page = self.page(number, segments);
        page["page"] = json!(number);
        house.ask(Method::POST, &format!("/api/v1/uploads/{upload}/commit"), headers, page.to_string()).await
    }

    /// All of a put.
    pub(in crate::tests) async fn store(&self, house: &impl Asked, key: &str, text: &[u8]) -> Vec<Sealed> {
        let (upload, object) = (self.begin(house, key).await, self.seal(text));
        for segment in &object {
            self.put_segment(house, &upload, segment).await.ok();
        }
        self.commit(house, &upload, &object, &[]).await.ok();
        object
    }

    pub(in crate::tests) async fn put_small(
        &self,
        house: &impl Asked,
        key: &str,
        sealed: &[u8],
        headers: &[(&str, &str)],
    ) -> Got {
        let body = json!({"sealed": base64(sealed)}).to_string();
        house.ask(Method::PUT, &self.sealed(key), headers, body).await
    }

    pub(in crate::tests) fn file(&self, key: &str) -> String {
        format!("/api/v1/buckets/{BUCKET}/files/{key}")
    }

    pub(in crate::tests) fn sealed(&self, key: &str) -> String {
        format!("/api/v1/buckets/{BUCKET}/sealed/{key}")
    }

    pub(in crate::tests) fn segment(&self, key: &str, object: &str, segment: &str) -> String {
        format!("/api/v1/buckets/{BUCKET}/segments/{segment}/{key}?object={object}")
    }

    pub(in crate::tests) async fn manifest(&self, house: &impl Asked, key: &str, query: &str) -> Got {
        house.ask(Method::GET, &format!("{}{query}", self.sealed(key)), &[], Body::empty()).await
    }

    /// All of a get.
    pub(in crate::tests) async fn read(&self, house: &impl Asked, key: &str) -> Vec<u8> {
        let (mut text, mut number, mut query) = (Vec::new(), 0_usize, String::new());
        loop {
            let page = self.manifest(house, key, &query).await.ok().json();
            let object = page["object"].as_str().unwrap();
            let sealed = STANDARD.decode(page["sealed"].as_str().unwrap()).unwrap();
            let keys =
                datamesh_seal::open_record(&self.secret, &RECORD, &number.to_le_bytes(), &sealed).unwrap();
            let keys = keys.as_chunks::<32>().0;
            let segments = page["segments"].as_array().unwrap();
            assert_eq!(segments.len(), keys.len());
            for (segment, key_bytes) in segments.iter().zip(keys) {
                let path = self.segment(key, object, segment["id"].as_str().unwrap());
                let mut sealed = house.ask(Method::GET, &path, &[], Body::empty()).await.ok().body.to_vec();
                assert_eq!(segment["sealedBytes"], sealed.len());
                let mut plain = Vec::new();
                let key = SegmentKey::from_bytes(*key_bytes);
                datamesh_seal::open_segment(&key, self.mark.take(&mut sealed).unwrap(), &mut plain).unwrap();
                text.extend(plain);
            }
            if page["last"].as_bool().unwrap() {
                return text;
            }
            number += 1;
            query = format!("?object={object}&page={number}");
        }
    }
}
