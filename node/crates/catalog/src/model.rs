//! What the catalog's callers see: ids, uploads, pages, objects, listings. Times are Unix milliseconds, passed in.

mod access_key;
mod account;
mod audit;
mod bucket;
mod identity;
mod ids;
mod listing;
mod object;
mod second_factor;
mod segment;
mod upload;
mod version;

pub use access_key::{AccessKey, AccessKeyId, AccessKeyIdError, Grant, Permission};
pub use account::{
    AddressCode, Credential, CredentialId, CredentialKind, HexIdError, PasswordHash, Registration, Role,
    Scope, User, UserId, UserName, UserNameError,
};
pub use audit::{AuditAt, AuditHead, AuditPage, AuditRow};
pub use bucket::{Bucket, BucketKind, BucketSetting, BucketUsage, NewBucket, WrappedSecret};
pub use identity::Identity;
pub use ids::{BucketId, ObjectKey, ObjectKeyError, UploadId, UploadIdError};
pub use listing::{Cursor, CursorError, Entry, ListQuery, Listing};
pub use object::{Body, Committed, Condition, DraftBody, Object, ObjectDraft};
pub use second_factor::{SecondFactor, Shown};
pub use segment::{Condemned, Page, PageAt, PlacedPage, SegmentRef};
pub use upload::{ListedUpload, NewUpload, PartSummary, PartTag, TaggedPart, Target, Upload};
pub use version::{
    Deleted, Marker, Marking, Version, VersionCursor, VersionEntry, VersionId, VersionIdError,
    VersionListing, VersionObject, VersionQuery, Versioning,
};
