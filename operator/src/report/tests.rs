use MemberState::{Down, Full, Joining, Up};
use datamesh_settings::admin::{AvoidedStatus, DrainStatus, NodeReport};
use k8s_controller::conditions::ConditionStatus;

use super::*;

/// A pool 4+2 whose members have these states.
pub(crate) fn pool(states: &[MemberState]) -> PoolStatus {
    let members = states.iter().enumerate().map(|(n, &state)| MemberStatus {
        node: format!("demo-main-{n}").parse().unwrap(),
        zone: format!("zone{}", n % 3).parse().unwrap(),
        state,
        peer: None,
        report: None,
        report_age_seconds: None,
        drain: None,
        avoided: None,
    });
    PoolStatus {
        name: "main".parse().unwrap(),
        erasure: datamesh_shard::ErasureProfile::new(4, 2).unwrap(),
        epoch: Some(datamesh_shard::Epoch(1)),
        writable: true,
        members: members.collect(),
        short_puts: 0,
        damaged_shards: 0,
        counting_since_unix_ms: None,
        zone_loss_shards: None,
        scrub: None,
        profiles: Vec::new(),
        recode: None,
        safety: None,
        problems: Vec::new(),
    }
}

pub(crate) fn catalog(replicas: u32) -> CatalogStatus {
    CatalogStatus {
        engine: CatalogEngine::Embedded,
        replicas,
        incarnation: Default::default(),
        objects: 0,
        members: Vec::new(),
        backup: None,
        moving: None,
        leaving: None,
        condemned_segments: 0,
    }
}

#[test]
fn down_members_are_named_with_zone_and_meaning() {
    let verdict = degraded(&[&pool(&[Up, Down, Up, Up, Down, Up])]);
    assert_eq!((verdict.status, verdict.reason), (ConditionStatus::True, "NodesDown"));
    for part in ["2 of 6 nodes down", "demo-main-1 (zone zone1), demo-main-4 (zone zone1)", "no further node"]
    {
        assert!(verdict.message.contains(part), "{part} in {}", verdict.message);
    }
    let one = degraded(&[&pool(&[Up, Down, Up, Up, Up, Up])]);
    assert!(one.message.contains("1 more node may be lost"), "{}", one.message);
    let three = degraded(&[&pool(&[Down, Down, Down, Up, Up, Up])]);
    assert_eq!(three.reason, "TooManyNodesDown");
    assert!(three.message.contains("cannot be read until nodes come back"), "{}", three.message);
}

#[test]
fn quarantined_members_degrade_and_slow_ones_are_only_told() {
    let avoided = |reason| AvoidedStatus { reason, seconds: 5, detail: "gave 5 wrong answers.".into() };
    let mut slow = pool(&[Up; 6]);
    slow.members[2].avoided = Some(avoided(AvoidedReason::Slow));
    assert_eq!(degraded(&[&slow]).status, ConditionStatus::False);
    let ready = pool_ready(&slow).message;
    assert!(ready.ends_with("Slow and avoided: demo-main-2 (zone zone2)."), "{ready}");
    assert!(!pool_ready(&pool(&[Up; 6])).message.contains("Slow"));
    slow.members[2].avoided = Some(avoided(AvoidedReason::WrongAnswers));
    let verdict = degraded(&[&slow]);
    assert_eq!((verdict.status, verdict.reason), (ConditionStatus::True, "NodesQuarantined"));
    assert!(verdict.message.contains("wrong answers: demo-main-2 (zone zone2)"), "{}", verdict.message);
}

#[test]
fn a_drained_node_that_is_down_is_missed_by_nobody() {
    let mut pool = pool(&[Up, Down, Up, Up, Up, Up]);
    let drain = |state| DrainStatus {
        state,
        left_shards: Some(0),
        left_bytes: Some(0),
        moved_bytes: 0,
        eta_seconds: None,
        waits_for: Vec::new(),
    };
    pool.members[1].drain = Some(drain(DrainState::Drained));
    assert_eq!(degraded(&[&pool]).status, ConditionStatus::False);
    pool.members[1].drain = Some(drain(DrainState::Stalled));
    assert_eq!(degraded(&[&pool]).reason, "NodesDown");
}

