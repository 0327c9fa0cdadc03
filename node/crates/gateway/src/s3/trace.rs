//! Around every request: its id, its line in the log, its metrics; and the service that the library makes of [`Front`].

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use hyper::body::{Body as _, SizeHint};
use parking_lot::Mutex;
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::service::{S3Service, S3ServiceBuilder};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::time::Instant;
use tracing::Instrument as _;

use super::access::{ASKING, Rules, Seen, Signatures};
use super::actions;
use super::body::Patient;
use super::browser::{self, Browser};
use super::chunks::Frames;
use super::customer;
use super::forms::{self, Form};
use super::front::{BY_THE_LIBRARY, Front};
use super::host::Domain;
use super::intake::{Intake, Memories};
use super::rates;
use super::unsigned;
use crate::api::{App, known_method};
use crate::audit::Note;
use crate::auth::Address;
use crate::limits;
use crate::metrics::RequestLabels;
use crate::policy::Facts;
use crate::surroundings::random;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-request-id");
/// Bytes of the document of a refusal at most; a longer one is not told.
const REFUSAL_BYTES_MAX: usize = forms::FIELDS_BYTES_MAX;
/// What is told of a form whose key of the customer is not what its policy wants.
const REFUSED_FORM: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>AccessDenied</Code>\
    <Message>a form takes no key of the customer: sign a URL to put the object</Message></Error>";

/// What the handler needs.
struct Served {
    app: Arc<App>,
    service: S3Service,
    domain: Option<Domain>,
    memories: Arc<Memories>,
}

/// Everything the S3 port answers. `domain`: names below it are buckets; so many bytes are for bodies that must be whole in memory.
pub(crate) fn router(app: Arc<App>, domain: Option<String>, intake_bytes: u64) -> Router {
    let mut builder = S3ServiceBuilder::new(Front { app: Arc::clone(&app) });
    builder.set_auth(Signatures(Arc::clone(&app)));
    builder.set_access(Rules(Arc::clone(&app)));
    builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config()))));
    let domain = domain.map(Domain);
    if let Some(domain) = &domain {
        builder.set_host(domain.clone());
    }
    let memories = Arc::new(Memories::of(intake_bytes));
    let served = Served { app, service: builder.build(), domain, memories };
    Router::new().fallback(serve).with_state(Arc::new(served))
}

fn config() -> S3Config {
    let mut config = S3Config::default();
    config.xml_max_body_size = limits::S3_DOCUMENT_BYTES;
    config.post_object_max_file_size = u64::try_from(forms::FILE_BYTES_MAX).unwrap_or(u64::MAX);
    config.form_max_field_size = forms::FIELDS_BYTES_MAX;
    config.form_max_fields_size = forms::FIELDS_BYTES_MAX;
    config.form_max_parts = limits::HEADERS_MAX;
    config
}

