//! Keys of the catalog's tables: tuples, encoded so that the order of the bytes is the order of the tuples.
//!
//! Every key begins with the key version and the table's number. The encoding is fixed by `tests/golden/keys-v1.txt`.

mod accounts;
mod buckets;
mod groups;
mod keyed_requests;
mod notifications;
mod pools;
mod segments;
mod tuple;
mod versions;

pub use accounts::{
    address_code, address_codes, audit_between, audit_cut, audit_entry, audit_head, credential, credentials,
    identities, identity, identity_of, read_audit_cut, read_audit_entry, read_audit_head, read_credential,
    read_share, second_factor, share, share_use, shares, used_state, used_states_before, user, user_name,
};
pub use buckets::{
    access_key, bucket, bucket_counter, bucket_gone, bucket_setting, bucket_settings, bucket_upload,
    bucket_uploads, object, objects, read_bucket_setting, read_bucket_upload,
};
use datamesh_shard::{NodeName, SegmentId};
pub use groups::{group, group_member, group_members, group_of, groups_of, read_group_member, read_group_of};
pub use keyed_requests::{keyed_request, keyed_request_count, keyed_request_due, read_keyed_request_due};
pub use notifications::{event, event_counter, events, is_event, read_event, read_event_counter};
pub use pools::{
    binding, bindings, closed_profile, drain, drains, given_up, join, layout, layout_head, layouts, peer,
    peer_incarnation, pool, profile_counter, read_given_up, read_pool_and_node, recode, scrub,
};
pub use segments::{
    condemned, condemned_segment, leftover, read_leftover, read_reference, reference, references,
    references_of, references_within, used_segment,
};
pub use tuple::{KEY_VERSION, KeyError, KeyReader, KeyWriter};
pub use versions::{null_version, read_version, version, version_of, versioning, versions, versions_of};

use crate::keyspace::KeyRange;
use crate::model::{PageAt, UploadId};

