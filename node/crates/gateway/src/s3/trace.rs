//! Around every request: its id, its line in the log, its metrics; and the service that the library makes of [`Front`].

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use parking_lot::Mutex;
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tracing::Instrument as _;

use super::access::{Rules, Seen, Signatures};
use super::body::Patient;
use super::browser::{self, Browser};
use super::chunks::Frames;
use super::customer;
use super::forms;
use super::front::Front;
use super::host::Domain;
use super::rates;
use crate::api::{App, known_method};
use crate::audit::Note;
use crate::auth::Address;
use crate::limits;
use crate::metrics::RequestLabels;
use crate::surroundings::random;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-request-id");
/// Bytes of an XML document at most: 1,000 keys to delete, or 10,000 parts.
const XML_BYTES_MAX: usize = 4 << 20;
/// Bytes of a file sent by a form at most. The library reads it whole before it knows who sends it.
const FORM_FILE_BYTES_MAX: u64 = 16 << 20;
/// Forms read at once: with the above, their memory.
const FORMS_MAX: usize = 4;
/// A form's turn comes within this, or it is refused; it takes no longer than that: strangers may send forms, and must not keep the
/// others out.
const FORM_TURN_WAIT: Duration = Duration::from_secs(10);
const FORM_WAIT: Duration = Duration::from_secs(60);
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
    forms: Semaphore,
}

/// Everything the S3 port answers. `domain`: names below it are buckets.
pub(crate) fn router(app: Arc<App>, domain: Option<String>) -> Router {
    let mut builder = S3ServiceBuilder::new(Front { app: Arc::clone(&app) });
    builder.set_auth(Signatures(Arc::clone(&app)));
    builder.set_access(Rules(Arc::clone(&app)));
    builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config()))));
    let domain = domain.map(Domain);
    if let Some(domain) = &domain {
        builder.set_host(domain.clone());
    }
    let served = Served { app, service: builder.build(), domain, forms: Semaphore::new(FORMS_MAX) };
    Router::new().fallback(serve).with_state(Arc::new(served))
}

fn config() -> S3Config {
    let mut config = S3Config::default();
    config.xml_max_body_size = XML_BYTES_MAX;
    config.post_object_max_file_size = FORM_FILE_BYTES_MAX;
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
    let (operation, witnessed, note) = (OnceLock::new(), Mutex::default(), Note::default());
    let stranger = AtomicBool::new(false);
    let counted = rates::shown(request.headers(), request.uri());
    let seen = Arc::new(Seen { id: id.clone(), from, counted, stranger, operation, witnessed, note });
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
async fn for_browsers(served: &Served, seen: &Seen, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let (mut response, said) = match browser::look(&served.app, served.domain.as_ref(), &parts).await {
        Browser::Adds(said) => (answer(served, Request::from_parts(parts, body)).await, said),
        Browser::Answer(response) => {
            let _ = seen.operation.set("Preflight".to_owned());
            (response, HeaderMap::new())
        }
    };
    browser::add(&mut response, said);
    response
}

async fn answer(served: &Served, request: Request) -> Response {
    let form = is_form(&request);
    let chunks = Frames::of(request.headers());
    let request = request.map(|body| match chunks {
        Some(frames) => frames.guard(body),
        None if form => forms::gathered(body),
        None => body,
    });
    let request = request.map(|body| s3s::Body::http_body_unsync(Patient::new(body)));
    let call = served.service.call(request);
    let answered = if form {
        let Ok(Ok(_permit)) = timeout(FORM_TURN_WAIT, served.forms.acquire()).await else { return busy() };
        match timeout(FORM_WAIT, call).await {
            Ok(answered) => answered,
            Err(_) => return StatusCode::REQUEST_TIMEOUT.into_response(),
        }
    } else {
        call.await
    };
    match answered {
        Ok(response) if form && response.status().is_client_error() => {
            discreet(response.map(Body::new)).await
        }
        Ok(response) => bare(response.map(Body::new)),
        Err(error) => {
            tracing::error!(error = %s3s::StdError::from(error), "request failed");
            failed()
        }
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

/// Too many forms at once: whoever cannot wait is told at once.
fn busy() -> Response {
    let retry = [(header::RETRY_AFTER, HeaderValue::from_static("10"))];
    (StatusCode::SERVICE_UNAVAILABLE, retry).into_response()
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

fn is_form(request: &Request) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let form =
        kind.is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("multipart/form-data"));
    request.method() == Method::POST && form
}
