//! The catalog's rows: records, keys, cursors of listings. Its modules are compiled from where they stand, without its
//! engines: they are pure, and RocksDB is not built for fuzzing.
#![no_main]

#[allow(dead_code, unused_imports)]
#[path = "../../node/crates/catalog/src"]
mod catalog {
    pub mod keys;
    pub mod keyspace;
    pub mod limits;
    pub mod model;
    pub mod record;
    #[path = "backup/piece.rs"]
    pub mod piece;
    #[path = "engine/rocks/row.rs"]
    pub mod row;
}

use std::fmt::Debug;

// The modules call each other by their places in their own crate.
use catalog::{keys, keyspace, limits, model, piece, record, row};
use datamesh_fuzz as _;
use keys::{KeyReader, KeyWriter, Table};
use model::{Cursor, ObjectKey, UploadId, VersionId};
use record::{HeadRecord, ObjectRecord, Record};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    members(input);
    objects(input);
    garbage(input);
    columns(input);
    if let Ok((revision, value)) = row::decode(input) {
        assert_eq!(row::encode(revision, value), input);
    }
    backup(input);
    if let Ok(cursor) = Cursor::decode(input) {
        assert_eq!(cursor.encode(), input);
    }
    if let Ok(key) = ObjectKey::new(input) {
        assert_eq!(key.as_bytes(), input);
    }
    let _ = std::str::from_utf8(input).map(str::parse::<UploadId>);
    if let Ok(Ok(id)) = std::str::from_utf8(input).map(str::parse::<VersionId>) {
        assert_eq!(id.to_string().parse(), Ok(id));
    }
});

/// A piece of a backup that reads is written so.
fn backup(input: &[u8]) {
    let Ok(entries) = piece::Entries::of(input) else { return };
    let mut again = piece::Piece::default();
    for entry in entries {
        let Ok(entry) = entry else { return };
        assert!(again.add(entry));
    }
    assert_eq!(again.finish(), input);
}

/// What reads is written so that it reads as the same again. (Not always as the same bytes: a number may have been longer
/// than it had to be.)
fn reads<R: Record + PartialEq + Debug>(input: &[u8]) -> bool {
    let Ok(read) = record::decode::<R>(input) else { return false };
    let again = record::encode(&read).expect("no longer than what was read");
    assert!(again.len() <= input.len());
    assert_eq!(record::decode::<R>(&again).as_ref(), Ok(&read));
    true
}

fn members(input: &[u8]) {
    reads::<model::KeyedRequest>(input);
    reads::<record::KeyedRequestCountRecord>(input);
    reads::<record::ClusterRecord>(input);
    reads::<record::PoolRecord>(input);
    reads::<record::LayoutRecord>(input);
    reads::<record::LayoutHeadRecord>(input);
    reads::<record::JoinRecord>(input);
    reads::<record::BindingRecord>(input);
    reads::<record::PeerRecord>(input);
    reads::<record::ShredRecord>(input);
    reads::<record::IncarnationRecord>(input);
    reads::<record::BucketRecord>(input);
    reads::<record::BucketNextRecord>(input);
    reads::<record::RestoredRecord>(input);
    reads::<record::RestoringRecord>(input);
    reads::<record::SnapshotsRecord>(input);
    reads::<record::CopiesRecord>(input);
    reads::<record::DeletionHeldRecord>(input);
    reads::<record::BackupAskedRecord>(input);
    reads::<record::MoveRecord>(input);
    reads::<record::ReadyRecord>(input);
    reads::<record::FenceRecord>(input);
    reads::<record::CameRecord>(input);
    reads::<record::ClosedClusterRecord>(input);
    reads::<record::DrainRecord>(input);
    reads::<record::AccessKeyRecord>(input);
    accounts(input);
}

fn accounts(input: &[u8]) {
    reads::<model::User>(input);
    reads::<model::Credential>(input);
    reads::<model::AddressCode>(input);
    reads::<model::Group>(input);
    reads::<model::SecondFactor>(input);
    reads::<model::Share>(input);
    reads::<model::ShareUse>(input);
    reads::<record::UserNameRecord>(input);
    reads::<record::IdentityRecord>(input);
    reads::<record::RegistrationRecord>(input);
    reads::<record::AuditRecord>(input);
    reads::<record::AuditHeadRecord>(input);
    reads::<record::AuditCutRecord>(input);
}

fn objects(input: &[u8]) {
    reads::<record::UploadRecord>(input);
    reads::<record::LeaseRecord>(input);
    reads::<record::PartRecord>(input);
    reads::<record::PartTagRecord>(input);
    reads::<record::ListedRecord>(input);
    reads::<model::Page>(input);
    reads::<record::VersioningRecord>(input);
    reads::<record::VersionRecord>(input);
    reads::<record::LockingRecord>(input);
    reads::<record::LockedVersionRecord>(input);
    reads::<record::OrderRecord>(input);
    reads::<record::SettingRecord>(input);
    reads::<record::SubscriptionsRecord>(input);
    reads::<record::EventRecord>(input);
    let head = HeadRecord::decode(input);
    let is_object = reads::<ObjectRecord>(input)
        || reads::<record::KeptObjectRecord>(input)
        || reads::<record::LockedObjectRecord>(input);
    if is_object {
        assert!(head.is_ok(), "a listing reads the first fields of the same row");
    }
}

fn garbage(input: &[u8]) {
    reads::<record::SegmentUseRecord>(input);
    reads::<record::DurableUseRecord>(input);
    reads::<record::KeyOnlyRecord>(input);
    reads::<record::CondemnedUploadRecord>(input);
    reads::<record::CondemnedRecord>(input);
    reads::<record::CondemnedSegmentRecord>(input);
}

/// Columns of keys: what reads is written as the same bytes, since their order is the keys'.
fn columns(input: &[u8]) {
    for table in [Table::Binding, Table::Drain] {
        if let Ok((pool, node)) = keys::read_pool_and_node(input, table) {
            let again = KeyWriter::new(table).bytes(pool.as_str().as_bytes()).bytes(node.as_str().as_bytes());
            assert_eq!(again.finish(), input);
        }
    }
    if let Ok(mut key) = KeyReader::new(input, Table::Object)
        && let (Ok(bucket), Ok(object)) = (key.u64(), key.bytes())
        && key.end().is_ok()
    {
        assert_eq!(keys::object(model::BucketId(bucket), &object), input);
    }
    if let Ok((key, order)) = keys::read_version(input) {
        // The bucket is the first of the columns behind format and table.
        let bucket = KeyReader::new(input, Table::Version).and_then(|mut key| key.u64());
        let bucket = model::BucketId(bucket.expect("it was read"));
        assert_eq!(keys::version(bucket, &key, order), input);
    }
    if let Ok(at) = keys::read_audit_entry(input) {
        assert_eq!(keys::audit_entry(&at), input);
    }
    let _ = keys::read_credential(input);
    let _ = keys::read_audit_head(input);
    let _ = keys::read_audit_cut(input);
    let _ = keys::read_bucket_upload(input);
    let _ = keys::read_bucket_setting(input);
    let _ = keys::read_event(input);
    let _ = keys::read_event_counter(input);
}
