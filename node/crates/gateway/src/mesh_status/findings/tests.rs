use datamesh_settings::admin::MemberState;
use datamesh_settings::mesh::{SeenNode, Sight};

use super::*;

/// A node `n` of zone `zone` that answers and reaches all others but `cut`.
fn node(n: u8, zone: &str, cut: &[u8]) -> MeshNode {
    let seen = |other: u8| SeenNode {
        node: format!("n{other}").parse().unwrap(),
        sight: Sight { live: !cut.contains(&other), ..Sight::default() },
    };
    MeshNode {
        pool: "main".parse().unwrap(),
        node: format!("n{n}").parse().unwrap(),
        zone: zone.parse().unwrap(),
        state: MemberState::Up,
        reached: Sight { live: true, rtt_micros: Some(300), read_p95_micros: Some(2000) },
        version: Some("1".into()),
        clock_ahead_ms: Some(0),
        sees: Some((0..6).filter(|other| *other != n).map(seen).collect()),
    }
}

/// Six nodes in three zones, each of which reaches all but these.
fn nodes(cut: [&[u8]; 6]) -> Vec<MeshNode> {
    (0..6).zip(cut).map(|(n, cut)| node(n, ["a", "b", "c"][usize::from(n / 2)], cut)).collect()
}

fn status(pools: &str) -> ClusterStatus {
    let text = format!(
        r#"{{"cluster": "c", "gateway": "g", "version": "1", "keyFingerprint": "0", "pools": [{pools}],
            "catalog": {{"replicas": 1, "incarnation": 1, "objects": 0, "condemnedSegments": 0}}}}"#
    );
    serde_json::from_str(&text).unwrap()
}

/// One pool, `main`, that is whole; `more` may say otherwise.
fn pool(more: &str) -> String {
    format!(
        r#"{{"name": "main", "erasure": {{"data": 4, "parity": 2}}, "epoch": 4, "writable": true, "shortPuts": 0,
            "damagedShards": 0, "problems": [], "safety": {{"partitions": 1, "countedPartitions": 1, "oldestSeconds": 1,
            "segments": [0, 0, 9], "unreadable": 0, "away": 0, "rebuiltShards": 0, "failedRebuilds": 0}},
            "members": [] {more}}}"#
    )
}

fn told(status: &ClusterStatus, nodes: &[MeshNode]) -> Vec<String> {
    of(status, nodes).into_iter().map(|finding| finding.message).collect()
}

#[test]
fn nothing_is_said_when_all_is_well() {
    assert_eq!(told(&status(&pool("")), &nodes([&[]; 6])), Vec::<String>::new());
    assert_eq!(told(&status(""), &[]), Vec::<String>::new());
}

#[test]
fn a_cut_between_two_nodes_is_told_with_its_direction() {
    let one_way = told(&status(&pool("")), &nodes([&[2], &[], &[], &[], &[], &[]]));
    assert!(one_way.len() == 1 && one_way[0].starts_with("n0 does not reach n2, though"), "{one_way:?}");
    let both = told(&status(&pool("")), &nodes([&[2], &[], &[0], &[], &[], &[]]));
    assert!(both.len() == 2 && both[0].contains("neither"), "{both:?}");
}

#[test]
fn zones_are_named_where_no_pair_of_their_nodes_is_left() {
    let cut = told(&status(&pool("")), &nodes([&[2, 3], &[2, 3], &[0, 1], &[0, 1], &[], &[5]]));
    assert_eq!(cut.len(), 1, "n5 is no other node to itself: {cut:?}");
    assert!(cut[0].starts_with("No node of zone a reaches one of zone b"), "{cut:?}");
    let all_but_one = told(&status(&pool("")), &nodes([&[2, 3], &[2, 3], &[0, 1], &[0], &[], &[]]));
    assert!(all_but_one.len() == 7 && !all_but_one[0].contains("zone"), "{all_but_one:?}");
}

#[test]
fn a_silent_node_is_told_by_who_still_reaches_it() {
    let silent = |mut nodes: Vec<MeshNode>| {
        nodes[3] = MeshNode {
            state: MemberState::Down,
            version: None,
            clock_ahead_ms: None,
            sees: None,
            ..nodes[3].clone()
        };
        told(&status(&pool("")), &nodes)
    };
    let gone = silent(nodes([&[3], &[3], &[3], &[], &[3], &[3]]));
    assert!(gone.len() == 1 && gone[0].contains("n3 (zone b) answers neither"), "{gone:?}");
    let cut_off = silent(nodes([&[], &[], &[3], &[], &[3], &[3]]));
    assert!(cut_off.len() == 1 && cut_off[0].contains("but n0, n1 reach it"), "{cut_off:?}");
}

#[test]
fn clocks_versions_and_slow_nodes_are_told() {
    let mut odd = nodes([&[]; 6]);
    odd[1].clock_ahead_ms = Some(-7300);
    odd[2].version = Some("2".into());
    odd[4].reached.read_p95_micros = Some(90_000);
    let told = told(&status(&pool("")), &odd);
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].starts_with("n4 is slow: 95 of 100 reads take up to 90 ms"), "{told:?}");
    assert!(told[1].starts_with("The clock of n1 is at least 7 s behind"), "{told:?}");
    assert!(told[2].contains("1 on the gateway, n0, n1, n3, n4, n5; 2 on n2"), "{told:?}");
    odd[4].reached.read_p95_micros = Some(40_000);
    (odd[1].clock_ahead_ms, odd[2].version) = (Some(1900), None);
    assert_eq!(of(&status(&pool("")), &odd), []);
}

#[test]
fn a_slow_node_that_is_avoided_is_told_once() {
    let slow = pool("").replace(
        r#""members": []"#,
        r#""members": [{"node": "n4", "zone": "a", "state": "Up",
            "avoided": {"reason": "Slow", "seconds": 9, "detail": "is slow: its writes take 900 ms."}}]"#,
    );
    let mut odd = nodes([&[]; 6]);
    odd[4].reached.read_p95_micros = Some(90_000);
    assert_eq!(told(&status(&slow), &odd), ["n4 is slow: its writes take 900 ms."]);
}

#[test]
fn what_cannot_be_read_or_written_comes_first() {
    let bad = status(&pool(
        r#", "problems": ["n3 does not answer."], "writable": false, "members": [{"node": "n1", "zone": "a", "state": "Up",
        "report": {"incarnation": 1, "shards": 5, "shardBytes": 5, "capacityBytes": 9, "freeBytes": 1, "accepting": true,
        "corruptShards": 2, "epoch": 3}}]"#,
    )
    .replace(r#""problems": [], "#, "")
    .replace(r#""writable": true, "#, "")
    .replace(r#""members": [] ,"#, ""));
    let findings = of(&bad, &[]);
    assert!(
        findings[0].severity == Severity::Critical && findings[0].message.contains("no writes"),
        "{findings:?}"
    );
    let rest: Vec<&str> = findings[1..].iter().map(|finding| finding.message.as_str()).collect();
    assert!(rest.iter().any(|told| told.contains("n1 of pool main has 2 corrupt shards")), "{rest:?}");
    assert!(
        rest.iter().any(|told| told.contains("n1 of pool main have not learned its layout 4")),
        "{rest:?}"
    );
    assert!(rest.contains(&"Pool main: n3 does not answer."), "{rest:?}");
}
