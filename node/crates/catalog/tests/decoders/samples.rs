//! One sample of every record, key and row.

use datamesh_catalog::engine::raft::message::{
    Answer, AppendRecord, Appended, CandidateRecord, HandoverRecord, OutcomeRecord, PartRecord, Question,
    Refusal,
};
use datamesh_catalog::engine::raft::record::{
    AppliedRecord, ChangeRecord, ChangesRecord, EntryBody, EntryRecord, MembersRecord, Place, VolumeRecord,
    VoteRecord,
};
use datamesh_catalog::engine::raft::{Group, RowRecord};
use datamesh_catalog::engine::row;
use datamesh_catalog::keys::{self as key, Table};
use datamesh_catalog::keyspace::{Batch, KeyRange, Revision};
use datamesh_catalog::record::{self, Record};
use datamesh_catalog::{
    BucketId, BucketKind, BucketSetting, Cursor, DefaultRetention, EventKind, Grant, Happened, Lock, Locking,
    ObjectKey, Page, PageAt, PartSummary, Permission, Retention, RetentionMode, RetentionPeriod, SegmentRef,
    Subscription, UploadId, Versioning, WrappedSecret,
};
use datamesh_shard::{
    BucketName, Cipher, Epoch, ErasureProfile, Generation, Incarnation, NodeName, PeerKey, PoolName,
    SegmentId, TargetName, ZoneName,
};

#[path = "samples/accounts.rs"]
mod accounts;
#[path = "samples/backups.rs"]
mod backups;
#[path = "samples/moving.rs"]
mod moving;

type Judge = dyn Fn(&[u8]) -> bool;

/// A record's bytes and its decoder.
pub(crate) struct Sample {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
    /// Whether the decoder takes these bytes.
    pub(crate) decodes: fn(&[u8]) -> bool,
    /// Whether it reads the sample out of them.
    pub(crate) reads_as_itself: Box<Judge>,
}

fn sample<R: Record + PartialEq + 'static>(name: &'static str, record: R) -> Sample {
    Sample {
        name,
        bytes: record::encode(&record).unwrap(),
        decodes: |bytes| record::decode::<R>(bytes).is_ok(),
        reads_as_itself: Box::new(move |bytes| record::decode::<R>(bytes).as_ref() == Ok(&record)),
    }
}

fn pool() -> PoolName {
    PoolName::new("fast").unwrap()
}

fn node() -> NodeName {
    NodeName::new("fast-0").unwrap()
}

fn hook() -> TargetName {
    TargetName::new("hook").unwrap()
}

fn profile() -> ErasureProfile {
    ErasureProfile::new(4, 2).unwrap()
}

fn segment() -> SegmentRef {
    SegmentRef {
        id: SegmentId([0xab; 32]),
        sealed_bytes: 4_195_376,
        pool: pool(),
        profile: profile(),
        epoch: Epoch(300),
        generation: Generation(2),
    }
}

const UPLOAD: UploadId = UploadId([0x11; 16]);
const PEER: PeerKey = PeerKey([0x22; 32]);

fn meta() -> Vec<(String, String)> {
    vec![("colour".into(), "blue".into())]
}

