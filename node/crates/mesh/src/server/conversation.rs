//! One connection from its handshake to its end.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use datamesh_exchange::message::{Refusal, Request, Response};
use datamesh_shard::limits::{MESSAGE_BYTES_MAX, SHARD_BYTES_MAX};
use tokio::net::TcpStream;
use tokio::sync::SemaphorePermit;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::{BUDGET_UNIT, Handler, Shared};
use crate::tls;
use crate::trust::Caller;
use crate::wire::{FrameLimits, Wire, WireError};

/// Patience with the TLS handshake, and with a stranger to say who it is.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// A known peer's connection at rest for this long is closed: twice what a client lets it rest.
const IDLE_TIMEOUT: Duration = Duration::from_secs(120);
/// Patience with the rest of a frame after its first byte, and with the peer taking an answer.
const FRAME_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of a stranger's message at most: a join request or a certificate, no layouts, no payload.
const STRANGER_HEAD_BYTES: usize = 16 << 10;

type Stream = Wire<TlsStream<TcpStream>>;

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
}

pub(super) async fn hold<H: Handler>(shared: &Arc<Shared<H>>, stream: TcpStream, stop: CancellationToken) {
    let address = stream.peer_addr().ok();
    let ended = Box::pin(converse(shared, stream, &stop)).await;
    match ended {
        Ended::Stopped | Ended::Idle | Ended::Wire(WireError::Closed) => {
            tracing::trace!(?address, reason = %ended, "bulk connection closed");
        }
        _ => tracing::debug!(?address, reason = %ended, "bulk connection ended"),
    }
}

async fn converse<H: Handler>(shared: &Shared<H>, stream: TcpStream, stop: &CancellationToken) -> Ended {
    let Ok(stranger) = shared.strangers.clone().try_acquire_owned() else {
        return Ended::Crowded;
    };
    let (mut wire, peer) = match greet(shared, stream).await {
        Ok(greeted) => greeted,
        Err(ended) => return ended,
    };
    let mut stranger = Some(stranger);
    let mut caller = Caller::stranger(peer);
    loop {
        match turn(shared, &mut wire, &mut caller, stop).await {
            Ok(()) if caller.is_known() => stranger = None,
            Ok(()) => {}
            Err(ended) => {
                drop(stranger);
                // What was written last is delivered before the end.
                if tokio::time::timeout(HANDSHAKE_TIMEOUT, wire.close()).await.is_err() {
                    tracing::trace!("the peer does not take the goodbye");
                }
                return ended;
            }
        }
    }
}

async fn greet<H: Handler>(
    shared: &Shared<H>,
    stream: TcpStream,
) -> Result<(Stream, datamesh_shard::PeerKey), Ended> {
    stream.set_nodelay(true).map_err(WireError::from)?;
    let accept = TlsAcceptor::from(shared.tls.clone()).accept(stream);
    let stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, accept)
        .await
        .map_err(|_| Ended::Timeout("the handshake"))?
        .map_err(Ended::Tls)?;
    let peer = tls::peer_of(stream.get_ref().1).ok_or(Ended::Protocol)?;
    Ok((Wire::new(stream, shared.buffers.clone()), peer))
}

/// One request and its answer.
async fn turn<H: Handler>(
    shared: &Shared<H>,
    wire: &mut Stream,
    caller: &mut Caller,
    stop: &CancellationToken,
) -> Result<(), Ended> {
    let patience = if caller.is_known() { IDLE_TIMEOUT } else { HANDSHAKE_TIMEOUT };
    let first = stop
        .run_until_cancelled(tokio::time::timeout(patience, wire.first_byte()))
        .await
        .ok_or(Ended::Stopped)?
        .map_err(|_| Ended::Idle)??;
    let receiving = Box::pin(receive(shared, wire, caller, first));
    let (request, payload, budget) =
        tokio::time::timeout(FRAME_TIMEOUT, receiving).await.map_err(|_| Ended::Timeout("a request"))??;
    let (response, payload) = match request {
        Request::Hello { certificate, incarnation } => {
            (hello(shared, caller, certificate.as_deref(), incarnation), Bytes::new())
        }
        request if may_ask(shared, caller, &request) => {
            Box::pin(shared.handler.handle(caller.clone(), request, payload)).await
        }
        _ => (Response::Refused(Refusal::NotAMember), Bytes::new()),
    };
    drop(budget);
    let ends = matches!(response, Response::Refused(Refusal::NotAMember));
    let start = response.encode(payload.len()).map_err(WireError::from)?;
    tokio::time::timeout(FRAME_TIMEOUT, wire.write(&start, &payload))
        .await
        .map_err(|_| Ended::Timeout("taking an answer"))??;
    if ends { Err(Ended::Refused) } else { Ok(()) }
}

/// The rest of a request, within what its sender may send. Room for the payload is taken from the budget of all
/// connections before a buffer is.
async fn receive<'a, H: Handler>(
    shared: &'a Shared<H>,
    wire: &mut Stream,
    caller: &Caller,
    first: u8,
) -> Result<(Request, Bytes, Option<SemaphorePermit<'a>>), Ended> {
    let limits = if caller.is_known() {
        FrameLimits { head_bytes: MESSAGE_BYTES_MAX, payload_bytes: SHARD_BYTES_MAX }
    } else {
        FrameLimits { head_bytes: STRANGER_HEAD_BYTES, payload_bytes: 0 }
    };
    let start = wire.read_start(first, limits).await?;
    let request = Request::decode(&start.head).map_err(WireError::from)?;
    start.check_payload(request.payload_bytes_max())?;
    let units = u32::try_from(start.payload_bytes.div_ceil(BUDGET_UNIT)).unwrap_or(u32::MAX);
    let budget = match units {
        0 => None,
        // The semaphore is never closed.
        _ => Some(shared.inbound.acquire_many(units).await.map_err(|_| Ended::Stopped)?),
    };
    let payload = wire.read_payload(start.payload_bytes).await?;
    Ok((request, payload, budget))
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
fn may_ask<H: Handler>(shared: &Shared<H>, caller: &Caller, request: &Request) -> bool {
    match request {
        Request::Join(_) => true,
        _ => caller.is_known() && shared.trust.still_holds(caller),
    }
}
