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
    same_cluster(snapshot, found, &session.client.status().await?.key_fingerprint)?;
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
    // One that is down, or joins, takes no shards.
    let others = |member: &&datamesh_crds::PoolMember| {
        member.node != node
            && matches!(member.state.as_deref(), Some("Up" | "Full"))
            && !status.draining.iter().any(|draining| draining.node == member.node)
    };
    let left = status.members.iter().filter(others).count();
    if i32::try_from(left).unwrap_or(i32::MAX) < k + m {
        return Err(Failure::Usage(format!(
            "{left} nodes would be left that are up, and profile {k}+{m} needs {}: wait for those that are not, or raise spec.replicas of pool {pool} \
             first",
            k + m
        )));
    }
    Ok(found)
}

/// Names of clusters, pools and nodes recur: the gateway that is asked must be the one of the cluster that was looked at.
fn same_cluster(snapshot: &Snapshot, pool: &StoragePool, gateways: &str) -> Result<(), Failure> {
    let name = &pool.spec.cluster_ref;
    let cluster = snapshot.clusters.iter().find(|cluster| cluster.name_any() == *name);
    let status = cluster.and_then(|cluster| cluster.status.as_ref());
    match status.and_then(|status| status.key_fingerprint.as_deref()).filter(|ours| !ours.is_empty()) {
        Some(ours) if gateways.starts_with(ours) || !gateways.is_empty() && ours.starts_with(gateways) => {
            Ok(())
        }
        Some(ours) => Err(Failure::Usage(format!(
            "the gateway at --server is of another cluster (key {gateways}) than {name} in namespace {} (key {ours}): name \
             {name}'s gateway, or the context of the other",
            snapshot.namespace
        ))),
        None => Err(Failure::Usage(format!(
            "cluster {name} does not say which key it has, so whether --server is its gateway cannot be told: wait for the operator, \
             or use `datamesh node drain`"
        ))),
    }
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
                .contains("5 nodes would be left that are up, and profile 4+2 needs 6")
        );
        let status = snapshot.pools[0].status.as_mut().unwrap();
        let more = |state: &str| datamesh_crds::PoolMember {
            node: "demo-main-6".into(),
            zone: "a".into(),
            state: Some(state.into()),
        };
        status.members.push(more("Down"));
        assert!(refused(&snapshot, "main", "demo-main-0").contains("5 nodes would be left"));
        snapshot.pools[0].status.as_mut().unwrap().members[6] = more("Up");
        assert_eq!(refused(&snapshot, "main", "demo-main-0"), "");
    }

    #[test]
    fn another_clusters_gateway_is_not_asked() {
        let mut snapshot = recorded::well();
        let judged = |snapshot: &Snapshot, gateways: &str| {
            same_cluster(snapshot, &snapshot.pools[0], gateways).is_ok()
        };
        let ours = |snapshot: &mut Snapshot, key: Option<&str>| {
            snapshot.clusters[0].status.as_mut().unwrap().key_fingerprint = key.map(Into::into);
        };
        ours(&mut snapshot, Some("0011"));
        assert!(judged(&snapshot, "00112233") && !judged(&snapshot, "ff112233") && !judged(&snapshot, ""));
        ours(&mut snapshot, None);
        assert!(!judged(&snapshot, "00112233"));
    }
}
