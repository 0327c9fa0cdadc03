//! What is not as it should be, from what the cluster knows and what each node sees. Pure.

mod reach;

use std::collections::BTreeMap;

use datamesh_settings::admin::{AvoidedReason, ClusterStatus, MemberStatus, PoolStatus};
use datamesh_settings::mesh::{Finding, MeshNode, Severity};

/// A clock this far off is worth a word: certificates, tokens and leases go by clocks.
const CLOCK_OFF_MS: u64 = 2000;
/// Reads this many times as slow as the pool's median are worth one,
const SLOW_FACTOR: u64 = 4;
/// if they take at least this long.
const SLOW_MICROS: u64 = 50_000;

/// All findings, worst first.
pub(super) fn of(status: &ClusterStatus, nodes: &[MeshNode]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for pool in &status.pools {
        let members: Vec<&MeshNode> = nodes.iter().filter(|node| node.pool == pool.name).collect();
        findings.extend(safety(pool));
        findings.extend(reach::of(&members));
        findings.extend(pool.members.iter().filter_map(avoided_for_slowness));
        findings.extend(slow(&members, pool));
        findings.extend(pool.members.iter().filter_map(|member| corrupt(pool, member)));
        findings.extend(behind(pool));
    }
    let untold = status.notifications.iter().flat_map(|target| &target.problems);
    findings.extend(untold.map(|problem| warning(format!("Notifications: {problem}"))));
    findings.extend(clocks(nodes));
    findings.extend(versions(status, nodes));
    findings.sort_by_key(|finding| finding.severity);
    findings
}

fn warning(message: String) -> Finding {
    Finding { severity: Severity::Warning, message }
}

/// What the status says of a pool anyhow.
fn safety(pool: &PoolStatus) -> Vec<Finding> {
    let mut findings = Vec::new();
    let name = &pool.name;
    if pool.epoch.is_some() && !pool.writable {
        let message = format!("Pool {name} takes no writes: too few of its nodes take shards.");
        findings.push(Finding { severity: Severity::Critical, message });
    }
    findings.extend(pool.problems.iter().map(|problem| warning(format!("Pool {name}: {problem}"))));
    if pool.epoch.is_some() && pool.counts().is_none() {
        findings.push(warning(format!(
            "Pool {name}: not all partitions were counted by nodes that answer, so nobody knows how safe its data is. It is \
             counted within minutes once all nodes answer."
        )));
    }
    let is_critical = pool.safety.as_ref().is_some_and(|safety| safety.unreadable > 0);
    let severity = if is_critical { Severity::Critical } else { Severity::Warning };
    let flaws = pool.flaws().into_iter();
    findings.extend(flaws.map(|flaw| Finding { severity, message: format!("Pool {name}: {flaw}") }));
    findings
}

/// A node that is avoided because it is slow. One that is quarantined is among the pool's problems.
fn avoided_for_slowness(member: &MemberStatus) -> Option<Finding> {
    let avoided = member.avoided.as_ref().filter(|avoided| avoided.reason == AvoidedReason::Slow)?;
    Some(warning(format!("{} {}", member.node, avoided.detail)))
}

/// Nodes whose reads take far longer than the others', and which are not avoided for it.
fn slow(members: &[&MeshNode], pool: &PoolStatus) -> Vec<Finding> {
    let reads = members.iter().filter_map(|node| Some((node, node.reached.read_p95_micros?)));
    let mut sorted: Vec<u64> = reads.clone().map(|(_, micros)| micros).collect();
    sorted.sort_unstable();
    // Of two nobody can say which is the slow one.
    if sorted.len() < 3 {
        return Vec::new();
    }
    let median = sorted[sorted.len() / 2];
    let is_told = |node: &MeshNode| {
        let member = pool.members.iter().find(|member| member.node == node.node);
        member.is_some_and(|member| avoided_for_slowness(member).is_some())
    };
    let reads = reads.filter(|(node, _)| !is_told(node));
    let slow =
        reads.filter(|(_, micros)| *micros > SLOW_MICROS && *micros > median.saturating_mul(SLOW_FACTOR));
    let tell = |(node, micros): (&&MeshNode, u64)| {
        warning(format!(
            "{} is slow: 95 of 100 reads take up to {} ms, half of the nodes of pool {} manage {} ms. Look at its disk and at \
             the way to it.",
            node.node,
            micros / 1000,
            node.pool,
            median.div_ceil(1000)
        ))
    };
    slow.map(tell).collect()
}

fn corrupt(pool: &PoolStatus, member: &MemberStatus) -> Option<Finding> {
    let shards = member.report.as_ref()?.corrupt_shards;
    (shards > 0).then(|| {
        warning(format!(
            "{} of pool {} has {shards} corrupt shards that are not rebuilt yet. If more of them come, its disk is failing: \
             drain it (datamesh node drain {}).",
            member.node, pool.name, member.node
        ))
    })
}

/// Nodes that have not learned the newest layout.
fn behind(pool: &PoolStatus) -> Option<Finding> {
    let epoch = pool.epoch?;
    let is_behind =
        |member: &&MemberStatus| member.report.as_ref().is_some_and(|report| report.epoch < Some(epoch));
    let names: Vec<&str> = pool.members.iter().filter(is_behind).map(|member| member.node.as_str()).collect();
    (!names.is_empty()).then(|| {
        warning(format!(
            "{} of pool {} have not learned its layout {epoch} yet: they are told every few seconds; if it stays so, read \
             their logs.",
            names.join(", "),
            pool.name
        ))
    })
}

fn clocks(nodes: &[MeshNode]) -> Vec<Finding> {
    let off = nodes.iter().filter_map(|node| Some((node, node.clock_ahead_ms?)));
    let off = off.filter(|(_, ms)| ms.unsigned_abs() >= CLOCK_OFF_MS);
    let tell = |(node, ms): (&MeshNode, i64)| {
        let (by, way) = (ms.unsigned_abs() / 1000, if ms > 0 { "ahead of" } else { "behind" });
        warning(format!(
            "The clock of {} is at least {by} s {way} the gateway's: certificates go by it. Set the time of both machines, by \
             NTP or chrony.",
            node.node
        ))
    };
    off.map(tell).collect()
}

/// More than one version: an upgrade that has not ended.
fn versions(status: &ClusterStatus, nodes: &[MeshNode]) -> Option<Finding> {
    let mut by_version: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    by_version.entry(&status.version).or_default().push("the gateway");
    for node in nodes {
        if let Some(version) = &node.version {
            by_version.entry(version).or_default().push(node.node.as_str());
        }
    }
    (by_version.len() > 1).then(|| {
        let told: Vec<String> =
            by_version.iter().map(|(version, names)| format!("{version} on {}", names.join(", "))).collect();
        warning(format!(
            "Several versions run: {}. Fine during an upgrade; finish it before the next one.",
            told.join("; ")
        ))
    })
}

#[cfg(test)]
mod tests;
