//! Rules of expiry in S3's words.

use std::collections::BTreeSet;
use std::sync::Arc;

use datamesh_catalog::BucketSetting;
use s3s::dto::{
    AbortIncompleteMultipartUpload, DeleteBucketLifecycleInput, DeleteBucketLifecycleOutput,
    ExpirationStatus, GetBucketLifecycleConfigurationInput, GetBucketLifecycleConfigurationOutput,
    LifecycleExpiration, LifecycleRule, LifecycleRuleAndOperator, LifecycleRuleFilter,
    NoncurrentVersionExpiration, PutBucketLifecycleConfigurationInput, PutBucketLifecycleConfigurationOutput,
    Tag,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::{names, tags};
use crate::api::App;
use crate::lifecycle::{Expiration, Filter, Lifecycle, Noncurrent, Rule};
use crate::objects::OF_OBJECT_MAX;

/// Rules of a bucket at most, as in S3.
const RULES_MAX: usize = 1000;
/// Characters of a rule's id at most.
const ID_CHARS_MAX: usize = 255;
/// Versions that a rule keeps at most, as in S3.
const KEPT_MAX: i32 = 100;
const DAY_MS: u64 = 24 * 3600 * 1000;

/// `GetBucketLifecycleConfiguration`.
pub(super) async fn get(
    app: &Arc<App>,
    request: S3Request<GetBucketLifecycleConfigurationInput>,
) -> S3Result<S3Response<GetBucketLifecycleConfigurationOutput>> {
    let bucket = app.objects.bucket(&names::bucket(&request.input.bucket)?).await?;
    let kept = app.objects.setting::<Lifecycle>(&bucket, BucketSetting::Lifecycle).await?;
    let kept = kept.ok_or_else(|| s3_error!(NoSuchLifecycleConfiguration, "the bucket has no such rules"))?;
    let rules = Some(kept.rules.iter().map(shown).collect());
    Ok(S3Response::new(GetBucketLifecycleConfigurationOutput { rules, ..Default::default() }))
}

/// `PutBucketLifecycleConfiguration`.
pub(super) async fn put(
    app: &Arc<App>,
    request: S3Request<PutBucketLifecycleConfigurationInput>,
) -> S3Result<S3Response<PutBucketLifecycleConfigurationOutput>> {
    let input = request.input;
    let bucket = app.objects.bucket(&names::bucket(&input.bucket)?).await?;
    let given = input.lifecycle_configuration.map(|given| given.rules).unwrap_or_default();
    if given.is_empty() || given.len() > RULES_MAX {
        return Err(s3_error!(
            MalformedXML,
            "a bucket has 1 to {RULES_MAX} rules; delete them all to have none"
        ));
    }
    let mut ids = BTreeSet::new();
    let mut rules = Vec::with_capacity(given.len());
    for (n, rule) in given.into_iter().enumerate() {
        let rule = read(rule, n)?;
        if !ids.insert(rule.id.clone()) {
            return Err(s3_error!(InvalidArgument, "two rules have the ID {}", rule.id));
        }
        rules.push(rule);
    }
    app.objects.set_setting(&bucket, BucketSetting::Lifecycle, &Lifecycle { rules }).await?;
    app.new_rules.set();
    Ok(S3Response::new(PutBucketLifecycleConfigurationOutput::default()))
}

/// `DeleteBucketLifecycle`.
pub(super) async fn delete(
    app: &Arc<App>,
    request: S3Request<DeleteBucketLifecycleInput>,
) -> S3Result<S3Response<DeleteBucketLifecycleOutput>> {
    let bucket = app.objects.bucket(&names::bucket(&request.input.bucket)?).await?;
    app.objects.clear_setting(&bucket, BucketSetting::Lifecycle).await?;
    Ok(S3Response::new(DeleteBucketLifecycleOutput::default()))
}

/// The nth rule, checked. What cannot be done is refused, not left out.
fn read(rule: LifecycleRule, n: usize) -> S3Result<Rule> {
    let moves = rule.transitions.is_some_and(|all| !all.is_empty())
        || rule.noncurrent_version_transitions.is_some_and(|all| !all.is_empty());
    if moves {
        return Err(s3_error!(NotImplemented, "there is one storage class: leave Transition out"));
    }
    let id = rule.id.filter(|id| !id.is_empty()).unwrap_or_else(|| format!("rule-{}", n + 1));
    if id.chars().count() > ID_CHARS_MAX {
        return Err(s3_error!(InvalidArgument, "the ID of a rule has at most {ID_CHARS_MAX} characters"));
    }
    let enabled = match rule.status.as_str() {
        ExpirationStatus::ENABLED => true,
        ExpirationStatus::DISABLED => false,
        _ => return Err(s3_error!(MalformedXML, "Status of rule {id} is Enabled or Disabled")),
    };
    let filter = filter(rule.filter, rule.prefix)?;
    let expiration = rule.expiration.map(expiration).transpose()?;
    let noncurrent = rule.noncurrent_version_expiration.map(noncurrent).transpose()?;
    let abort = rule.abort_incomplete_multipart_upload.map(|abort| abort.days_after_initiation);
    let abort_uploads_after_days = abort.map(|days| positive(days, "DaysAfterInitiation")).transpose()?;
    if expiration.is_none() && noncurrent.is_none() && abort_uploads_after_days.is_none() {
        return Err(s3_error!(InvalidRequest, "rule {id} says nothing that is to be done"));
    }
    let narrow =
        filter.tags.pairs().len() > 0 || filter.larger_than.is_some() || filter.smaller_than.is_some();
    if narrow && (abort_uploads_after_days.is_some() || expiration == Some(Expiration::LoneMarkers)) {
        return Err(s3_error!(InvalidRequest, "rule {id}: uploads and markers have neither tags nor a size"));
    }
    Ok(Rule { id, enabled, filter, expiration, noncurrent, abort_uploads_after_days })
}

fn positive(number: Option<i32>, field: &str) -> S3Result<u32> {
    let number = number.and_then(|number| u32::try_from(number).ok()).filter(|number| *number > 0);
    number.ok_or_else(|| s3_error!(InvalidArgument, "{field} is 1 or more"))
}

/// A rule says what it is about, in one way: of two, the wider one might be taken.
fn filter(given: Option<LifecycleRuleFilter>, old_prefix: Option<String>) -> S3Result<Filter> {
    match (given, old_prefix) {
        (Some(given), None) => conditions(given),
        (None, Some(prefix)) => Ok(Filter { prefix, ..Filter::default() }),
        _ => Err(s3_error!(
            MalformedXML,
            "a rule has a Filter, which may be empty; or, in its place, a Prefix"
        )),
    }
}

fn conditions(given: LifecycleRuleFilter) -> S3Result<Filter> {
    let LifecycleRuleFilter { and, object_size_greater_than, object_size_less_than, prefix, tag, .. } = given;
    let there = [
        and.is_some(),
        object_size_greater_than.is_some(),
        object_size_less_than.is_some(),
        prefix.is_some(),
        tag.is_some(),
    ];
    if there.iter().filter(|there| **there).count() > 1 {
        return Err(s3_error!(MalformedXML, "a Filter has one condition: several stand in its And"));
    }
    let and = and.unwrap_or_default();
    let given = and.tags.unwrap_or_default().into_iter().chain(tag).collect();
    let size = |size: Option<i64>, field: &str| {
        let wrong = |_| s3_error!(InvalidArgument, "{field} is 0 or more");
        size.map(|size| u64::try_from(size).map_err(wrong)).transpose()
    };
    Ok(Filter {
        prefix: prefix.or(and.prefix).unwrap_or_default(),
        tags: tags::of_set(given, OF_OBJECT_MAX)?,
        larger_than: size(
            object_size_greater_than.or(and.object_size_greater_than),
            "ObjectSizeGreaterThan",
        )?,
        smaller_than: size(object_size_less_than.or(and.object_size_less_than), "ObjectSizeLessThan")?,
    })
}

fn expiration(given: LifecycleExpiration) -> S3Result<Expiration> {
    match (given.date, given.days, given.expired_object_delete_marker.filter(|says| *says)) {
        (None, Some(days), None) => Ok(Expiration::Days(positive(Some(days), "Days")?)),
        (None, None, Some(true)) => Ok(Expiration::LoneMarkers),
        (Some(date), None, None) => {
            let midnight = names::unix_ms(&date).filter(|unix_ms| unix_ms.is_multiple_of(DAY_MS));
            midnight
                .map(Expiration::Date)
                .ok_or_else(|| s3_error!(InvalidArgument, "Date is a midnight, in UTC"))
        }
        _ => Err(s3_error!(
            MalformedXML,
            "Expiration has Days, Date or ExpiredObjectDeleteMarker: one of them"
        )),
    }
}

fn noncurrent(given: NoncurrentVersionExpiration) -> S3Result<Noncurrent> {
    let kept = given.newer_noncurrent_versions.unwrap_or_default();
    if !(0..=KEPT_MAX).contains(&kept) {
        return Err(s3_error!(InvalidArgument, "NewerNoncurrentVersions is 1 to {KEPT_MAX}"));
    }
    let days = positive(given.noncurrent_days, "NoncurrentDays")?;
    Ok(Noncurrent { days, kept: u32::try_from(kept).unwrap_or_default() })
}

fn number(number: u32) -> Option<i32> {
    i32::try_from(number).ok()
}

fn shown(rule: &Rule) -> LifecycleRule {
    let status = if rule.enabled { ExpirationStatus::ENABLED } else { ExpirationStatus::DISABLED };
    let expiration = rule.expiration.as_ref().map(|expiration| match expiration {
        Expiration::Days(days) => LifecycleExpiration { days: number(*days), ..Default::default() },
        Expiration::Date(unix_ms) => {
            LifecycleExpiration { date: Some(names::timestamp(*unix_ms)), ..Default::default() }
        }
        Expiration::LoneMarkers => {
            LifecycleExpiration { expired_object_delete_marker: Some(true), ..Default::default() }
        }
    });
    LifecycleRule {
        abort_incomplete_multipart_upload: rule
            .abort_uploads_after_days
            .map(|days| AbortIncompleteMultipartUpload { days_after_initiation: number(days) }),
        expiration,
        filter: Some(shown_filter(&rule.filter)),
        id: Some(rule.id.clone()),
        noncurrent_version_expiration: rule.noncurrent.as_ref().map(|rule| NoncurrentVersionExpiration {
            newer_noncurrent_versions: number(rule.kept).filter(|kept| *kept > 0),
            noncurrent_days: number(rule.days),
        }),
        noncurrent_version_transitions: None,
        prefix: None,
        status: ExpirationStatus::from_static(status),
        transitions: None,
    }
}

/// One condition stands alone, several stand together.
fn shown_filter(filter: &Filter) -> LifecycleRuleFilter {
    let all: Vec<Tag> = tags::shown(&filter.tags);
    let size = |size: Option<u64>| size.map(names::size);
    let (larger, smaller) = (size(filter.larger_than), size(filter.smaller_than));
    let conditions = all.len() + usize::from(larger.is_some()) + usize::from(smaller.is_some());
    let prefix = Some(filter.prefix.clone());
    if conditions == 0 {
        return LifecycleRuleFilter { prefix, ..Default::default() };
    }
    let named = prefix.filter(|prefix| !prefix.is_empty());
    if conditions == 1 && named.is_none() {
        return LifecycleRuleFilter {
            object_size_greater_than: larger,
            object_size_less_than: smaller,
            tag: all.into_iter().next(),
            ..Default::default()
        };
    }
    let and = LifecycleRuleAndOperator {
        object_size_greater_than: larger,
        object_size_less_than: smaller,
        prefix: named,
        tags: Some(all).filter(|all| !all.is_empty()),
    };
    LifecycleRuleFilter { and: Some(and), ..Default::default() }
}
