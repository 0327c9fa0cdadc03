//! What others do between the moment an operation looks and the moment it commits.

use std::sync::Arc;

use datamesh_catalog::catalog::CommitObjectError;
use datamesh_catalog::engine::AnyKeyspace;
use datamesh_catalog::keyspace::{
    Batch, Changes, ChangesError, CommitError, Keyspace, ReadError, Revision, Versioned,
};
use datamesh_catalog::{Condition, DraftBody, ObjectDraft, PartTag};
use futures::future::BoxFuture;
use parking_lot::Mutex;

use crate::support::{
    bare, catalog_on, draft, key, new_upload, on_all_engines, page, target, upload_id,
};

on_all_engines!(bare: a_part_that_is_another_one_by_now_is_not_committed);

/// A keyspace on which something happens just before the next commit.
#[derive(Clone)]
struct Meddled {
    keyspace: AnyKeyspace,
    first: Arc<Mutex<Option<BoxFuture<'static, ()>>>>,
}

impl Meddled {
    fn new(keyspace: AnyKeyspace) -> Self {
        Self { keyspace, first: Arc::default() }
    }

    fn before_the_next_commit(&self, happens: impl Future<Output = ()> + Send + 'static) {
        *self.first.lock() = Some(Box::pin(happens));
    }
}

impl Keyspace for Meddled {
    type View<'a> = <AnyKeyspace as Keyspace>::View<'a>;

    async fn view(&self) -> Result<Self::View<'_>, ReadError> {
        self.keyspace.view().await
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Versioned>, ReadError> {
        self.keyspace.get(key).await
    }

    async fn commit(&self, batch: Batch) -> Result<Revision, CommitError> {
        let first = self.first.lock().take();
        if let Some(first) = first {
            first.await;
        }
        self.keyspace.commit(batch).await
    }

    async fn changes_since(&self, since: Revision, limit: usize) -> Result<Changes, ChangesError> {
        self.keyspace.changes_since(since, limit).await
    }
}

fn tag(etag: &str) -> PartTag {
    PartTag { etag: etag.into(), put_unix_ms: 1, sealed: Vec::new() }
}

fn of_part_one() -> ObjectDraft {
    draft(DraftBody::Pages { parts: vec![1], last_page: None }, 10, "e", 5)
}

/// The part's bytes are replaced, or only what its client was told: before the commit looks, or after.
async fn a_part_that_is_another_one_by_now_is_not_committed(keyspace: AnyKeyspace) {
    let (catalog, meddled) = (catalog_on(keyspace.clone()).await, Meddled::new(keyspace));
    let committing = catalog_on(meddled.clone()).await;
    let id = upload_id(1);
    catalog.begin_listed_upload(new_upload("a", 1, 0)).await.unwrap();
    catalog.put_part(id, &page(1, 0, &[1], true), tag("one")).await.unwrap();
    let changed = Err(CommitObjectError::PartsChanged);
    for (segments, etag) in [(vec![2], "two"), (vec![2], "two again")] {
        let (_, seen) = catalog.tagged_parts(id).await.unwrap();
        catalog.put_part(id, &page(1, 0, &segments, true), tag(etag)).await.unwrap();
        assert_eq!(catalog.commit_seen(id, &of_part_one(), &Condition::None, seen).await, changed, "{etag}");
    }
    for (segments, etag) in [(vec![3], "three"), (vec![3], "three again")] {
        let (_, seen) = catalog.tagged_parts(id).await.unwrap();
        let putting = catalog.clone();
        meddled.before_the_next_commit(async move {
            putting.put_part(id, &page(1, 0, &segments, true), tag(etag)).await.unwrap();
        });
        assert_eq!(
            committing.commit_seen(id, &of_part_one(), &Condition::None, seen).await,
            changed,
            "{etag}"
        );
    }
    assert!(catalog.object(target("a", 1).bucket, &key("a")).await.unwrap().is_none());
    let (parts, seen) = catalog.tagged_parts(id).await.unwrap();
    assert_eq!(parts[0].tag, Some(tag("three again")));
    catalog.commit_seen(id, &of_part_one(), &Condition::None, seen).await.unwrap();
}
