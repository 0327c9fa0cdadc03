//! Who sees whom, and what is wrong.

use std::process::ExitCode;

use datamesh_settings::admin::{ClusterStatus, PoolStatus};
use datamesh_settings::mesh::{MeshNode, MeshStatus, SeenNode, Severity};

use super::status::state;
use crate::commands::Session;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;

/// Shows what the nodes see; exit code 7 when something is wrong.
pub(crate) async fn status(session: &Session) -> Result<ExitCode, Failure> {
    let mesh = session.client.mesh().await?;
    let status = session.client.status().await?;
    session.show(&mesh, || show(&mesh, &status))?;
    Ok(exit_code(&mesh))
}

/// Says what is wrong; exit code 7 when anything is.
pub(crate) async fn diagnose(session: &Session) -> Result<ExitCode, Failure> {
    let mesh = session.client.mesh().await?;
    session.show(&mesh.findings, || {
        if mesh.findings.is_empty() {
            output::line("Nothing is wrong, as far as the gateway and the nodes can tell.")?;
        }
        mesh.findings.iter().try_for_each(|finding| {
            let mark = if finding.severity == Severity::Critical { "CRITICAL" } else { "warning" };
            output::line(&format!("{mark}: {}", finding.message))
        })
    })?;
    Ok(exit_code(&mesh))
}

fn exit_code(mesh: &MeshStatus) -> ExitCode {
    if mesh.findings.is_empty() { ExitCode::SUCCESS } else { Exit::NotWhole.into() }
}

fn show(mesh: &MeshStatus, status: &ClusterStatus) -> Result<(), Failure> {
    output::line(&format!("gateway {}  version {}", mesh.gateway, mesh.version))?;
    output::line("")?;
    let heading = ["NODE", "POOL", "ZONE", "STATE", "VERSION", "CLOCK", "LATENCY", "READS P95", "SEES"]
        .map(String::from);
    let mut rows = vec![heading.to_vec()];
    rows.extend(mesh.nodes.iter().map(row));
    output::table(&rows)?;
    output::line("")?;
    output::table(&tolerances(&status.pools))?;
    if !mesh.findings.is_empty() {
        output::line("")?;
        output::line(&format!("! {} findings: datamesh mesh diagnose", mesh.findings.len()))?;
    }
    Ok(())
}

fn row(node: &MeshNode) -> Vec<String> {
    let none = || "-".to_owned();
    let millis = |micros: u64| format!("{}.{} ms", micros / 1000, micros % 1000 / 100);
    vec![
        node.node.to_string(),
        node.pool.to_string(),
        node.zone.to_string(),
        state(node.state).to_owned(),
        node.version.clone().unwrap_or_else(none),
        node.clock_ahead_ms.map_or_else(none, clock),
        node.reached.rtt_micros.map_or_else(none, millis),
        node.reached.read_p95_micros.map_or_else(none, millis),
        node.sees.as_deref().map_or_else(none, sees),
    ]
}

fn clock(ahead_ms: i64) -> String {
    match ahead_ms {
        0 => "right".to_owned(),
        ms => format!("{}{} ms", if ms > 0 { "+" } else { "" }, ms),
    }
}

/// How many of the others a node reaches, and which not.
fn sees(seen: &[SeenNode]) -> String {
    let not: Vec<&str> = seen.iter().filter(|seen| !seen.sight.live).map(|seen| seen.node.as_str()).collect();
    let count = format!("{}/{}", seen.len() - not.len(), seen.len());
    if not.is_empty() { count } else { format!("{count}, NOT {}", not.join(", ")) }
}

/// Segments by the number of losses they survive, a line for each pool.
fn tolerances(pools: &[PoolStatus]) -> Vec<Vec<String>> {
    let counted = |pool: &PoolStatus| pool.safety.as_ref().map_or(0, |safety| safety.segments.len());
    let m = |pool: &PoolStatus| pool.erasure.m().max(counted(pool).saturating_sub(1));
    let levels = pools.iter().map(m).max().unwrap_or_default();
    let mut heading = vec!["POOL".to_owned(), "COUNTED".to_owned(), "UNREADABLE".to_owned()];
    heading.extend((0..=levels).map(|losses| format!("SURVIVE {losses}")));
    let mut rows = vec![heading];
    for pool in pools {
        let safety = pool.safety.clone().unwrap_or_default();
        let mut row = vec![
            pool.name.to_string(),
            format!("{}/{} partitions", safety.counted_partitions, safety.partitions),
            safety.unreadable.to_string(),
        ];
        row.extend(safety.segments.iter().map(u64::to_string));
        rows.push(row);
    }
    rows
}

#[cfg(test)]
mod tests {
    use datamesh_settings::mesh::Sight;

    use super::*;

    #[test]
    fn whom_a_node_does_not_reach_is_named() {
        let seen = |node: &str, live| SeenNode {
            node: node.parse().unwrap(),
            sight: Sight { live, ..Sight::default() },
        };
        assert_eq!(sees(&[seen("n0", true), seen("n1", true)]), "2/2");
        assert_eq!(sees(&[seen("n0", false), seen("n1", true)]), "1/2, NOT n0");
        assert_eq!(sees(&[]), "0/0");
    }

    #[test]
    fn clocks_have_a_sign() {
        assert_eq!([clock(0), clock(2500), clock(-700)], ["right", "+2500 ms", "-700 ms"]);
    }
}
