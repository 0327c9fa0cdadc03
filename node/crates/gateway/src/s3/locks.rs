//! Object lock in S3's words, of buckets and of versions.

mod headers;

use std::sync::Arc;

use datamesh_catalog::{
    DefaultRetention, Grounds, LockChange, Locking, Retention, RetentionMode, RetentionPeriod,
};
use http::StatusCode;
use s3s::dto::{
    DefaultRetention as DefaultShape, GetObjectLegalHoldInput, GetObjectLegalHoldOutput,
    GetObjectLockConfigurationInput, GetObjectLockConfigurationOutput, GetObjectRetentionInput,
    GetObjectRetentionOutput, ObjectLockConfiguration, ObjectLockEnabled, ObjectLockLegalHold,
    ObjectLockLegalHoldStatus, ObjectLockRetention, ObjectLockRetentionMode, ObjectLockRule,
    PutObjectLegalHoldInput, PutObjectLegalHoldOutput, PutObjectLockConfigurationInput,
    PutObjectLockConfigurationOutput, PutObjectRetentionInput, PutObjectRetentionOutput, Timestamp,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};

use super::access::noted;
use super::{names, standing, versions};
use crate::api::{App, rfc3339};
use crate::objects::Found;

pub(super) use headers::{Headers, known, lock_headers, mode_header, show_lock, wanted};

/// Days of a default retention at most, as in S3.
const DAYS_MAX: u32 = 36_500;
/// Years of one at most.
const YEARS_MAX: u32 = 100;
/// How far ahead a date may be: those years, with their leap days. Nobody shortens `COMPLIANCE`, so a typing error must not be for ever.
const AHEAD_MS_MAX: u64 = (365 * 100 + 25) * 24 * 60 * 60 * 1000;
const GOVERNANCE: &str = ObjectLockRetentionMode::GOVERNANCE;
const COMPLIANCE: &str = ObjectLockRetentionMode::COMPLIANCE;
const ON: &str = ObjectLockLegalHoldStatus::ON;
const OFF: &str = ObjectLockLegalHoldStatus::OFF;

async fn lockable(app: &Arc<App>, bucket: &str) -> S3Result<Locking> {
    let bucket = app.objects.bucket(&names::bucket(bucket)?).await?;
    app.objects.locking(&bucket).await?.ok_or_else(|| {
        s3_error!(
            InvalidRequest,
            "the bucket is missing an object lock configuration: enable object lock for it first"
        )
    })
}

/// A date that a version may be retained until.
fn future(until: &Timestamp, now_unix_ms: u64) -> S3Result<u64> {
    let allowed = now_unix_ms + 1..=now_unix_ms + AHEAD_MS_MAX;
    let until = names::unix_ms(until).filter(|until| allowed.contains(until));
    until.ok_or_else(|| {
        s3_error!(
            InvalidArgument,
            "the date until which a version is retained is in the future, and at most {YEARS_MAX} years ahead"
        )
    })
}

fn mode_named(name: &str) -> Option<RetentionMode> {
    match name {
        GOVERNANCE => Some(RetentionMode::Governance),
        COMPLIANCE => Some(RetentionMode::Compliance),
        _ => None,
    }
}

const fn mode_name(mode: RetentionMode) -> &'static str {
    match mode {
        RetentionMode::Governance => GOVERNANCE,
        RetentionMode::Compliance => COMPLIANCE,
    }
}

fn hold_named(status: &str) -> Option<bool> {
    match status {
        ON => Some(true),
        OFF => Some(false),
        _ => None,
    }
}

/// As answers name it.
pub(super) fn hold_status(on: bool) -> ObjectLockLegalHoldStatus {
    ObjectLockLegalHoldStatus::from_static(if on { ON } else { OFF })
}

