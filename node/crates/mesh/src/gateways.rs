//! Gateways that are reached by their names: whoever holds a gateway's certificate of that name at its address, whichever key it has.
//! What is asked is sent once, and stays in TLS.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use datamesh_exchange::message::{Refusal, Request, Response};
use datamesh_settings::{BulkEncryption, Endpoint, GatewayAddress};
use datamesh_shard::{Incarnation, NodeName, PeerKey};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::dial::{Dialer, Expect, Link};
use crate::identity::Identity;
use crate::resolve::resolved;
use crate::trust::{Trust, now_unix};
use crate::wire::receive_buffers;

/// Connections to one gateway at most: a few groups of commits, reads beside them, and heartbeats that must not wait for either.
const CONNECTIONS_PER_GATEWAY: usize = 8;
/// A connection at rest for this long is closed; the server waits twice as long.
const REST: Duration = Duration::from_secs(60);

/// Why a gateway gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The question was not sent.
    #[error("gateway {node} cannot be reached: {reason}")]
    NotSent {
        /// Its name.
        node: NodeName,
        /// Why.
        reason: String,
    },
    /// It may have been received and acted on.
    #[error("no answer of gateway {node}: {reason}")]
    Lost {
        /// Its name.
        node: NodeName,
        /// Why.
        reason: String,
    },
}

/// An answer, and whose it is.
#[derive(Debug)]
pub struct Told {
    /// The key that whoever answered has proven.
    pub peer: PeerKey,
    /// The answer.
    pub response: Response,
    /// Its payload.
    pub payload: Bytes,
}

/// Some gateways, by name.
pub struct Gateways {
    dialer: Dialer,
    places: BTreeMap<NodeName, Place>,
}

/// Where one is, and the connections to it.
struct Place {
    endpoint: Endpoint,
    free: Semaphore,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The one used last is used next.
    resting: Vec<Link>,
    /// Whose key was seen there last.
    peer: Option<PeerKey>,
}

impl Gateways {
    /// These, as `identity`; `incarnation` is what this process says of itself.
    #[must_use]
    pub fn new(
        identity: Identity,
        trust: Arc<Trust>,
        incarnation: Incarnation,
        gateways: impl IntoIterator<Item = GatewayAddress>,
    ) -> Self {
        let (buffers, encryption) = (receive_buffers(), BulkEncryption::Everything);
        let dialer = Dialer { identity, trust, incarnation, buffers, encryption };
        let place = |endpoint| Place {
            endpoint,
            free: Semaphore::new(CONNECTIONS_PER_GATEWAY),
            state: Mutex::default(),
        };
        let places =
            gateways.into_iter().map(|GatewayAddress { node, endpoint }| (node, place(endpoint))).collect();
        Self { dialer, places }
    }

    /// The name behind which such a key was seen last, and the key. A gateway whose volume is replaced has another.
    pub fn holder_of(&self, is_it: impl Fn(&PeerKey) -> bool) -> Option<(NodeName, PeerKey)> {
        let mut seen = self.places.iter().filter_map(|(node, place)| Some((node, place.state.lock().peer?)));
        seen.find(|(_, peer)| is_it(peer)).map(|(node, peer)| (node.clone(), peer))
    }

    /// Asks the gateway of this name, if it has the key that is expected, once, and waits for the answer: at most `within`, connecting
    /// and all.
    ///
    /// # Errors
    /// Says whether the question may have arrived.
    pub async fn ask(
        &self,
        (node, expected): (&NodeName, Option<PeerKey>),
        request: Request,
        payload: Bytes,
        within: Duration,
    ) -> Result<Told, AskError> {
        let until = tokio::time::Instant::now() + within;
        let not_sent = |reason: String| AskError::NotSent { node: node.clone(), reason };
        let lost = |reason: String| AskError::Lost { node: node.clone(), reason };
        let place = self.places.get(node).ok_or_else(|| not_sent("it is none of the gateways".into()))?;
        let late = |_| not_sent(format!("not within {within:?}"));
        // The semaphore is never closed, so an error cannot be; refusing is right all the same.
        let permit = tokio::time::timeout_at(until, place.free.acquire()).await.map_err(late)?;
        let _permit = permit.map_err(|error| not_sent(error.to_string()))?;
        let mut link = match place.rested() {
            Some(link) => link,
            None => {
                let connecting = Box::pin(self.connect(node, place));
                tokio::time::timeout_at(until, connecting).await.map_err(late)?.map_err(not_sent)?
            }
        };
        if expected.is_some_and(|expected| expected != link.peer.peer) {
            place.state.lock().resting.push(link);
            return Err(not_sent("it has another key by now".into()));
        }
        let mut nowhere = None;
        let asking = Box::pin(link.exchange(&request, &payload, &mut nowhere));
        match tokio::time::timeout_at(until, asking).await {
            Ok(Ok((Response::Refused(Refusal::NotAMember), _))) => {
                Err(not_sent("it does not let this gateway in".into()))
            }
            Ok(Ok((response, payload))) => {
                let peer = link.peer.peer;
                place.state.lock().resting.push(link);
                Ok(Told { peer, response, payload: payload.into_bytes() })
            }
            Ok(Err(error)) => {
                // The others are of the same age or older.
                place.state.lock().resting.clear();
                Err(lost(error.to_string()))
            }
            Err(_) => Err(lost(format!("not within {within:?}"))),
        }
    }

    /// A connection to whoever has the name now. Its address is looked up anew each time: a pod that is replaced has another.
    async fn connect(&self, node: &NodeName, place: &Place) -> Result<Link, String> {
        let Endpoint { host, bulk_port, .. } = &place.endpoint;
        let addresses =
            resolved(host, *bulk_port).await.map_err(|error| format!("cannot resolve {host}: {error}"))?;
        let config = self.dialer.config(&Expect::Gateway).map_err(|error| error.to_string())?;
        let mut reason = format!("{host} has no address");
        for address in addresses {
            match self.dialer.dial(address, &Expect::Gateway, Arc::clone(&config)).await {
                Ok(link) if link.peer.role.as_ref().is_some_and(|role| role.node == *node) => {
                    place.state.lock().peer = Some(link.peer.peer);
                    return Ok(link);
                }
                Ok(_) => reason = format!("at {address} is another gateway"),
                Err(error) => reason = error.to_string(),
            }
        }
        Err(reason)
    }

    /// Says goodbye to all.
    pub async fn close(&self) {
        for place in self.places.values() {
            let resting = std::mem::take(&mut place.state.lock().resting);
            for link in resting {
                // Who does not take it in time misses nothing.
                let _ = timeout(Duration::from_secs(1), link.close()).await;
            }
        }
    }
}

impl Place {
    fn rested(&self) -> Option<Link> {
        let mut state = self.state.lock();
        let (now, now_unix) = (Instant::now(), now_unix());
        state.resting.retain(|link| now.duration_since(link.used) < REST && link.own_until_unix > now_unix);
        state.resting.pop()
    }
}
