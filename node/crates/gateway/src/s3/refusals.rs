//! Problems in S3's words, in one place.

use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, StatusCode, header};
use s3s::{S3Error, S3ErrorCode};

use crate::problem::{Kind, Problem};

impl From<Problem> for S3Error {
    fn from(problem: Problem) -> Self {
        let mut error = Self::with_message(code(problem.kind()), problem.detail().to_owned());
        if problem.kind() == Kind::PoolFull {
            error.set_status_code(StatusCode::INSUFFICIENT_STORAGE);
        }
        error
    }
}

/// A refusal as the library writes those that it is asked for.
pub(super) fn document(status: StatusCode, code: &str, message: &str) -> Response {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"))], text).into_response()
}

fn code(kind: Kind) -> S3ErrorCode {
    match kind {
        // Only the signatures of a body's chunks come this way: the library judges all others itself.
        Kind::Unauthorized => S3ErrorCode::SignatureDoesNotMatch,
        Kind::Forbidden | Kind::Locked => S3ErrorCode::AccessDenied,
        Kind::BucketState => S3ErrorCode::InvalidBucketState,
        Kind::NoSuchRoute | Kind::MethodNotAllowed => S3ErrorCode::MethodNotAllowed,
        Kind::NoSuchObject => S3ErrorCode::NoSuchKey,
        Kind::NoSuchBucket => S3ErrorCode::NoSuchBucket,
        Kind::NoSuchUpload => S3ErrorCode::NoSuchUpload,
        Kind::NoSuchAccessKey => S3ErrorCode::InvalidAccessKeyId,
        Kind::InvalidParameter => S3ErrorCode::InvalidArgument,
        Kind::InvalidBody
        | Kind::UnsupportedVersion
        | Kind::WrongMediaType
        | Kind::NotLockable
        | Kind::CustomerKey
        | Kind::NoSuchNode
        | Kind::NoSuchUser
        | Kind::NoSuchGroup
        | Kind::GroupExists
        | Kind::NoSuchCredential
        | Kind::NoSuchShare
        | Kind::SharePasswordRequired
        | Kind::ShareUsedUp
        | Kind::SecondFactorRequired
        | Kind::UserExists
        | Kind::KeyReused
        | Kind::SegmentDiffers
        | Kind::TooManyRequests => S3ErrorCode::InvalidRequest,
        Kind::TooLarge => S3ErrorCode::EntityTooLarge,
        Kind::BodyIncomplete => S3ErrorCode::IncompleteBody,
        Kind::BadDigest | Kind::ChecksumMismatch => S3ErrorCode::BadDigest,
        Kind::PreconditionFailed | Kind::PreconditionRequired => S3ErrorCode::PreconditionFailed,
        Kind::NotImplemented => S3ErrorCode::NotImplemented,
        Kind::RangeNotSatisfiable => S3ErrorCode::InvalidRange,
        Kind::Conflict | Kind::PoolInUse | Kind::UploadBusy | Kind::UnderWay | Kind::OutcomeUnknown => {
            S3ErrorCode::OperationAborted
        }
        Kind::BucketExists => S3ErrorCode::BucketAlreadyOwnedByYou,
        Kind::BucketNotEmpty => S3ErrorCode::BucketNotEmpty,
        // Clients try these again by themselves.
        Kind::NotWritable | Kind::NotReadable | Kind::Changed | Kind::NoCatalog | Kind::Stopping => {
            S3ErrorCode::ServiceUnavailable
        }
        Kind::PoolFull => S3ErrorCode::Custom("StorageFull".into()),
        Kind::Damaged | Kind::ProviderFailed | Kind::Internal => S3ErrorCode::InternalError,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_has_a_status_of_its_class() {
        for kind in Kind::ALL {
            let error = S3Error::from(Problem::new(kind, "why"));
            let (ours, theirs) = (kind.describe().0, error.status_code().unwrap_or_default());
            assert_eq!(ours.is_server_error(), theirs.is_server_error(), "{kind:?}: {theirs}");
            assert!(theirs.is_client_error() || theirs.is_server_error(), "{kind:?}: {theirs}");
            assert_eq!(error.message(), Some("why"));
        }
    }
}