fn member_samples() -> Vec<Sample> {
    let member = record::MemberRecord {
        node: node(),
        zone: ZoneName::new("zone-a").unwrap(),
        capacity_bytes: 1 << 40,
    };
    let secrets = vec![WrappedSecret { version: 3, bytes: vec![1, 2, 3] }];
    vec![
        sample(
            "cluster",
            record::ClusterRecord { fingerprint: "0123abcd".into(), incarnation: Incarnation(9) },
        ),
        sample(
            "pool",
            record::PoolRecord {
                erasure: profile(),
                cipher: Cipher::ChaCha20Poly1305,
                ack_shards: Some(5),
                members: vec![member],
            },
        ),
        sample("layout", record::LayoutRecord { signed: b"signed layout".to_vec() }),
        sample("layout-head", record::LayoutHeadRecord { epoch: Epoch(300) }),
        sample("join", record::JoinRecord { pool: pool(), node: node(), peer: PEER }),
        sample("binding", record::BindingRecord { peer: PEER }),
        sample("drain", record::DrainRecord { since_unix_ms: 1_800_000_000_000 }),
        sample(
            "scrub",
            record::ScrubRecord { period_seconds: 86_400, paused: true, max_bytes_per_second: Some(5 << 20) },
        ),
        sample("recode", record::RecodeRecord { enabled: true, max_bytes_per_second: Some(5 << 20) }),
        sample(
            "given-up",
            record::GivenUpRecord { pool: pool(), node: node(), since_unix_ms: 1_800_000_000_000 },
        ),
        sample(
            "shred-going",
            record::ShredRecord {
                begun_unix_ms: 1_800_000_000_000,
                pool: pool(),
                state: record::ShredState::Going { bucket: BucketId(5), key: ObjectKey::new("a/b").unwrap() },
            },
        ),
        sample(
            "shred-over",
            record::ShredRecord {
                begun_unix_ms: 1_800_000_000_000,
                pool: pool(),
                state: record::ShredState::Over { at_unix_ms: 1_800_000_060_000, partly: vec![node()] },
            },
        ),
        sample("peer", record::PeerRecord { pool: pool(), node: node() }),
        sample("incarnation", record::IncarnationRecord { incarnation: Incarnation(7) }),
        sample(
            "bucket",
            record::BucketRecord {
                id: BucketId(5),
                kind: BucketKind::Private,
                pool: pool(),
                secrets,
                created_unix_ms: 1_790_000_000_000,
            },
        ),
        sample("bucket-next", record::BucketNextRecord { next: BucketId(6) }),
    ]
}

fn access_key_sample() -> Sample {
    sample(
        "access-key",
        record::AccessKeyRecord {
            grant: Grant {
                name: "backup of the office".into(),
                owner: "admin".into(),
                permission: Permission::ReadWrite,
                buckets: vec![BucketName::new("backups").unwrap()],
                created_unix_ms: 1_790_000_000_000,
                disabled: true,
            },
            sealed_secret: vec![1, 2, 3],
        },
    )
}

fn upload_samples() -> Vec<Sample> {
    vec![
        sample(
            "upload",
            record::UploadRecord {
                bucket: BucketId(5),
                key: ObjectKey::new(b"a\0\xff/b").unwrap(),
                state: record::UploadState::Committed,
                content_type: "text/plain".into(),
                meta: meta(),
                created_unix_ms: 1_790_000_000_000,
            },
        ),
        sample("listed-upload", record::ListedRecord { created_unix_ms: 1_790_000_000_000 }),
        sample(
            "part-tag",
            record::PartTagRecord {
                etag: "0123456789abcdef-1".into(),
                put_unix_ms: 1_790_000_000_000,
                sealed: vec![4, 5, 6],
            },
        ),
        sample("lease", record::LeaseRecord { until_unix_ms: 1_790_000_060_000 }),
        sample("part", record::PartRecord { pages: 2, segments: 300, plain_bytes: 1 << 30, complete: true }),
        sample(
            "page",
            Page { segments: vec![segment()], plain_bytes: 4 << 20, last: true, sealed: vec![9; 40] },
        ),
    ]
}

fn object(body: record::BodyRecord) -> record::ObjectRecord {
    record::ObjectRecord {
        upload: UPLOAD,
        size_bytes: 1 << 30,
        created_unix_ms: 1_790_000_000_000,
        content_type: "text/plain".into(),
        etag: "0123456789abcdef".into(),
        meta: meta(),
        body,
    }
}

fn lock() -> Lock {
    let mode = RetentionMode::Compliance;
    Lock { retention: Some(Retention { mode, until_unix_ms: 1_800_000_000_000 }), legal_hold: Some(false) }
}

