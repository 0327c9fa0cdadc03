//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a request that makes something is done once, however often its client
//! sends it, and to whichever gateway. The catalog has a row for each for a day ([ADR 49](../../../../../docs/adr/0049-requests-with-a-key-are-done-once.md)).

mod answer;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use datamesh_catalog::catalog::Begun;
use datamesh_catalog::{EmbeddedCatalog, KeyedRequest, RequestId};
use datamesh_seal::{ClusterSecret, RequestKey};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tokio::sync::{Semaphore, oneshot};
use tracing::Instrument as _;

use self::answer::Answer;
use super::{App, incoming, trace};
use crate::audit::{Note, Witnessed};
use crate::auth::Principal;
use crate::objects::refusals;
use crate::owned::Tasks;
use crate::problem::{Kind, Problem};

/// The header.
pub(super) const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Said of an answer that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// Characters of a key: shorter ones are given twice by chance, and guessed.
pub(super) const KEY_CHARS: std::ops::RangeInclusive<usize> = 16..=128;
/// How long a request with a key is known.
const KNOWN_MS: u64 = 24 * 3600 * 1000;
/// How long one may be under way: far longer than any takes. What has no answer by then was done by a gateway that stopped.
const UNDER_WAY_MS: u64 = 300_000;

/// Requests with a key that are done at once: they go on without their clients, so nothing else bounds them and their bodies.
const UNDER_WAY_MAX: usize = 64;

/// What requests with keys need.
pub(crate) struct Once {
    catalog: EmbeddedCatalog,
    secret: Arc<ClusterSecret>,
    /// Requests that are done to their end, whether or not their clients still wait.
    under_way: Tasks,
    room: Arc<Semaphore>,
}

/// A request that this gateway does to its end, though its client may hang up: it will ask again.
struct Doing {
    app: Arc<App>,
    key: RequestKey,
    begun_unix_ms: u64,
}

impl Once {
    pub(crate) fn new(catalog: EmbeddedCatalog, secret: Arc<ClusterSecret>) -> Self {
        Self { catalog, secret, under_way: Tasks::default(), room: Arc::new(Semaphore::new(UNDER_WAY_MAX)) }
    }
}

/// The key a client gave.
///
/// # Errors
/// Names the header when it is none.
pub(super) fn key_of(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut given = headers.get_all(KEY).iter();
    let Some(first) = given.next() else { return Ok(None) };
    let text = first.to_str().unwrap_or_default().trim();
    // A string of RFC 9651; many clients leave the quotes out.
    let key = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    let is_plain = key.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
    if given.next().is_some() || !is_plain || !KEY_CHARS.contains(&key.len()) {
        let (least, most) = (KEY_CHARS.start(), KEY_CHARS.end());
        let detail =
            format!("send one key of {least} to {most} visible characters, such as a random UUID in quotes");
        return Err(Problem::request_header("Idempotency-Key", detail));
    }
    Ok(Some(key.to_owned()))
}

/// Does a request if none with this key was done or is under way; otherwise answers as that was. Its entry in the audit is written here
/// too, once it is begun: it must tell what was done, also where nobody waits for the answer.
pub(super) async fn once(
    app: &Arc<App>,
    (route, key): (&str, &str),
    (request, next): (Request, Next),
    witnessed: &mut Option<Witnessed>,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let body = incoming::small(body).await?;
    let (Some(principal), Some(note)) = (parts.extensions.get::<Principal>(), parts.extensions.get::<Note>())
    else {
        return Err(Problem::new(Kind::Unauthorized, "a key is taken of whoever is known"));
    };
    let asker = principal.asker();
    let key = app.once.secret.request_key(&asker, &format!("{} {route}", parts.method), key);
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    let (print, begun_unix_ms) = (key.print(target, &body), app.surroundings.now_unix_ms());
    let until_unix_ms = begun_unix_ms.saturating_add(KNOWN_MS);
    let new = KeyedRequest { asker, print, begun_unix_ms, until_unix_ms, answer: None };
    let closed = |_| Problem::new(Kind::Stopping, "send it again to another gateway");
    let turn = Arc::clone(&app.once.room).acquire_owned().await.map_err(closed)?;
    let (tell, told) = oneshot::channel();
    let (doing, note) = (Doing { app: Arc::clone(app), key, begun_unix_ms }, note.clone());
    let request = Request::from_parts(parts, Body::from(body));
    let witnessed = witnessed.take();
    let doing = async move {
        let _turn = turn;
        let response = doing.run(new, &note, (request, next)).await.into_response();
        let response = match witnessed {
            Some(witnessed) => trace::entered(witnessed, response).await,
            None => response,
        };
        // Whoever asked may be gone.
        let _ = tell.send(response);
    };
    app.once.under_way.run(doing.in_current_span());
    told.await.map_err(|_| Problem::new(Kind::Internal, "it stopped half way; the gateway's log says why"))
}

