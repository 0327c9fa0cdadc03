//! Around every request: its id, its line in the log, its metrics, who asks and whether they may, its entry in the audit.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, Method};
use tokio::time::Instant;
use tracing::Instrument;

use super::App;
use super::routes::need_of;
use crate::audit::{Actor, Durable, Witnessed};
use crate::auth::{Address, Need, Principal, authenticate};
use crate::metrics::RequestLabels;
use crate::problem::Problem;
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

/// Has the request done if who asks may have it; the audit tells of changes, also of those that were refused.
async fn answer(
    app: &Arc<App>,
    (need, id, route): (Need, &str, &str),
    mut request: Request,
    next: Next,
) -> Response {
    let from = request.extensions().get::<Address>().copied();
    let principal = match need {
        Need::Anyone => None,
        _ => match authenticate((&app.tokens, &app.accounts), (request.method(), request.headers()), from)
            .await
        {
            Ok(principal) => Some(principal),
            // Of whom nothing is known the metrics tell: strangers must not fill the audit.
            Err(problem) => return problem.into_response(),
        },
    };
    let witnessed = (!request.method().is_safe()).then(|| {
        let actor = principal.as_ref().map_or_else(|| "unknown:".to_owned(), Principal::actor);
        let action = format!("{} {route}", request.method());
        Witnessed::new(&app.audit, (actor, action, request.uri().path()), (from, id))
    });
    let may = principal.as_ref().map_or(Ok(()), |principal| principal.may(need));
    let response = match may {
        Ok(()) => {
            if let Some(principal) = principal {
                request.extensions_mut().insert(principal);
            }
            next.run(request).await
        }
        Err(problem) => Problem::into_response(problem),
    };
    if let Some(witnessed) = witnessed {
        let durable = if need == Need::Write { Durable::Soon } else { Durable::Before };
        let actor = response.extensions().get::<Actor>();
        witnessed.answered(response.status().as_u16(), actor, durable).await;
    }
    response
}

/// The method as a label. A client may send any word as a method: each would be a time series of its own for ever.
pub(crate) fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "PUT" => "PUT",
        "POST" => "POST",
        "DELETE" => "DELETE",
        _ => "other",
    }
}

/// 16 hexadecimal digits. An id that the client sent is not taken over: it would write into our log.
fn request_id(surroundings: &dyn Surroundings) -> String {
    hex::encode(random::<8>(surroundings))
}
