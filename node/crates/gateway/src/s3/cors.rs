//! Rules for browsers in S3's words.

use std::sync::Arc;

use datamesh_catalog::BucketSetting;
use http::HeaderName;
use s3s::dto::{
    CORSRule, DeleteBucketCorsInput, DeleteBucketCorsOutput, GetBucketCorsInput, GetBucketCorsOutput,
    PutBucketCorsInput, PutBucketCorsOutput,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::names;
use crate::api::App;
use crate::cors::{Cors, CorsRule};

/// Rules of a bucket at most, as in S3.
const RULES_MAX: usize = 100;
/// Origins, methods and names of headers of all rules together at most: strangers have them searched.
const NAMES_MAX: usize = 1000;
/// Bytes of one of these at most, or of an ID.
const NAME_BYTES_MAX: usize = 255;
const METHODS: [&str; 5] = ["GET", "PUT", "HEAD", "POST", "DELETE"];

/// `GetBucketCors`.
pub(super) async fn get(
    app: &Arc<App>,
    request: S3Request<GetBucketCorsInput>,
) -> S3Result<S3Response<GetBucketCorsOutput>> {
    let bucket = app.objects.bucket(&names::bucket(&request.input.bucket)?).await?;
    let kept = app.objects.setting::<Cors>(&bucket, BucketSetting::Cors).await?;
    let kept = kept.ok_or_else(|| s3_error!(NoSuchCORSConfiguration, "the bucket has no such rules"))?;
    let cors_rules = Some(kept.rules.iter().map(shown).collect());
    Ok(S3Response::new(GetBucketCorsOutput { cors_rules }))
}

/// `PutBucketCors`.
pub(super) async fn put(
    app: &Arc<App>,
    request: S3Request<PutBucketCorsInput>,
) -> S3Result<S3Response<PutBucketCorsOutput>> {
    let bucket = app.objects.bucket(&names::bucket(&request.input.bucket)?).await?;
    let given = request.input.cors_configuration.cors_rules;
    if given.is_empty() || given.len() > RULES_MAX {
        return Err(s3_error!(
            MalformedXML,
            "a bucket has 1 to {RULES_MAX} rules; delete them all to have none"
        ));
    }
    let rules = given.into_iter().map(read).collect::<S3Result<Vec<_>>>()?;
    let named =
        |rule: &CorsRule| rule.origins.len() + rule.methods.len() + rule.headers.len() + rule.exposed.len();
    if rules.iter().map(named).sum::<usize>() > NAMES_MAX {
        return Err(s3_error!(
            MalformedXML,
            "all rules together name at most {NAMES_MAX} origins, methods and headers"
        ));
    }
    app.objects.set_setting(&bucket, BucketSetting::Cors, &Cors { rules }).await?;
    Ok(S3Response::new(PutBucketCorsOutput::default()))
}

/// `DeleteBucketCors`.
pub(super) async fn delete(
    app: &Arc<App>,
    request: S3Request<DeleteBucketCorsInput>,
) -> S3Result<S3Response<DeleteBucketCorsOutput>> {
    let bucket = app.objects.bucket(&names::bucket(&request.input.bucket)?).await?;
    app.objects.clear_setting(&bucket, BucketSetting::Cors).await?;
    Ok(S3Response::new(DeleteBucketCorsOutput::default()))
}

/// One rule, checked.
fn read(rule: CORSRule) -> S3Result<CorsRule> {
    let headers = rule.allowed_headers.unwrap_or_default();
    let exposed = rule.expose_headers.unwrap_or_default();
    let (origins, methods) = (rule.allowed_origins, rule.allowed_methods);
    if origins.is_empty() || methods.is_empty() {
        return Err(s3_error!(MalformedXML, "a rule has an AllowedOrigin and an AllowedMethod"));
    }
    if let Some(method) = methods.iter().find(|method| !METHODS.contains(&method.as_str())) {
        return Err(s3_error!(InvalidRequest, "AllowedMethod is one of {METHODS:?}, not {method:?}"));
    }
    let patterns = || origins.iter().chain(&headers);
    if let Some(many) = patterns().find(|pattern| pattern.matches('*').count() > 1) {
        return Err(s3_error!(InvalidRequest, "{many:?} has more than one *"));
    }
    let long = |name: &&String| name.len() > NAME_BYTES_MAX;
    if let Some(name) = patterns().chain(&exposed).chain(&rule.id).find(long) {
        return Err(s3_error!(
            InvalidRequest,
            "an origin, header or ID has at most {NAME_BYTES_MAX} bytes: {name:?}"
        ));
    }
    if let Some(exposed) = exposed.iter().find(|name| HeaderName::try_from(name.as_str()).is_err()) {
        return Err(s3_error!(InvalidRequest, "ExposeHeader: {exposed:?} is no name of a header"));
    }
    let age = rule.max_age_seconds.map(u32::try_from).transpose();
    let max_age_seconds = age.map_err(|_| s3_error!(InvalidArgument, "MaxAgeSeconds is 0 or more"))?;
    Ok(CorsRule { id: rule.id, origins, methods, headers, exposed, max_age_seconds })
}

fn shown(rule: &CorsRule) -> CORSRule {
    let some = |names: &Vec<String>| Some(names.clone()).filter(|names| !names.is_empty());
    CORSRule {
        allowed_headers: some(&rule.headers),
        allowed_methods: rule.methods.clone(),
        allowed_origins: rule.origins.clone(),
        expose_headers: some(&rule.exposed),
        id: rule.id.clone(),
        max_age_seconds: rule.max_age_seconds.and_then(|age| i32::try_from(age).ok()),
    }
}