fn lock_samples() -> Vec<Sample> {
    let part = PartSummary { part: 1, pages: 2, segments: 300, plain_bytes: 1 << 30, complete: true };
    vec![
        sample(
            "object-locked",
            record::LockedObjectRecord {
                object: object(record::BodyRecord::Pages(vec![part])),
                kept: record::KeptRecord { order: 300, null: false },
                lock: lock(),
            },
        ),
        sample(
            "versioning-locking",
            record::LockingRecord {
                locking: Locking {
                    default: Some(DefaultRetention {
                        mode: RetentionMode::Governance,
                        period: RetentionPeriod::Years(300),
                    }),
                },
            },
        ),
        sample(
            "version-locked",
            record::LockedVersionRecord {
                null: true,
                object: object(record::BodyRecord::Pages(vec![part])),
                lock: lock(),
            },
        ),
    ]
}

fn object_samples() -> Vec<Sample> {
    let part = PartSummary { part: 1, pages: 2, segments: 300, plain_bytes: 1 << 30, complete: true };
    vec![
        sample("object-inline", object(record::BodyRecord::Inline(b"sealed".to_vec()))),
        sample("object-pages", object(record::BodyRecord::Pages(vec![part]))),
        sample(
            "object-kept",
            record::KeptObjectRecord {
                object: object(record::BodyRecord::Pages(vec![part])),
                kept: record::KeptRecord { order: 300, null: true },
            },
        ),
        sample("versioning", record::VersioningRecord { state: Versioning::Suspended }),
        sample(
            "version-object",
            record::VersionRecord {
                null: false,
                what: record::VersionBodyRecord::Object(object(record::BodyRecord::Pages(vec![part]))),
            },
        ),
        sample(
            "version-marker",
            record::VersionRecord {
                null: true,
                what: record::VersionBodyRecord::Marker {
                    upload: UPLOAD,
                    created_unix_ms: 1_790_000_000_000,
                },
            },
        ),
        sample("bucket-setting", record::SettingRecord { bytes: b"{}".to_vec() }),
        sample("version-order", record::OrderRecord { order: 300 }),
        sample("key-only", record::KeyOnlyRecord),
        sample(
            "used-segment",
            record::SegmentUseRecord {
                uses: 1,
                sealed_bytes: 4_195_376,
                pool: pool(),
                profile: profile(),
                epoch: Epoch(300),
                generation: Generation(2),
            },
        ),
        sample(
            "used-segment-durable",
            record::DurableUseRecord(record::SegmentUseRecord {
                uses: 1,
                sealed_bytes: 4_195_376,
                pool: pool(),
                profile: profile(),
                epoch: Epoch(300),
                generation: Generation(2),
            }),
        ),
        sample("condemned-upload", record::CondemnedUploadRecord { bucket: BucketId(5), segments: 300 }),
        sample(
            "condemned",
            record::CondemnedRecord {
                sealed_bytes: 4_195_376,
                pool: pool(),
                profile: profile(),
                epoch: Epoch(300),
                generation: Generation(2),
            },
        ),
        sample(
            "condemned-segment",
            record::CondemnedSegmentRecord { due_unix_ms: 1_790_000_000_000, generation: Generation(2) },
        ),
    ]
}

fn event_samples() -> Vec<Sample> {
    let bucket = BucketName::new("photos").unwrap();
    let subscription = Subscription {
        id: "pictures".into(),
        target: hook(),
        kinds: EventKind::ALL.to_vec(),
        prefix: "in/".into(),
        suffix: ".jpg".into(),
    };
    let happened = Happened {
        kind: Some(EventKind::Completed),
        bucket: bucket.clone(),
        subscription: "pictures".into(),
        at_unix_ms: 1_790_000_000_000,
        version: Some("null".into()),
        size_bytes: 1 << 30,
        etag: "0123456789abcdef-1".into(),
        by: "key:DM0123456789ABCDEFGH".into(),
        address: "10.0.0.7".into(),
        request: "0123456789abcdef".into(),
    };
    let test = Happened { kind: None, version: None, ..happened.clone() };
    vec![
        sample("subscriptions", record::SubscriptionsRecord { bucket, subscriptions: vec![subscription] }),
        sample("event", record::EventRecord(happened)),
        sample("event-of-a-test", record::EventRecord(test)),
    ]
}

