//! Bodies on their way to the library, which keeps some of them whole: documents, signed chunks, forms. What of them lies in memory at
//! once is bounded over all requests, and what takes its place there comes at a least rate.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper::body::Body as _;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};

use super::access::Seen;
use super::memory::{Busy, Held, Memory, WAIT};
use super::refusals::document;
use crate::api::{network, region};
use crate::auth::Address;
use crate::limits::{BODY_BYTES_PER_SECOND, S3_DOCUMENT_BYTES, S3_FORM_BYTES};

/// Bytes at most of what the library reads before it has compared a signature.
const UNPROVEN_BYTES_MAX: usize = 8 << 10;
/// A body may bring nothing for so long before it has to come at its rate.
const GRACE: Duration = Duration::from_secs(10);
/// Operations whose bodies are objects: these are written as they come.
const STREAMED: [&str; 2] = ["PutObject", "UploadPart"];

/// Whether an operation's body is an object, or a part of one.
pub(super) fn is_streamed(operation: &str) -> bool {
    STREAMED.contains(&operation)
}

/// What a request says of the length of its body.
fn said_bytes(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// What is shared by all requests.
pub(super) struct Memories {
    /// For documents, by the owner of the key that signs them: somebody has many keys.
    documents: Memory,
    /// For signed chunks, by the same.
    chunks: Memory,
    /// For the fields of forms, by address and by its region: nobody has signed them yet, and some have many addresses.
    fields: Memory,
    /// For forms whose files are let in, by address.
    forms: Memory,
}

impl Memories {
    /// Shares of so many bytes.
    pub(super) fn of(bytes: u64) -> Self {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let part = |of_32: usize| bytes / 32 * of_32;
        Self {
            documents: Memory::new(part(8), &[S3_DOCUMENT_BYTES]),
            chunks: Memory::new(part(5), &[part(5) / 2]),
            fields: Memory::new(part(2), &[part(2) / 4, part(2) / 2]),
            forms: Memory::new(part(17), &[S3_FORM_BYTES]),
        }
    }
}

/// Why a body is read no further. The library would tell it as its own failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Trouble {
    #[error("too many bodies are read at once")]
    Busy,
    #[error("the body comes too slowly")]
    Slow,
    #[error("a document has at most 4 MiB")]
    TooLong,
    #[error("sign the form")]
    Unsigned,
}

impl Trouble {
    fn answer(self) -> Response {
        let (status, code) = match self {
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "SlowDown"),
            Self::Slow => (StatusCode::BAD_REQUEST, "RequestTimeout"),
            Self::TooLong => (StatusCode::BAD_REQUEST, "MaxMessageLengthExceeded"),
            Self::Unsigned => (StatusCode::FORBIDDEN, "AccessDenied"),
        };
        let mut response = document(status, code, &self.to_string());
        if self == Self::Busy {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(WAIT.as_secs()));
        }
        response
    }
}

/// One request's body, as whoever reads it and whoever answers the request see it.
pub(super) struct Intake {
    memories: Arc<Memories>,
    seen: Arc<Seen>,
    trouble: OnceLock<Trouble>,
    /// Until the request is answered.
    held: Mutex<Vec<Held>>,
}

impl Intake {
    pub(super) fn new(memories: &Arc<Memories>, seen: &Arc<Seen>) -> Arc<Self> {
        let (memories, seen) = (Arc::clone(memories), Arc::clone(seen));
        Arc::new(Self { memories, seen, trouble: OnceLock::new(), held: Mutex::default() })
    }

    /// Whether the library has looked a key up. It reads on only where the signature was right.
    pub(super) fn is_signed(&self) -> bool {
        self.seen.key.get().is_some()
    }

    /// Whose address it is, as others are counted with it.
    fn address(&self) -> String {
        self.seen.from.map(|Address(from)| network(from).to_string()).unwrap_or_default()
    }

    /// What the fields of a form are kept in.
    pub(super) fn fields_memory(&self) -> Held {
        let region = self.seen.from.map(|Address(from)| match from.to_canonical() {
            // Nodes of a Kubernetes stand for all their clients.
            IpAddr::V4(v4) if v4.is_private() => v4.to_string(),
            _ => region(&network(from)).to_string(),
        });
        self.memories.fields.held_by([self.address(), region.unwrap_or_default()])
    }

    /// What a form is kept in whose file is let in.
    pub(super) fn form_memory(&self) -> Held {
        self.memories.forms.held_by([self.address()])
    }

