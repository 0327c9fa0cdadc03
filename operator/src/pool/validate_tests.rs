use datamesh_crds::PoolMember;

use super::*;
use crate::cluster::tests::cluster;

pub(crate) const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// A pool as the API server gives it.
pub(crate) fn pool() -> StoragePool {
    serde_yaml::from_str(include_str!("../../tests/fixtures/pool.yaml")).unwrap()
}

/// Its surroundings: a cluster whose key is judged, and four nodes in three zones.
pub(crate) fn found() -> Found {
    let mut cluster = cluster();
    cluster.status = Some(datamesh_crds::DataMeshClusterStatus {
        key_fingerprint: Some(ClusterSecret::from_hex(KEY).unwrap().fingerprint()),
        observed_generation: cluster.metadata.generation,
        ..Default::default()
    });
    Found {
        cluster: Some(cluster),
        key: Some(k8s_openapi::api::core::v1::Secret {
            data: secrets::data(&[(names::KEY_FIELD, KEY)]),
            ..Default::default()
        }),
        nodes: serde_yaml::from_str(include_str!("../../tests/fixtures/nodes.yaml")).unwrap(),
        ..Found::default()
    }
}

fn zones_of(valid: &ValidPool) -> Vec<&str> {
    valid.identities.iter().map(|identity| identity.zone.as_str()).collect()
}

fn refused(pool: &StoragePool, found: &Found, part: &str) {
    let message = validate(pool, found).err().expect(part).to_string();
    assert!(message.contains(part), "{message}");
}

#[test]
fn the_fixture_is_valid() {
    let valid = validate(&pool(), &found()).unwrap();
    assert_eq!(zones_of(&valid), ["zone1", "zone2", "zone3", "zone1", "zone2", "zone3"]);
    assert_eq!(valid.identities[5].node.as_str(), "demo-main-5");
    assert_eq!((valid.capacity_bytes, valid.reserve_bytes), (10 << 30, (10 << 30) / 20));
    assert_eq!(valid.zone_risk, None);
    assert_eq!(valid.spec.members.len(), 6);
}

#[test]
fn what_is_early_waits_and_is_not_invalid() {
    let nothing = validate(&pool(), &Found::default());
    assert!(matches!(nothing, Err(InvalidPool::Waiting { reason: "ClusterNotFound", .. })));
    let keyless = validate(&pool(), &Found { key: None, ..found() });
    assert!(matches!(keyless, Err(InvalidPool::Waiting { reason: "WaitingForKey", .. })));
    let mut unjudged = found();
    unjudged.cluster.as_mut().unwrap().status.as_mut().unwrap().key_fingerprint = None;
    assert!(matches!(
        validate(&pool(), &unjudged),
        Err(InvalidPool::Waiting { reason: "WaitingForKey", .. })
    ));
}

#[test]
fn a_missing_key_is_passed_on() {
    let mut found = found();
    let missing = crate::conditions::Verdict::yes(condition::KEY_MISSING, "KeySecretMissing", "restore it");
    let status = found.cluster.as_mut().unwrap().status.as_mut().unwrap();
    crate::conditions::set(&mut status.conditions, &[missing], None);
    assert!(
        matches!(validate(&pool(), &found), Err(InvalidPool::KeyMissing(message)) if message == "restore it")
    );
}

/// The reason and message a pool waits with.
fn waiting(found: &Found) -> (&'static str, String) {
    match validate(&pool(), found) {
        Err(InvalidPool::Waiting { reason, message }) => (reason, message),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("nothing is waited for"),
    }
}

#[test]
fn a_cluster_that_is_invalid_or_unjudged_changes_no_node() {
    let mut refused = found();
    let cluster = refused.cluster.as_mut().unwrap();
    let invalid = crate::outcome::Outcome::Invalid("logLevel: do this".into()).progressing();
    let status = cluster.status.as_mut().unwrap();
    crate::conditions::set(&mut status.conditions, &[invalid], cluster.metadata.generation);
    let (reason, message) = waiting(&refused);
    assert_eq!(reason, "ClusterInvalid");
    assert!(message.contains("DataMeshCluster demo") && message.contains("logLevel: do this"), "{message}");

    let mut changed = found();
    changed.cluster.as_mut().unwrap().metadata.generation = Some(4);
    assert_eq!(waiting(&changed).0, "WaitingForCluster");
    changed.cluster.as_mut().unwrap().status = None;
    assert_eq!(waiting(&changed).0, "WaitingForCluster");

    let mut judged_by_an_older_build = found();
    judged_by_an_older_build.cluster.as_mut().unwrap().spec.log_level = "loud".into();
    let (reason, message) = waiting(&judged_by_an_older_build);
    assert!(reason == "ClusterInvalid" && message.contains("logLevel: write"), "{message}");
}

