//! The lock in the headers that come with an object, and go with it.

use std::sync::Arc;

use datamesh_catalog::{Lock, Retention, RetentionMode};
use http::Extensions;
use s3s::dto::{ObjectLockMode, Timestamp};
use s3s::{S3Result, s3_error};

use super::super::standing;
use super::{COMPLIANCE, GOVERNANCE, OFF, ON, future, hold_named, lockable, mode_name, mode_named};
use crate::api::App;
use crate::objects::Found;
use crate::policy::Action;

/// What the headers of a request say of the lock of the object it makes.
pub(in crate::s3) struct Headers<'a> {
    pub(in crate::s3) mode: Option<&'a str>,
    pub(in crate::s3) until: Option<&'a Timestamp>,
    pub(in crate::s3) legal_hold: Option<&'a str>,
}

/// Takes them out of a request. The shapes of several operations have them under the same names.
macro_rules! lock_headers {
    ($input:expr) => {
        $crate::s3::locks::Headers {
            mode: $input.object_lock_mode.as_ref().map(|mode| mode.as_str()),
            until: $input.object_lock_retain_until_date.as_ref(),
            legal_hold: $input.object_lock_legal_hold_status.as_ref().map(|hold| hold.as_str()),
        }
    };
}
pub(in crate::s3) use lock_headers;

/// Writes the lock of an object into the shape of an answer, for whoever may know of it.
macro_rules! show_lock {
    ($output:expr, $request:expr, $key:expr, $found:expr) => {{
        let lock = $crate::s3::locks::known($request, $key, $found)?;
        if let Some(retention) = lock.retention {
            $output.object_lock_mode = Some($crate::s3::locks::mode_header(retention.mode));
            $output.object_lock_retain_until_date = Some(names::timestamp(retention.until_unix_ms));
        }
        $output.object_lock_legal_hold_status = lock.legal_hold.map($crate::s3::locks::hold_status);
    }};
}
pub(in crate::s3) use show_lock;

/// The lock that an object is to have, if its bucket can have one.
///
/// # Errors
/// `InvalidArgument` for what cannot be; `InvalidRequest` where nothing is ever locked.
pub(in crate::s3) async fn wanted(app: &Arc<App>, bucket: &str, headers: Headers<'_>) -> S3Result<Lock> {
    let lock = headers.read(app.surroundings.now_unix_ms())?;
    if !lock.is_none() {
        lockable(app, bucket).await?;
    }
    Ok(lock)
}

impl Headers<'_> {
    fn read(&self, now_unix_ms: u64) -> S3Result<Lock> {
        let retention = match (self.mode, self.until) {
            (None, None) => None,
            (Some(mode), Some(until)) => {
                let mode = mode_named(mode).ok_or_else(|| {
                    s3_error!(InvalidArgument, "x-amz-object-lock-mode is {GOVERNANCE} or {COMPLIANCE}")
                })?;
                Some(Retention { mode, until_unix_ms: future(until, now_unix_ms)? })
            }
            _ => {
                return Err(s3_error!(
                    InvalidArgument,
                    "x-amz-object-lock-mode and x-amz-object-lock-retain-until-date come together"
                ));
            }
        };
        let hold = |status: &str| {
            hold_named(status)
                .ok_or_else(|| s3_error!(InvalidArgument, "x-amz-object-lock-legal-hold is {ON} or {OFF}"))
        };
        Ok(Lock { retention, legal_hold: self.legal_hold.map(hold).transpose()? })
    }
}

/// As headers name it.
pub(in crate::s3) fn mode_header(mode: RetentionMode) -> ObjectLockMode {
    ObjectLockMode::from_static(mode_name(mode))
}

/// What of an object's lock whoever reads the object may know.
pub(in crate::s3) fn known(extensions: &Extensions, key: &str, found: &Found) -> S3Result<Lock> {
    let Lock { retention, legal_hold } = found.object.lock;
    let standing = standing::of(extensions)?;
    let may = |action| standing.may(&[action], Some(key), standing.facts()).is_ok();
    Ok(Lock {
        retention: retention.filter(|_| may(Action::GetObjectRetention)),
        legal_hold: legal_hold.filter(|_| may(Action::GetObjectLegalHold)),
    })
}
