//! What the catalog's callers see: ids, uploads, pages, objects, listings. Times are Unix milliseconds, passed in.

mod access_key;
mod account;
mod audit;
mod bucket;
mod group;
mod identity;
mod ids;
mod keyed_request;
mod listing;
mod lock;
mod notification;
mod object;
mod second_factor;
mod segment;
mod share;
mod trash;
mod upload;
mod version;

pub use access_key::{AccessKey, AccessKeyId, AccessKeyIdError, Grant, Permission};
pub use account::{
    AddressCode, Credential, CredentialId, CredentialKind, HexIdError, PasswordHash, Registration, Role,
    Scope, User, UserId, UserName, UserNameError,
};
pub use audit::{AuditAt, AuditHead, AuditPage, AuditRow};
pub use bucket::{Bucket, BucketKind, BucketSetting, BucketUsage, NewBucket, WrappedSecret};
pub use group::{Account, Group, GroupName};
pub use identity::Identity;
pub use ids::{BucketId, ObjectKey, ObjectKeyError, UploadId, UploadIdError};
pub use keyed_request::{KeyedRequest, RequestId};
pub use listing::{Cursor, CursorError, Entry, ListQuery, Listing};
pub use lock::{
    DefaultRetention, Grounds, Lock, LockChange, Locked, Locking, Retention, RetentionMode, RetentionPeriod,
};
pub use notification::{Cause, Event, EventKind, EventTally, Happened, Subscription, Way};
pub use object::{Body, Committed, Condition, DraftBody, Object, ObjectDraft};
pub use second_factor::{SecondFactor, Shown};
pub use segment::{Condemned, Page, PageAt, PlacedPage, SegmentRef};
pub use share::{AskedDownload, Share, ShareUse, Shared, UnderWay};
pub use trash::{TrashEntry, TrashPage};
pub use upload::{ListedUpload, NewUpload, PartSummary, PartTag, TaggedPart, Target, Upload};
pub use version::{
    Deleted, Marker, Marking, Version, VersionCursor, VersionEntry, VersionId, VersionIdError,
    VersionListing, VersionObject, VersionQuery, Versioning,
};
