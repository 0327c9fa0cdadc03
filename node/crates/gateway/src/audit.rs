//! Who did what: every change and every sign-in, as chains of entries in the catalog that nobody alters unseen
//! ([ADR 32](../../../../docs/adr/0032-the-audit-is-chains.md)).
//!
//! * `note`: what a handler says of its request.
//! * `witnessed`: what a request is worth an entry, also one whose client hung up.
//! * `deed`: what the gateway does by itself.
//! * `chain`: entries become links, and the chain's head is signed.
//! * `retention`: the oldest entries go.

mod chain;
mod deed;
mod note;
mod retention;
pub(crate) mod witnessed;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::catalog::CatalogError;
use datamesh_catalog::{AuditAt, AuditHead, AuditPage, EmbeddedCatalog};
use datamesh_seal::{ClusterSigningKey, Link};
use datamesh_settings::audit::{AuditEntry, TEXT_BYTES_MAX};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use parking_lot::Mutex;

use crate::accounts::cut;
use crate::surroundings::Surroundings;
use crate::work::{Next, Worker};

pub(crate) use deed::Deed;
pub(crate) use note::{Actor, Note};
pub(crate) use retention::{CutAudit, ENTRIES_KEPT};
pub(crate) use witnessed::{Asked, Witnessed};

/// Entries that wait to be written down at most; from half of them on, who brings one writes them down.
const WAITING_MAX: usize = 4096;
/// Room beyond that for entries that must be durable before their answer: what clients who hang up leave behind takes none of it.
const RESERVE: usize = 512;
/// Entries of one batch at most: half a megabyte, a few milliseconds.
const BATCH_MAX: usize = 512;
/// What is not written down before its answer is so within this time after it.
const SOON: Duration = Duration::from_secs(1);

/// When an entry is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durable {
    /// Before the answer: whoever signs in or administrates waits for one commit.
    Before,
    /// Within [`SOON`] after it: of these there are as many as puts.
    Soon,
}

/// Why an entry is not written down.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuditError {
    /// Too many wait: this one is in the log alone.
    #[error("too many entries of the audit wait to be written down")]
    Full,
    /// The catalog does not take it; it waits.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

#[derive(Default)]
struct Waiting {
    entries: VecDeque<AuditEntry>,
    last_unix_ms: u64,
    lost: u64,
}

/// How far the chain is known to be written down.
struct Written {
    count: u64,
    link: Link,
}

/// This gateway's chain.
pub(crate) struct Audit {
    catalog: EmbeddedCatalog,
    key: ClusterSigningKey,
    surroundings: Arc<dyn Surroundings>,
    chain: String,
    waiting: Mutex<Waiting>,
    /// Whoever has it writes; the others' entries are in its batch, or in the next.
    written: tokio::sync::Mutex<Written>,
}

impl Audit {
    /// The chain of `gateway` since the catalog was opened: nobody else ever writes to it.
    pub(crate) fn new(
        gateway: &str,
        (catalog, key): (EmbeddedCatalog, ClusterSigningKey),
        surroundings: Arc<dyn Surroundings>,
    ) -> Self {
        let chain = format!("{gateway}/{}", catalog.incarnation().0);
        let written = Written { count: 0, link: Link::first() }.into();
        Self { catalog, key, surroundings, chain, waiting: Mutex::default(), written }
    }

    /// Takes an entry; it is durable after the next [`Audit::flush`]. Its time is now, and no earlier than the one's before.
    fn push(&self, mut entry: AuditEntry, durable: Durable) -> Result<(), AuditError> {
        let AuditEntry { actor, user, credential, action, target, detail, address, request, .. } = &mut entry;
        for text in [actor, user, credential, action, target, detail, address, request] {
            text.truncate(cut(text, TEXT_BYTES_MAX).len());
        }
        let room = WAITING_MAX + if durable == Durable::Before { RESERVE } else { 0 };
        let now_unix_ms = self.surroundings.now_unix_ms();
        let mut waiting = self.waiting.lock();
        if waiting.entries.len() >= room {
            waiting.lost += 1;
            tracing::error!(
                lost = waiting.lost,
                ?entry,
                "the audit cannot be written: this is its only trace"
            );
            return Err(AuditError::Full);
        }
        waiting.last_unix_ms = waiting.last_unix_ms.max(now_unix_ms);
        entry.at_unix_ms = waiting.last_unix_ms;
        waiting.entries.push_back(entry);
        Ok(())
    }

