//! Around every request: its id, its line in the log, its metrics, who asks and whether they may, its entry in the audit.

use std::sync::Arc;

use axum::body::{Body, HttpBody as _};
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use datamesh_catalog::{Cause, Way};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tokio::time::Instant;
use tracing::Instrument;

use super::quota::Share;
use super::routes::{is_done_once, need_of};
use super::target::{DEFAULT_BUCKET, decode};
use super::{App, idempotency, incoming};
use crate::accounts::SHARE_PREFIX;
use crate::audit::{Actor, Asked, Durable, Note, Witnessed};
use crate::auth::{Address, Need, Principal, Shown, owner, shown};
use crate::metrics::RequestLabels;
use crate::problem::{Kind, Problem, Untold};
use crate::surroundings::{Surroundings, random};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Gives the request an id, lets it pass if who asks may do it, and counts it.
pub(super) async fn around(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let id = request_id(&*app.surroundings);
    let method = known(request.method());
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!("request", id = %id, method, route);
    let need = need_of(request.method(), request.extensions().get::<MatchedPath>().map(MatchedPath::as_str));
    let mut response = answer(&app, (need, &id, &route), request, next).instrument(span.clone()).await;
    let status = response.status().as_u16();
    let took = begun.elapsed();
    // No path here: it holds the object's name.
    span.in_scope(|| tracing::info!(status, took_ms = took.as_secs_f64() * 1e3, "answered"));
    app.metrics.request(RequestLabels { route, method: method.to_owned(), status }, took);
    if let Ok(value) = HeaderValue::try_from(id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// Finds out who asks. Who sends too much is refused first. All answers say what is left.
async fn answer(app: &Arc<App>, asked: (Need, &str, &str), request: Request, next: Next) -> Response {
    let from = request.extensions().get::<Address>().copied();
    let mut shares = Vec::new();
    let sent = (request.method(), request.headers());
    let mut response = match counted(app, asked.0, sent, from, &mut shares).await {
        Ok(principal) => judged(app, asked, (from, principal), request, next).await,
        // Of whom nothing is known the metrics tell: strangers must not fill the audit.
        Err(problem) => problem.into_response(),
    };
    for share in shares {
        share.tell(response.headers_mut());
    }
    response
}

/// Who asks, if they may send one more: whoever is known is counted by name, whoever is not by address.
async fn counted(
    app: &App,
    need: Need,
    sent: (&Method, &HeaderMap),
    from: Option<Address>,
    shares: &mut Vec<Share>,
) -> Result<Option<Principal>, Problem> {
    let shown = match need {
        Need::Anyone => Ok(None),
        _ => shown(&app.tokens, sent).map(Some),
    };
    let principal = match shown {
        Ok(Some(Shown::Holder(holder))) => holder,
        Ok(Some(Shown::Credential(credential))) => looked_up(app, credential, from, shares).await?,
        nobody => {
            if let Some(from) = from {
                take(shares, app.quotas.of_stranger(from, app.surroundings.now_unix_ms()))?;
            }
            return nobody.map(|_| None);
        }
    };
    take(shares, app.quotas.of_known(&principal.actor().name, app.surroundings.now_unix_ms()))?;
    Ok(Some(principal))
}

/// Whose a session or token is. Those that are not known are counted by address: each costs a read of the catalog.
async fn looked_up(
    app: &App,
    credential: &str,
    from: Option<Address>,
    shares: &mut Vec<Share>,
) -> Result<Principal, Problem> {
    let Some(address) = from else { return owner(&app.accounts, credential, from).await };
    take(shares, app.quotas.of_address(address, app.surroundings.now_unix_ms()))?;
    let owner = owner(&app.accounts, credential, from).await;
    if !owner.as_ref().is_err_and(|problem| problem.kind() == Kind::Unauthorized) {
        app.quotas.give_back(address);
        shares.clear();
    }
    owner
}

fn take(shares: &mut Vec<Share>, share: Share) -> Result<(), Problem> {
    shares.push(share);
    share.judge()
}

/// Has the request done if who asks may have it; the audit tells of changes, of what is done in person, and of what was refused.
async fn judged(
    app: &Arc<App>,
    (need, id, route): (Need, &str, &str),
    (from, principal): (Option<Address>, Option<Principal>),
    request: Request,
    next: Next,
) -> Response {
    let may = principal.as_ref().map_or(Ok(()), |principal| principal.may(need));
    let note = Note::default();
    if principal.is_some() {
        note.count();
    }
    let (said, bucket) = (note.clone(), bucket_in(request.uri().path()));
    let told =
        !request.method().is_safe() || may.is_err() || matches!(need, Need::InPerson(_) | Need::Anyone);
    let mut witnessed = None;
    if told {
        let actor = principal.as_ref().map_or_else(|| Actor::not(None), Principal::actor);
        let target = told_path(app, request.uri().path()).await;
        let action = format!("{} {route}", request.method());
        let durable = if matches!(need, Need::Read | Need::Write) { Durable::Soon } else { Durable::Before };
        let asked = Asked { actor, action, target, from, request: id };
        witnessed = Some(Witnessed::new(&app.audit, asked, (note.clone(), durable)));
    }
    let response = match may {
        Ok(()) => {
            let mut request = request;
            if let Some(principal) = &principal {
                request.extensions_mut().insert(cause(principal, from, id));
            }
            let passed = pass(app, (need, principal, note), (route, request, next), &mut witnessed).await;
            passed.into_response()
        }
        Err(problem) => problem.into_response(),
    };
    if response.extensions().get::<Untold>().is_some() {
        // A name that was not sealed, where all must be: it shall not stand in the audit either.
        said.target(bucket);
        said.detail(String::new());
    }
    match witnessed {
        Some(witnessed) => entered(witnessed, response).await,
        None => response,
    }
}

/// A path as the audit tells it: no name that was not sealed where all must be, whatever else is wrong with the request.
async fn told_path(app: &App, path: &str) -> String {
    let may_be_told = match named_in(path) {
        None => true,
        Some((bucket, rest)) => match (decode(bucket), decode(rest)) {
            (Ok(bucket), Ok(rest)) => {
                let (bucket, rest) = (String::from_utf8_lossy(&bucket), String::from_utf8_lossy(&rest));
                app.objects.may_tell(&bucket, &[&rest]).await
            }
            _ => false,
        },
    };
    if may_be_told { without_links(path) } else { bucket_in(path) }
}

/// The bucket that a path names, and what stands behind it: a kind, mostly, and a key.
fn named_in(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_prefix("/api/v1/")?;
    match rest.strip_prefix("buckets/") {
        Some(rest) => rest.split_once('/'),
        None => {
            let is_file = rest.starts_with("files/") || rest.starts_with("metadata/");
            is_file.then_some((DEFAULT_BUCKET, rest))
        }
    }
}

/// Who reads in the audit must not have what a link gives, whatever route or method somebody sent its secret to.
fn without_links(path: &str) -> String {
    let told = |part: &str| {
        let is_secret = decode(part).is_ok_and(|part| part.starts_with(SHARE_PREFIX.as_bytes()));
        if is_secret { format!("{SHARE_PREFIX}…") } else { part.to_owned() }
    };
    path.split('/').map(told).collect::<Vec<_>>().join("/")
}

/// A path up to the bucket that it names, or its first step.
fn bucket_in(path: &str) -> String {
    let rest = path.strip_prefix("/api/v1/").unwrap_or_default();
    let steps = if rest.starts_with("buckets/") { 2 } else { 1 };
    let kept: Vec<_> = rest.split('/').take(steps).collect();
    format!("/api/v1/{}", kept.join("/"))
}

/// Whose doing a change is that the request asks for, as its event tells it.
fn cause(principal: &Principal, from: Option<Address>, request: &str) -> Arc<Cause> {
    let address = from.map(|Address(address)| address.to_string()).unwrap_or_default();
    Arc::new(Cause { way: Way::Put, by: principal.actor().name, address, request: request.to_owned() })
}

/// Who asks; nobody in particular where nobody is needed.
pub(super) async fn who(
    app: &App,
    need: Need,
    asked: (&Method, &HeaderMap),
    from: Option<Address>,
) -> Result<Option<Principal>, Problem> {
    if need == Need::Anyone {
        return Ok(None);
    }
    Ok(Some(match shown(&app.tokens, asked)? {
        Shown::Holder(holder) => holder,
        Shown::Credential(credential) => owner(&app.accounts, credential, from).await?,
    }))
}

/// Hands the request on. What people and administrators send is small, and is read first; then it is asked again who sends it, for a
/// body may take a minute to come, in which they may have been disabled.
async fn pass(
    app: &Arc<App>,
    (need, mut principal, note): (Need, Option<Principal>, Note),
    (route, mut request, next): (&str, Request, Next),
    witnessed: &mut Option<Witnessed>,
) -> Result<Response, Problem> {
    let small = matches!(need, Need::Themselves | Need::Role(_) | Need::InPerson(_));
    if small && !request.body().is_end_stream() {
        let (parts, body) = request.into_parts();
        let whole = incoming::small(body).await?;
        let from = parts.extensions.get::<Address>().copied();
        principal = who(app, need, (&parts.method, &parts.headers), from).await?;
        request = Request::from_parts(parts, Body::from(whole));
        principal.as_ref().map_or(Ok(()), |principal| principal.may(need))?;
    }
    if let Some(principal) = principal {
        request.extensions_mut().insert(principal);
    }
    request.extensions_mut().insert(note);
    if is_done_once(request.method(), route)
        && let Some(key) = idempotency::key_of(request.headers())?
    {
        return idempotency::once(app, (route, &key), (request, next), witnessed).await;
    }
    Ok(next.run(request).await)
}

/// The answer, when its entry is as durable as it must be.
pub(super) async fn entered(witnessed: Witnessed, response: Response) -> Response {
    match witnessed.answered(response.status().as_u16()).await {
        Err(error) if response.status().is_success() => {
            Problem::internal("it is done, but its entry in the audit is not written down yet", &error)
                .into_response()
        }
        _ => response,
    }
}

/// The method as a label. A client may send any word as a method: each would be a time series of its own for ever.
pub(crate) fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "PUT" => "PUT",
        "POST" => "POST",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// 16 hexadecimal digits. An id that the client sent is not taken over: it would write into our log.
fn request_id(surroundings: &dyn Surroundings) -> String {
    hex::encode(random::<8>(surroundings))
}
