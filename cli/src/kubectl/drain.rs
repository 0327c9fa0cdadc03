use std::process::ExitCode;

use datamesh_crds::StoragePool;
use datamesh_shard::{NodeName, PoolName};
use kube::ResourceExt as _;

use super::diagnose::blocked_drains;
use super::gather::Snapshot;
use crate::args::Global;
use crate::commands::{Session, node};
use crate::failure::Failure;
use crate::output;

/// Looks whether it can be, then has the gateway drain the node.
pub(super) async fn run(
    snapshot: &Snapshot,
    global: &Global,
    (pool, name): (PoolName, NodeName),
    wait: bool,
) -> Result<ExitCode, Failure> {
    let found = check(snapshot, pool.as_str(), name.as_str())?;
    for blocked in blocked_drains(found) {
        output::note(&format!("{}: {}", blocked.about, blocked.what));
    }
    let session = Session::open(global)?;
    node::drain(&session, node::Which { node: name, pool: Some(pool) }, wait).await
}

/// The pool, if a drain of this node could end.
fn check<'a>(snapshot: &'a Snapshot, pool: &str, node: &str) -> Result<&'a StoragePool, Failure> {
    let known = |pool: &StoragePool| pool.name_any();
    let Some(found) = snapshot.pools.iter().find(|found| found.name_any() == pool) else {
        let pools: Vec<String> = snapshot.pools.iter().map(known).collect();
        let namespace = &snapshot.namespace;
        return Err(Failure::Usage(format!(
            "there is no pool {pool} in namespace {namespace}; there are: {}",
            pools.join(", ")
        )));
    };
    let status = found.status.clone().unwrap_or_default();
    if !status.members.iter().any(|member| member.node == node) {
        let nodes: Vec<&str> = status.members.iter().map(|member| member.node.as_str()).collect();
        return Err(Failure::Usage(format!("pool {pool} has no node {node}; it has: {}", nodes.join(", "))));
    }
    let (k, m) = (found.spec.erasure.data_shards, found.spec.erasure.parity_shards);
    let others = |member: &&datamesh_crds::PoolMember| {
        member.node != node && !status.draining.iter().any(|draining| draining.node == member.node)
    };
    let left = status.members.iter().filter(others).count();
    if i32::try_from(left).unwrap_or(i32::MAX) < k + m {
        return Err(Failure::Usage(format!(
            "{left} nodes would be left, and profile {k}+{m} needs {}: raise spec.replicas of pool {pool} first",
            k + m
        )));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubectl::recorded;

    #[test]
    fn a_drain_that_cannot_end_is_refused_with_the_remedy() {
        let mut snapshot = recorded::well();
        let refused = |snapshot: &Snapshot, pool: &str, node: &str| {
            check(snapshot, pool, node).err().map(|failure| failure.to_string()).unwrap_or_default()
        };
        assert!(refused(&snapshot, "other", "demo-main-0").contains("there are: main"));
        assert!(refused(&snapshot, "main", "demo-main-9").contains("it has: demo-main-0, "));
        assert!(
            refused(&snapshot, "main", "demo-main-0")
                .contains("5 nodes would be left, and profile 4+2 needs 6")
        );
        let status = snapshot.pools[0].status.as_mut().unwrap();
        let more = datamesh_crds::PoolMember { node: "demo-main-6".into(), zone: "a".into(), state: None };
        status.members.push(more);
        assert_eq!(refused(&snapshot, "main", "demo-main-0"), "");
    }
}
