//! One connection from its handshake to its end.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use datamesh_exchange::frame::FrameError;
use datamesh_exchange::message::{Refusal, Request, Response};
use datamesh_placement::LAYOUT_BYTES_MAX;
use datamesh_shard::limits::{REPLICA_BYTES_MAX, SHARD_BYTES_MAX};
use tokio::net::TcpStream;
use tokio::sync::SemaphorePermit;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::strangers::Place;
use super::{BUDGET_UNIT, Handler, Shared};
use crate::tls;
use crate::trust::Caller;
use crate::wire::{Channel, FrameLimits, Wire, WireError};

/// Time a peer has from the moment it is accepted until it has shown a token or a certificate: handshake, greeting and
/// all it sends, together, however busily it sends.
pub(super) const PROOF_TIMEOUT: Duration = Duration::from_secs(5);
/// Patience with a peer taking the goodbye.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(5);
/// A known peer's connection at rest for this long is closed: twice what a client lets it rest.
const IDLE_TIMEOUT: Duration = Duration::from_secs(120);
/// Patience with the rest of a known peer's frame after its first byte, and with its taking an answer.
const FRAME_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of a request's head at most: a layout is the largest. Outside TLS whoever is on the way can announce as much.
const REQUEST_HEAD_BYTES: usize = LAYOUT_BYTES_MAX + 4096;
/// Bytes of a stranger's message at most: a join request or a certificate, no layouts, no payload.
const STRANGER_HEAD_BYTES: usize = 16 << 10;

/// The answer to a request of another version.
const NOT_UNDERSTOOD: &str = "this version does not know this request";

type Stream = Wire<Channel<TlsStream<TcpStream>>>;

/// Why a conversation ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("TLS: {0}")]
    Tls(std::io::Error),
    #[error("the peer speaks another protocol")]
    Protocol,
    #[error("{0} took longer than it may")]
    Timeout(&'static str),
    #[error("the peer rested")]
    Idle,
    #[error("stopping")]
    Stopped,
    #[error("refused")]
    Refused,
    #[error("too many strangers")]
    Crowded,
    #[error("it did not say who it is within {PROOF_TIMEOUT:?}")]
    Late,
    #[error("too many strangers; another has its place now")]
    Displaced,
}

/// What a stranger may still take: time, and a place that another may need.
struct Probation {
    place: Option<Place>,
    until: Instant,
}

impl Probation {
    fn new(place: Place) -> Self {
        Self { place: Some(place), until: Instant::now() + PROOF_TIMEOUT }
    }

    /// Awaits the peer as long as it has time and its place.
    async fn wait<T, E>(&self, step: impl Future<Output = Result<T, E>>) -> Result<T, Ended>
    where
        Ended: From<E>,
    {
        let displaced = async {
            match &self.place {
                Some(place) => place.taken().await,
                None => pending().await,
            }
        };
        tokio::select! {
            done = timeout_at(self.until, step) => Ok(done.map_err(|_| Ended::Late)??),
            () = displaced => Err(Ended::Displaced),
        }
    }

    /// The peer's token was looked at, and how long that took is not for the peer to answer for. Who was let in needs no
    /// place any more, just the time to show its certificate.
    fn note_judgement(&mut self, response: &Response) {
        self.until = Instant::now() + PROOF_TIMEOUT;
        if matches!(response, Response::Joined(_)) {
            self.place = None;
        }
    }
}

/// Who the peer is by now. One who loses what made it known has had its probation, long ago as a rule: it connects anew.
struct Guest {
    caller: Caller,
    probation: Probation,
}

