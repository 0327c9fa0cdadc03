//! Events: written with what they tell, to whoever wants to know, and to nobody else.

use std::sync::Arc;

use datamesh_catalog::backup::{Restore, RowPieces, begins_after};
use datamesh_catalog::catalog::{Ending, SettingError};
use datamesh_catalog::engine::{AnyKeyspace, MemoryKeyspace, RocksKeyspace, RocksOptions};
use datamesh_catalog::keys::{self, Table};
use datamesh_catalog::keyspace::{Keyspace, RangeLimits, View};
use datamesh_catalog::limits::{SUBSCRIPTION_TEXT_BYTES_MAX, SUBSCRIPTIONS_MAX};
use datamesh_catalog::record::RestoredRecord;
use datamesh_catalog::{
    Bucket, BucketKind, BucketSetting, Cause, Condition, DraftBody, EmbeddedCatalog, Event, EventKind,
    Grounds, Marking, NewBucket, NewUpload, ObjectDraft, Subscription, Target, VersionId, Versioning, Way,
    WrappedSecret,
};
use datamesh_shard::{BucketName, Incarnation, PoolName, TargetName};
use futures::future::join_all;
use tokio::sync::Notify;

use crate::support::{bare, catalog_on, inline, key, on_all_engines, upload_id};

on_all_engines!(bare:
    a_change_and_its_event_are_one_commit, nobody_is_told_who_did_not_ask, what_is_set_elsewhere_counts_at_once,
    versions_and_rules_have_events, a_refused_change_has_none, those_of_one_key_are_in_their_order,
    the_oldest_are_given_up, what_was_told_is_forgotten_once, a_new_subscription_is_tried, a_deleted_bucket_tells_nobody,
    whoever_waits_is_woken, what_could_not_be_read_is_not_written,
);

const NOW: u64 = 1_790_000_000_000;

struct Told {
    keyspace: AnyKeyspace,
    catalog: EmbeddedCatalog,
    bucket: Bucket,
}

fn name(name: &str) -> TargetName {
    TargetName::new(name).unwrap()
}

fn wants(target: &str, kinds: &[EventKind], prefix: &str, suffix: &str) -> Subscription {
    Subscription {
        id: format!("{target}{prefix}{suffix}"),
        target: name(target),
        kinds: kinds.to_vec(),
        prefix: prefix.into(),
        suffix: suffix.into(),
    }
}

impl Told {
    async fn new(keyspace: AnyKeyspace) -> Self {
        let catalog = catalog_on(keyspace.clone()).await;
        let new = NewBucket {
            name: BucketName::new("photos").unwrap(),
            kind: BucketKind::Managed,
            pool: PoolName::new("fast").unwrap(),
            locking: None,
            created_unix_ms: 1,
        };
        let secret = |_| WrappedSecret { version: 1, bytes: vec![1] };
        let bucket = catalog.create_bucket(new, secret).await.unwrap().unwrap();
        Self { keyspace, catalog, bucket }
    }

    async fn subscribe(&self, catalog: &EmbeddedCatalog, all: Vec<Subscription>) {
        catalog.subscribe((self.bucket.id, &self.bucket.name), all, (false, NOW)).await.unwrap();
    }

    async fn put(&self, name: &str, upload: u64) {
        put(&self.catalog, &self.bucket, name, upload).await;
    }

    async fn delete(&self, name: &str, marker: u64) {
        let mark = Marking::Always(upload_id(marker));
        self.catalog
            .delete_object(self.bucket.id, &key(name), &Condition::None, mark, NOW + marker)
            .await
            .unwrap();
    }

    async fn events(&self, target: &str) -> Vec<Event> {
        self.catalog.events(&name(target), 1000).await.unwrap()
    }

    /// What a target is to be told: of what, of which key.
    async fn said(&self, target: &str) -> Vec<(EventKind, String)> {
        let said = |event: &Event| (event.what.kind.unwrap(), event.key.as_ref().unwrap().to_string());
        self.events(target).await.iter().map(said).collect()
    }

    /// Rows of events and of their counters.
    async fn rows(&self) -> usize {
        let view = self.keyspace.view().await.unwrap();
        let mut rows = 0;
        for table in [Table::Event, Table::EventCounter] {
            rows += view.range(&keys::all(table), RangeLimits::default()).await.unwrap().rows.len();
        }
        rows
    }

    async fn pending(&self, target: &str) -> u64 {
        self.catalog.event_tallies().await.unwrap()[&name(target)].pending
    }
}

