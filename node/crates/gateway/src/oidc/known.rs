//! What is known of a provider: what it says of itself, and its keys. Asked for where it is not known, or no more; by one at a time, so
//! that one that does not answer has no queue.

use std::sync::Arc;

use parking_lot::Mutex;
use serde::Deserialize;

use super::token::{Claims, Expected, Jwks, TokenError, verify};
use super::wire::{ProviderError, Wire};
use crate::surroundings::Surroundings;

/// What a provider says of itself is asked for anew after so long, and its keys when one is missing, but not more often than that.
const KNOWN_FOR_MS: u64 = 3_600_000;
const KEYS_AT_MOST_EVERY_MS: u64 = 60_000;
/// One that failed is not asked again for so long.
const LEFT_ALONE_MS: u64 = 5_000;
/// Keys of a provider at most.
const KEYS_MAX: usize = 64;

/// What a provider says of itself (OpenID Connect Discovery).
#[derive(Debug, Deserialize)]
pub(super) struct Discovered {
    issuer: String,
    pub(super) authorization_endpoint: String,
    pub(super) token_endpoint: String,
    jwks_uri: String,
    #[serde(default)]
    pub(super) userinfo_endpoint: Option<String>,
    #[serde(default)]
    pub(super) device_authorization_endpoint: Option<String>,
}

#[derive(Debug, Default)]
struct Facts {
    said: Option<(Arc<Discovered>, u64)>,
    keys: Arc<Jwks>,
    keys_unix_ms: u64,
    failed_unix_ms: u64,
}

/// All of it, and who asks for it.
#[derive(Debug, Default)]
pub(super) struct Known {
    facts: Mutex<Facts>,
    fetching: tokio::sync::Mutex<()>,
}

/// Whom to ask, and what time it is.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) wire: &'a Wire,
    pub(super) issuer: &'a str,
    pub(super) clock: &'a dyn Surroundings,
}

impl Known {
    /// What the provider says of itself, from memory where it was asked lately.
    pub(super) async fn discovered(&self, from: Source<'_>) -> Result<Arc<Discovered>, ProviderError> {
        if let Some(said) = self.remembered(from.clock.now_unix_ms()) {
            return Ok(said);
        }
        let Ok(_fetching) = self.fetching.try_lock() else { return self.old() };
        // Whoever asked before may be done by now.
        let now_unix_ms = from.clock.now_unix_ms();
        if let Some(said) = self.remembered(now_unix_ms) {
            return Ok(said);
        }
        if now_unix_ms.saturating_sub(self.facts.lock().failed_unix_ms) < LEFT_ALONE_MS {
            return self.old();
        }
        let asked = from.asked().await;
        // The time after the answer: one that did not come took long.
        let now_unix_ms = from.clock.now_unix_ms();
        let mut facts = self.facts.lock();
        match asked {
            Ok((said, keys)) => {
                let (said, keys) = (Arc::new(said), Arc::new(keys));
                let said_then = Some((Arc::clone(&said), now_unix_ms));
                *facts = Facts { said: said_then, keys, keys_unix_ms: now_unix_ms, failed_unix_ms: 0 };
                Ok(said)
            }
            Err(error) => {
                facts.failed_unix_ms = now_unix_ms;
                Err(error)
            }
        }
    }

    fn remembered(&self, now_unix_ms: u64) -> Option<Arc<Discovered>> {
        let facts = self.facts.lock();
        let lately = |(_, unix_ms): &&(_, u64)| now_unix_ms.saturating_sub(*unix_ms) < KNOWN_FOR_MS;
        facts.said.as_ref().filter(lately).map(|(said, _)| Arc::clone(said))
    }

    /// What it said longer ago, while it cannot be asked.
    fn old(&self) -> Result<Arc<Discovered>, ProviderError> {
        let facts = self.facts.lock();
        facts.said.as_ref().map(|(said, _)| Arc::clone(said)).ok_or(ProviderError::Lately)
    }

    /// Believes a token by the provider's keys; asks for them anew where the one that signed is not among them.
    pub(super) async fn believe(
        &self,
        token: &str,
        expected: Expected<'_>,
        from: Source<'_>,
    ) -> Result<Claims, ProviderError> {
        let said = self.discovered(from).await?;
        match self.verdict(token, expected, from) {
            Err(TokenError::Signature) => {}
            verdict => return Ok(verdict?),
        }
        // Whoever comes meanwhile waits for the one who asks, and asks for nothing themselves.
        let _fetching = self.fetching.lock().await;
        if self.keys_are_due(from.clock.now_unix_ms()) {
            let keys = from.keys(&said.jwks_uri).await?;
            self.facts.lock().keys = Arc::new(keys);
        }
        Ok(self.verdict(token, expected, from)?)
    }

    /// By the keys that are known, at the time that it is by now.
    fn verdict(&self, token: &str, expected: Expected<'_>, from: Source<'_>) -> Result<Claims, TokenError> {
        let keys = Arc::clone(&self.facts.lock().keys);
        let now_unix_s = from.clock.now_unix_ms() / 1000;
        verify(token, &keys, Expected { now_unix_s, ..expected })
    }

    fn keys_are_due(&self, now_unix_ms: u64) -> bool {
        let mut facts = self.facts.lock();
        let due = now_unix_ms.saturating_sub(facts.keys_unix_ms) >= KEYS_AT_MOST_EVERY_MS;
        if due {
            facts.keys_unix_ms = now_unix_ms;
        }
        due
    }
}

impl Source<'_> {
    async fn asked(self) -> Result<(Discovered, Jwks), ProviderError> {
        let url = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let said: Discovered = self.wire.get(&url, None).await?;
        if said.issuer != *self.issuer {
            return Err(ProviderError::Answer("it says that it is another issuer"));
        }
        let keys = self.keys(&said.jwks_uri).await?;
        Ok((said, keys))
    }

    async fn keys(self, url: &str) -> Result<Jwks, ProviderError> {
        let keys: Jwks = self.wire.get(url, None).await?;
        if keys.keys.len() > KEYS_MAX { Err(ProviderError::Answer("it has too many keys")) } else { Ok(keys) }
    }
}
