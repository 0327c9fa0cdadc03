//! Who wants to know of changes in a bucket, and the rows that tell them: written by the very batch that makes the change.
//!
//! A batch that changes a key always requires that the bucket's subscriptions are those it was planned with. A process that knows of none
//! reads nothing to plan: its batch finds out if that is wrong, as it does of versions.

mod queue;
mod watched;

use std::sync::Arc;

use datamesh_shard::{BucketName, TargetName};

use super::faults::{ATTEMPTS_MAX, at_most, find, put};
use super::objects::Present;
use super::{Catalog, CatalogError, SettingError};
use crate::keys;
use crate::keyspace::{Batch, KeyRange, Keyspace, Revision, View, successor};
use crate::limits::{EVENT_TEXT_BYTES_MAX, SUBSCRIPTION_TEXT_BYTES_MAX, SUBSCRIPTIONS_MAX};
use crate::model::{BucketId, BucketSetting, Cause, EventKind, Happened, ObjectKey, Subscription, VersionId};
use crate::record::{self, EventRecord, ObjectRecord, SettingRecord, SubscriptionsRecord};

pub(super) use watched::Watched;

/// Counts events of a target that wait.
const PENDING: u8 = 1;
/// Counts those that were given up.
const DROPPED: u8 = 2;

fn row_of(bucket: BucketId) -> Vec<u8> {
    keys::bucket_setting(BucketSetting::Notifications, bucket)
}

/// The subscriptions of a bucket, and the commit that wrote them.
#[derive(Clone, Debug)]
pub(super) struct Known {
    written: Revision,
    record: Arc<SubscriptionsRecord>,
    /// Of the row.
    bytes: usize,
}

/// Who wants to know of changes of a key, as the batch that makes one was planned with.
pub(super) struct Watchers {
    bucket: BucketId,
    known: Option<Known>,
    /// The state that the rest of the plan was read from. None needs it where nobody wants to know.
    since: Revision,
    cause: Arc<Cause>,
}

/// What a batch does to a key.
pub(super) struct Change<'a> {
    pub(super) kind: EventKind,
    pub(super) version: Option<VersionId>,
    /// What is put.
    pub(super) object: Option<&'a ObjectRecord>,
    pub(super) at_unix_ms: u64,
}

impl Change<'_> {
    /// Of what goes.
    pub(super) fn end(kind: EventKind, version: Option<VersionId>, at_unix_ms: u64) -> Self {
        Self { kind, version, object: None, at_unix_ms }
    }
}

impl Watchers {
    /// What an object is put as.
    pub(super) fn put_kind(&self) -> EventKind {
        self.cause.way.kind()
    }

    /// Adds what tells them of the change, and the condition that they are still those who want to know.
    pub(super) fn tell(
        &self,
        batch: &mut Batch,
        key: &ObjectKey,
        change: &Change<'_>,
    ) -> Result<(), CatalogError> {
        batch.expect(row_of(self.bucket), self.known.as_ref().map(|known| known.written));
        let Some(Known { record, .. }) = &self.known else { return Ok(()) };
        let wants = |one: &&Subscription| one.wants(change.kind, key.as_bytes());
        let Some(subscription) = record.subscriptions.iter().find(wants) else { return Ok(()) };
        // Nobody wrote the key since, also none who took it away again: so the next change of it is planned on a later state, and its
        // order is higher.
        let row = keys::object(self.bucket, key.as_bytes());
        batch.expect_unchanged(KeyRange::between(row.clone(), successor(&row)), self.since);
        let happened = self.happened(&record.bucket, subscription, change);
        add_event(batch, (&subscription.target, self.since), (self.bucket, Some(key)), happened)
    }

    fn happened(&self, bucket: &BucketName, of: &Subscription, change: &Change<'_>) -> Happened {
        let Change { kind, version, object, at_unix_ms } = change;
        let Cause { by, address, request, way: _ } = &*self.cause;
        Happened {
            kind: Some(*kind),
            bucket: bucket.clone(),
            subscription: of.id.clone(),
            at_unix_ms: *at_unix_ms,
            version: version.map(|version| version.to_string()),
            size_bytes: object.map_or(0, |object| object.size_bytes),
            etag: object.map(|object| object.etag.clone()).unwrap_or_default(),
            by: cut(by),
            address: cut(address),
            request: cut(request),
        }
    }
}