/// The tables. Numbers are never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Table {
    /// () → the cluster's fingerprint and the catalog's incarnation
    Cluster = 1,
    /// (pool) → what the administrator wants
    Pool = 2,
    /// (pool, epoch) → signed layout
    Layout = 3,
    /// (pool) → newest epoch
    LayoutHead = 4,
    /// (nonce) → who joined with it
    Join = 5,
    /// (pool, node) → its public key
    Binding = 6,
    /// (public key) → its pool and node
    Peer = 7,
    /// (public key) → highest incarnation seen
    PeerIncarnation = 8,
    /// (name) → bucket
    Bucket = 9,
    /// () → the next bucket's number
    BucketNext = 10,
    /// (upload) → what it writes to
    Upload = 11,
    /// (upload) → its lease
    Lease = 12,
    /// (lease end, upload) → nothing; what ends when
    LeaseDue = 13,
    /// (upload, part) → summary
    Part = 14,
    /// (upload, part, page) → page
    Page = 15,
    /// (upload, segment) → the clear part, and how many of the upload's pages name it
    UsedSegment = 16,
    /// (bucket, segment, upload) → nothing; who needs a segment
    Reference = 17,
    /// (bucket, key) → object
    Object = 18,
    /// (due, upload) → an upload whose segments are to be let go
    CondemnedUpload = 19,
    /// (due, segment) → a segment to delete
    Condemned = 20,
    /// (segment) → when it is due, and its generation
    CondemnedSegment = 21,
    /// (counter) → number
    Counter = 22,
    /// (bucket, counter) → number
    BucketCounter = 23,
    /// (pool, node) → since when it shall give its shards away
    Drain = 24,
    /// (pool) → how its nodes shall scrub, where not as usual
    Scrub = 25,
    /// (public key) → the volume that is not let in again
    GivenUp = 26,
    /// (pool) → whether what it has in earlier profiles is coded anew, where not as usual
    Recode = 27,
    /// (pool, k, m, counter) → number
    ProfileCounter = 28,
    /// (pool, k, m) → nothing; a profile that no layout has rows for any more: nothing may refer to segments of it
    ClosedProfile = 29,
    /// (upload) → an object that was deleted and is being shredded, or was
    Shred = 30,
    /// (upload, segment) → nothing; what is to be shredded of it
    ShredSegment = 31,
    /// (key id) → an S3 key pair and what it may do
    AccessKey = 32,
    /// (bucket) → nothing; it was deleted: nothing may be committed in it
    BucketGone = 33,
    /// (bucket, key, upload) → when it began; an open upload that listings show
    BucketUpload = 34,
    /// (upload, part) → what its client was told of the part
    PartTag = 35,
    /// (bucket) → whether it keeps versions; absent: it never did
    Versioning = 48,
    /// (bucket, key, order, the newest first) → a version that is not the key's object
    Version = 49,
    /// (bucket, key) → order of the version without an id, while it is not the key's object
    NullVersion = 50,
    /// (upload) → order of the version that came of it, while it is not its key's object; only where it has pages
    VersionOf = 51,
    /// (user) → who may sign in
    User = 36,
    /// (name, folded) → whose it is
    UserName = 37,
    /// (user, credential) → a session, token or code that stands for the user
    Credential = 38,
    /// () → who may become a user
    Registration = 39,
    /// (chain) → how far it goes, signed
    AuditHead = 40,
    /// (time, chain, number) → who did what
    AuditEntry = 41,
    /// (chain) → how much of it was cut off, signed
    AuditCut = 42,
    /// (user) → what they show at sign-in besides the password
    SecondFactor = 60,
    /// (0, issuer, subject) and (1, user, issuer) → who somebody at a provider of OpenID Connect is here
    Identity = 61,
    /// (end, hash) → nothing; a sign-in at a provider that came back
    UsedState = 62,
    /// (user, share) → what everybody may have who has its link
    Share = 63,
    /// (user, share) → how much of it was used
    ShareUse = 64,
    /// (user, id) → a code by which they prove an address of mail
    AddressCode = 65,
    /// (setting, bucket) → what is set of the bucket
    BucketSetting = 52,
    /// () → the backup that this catalog came out of, and its generation; only where it was restored
    Restored = 53,
    /// () → when snapshots of the catalog for backups were begun of late
    Snapshots = 54,
    /// (upload) → nothing; a committed one that may have segments no page names: those are to be let go
    Leftover = 83,
    /// (target, order, bucket, key) → what happened to the key, for who was not told yet
    Event = 70,
    /// (target, counter) → number
    EventCounter = 71,
    /// (request) → a request that its client gave a key, and its answer
    KeyedRequest = 72,
    /// (end, request) → nothing; what is forgotten when
    KeyedRequestDue = 73,
    /// (asker) → how many there are of theirs
    KeyedRequestCount = 74,
    /// () → a move to another engine that began here; (gateway) → the move that it is ready for
    Move = 87,
    /// () → nothing is committed here: the catalog has gone, or has not come yet
    Fence = 88,
    /// () → the move by which the catalog came here
    Came = 89,
    /// (name, folded) → a group of users
    Group = 90,
    /// (name of a group, folded, user) → nothing; its members
    GroupMember = 91,
    /// (user, name of a group, folded) → nothing; the groups that a user is in
    GroupOf = 92,
    /// () → how far copies of the catalog's backups elsewhere are
    Copies = 94,
    /// () → since when a restored catalog has nothing deleted, until somebody has looked at it
    DeletionHeld = 95,
    /// () → how far a restore has come; in no catalog that is whole
    Restoring = 96,
    /// () → when somebody last asked for a backup of the catalog
    BackupAsked = 101,
}

fn table(table: Table) -> KeyWriter {
    KeyWriter::new(table)
}

/// All keys of a table.
#[must_use]
pub fn all(of: Table) -> KeyRange {
    KeyRange::prefix(table(of).finish())
}