#[test]
fn all_well_is_not_degraded_and_a_full_node_is() {
    assert_eq!(degraded(&[&pool(&[Up; 6])]).status, ConditionStatus::False);
    assert_eq!(degraded(&[&pool(&[Up, Up, Up, Up, Up, Full])]).reason, "NodesFull");
}

#[test]
fn a_catalog_elsewhere_is_named_and_not_vouched_for() {
    let postgres = CatalogStatus { engine: CatalogEngine::Postgres, ..catalog(1) };
    let verdict = data_safe(&postgres, &[&pool(&[Up; 6])], &[]);
    assert_eq!((verdict.status, verdict.reason), (ConditionStatus::True, "Redundant"));
    assert!(verdict.message.contains("your PostgreSQL"), "{}", verdict.message);
    let down = data_safe(&postgres, &[&pool(&[Down, Down, Up, Up, Up, Up])], &[]);
    assert_eq!(down.reason, "NoFurtherLoss");
}

#[test]
fn a_single_catalog_copy_is_never_called_safe() {
    for states in [[Up; 6], [Up, Up, Down, Down, Up, Up]] {
        let verdict = data_safe(&catalog(1), &[&pool(&states)], &[]);
        assert_eq!((verdict.status, verdict.reason), (ConditionStatus::False, "CatalogSingleCopy"));
    }
    let replicated = data_safe(&catalog(3), &[&pool(&[Up; 6])], &["Few zones.".into()]);
    assert_eq!(replicated.status, ConditionStatus::True);
    assert!(replicated.message.ends_with("Few zones."), "{}", replicated.message);
    assert_eq!(data_safe(&catalog(3), &[&pool(&[Down, Down, Up, Up, Up, Up])], &[]).reason, "NoFurtherLoss");
    assert_eq!(data_safe(&catalog(1), &[&pool(&[Down; 6])], &[]).reason, "TooManyNodesDown");
}

/// A pool whose nodes are all up, with these short puts and damaged shards.
fn flawed(short_puts: u64, damaged_shards: u64) -> PoolStatus {
    PoolStatus { short_puts, damaged_shards, ..pool(&[Up; 6]) }
}

fn says(verdict: &Verdict, parts: &[&str]) {
    for part in parts {
        assert!(verdict.message.contains(part), "{part:?} in {}", verdict.message);
    }
}

#[test]
fn what_is_said_of_nodes_holds_for_whole_data_only() {
    for states in [[Up; 6], [Up, Down, Up, Up, Up, Up], [Up, Down, Up, Up, Down, Up]] {
        let verdict = data_safe(&catalog(3), &[&pool(&states)], &[]);
        says(&verdict, &["data that is whole is readable", "forgets what was before"]);
        assert!(!verdict.message.contains("every file"), "{}", verdict.message);
    }
}

#[test]
fn short_puts_are_told_with_their_count_and_meaning() {
    let short = flawed(3, 0);
    let degraded = degraded(&[&short]);
    assert_eq!((degraded.status, degraded.reason), (ConditionStatus::True, "ShortPuts"));
    let parts = [
        "Pool main: 3 segments were acknowledged short",
        "fewer than all 6 shards",
        "the loss of 1 node, not of 2",
        "(it forgets what was before)",
    ];
    says(&degraded, &parts);
    let single = data_safe(&catalog(1), &[&short], &[]);
    assert_eq!(single.reason, "CatalogSingleCopy");
    says(&single, &parts[1..]);
    let replicated = data_safe(&catalog(3), &[&short], &[]);
    assert_eq!((replicated.status, replicated.reason), (ConditionStatus::False, "ShortPuts"));
    says(&replicated, &["3 segments were acknowledged short"]);

    let mut one_parity = flawed(1, 0);
    one_parity.erasure = datamesh_shard::ErasureProfile::new(2, 1).unwrap();
    says(&data_safe(&catalog(3), &[&one_parity], &[]), &["1 segment was", "survive no loss of a node"]);
}

