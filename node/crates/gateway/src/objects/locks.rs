//! Locks of versions: what may be locked, and what keeps each version.

use std::collections::BTreeMap;

use datamesh_catalog::catalog::{LockError, LockingError};
use datamesh_catalog::{Grounds, Lock, LockChange, Locked, Locking, ObjectKey, RetentionMode, VersionId};
use datamesh_shard::BucketName;

use super::{BucketContext, Objects, refusals};
use crate::api::rfc3339;
use crate::problem::{Kind, Problem};

/// Where an upload keeps, among its sealed fields, the lock its object is to have.
const FIELD: &str = "x-amz-object-lock";

/// Puts the lock of an object to be among the fields of its upload.
pub(super) fn put_into(lock: &Lock, system: &mut BTreeMap<String, String>) -> Result<(), Problem> {
    if !lock.is_none() {
        let written =
            serde_json::to_string(lock).map_err(|error| Problem::internal("cannot write a lock", &error))?;
        system.insert(FIELD.to_owned(), written);
    }
    Ok(())
}

/// Takes it out again. What does not read keeps the upload from becoming an object without its lock.
pub(super) fn take_from(system: &mut BTreeMap<String, String>) -> Result<Lock, Problem> {
    let Some(written) = system.remove(FIELD) else { return Ok(Lock::default()) };
    serde_json::from_str(&written)
        .map_err(|error| Problem::internal("the lock of an upload is malformed", &error))
}

/// Why a version stays, for whoever wanted otherwise.
pub(super) fn locked(locked: Locked) -> Problem {
    let detail = match locked {
        Locked::LegalHold => {
            "a legal hold is on this version: who administers the bucket lifts it, by S3, or whom its policy allows \
             s3:PutObjectLegalHold"
                .to_owned()
        }
        Locked::Retained(retention) => {
            let until = rfc3339(retention.until_unix_ms);
            match retention.mode {
                RetentionMode::Compliance => {
                    format!(
                        "this version is retained until {until}, in the mode COMPLIANCE: nobody ends that before"
                    )
                }
                RetentionMode::Governance => format!(
                    "this version is retained until {until}, in the mode GOVERNANCE: that is ended before by S3 alone, by whoever may \
                     and says x-amz-bypass-governance-retention"
                ),
            }
        }
    };
    Problem::new(Kind::Locked, detail)
}

pub(super) fn not_lockable() -> Problem {
    Problem::new(
        Kind::NotLockable,
        "the bucket is missing an object lock configuration: enable object lock for it first",
    )
}

fn refused(error: LockError) -> Problem {
    match error {
        LockError::NotLockable => not_lockable(),
        LockError::NoVersion => Problem::new(Kind::NoSuchObject, "there is no such version of this key"),
        LockError::Marker => Problem::new(Kind::MethodNotAllowed, error.to_string()),
        LockError::Locked(by) => locked(by),
        LockError::Catalog(error) => refusals::catalog(error),
    }
}

impl Objects {
    /// Whether versions of a bucket may be locked, and what those get that come without a word of it.
    pub(crate) async fn locking(&self, bucket: &BucketContext) -> Result<Option<Locking>, Problem> {
        self.context.catalog.locking(bucket.id).await.map_err(refusals::catalog)
    }

    /// Makes versions of a bucket lockable, for good, or changes what those get that come without a word of it.
    pub(crate) async fn set_locking(&self, bucket: &BucketContext, locking: Locking) -> Result<(), Problem> {
        self.context.catalog.set_locking(bucket.id, locking).await.map_err(|error| match error {
            LockingError::NoVersions => Problem::new(Kind::BucketState, error.to_string()),
            LockingError::Setting(error) => refusals::setting(error),
        })
    }

    /// Changes what keeps a version, or the object that the key shows.
    pub(crate) async fn change_lock(
        &self,
        bucket: &BucketName,
        (key, version): (&ObjectKey, Option<VersionId>),
        change: LockChange,
        bypass_governance: bool,
    ) -> Result<Lock, Problem> {
        let bucket = self.bucket(bucket).await?;
        let grounds = Grounds { now_unix_ms: self.now_unix_ms(), bypass_governance };
        let changed = self.context.catalog.change_lock((bucket.id, key), version, change, grounds).await;
        changed.map_err(refused)
    }
}
