//! The kinds of problems there are, with what is told of each.

use http::StatusCode;

/// Of tus, which has a status of its own for it.
const CHECKSUM_MISMATCH: StatusCode = match StatusCode::from_u16(460) {
    Ok(status) => status,
    Err(_) => StatusCode::BAD_REQUEST,
};

/// What went wrong: one stable slug each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No token, or a wrong one.
    Unauthorized,
    /// The password is right; a code of the second factor is asked for, or the one that came is wrong.
    SecondFactorRequired,
    /// The token does not allow this.
    Forbidden,
    /// No such route.
    NoSuchRoute,
    /// The route has no such method.
    MethodNotAllowed,
    /// No object of that key.
    NoSuchObject,
    /// No such bucket.
    NoSuchBucket,
    /// No such upload, or it ended.
    NoSuchUpload,
    /// No such pool, or no such node in it.
    NoSuchNode,
    /// No such access key.
    NoSuchAccessKey,
    /// No such user.
    NoSuchUser,
    /// No such group of users.
    NoSuchGroup,
    /// No such session or token.
    NoSuchCredential,
    /// No such link, or it has ended.
    NoSuchShare,
    /// The link asks for a password.
    SharePasswordRequired,
    /// The link's downloads were had, or its room is taken.
    ShareUsedUp,
    /// There is a user of that name.
    UserExists,
    /// There is a group of that name.
    GroupExists,
    /// Too many attempts; `Retry-After` says when the next may come.
    TooManyRequests,
    /// A key, name or number in path, query or header is not what it must be.
    InvalidParameter,
    /// The body is not what it must be.
    InvalidBody,
    /// The body is larger than it may be.
    TooLarge,
    /// The body ended early or stalled.
    BodyIncomplete,
    /// If-Match or If-None-Match does not hold.
    PreconditionFailed,
    /// It would overwrite what another may have written: If-Match must be sent.
    PreconditionRequired,
    /// The range lies outside the object.
    RangeNotSatisfiable,
    /// The bytes are another segment than the one that the request names.
    SegmentDiffers,
    /// The request contradicts what is there.
    Conflict,
    /// The idempotency key came with another request before.
    KeyReused,
    /// The request of this idempotency key is being done.
    UnderWay,
    /// Whoever did the request of this idempotency key stopped before the outcome was known.
    OutcomeUnknown,
    /// There is a bucket of that name.
    BucketExists,
    /// A bucket with objects is not deleted.
    BucketNotEmpty,
    /// The bucket is not set up for this.
    BucketState,
    /// Another request writes to the upload now.
    UploadBusy,
    /// The protocol's version is another than the one spoken here.
    UnsupportedVersion,
    /// The body is of another media type than is taken.
    WrongMediaType,
    /// The bytes are not those that the checksum sent with them is of.
    ChecksumMismatch,
    /// A lock keeps the version as it is.
    Locked,
    /// Versions of the bucket are never locked.
    NotLockable,
    /// The body is not the one its checksum was made of.
    BadDigest,
    /// A pool that holds data cannot be changed like that.
    PoolInUse,
    /// No pool can take the write now.
    NotWritable,
    /// Too few nodes have room.
    PoolFull,
    /// Too few shards answer to read the object now.
    NotReadable,
    /// The object was deleted or replaced while it was read, and kept no longer.
    Changed,
    /// A key of a customer must come with the request, or must not.
    CustomerKey,
    /// The object's record does not open with the cluster's keys.
    Damaged,
    /// The gateways that keep the catalog are too few, or choose one of them to lead.
    NoCatalog,
    /// The gateway is stopping.
    Stopping,
    /// It is planned, and not there yet.
    NotImplemented,
    /// A provider that users sign in at does not answer, or not as it must.
    ProviderFailed,
    /// A fault of the gateway; the log says more.
    Internal,
}