async fn put(catalog: &EmbeddedCatalog, bucket: &Bucket, name: &str, upload: u64) {
    let target = Target { bucket: bucket.id, key: key(name), upload: upload_id(upload) };
    let draft = inline(&format!("e{upload}"), NOW + upload);
    catalog.put_inline(&target, &draft, &Condition::None).await.unwrap();
}

#[tokio::test]
async fn after_a_restore_events_of_a_key_are_in_their_order_still() {
    let lost = Told::new(MemoryKeyspace::default().into()).await;
    lost.subscribe(&lost.catalog, vec![wants("hook", &EventKind::ALL, "", "")]).await;
    lost.put("a", 1).await;
    let view = lost.keyspace.view().await.unwrap();
    let revision = view.revision().await.unwrap().0;
    let piece = RowPieces::of(&view).next().await.unwrap().unwrap();
    // Told by the lost one, and in no backup.
    lost.put("a", 2).await;
    let after = lost.events("hook").await[1].order;
    let restored =
        RestoredRecord { generation: 2, wish: String::new(), until_unix_ms: 1, at_unix_ms: 2, revision };
    let dir = tempfile::tempdir().unwrap();
    let options = RocksOptions { begins_after: begins_after(&restored), ..RocksOptions::default() };
    let into = || AnyKeyspace::from(RocksKeyspace::open(dir.path(), options).unwrap());
    let restore = Restore::into_empty(into()).await.unwrap();
    restore.write(&piece).await.unwrap();
    drop(restore.finish(Incarnation(1), (&restored, false)).await.unwrap());
    // Opened again it goes on counting where it was.
    let keyspace = into();
    let catalog = catalog_on(keyspace.clone()).await;
    let told = Told { keyspace, catalog, bucket: lost.bucket.clone() };
    told.put("a", 3).await;
    let events = told.events("hook").await;
    let said: Vec<_> = events.iter().map(|event| event.what.etag.as_str()).collect();
    assert_eq!(said, ["e1", "e3"], "what waited comes first");
    assert!(events[1].order > after, "and what comes now is above all that was told");
    let before = events[1].order;
    drop((told, events));
    let told = catalog_on(into()).await;
    put(&told, &lost.bucket, "a", 4).await;
    assert!(told.events(&name("hook"), 9).await.unwrap()[2].order > before);
}

async fn what_could_not_be_read_is_not_written(keyspace: AnyKeyspace) {
    let told = Told::new(keyspace).await;
    let set =
        async |all| told.catalog.subscribe((told.bucket.id, &told.bucket.name), all, (false, NOW)).await;
    let hook = |kinds: &[EventKind], id: usize, prefix: usize| Subscription {
        id: "x".repeat(id),
        ..wants("hook", kinds, &"p".repeat(prefix), "")
    };
    let text = SUBSCRIPTION_TEXT_BYTES_MAX;
    let most = vec![hook(&EventKind::ALL, text, text); SUBSCRIPTIONS_MAX];
    set(most.clone()).await.unwrap();
    let kinds = [EventKind::Put; EventKind::ALL.len() + 1];
    let [one, another] = [(text + 1, 0), (0, text + 1)].map(|(id, prefix)| hook(&[], id, prefix));
    for more in
        [vec![one], vec![another], vec![hook(&[], 0, 0); SUBSCRIPTIONS_MAX + 1], vec![hook(&kinds, 0, 0)]]
    {
        let refused = set(more).await;
        assert!(matches!(refused, Err(SettingError::Invalid(_))), "{refused:?}");
        assert_eq!(told.catalog.subscriptions(told.bucket.id).await.unwrap(), most, "nothing is changed");
    }
}

