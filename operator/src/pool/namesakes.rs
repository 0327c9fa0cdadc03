//! Pools whose nodes would have the same names. `{cluster}-{pool}-{ordinal}` can be read in two ways: pool x-main of cluster
//! demo and pool main of cluster demo-x both have a node demo-x-main-0, with one StatefulSet and one volume. Pure.

use datamesh_crds::{StoragePool, label};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use crate::names;

/// The pools of `all` whose nodes have the names of `pool`'s.
pub(super) fn namesakes<'a>(
    pool: &StoragePool,
    all: &'a [StoragePool],
) -> impl Iterator<Item = &'a StoragePool> {
    let (name, stem) = (pool.name_any(), stem(pool));
    all.iter().filter(move |other| other.name_any() != name && self::stem(other) == stem)
}

/// The oldest of them, if it is older than `pool`: it was there first and keeps the names.
pub(super) fn elder<'a>(pool: &StoragePool, all: &'a [StoragePool]) -> Option<&'a StoragePool> {
    let oldest = namesakes(pool, all).min_by(|a, b| age(a).cmp(&age(b)))?;
    (age(oldest) < age(pool)).then_some(oldest)
}

/// A volume of another pool that a node of `pool` with an ordinal below `replicas` would take for its own.
pub(super) fn taken<'a>(
    pool: &StoragePool,
    replicas: u16,
    others: &'a [PersistentVolumeClaim],
) -> Option<&'a PersistentVolumeClaim> {
    let (cluster, name) = (&pool.spec.cluster_ref, pool.name_any());
    let of_node = |claim: &PersistentVolumeClaim| {
        let node = names::claimant(&claim.name_any())?.to_owned();
        names::ordinal_of(&node, cluster, &name)
    };
    others.iter().find(|claim| of_node(claim).is_some_and(|ordinal| ordinal < replicas))
}

/// Whose a volume is, by its labels.
pub(super) fn owner(claim: &PersistentVolumeClaim) -> String {
    let value = |key| claim.labels().get(key).map_or("?", String::as_str);
    format!("StoragePool {} of DataMeshCluster {}", value(label::POOL), value(label::CLUSTER))
}

/// What the names of all its nodes begin with.
fn stem(pool: &StoragePool) -> String {
    names::pool(&pool.spec.cluster_ref, &pool.name_any())
}

/// Orders by age; of two made in the same second, the one first by uid counts as the older.
fn age(pool: &StoragePool) -> (Option<&Time>, Option<&str>) {
    (pool.metadata.creation_timestamp.as_ref(), pool.metadata.uid.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(cluster: &str, name: &str, created: &str, uid: &str) -> StoragePool {
        let text = include_str!("../../tests/fixtures/pool.yaml");
        let mut pool: StoragePool = serde_yaml::from_str(text).unwrap();
        pool.spec.cluster_ref = cluster.into();
        pool.metadata.name = Some(name.into());
        pool.metadata.uid = Some(uid.into());
        pool.metadata.creation_timestamp = Some(Time(created.parse().unwrap()));
        pool
    }

    const EARLY: &str = "2030-01-01T00:00:00Z";
    const LATE: &str = "2030-01-01T00:00:01Z";

    #[test]
    fn the_older_of_two_keeps_the_names() {
        let (first, second) = (pool("demo", "x-main", EARLY, "b"), pool("demo-x", "main", LATE, "a"));
        let all = [second.clone(), pool("demo", "main", EARLY, "c"), first.clone()];
        assert_eq!(elder(&second, &all), Some(&first));
        assert_eq!(elder(&first, &all), None);
        assert_eq!(namesakes(&first, &all).collect::<Vec<_>>(), [&second]);
    }

    #[test]
    fn of_two_in_one_second_exactly_one_keeps_them() {
        let (first, second) = (pool("demo", "x-main", EARLY, "a"), pool("demo-x", "main", EARLY, "b"));
        let all = [second.clone(), first.clone()];
        assert_eq!((elder(&second, &all), elder(&first, &all)), (Some(&first), None));
    }

    #[test]
    fn a_volume_of_another_pool_is_not_taken() {
        let text = "
- {metadata: {name: data-demo-x-main-5-0, labels: {datamesh.io/cluster: demo, datamesh.io/pool: x-main}}}
- {metadata: {name: data-demo-gateway-0, labels: {datamesh.io/cluster: demo}}}
";
        let others: Vec<PersistentVolumeClaim> = serde_yaml::from_str(text).unwrap();
        let late = pool("demo-x", "main", LATE, "a");
        let volume = taken(&late, 6, &others).unwrap();
        assert_eq!(owner(volume), "StoragePool x-main of DataMeshCluster demo");
        assert!(taken(&late, 5, &others).is_none());
        assert!(taken(&pool("demo", "main", LATE, "a"), 6, &others).is_none());
    }
}
