//! Keys.

use datamesh_catalog::engine::row;
use datamesh_catalog::keys::{self as key, Table};
use datamesh_catalog::keyspace::Revision;
use datamesh_catalog::{BucketId, BucketSetting, Cursor, ObjectKey, PageAt};
use datamesh_shard::{BucketName, Epoch, SegmentId};

use super::{PEER, UPLOAD, accounts, hook, moving, node, pool, profile};

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
        ("restoring", key::only(Table::Restoring)),
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
