use Presence::{Absent, Going, Present};
use Standing::{Gone, Member, Unknown};
use datamesh_settings::admin::{ClusterStatus, MemberState::Up};
use datamesh_shard::Epoch;

use super::*;
use crate::gateway_api::GatewayError;
use crate::pool::gateway::Untold;
use crate::pool::validate::{tests, validate};
use crate::report;

#[test]
fn every_case_has_its_step() {
    let table = [
        // Without a word nothing is touched, whatever exists.
        (Unknown, Present, Present, Step::Stay),
        (Unknown, Present, Absent, Step::Stay),
        (Unknown, Present, Going, Step::Stay),
        (Unknown, Absent, Present, Step::Stay),
        (Unknown, Absent, Going, Step::Stay),
        (Unknown, Going, Present, Step::Stay),
        (Unknown, Going, Absent, Step::Stay),
        (Unknown, Going, Going, Step::Stay),
        // A member may have shards: it is kept, and its pod made again if it has a volume only.
        (Member, Present, Present, Step::Keep),
        (Member, Present, Absent, Step::Keep),
        (Member, Present, Going, Step::Keep),
        (Member, Absent, Present, Step::Keep),
        (Member, Absent, Going, Step::Stay),
        (Member, Going, Present, Step::Stay),
        (Member, Going, Absent, Step::Stay),
        (Member, Going, Going, Step::Stay),
        // Who is in no layout goes: the volume only when there is no pod.
        (Gone, Present, Present, Step::RemovePod),
        (Gone, Present, Absent, Step::RemovePod),
        (Gone, Present, Going, Step::RemovePod),
        (Gone, Absent, Present, Step::RemoveVolume),
        (Gone, Absent, Going, Step::Await),
        (Gone, Going, Present, Step::Await),
        (Gone, Going, Absent, Step::Await),
        (Gone, Going, Going, Step::Await),
    ];
    for (standing, set, claim, wanted) in table {
        assert_eq!(step(standing, set, claim), wanted, "{standing:?}, set {set:?}, claim {claim:?}");
    }
}

/// Six wanted nodes, and a seventh that exists.
pub(crate) fn seventh() -> Found {
    let mut found = tests::found();
    found.stateful_sets = serde_yaml::from_str(
        "[{metadata: {name: demo-main-6, uid: set, labels: {datamesh.io/node: demo-main-6, datamesh.io/zone: zone1}}}]",
    )
    .unwrap();
    found.volumes = serde_yaml::from_str(
        "[{metadata: {name: data-demo-main-6-0, uid: claim, labels: {datamesh.io/node: demo-main-6, datamesh.io/zone: zone1}}}]",
    )
    .unwrap();
    found
}

/// A gateway that has taken the spec and knows this pool.
pub(crate) fn taken(pool: PoolStatus) -> Answer {
    Answer::of(Ok(()), Ok(status(vec![pool])))
}

pub(crate) fn status(pools: Vec<PoolStatus>) -> ClusterStatus {
    ClusterStatus {
        cluster: "datamesh.demo".parse().unwrap(),
        gateway: "demo-gateway".parse().unwrap(),
        version: String::new(),
        key_fingerprint: String::new(),
        catalog: report::tests::catalog(1),
        default_pool: None,
        pools,
        notifications: Vec::new(),
    }
}

/// The seventh node's step where the pool was seen at epoch `seen`.
fn decided(answer: &Answer, seen: Option<i64>) -> Step {
    let mut pool = tests::pool();
    pool.status = Some(datamesh_crds::StoragePoolStatus { epoch: seen, ..Default::default() });
    let found = seventh();
    let valid = validate(&pool, &found).unwrap();
    let all = decide(&valid, &found, answer);
    let [only] = &all[..] else { panic!("{all:?}") };
    assert_eq!(only.identity.node.as_str(), "demo-main-6");
    only.step
}

#[test]
fn only_the_word_of_a_gateway_that_has_taken_the_spec_removes_a_node() {
    let without = report::tests::pool(&[Up; 6]);
    let within = report::tests::pool(&[Up; 7]);
    assert_eq!(decided(&taken(without.clone()), None), Step::RemovePod);
    assert_eq!(decided(&taken(within), None), Step::Keep);

    let away = || Untold::Away("no answer".into());
    assert_eq!(decided(&Answer::of(Err(away()), Ok(status(vec![without.clone()]))), None), Step::Stay);
    assert_eq!(decided(&Answer::of(Err(away()), Err(GatewayError::NoCluster)), None), Step::Stay);
    let refused = Untold::Refused("too few would stay".into());
    assert_eq!(decided(&Answer::of(Err(refused), Ok(status(vec![without.clone()]))), None), Step::Stay);
    assert_eq!(
        decided(&Answer::of(Ok(()), Ok(status(vec![]))), None),
        Step::Stay,
        "the whole pool is absent"
    );
    let other = PoolStatus { name: "other".parse().unwrap(), ..without.clone() };
    assert_eq!(decided(&taken(other), None), Step::Stay);
    assert_eq!(decided(&taken(PoolStatus { epoch: None, ..without }), None), Step::Stay, "no layout yet");
}

#[test]
fn a_catalog_that_went_back_removes_nothing() {
    let at = |epoch| taken(PoolStatus { epoch: Some(Epoch(epoch)), ..report::tests::pool(&[Up; 6]) });
    assert_eq!(decided(&at(4), Some(5)), Step::Stay);
    assert_eq!(decided(&at(5), Some(5)), Step::RemovePod);
}

#[test]
fn a_name_is_used_again_when_what_was_deleted_is_gone() {
    let gone = "2030-01-01T00:00:00Z".parse().unwrap();
    let mut found = seventh();
    assert!(!is_going(&found, "demo-main-6") && !is_going(&found, "demo-main-0"));
    found.volumes[0].metadata.deletion_timestamp =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(gone));
    assert!(!is_going(&found, "demo-main-6"), "its pod runs on and keeps the volume");
    let set = found.stateful_sets.pop().unwrap();
    assert!(is_going(&found, "demo-main-6"));
    found.volumes.clear();
    found.stateful_sets.push(set);
    found.stateful_sets[0].metadata.deletion_timestamp =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(gone));
    assert!(is_going(&found, "demo-main-6"));
}
