//! One gateway address: connect, join, stay connected, renew at half the certificate's life.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use datamesh_exchange::message::{JoinRequest, Joined, Refusal, Request, Response};
use datamesh_seal::SignedCertificate;
use datamesh_settings::{SettingsError, read_secret};
use datamesh_shard::{Epoch, PoolName};
use tokio::sync::watch;
use zeroize::Zeroize;

use super::Shared;
use crate::dial::{DialError, Expect, Link};
use crate::encoding::whole;
use crate::node::Readiness;
use crate::trust::{NotTrusted, now_unix};
use crate::wire::WireError;

/// How often a gateway at rest is asked whether it lives: a restarted one learns of this node within that time.
const KEEPALIVE: Duration = Duration::from_secs(5);
/// Patience with each answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// Two joins on one connection are at least this far apart.
const JOIN_PAUSE: Duration = Duration::from_secs(1);
/// Endpoints of gateways an answer may name.
const NAMED_MAX: usize = 16;

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum JoinError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("no answer within {ANSWER_TIMEOUT:?}")]
    Timeout,
    #[error("join token: {0}")]
    Token(#[from] SettingsError),
    #[error("not let in: {0}")]
    Refused(Refusal),
    #[error("the certificate given does not hold: {0}")]
    Certificate(#[from] NotTrusted),
    #[error("connection lost after joining: {0}")]
    Lost(Box<JoinError>),
}

impl JoinError {
    pub(super) fn had_joined(&self) -> bool {
        matches!(self, Self::Lost(_))
    }

    /// Whether a gateway answered, and would not let the node in.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(_))
    }
}

pub(super) struct Session {
    shared: Arc<Shared>,
    address: SocketAddr,
}

impl Session {
    pub(super) fn new(shared: Arc<Shared>, address: SocketAddr) -> Self {
        Self { shared, address }
    }

    /// Joins and holds the connection until it is lost.
    pub(super) async fn hold(self) -> JoinError {
        // From before the first answer on, so that nothing that is wanted meanwhile is missed.
        let mut wanted = self.shared.dialer.trust.wanted();
        let mut link = match self.connect().await {
            Ok(link) => link,
            Err(error) => return error,
        };
        let mut renew_at = match self.join(&mut link).await {
            Ok(renew_at) => renew_at,
            Err(error) => return error,
        };
        tracing::info!(gateway = %self.address, peer = ?link.peer.peer, "joined");
        loop {
            tokio::select! {
                () = tokio::time::sleep(KEEPALIVE.min(renew_at.saturating_duration_since(Instant::now()))) => {}
                Ok(()) = wanted.changed() => {}
            }
            let wants = self.is_wanted(&mut wanted);
            let outcome = if wants || Instant::now() >= renew_at {
                let joined = self.join(&mut link).await;
                // Whatever is wanted next waits, so that one gateway that does not know a layout is not asked again
                // and again.
                tokio::time::sleep(JOIN_PAUSE).await;
                joined.map(|at| renew_at = at)
            } else {
                self.greet(&mut link).await
            };
            if let Err(error) = outcome {
                return JoinError::Lost(Box::new(error));
            }
        }
    }

    fn is_wanted(&self, wanted: &mut watch::Receiver<Option<(PoolName, Epoch)>>) -> bool {
        let Some((pool, epoch)) = wanted.borrow_and_update().clone() else {
            return false;
        };
        self.shared.dialer.trust.layout(&pool).is_none_or(|known| known.epoch < epoch)
    }

    async fn connect(&self) -> Result<Link, JoinError> {
        let dialer = &self.shared.dialer;
        let config = dialer.config(&Expect::Gateway).map_err(DialError::from)?;
        Ok(dialer.dial(self.address, &Expect::Gateway, config).await?)
    }

    async fn greet(&self, link: &mut Link) -> Result<(), JoinError> {
        let hello = Box::pin(self.shared.dialer.hello(link, &Expect::Gateway));
        Ok(tokio::time::timeout(ANSWER_TIMEOUT, hello).await.map_err(|_| JoinError::Timeout)??)
    }

    /// Joins, or renews; gives the time of the next renewal.
    async fn join(&self, link: &mut Link) -> Result<Instant, JoinError> {
        let request = Request::Join(self.request()?);
        let (nothing, mut nowhere) = (Bytes::new(), None);
        let asking = Box::pin(link.exchange(&request, &nothing, &mut nowhere));
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, asking).await;
        if let Request::Join(mut request) = request {
            request.token.zeroize();
        }
        let (response, _) = answer.map_err(|_| JoinError::Timeout)??;
        match response {
            Response::Joined(joined) => {
                let renew_at = self.take(joined)?;
                // Shows the new certificate: to the gateway this connection was a stranger's so far.
                self.greet(link).await?;
                Ok(renew_at)
            }
            Response::Refused(refusal) => Err(JoinError::Refused(refusal)),
            _ => Err(WireError::Unexpected("to Join").into()),
        }
    }

    fn request(&self) -> Result<JoinRequest, JoinError> {
        let Shared { settings, storage, endpoint, dialer, .. } = &*self.shared;
        Ok(JoinRequest {
            token: read_secret(&storage.join_token_file)?,
            node: settings.node.clone(),
            pool: storage.pool.clone(),
            zone: storage.zone.clone(),
            capacity_bytes: storage.capacity_bytes,
            endpoint: endpoint.clone(),
            incarnation: dialer.incarnation,
        })
    }

    fn take(&self, joined: Joined) -> Result<Instant, JoinError> {
        let Shared { dialer, kept, ready, named, .. } = &*self.shared;
        let certificate: SignedCertificate = whole(&joined.certificate).map_err(NotTrusted::from)?;
        let checked = dialer.trust.set_own(&certificate, &dialer.identity.peer())?;
        kept.keep_certificate(&certificate);
        for layout in &joined.layouts {
            if let Err(error) = dialer.trust.learn_layout(layout) {
                tracing::warn!(gateway = %self.address, %error, "a layout is refused");
            }
        }
        *named.lock() = joined.gateways.into_iter().take(NAMED_MAX).collect();
        ready.send_if_modified(|state| std::mem::replace(state, Readiness::Ready) != Readiness::Ready);
        let life = Duration::from_secs(checked.not_after_unix.saturating_sub(now_unix()));
        Ok(Instant::now() + life / 2)
    }
}
