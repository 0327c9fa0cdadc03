//! Around every request: its id, its line in the log, its metrics, its authorization.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, Method};
use tokio::time::Instant;
use tracing::Instrument;

use super::App;
use crate::auth::Access;
use crate::metrics::RequestLabels;
use crate::surroundings::{Surroundings, random};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Paths below this need the administrator's token.
const ADMIN_PATHS: &str = "/api/v1/admin";

/// Gives the request an id, lets it pass if its token may, and counts it. Every path needs a token, also those that
/// do not exist: what is there is no stranger's business.
pub(super) async fn around(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let id = request_id(&*app.surroundings);
    let method = known(request.method());
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!("request", id = %id, method, route);
    let need = if request.uri().path().starts_with(ADMIN_PATHS) { Access::Admin } else { Access::User };
    let mut response = match app.tokens.check(request.headers(), need) {
        Ok(_) => next.run(request).instrument(span.clone()).await,
        Err(problem) => problem.into_response(),
    };
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