impl Kind {
    /// Every kind, for the documentation and the test over it.
    pub const ALL: [Self; 53] = [
        Self::Unauthorized,
        Self::SecondFactorRequired,
        Self::Forbidden,
        Self::NoSuchRoute,
        Self::MethodNotAllowed,
        Self::NoSuchObject,
        Self::NoSuchBucket,
        Self::NoSuchUpload,
        Self::NoSuchNode,
        Self::NoSuchAccessKey,
        Self::NoSuchUser,
        Self::NoSuchGroup,
        Self::NoSuchCredential,
        Self::NoSuchShare,
        Self::SharePasswordRequired,
        Self::ShareUsedUp,
        Self::UserExists,
        Self::GroupExists,
        Self::TooManyRequests,
        Self::InvalidParameter,
        Self::InvalidBody,
        Self::TooLarge,
        Self::BodyIncomplete,
        Self::PreconditionFailed,
        Self::PreconditionRequired,
        Self::RangeNotSatisfiable,
        Self::SegmentDiffers,
        Self::Conflict,
        Self::KeyReused,
        Self::UnderWay,
        Self::OutcomeUnknown,
        Self::BucketExists,
        Self::BucketNotEmpty,
        Self::BucketState,
        Self::UploadBusy,
        Self::UnsupportedVersion,
        Self::WrongMediaType,
        Self::ChecksumMismatch,
        Self::Locked,
        Self::NotLockable,
        Self::BadDigest,
        Self::PoolInUse,
        Self::NotWritable,
        Self::PoolFull,
        Self::NotReadable,
        Self::Changed,
        Self::CustomerKey,
        Self::Damaged,
        Self::NoCatalog,
        Self::Stopping,
        Self::NotImplemented,
        Self::ProviderFailed,
        Self::Internal,
    ];

