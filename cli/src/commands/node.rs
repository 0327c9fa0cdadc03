//! Nodes: how they are, and giving their shards away.

use std::process::ExitCode;
use std::time::Duration;

use datamesh_settings::admin::{ClusterStatus, DrainState, DrainStatus, MemberState, MemberStatus};
use datamesh_shard::{NodeName, PoolName};
use indicatif::{HumanDuration, ProgressBar};
use serde::Serialize;
use serde_json::json;

use crate::commands::Session;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::progress;

/// Between two looks at a drain.
const LOOK: Duration = Duration::from_secs(2);

/// Which node is meant.
pub(crate) struct Which {
    pub(crate) node: NodeName,
    /// Needed where two pools have a node of that name.
    pub(crate) pool: Option<PoolName>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NodeOfPool<'a> {
    pool: &'a PoolName,
    #[serde(flatten)]
    member: &'a MemberStatus,
}

/// Shows all nodes, or one; exit code 7 when a node does not answer or its drain is stalled.
pub(crate) async fn status(
    session: &Session,
    node: Option<NodeName>,
    pool: Option<PoolName>,
) -> Result<ExitCode, Failure> {
    let status = session.client.status().await?;
    let nodes: Vec<_> = nodes(&status)
        .filter(|shown| node.as_ref().is_none_or(|node| shown.member.node == *node))
        .filter(|shown| pool.as_ref().is_none_or(|pool| shown.pool == pool))
        .collect();
    if nodes.is_empty()
        && let Some(node) = node
    {
        return Err(unknown(&status, &node));
    }
    session.show(&nodes, || show(&nodes))?;
    let is_well = nodes.iter().all(|node| is_well(node.member));
    Ok(if is_well { ExitCode::SUCCESS } else { Exit::NotWhole.into() })
}

/// Has a node give its shards to the others, and waits until it has none unless told not to.
pub(crate) async fn drain(session: &Session, which: Which, wait: bool) -> Result<ExitCode, Failure> {
    let pool = pool_of(&session.client.status().await?, &which)?;
    let mut status = session.client.drain(&pool, &which.node).await?;
    let node = &which.node;
    if wait {
        status = drained(session, status, &pool, node).await?;
    }
    session.show(&drain_of(&status, &pool, node), || {
        output::line(&if wait {
            format!("{node} has no shard any more and takes none: its pod and its volume may go")
        } else {
            format!("{node} gives its shards away; `datamesh node status {node}` says how far it is")
        })
    })
}

/// Shows how far the drain is until it is done; gives the status then.
async fn drained(
    session: &Session,
    mut status: ClusterStatus,
    pool: &PoolName,
    node: &NodeName,
) -> Result<ClusterStatus, Failure> {
    let bar = progress::bar(node.as_str(), Some(0), session.quiet);
    let mut said = Vec::new();
    loop {
        let Some(drain) = drain_of(&status, pool, node) else {
            if nodes(&status).any(|known| known.member.node == *node && known.pool == pool) {
                return Err(Failure::Usage(format!("the drain of {node} was called off meanwhile")));
            }
            // Nobody wants it any more: it left as soon as it had nothing.
            break;
        };
        if drain.state == DrainState::Drained {
            break;
        }
        show_progress(&bar, drain);
        if drain.state == DrainState::Stalled && drain.waits_for != said {
            said.clone_from(&drain.waits_for);
            bar.suspend(|| output::note(&format!("{node}: nothing leaves it. {}", said.join(" "))));
        }
        tokio::time::sleep(LOOK).await;
        status = session.client.status().await?;
    }
    bar.finish_and_clear();
    Ok(status)
}

/// Has a node take shards again, wherever its drain stands.
pub(crate) async fn undrain(session: &Session, which: Which) -> Result<ExitCode, Failure> {
    let pool = pool_of(&session.client.status().await?, &which)?;
    session.client.undrain(&pool, &which.node).await?;
    let said = format!("{} takes shards again; what left it comes back", which.node);
    session.show(&json!({ "node": which.node, "pool": pool, "draining": false }), || output::line(&said))
}

/// Gives a node's volume up for lost.
pub(crate) async fn replace(session: &Session, which: Which, yes: bool) -> Result<ExitCode, Failure> {
    let node = &which.node;
    if !yes {
        return Err(Failure::Usage(format!(
            "whatever is on the volume of {node} is given up and rebuilt from the other nodes; if it is lost for good, say so \
             with --volume-is-lost"
        )));
    }
    let pool = pool_of(&session.client.status().await?, &which)?;
    let status = session.client.replace(&pool, node).await?;
    let is_draining =
        |n: NodeOfPool<'_>| n.member.node == *node && n.pool == &pool && n.member.drain.is_some();
    let is_left = nodes(&status).any(|n| n.member.node == *node && n.pool == &pool);
    let joins = is_left && !nodes(&status).any(is_draining);
    session.show(&json!({ "node": node, "pool": pool, "mayJoinAgain": joins }), || {
        output::line(&if joins {
            format!("{node} may join with an empty volume; its shards are rebuilt there")
        } else {
            format!("{node} is left out; its shards are rebuilt on the others")
        })
    })
}

fn nodes(status: &ClusterStatus) -> impl Iterator<Item = NodeOfPool<'_>> {
    status
        .pools
        .iter()
        .flat_map(|pool| pool.members.iter().map(|member| NodeOfPool { pool: &pool.name, member }))
}