/// `GetObjectLockConfiguration`.
pub(super) async fn configuration(
    app: &Arc<App>,
    request: S3Request<GetObjectLockConfigurationInput>,
) -> S3Result<S3Response<GetObjectLockConfigurationOutput>> {
    let bucket = app.objects.bucket(&names::bucket(&request.input.bucket)?).await?;
    let Some(Locking { default }) = app.objects.locking(&bucket).await? else {
        return Err(s3_error!(
            ObjectLockConfigurationNotFoundError,
            "object lock is not enabled for this bucket"
        ));
    };
    let shown = |DefaultRetention { mode, period }| {
        let (days, years) = match period {
            RetentionPeriod::Days(days) => (i32::try_from(days).ok(), None),
            RetentionPeriod::Years(years) => (None, i32::try_from(years).ok()),
        };
        let mode = Some(ObjectLockRetentionMode::from_static(mode_name(mode)));
        ObjectLockRule { default_retention: Some(DefaultShape { days, mode, years }) }
    };
    Ok(S3Response::new(GetObjectLockConfigurationOutput {
        object_lock_configuration: Some(ObjectLockConfiguration {
            object_lock_enabled: Some(ObjectLockEnabled::from_static(ObjectLockEnabled::ENABLED)),
            rule: default.map(shown),
        }),
    }))
}

/// `PutObjectLockConfiguration`.
pub(super) async fn configure(
    app: &Arc<App>,
    request: S3Request<PutObjectLockConfigurationInput>,
) -> S3Result<S3Response<PutObjectLockConfigurationOutput>> {
    let PutObjectLockConfigurationInput { bucket, object_lock_configuration: given, .. } = request.input;
    let given = given.unwrap_or_default();
    if given.object_lock_enabled.as_ref().map(ObjectLockEnabled::as_str) != Some(ObjectLockEnabled::ENABLED) {
        return Err(s3_error!(MalformedXML, "ObjectLockEnabled is Enabled: it is never disabled again"));
    }
    let default = match given.rule {
        None => None,
        Some(ObjectLockRule { default_retention }) => {
            let rule =
                default_retention.ok_or_else(|| s3_error!(MalformedXML, "a Rule has a DefaultRetention"))?;
            Some(default_of(&rule)?)
        }
    };
    let bucket = app.objects.bucket(&names::bucket(&bucket)?).await?;
    app.objects.set_locking(&bucket, Locking { default }).await?;
    Ok(S3Response::new(PutObjectLockConfigurationOutput::default()))
}

fn default_of(rule: &DefaultShape) -> S3Result<DefaultRetention> {
    let mode = rule.mode.as_ref().and_then(|mode| mode_named(mode.as_str())).ok_or_else(|| {
        s3_error!(MalformedXML, "Mode of a DefaultRetention is {GOVERNANCE} or {COMPLIANCE}")
    })?;
    let within = |number: i32, max: u32, field: &str| {
        let fits = u32::try_from(number).ok().filter(|number| (1..=max).contains(number));
        fits.ok_or_else(|| {
            let code = S3ErrorCode::Custom("InvalidRetentionPeriod".into());
            let mut error =
                S3Error::with_message(code, format!("{field} of a DefaultRetention is 1 to {max}"));
            error.set_status_code(StatusCode::BAD_REQUEST);
            error
        })
    };
    let period = match (rule.days, rule.years) {
        (Some(days), None) => RetentionPeriod::Days(within(days, DAYS_MAX, "Days")?),
        (None, Some(years)) => RetentionPeriod::Years(within(years, YEARS_MAX, "Years")?),
        _ => return Err(s3_error!(MalformedXML, "a DefaultRetention has either Days or Years")),
    };
    Ok(DefaultRetention { mode, period })
}

/// The version whose lock a request is about.
async fn found(app: &Arc<App>, (bucket, key): (&str, &str), version: Option<&str>) -> S3Result<Found> {
    lockable(app, bucket).await?;
    let version = versions::version(version)?;
    versions::found(app.objects.look_up(&names::bucket(bucket)?, names::key(key)?, version).await?, version)
}

fn nothing_said() -> S3Error {
    s3_error!(NoSuchObjectLockConfiguration, "the version has no such lock")
}

/// `GetObjectRetention`.
pub(super) async fn retention(
    app: &Arc<App>,
    request: S3Request<GetObjectRetentionInput>,
) -> S3Result<S3Response<GetObjectRetentionOutput>> {
    let input = request.input;
    let found = found(app, (&input.bucket, &input.key), input.version_id.as_deref()).await?;
    let Retention { mode, until_unix_ms } = found.object.lock.retention.ok_or_else(nothing_said)?;
    Ok(S3Response::new(GetObjectRetentionOutput {
        retention: Some(ObjectLockRetention {
            mode: Some(ObjectLockRetentionMode::from_static(mode_name(mode))),
            retain_until_date: Some(names::timestamp(until_unix_ms)),
        }),
    }))
}

