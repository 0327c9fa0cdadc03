use std::process::ExitCode;

use datamesh_crds::{DataMeshCluster, StoragePool, condition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt as _;
use serde_json::{Value, json};

use super::gather::Snapshot;
use crate::args::{Format, Global};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;

/// Shows clusters and pools.
pub(super) fn run(snapshot: &Snapshot, global: &Global) -> Result<ExitCode, Failure> {
    if global.output == Format::Json {
        output::json(&answer(snapshot))?;
    } else {
        show(snapshot)?;
    }
    Ok(if is_well(snapshot) { Exit::Done } else { Exit::NotWhole }.into())
}

pub(super) fn conditions_of_cluster(cluster: &DataMeshCluster) -> &[Condition] {
    cluster.status.as_ref().map_or(&[], |status| &status.conditions)
}

pub(super) fn conditions_of_pool(pool: &StoragePool) -> &[Condition] {
    pool.status.as_ref().map_or(&[], |status| &status.conditions)
}

fn of<'a>(conditions: &'a [Condition], type_: &str) -> &'a str {
    conditions.iter().find(|known| known.type_ == type_).map_or("Unknown", |known| known.status.as_str())
}

/// Whether there is a cluster, all are ready and all data is safe. Work in progress is well.
fn is_well(snapshot: &Snapshot) -> bool {
    if snapshot.clusters.is_empty() {
        return false;
    }
    let clusters = snapshot.clusters.iter().map(conditions_of_cluster);
    let mut all = clusters.chain(snapshot.pools.iter().map(conditions_of_pool));
    all.all(|known| {
        of(known, condition::READY) == "True"
            && of(known, condition::DATA_SAFE) == "True"
            && of(known, condition::DEGRADED) != "True"
    })
}

fn answer(snapshot: &Snapshot) -> Value {
    let cluster = |cluster: &DataMeshCluster| json!({ "name": cluster.name_any(), "status": cluster.status });
    let pool = |pool: &StoragePool| json!({ "name": pool.name_any(), "cluster": pool.spec.cluster_ref, "status": pool.status });
    json!({
        "namespace": snapshot.namespace,
        "clusters": snapshot.clusters.iter().map(cluster).collect::<Vec<_>>(),
        "pools": snapshot.pools.iter().map(pool).collect::<Vec<_>>(),
    })
}

fn show(snapshot: &Snapshot) -> Result<(), Failure> {
    if snapshot.clusters.is_empty() {
        return output::line(&format!(
            "there is no DataMeshCluster in namespace {}; -n names another",
            snapshot.namespace
        ));
    }
    let head = ["CLUSTER", "READY", "DATA SAFE", "DEGRADED", "GATEWAYS", "NODES UP", "ENDPOINT"];
    let rows = std::iter::once(head.map(String::from).to_vec());
    output::table(&rows.chain(snapshot.clusters.iter().map(cluster_row)).collect::<Vec<_>>())?;
    output::line("")?;
    let head = ["POOL", "CLUSTER", "READY", "DATA SAFE", "DEGRADED", "DRAINING", "NODES UP", "PROFILE"];
    let rows = std::iter::once(head.map(String::from).to_vec());
    output::table(&rows.chain(snapshot.pools.iter().map(pool_row)).collect::<Vec<_>>())?;
    if !is_well(snapshot) {
        output::line("")?;
        output::line("! not all is as it should be: kubectl datamesh diagnose")?;
    }
    Ok(())
}

fn part(some: Option<i32>, all: Option<i32>) -> String {
    let number = |number: Option<i32>| number.map_or_else(|| "?".to_owned(), |number| number.to_string());
    format!("{}/{}", number(some), number(all))
}

fn cluster_row(cluster: &DataMeshCluster) -> Vec<String> {
    let known = conditions_of_cluster(cluster);
    let status = cluster.status.clone().unwrap_or_default();
    vec![
        cluster.name_any(),
        of(known, condition::READY).to_owned(),
        of(known, condition::DATA_SAFE).to_owned(),
        of(known, condition::DEGRADED).to_owned(),
        part(status.gateways_ready, status.gateways),
        part(status.nodes_up, status.nodes),
        status.endpoint.unwrap_or_default(),
    ]
}

fn pool_row(pool: &StoragePool) -> Vec<String> {
    let known = conditions_of_pool(pool);
    let status = pool.status.clone().unwrap_or_default();
    let erasure = pool.spec.erasure;
    vec![
        pool.name_any(),
        pool.spec.cluster_ref.clone(),
        of(known, condition::READY).to_owned(),
        of(known, condition::DATA_SAFE).to_owned(),
        of(known, condition::DEGRADED).to_owned(),
        status.draining.len().to_string(),
        part(status.nodes_up, Some(pool.spec.replicas)),
        format!("{}+{}", erasure.data_shards, erasure.parity_shards),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubectl::recorded;

    #[test]
    fn a_cluster_is_shown_with_what_it_lacks() {
        let snapshot = recorded::broken();
        assert_eq!(
            cluster_row(&snapshot.clusters[0])[..6],
            ["demo", "True", "False", "True", "1/1", "5/6"].map(String::from)
        );
        assert_eq!(
            pool_row(&snapshot.pools[0]),
            ["main", "demo", "True", "False", "True", "1", "5/6", "4+2"].map(String::from)
        );
        assert!(!is_well(&snapshot) && is_well(&recorded::well()));
        assert_eq!(answer(&snapshot)["pools"][0]["status"]["nodesUp"], 5);
    }

    #[test]
    fn what_the_operator_never_looked_at_is_not_well() {
        let mut snapshot = recorded::well();
        snapshot.pools[0].status = None;
        assert!(!is_well(&snapshot) && !is_well(&Snapshot::default()));
    }
}