fn pool_of(status: &ClusterStatus, which: &Which) -> Result<PoolName, Failure> {
    if let Some(pool) = &which.pool {
        return Ok(pool.clone());
    }
    let pools: Vec<_> =
        nodes(status).filter(|n| n.member.node == which.node).map(|n| n.pool.clone()).collect();
    match pools.as_slice() {
        [pool] => Ok(pool.clone()),
        [] => Err(unknown(status, &which.node)),
        more => Err(Failure::Usage(format!(
            "pools {} each have a node {}: say which with --pool",
            more.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and "),
            which.node
        ))),
    }
}

fn unknown(status: &ClusterStatus, node: &NodeName) -> Failure {
    let known: Vec<_> = nodes(status).map(|node| node.member.node.to_string()).collect();
    Failure::Usage(format!("there is no node {node}; there are {}", known.join(", ")))
}

fn drain_of<'a>(status: &'a ClusterStatus, pool: &PoolName, node: &NodeName) -> Option<&'a DrainStatus> {
    let pool = status.pools.iter().find(|known| known.name == *pool)?;
    pool.members.iter().find(|member| member.node == *node)?.drain.as_ref()
}

fn show_progress(bar: &ProgressBar, drain: &DrainStatus) {
    let left = drain.left_bytes.unwrap_or_default();
    bar.set_length(left.saturating_add(drain.moved_bytes));
    bar.set_position(drain.moved_bytes);
}

fn is_well(member: &MemberStatus) -> bool {
    let stalled = member.drain.as_ref().is_some_and(|drain| drain.state == DrainState::Stalled);
    let drained = member.drain.as_ref().is_some_and(|drain| drain.state == DrainState::Drained);
    drained || !stalled && matches!(member.state, MemberState::Up | MemberState::Full)
}

fn show(nodes: &[NodeOfPool<'_>]) -> Result<(), Failure> {
    let heading =
        ["NODE", "POOL", "ZONE", "STATE", "STORED", "DRAIN", "MOVED", "LEFT", "ETA"].map(String::from);
    let mut rows = vec![heading.to_vec()];
    rows.extend(nodes.iter().map(row));
    output::table(&rows)?;
    for NodeOfPool { member, .. } in nodes {
        for reason in member.drain.iter().flat_map(|drain| &drain.waits_for) {
            output::line(&format!("! drain of {}: {reason}", member.node))?;
        }
    }
    Ok(())
}

fn row(NodeOfPool { pool, member }: &NodeOfPool<'_>) -> Vec<String> {
    let none = || "-".to_owned();
    let stored = member.report.as_ref().map_or_else(none, |report| output::bytes(report.shard_bytes));
    let mut row = vec![
        member.node.to_string(),
        pool.to_string(),
        member.zone.to_string(),
        super::status::state(member.state).to_owned(),
        stored,
    ];
    match &member.drain {
        Some(drain) => row.extend([
            state(drain.state).to_owned(),
            output::bytes(drain.moved_bytes),
            drain.left_bytes.map_or_else(none, output::bytes),
            drain.eta_seconds.map_or_else(none, |eta| HumanDuration(Duration::from_secs(eta)).to_string()),
        ]),
        None => row.extend(std::iter::repeat_n(none(), 4)),
    }
    row
}

fn state(state: DrainState) -> &'static str {
    match state {
        DrainState::Pending => "pending",
        DrainState::Moving => "moving",
        DrainState::Stalled => "STALLED",
        DrainState::Drained => "drained",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(pools: &[(&str, &[&str])]) -> ClusterStatus {
        let pool = |(name, nodes): &(&str, &[&str])| {
            let members: Vec<_> = nodes
                .iter()
                .map(|node| format!(r#"{{"node": "{node}", "zone": "a", "state": "Up", "drain": {{"state": "Moving", "leftShards": 3, "leftBytes": 50, "movedBytes": 150, "etaSeconds": 9}}}}"#))
                .collect();
            format!(
                r#"{{"name": "{name}", "erasure": {{"data": 4, "parity": 2}}, "epoch": 1, "writable": true,
                    "members": [{}], "shortPuts": 0, "damagedShards": 0, "problems": []}}"#,
                members.join(",")
            )
        };
        let pools: Vec<_> = pools.iter().map(pool).collect();
        let text = format!(
            r#"{{"cluster": "c", "gateway": "g", "version": "1", "keyFingerprint": "0", "pools": [{}],
                "catalog": {{"replicas": 1, "incarnation": 1, "objects": 0, "condemnedSegments": 0}}}}"#,
            pools.join(",")
        );
        serde_json::from_str(&text).unwrap()
    }

    fn which(node: &str, pool: Option<&str>) -> Which {
        Which { node: node.parse().unwrap(), pool: pool.map(|pool| pool.parse().unwrap()) }
    }

    #[test]
    fn a_node_is_found_in_its_pool_or_the_pool_is_asked_for() {
        let status = status(&[("fast", &["n0", "n1"]), ("slow", &["n1", "n2"])]);
        assert_eq!(pool_of(&status, &which("n2", None)).unwrap().as_str(), "slow");
        assert_eq!(pool_of(&status, &which("n1", Some("fast"))).unwrap().as_str(), "fast");
        let twice = pool_of(&status, &which("n1", None)).unwrap_err().to_string();
        assert!(twice.contains("fast and slow") && twice.contains("--pool"), "{twice}");
        let none = pool_of(&status, &which("n9", None)).unwrap_err().to_string();
        assert!(none.contains("no node n9") && none.contains("n0, n1"), "{none}");
    }

    #[test]
    fn a_drain_is_shown_with_what_left_and_what_is_left() {
        let status = status(&[("fast", &["n0"])]);
        let rows: Vec<_> = nodes(&status).map(|node| row(&node)).collect();
        assert_eq!(rows[0], ["n0", "fast", "a", "up", "-", "moving", "150 B", "50 B", "9 seconds"]);
    }
}