#[test]
fn names_another_pool_has_are_refused_with_the_remedy() {
    let mut elder = pool();
    elder.metadata.name = Some("x-main".into());
    elder.metadata.uid = Some("0".into());
    let mut cluster = found().cluster.unwrap();
    cluster.metadata.name = Some("demo-x".into());
    let mut younger = pool();
    younger.spec.cluster_ref = "demo-x".into();
    let both = Found { cluster: Some(cluster), pools: vec![younger.clone(), elder.clone()], ..found() };
    refused(&younger, &both, "as those of StoragePool x-main (clusterRef demo)");
    refused(&younger, &both, "apply it under another name");
    validate(&elder, &Found { pools: both.pools.clone(), ..found() }).unwrap();

    let left =
        "[{metadata: {name: data-demo-main-3-0, labels: {datamesh.io/cluster: d, datamesh.io/pool: p}}}]";
    let left = Found { other_volumes: serde_yaml::from_str(left).unwrap(), ..found() };
    refused(&pool(), &left, "volume data-demo-main-3-0, which belongs to StoragePool p of DataMeshCluster d");
}

#[test]
fn an_identity_keeps_its_zone_by_volume_set_or_status() {
    let mut found = found();
    found.volumes = serde_yaml::from_str(
        "[{metadata: {name: data-demo-main-0-0, labels: {datamesh.io/node: demo-main-0, datamesh.io/zone: zone3}}}]",
    )
    .unwrap();
    let mut pool = pool();
    let member = |node: &str, zone: &str| PoolMember { node: node.into(), zone: zone.into(), state: None };
    pool.status = Some(datamesh_crds::StoragePoolStatus {
        members: vec![member("demo-main-0", "zone1"), member("demo-main-1", "zone3")],
        ..Default::default()
    });
    let valid = validate(&pool, &found).unwrap();
    assert_eq!(zones_of(&valid)[..2], ["zone3", "zone3"]);
    assert_eq!(valid.zone_risk, None);
}

#[test]
fn what_exists_beyond_replicas_leaves_and_takes_no_place() {
    let mut found = found();
    found.volumes = serde_yaml::from_str(
        "
- {metadata: {name: data-demo-main-8-0, labels: {datamesh.io/node: demo-main-8, datamesh.io/zone: zone1}}}
- {metadata: {name: data-demo-main-007-0}}
- {metadata: {name: data-demo-main-other-0}}
- {metadata: {name: data-demo-main-5-0, labels: {datamesh.io/node: demo-main-5, datamesh.io/zone: zone3}}}
",
    )
    .unwrap();
    found.stateful_sets = serde_yaml::from_str(
        "
- {metadata: {name: demo-main-10}}
- {metadata: {name: demo-main-8, labels: {datamesh.io/node: demo-main-8, datamesh.io/zone: zone1}}}
",
    )
    .unwrap();
    let valid = validate(&pool(), &found).unwrap();
    let leaving: Vec<_> = valid.leaving.iter().map(|node| (node.node.as_str(), node.zone.as_str())).collect();
    assert_eq!(leaving, [("demo-main-8", "zone1"), ("demo-main-10", "unzoned")]);
    assert_eq!(valid.spec.members.len(), 6, "the gateway is not told of them");
    assert_eq!(zones_of(&valid), ["zone1", "zone2", "zone1", "zone2", "zone3", "zone3"]);
}

#[test]
fn few_zones_are_told_but_not_refused() {
    let mut found = found();
    found.nodes.retain(|node| node.name_any() != "node4");
    let valid = validate(&pool(), &found).unwrap();
    assert!(valid.zone_risk.unwrap().contains("cost 3 of 6 shards"));
}

#[test]
fn rules_of_the_definition_hold_here_too() {
    let mut pool = pool();
    pool.spec.replicas = 5;
    refused(&pool, &found(), "raise replicas to at least");
}

#[test]
fn the_scrub_is_told_to_the_gateway_and_to_no_pod() {
    let usual = validate(&pool(), &found()).unwrap();
    assert!(usual.spec.scrub.is_default());
    let mut paused = pool();
    paused.spec.scrub.paused = true;
    paused.spec.recode =
        datamesh_crds::RecodeSpec { enabled: true, max_bytes_per_second: Some(Size::new("2Mi")) };
    paused.spec.scrub.period = datamesh_crds::Span::new("24h");
    paused.spec.scrub.max_bytes_per_second = Some(Size::new("5Mi"));
    let paused = validate(&paused, &found()).unwrap();
    let told = ScrubSpec { period_seconds: 86_400, paused: true, max_bytes_per_second: Some(5 << 20) };
    assert_eq!(paused.spec.scrub, told);
    let built = |pool: &ValidPool| {
        let nodes = crate::pool::build::build(pool, std::iter::empty(), &found()).unwrap();
        nodes.into_iter().map(|node| (node.settings, node.stateful_set)).collect::<Vec<_>>()
    };
    assert!(built(&paused) == built(&usual), "nothing restarts");
}
