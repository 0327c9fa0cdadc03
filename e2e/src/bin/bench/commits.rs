//! What gateways that keep one catalog did for commits: who led, what was synced, what was carried to the one that leads.

use std::time::Duration;

use anyhow::Context as _;

use crate::report;
use crate::server::Server;

/// Gateways count each second.
const COUNTED_WITHIN: Duration = Duration::from_millis(2500);
const LOOK: Duration = Duration::from_millis(250);
const PATIENCE: Duration = Duration::from_secs(60);

/// What one gateway has counted so far.
pub(crate) struct Counts {
    leads: bool,
    syncs: f64,
    forwarded: f64,
}

/// Waits until each gateway sees all of them keep the catalog, and takes writes.
pub(crate) async fn until_together(server: &Server) -> anyhow::Result<()> {
    let together = async {
        while !are_together(server).await.unwrap_or(false) {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(PATIENCE, together).await.context("the gateways do not keep the catalog together")
}

async fn are_together(server: &Server) -> anyhow::Result<bool> {
    for url in server.urls() {
        if !server.status_at(&url).await?.pools.iter().any(|pool| pool.writable) {
            return Ok(false);
        }
    }
    let many = server.gateways.len() as f64;
    let has_all = |text: &String| value(text, "catalog_members{state=\"current\"}") == Some(many);
    Ok(server.metrics().await?.iter().all(has_all))
}

/// What each gateway has counted, once it has counted all that was done before.
pub(crate) async fn settled(server: &Server) -> anyhow::Result<Vec<Counts>> {
    tokio::time::sleep(COUNTED_WITHIN).await;
    let counts = |text: &String| {
        let of = |name| value(text, name).with_context(|| format!("a gateway does not count {name}"));
        let leads = of("catalog_leads")? > 0.0;
        Ok(Counts {
            leads,
            syncs: of("catalog_syncs_total")?,
            forwarded: of("catalog_commits_forwarded_total")?,
        })
    };
    server.metrics().await?.iter().map(counts).collect()
}

/// Says what the row cost in syncs.
pub(crate) fn tell(commits: usize, before: &[Counts], after: &[Counts]) {
    let commits = commits as f64;
    let synced = |leads: bool| {
        let of = before.iter().zip(after).filter(|(_, after)| after.leads == leads);
        let syncs: Vec<_> = of.map(|(before, after)| after.syncs - before.syncs).collect();
        syncs.iter().map(|syncs| format!("{:.1}", commits / syncs)).collect::<Vec<_>>().join(" and ")
    };
    let forwarded: f64 =
        before.iter().zip(after).map(|(before, after)| after.forwarded - before.forwarded).sum();
    let kept = if before.iter().zip(after).all(|(before, after)| before.leads == after.leads) {
        ""
    } else {
        "; who leads changed meanwhile"
    };
    report::note(&format!(
        "  of {commits:.0} commits {forwarded:.0} were carried to the gateway that leads; a sync there was of {} commits, at the others of {}{kept}",
        synced(true),
        synced(false)
    ));
}

/// A number that a gateway counts.
fn value(text: &str, name: &str) -> Option<f64> {
    let of = |line: &str| {
        let value = line.strip_prefix("datamesh_gateway_")?.strip_prefix(name)?.strip_prefix(' ')?;
        value.trim().parse().ok()
    };
    text.lines().find_map(of)
}
