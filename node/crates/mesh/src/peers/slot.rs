//! One peer: where it is, the connections to it, and whether it answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use datamesh_buffers::{Payload, Place};
use datamesh_exchange::message::{Refusal, Request, Response};
use datamesh_settings::Endpoint;
use datamesh_shard::{Incarnation, PeerKey};
use parking_lot::Mutex;
use rustls::ClientConfig;
use tokio::sync::Semaphore;

use super::latency::{Latency, Window};
use super::{CONNECTIONS_PER_PEER, GREETING_PERIOD, PeerError, PeerStatus, SILENCE};
use crate::backoff::Backoff;
use crate::dial::{DialError, Dialer, Expect, Link};
use crate::resolve::resolved;
use crate::trust::now_unix;
use crate::wire::WireError;

/// A connection at rest for this long is closed; the server waits twice as long.
const REST: Duration = Duration::from_secs(60);
/// A peer whose requests time out this often in a row is down; a single one may be just slow.
const TIMEOUTS_TILL_DOWN: u32 = 3;
/// First and longest pause after a failure. Short, since a put waits for nobody: it hands off meanwhile.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

pub(super) struct Slot {
    peer: PeerKey,
    state: Mutex<State>,
    /// One permit for each connection that may be in use.
    free: Semaphore,
}

struct State {
    endpoint: Endpoint,
    incarnation: Incarnation,
    /// Made at the first connection.
    tls: Option<Arc<ClientConfig>>,
    /// Connections at rest; the one used last is used next, so that the others fall asleep.
    resting: Vec<Link>,
    /// Rises with each change of address or incarnation: connections made before it are not kept.
    moves: u64,
    backoff: Backoff,
    down_until: Option<Instant>,
    timeouts: u32,
    heard: Instant,
    reads: Window,
    /// How long the last greeting on an open connection took to be answered, and when that was.
    greeted: Option<(Duration, Instant)>,
}

impl Slot {
    pub(super) fn new(peer: PeerKey, endpoint: Endpoint, incarnation: Incarnation) -> Self {
        let state = State {
            endpoint,
            incarnation,
            tls: None,
            resting: Vec::new(),
            moves: 0,
            backoff: Backoff::new(RETRY_FIRST, RETRY_MAX),
            down_until: None,
            timeouts: 0,
            heard: Instant::now(),
            reads: Window::default(),
            greeted: None,
        };
        Self { peer, state: Mutex::new(state), free: Semaphore::new(CONNECTIONS_PER_PEER) }
    }

    pub(super) fn move_to(&self, endpoint: Endpoint, incarnation: Incarnation) {
        let mut state = self.state.lock();
        if state.endpoint == endpoint && state.incarnation == incarnation {
            return;
        }
        state.endpoint = endpoint;
        state.incarnation = incarnation;
        state.moves += 1;
        state.resting.clear();
        state.note_answer();
    }

    pub(super) fn is_live(&self) -> bool {
        self.state.lock().down_until.is_none()
    }