/// All records.
/// What a replica keeps, and what replicas say to each other.
fn replica_samples() -> Vec<Sample> {
    let (vote, at) = (VoteRecord { term: 7, candidate: 3, won: true }, Place { term: 7, index: 300 });
    let members = MembersRecord { voters: vec![[1, 2, 3].into(), [1, 2, 4].into()], learners: [5].into() };
    let range = KeyRange::between(b"a", b"b");
    let mut batch = Batch::new();
    batch.expect(b"k", Some(Revision(300)));
    batch.expect(b"none", None);
    batch.expect_unchanged(range, Revision(299));
    batch.put(b"k", b"value");
    batch.delete(b"gone");
    batch.add(b"sum", -3);
    let group = Group(vec![batch].into());
    let entry = |body| EntryRecord { at, body };
    let change = ChangeRecord { revision: Revision(300), deleted: true, key: b"k".to_vec() };
    let applied =
        AppliedRecord { at: Some(at), members_at: None, members: members.clone(), floor: Revision(9) };
    let row = RowRecord { key: b"k".to_vec(), version: Revision(300), value: b"value".to_vec() };
    let entries = vec![entry(EntryBody::Group(group.clone()))];
    let append = AppendRecord { vote, previous: Some(at), entries, committed: Some(at) };
    let wish = CandidateRecord { vote, last: Some(at), handed_over: false };
    let part = PartRecord { vote, transfer: 77, number: 2, rows: vec![row], last: true };
    let outcomes = vec![
        OutcomeRecord::Committed(Revision(300)),
        OutcomeRecord::Conflict(1),
        OutcomeRecord::NotACounter(2),
    ];
    vec![
        sample("replica-place", at),
        sample("replica-vote", vote),
        sample("replica-volume", VolumeRecord { replica: 3, generation: 2 }),
        sample("replica-applied", applied),
        sample("replica-changes", ChangesRecord(vec![change])),
        sample("entry-blank", entry(EntryBody::Blank)),
        sample("entry-group", entry(EntryBody::Group(group.clone()))),
        sample("entry-members", entry(EntryBody::Members(members))),
        sample("question-append", Question::Append(append)),
        sample("question-vote", Question::Vote(wish)),
        sample("question-pre-vote", Question::PreVote(wish)),
        sample("question-part", Question::Part(part)),
        sample("question-handover", Question::Handover(HandoverRecord { from: vote, to: 2, last: Some(at) })),
        sample("question-commit", Question::Commit(group)),
        sample("question-read-at", Question::ReadAt),
        sample("answer-appended", Answer::Appended(Appended::UpTo(Some(at)))),
        sample("answer-voted", Answer::Voted { vote, granted: true, last: Some(at) }),
        sample("answer-part-taken", Answer::PartTaken),
        sample("answer-installed", Answer::Installed(vote)),
        sample("answer-handed-over", Answer::HandedOver),
        sample("answer-outcomes", Answer::Outcomes(outcomes)),
        sample("answer-read-at", Answer::ReadAt(at)),
        sample("answer-not-leader", Answer::Refused(Refusal::NotLeader(Some(2)))),
        sample("answer-unknown", Answer::Refused(Refusal::Unknown("lost".into()))),
        sample("answer-refused", Answer::Refused(Refusal::Refused("no".into()))),
    ]
}

pub(crate) fn samples() -> Vec<Sample> {
    let mut all = member_samples();
    all.push(access_key_sample());
    all.extend(accounts::samples());
    all.extend(backups::samples());
    all.extend(moving::samples());
    all.extend(upload_samples());
    all.extend(object_samples());
    all.extend(event_samples());
    all.extend(lock_samples());
    all.extend(replica_samples());
    all
}