async fn a_change_and_its_event_are_one_commit(keyspace: AnyKeyspace) {
    let told = Told::new(keyspace).await;
    told.subscribe(&told.catalog, vec![wants("hook", &EventKind::ALL, "", "")]).await;
    let before = told.keyspace.view().await.unwrap().revision().await.unwrap();
    let cause = |way| {
        let by = "key:DMAK".repeat(100);
        Arc::new(Cause { way, by, address: "10.0.0.7".into(), request: "0123".into() })
    };
    put(&told.catalog.because_of(cause(Way::Copy)), &told.bucket, "a", 7).await;
    let after = told.keyspace.view().await.unwrap().revision().await.unwrap();
    assert_eq!(after.0, before.0 + 1, "one commit");
    let [event] = told.events("hook").await.try_into().unwrap();
    let object = told.catalog.object(told.bucket.id, &key("a")).await.unwrap().unwrap();
    assert_eq!((event.what.kind, event.what.bucket.as_str()), (Some(EventKind::Copy), "photos"));
    assert_eq!((event.what.etag.as_str(), event.what.size_bytes), ("e7", object.size_bytes));
    assert_eq!((event.what.at_unix_ms, event.what.version), (NOW + 7, None));
    assert_eq!((event.what.address.as_str(), event.what.request.as_str()), ("10.0.0.7", "0123"));
    assert_eq!((event.what.by.len(), event.what.subscription.as_str()), (256, "hook"));

    // An upload in parts, and who forms and deletes.
    let target = Target { bucket: told.bucket.id, key: key("b"), upload: upload_id(8) };
    let new = NewUpload {
        target,
        content_type: String::new(),
        meta: Vec::new(),
        created_unix_ms: NOW,
        lease_until_unix_ms: NOW + 1000,
        segments: Vec::new(),
    };
    told.catalog.begin_upload(new).await.unwrap();
    let draft = ObjectDraft { body: DraftBody::Inline { sealed: vec![1] }, ..inline("e8", NOW) };
    let completing = told.catalog.because_of(cause(Way::Parts));
    completing.commit_object(upload_id(8), &draft, &Condition::None).await.unwrap();
    // Said once, however often it is asked for.
    completing.commit_object(upload_id(8), &draft, &Condition::None).await.unwrap();
    put(&told.catalog.because_of(cause(Way::Post)), &told.bucket, "c", 9).await;
    put(&told.catalog.because_of(cause(Way::Post)), &told.bucket, "c", 9).await;
    told.delete("a", 10).await;
    told.delete("a", 11).await;
    let of = |kind, key: &str| (kind, key.to_owned());
    let expected = [
        of(EventKind::Copy, "a"),
        of(EventKind::Completed, "b"),
        of(EventKind::Post, "c"),
        of(EventKind::Deleted, "a"),
    ];
    assert_eq!(told.said("hook").await, expected);
    assert_eq!(told.pending("hook").await, 4);
}

async fn nobody_is_told_who_did_not_ask(keyspace: AnyKeyspace) {
    let told = Told::new(keyspace).await;
    told.put("a", 1).await;
    told.delete("a", 2).await;
    assert_eq!(told.rows().await, 0, "nothing is written where nobody asked");
    let pictures = wants("pictures", &[EventKind::Put], "in/", ".jpg");
    let gone = wants("gone", &[EventKind::Deleted], "", "");
    told.subscribe(&told.catalog, vec![pictures.clone(), gone]).await;
    for (n, key) in ["in/x.jpg", "in/x.png", "out/x.jpg", "in/y.jpg"].iter().enumerate() {
        told.put(key, 10 + n as u64).await;
    }
    told.delete("in/x.png", 20).await;
    let put = |key: &str| (EventKind::Put, key.to_owned());
    assert_eq!(told.said("pictures").await, [put("in/x.jpg"), put("in/y.jpg")]);
    assert_eq!(told.said("gone").await, [(EventKind::Deleted, "in/x.png".to_owned())]);
    told.subscribe(&told.catalog, vec![pictures.clone()]).await;
    assert_eq!(told.catalog.subscriptions(told.bucket.id).await.unwrap(), [pictures]);
    told.delete("in/x.jpg", 21).await;
    assert_eq!(told.said("gone").await.len(), 1, "it does not want to know any more");
    told.subscribe(&told.catalog, Vec::new()).await;
    told.put("in/z.jpg", 30).await;
    assert_eq!(told.said("pictures").await.len(), 2);
    assert!(
        told.catalog.bucket_setting(told.bucket.id, BucketSetting::Notifications).await.unwrap().is_none()
    );
}

async fn what_is_set_elsewhere_counts_at_once(keyspace: AnyKeyspace) {
    let told = Told::new(keyspace.clone()).await;
    let other = catalog_on(keyspace).await;
    told.put("a", 1).await;
    told.subscribe(&other, vec![wants("hook", &[EventKind::Put], "", "")]).await;
    told.put("a", 2).await;
    told.subscribe(&other, vec![wants("another", &[EventKind::Put], "", "")]).await;
    told.put("a", 3).await;
    told.subscribe(&other, Vec::new()).await;
    told.put("a", 4).await;
    assert_eq!((told.said("hook").await.len(), told.said("another").await.len()), (1, 1));
}