async fn serve(State(served): State<Arc<Served>>, mut request: Request) -> Response {
    let begun = Instant::now();
    customer::conceal(request.headers_mut());
    let id = hex::encode(random::<8>(&*served.app.surroundings));
    let method = known_method(request.method());
    let from = request.extensions().get::<Address>().copied();
    let (key, owner, operation) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
    let (witnessed, note) = (Mutex::default(), Note::default());
    let stranger = AtomicBool::new(false);
    let counted = rates::shown(request.headers(), request.uri());
    let seen =
        Arc::new(Seen { id: id.clone(), from, counted, stranger, key, owner, operation, witnessed, note });
    request.extensions_mut().insert(Arc::clone(&seen));
    let span = tracing::info_span!("s3", id = %id, method);
    let mut response = match rates::refused(&served.app, counted, from) {
        None => for_browsers(&served, &seen, request).instrument(span.clone()).await,
        Some(refused) => refused,
    };
    let witnessed = seen.witnessed.lock().take();
    if let Some(witnessed) = witnessed
        && let Err(error) = witnessed.answered(response.status().as_u16()).await
    {
        tracing::error!(%error, "the audit's entry of a request is not written down yet");
        if response.status().is_success() {
            response = failed();
        }
    }
    let (status, took) = (response.status().as_u16(), begun.elapsed());
    let operation = seen.operation.get().map_or("none", String::as_str);
    // No path here: it holds the object's name.
    span.in_scope(|| tracing::info!(operation, status, took_ms = took.as_secs_f64() * 1e3, "answered"));
    let route = format!("s3:{operation}");
    served.app.metrics.request(RequestLabels { route, method: method.to_owned(), status }, took);
    if seen.stranger.load(Ordering::Relaxed) {
        // Whoever may put an object that all may read must not have a page of theirs run beside the sessions of this host.
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
        response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    if let Ok(value) = HeaderValue::try_from(id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// Answers what browsers ask, and tells them of the answers to the rest.
async fn for_browsers(served: &Served, seen: &Arc<Seen>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let (mut response, said) = match browser::look(&served.app, served.domain.as_ref(), &parts).await {
        Browser::Adds(said) => (answer(served, seen, Request::from_parts(parts, body)).await, said),
        Browser::Answer(response) => {
            let _ = seen.operation.set("Preflight".to_owned());
            (response, HeaderMap::new())
        }
    };
    browser::add(&mut response, said);
    response
}

async fn answer(served: &Served, seen: &Arc<Seen>, request: Request) -> Response {
    let intake = Intake::new(&served.memories, seen);
    let (form, request) = guarded(served, (seen, &intake), request);
    let answered = ASKING.scope(Arc::clone(seen), served.service.call(request)).await;
    let given_up = intake.answer();
    match (answered, given_up) {
        (Ok(response), Some(given_up)) if !response.status().is_success() => given_up,
        (Ok(response), _) if form && response.status().is_client_error() => {
            discreet(response.map(Body::new)).await
        }
        (Ok(response), _) => bare(response.map(Body::new)),
        (Err(error), _) => {
            tracing::error!(error = %s3s::StdError::from(error), "request failed");
            failed()
        }
    }
}

/// The request with a body that the library may read, whatever it makes of it; and whether it is a form.
fn guarded(
    served: &Served,
    (seen, intake): (&Seen, &Arc<Intake>),
    mut request: Request,
) -> (bool, http::Request<s3s::Body>) {
    unsigned::undo(&mut request, intake);
    let (parts, body) = request.into_parts();
    let (form, bytes) = (is_form(&parts), body.size_hint());
    let (body, bytes) = if let Some(frames) = Frames::of(&parts.headers) {
        (frames.guard(body, Arc::clone(intake)), SizeHint::default())
    } else if form {
        (form_of(served, seen, &parts).guard(body, Arc::clone(intake)), bytes)
    } else {
        (Arc::clone(intake).guard(body, &parts.headers), bytes)
    };
    let body = s3s::Body::http_body_unsync(Patient::new(body, bytes));
    (form, http::Request::from_parts(parts, body))
}

fn form_of(served: &Served, seen: &Seen, parts: &Parts) -> Form {
    let source = seen.from.map(|Address(address)| address);
    let known = Facts { source, now_unix_ms: served.app.surroundings.now_unix_ms(), ..Facts::default() };
    Form {
        app: Arc::clone(&served.app),
        bucket: browser::bucket_of(served.domain.as_ref(), parts),
        facts: actions::facts(BY_THE_LIBRARY, known, (&parts.headers, &parts.uri)),
    }
}

/// A refusal of a form without what the library tells of the fields about a customer's key.
async fn discreet(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let told = to_bytes(body, REFUSAL_BYTES_MAX).await.unwrap_or_default();
    if !customer::is_told_of(&told) {
        return Response::from_parts(parts, Body::from(told));
    }
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(REFUSED_FORM))
}

fn failed() -> Response {
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

/// The library gives every refusal a document; this one has none.
fn bare(mut response: Response) -> Response {
    if response.status() == StatusCode::NOT_MODIFIED {
        *response.body_mut() = Body::empty();
        response.headers_mut().remove(header::CONTENT_TYPE);
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    response
}

fn is_form(request: &Parts) -> bool {
    let kind = request.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let form =
        kind.is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("multipart/form-data"));
    request.method == Method::POST && form
}
