use MemberState::{Down, Joining, Up};
use datamesh_crds::StoragePool;
use datamesh_seal::ClusterSecret;
use datamesh_settings::admin::{BackupStatus, CopiesStatus, MemberState};
use datamesh_shard::Epoch;
use k8s_controller::conditions::ConditionStatus;
use k8s_openapi::api::apps::v1::StatefulSetStatus;

use super::*;
use crate::cluster::build::tests::{gateways_of, valid_of};
use crate::cluster::update_status::CONDITIONS;
use crate::cluster::validate::tests::cluster;

fn pool(name: &str, epoch: Option<u64>, states: &[MemberState]) -> PoolStatus {
    PoolStatus {
        name: name.parse().unwrap(),
        epoch: epoch.map(Epoch),
        writable: epoch.is_some(),
        ..report::tests::pool(states)
    }
}

fn answer(pools: Vec<PoolStatus>) -> Answer {
    Ok(ClusterStatus {
        cluster: "datamesh.demo".parse().unwrap(),
        gateway: "demo-gateway".parse().unwrap(),
        version: "0.1.0".into(),
        key_fingerprint: "0".into(),
        catalog: report::tests::catalog(1),
        default_pool: None,
        pools,
        notifications: Vec::new(),
    })
}

fn all_up() -> Answer {
    answer(vec![pool("main", Some(1), &[Up; 6])])
}

fn storage_pool(name: &str) -> StoragePool {
    let mut pool: StoragePool =
        serde_yaml::from_str(include_str!("../../../tests/fixtures/pool.yaml")).unwrap();
    pool.metadata.name = Some(name.to_owned());
    pool
}

fn found(names: &[&str]) -> Found {
    Found { pools: names.iter().map(|name| storage_pool(name)).collect(), ..Found::default() }
}

fn judged(found: &Found, outcome: &Outcome, answer: &Answer) -> Vec<Verdict> {
    verdicts(&cluster(), found, &Key::Present(ClusterSecret::generate()), outcome, answer)
}

fn of<'a>(verdicts: &'a [Verdict], type_: &str) -> (ConditionStatus, &'static str, &'a str) {
    let verdict = verdicts.iter().find(|v| v.type_ == type_).unwrap();
    (verdict.status, verdict.reason, &verdict.message)
}

fn is(verdicts: &[Verdict], type_: &str) -> (ConditionStatus, &'static str) {
    let (status, reason, _) = of(verdicts, type_);
    (status, reason)
}

#[test]
fn a_serving_cluster_is_ready_and_honest_about_its_catalog() {
    let all = judged(&found(&["main"]), &Outcome::Applied, &all_up());
    // All but that of copies, which are not asked for.
    assert_eq!(all.len(), CONDITIONS.len() - 1);
    assert_eq!(is(&all, "Ready"), (ConditionStatus::True, "Serving"));
    assert_eq!(is(&all, "DataSafe"), (ConditionStatus::False, "CatalogSingleCopy"));
    assert_eq!(is(&all, "Degraded"), (ConditionStatus::False, "AllUp"));
    assert_eq!(is(&all, "KeyMissing"), (ConditionStatus::False, "KeyPresent"));
    assert_eq!(is(&all, "Progressing"), (ConditionStatus::False, "UpToDate"));
}

#[test]
fn without_the_gateway_nothing_is_guessed_and_what_is_known_stays() {
    let away = Err(GatewayError::NoDoor("demo-tokens".into()));
    let all = judged(&found(&["main"]), &Outcome::Applied, &away);
    assert_eq!(is(&all, "Ready"), (ConditionStatus::False, "GatewayNotReady"));
    assert_eq!(is(&all, "Degraded"), (ConditionStatus::Unknown, "GatewayUnreachable"));
    assert_eq!(is(&all, "DataSafe"), (ConditionStatus::False, "CatalogSingleCopy"));
}

#[test]
fn invalid_paused_and_keyless_say_so() {
    let (found, up) = (found(&["main"]), all_up());
    let invalid = judged(&found, &Outcome::Invalid("x: do y".into()), &up);
    assert_eq!(is(&invalid, "Ready"), (ConditionStatus::False, "InvalidSpec"));
    let paused = judged(&found, &Outcome::Paused, &up);
    assert_eq!(is(&paused, "Progressing"), (ConditionStatus::False, "Paused"));
    assert_eq!(is(&paused, "Ready"), (ConditionStatus::True, "Serving"));
    let missing = Key::Missing { reason: "KeySecretMissing", message: "restore it".into() };
    let outcome = Outcome::KeyMissing { reason: "KeySecretMissing", message: "restore it".into() };
    let keyless = verdicts(&cluster(), &found, &missing, &outcome, &up);
    assert_eq!(is(&keyless, "KeyMissing"), (ConditionStatus::True, "KeySecretMissing"));
    assert_eq!(is(&keyless, "Ready"), (ConditionStatus::False, "KeySecretMissing"));
}