fn cut(text: &str) -> String {
    let end = (0..=EVENT_TEXT_BYTES_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text[..end.unwrap_or_default()].to_owned()
}

fn add_event(
    batch: &mut Batch,
    (target, order): (&TargetName, Revision),
    (bucket, key): (BucketId, Option<&ObjectKey>),
    happened: Happened,
) -> Result<(), CatalogError> {
    let row = keys::event(target, order.0, bucket, key);
    batch.expect(row.clone(), None);
    batch.add(keys::event_counter(target, PENDING), 1);
    put(batch, row, &EventRecord(happened))
}

impl<K: Keyspace> Catalog<K> {
    /// The same catalog, for changes of this cause: their events tell it.
    #[must_use]
    pub fn because_of(&self, cause: Arc<Cause>) -> Self {
        Self { cause, ..self.clone() }
    }

    /// Who wants to know of what happens in a bucket.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn subscriptions(&self, bucket: BucketId) -> Result<Vec<Subscription>, CatalogError> {
        let view = self.view().await?;
        let known = self.read_watchers(&view, bucket).await?;
        Ok(known.map(|known| known.record.subscriptions.clone()).unwrap_or_default())
    }

    /// Says who wants to know of what happens in a bucket; nobody: an empty list. With `test`, each target is told that it is one: a row
    /// in the same commit. No two may overlap, which the caller looks at.
    ///
    /// # Errors
    /// See [`SettingError`].
    pub async fn subscribe(
        &self,
        (bucket, name): (BucketId, &BucketName),
        subscriptions: Vec<Subscription>,
        (test, now_unix_ms): (bool, u64),
    ) -> Result<(), SettingError> {
        at_most("subscriptions of a bucket", subscriptions.len(), SUBSCRIPTIONS_MAX)?;
        for one in &subscriptions {
            at_most("kinds of a subscription", one.kinds.len(), EventKind::ALL.len())?;
            for text in [&one.id, &one.prefix, &one.suffix] {
                at_most("bytes of a text of a subscription", text.len(), SUBSCRIPTION_TEXT_BYTES_MAX)?;
            }
        }
        let record = SubscriptionsRecord { bucket: name.clone(), subscriptions };
        let bytes = record::encode(&record).map_err(CatalogError::from)?;
        for _ in 0..ATTEMPTS_MAX {
            if self.is_bucket_gone(bucket).await? {
                return Err(SettingError::BucketGone);
            }
            let since = self.view().await?.revision().await.map_err(CatalogError::from)?;
            let mut batch = Batch::new();
            batch.expect(keys::bucket_gone(bucket), None);
            if record.subscriptions.is_empty() {
                batch.delete(row_of(bucket));
            } else {
                put(&mut batch, row_of(bucket), &SettingRecord { bytes: bytes.clone() })?;
            }
            for one in first_of_each_target(&record.subscriptions).filter(|_| test) {
                let happened = self.test_of(one, name, now_unix_ms);
                add_event(&mut batch, (&one.target, since), (bucket, None), happened)?;
            }
            if self.try_commit(batch).await?.is_some() {
                return Ok(());
            }
        }
        Err(CatalogError::Contended.into())
    }

    fn test_of(&self, of: &Subscription, bucket: &BucketName, at_unix_ms: u64) -> Happened {
        Happened {
            kind: None,
            bucket: bucket.clone(),
            subscription: of.id.clone(),
            at_unix_ms,
            version: None,
            size_bytes: 0,
            etag: String::new(),
            by: cut(&self.cause.by),
            address: cut(&self.cause.address),
            request: cut(&self.cause.request),
        }
    }

    /// Who wants to know, for whoever plans a change in a view. The first attempt takes what this process knows for true: its batch
    /// finds out if that is wrong.
    pub(super) async fn watchers(
        &self,
        view: &impl View,
        present: &Present,
        attempt: usize,
    ) -> Result<Watchers, CatalogError> {
        let bucket = present.bucket;
        let known = match attempt {
            0 => self.shared.watched.read().get(bucket),
            _ => self.read_watchers(view, bucket).await?,
        };
        let since = if known.is_some() { view.revision().await? } else { Revision::default() };
        Ok(Watchers { bucket, known, since, cause: Arc::clone(&self.cause) })
    }

    /// Nobody, as far as this process knows, for a plan that has no view.
    pub(super) fn no_watchers(&self, bucket: BucketId) -> Watchers {
        Watchers { bucket, known: None, since: Revision::default(), cause: Arc::clone(&self.cause) }
    }

    /// Whether somebody was seen to want to know of changes in the bucket.
    pub(super) fn is_watched(&self, bucket: BucketId) -> bool {
        self.shared.watched.read().has(bucket)
    }

    async fn read_watchers(&self, view: &impl View, bucket: BucketId) -> Result<Option<Known>, CatalogError> {
        let found = find::<SettingRecord>(view, &row_of(bucket)).await?;
        let known = match found.record.zip(found.version) {
            Some((setting, written)) => {
                let record = Arc::new(record::decode(&setting.bytes)?);
                Some(Known { written, record, bytes: setting.bytes.len() })
            }
            None => None,
        };
        let mut watched = self.shared.watched.write();
        match &known {
            Some(known) => watched.insert(bucket, known.clone()),
            None => watched.remove(bucket),
        }
        Ok(known)
    }
}

fn first_of_each_target(subscriptions: &[Subscription]) -> impl Iterator<Item = &Subscription> {
    let is_first = |(n, one): &(usize, &Subscription)| {
        subscriptions[..*n].iter().all(|before| before.target != one.target)
    };
    subscriptions.iter().enumerate().filter(is_first).map(|(_, one)| one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        let long = cut(&"ü".repeat(EVENT_TEXT_BYTES_MAX));
        assert_eq!(long.len(), EVENT_TEXT_BYTES_MAX - EVENT_TEXT_BYTES_MAX % 2);
    }
}