/// `PutObjectRetention`. Without mode and date it takes the retention away, where that may be.
pub(super) async fn retain(
    app: &Arc<App>,
    request: S3Request<PutObjectRetentionInput>,
) -> S3Result<S3Response<PutObjectRetentionOutput>> {
    let S3Request { input, extensions, .. } = request;
    let note = noted(&extensions);
    let given = input.retention.unwrap_or_default();
    let wanted = match (&given.mode, &given.retain_until_date) {
        (None, None) => None,
        (Some(mode), Some(until)) => {
            let mode = mode_named(mode.as_str())
                .ok_or_else(|| s3_error!(MalformedXML, "Mode is {GOVERNANCE} or {COMPLIANCE}"))?;
            let until_unix_ms = future(until, app.surroundings.now_unix_ms())?;
            Some(Retention { mode, until_unix_ms })
        }
        _ => return Err(s3_error!(MalformedXML, "Mode and RetainUntilDate come together, or neither")),
    };
    let standing = standing::of(&extensions)?;
    let asked = input.bypass_governance_retention;
    let bypass = standing.sets_governance_aside(asked, &input.key, standing.facts());
    let until = wanted.map_or_else(
        || "no retention".to_owned(),
        |wanted| format!("{} until {}", mode_name(wanted.mode), rfc3339(wanted.until_unix_ms)),
    );
    note.detail(until.clone() + if bypass { "; governance may be set aside" } else { "" });
    let before = found(app, (&input.bucket, &input.key), input.version_id.as_deref()).await?;
    let whose = (&names::key(&input.key)?, versions::version(input.version_id.as_deref())?);
    let change = LockChange::Retention(wanted);
    let plain = Grounds::at(app.surroundings.now_unix_ms());
    if bypass && before.object.lock.changed(change, plain).is_err() {
        note.detail(until + "; governance is set aside");
    }
    app.objects.change_lock(&names::bucket(&input.bucket)?, whose, change, bypass).await?;
    Ok(S3Response::new(PutObjectRetentionOutput::default()))
}

/// `GetObjectLegalHold`.
pub(super) async fn legal_hold(
    app: &Arc<App>,
    request: S3Request<GetObjectLegalHoldInput>,
) -> S3Result<S3Response<GetObjectLegalHoldOutput>> {
    let input = request.input;
    let found = found(app, (&input.bucket, &input.key), input.version_id.as_deref()).await?;
    let status = Some(hold_status(found.object.lock.legal_hold.ok_or_else(nothing_said)?));
    Ok(S3Response::new(GetObjectLegalHoldOutput { legal_hold: Some(ObjectLockLegalHold { status }) }))
}

/// `PutObjectLegalHold`. Whether one is on or not, to say that none is takes the right to lift one: it may be put on meanwhile.
pub(super) async fn hold(
    app: &Arc<App>,
    request: S3Request<PutObjectLegalHoldInput>,
) -> S3Result<S3Response<PutObjectLegalHoldOutput>> {
    let S3Request { input, extensions, .. } = request;
    let status = input.legal_hold.and_then(|hold| hold.status);
    let on = status.as_ref().and_then(|status| hold_named(status.as_str()));
    let on = on.ok_or_else(|| s3_error!(MalformedXML, "Status of a LegalHold is {ON} or {OFF}"))?;
    noted(&extensions).detail(if on { ON } else { OFF }.to_owned());
    if !on {
        standing::of(&extensions)?.may_lift_hold(&input.key)?;
    }
    found(app, (&input.bucket, &input.key), input.version_id.as_deref()).await?;
    let whose = (&names::key(&input.key)?, versions::version(input.version_id.as_deref())?);
    app.objects.change_lock(&names::bucket(&input.bucket)?, whose, LockChange::LegalHold(on), false).await?;
    Ok(S3Response::new(PutObjectLegalHoldOutput::default()))
}
