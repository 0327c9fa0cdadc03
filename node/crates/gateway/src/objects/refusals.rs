//! What went wrong below, in the words of the API.

use datamesh_catalog::catalog::ReferenceError;
use datamesh_catalog::catalog::{
    BucketError, CatalogError, CommitObjectError, DeleteBucketError, DeleteObjectError, PutPageError,
    SettingError, UploadError,
};

use super::locks;
use crate::pipeline::{OpenRecordError, PageError, ReadError, StoreError};
use crate::problem::{Kind, Problem};

/// The catalog's own faults: nobody led it, or worse.
pub(crate) fn catalog(error: CatalogError) -> Problem {
    if error.is_leaderless() {
        tracing::warn!(%error, "a request failed");
        return Problem::new(Kind::NoCatalog, error.to_string());
    }
    Problem::internal("the catalog failed", &error)
}

pub(super) fn no_upload() -> Problem {
    Problem::new(Kind::NoSuchUpload, "it was completed, aborted, or given up because its time was over")
}

pub(super) fn bucket_gone() -> Problem {
    Problem::new(Kind::NoSuchBucket, "the bucket was deleted meanwhile").in_parameter("bucket")
}

fn precondition(current_etag: Option<String>) -> Problem {
    let detail = match current_etag {
        Some(etag) => format!("the object's entity tag is \"{etag}\" now"),
        None => "there is no object of this key now".to_owned(),
    };
    Problem::new(Kind::PreconditionFailed, detail)
}

pub(super) fn make_bucket(error: BucketError) -> Problem {
    match error {
        BucketError::Catalog(error) => catalog(error),
        error @ BucketError::Invalid(_) => Problem::internal("cannot make the bucket", &error),
    }
}

pub(super) fn delete_bucket(error: DeleteBucketError) -> Problem {
    match error {
        DeleteBucketError::NotEmpty => {
            let detail =
                "delete its objects first; where it keeps versions, all of those by S3, which lists them";
            Problem::new(Kind::BucketNotEmpty, detail).in_parameter("bucket")
        }
        DeleteBucketError::Catalog(error) => catalog(error),
    }
}

pub(super) fn setting(error: SettingError) -> Problem {
    match error {
        SettingError::BucketGone => bucket_gone(),
        SettingError::Changed => Problem::new(Kind::Changed, format!("{error}: look, and send it again")),
        SettingError::Locking => Problem::new(Kind::BucketState, error.to_string()),
        SettingError::Invalid(invalid) => Problem::new(Kind::InvalidBody, invalid.to_string()),
        SettingError::Catalog(error) => catalog(error),
    }
}

pub(super) fn delete(error: DeleteObjectError) -> Problem {
    match error {
        DeleteObjectError::PreconditionFailed { current_etag } => precondition(current_etag),
        DeleteObjectError::Locked(by) => locks::locked(by),
        DeleteObjectError::Catalog(error) => catalog(error),
    }
}

pub(super) fn commit(error: CommitObjectError) -> Problem {
    match error {
        CommitObjectError::PreconditionFailed { current_etag } => precondition(current_etag),
        CommitObjectError::UploadGone => no_upload(),
        CommitObjectError::Locked(by) => locks::locked(by),
        CommitObjectError::NotLockable => locks::not_lockable(),
        CommitObjectError::BucketGone => bucket_gone(),
        error @ (CommitObjectError::PartMissing { .. } | CommitObjectError::PartIncomplete { .. }) => {
            Problem::new(Kind::Conflict, error.to_string()).in_body("parts")
        }
        error @ (CommitObjectError::PartsChanged
        | CommitObjectError::SizeDiffers { .. }
        | CommitObjectError::Page(PutPageError::Gap { .. })) => {
            Problem::new(Kind::Changed, error.to_string())
        }
        CommitObjectError::Invalid(invalid) => Problem::new(Kind::InvalidBody, invalid.to_string()),
        CommitObjectError::Catalog(error) => catalog(error),
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
        StoreError::Upload(UploadError::Catalog(error))
        | StoreError::Reference(ReferenceError::Catalog(error))
        | StoreError::Page(PutPageError::Catalog(error)) => catalog(error),
        StoreError::Stopped(_) => Problem::new(Kind::Stopping, "send it again to another gateway, or later"),
        error => Problem::internal("cannot store the object", &error),
    }
}

pub(super) fn record(error: OpenRecordError) -> Problem {
    tracing::error!(%error, "a record of the catalog does not open");
    Problem::new(Kind::Damaged, "the object's record does not open with this cluster's keys")
}

pub(super) fn page(error: PageError) -> Problem {
    match error {
        PageError::Catalog(error) => catalog(error),
        PageError::Record(error) => record(error),
        error @ (PageError::Gone(_) | PageError::Outlived | PageError::Taken) => {
            Problem::new(Kind::Changed, format!("{error}: ask again for what is there now"))
        }
        error => Problem::internal("cannot read the object", &error),
    }
}

pub(crate) fn read(error: ReadError) -> Problem {
    match error {
        ReadError::Fetch(error) => Problem::new(Kind::NotReadable, error.to_string()),
        ReadError::Stopped(_) => Problem::new(Kind::Stopping, "ask again later"),
        // What another gateway committed a moment ago is not known here yet.
        error @ ReadError::NoLayout(..) => {
            tracing::warn!(%error, "a read failed");
            Problem::new(Kind::NotReadable, error.to_string())
        }
        ReadError::Page(error) => page(error),
        error @ ReadError::Open(_) => {
            tracing::error!(%error, "verified shards do not open");
            Problem::new(Kind::Damaged, "the object's bytes do not open with the keys its record names")
        }
        error => Problem::internal("cannot read the object", &error),
    }
}

#[cfg(test)]
mod tests {
    use datamesh_catalog::keyspace;

    use super::*;

    #[test]
    fn what_passes_when_somebody_leads_again_is_no_fault_of_the_gateway() {
        let leaderless = || CatalogError::from(keyspace::ReadError::NoLeader("none for 8 s".into()));
        for problem in [
            catalog(leaderless()),
            read(PageError::from(leaderless()).into()),
            commit(leaderless().into()),
            make_bucket(leaderless().into()),
            store(StoreError::Page(PutPageError::Catalog(leaderless()))),
        ] {
            assert_eq!(problem.kind(), Kind::NoCatalog);
        }
        let damaged = keyspace::ReadError::Engine("a disk".into());
        assert_eq!(catalog(damaged.into()).kind(), Kind::Internal);
    }
}
