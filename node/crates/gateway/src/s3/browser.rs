//! Requests of web pages: before one, a browser asks without a signature whether it may be made; and it shows the page the answer only
//! if that says so.

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use datamesh_catalog::BucketSetting;
use datamesh_shard::BucketName;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use s3s::host::S3Host as _;

use super::host::Domain;
use super::refusals::document;
use crate::api::App;
use crate::cors::{Asked, Cors};
use crate::problem::{Kind, Problem};

/// What answers depend on besides the path, said of all of them: a cache must not give a page what another one was told.
const VARY: HeaderValue =
    HeaderValue::from_static("Origin, Access-Control-Request-Headers, Access-Control-Request-Method");
/// The same answer whether there is no such bucket, it has no rules, or none of them takes the request.
const REFUSED: &str = "no rule of the bucket lets a page of this origin make this request";

/// What comes of a request before anything else looks at it.
pub(super) enum Browser {
    /// It goes on; these come with its answer, whatever that is.
    Adds(HeaderMap),
    /// It was only a question.
    Answer(Response),
}

/// Looks at who makes a request.
pub(super) async fn look(app: &App, domain: Option<&Domain>, request: &Parts) -> Browser {
    let asked = match Asked::of(&request.method, &request.headers) {
        Ok(Some(asked)) => asked,
        Ok(None) => return Browser::Adds(HeaderMap::new()),
        Err(error) => return Browser::Answer(document(StatusCode::BAD_REQUEST, "BadRequest", &error.to_string())),
    };
    let rules = match bucket_of(domain, request) {
        Some(bucket) => rules(app, &bucket).await,
        None => Ok(None),
    };
    let said = rules.map(|rules| rules.and_then(|rules| rules.answer(&asked)));
    match (&asked, said) {
        (Asked::Made { .. }, said) => Browser::Adds(said.ok().flatten().unwrap_or_default()),
        (Asked::Question { .. }, Ok(Some(headers))) => {
            Browser::Answer((headers, Body::empty()).into_response())
        }
        (Asked::Question { .. }, Ok(None)) => {
            Browser::Answer(document(StatusCode::FORBIDDEN, "AccessForbidden", REFUSED))
        }
        (Asked::Question { .. }, Err(_)) => Browser::Answer(StatusCode::SERVICE_UNAVAILABLE.into_response()),
    }
}

/// Writes into an answer what a browser, and caches, are to know.
pub(super) fn add(response: &mut Response, said: HeaderMap) {
    response.headers_mut().append(header::VARY, VARY);
    response.headers_mut().extend(said);
}

/// The rules of a bucket, if it is there and has some.
async fn rules(app: &App, bucket: &BucketName) -> Result<Option<Cors>, Problem> {
    let found = match app.objects.bucket(bucket).await {
        Ok(bucket) => app.objects.setting::<Cors>(&bucket, BucketSetting::Cors).await,
        Err(problem) if problem.kind() == Kind::NoSuchBucket => Ok(None),
        Err(problem) => Err(problem),
    };
    found.inspect_err(|problem| {
        tracing::warn!(detail = problem.detail(), "rules for browsers are not read");
    })
}

/// By path or by name, as the library finds it.
pub(super) fn bucket_of(domain: Option<&Domain>, request: &Parts) -> Option<BucketName> {
    let host = request.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| request.uri.authority().map(http::uri::Authority::as_str));
    let by_name = domain
        .zip(host)
        .and_then(|(domain, host)| domain.parse_host_header(host).ok()?.bucket().map(str::to_owned));
    let by_path = || request.uri.path().trim_start_matches('/').split('/').next().map(str::to_owned);
    BucketName::new(&by_name.or_else(by_path)?).ok()
}