/// One key of every table, and what else has a fixed form.
pub(crate) fn keys() -> Vec<(&'static str, Vec<u8>)> {
    let (id, at) = (SegmentId([0xab; 32]), PageAt { part: 3, page: 4 });
    let (fast, node, nonce) = (pool(), node(), [0x33; 16]);
    let mut all = vec![
        ("cluster", key::only(Table::Cluster)),
        ("pool", key::pool(&fast)),
        ("scrub", key::scrub(&fast)),
        ("recode", key::recode(&fast)),
        ("profile-counter", key::profile_counter(&fast, profile(), 2)),
        ("closed-profile", key::closed_profile(&fast, profile())),
        ("layout", key::layout(&fast, Epoch(300))),
        ("layout-head", key::layout_head(&fast)),
        ("join", key::join(&nonce)),
        ("leftover", key::leftover(UPLOAD)),
        ("binding", key::binding(&fast, &node)),
        ("drain", key::drain(&fast, &node)),
        ("given-up", key::given_up(&PEER)),
        ("peer", key::peer(&PEER)),
        ("peer-incarnation", key::peer_incarnation(&PEER)),
        ("bucket", key::bucket(&BucketName::new("default").unwrap())),
        ("bucket-next", key::only(Table::BucketNext)),
        ("restored", key::only(Table::Restored)),
        ("snapshots", key::only(Table::Snapshots)),
        ("copies", key::only(Table::Copies)),
        ("deletion-held", key::only(Table::DeletionHeld)),
        ("backup-asked", key::only(Table::BackupAsked)),
        ("upload", key::upload(UPLOAD)),
        ("lease", key::lease(UPLOAD)),
        ("lease-due", key::lease_due(1_790_000_000_000, UPLOAD)),
        ("part", key::part(UPLOAD, 3)),
        ("page", key::page(UPLOAD, at)),
        ("used-segment", key::used_segment(UPLOAD, id)),
        ("reference", key::reference(BucketId(5), id, UPLOAD)),
        ("object", key::object(BucketId(5), b"a\0\xff/b")),
        ("condemned-upload", key::condemned_upload(1_790_000_000_000, UPLOAD)),
        ("condemned", key::condemned(1_790_000_000_000, id)),
        ("condemned-segment", key::condemned_segment(id)),
        ("shred", key::shred(UPLOAD)),
        ("shred-segment", key::shred_segment(UPLOAD, id)),
        ("counter", key::counter(1)),
        ("bucket-counter", key::bucket_counter(BucketId(5), 2)),
        ("access-key", key::access_key(&"DM0123456789ABCDEFGH".parse().unwrap())),
        ("bucket-gone", key::bucket_gone(BucketId(5))),
        ("bucket-upload", key::bucket_upload(BucketId(5), &ObjectKey::new(b"a\0\xff/b").unwrap(), UPLOAD)),
        ("part-tag", key::part_tag(UPLOAD, 3)),
        ("versioning", key::versioning(BucketId(5))),
        ("version", key::version(BucketId(5), &ObjectKey::new(b"a\0\xff/b").unwrap(), 300)),
        ("null-version", key::null_version(BucketId(5), &ObjectKey::new(b"a\0\xff/b").unwrap())),
        ("version-of", key::version_of(UPLOAD)),
        ("bucket-setting", key::bucket_setting(BucketSetting::Lifecycle, BucketId(5))),
        ("event", key::event(&hook(), 300, BucketId(5), Some(&ObjectKey::new(b"a\0\xff/b").unwrap()))),
        ("event-of-a-test", key::event(&hook(), 300, BucketId(5), None)),
        ("event-counter", key::event_counter(&hook(), 1)),
        ("engine-revision", row::REVISION_KEY.to_vec()),
        ("engine-row", row::encode(Revision(300), b"value")),
        ("cursor-key", Cursor::Key(b"a\0b".to_vec()).encode()),
        ("cursor-prefix", Cursor::Prefix(b"a/".to_vec()).encode()),
    ];
    all.extend(accounts::keys());
    all.extend(moving::keys());
    all
}