    pub(super) fn reads(&self) -> Option<Latency> {
        self.state.lock().reads.latency()
    }

    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.state.lock().greeted.map(|(took, _)| took)
    }

    pub(super) fn status(&self) -> PeerStatus {
        let state = self.state.lock();
        PeerStatus {
            peer: self.peer,
            endpoint: state.endpoint.clone(),
            incarnation: state.incarnation,
            live: state.down_until.is_none(),
            reads: state.reads.latency(),
        }
    }

    pub(super) fn is_to_be_probed(&self, now: Instant) -> bool {
        let state = self.state.lock();
        let is_measured =
            state.greeted.is_some_and(|(_, at)| now.saturating_duration_since(at) < GREETING_PERIOD);
        match state.down_until {
            Some(until) => until <= now,
            None => !is_measured || now.saturating_duration_since(state.heard) > SILENCE,
        }
    }

    pub(super) fn close_resting(&self, now: Instant) {
        let mut state = self.state.lock();
        state.resting.retain(|link| now.duration_since(link.used) < REST);
    }

    pub(super) fn note_timeout(&self) {
        let mut state = self.state.lock();
        state.timeouts += 1;
        if state.timeouts >= TIMEOUTS_TILL_DOWN {
            state.note_failure();
        }
    }

    /// One request on a connection of the pool.
    pub(super) async fn ask(
        &self,
        dialer: &Dialer,
        request: &Request,
        payload: &Bytes,
        mut place: Option<Place>,
    ) -> Result<(Response, Payload), PeerError> {
        // The semaphore is never closed, so an error cannot be; refusing is right all the same.
        let _permit = self.free.acquire().await.map_err(|_| PeerError::Unknown(self.peer))?;
        while let Some((link, moves)) = self.rested() {
            match self.ask_on(link, moves, (request, payload), &mut place).await {
                // What cannot be encoded will not be on another connection either.
                Err(WireError::Frame(error)) => return Err(WireError::Frame(error).into()),
                // Closed by the peer while it rested: all others made before may be as well.
                Err(_) => {}
                Ok(answer) if is_expired(&answer.0) => {}
                Ok(answer) => return Ok(answer),
            }
        }
        let (link, moves) = self.connect(dialer).await?;
        self.ask_on(link, moves, (request, payload), &mut place).await.map_err(|error| {
            self.state.lock().note_failure();
            error.into()
        })
    }

    /// Asks whether the peer lives.
    pub(super) async fn probe(&self, dialer: &Dialer) {
        let Ok(_permit) = self.free.try_acquire() else {
            return; // All connections are busy: whether they are answered will show without this.
        };
        let begin = Instant::now();
        if let Some((mut link, moves)) = self.rested()
            && dialer.hello(&mut link, &Expect::Peer(self.peer)).await.is_ok()
        {
            self.state.lock().greeted = Some((begin.elapsed(), Instant::now()));
            self.put_back(link, moves);
            return;
        }
        match self.connect(dialer).await {
            Ok((link, moves)) => self.put_back(link, moves),
            Err(error) => tracing::debug!(peer = ?self.peer, %error, "peer is down"),
        }
    }

    async fn ask_on(
        &self,
        mut link: Link,
        moves: u64,
        (request, payload): (&Request, &Bytes),
        place: &mut Option<Place>,
    ) -> Result<(Response, Payload), WireError> {
        let begin = Instant::now();
        let answer = link.exchange(request, payload, place).await?;
        if matches!(answer.0, Response::Shard { .. } | Response::Range) {
            self.state.lock().reads.add(begin.elapsed());
        }
        if is_expired(&answer.0) {
            link.close().await;
        } else {
            self.put_back(link, moves);
        }
        Ok(answer)
    }

    fn rested(&self) -> Option<(Link, u64)> {
        let mut state = self.state.lock();
        let (now, now_unix) = (Instant::now(), now_unix());
        state.resting.retain(|link| now.duration_since(link.used) < REST && link.own_until_unix > now_unix);
        let link = state.resting.pop()?;
        Some((link, state.moves))
    }

    fn put_back(&self, link: Link, moves: u64) {
        let mut state = self.state.lock();
        state.note_answer();
        if state.moves == moves && link.peer.incarnation >= state.incarnation {
            state.resting.push(link);
        }
    }

    async fn connect(&self, dialer: &Dialer) -> Result<(Link, u64), PeerError> {
        let expect = Expect::Peer(self.peer);
        let (endpoint, config, moves) = {
            let mut state = self.state.lock();
            if let Some(until) = state.down_until
                && let retry_in = until.saturating_duration_since(Instant::now())
                && !retry_in.is_zero()
            {
                return Err(PeerError::Down { peer: self.peer, retry_in });
            }
            let config = match &state.tls {
                Some(config) => config.clone(),
                None => state.tls.insert(dialer.config(&expect).map_err(DialError::from)?).clone(),
            };
            (state.endpoint.clone(), config, state.moves)
        };
        let outcome = dial_any(dialer, &endpoint, &expect, config).await;
        if outcome.is_err() {
            self.state.lock().note_failure();
        }
        Ok((outcome?, moves))
    }
}

/// Whether the peer no longer accepts what was shown on this connection, so that a new one may help.
fn is_expired(response: &Response) -> bool {
    matches!(response, Response::Refused(Refusal::NotAMember))
}

async fn dial_any(
    dialer: &Dialer,
    endpoint: &Endpoint,
    expect: &Expect,
    config: Arc<ClientConfig>,
) -> Result<Link, PeerError> {
    let resolve = |source| PeerError::Resolve { host: endpoint.host.clone(), source };
    let addresses = resolved(&endpoint.host, endpoint.bulk_port).await.map_err(resolve)?;
    let mut last = resolve(std::io::ErrorKind::NotFound.into());
    for address in addresses {
        match dialer.dial(address, expect, config.clone()).await {
            Ok(link) => return Ok(link),
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}

impl State {
    fn note_answer(&mut self) {
        self.heard = Instant::now();
        self.timeouts = 0;
        self.down_until = None;
        self.backoff.reset();
    }

    fn note_failure(&mut self) {
        self.down_until = Some(Instant::now() + self.backoff.next());
        self.resting.clear();
    }
}