impl Guest {
    /// Awaits the peer: a known one for `patience`, a stranger for what is left of its probation.
    async fn wait<T, E>(
        &self,
        patience: Duration,
        late: Ended,
        step: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Ended>
    where
        Ended: From<E>,
    {
        if self.caller.is_known() {
            return Ok(timeout(patience, step).await.map_err(|_| late)??);
        }
        self.probation.wait(step).await
    }
}

pub(super) async fn hold<H: Handler>(
    shared: &Arc<Shared<H>>,
    stream: TcpStream,
    from: SocketAddr,
    stop: CancellationToken,
) {
    let ended = Box::pin(converse(shared, stream, from, &stop)).await;
    match ended {
        Ended::Stopped | Ended::Idle | Ended::Wire(WireError::Closed) => {
            tracing::trace!(address = %from, reason = %ended, "bulk connection closed");
        }
        _ => tracing::debug!(address = %from, reason = %ended, "bulk connection ended"),
    }
}

async fn converse<H: Handler>(
    shared: &Shared<H>,
    stream: TcpStream,
    from: SocketAddr,
    stop: &CancellationToken,
) -> Ended {
    let Some(place) = shared.strangers.admit(from.ip(), Instant::now().into_std()) else {
        return Ended::Crowded;
    };
    let probation = Probation::new(place);
    let greeting = Box::pin(greet(shared, stream));
    let (mut wire, peer) = match stop.run_until_cancelled(probation.wait(greeting)).await {
        Some(Ok(greeted)) => greeted,
        Some(Err(ended)) => return ended,
        None => return Ended::Stopped,
    };
    let mut guest = Guest { caller: Caller::stranger(peer), probation };
    loop {
        let ended = match turn(shared, &mut wire, &mut guest, stop).await {
            Ok(Turn::Asked) => continue,
            Ok(Turn::Greeted) => match wire.greeted() {
                Ok(same) => {
                    wire = same;
                    continue;
                }
                Err(error) => return error.into(),
            },
            Err(ended) => ended,
        };
        // What was written last is delivered before the end. Whoever made no use of its time is owed no more of it.
        let owed = !matches!(ended, Ended::Late | Ended::Displaced);
        if owed && timeout(GOODBYE_TIMEOUT, wire.close()).await.is_err() {
            tracing::trace!("the peer does not take the goodbye");
        }
        return ended;
    }
}

async fn greet<H: Handler>(
    shared: &Shared<H>,
    stream: TcpStream,
) -> Result<(Stream, datamesh_shard::PeerKey), Ended> {
    stream.set_nodelay(true).map_err(WireError::from)?;
    let stream = TlsAcceptor::from(shared.tls.clone()).accept(stream).await.map_err(Ended::Tls)?;
    let peer = tls::peer_of(stream.get_ref().1).ok_or(Ended::Protocol)?;
    Ok((Wire::new(Channel::Left(stream), shared.buffers.clone()), peer))
}

/// What was answered.
enum Turn {
    Greeted,
    Asked,
}

/// One request and its answer.
async fn turn<H: Handler>(
    shared: &Shared<H>,
    wire: &mut Stream,
    guest: &mut Guest,
    stop: &CancellationToken,
) -> Result<Turn, Ended> {
    let beginning = guest.wait(IDLE_TIMEOUT, Ended::Idle, wire.first_byte());
    let first = stop.run_until_cancelled(beginning).await.ok_or(Ended::Stopped)??;
    let receiving = Box::pin(receive(shared, wire, &guest.caller, first));
    let (request, payload, budget) =
        match guest.wait(FRAME_TIMEOUT, Ended::Timeout("a request"), receiving).await? {
            Received::Whole(request, payload, budget) => (Some(request), payload, budget),
            Received::NotUnderstood => (None, Bytes::new(), None),
            Received::NotTaken => return refuse(wire, guest).await,
        };
    let is_join = matches!(request, Some(Request::Join(_)));
    let (response, payload) = match request {
        // Said, so that a peer of another version need not take a silence for a death.
        None => (Response::Refused(Refusal::BadRequest(NOT_UNDERSTOOD.into())), Bytes::new()),
        Some(Request::Hello { certificate, incarnation }) => {
            (hello(shared, &mut guest.caller, certificate.as_deref(), incarnation), Bytes::new())
        }
        Some(request) if may_ask(shared, (&guest.caller, wire.is_in_tls()), &request) => {
            Box::pin(shared.handler.handle(guest.caller.clone(), request, payload)).await
        }
        _ => (Response::Refused(Refusal::NotAMember), Bytes::new()),
    };
    drop(budget);
    if is_join {
        guest.probation.note_judgement(&response);
    }
    if guest.caller.is_known() {
        guest.probation.place = None;
    }
    let ends = ends_with(&response, &guest.caller);
    let start = response.encode(payload.len()).map_err(WireError::from)?;
    let answering = wire.write(&start, &payload);
    guest.wait(FRAME_TIMEOUT, Ended::Timeout("taking an answer"), answering).await?;
    match response {
        _ if ends => Err(Ended::Refused),
        Response::Hello { .. } => Ok(Turn::Greeted),
        _ => Ok(Turn::Asked),
    }
}

/// Whether that was the last word: a stranger has one try at being let in.
fn ends_with(response: &Response, caller: &Caller) -> bool {
    match response {
        Response::Refused(Refusal::NotAMember) => true,
        Response::Refused(_) => !caller.is_known(),
        _ => false,
    }
}

/// Says no to whoever may not send this payload, which nobody reads: so it is the connection's end.
async fn refuse(wire: &mut Stream, guest: &Guest) -> Result<Turn, Ended> {
    let refusal = Response::Refused(Refusal::NotAMember);
    let start = refusal.encode(0).map_err(WireError::from)?;
    let answering = wire.write(&start, &[]);
    guest.wait(FRAME_TIMEOUT, Ended::Timeout("taking an answer"), answering).await?;
    Err(Ended::Refused)
}

/// What came.
enum Received<'a> {
    /// With what its payload takes of the budget.
    Whole(Request, Bytes, Option<SemaphorePermit<'a>>),
    /// A known sender means it well, and this version does not understand it.
    NotUnderstood,
    /// Its payload is still on the way, and its sender may not send it.
    NotTaken,
}

/// The rest of a request, within what its sender may send. Room for the payload is taken from the budget of all connections before a
/// buffer is, and only for who may ask this.
async fn receive<'a, H: Handler>(
    shared: &'a Shared<H>,
    wire: &mut Stream,
    caller: &Caller,
    first: u8,
) -> Result<Received<'a>, Ended> {
    let limits = if caller.is_known() {
        let payload_bytes = if caller.is_gateway() { REPLICA_BYTES_MAX } else { SHARD_BYTES_MAX };
        FrameLimits { head_bytes: REQUEST_HEAD_BYTES, payload_bytes }
    } else {
        FrameLimits { head_bytes: STRANGER_HEAD_BYTES, payload_bytes: 0 }
    };
    let start = wire.read_start(first, limits).await?;
    let request = match Request::decode(&start.head) {
        Ok(request) => request,
        Err(FrameError::Malformed(_) | FrameError::Trailing(_))
            if caller.is_known() && start.payload_bytes == 0 =>
        {
            return Ok(Received::NotUnderstood);
        }
        Err(error) => return Err(WireError::from(error).into()),
    };
    start.check_payload(request.payload_bytes_max())?;
    let may_send = || {
        may_ask(shared, (caller, wire.is_in_tls()), &request)
            && shared.handler.takes_payload(caller, &request)
    };
    if start.payload_bytes > 0 && !may_send() {
        return Ok(Received::NotTaken);
    }
    let units = u32::try_from(start.payload_bytes.div_ceil(BUDGET_UNIT)).unwrap_or(u32::MAX);
    let budget = match units {
        0 => None,
        // The semaphore is never closed.
        _ => Some(shared.inbound.acquire_many(units).await.map_err(|_| Ended::Stopped)?),
    };
    let payload = wire.read_payload(start.payload_bytes).await?;
    Ok(Received::Whole(request, payload, budget))
}

fn hello<H: Handler>(
    shared: &Shared<H>,
    caller: &mut Caller,
    certificate: Option<&[u8]>,
    incarnation: datamesh_shard::Incarnation,
) -> Response {
    match shared.trust.accepts(caller.peer, certificate, incarnation) {
        Ok(accepted) => {
            *caller = accepted;
            let certificate = shared.trust.own().map(|(bytes, _)| bytes);
            Response::Hello { certificate, incarnation: shared.incarnation }
        }
        Err(error) => {
            tracing::debug!(peer = ?caller.peer, %error, "a peer is not trusted");
            Response::Refused(Refusal::NotAMember)
        }
    }
}

/// Whether the caller may ask this at all; certificates expire and members are replaced while connections stay open.
fn may_ask<H: Handler>(shared: &Shared<H>, (caller, is_in_tls): (&Caller, bool), request: &Request) -> bool {
    match request {
        Request::Join(_) => true,
        // Names and wrapped keys, which nobody on the way may read or change.
        Request::Standing | Request::Replica => {
            caller.is_gateway() && is_in_tls && shared.trust.still_holds(caller)
        }
        _ => caller.is_known() && shared.trust.still_holds(caller),
    }
}
