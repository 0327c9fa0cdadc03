//! The oldest entries go, of all chains: the audit has a bound, or it would fill the catalog's volume. What was cut off each chain is
//! signed, so that the rest is verified from there on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::catalog::CatalogError;
use datamesh_catalog::{AuditHead, AuditRow};
use datamesh_seal::{Link, sign_cut};
use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::Audit;
use crate::work::{Next, Worker};

/// Entries that are kept, however young: some 400 bytes each on the catalog's volume.
pub(crate) const ENTRIES_KEPT: u64 = 1_000_000;
/// Entries that are cut off at once.
const AT_ONCE: u64 = 512;
const PERIOD: Duration = Duration::from_secs(60);

/// Cuts off what is beyond the bound. Several gateways may: each cut rests on the one before.
pub(crate) struct CutAudit {
    audit: Arc<Audit>,
    kept: u64,
    kept_ms: u64,
}

impl CutAudit {
    /// Keeps so many entries, and none for longer than this.
    pub(crate) fn new(audit: Arc<Audit>, (kept, time): (u64, Duration)) -> Self {
        Self { audit, kept, kept_ms: u64::try_from(time.as_millis()).unwrap_or(u64::MAX) }
    }

    async fn step(&self) -> Result<Next, CatalogError> {
        let catalog = &self.audit.catalog;
        let sum = |chains: Vec<(String, AuditHead)>| chains.iter().map(|(_, head)| head.count).sum::<u64>();
        // The cuts first: what is cut off meanwhile makes it fewer, never more than there are.
        let cut = sum(catalog.audit_cuts().await?);
        let beyond = sum(catalog.audit_heads().await?).saturating_sub(cut).saturating_sub(self.kept);
        let old = self.audit.surroundings.now_unix_ms().saturating_sub(self.kept_ms);
        let (until, limit) = if beyond > 0 { (u64::MAX, beyond.min(AT_ONCE)) } else { (old, AT_ONCE) };
        let page = catalog.audit((0, until), None, usize::try_from(limit).unwrap_or(usize::MAX)).await?;
        if page.rows.is_empty() {
            return Ok(Next::Wait(PERIOD));
        }
        let cuts = cuts_of(&page.rows).into_iter().map(|(chain, (count, link))| {
            let signature = sign_cut(&self.audit.key, &chain, count, &Link(link)).to_vec();
            (chain, AuditHead { count, link, signature })
        });
        let done = catalog.cut_audit(&page.rows, &cuts.collect::<Vec<_>>()).await?;
        Ok(if done { Next::Busy } else { Next::Wait(PERIOD) })
    }
}

/// How much of each chain is gone once these rows are, and the link up to there.
fn cuts_of(rows: &[AuditRow]) -> BTreeMap<String, (u64, [u8; 32])> {
    let last = |row: &AuditRow| (row.at.chain.clone(), (row.at.number + 1, row.link));
    rows.iter().map(last).collect()
}

impl Worker for CutAudit {
    fn name(&self) -> &'static str {
        "cut audit"
    }

    fn work(&mut self) -> BoxFuture<'_, Next> {
        async {
            self.step().await.unwrap_or_else(|error| {
                tracing::error!(%error, "the audit is not cut off; it goes on growing");
                Next::Wait(PERIOD)
            })
        }
        .boxed()
    }
}