/// The one key of a table without columns.
#[must_use]
pub fn only(of: Table) -> Vec<u8> {
    table(of).finish()
}

/// Key of an upload.
#[must_use]
pub fn upload(upload: UploadId) -> Vec<u8> {
    table(Table::Upload).fixed(&upload.0).finish()
}

/// Key of an upload's lease.
#[must_use]
pub fn lease(upload: UploadId) -> Vec<u8> {
    table(Table::Lease).fixed(&upload.0).finish()
}

/// Key of a lease in the order of their ends.
#[must_use]
pub fn lease_due(until_unix_ms: u64, upload: UploadId) -> Vec<u8> {
    table(Table::LeaseDue).u64(until_unix_ms).fixed(&upload.0).finish()
}

/// Rows of a table ordered by time that are due by now (inclusive).
#[must_use]
pub fn due_by(of: Table, now_unix_ms: u64) -> KeyRange {
    let all = all(of);
    let end = now_unix_ms.checked_add(1).map(|after| table(of).u64(after).finish());
    KeyRange { start: all.start, end: end.or(all.end) }
}

/// Key of a part.
#[must_use]
pub fn part(upload: UploadId, part: u32) -> Vec<u8> {
    table(Table::Part).fixed(&upload.0).u32(part).finish()
}

/// All parts of an upload.
#[must_use]
pub fn parts(upload: UploadId) -> KeyRange {
    of_upload(Table::Part, upload)
}

/// Key of what the client was told of a part.
#[must_use]
pub fn part_tag(upload: UploadId, part: u32) -> Vec<u8> {
    table(Table::PartTag).fixed(&upload.0).u32(part).finish()
}

/// Key of a page.
#[must_use]
pub fn page(upload: UploadId, at: PageAt) -> Vec<u8> {
    table(Table::Page).fixed(&upload.0).u32(at.part).u32(at.page).finish()
}

/// All rows of an upload in a table that begins with it.
#[must_use]
pub fn of_upload(of: Table, upload: UploadId) -> KeyRange {
    KeyRange::prefix(table(of).fixed(&upload.0).finish())
}

/// Key of a condemned upload.
#[must_use]
pub fn condemned_upload(due_unix_ms: u64, upload: UploadId) -> Vec<u8> {
    table(Table::CondemnedUpload).u64(due_unix_ms).fixed(&upload.0).finish()
}

/// Key of a shredding.
#[must_use]
pub fn shred(upload: UploadId) -> Vec<u8> {
    table(Table::Shred).fixed(&upload.0).finish()
}

/// Reads it back.
///
/// # Errors
/// Refuses keys of other tables, and everything that is no such key.
pub fn read_shred(key: &[u8]) -> Result<UploadId, KeyError> {
    let mut key = KeyReader::new(key, Table::Shred)?;
    let upload = UploadId(key.fixed()?);
    key.end()?;
    Ok(upload)
}

/// Key of a segment that is to be shredded.
#[must_use]
pub fn shred_segment(upload: UploadId, segment: SegmentId) -> Vec<u8> {
    table(Table::ShredSegment).fixed(&upload.0).fixed(&segment.0).finish()
}

/// Reads the segment back.
///
/// # Errors
/// Refuses keys of other tables, and everything that is no such key.
pub fn read_shred_segment(key: &[u8]) -> Result<SegmentId, KeyError> {
    let mut key = KeyReader::new(key, Table::ShredSegment)?;
    let (_, segment) = (key.fixed::<16>()?, SegmentId(key.fixed()?));
    key.end()?;
    Ok(segment)
}

/// Key of a gateway's word that it is ready for a move.
#[must_use]
pub fn ready(gateway: &NodeName) -> Vec<u8> {
    table(Table::Move).bytes(gateway.as_str().as_bytes()).finish()
}

/// Key of a counter.
#[must_use]
pub fn counter(number: u8) -> Vec<u8> {
    table(Table::Counter).u8(number).finish()
}