async fn versions_and_rules_have_events(keyspace: AnyKeyspace) {
    let told = Told::new(keyspace).await;
    let (catalog, bucket) = (&told.catalog, told.bucket.id);
    told.subscribe(catalog, vec![wants("hook", &EventKind::ALL, "", "")]).await;
    catalog.set_versioning(bucket, Versioning::Enabled).await.unwrap();
    told.put("a", 1).await;
    let first = catalog.object(bucket, &key("a")).await.unwrap().unwrap().version.unwrap();
    told.delete("a", 2).await;
    let marker = catalog.marker(bucket, &key("a")).await.unwrap().unwrap().version;
    catalog.delete_version((bucket, &key("a")), marker, Grounds::at(NOW)).await.unwrap().unwrap();
    catalog.set_bucket_setting(bucket, BucketSetting::Lifecycle, Some(b"rules".to_vec())).await.unwrap();
    let (_, rules) = catalog.bucket_rules(bucket, BucketSetting::Lifecycle).await.unwrap().unwrap();
    let mut hidden = None;
    for end in [first, first] {
        let key = key("a");
        let ending = Ending { key: &key, exact: end, newer: hidden, counted_max: 0 };
        catalog.expire_version(&rules, &ending, (upload_id(3), NOW), |_, _| true).await.unwrap().unwrap();
        hidden = catalog.marker(bucket, &key).await.unwrap().map(|marker| marker.version);
    }
    let version = |event: &Event| event.what.version.clone().unwrap();
    let said: Vec<_> =
        told.events("hook").await.iter().map(|event| (event.what.kind.unwrap(), version(event))).collect();
    let text = |version: VersionId| version.to_string();
    let by_rule = text(hidden.unwrap());
    let expected = [
        (EventKind::Put, text(first)),
        (EventKind::Marked, text(marker)),
        (EventKind::Deleted, text(marker)),
        (EventKind::ExpiredMarked, by_rule),
        (EventKind::Expired, text(first)),
    ];
    assert_eq!(said, expected);
}

async fn a_refused_change_has_none(keyspace: AnyKeyspace) {
    let told = Told::new(keyspace).await;
    told.subscribe(&told.catalog, vec![wants("hook", &EventKind::ALL, "", "")]).await;
    let target = Target { bucket: told.bucket.id, key: key("a"), upload: upload_id(1) };
    let condition = Condition::IfMatch("another".into());
    assert!(told.catalog.put_inline(&target, &inline("e", NOW), &condition).await.is_err());
    let mark = Marking::ToHide(upload_id(2));
    told.catalog.delete_object(told.bucket.id, &key("a"), &Condition::None, mark, NOW).await.unwrap();
    assert_eq!(told.rows().await, 0);
}

/// Several gateways write and delete one key at once: the order of events is that of the commits, by which the last event tells what is
/// there in the end.
async fn those_of_one_key_are_in_their_order(keyspace: AnyKeyspace) {
    let told = Told::new(keyspace.clone()).await;
    told.subscribe(&told.catalog, vec![wants("hook", &EventKind::ALL, "", "")]).await;
    let gateways = join_all((0..4).map(|_| catalog_on(keyspace.clone()))).await;
    let writers = gateways.iter().enumerate().map(|(n, catalog)| {
        let bucket = &told.bucket;
        async move {
            for round in 0..12 {
                put(catalog, bucket, "a", 100 + 100 * n as u64 + round).await;
                let mark = Marking::ToHide(upload_id(9));
                catalog.delete_object(bucket.id, &key("a"), &Condition::None, mark, NOW).await.unwrap();
            }
        }
    });
    join_all(writers).await;
    told.put("a", 5000).await;
    let events = told.events("hook").await;
    assert!(events.windows(2).all(|pair| pair[0].order < pair[1].order), "each has an order of its own");
    // A delete that commits has deleted something: a put stands in front of it, and no two deletes follow each other.
    let kinds: Vec<_> = events.iter().map(|event| event.what.kind.unwrap()).collect();
    assert_eq!(kinds.first(), Some(&EventKind::Put));
    assert!(kinds.windows(2).all(|pair| pair != [EventKind::Deleted; 2]), "{kinds:?}");
    assert_eq!(kinds.iter().filter(|kind| **kind == EventKind::Put).count(), 4 * 12 + 1);
    assert_eq!(events.last().unwrap().what.etag, "e5000");
    assert_eq!(told.pending("hook").await, u64::try_from(events.len()).unwrap());
}