    /// Writes down what waits before another entry comes, if many wait. What cannot be written goes on waiting.
    async fn make_room(&self, durable: Durable) {
        let many = if durable == Durable::Before { WAITING_MAX } else { WAITING_MAX / 2 };
        if self.waiting.lock().entries.len() >= many {
            self.flush_or_say_so().await;
        }
    }

    /// Writes down what waits, if the entry that just came asked for it.
    async fn settle(&self, durable: Durable) -> Result<(), AuditError> {
        match durable {
            Durable::Before => Ok(self.flush().await?),
            Durable::Soon => Ok(()),
        }
    }

    /// Writes down what waits; what cannot be written goes on waiting.
    pub(crate) async fn flush_or_say_so(&self) {
        if let Err(error) = self.flush().await {
            tracing::error!(%error, "the audit could not be written down; it is tried again");
        }
    }

    /// Writes down all that waits.
    ///
    /// # Errors
    /// The catalog's. Nothing is lost, and nothing is written twice when it is tried again.
    pub(crate) async fn flush(&self) -> Result<(), CatalogError> {
        let mut written = self.written.lock().await;
        loop {
            let batch: Vec<AuditEntry> =
                self.waiting.lock().entries.iter().take(BATCH_MAX).cloned().collect();
            if batch.is_empty() {
                return Ok(());
            }
            let rows = chain::linked(&self.chain, (written.count, written.link), batch);
            let head = chain::head_after(&self.key, &self.chain, &rows);
            let done = if self.catalog.append_audit(&self.chain, written.count, (&rows, &head)).await? {
                rows.len()
            } else {
                // An attempt before, of which nobody learned how it ended, was written after all.
                let head = self.catalog.audit_head(&self.chain).await?;
                let head = head.ok_or(CatalogError::Contended)?;
                chain::reached(&rows, &head).ok_or(CatalogError::Contended)?
            };
            if let Some(last) = rows.get(done - 1) {
                *written = Written { count: last.at.number + 1, link: Link(last.link) };
            }
            self.waiting.lock().entries.drain(..done);
        }
    }
}

impl Audit {
    /// Entries from one time on and before another, also those of a moment ago.
    ///
    /// # Errors
    /// The catalog's.
    pub(crate) async fn page(
        &self,
        between: (u64, u64),
        after: Option<&AuditAt>,
        limit: usize,
    ) -> Result<AuditPage, CatalogError> {
        self.flush().await?;
        self.catalog.audit(between, after, limit).await
    }

    /// How far each chain goes.
    ///
    /// # Errors
    /// The catalog's.
    pub(crate) async fn heads(&self) -> Result<Vec<(String, AuditHead)>, CatalogError> {
        self.flush().await?;
        self.catalog.audit_heads().await
    }

    /// How much was cut off each chain.
    ///
    /// # Errors
    /// The catalog's.
    pub(crate) async fn cuts(&self) -> Result<Vec<(String, AuditHead)>, CatalogError> {
        self.catalog.audit_cuts().await
    }
}

/// Writes down what was not written down before its answer.
pub(crate) struct WriteAudit(pub(crate) Arc<Audit>);

impl Worker for WriteAudit {
    fn name(&self) -> &'static str {
        "write audit"
    }

    fn work(&mut self) -> BoxFuture<'_, Next> {
        async {
            self.0.flush_or_say_so().await;
            Next::Wait(SOON)
        }
        .boxed()
    }
}