    /// Status, slug and title.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "a table")]
    pub const fn describe(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Unauthorized => {
                (StatusCode::UNAUTHORIZED, "unauthorized", "A valid bearer token is needed")
            }
            Self::SecondFactorRequired => {
                (StatusCode::UNAUTHORIZED, "second-factor-required", "A code of the second factor is needed")
            }
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "The token does not allow this"),
            Self::NoSuchRoute => (StatusCode::NOT_FOUND, "no-such-route", "There is nothing at this path"),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "The path has no such method")
            }
            Self::NoSuchObject => (StatusCode::NOT_FOUND, "no-such-object", "There is no object of this key"),
            Self::NoSuchBucket => {
                (StatusCode::NOT_FOUND, "no-such-bucket", "There is no bucket of this name")
            }
            Self::NoSuchUpload => {
                (StatusCode::NOT_FOUND, "no-such-upload", "There is no upload of this id, or it has ended")
            }
            Self::NoSuchNode => {
                (StatusCode::NOT_FOUND, "no-such-node", "There is no such pool, or no such node in it")
            }
            Self::NoSuchAccessKey => {
                (StatusCode::NOT_FOUND, "no-such-access-key", "There is no access key of this id")
            }
            Self::NoSuchUser => (StatusCode::NOT_FOUND, "no-such-user", "There is no user of this name"),
            Self::NoSuchGroup => (StatusCode::NOT_FOUND, "no-such-group", "There is no group of this name"),
            Self::NoSuchCredential => {
                (StatusCode::NOT_FOUND, "no-such-credential", "There is no session or token of this id")
            }
            Self::NoSuchShare => {
                (StatusCode::NOT_FOUND, "no-such-share", "There is no such link, or it has ended")
            }
            Self::SharePasswordRequired => {
                (StatusCode::UNAUTHORIZED, "share-password-required", "The link asks for a password")
            }
            Self::ShareUsedUp => (StatusCode::GONE, "share-used-up", "The link gives or takes no more"),
            Self::UserExists => (StatusCode::CONFLICT, "user-exists", "There is a user of this name already"),
            Self::GroupExists => {
                (StatusCode::CONFLICT, "group-exists", "There is a group of this name already")
            }
            Self::TooManyRequests => {
                (StatusCode::TOO_MANY_REQUESTS, "too-many-requests", "There were too many attempts")
            }
            Self::InvalidParameter => (StatusCode::BAD_REQUEST, "invalid-parameter", "A parameter is wrong"),
            Self::InvalidBody => (StatusCode::BAD_REQUEST, "invalid-body", "The body is wrong"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is too large"),
            Self::BodyIncomplete => {
                (StatusCode::BAD_REQUEST, "body-incomplete", "The body did not arrive in full")
            }
            Self::PreconditionFailed => (
                StatusCode::PRECONDITION_FAILED,
                "precondition-failed",
                "The object is not in the expected state",
            ),
            Self::PreconditionRequired => (
                StatusCode::PRECONDITION_REQUIRED,
                "precondition-required",
                "The request must say what it expects to change",
            ),
            Self::RangeNotSatisfiable => (
                StatusCode::RANGE_NOT_SATISFIABLE,
                "range-not-satisfiable",
                "The range lies outside the object",
            ),
            Self::SegmentDiffers => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "segment-differs",
                "The bytes are another segment than the one named",
            ),
            Self::Conflict => (StatusCode::CONFLICT, "conflict", "The request contradicts what is there"),
            Self::KeyReused => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency-key-reused",
                "The key came with another request before",
            ),
            Self::UnderWay => (StatusCode::CONFLICT, "request-under-way", "The request is being done"),
            Self::OutcomeUnknown => {
                (StatusCode::CONFLICT, "outcome-unknown", "Nobody knows what became of the request")
            }
            Self::BucketExists => {
                (StatusCode::CONFLICT, "bucket-exists", "There is a bucket of this name already")
            }
            Self::BucketNotEmpty => (StatusCode::CONFLICT, "bucket-not-empty", "The bucket has objects"),
            Self::BucketState => (StatusCode::CONFLICT, "bucket-state", "The bucket is not set up for this"),
            Self::UploadBusy => {
                (StatusCode::LOCKED, "upload-busy", "Another request writes to the upload now")
            }
            Self::UnsupportedVersion => (
                StatusCode::PRECONDITION_FAILED,
                "unsupported-version",
                "This version of the protocol is not spoken",
            ),
            Self::WrongMediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "wrong-media-type",
                "The body is of another media type than is taken",
            ),
            Self::ChecksumMismatch => {
                (CHECKSUM_MISMATCH, "checksum-mismatch", "The bytes are not those that the checksum is of")
            }
            Self::Locked => (StatusCode::LOCKED, "locked", "A lock keeps the version as it is"),
            Self::NotLockable => {
                (StatusCode::BAD_REQUEST, "not-lockable", "Versions of the bucket are never locked")
            }
            Self::BadDigest => {
                (StatusCode::BAD_REQUEST, "bad-digest", "The body is not the one its checksum was made of")
            }
            Self::PoolInUse => (StatusCode::CONFLICT, "pool-in-use", "The pool cannot be changed like that"),
            Self::NotWritable => {
                (StatusCode::SERVICE_UNAVAILABLE, "not-writable", "No pool can take the write safely now")
            }
            Self::PoolFull => (
                StatusCode::INSUFFICIENT_STORAGE,
                "pool-full",
                "Too few nodes of the pool have room for this",
            ),
            Self::NotReadable => {
                (StatusCode::SERVICE_UNAVAILABLE, "not-readable", "Too few shards answer to read this now")
            }
            Self::Changed => (
                StatusCode::SERVICE_UNAVAILABLE,
                "changed",
                "The object was deleted or replaced during the read",
            ),
            Self::CustomerKey => (
                StatusCode::BAD_REQUEST,
                "customer-key",
                "What is asked for and the key of its customer do not go together",
            ),
            Self::Damaged => {
                (StatusCode::INTERNAL_SERVER_ERROR, "damaged", "The stored record does not open")
            }
            Self::NoCatalog => (StatusCode::SERVICE_UNAVAILABLE, "no-catalog", "No gateway leads now"),
            Self::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping", "The gateway is stopping"),
            Self::NotImplemented => (StatusCode::NOT_IMPLEMENTED, "not-implemented", "This is not there yet"),
            Self::ProviderFailed => (
                StatusCode::BAD_GATEWAY,
                "provider-failed",
                "The provider that signs in does not answer as it must",
            ),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "The gateway failed"),
        }
    }
}
