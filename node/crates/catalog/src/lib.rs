//! The catalog: the system of record for names, keys, membership and garbage.
//!
//! Its logic ([`Catalog`]) is written once over a small ordered [`keyspace`]; [`engine`] has the engines behind that
//! trait. Times are passed in (Unix milliseconds), sealed contents are opaque bytes. An operation that returned
//! `Ok` is durable.
//!
//! The life of a put: [`Catalog::begin_upload`] (a lease; may carry the first references), [`Catalog::reference`]
//! alongside the shards, [`Catalog::put_page`] per 256 segments, [`Catalog::commit_object`] with the last page. The
//! commit is one atomic batch at any object size. A small object is one call: [`Catalog::put_inline`].

pub mod backup;
pub mod catalog;
pub mod engine;
pub mod keys;
pub mod keyspace;
pub mod limits;
pub mod model;
pub mod moving;
pub mod record;

pub use catalog::{Catalog, CatalogOptions, EmbeddedCatalog};
pub use model::{
    AccessKey, AccessKeyId, AccessKeyIdError, Account, AddressCode, AskedDownload, AuditAt, AuditHead,
    AuditPage, AuditRow, Body, Bucket, BucketId, BucketKind, BucketSetting, BucketUsage, Cause, Committed,
    Condemned, Condition, Credential, CredentialId, CredentialKind, Cursor, CursorError, DefaultRetention,
    Deleted, DraftBody, Entry, Event, EventKind, EventTally, Grant, Grounds, Group, GroupName, Happened,
    HexIdError, Identity, KeyedRequest, ListQuery, ListedUpload, Listing, Lock, LockChange, Locked, Locking,
    Marker, Marking, NewBucket, NewUpload, Object, ObjectDraft, ObjectKey, ObjectKeyError, Page, PageAt,
    PartSummary, PartTag, PasswordHash, Permission, PlacedPage, Registration, RequestId, Retention,
    RetentionMode, RetentionPeriod, Role, Scope, SecondFactor, SegmentRef, Share, ShareUse, Shared, Shown,
    Subscription, TaggedPart, Target, TrashEntry, TrashPage, UnderWay, Upload, UploadId, UploadIdError, User,
    UserId, UserName, UserNameError, Version, VersionCursor, VersionEntry, VersionId, VersionIdError,
    VersionListing, VersionObject, VersionQuery, Versioning, Way, WrappedSecret,
};
