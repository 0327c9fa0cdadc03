//! What several tests need.

use datamesh_catalog::engine::{AnyKeyspace, MemoryKeyspace, RocksKeyspace, RocksOptions};
use datamesh_catalog::keyspace::{Batch, CommitError, Keyspace, Revision};
use datamesh_catalog::{
    BucketId, Catalog, CatalogOptions, DraftBody, Lock, Marking, NewUpload, ObjectDraft, ObjectKey, Page,
    PageAt, PlacedPage, SegmentRef, Target, UploadId,
};
use datamesh_shard::{Epoch, ErasureProfile, Generation, PoolName, SegmentId};
use tempfile::TempDir;

/// How long things are kept after they were replaced, in these tests.
pub(crate) const RETENTION_MS: u64 = 1000;
pub(crate) const OPTIONS: CatalogOptions = CatalogOptions { retention_ms: RETENTION_MS };
/// Of the cluster key that all have.
pub(crate) const FINGERPRINT: &str = "0123456789abcdef";
pub(crate) const BUCKET: BucketId = BucketId(1);

/// Random numbers from a printed seed.
pub(crate) struct Dice(u64);

impl Dice {
    /// From `DATAMESH_SEED`, or from the clock.
    pub(crate) fn new(test: &str) -> Self {
        let clock = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos();
        let given = std::env::var("DATAMESH_SEED").ok().map(|seed| seed.parse().unwrap());
        let seed = given.unwrap_or_else(|| u64::try_from(clock & u128::from(u64::MAX)).unwrap());
        println!("{test}: DATAMESH_SEED={seed}");
        Self(seed)
    }

    /// Of this seed.
    pub(crate) fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits (splitmix64).
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    /// True once in `n`.
    pub(crate) fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of these.
    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// Bytes of these kinds, up to `len` of them.
    pub(crate) fn bytes(&mut self, alphabet: &[u8], len: usize) -> Vec<u8> {
        (0..self.below(len + 1)).map(|_| *self.pick(alphabet)).collect()
    }
}

/// A RocksDB keyspace in a folder of its own.
pub(crate) struct Rocks {
    pub(crate) keyspace: RocksKeyspace,
    pub(crate) dir: TempDir,
}

impl Rocks {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { keyspace: open(&dir), dir }
    }

    /// As a gateway has it.
    pub(crate) fn any(&self) -> AnyKeyspace {
        self.keyspace.clone().into()
    }

    /// Closes and opens it.
    pub(crate) fn reopen(self) -> Self {
        let Self { keyspace, dir } = self;
        drop(keyspace);
        Self { keyspace: open(&dir), dir }
    }
}

pub(crate) fn open(dir: &TempDir) -> RocksKeyspace {
    RocksKeyspace::open(dir.path(), RocksOptions::default()).unwrap()
}

pub(crate) async fn catalog_on<K: Keyspace>(keyspace: K) -> Catalog<K> {
    Catalog::with_keyspace(keyspace, FINGERPRINT, OPTIONS).await.unwrap()
}

pub(crate) fn memory() -> MemoryKeyspace {
    MemoryKeyspace::new()
}

pub(crate) fn any_memory() -> AnyKeyspace {
    memory().into()
}

/// Runs each test on every engine, each as a gateway has it: behind [`AnyKeyspace`].
macro_rules! on_all_engines {
    ($make:ident: $($name:ident),+ $(,)?) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::$make(crate::support::any_memory()).await).await;
            })+
        }
        mod rocks {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let rocks = crate::support::Rocks::new();
                super::$name(super::$make(rocks.any()).await).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::$make(crate::postgres::any_keyspace().await).await).await;
            })+
        }
        mod follower {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let replicas = crate::replicas::Replicas::of(3).await;
                super::$name(super::$make(replicas.any(false).await).await).await;
            })+
        }
    };
}
pub(crate) use on_all_engines;

/// A keyspace as it is.
pub(crate) async fn bare<K: Keyspace>(keyspace: K) -> K {
    std::future::ready(keyspace).await
}

pub(crate) async fn put<K: Keyspace>(
    keyspace: &K,
    key: &[u8],
    value: &[u8],
) -> Result<Revision, CommitError> {
    let mut batch = Batch::new();
    batch.put(key, value);
    keyspace.commit(batch).await
}

pub(crate) async fn delete<K: Keyspace>(keyspace: &K, key: &[u8]) -> Result<Revision, CommitError> {
    let mut batch = Batch::new();
    batch.delete(key);
    keyspace.commit(batch).await
}

pub(crate) fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).unwrap()
}

pub(crate) fn upload_id(number: u64) -> UploadId {
    let mut id = [0; 16];
    id[8..].copy_from_slice(&number.to_be_bytes());
    UploadId(id)
}

pub(crate) fn target(name: &str, upload: u64) -> Target {
    Target { bucket: BUCKET, key: key(name), upload: upload_id(upload) }
}

pub(crate) fn new_upload(name: &str, upload: u64, now: u64) -> NewUpload {
    NewUpload {
        target: target(name, upload),
        content_type: "text/plain".into(),
        meta: vec![("colour".into(), "blue".into())],
        created_unix_ms: now,
        lease_until_unix_ms: now + 100,
        segments: Vec::new(),
    }
}

pub(crate) fn segment_id(number: u64) -> SegmentId {
    let mut id = [7; 32];
    id[..8].copy_from_slice(&number.to_be_bytes());
    SegmentId(id)
}

pub(crate) fn segment(number: u64) -> SegmentRef {
    SegmentRef {
        id: segment_id(number),
        sealed_bytes: 4_195_376,
        pool: PoolName::new("fast").unwrap(),
        profile: ErasureProfile::new(4, 2).unwrap(),
        epoch: Epoch(3),
        generation: Generation(0),
    }
}

/// A page of these segments, ten plaintext bytes each.
pub(crate) fn page(part: u32, page: u32, segments: &[u64], last: bool) -> PlacedPage {
    let plain_bytes = 10 * u64::try_from(segments.len()).unwrap();
    let sealed = format!("sealed {part}/{page} of {segments:?}").into_bytes();
    let segments = segments.iter().copied().map(segment).collect();
    PlacedPage { at: PageAt { part, page }, page: Page { segments, plain_bytes, last, sealed } }
}

pub(crate) fn draft(body: DraftBody, size_bytes: u64, etag: &str, now: u64) -> ObjectDraft {
    ObjectDraft {
        size_bytes,
        content_type: "text/plain".into(),
        etag: etag.into(),
        meta: vec![("colour".into(), "blue".into())],
        created_unix_ms: now,
        lock: Lock::default(),
        body,
    }
}

pub(crate) fn inline(etag: &str, now: u64) -> ObjectDraft {
    draft(DraftBody::Inline { sealed: format!("sealed {etag}").into_bytes() }, 5, etag, now)
}

/// The marker of deletes in buckets that keep no versions, or where there is one of them only.
pub(crate) const ALWAYS: Marking = Marking::Always(UploadId([0xde; 16]));

/// An object whose one page rides with the commit.
pub(crate) fn one_page(segments: &[u64], etag: &str, now: u64) -> ObjectDraft {
    let last_page = page(0, 0, segments, true);
    let size_bytes = last_page.page.plain_bytes;
    draft(DraftBody::Pages { parts: vec![0], last_page: Some(last_page) }, size_bytes, etag, now)
}
