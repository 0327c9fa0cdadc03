//! Errors as clients see them: RFC 9457 problem details with a stable `type`.

use std::borrow::Cow;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde_json::json;

/// Where the types are documented; the slug follows.
const TYPE_BASE: &str = "https://datamesh.io/problems/";

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
    pub const ALL: [Self; 45] = [
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
        Self::NoSuchCredential,
        Self::NoSuchShare,
        Self::SharePasswordRequired,
        Self::ShareUsedUp,
        Self::UserExists,
        Self::TooManyRequests,
        Self::InvalidParameter,
        Self::InvalidBody,
        Self::TooLarge,
        Self::BodyIncomplete,
        Self::PreconditionFailed,
        Self::PreconditionRequired,
        Self::RangeNotSatisfiable,
        Self::Conflict,
        Self::KeyReused,
        Self::UnderWay,
        Self::OutcomeUnknown,
        Self::BucketExists,
        Self::BucketNotEmpty,
        Self::BucketState,
        Self::Locked,
        Self::NotLockable,
        Self::BadDigest,
        Self::PoolInUse,
        Self::NotWritable,
        Self::PoolFull,
        Self::NotReadable,
        Self::Changed,
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

/// One problem, ready to be answered.
#[derive(Debug)]
pub struct Problem {
    kind: Kind,
    detail: String,
    field: Option<Field>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// What of a request is wrong.
#[derive(Debug)]
enum Field {
    /// Of the query or the path.
    Parameter(&'static str),
    Header(&'static str),
    /// Of the body, as in `members/3/zone`.
    Body(Cow<'static, str>),
}

/// Problem details (RFC 9457), of media type `application/problem+json`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(crate) struct Document<'a> {
    /// What kind of problem it is; programs go by this alone.
    #[schemars(transform = all_types)]
    r#type: String,
    /// The same in words.
    title: &'a str,
    /// The answer's status.
    #[schemars(range(min = 400, max = 599))]
    status: u16,
    /// What happened here, and what to do about it.
    detail: &'a str,
    /// What of the request is wrong, by its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    /// The same with its place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Wrong<'a>>,
}

/// One thing that is wrong with a request, by its place: one of the three.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ProblemError")]
pub(crate) struct Wrong<'a> {
    /// In the body: a JSON pointer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<String>,
    /// In the query or the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<&'a str>,
    /// What to do about it.
    detail: &'a str,
}

impl Field {
    fn name(&self) -> &str {
        match self {
            Self::Parameter(name) | Self::Header(name) => name,
            Self::Body(name) => name,
        }
    }

    fn wrong<'a>(&'a self, detail: &'a str) -> Wrong<'a> {
        let none = Wrong { pointer: None, parameter: None, header: None, detail };
        match self {
            Self::Parameter(name) => Wrong { parameter: Some(name), ..none },
            Self::Header(name) => Wrong { header: Some(name), ..none },
            Self::Body(path) => Wrong { pointer: Some(format!("#/{path}")), ..none },
        }
    }
}

fn all_types(schema: &mut Schema) {
    let types: Vec<_> = Kind::ALL.iter().map(|kind| format!("{TYPE_BASE}{}", kind.describe().1)).collect();
    schema.insert("enum".to_owned(), json!(types));
}

impl Problem {
    /// A problem; `detail` says what happened here and what to do about it.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), field: None, headers: Vec::new() }
    }

    /// Names the parameter of path or query that is wrong.
    #[must_use]
    pub fn in_parameter(self, name: &'static str) -> Self {
        Self { field: Some(Field::Parameter(name)), ..self }
    }

    /// Names the request's header that is wrong.
    #[must_use]
    pub fn in_header(self, name: &'static str) -> Self {
        Self { field: Some(Field::Header(name)), ..self }
    }

    /// Names what is wrong in the body, as in `members/3/zone`.
    #[must_use]
    pub fn in_body(self, path: impl Into<Cow<'static, str>>) -> Self {
        Self { field: Some(Field::Body(path.into())), ..self }
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What happened here and what to do about it.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// A wrong parameter, in one step.
    pub fn parameter(field: &'static str, detail: impl Into<String>) -> Self {
        Self::new(Kind::InvalidParameter, detail).in_parameter(field)
    }

    /// A wrong header, in one step.
    pub fn request_header(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(Kind::InvalidParameter, detail).in_header(name)
    }

    /// A fault of the gateway itself: logged here, shown to the client without its inner workings.
    pub fn internal(what: &'static str, error: &dyn std::error::Error) -> Self {
        tracing::error!(what, error = %Chain(error), "request failed");
        Self::new(Kind::Internal, format!("{what}; the gateway's log says more under the request's id"))
    }
}

/// An error with its sources.
struct Chain<'a>(&'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, slug, title) = self.kind.describe();
        let document = Document {
            r#type: format!("{TYPE_BASE}{slug}"),
            title,
            status: status.as_u16(),
            detail: &self.detail,
            field: self.field.as_ref().map(Field::name),
            errors: self.field.iter().map(|field| field.wrong(&self.detail)).collect(),
        };
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            let scheme = match self.kind {
                Kind::SharePasswordRequired => "Basic realm=\"datamesh link\", charset=\"UTF-8\"",
                _ => "Bearer realm=\"datamesh\"",
            };
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        headers.extend(self.headers);
        response
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn slugs_are_distinct_and_statuses_are_errors() {
        let slugs: HashSet<_> = Kind::ALL.iter().map(|kind| kind.describe().1).collect();
        assert_eq!(slugs.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            let (status, slug, title) = kind.describe();
            assert!(status.is_client_error() || status.is_server_error(), "{slug}");
            assert!(slug.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !title.is_empty());
        }
    }

    #[tokio::test]
    async fn a_problem_has_the_shape_of_rfc_9457() {
        let response = Problem::parameter("limit", "limit is 1 to 1000, not 0").into_response();
        assert_eq!(response.status(), 400);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        let body = axum::body::to_bytes(response.into_body(), 1000).await.unwrap();
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "type": "https://datamesh.io/problems/invalid-parameter",
                "title": "A parameter is wrong",
                "status": 400,
                "detail": "limit is 1 to 1000, not 0",
                "field": "limit",
                "errors": [{ "parameter": "limit", "detail": "limit is 1 to 1000, not 0" }],
            })
        );
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let told = |problem: Problem| {
            serde_json::to_value(problem.field.unwrap().wrong("x")).unwrap().as_object().unwrap().clone()
        };
        let new = || Problem::new(Kind::InvalidBody, "x");
        assert_eq!(told(new().in_body("members/3/zone"))["pointer"], "#/members/3/zone");
        assert_eq!(told(new().in_header("If-Match"))["header"], "If-Match");
        assert_eq!(told(new().in_parameter("id"))["parameter"], "id");
    }
}