    /// What a document is kept in.
    fn document_memory(&self) -> Held {
        self.memories.documents.held_by([self.owner()])
    }

    /// What a signed chunk is kept in.
    pub(super) fn chunk_memory(&self) -> Held {
        self.memories.chunks.held_by([self.owner()])
    }

    /// Whose the key is that signs it, or where it comes from.
    fn owner(&self) -> String {
        self.seen.owner.get().cloned().unwrap_or_else(|| self.address())
    }

    /// Has so many bytes more in all, or the body is read no further.
    pub(super) async fn grow(&self, held: &mut Held, bytes: usize) -> Result<(), axum::Error> {
        held.grow_to(bytes).await.map_err(|Busy| self.gives_up(Trouble::Busy))
    }

    /// Has it until the request is answered.
    pub(super) fn keep(&self, held: Held) {
        self.held.lock().push(held);
    }

    /// The body fails with this, and the request is answered so.
    pub(super) fn gives_up(&self, trouble: Trouble) -> axum::Error {
        let _ = self.trouble.set(trouble);
        axum::Error::new(trouble)
    }

    /// What the request is answered with where its body was given up.
    pub(super) fn answer(&self) -> Option<Response> {
        self.trouble.get().map(|trouble| trouble.answer())
    }

    /// The same body, whose document comes in one piece. What it is of is known once the library asks for it.
    pub(super) fn guard(self: Arc<Self>, body: Body, headers: &HeaderMap) -> Body {
        let told = body.size_hint().exact().or_else(|| said_bytes(headers));
        let begun = async move {
            let streamed = self.seen.operation.get().is_some_and(|operation| is_streamed(operation));
            Ok::<_, axum::Error>(if streamed {
                body.into_data_stream().left_stream()
            } else {
                let document = self.document(body, told).await?;
                stream::once(async { Ok(document) }).right_stream()
            })
        };
        Body::from_stream(stream::once(begun).try_flatten())
    }

    /// All of a document.
    async fn document(&self, body: Body, told: Option<u64>) -> Result<Bytes, axum::Error> {
        let unproven = self.seen.operation.get().is_none();
        let (most, mut held) = match unproven {
            true => (UNPROVEN_BYTES_MAX, self.fields_memory()),
            false => (S3_DOCUMENT_BYTES, self.document_memory()),
        };
        let told = told.and_then(|bytes| usize::try_from(bytes).ok()).map_or(most, |bytes| bytes.min(most));
        self.grow(&mut held, told).await?;
        self.keep(held);
        let (mut pieces, mut whole) = (Paced::new(body), BytesMut::with_capacity(told));
        while let Some(piece) = pieces.next(self).await? {
            if whole.len() + piece.len() > most {
                return Err(self.gives_up(Trouble::TooLong));
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }
}

/// Reads a body that must come at a least rate: others wait for the memory that it takes.
pub(super) struct Paced {
    body: BodyDataStream,
    began: Instant,
    came: u64,
    /// However fast it comes.
    until: Option<Instant>,
}

impl Paced {
    pub(super) fn new(body: Body) -> Self {
        Self { body: body.into_data_stream(), began: Instant::now(), came: 0, until: None }
    }

    /// What comes from now on counts, and has to be there within this.
    pub(super) fn restart(&mut self, within: Option<Duration>) {
        let now = Instant::now();
        (self.began, self.came, self.until) = (now, 0, within.map(|within| now + within));
    }

    /// The next piece, if it comes in time.
    pub(super) async fn next(&mut self, intake: &Intake) -> Result<Option<Bytes>, axum::Error> {
        let paid = Duration::from_millis(self.came.saturating_mul(1000) / BODY_BYTES_PER_SECOND);
        let by_rate = self.began + GRACE + paid;
        let until = self.until.map_or(by_rate, |until| until.min(by_rate));
        let piece = timeout_at(until, self.body.next())
            .await
            .map_err(|_| intake.gives_up(Trouble::Slow))?
            .transpose()?;
        self.came += piece.as_ref().map_or(0, |piece| u64::try_from(piece.len()).unwrap_or(u64::MAX));
        Ok(piece)
    }

    /// The next piece, whenever it comes.
    pub(super) async fn next_in_peace(&mut self) -> Result<Option<Bytes>, axum::Error> {
        self.body.next().await.transpose()
    }
}