#[test]
fn damage_is_told_and_never_called_safe() {
    let damaged = flawed(1, 2);
    let verdict = degraded(&[&damaged]);
    assert_eq!((verdict.status, verdict.reason), (ConditionStatus::True, "DamageFound"));
    says(&verdict, &["1 segment was acknowledged short", "2 shards were found missing or corrupt"]);
    assert_eq!(data_safe(&catalog(3), &[&damaged], &[]).reason, "DamageFound");

    let mut corrupt = pool(&[Up; 6]);
    corrupt.members[4].report = Some(NodeReport { corrupt_shards: 5, ..NodeReport::default() });
    says(&degraded(&[&corrupt]), &["5 corrupt shards were reported by demo-main-4 (zone zone1)"]);
    assert_eq!(data_safe(&catalog(3), &[&corrupt], &[]).status, ConditionStatus::False);
}

#[test]
fn counts_say_since_when() {
    let mut since = flawed(1, 0);
    since.counting_since_unix_ms = Some(1_900_000_000_000);
    says(&degraded(&[&since]), &["since the gateway started at 2030-03-17 17:46:40 UTC"]);
}

#[test]
fn a_zone_that_costs_too_much_is_told_while_all_is_well_and_once() {
    let mut few_zones = pool(&[Up; 6]);
    few_zones.zone_loss_shards = Some(3);
    for replicas in [1, 3] {
        let verdict = data_safe(&catalog(replicas), &[&few_zones], &["An estimate.".into()]);
        says(&verdict, &["Pool main: the loss of a whole zone may cost 3 of the 6 shards", "4+2 survives 2"]);
        assert!(!verdict.message.contains("An estimate"), "{}", verdict.message);
    }
}

#[test]
fn a_pool_that_takes_no_writes_is_degraded() {
    let mut stuck = pool(&[Up; 6]);
    stuck.writable = false;
    let verdict = degraded(&[&stuck]);
    assert_eq!((verdict.status, verdict.reason), (ConditionStatus::True, "NotWritable"));
    stuck.epoch = None;
    assert_eq!(degraded(&[&stuck]).status, ConditionStatus::False, "it has not begun to");
}

#[test]
fn a_single_copy_is_known_without_asking() {
    let timeout =
        GatewayError::Unreachable { host: "demo-gateway.datamesh.svc".into(), reason: "timed out".into() };
    let [degraded, data_safe] = unasked(&timeout, Keepers::OneGateway);
    assert_eq!((degraded.status, degraded.reason), (ConditionStatus::Unknown, "GatewayUnreachable"));
    assert_eq!((data_safe.status, data_safe.reason), (ConditionStatus::False, "CatalogSingleCopy"));
    says(&data_safe, &["have one copy", "could not be asked", "timed out"]);
    let [_, nothing_there] = unasked(&GatewayError::NoCluster, Keepers::OneGateway);
    for others in [Keepers::Postgres, Keepers::Gateways] {
        let [_, unknown] = unasked(&timeout, others);
        assert_eq!(unknown.status, ConditionStatus::Unknown);
    }
    assert_eq!(nothing_there.status, ConditionStatus::Unknown);
}

#[test]
fn a_pool_is_ready_when_it_can_be_written() {
    let mut status = pool(&[Up, Up, Up, Up, Up, Joining]);
    status.epoch = None;
    assert_eq!(pool_ready(&status).reason, "NodesJoining");
    assert!(pool_ready(&status).message.contains("waiting for demo-main-5"));
    status.epoch = Some(datamesh_shard::Epoch(1));
    status.writable = false;
    assert_eq!(pool_ready(&status).reason, "NotWritable");
    status.writable = true;
    assert!(pool_ready(&status).is_good());
}

#[test]
fn data_is_called_safe_only_with_the_word_that_its_scrub_is_paused() {
    let scrub = PoolScrub { heard_members: 6, ..PoolScrub::default() };
    let mut scrubbed = pool(&[Up; 6]);
    scrubbed.scrub = Some(scrub);
    assert!(!data_safe(&catalog(3), &[&scrubbed], &[]).message.contains("scrub"));
    scrubbed.scrub = Some(PoolScrub { paused_members: 6, overdue_members: 2, ..scrub });
    let message = data_safe(&catalog(3), &[&scrubbed], &[]).message;
    for part in ["The scrub is paused on 6 of 6 nodes", "2 of 6 nodes have not read all their shards"] {
        assert!(message.contains(part), "{part} in {message}");
    }
}