impl Doing {
    /// Begins a request and does it, unless it began before.
    async fn run(
        self,
        new: KeyedRequest,
        note: &Note,
        (request, next): (Request, Next),
    ) -> Result<Response, Problem> {
        let begun = self.app.once.catalog.begin_keyed_request(RequestId(self.key.id()), &new).await;
        match begun.map_err(refusals::catalog)? {
            Begun::TooMany => Err(too_many()),
            Begun::Before(known) => {
                note.detail("answered as before, by its Idempotency-Key".to_owned());
                again(&self.key, &new, &known)
            }
            Begun::Now => Ok(self.keep(next.run(request).await).await),
        }
    }

    /// Keeps what a request was answered with. One that was refused changed nothing, and is forgotten.
    async fn keep(&self, response: Response) -> Response {
        let (catalog, id) = (&self.app.once.catalog, RequestId(self.key.id()));
        let status = response.status();
        if status.is_success() {
            let (answer, response) = match Answer::of(response).await {
                Ok(both) => both,
                Err(problem) => return problem.into_response(),
            };
            if let Err(problem) = self.write_down(&answer).await {
                tracing::error!(
                    detail = problem.detail(),
                    "an answer is not kept: its client will be told that nobody knows it"
                );
            }
            return response;
        }
        // Of what failed half way nobody knows what it did.
        if (status.is_client_error() || status == http::StatusCode::SERVICE_UNAVAILABLE)
            && let Err(error) = catalog.withdraw_keyed_request(id, self.begun_unix_ms).await
        {
            tracing::warn!(%error, "a request that was refused is still known by its key");
        }
        response
    }

    async fn write_down(&self, answer: &Answer) -> Result<(), Problem> {
        let encoded =
            answer.encode().map_err(|error| Problem::internal("an answer is not written", &error))?;
        let id = RequestId(self.key.id());
        let kept =
            self.app.once.catalog.answer_keyed_request(id, self.begun_unix_ms, self.key.seal(&encoded));
        kept.await.map(drop).map_err(refusals::catalog)
    }
}

/// What is answered to a request that was sent before.
fn again(key: &RequestKey, new: &KeyedRequest, known: &KeyedRequest) -> Result<Response, Problem> {
    if known.print != new.print {
        let detail =
            "this key came with another request before: make a new key for each thing that is to be made";
        return Err(Problem::new(Kind::KeyReused, detail).in_header("Idempotency-Key"));
    }
    let Some(sealed) = &known.answer else {
        return Err(unanswered(new.begun_unix_ms.saturating_sub(known.begun_unix_ms)));
    };
    let opened =
        key.open(sealed).map_err(|error| Problem::internal("a kept answer does not open", &error))?;
    let mut response = Answer::decode(&opened)
        .map_err(|error| Problem::internal("a kept answer does not read", &error))?
        .response();
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}

fn unanswered(since_ms: u64) -> Problem {
    if since_ms < UNDER_WAY_MS {
        let problem =
            Problem::new(Kind::UnderWay, "the request of this key is being done: send it again soon");
        return problem.header(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    let detail = "the gateway that did the request of this key stopped before it told the outcome: look whether what it \
        makes is there, and send it with a new key if it is not";
    Problem::new(Kind::OutcomeUnknown, detail)
}

fn too_many() -> Problem {
    let detail = "too many requests of yours with an Idempotency-Key are known, each for 24 hours: send it without, or later";
    Problem::new(Kind::TooManyRequests, detail).header(header::RETRY_AFTER, HeaderValue::from_static("3600"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(values: &[&str]) -> Result<Option<String>, Problem> {
        let headers = values.iter().map(|value| (KEY, HeaderValue::from_str(value).unwrap()));
        key_of(&headers.collect::<HeaderMap>())
    }

    #[test]
    fn a_key_is_one_string_of_visible_characters_with_or_without_quotes() {
        let uuid = "8e03978e-40d5-43dd-bc93-6894a57f9324";
        assert_eq!(key(&[]).unwrap(), None);
        assert_eq!(key(&[uuid]).unwrap().as_deref(), Some(uuid));
        assert_eq!(key(&[&format!("\"{uuid}\"")]).unwrap().as_deref(), Some(uuid));
        let (short, long) = ("x".repeat(15), "x".repeat(129));
        let wrong: [&[&str]; 7] = [
            &[""],
            &["\"\""],
            &[&short],
            &[&long],
            &[uuid, uuid],
            &["8e03978e 40d5 43dd"],
            &["\"8e03978e-40d5-43dd"],
        ];
        for wrong in wrong {
            assert_eq!(key(wrong).unwrap_err().kind(), Kind::InvalidParameter, "{wrong:?}");
        }
    }

    #[test]
    fn what_has_no_answer_is_under_way_or_lost() {
        assert_eq!(unanswered(0).kind(), Kind::UnderWay);
        assert_eq!(unanswered(UNDER_WAY_MS).kind(), Kind::OutcomeUnknown);
    }
}