async fn the_oldest_are_given_up(keyspace: AnyKeyspace) {
    let told = Told::new(keyspace).await;
    told.subscribe(&told.catalog, vec![wants("hook", &[EventKind::Put], "", "")]).await;
    for n in 0..7 {
        told.put(&format!("k{n}"), n).await;
    }
    assert_eq!(told.catalog.drop_events(&name("hook"), 7).await.unwrap(), 0);
    assert_eq!(told.catalog.drop_events(&name("hook"), 3).await.unwrap(), 4);
    assert_eq!(told.catalog.drop_events(&name("hook"), 3).await.unwrap(), 0);
    let left: Vec<_> = told.said("hook").await.into_iter().map(|(_, key)| key).collect();
    assert_eq!(left, ["k4", "k5", "k6"]);
    let tally = told.catalog.event_tallies().await.unwrap()[&name("hook")];
    assert_eq!((tally.pending, tally.dropped), (3, 4));
    assert_eq!(told.catalog.drop_events(&name("nobody"), 0).await.unwrap(), 0);
}

async fn what_was_told_is_forgotten_once(keyspace: AnyKeyspace) {
    let told = Told::new(keyspace).await;
    told.subscribe(&told.catalog, vec![wants("hook", &[EventKind::Put], "", "")]).await;
    for n in 0..4 {
        told.put(&format!("k{n}"), n).await;
    }
    let events = told.events("hook").await;
    told.catalog.forget_events(&name("hook"), &events[..2]).await.unwrap();
    // Two gateways told them, as may be for a moment.
    told.catalog.forget_events(&name("hook"), &events[..3]).await.unwrap();
    assert_eq!((told.said("hook").await.len(), told.pending("hook").await), (1, 1));
    assert_eq!(told.events("hook").await, events[3..]);
}

async fn a_new_subscription_is_tried(keyspace: AnyKeyspace) {
    let told = Told::new(keyspace).await;
    let of = (told.bucket.id, &told.bucket.name);
    let all = vec![
        wants("one", &[EventKind::Put], "a", ""),
        wants("one", &[EventKind::Put], "b", ""),
        wants("two", &[EventKind::Put], "c", ""),
    ];
    for _ in 0..2 {
        told.catalog.subscribe(of, all.clone(), (true, NOW)).await.unwrap();
    }
    for target in ["one", "two"] {
        let events = told.events(target).await;
        assert_eq!(events.len(), 2, "{target}: once each time");
        assert!(events.iter().all(|event| event.key.is_none() && event.what.kind.is_none()));
        assert_eq!(told.pending(target).await, 2);
    }
    let many = vec![wants("one", &[EventKind::Put], "a", ""); 101];
    let refused = told.catalog.subscribe(of, many, (true, NOW)).await;
    assert!(matches!(refused, Err(SettingError::Invalid(_))), "{refused:?}");
}

async fn a_deleted_bucket_tells_nobody(keyspace: AnyKeyspace) {
    let told = Told::new(keyspace).await;
    told.subscribe(&told.catalog, vec![wants("hook", &EventKind::ALL, "", "")]).await;
    told.put("a", 1).await;
    told.delete("a", 2).await;
    told.catalog.delete_bucket(&told.bucket.name).await.unwrap().unwrap();
    assert_eq!(told.said("hook").await.len(), 2, "what had happened is told");
    let target = Target { bucket: told.bucket.id, key: key("a"), upload: upload_id(3) };
    assert!(told.catalog.put_inline(&target, &inline("e", NOW), &Condition::None).await.is_err());
    let again = told.catalog.subscribe((told.bucket.id, &told.bucket.name), Vec::new(), (false, NOW)).await;
    assert_eq!(again, Err(SettingError::BucketGone));
    assert_eq!(told.said("hook").await.len(), 2);
}

async fn whoever_waits_is_woken(keyspace: AnyKeyspace) {
    let told = Told::new(keyspace).await;
    let wakes = [Arc::new(Notify::new()), Arc::new(Notify::new())];
    told.catalog.wake_on_events(wakes.to_vec());
    told.put("a", 1).await;
    told.subscribe(&told.catalog, vec![wants("hook", &[EventKind::Put], "", "")]).await;
    for wake in &wakes {
        let woken = tokio::time::timeout(std::time::Duration::from_millis(1), wake.notified()).await;
        assert!(woken.is_err(), "nothing has happened yet");
    }
    told.put("a", 2).await;
    for wake in &wakes {
        wake.notified().await;
    }
}