#[test]
fn copies_of_backups_are_told_of_where_they_are_asked_for() {
    let judged = |cluster: &DataMeshCluster, answer: &Answer| {
        let key = Key::Present(ClusterSecret::generate());
        verdicts(cluster, &found(&["main"]), &key, &Outcome::Applied, answer)
    };
    let mut cluster = cluster();
    let spec = serde_json::json!({"endpoint": "https://s3.example.com", "bucket": "copies", "secretRef": {"name": "x"}});
    cluster.spec.gateway.backup_copies = Some(serde_json::from_value(spec).unwrap());
    let old = is(&judged(&cluster, &all_up()), "BackupCopies");
    assert_eq!(old, (ConditionStatus::Unknown, "NotToldYet"));
    let told = all_up().map(|mut status| {
        let copies =
            Some(CopiesStatus { behind_seconds: Some(30), last_unix_ms: Some(1), ..CopiesStatus::default() });
        status.catalog.backup = Some(BackupStatus { copies, ..BackupStatus::default() });
        status
    });
    let all = judged(&cluster, &told);
    assert_eq!(is(&all, "BackupCopies"), (ConditionStatus::True, "Copied"));
    let mut status = datamesh_crds::DataMeshClusterStatus::default();
    crate::conditions::set(&mut status.conditions, &all, None);
    cluster.status = Some(status);
    cluster.spec.gateway.backup_copies = None;
    assert_eq!(is(&judged(&cluster, &told), "BackupCopies"), (ConditionStatus::True, "NotWanted"));
}

/// A cluster of three gateways, of which those with these numbers are ready.
fn three_gateways(ready: &[u16]) -> (DataMeshCluster, Found) {
    let mut cluster = cluster();
    cluster.spec.gateway.replicas = 3;
    let mut found = found(&["main"]);
    let none = Found::default();
    for (gateway, ordinal) in gateways_of(&valid_of(3, &none), &none).into_iter().zip(1..) {
        let mut set = gateway.stateful_set;
        let ready = i32::from(ready.contains(&ordinal));
        set.status = Some(StatefulSetStatus { ready_replicas: Some(ready), ..StatefulSetStatus::default() });
        found.gateways.push(set);
    }
    (cluster, found)
}

#[test]
fn gateways_that_keep_the_catalog_together_are_told_apart() {
    use datamesh_settings::admin::CatalogMemberState::{Away, Current};
    let judged = |states: [_; 3], ready: &[u16]| {
        let (cluster, found) = three_gateways(ready);
        let catalog = report::catalog::tests::kept_by(&states);
        let answer = all_up().map(|status| ClusterStatus { catalog, ..status });
        verdicts(&cluster, &found, &Key::Present(ClusterSecret::generate()), &Outcome::Applied, &answer)
    };
    let all = judged([Current; 3], &[1, 2, 3]);
    assert_eq!(is(&all, "DataSafe"), (ConditionStatus::True, "Redundant"));
    assert_eq!(is(&all, "Degraded"), (ConditionStatus::False, "AllUp"));
    let two = judged([Current, Away, Current], &[1, 3]);
    assert_eq!(is(&two, "DataSafe"), (ConditionStatus::False, "CatalogReplicaMissing"));
    assert_eq!(is(&two, "Degraded"), (ConditionStatus::True, "GatewaysMissing"));
    assert_eq!(is(&two, "Ready"), (ConditionStatus::True, "Serving"));
    for type_ in ["DataSafe", "Degraded"] {
        assert!(of(&two, type_).2.contains("demo-gateway-2 does not answer"), "{}", of(&two, type_).2);
    }
}

#[test]
fn without_a_majority_it_says_which_pods_to_look_at() {
    let away = || Err(GatewayError::Unreachable { host: "demo-gateway".into(), reason: "timed out".into() });
    let judged = |ready: &[u16]| {
        let (cluster, found) = three_gateways(ready);
        verdicts(&cluster, &found, &Key::Present(ClusterSecret::generate()), &Outcome::Applied, &away())
    };
    let one = judged(&[2]);
    assert_eq!(is(&one, "Ready"), (ConditionStatus::False, "GatewayNotReady"));
    let text = of(&one, "Ready").2;
    assert!(
        text.starts_with(
            "Pods demo-gateway-0, demo-gateway-3-0 are not ready, and 2 of 3 gateways are needed"
        ),
        "{text}"
    );
    assert!(text.contains("`kubectl -n datamesh describe pod demo-gateway-0 demo-gateway-3-0`"), "{text}");
    // How many copies there are nobody can say then, and least of all that there is one.
    assert_eq!(is(&one, "DataSafe"), (ConditionStatus::Unknown, "GatewayUnreachable"));
    assert_eq!(is(&judged(&[1, 3]), "Ready"), (ConditionStatus::False, "GatewayUnreachable"));
}

