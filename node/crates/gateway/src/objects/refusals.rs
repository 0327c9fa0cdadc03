//! What went wrong below, in the words of the API.

use datamesh_catalog::catalog::ReferenceError;
use datamesh_catalog::catalog::{
    CatalogError, CommitObjectError, DeleteBucketError, DeleteObjectError, PutPageError, SettingError,
    UploadError,
};

use crate::pipeline::{OpenRecordError, PageError, ReadError, StoreError};
use crate::problem::{Kind, Problem};

pub(super) fn catalog(error: CatalogError) -> Problem {
    Problem::internal("the catalog failed", &error)
}

pub(super) fn no_upload() -> Problem {
    Problem::new(Kind::NoSuchUpload, "it was completed, aborted, or given up because its time was over")
}

pub(super) fn bucket_gone() -> Problem {
    Problem::new(Kind::NoSuchBucket, "the bucket was deleted meanwhile").field("bucket")
}

fn precondition(current_etag: Option<String>) -> Problem {
    let detail = match current_etag {
        Some(etag) => format!("the object's entity tag is \"{etag}\" now"),
        None => "there is no object of this key now".to_owned(),
    };
    Problem::new(Kind::PreconditionFailed, detail)
}

pub(super) fn delete_bucket(error: DeleteBucketError) -> Problem {
    match error {
        DeleteBucketError::NotEmpty => {
            Problem::new(Kind::BucketNotEmpty, "delete its objects first, and all versions of them")
                .field("bucket")
        }
        DeleteBucketError::Catalog(error) => catalog(error),
    }
}

pub(super) fn setting(error: SettingError) -> Problem {
    match error {
        SettingError::BucketGone => bucket_gone(),
        SettingError::Invalid(invalid) => Problem::new(Kind::InvalidBody, invalid.to_string()),
        SettingError::Catalog(error) => catalog(error),
    }
}

pub(super) fn delete(error: DeleteObjectError) -> Problem {
    match error {
        DeleteObjectError::PreconditionFailed { current_etag } => precondition(current_etag),
        DeleteObjectError::Catalog(error) => catalog(error),
    }
}

pub(super) fn commit(error: CommitObjectError) -> Problem {
    match error {
        CommitObjectError::PreconditionFailed { current_etag } => precondition(current_etag),
        CommitObjectError::UploadGone => no_upload(),
        CommitObjectError::BucketGone => bucket_gone(),
        error @ (CommitObjectError::PartMissing { .. } | CommitObjectError::PartIncomplete { .. }) => {
            Problem::new(Kind::Conflict, error.to_string()).field("parts")
        }
        error @ CommitObjectError::PartsChanged => Problem::new(Kind::Changed, error.to_string()),
        CommitObjectError::Invalid(invalid) => Problem::new(Kind::InvalidBody, invalid.to_string()),
        error => Problem::internal("cannot commit the object", &error),
    }
}

pub(super) fn store(error: StoreError) -> Problem {
    match error {
        StoreError::Body(problem) => problem,
        // A profile that was closed: the next try writes in the present one.
        error @ (StoreError::NoLayout(_)
        | StoreError::NoPlace(_)
        | StoreError::HolderAway(_)
        | StoreError::Put(_)
        | StoreError::Reference(ReferenceError::Closed { .. })
        | StoreError::Upload(UploadError::Reference(ReferenceError::Closed { .. }))) => {
            tracing::warn!(%error, "a put failed");
            Problem::new(Kind::NotWritable, error.to_string())
        }
        error @ StoreError::Full { .. } => {
            tracing::warn!(%error, "a put failed");
            Problem::new(Kind::PoolFull, error.to_string())
        }
        StoreError::Upload(UploadError::Gone)
        | StoreError::Reference(ReferenceError::UploadGone)
        | StoreError::Page(PutPageError::UploadGone) => no_upload(),
        StoreError::Upload(UploadError::BucketGone) => bucket_gone(),
        StoreError::Upload(UploadError::Invalid(invalid)) => {
            Problem::new(Kind::InvalidBody, invalid.to_string())
        }
        StoreError::Stopped(_) => Problem::new(Kind::Stopping, "send it again to another gateway, or later"),
        error => Problem::internal("cannot store the object", &error),
    }
}

pub(super) fn record(error: OpenRecordError) -> Problem {
    tracing::error!(%error, "a record of the catalog does not open");
    Problem::new(Kind::Damaged, "the object's record does not open with this cluster's keys")
}

pub(crate) fn read(error: ReadError) -> Problem {
    match error {
        ReadError::Fetch(error) => Problem::new(Kind::NotReadable, error.to_string()),
        ReadError::Stopped(_) => Problem::new(Kind::Stopping, "ask again later"),
        ReadError::Page(PageError::Record(error)) => record(error),
        ReadError::Page(error @ (PageError::Gone(_) | PageError::Outlived | PageError::Taken)) => {
            Problem::new(Kind::Changed, format!("{error}: ask again for what is there now"))
        }
        error @ ReadError::Open(_) => {
            tracing::error!(%error, "verified shards do not open");
            Problem::new(Kind::Damaged, "the object's bytes do not open with the keys its record names")
        }
        error => Problem::internal("cannot read the object", &error),
    }
}