#[test]
fn a_cluster_without_a_pool_says_what_to_apply() {
    let all = judged(&Found::default(), &Outcome::Applied, &all_up());
    assert_eq!(is(&all, "Ready"), (ConditionStatus::False, "NoPool"));
    let pending = judged(&found(&["main"]), &Outcome::Applied, &answer(Vec::new()));
    assert_eq!(is(&pending, "Ready"), (ConditionStatus::False, "PoolPending"));
}

#[test]
fn a_second_pool_that_joins_takes_nothing_from_ready() {
    let both = found(&["main", "spare"]);
    let main = || pool("main", Some(1), &[Up; 6]);
    for pools in [vec![main()], vec![main(), pool("spare", None, &[Up, Joining, Up, Up, Up, Up])]] {
        let all = judged(&both, &Outcome::Applied, &answer(pools));
        assert_eq!(is(&all, "Ready"), (ConditionStatus::True, "Serving"));
        let (status, reason, message) = of(&all, "Progressing");
        assert_eq!((status, reason), (ConditionStatus::True, "PoolsJoining"));
        assert!(message.contains("spare") && !message.contains("main "), "{message}");
        assert_eq!(is(&all, "Degraded"), (ConditionStatus::False, "AllUp"));
    }
}

#[test]
fn a_second_pool_that_takes_no_writes_is_degraded_only() {
    let mut spare = pool("spare", Some(1), &[Down, Down, Down, Down, Down, Up]);
    spare.writable = false;
    let pools = vec![pool("main", Some(1), &[Up; 6]), spare];
    let all = judged(&found(&["main", "spare"]), &Outcome::Applied, &answer(pools));
    assert_eq!(is(&all, "Ready"), (ConditionStatus::True, "Serving"));
    assert!(of(&all, "Ready").2.contains("in pool main, which holds the default bucket"));
    let (status, _, message) = of(&all, "Degraded");
    assert_eq!(status, ConditionStatus::True);
    assert!(message.contains("Pool spare: Too few nodes take shards"), "{message}");
}

#[test]
fn ready_follows_the_pool_of_the_default_bucket() {
    let both = found(&["early", "main"]);
    let pools = vec![pool("early", None, &[Joining; 6]), pool("main", Some(1), &[Up; 6])];
    let first_by_name = judged(&both, &Outcome::Applied, &answer(pools.clone()));
    assert_eq!(is(&first_by_name, "Ready"), (ConditionStatus::False, "NodesJoining"));
    assert!(of(&first_by_name, "Ready").2.starts_with("Pool early: "));
    let bound = answer(pools).map(|s| ClusterStatus { default_pool: Some("main".parse().unwrap()), ..s });
    let bound = judged(&both, &Outcome::Applied, &bound);
    assert_eq!(is(&bound, "Ready"), (ConditionStatus::True, "Serving"));
    assert_eq!(is(&bound, "Progressing"), (ConditionStatus::True, "PoolsJoining"));
}

#[test]
fn a_pool_that_waits_for_a_person_is_no_progress() {
    let mut both = found(&["main", "wrong"]);
    let invalid = Verdict::no(condition::PROGRESSING, "InvalidSpec", "replicas: raise it");
    let generation = both.pools[1].metadata.generation;
    let status = both.pools[1].status.get_or_insert_default();
    crate::conditions::set(&mut status.conditions, &[invalid], generation);
    let all = judged(&both, &Outcome::Applied, &all_up());
    assert_eq!(is(&all, "Ready"), (ConditionStatus::True, "Serving"));
    assert_eq!(is(&all, "Progressing"), (ConditionStatus::False, "UpToDate"));
    assert_eq!(is(&all, "Degraded"), (ConditionStatus::True, "PoolNotInUse"));
    assert!(of(&all, "Degraded").2.contains("StoragePool wrong is not in use: replicas: raise it"));

    // What it says of an earlier spec counts no more.
    both.pools[1].metadata.generation = Some(99);
    let corrected = judged(&both, &Outcome::Applied, &all_up());
    assert_eq!(is(&corrected, "Progressing"), (ConditionStatus::True, "PoolsJoining"));
}
