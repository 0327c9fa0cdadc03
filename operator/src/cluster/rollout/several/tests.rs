use CatalogMemberState::{Away, Current, Joining};
use Pod::{New, Old, OldUnready, Unready, Up};
use datamesh_settings::admin::{CatalogMemberState, ClusterStatus};
use k8s_openapi::api::apps::v1::StatefulSetStatus;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimStatus};

use super::*;
use crate::cluster::build::tests::{gateways_of, valid_of};
use crate::report::catalog::tests::kept_by;
use crate::report::tests::catalog;
use datamesh_crds::label;

/// How a gateway's pod is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Pod {
    /// It does not exist.
    New,
    /// It runs what is wanted and is ready.
    Up,
    /// It runs what is wanted and is not ready.
    Unready,
    /// It runs another template and is ready.
    Old,
    /// It runs another template and is not ready.
    OldUnready,
}

/// Gateways in these states, each told of `told`, and what they are to become.
fn running(pods: &[Pod], told: usize) -> (Vec<GatewayObjects>, Found) {
    let mut found = Found::default();
    let gateways = gateways_of(&valid_of(i32::try_from(pods.len()).unwrap(), &found), &found);
    for (gateway, &pod) in gateways.iter().zip(pods).filter(|(_, pod)| **pod != New) {
        let mut set = gateway.stateful_set.clone();
        let ready = i32::from(matches!(pod, Up | Old));
        set.status = Some(StatefulSetStatus {
            ready_replicas: Some(ready),
            updated_replicas: Some(1),
            ..StatefulSetStatus::default()
        });
        let annotations = set.metadata.annotations.as_mut().unwrap();
        if matches!(pod, Old | OldUnready) {
            annotations.insert(label::TEMPLATE_HASH.to_owned(), "another".into());
            annotations.insert(label::GATEWAYS_TOLD.to_owned(), told.to_string());
        }
        found.gateways.push(set);
        found.volumes.push(volume(&gateway.name(), "Bound"));
    }
    (gateways, found)
}

fn volume(gateway: &str, phase: &str) -> PersistentVolumeClaim {
    let mut volume = PersistentVolumeClaim::default();
    volume.metadata.name = Some(names::claim(gateway));
    volume.status = Some(PersistentVolumeClaimStatus { phase: Some(phase.into()), ..Default::default() });
    volume
}

fn decided(gateways: &[GatewayObjects], found: &Found, answer: &Answer) -> Rollout {
    decide(gateways, found, (answer, Timestamp::now()))
}

fn says(catalog: CatalogStatus) -> Answer {
    Ok(ClusterStatus {
        cluster: "datamesh.demo".parse().unwrap(),
        gateway: "demo-gateway".parse().unwrap(),
        version: "0.1.0".into(),
        key_fingerprint: "0".into(),
        catalog,
        default_pool: None,
        pools: Vec::new(),
        notifications: Vec::new(),
    })
}

/// The same, with another gateway as leader.
fn led_by(ordinal: usize, mut catalog: CatalogStatus) -> CatalogStatus {
    for (n, member) in catalog.members.iter_mut().enumerate() {
        member.leads = n + 1 == ordinal;
    }
    catalog
}

fn away() -> Answer {
    Err(GatewayError::Unreachable { host: "demo-gateway".into(), reason: "connection refused".into() })
}

fn text(rollout: &Rollout) -> (&'static str, &str) {
    match &rollout.outcome {
        Outcome::Underway { reason, message } => (reason, message),
        _ => ("", ""),
    }
}

/// Numbers of the gateways that are held back.
fn held(rollout: &Rollout) -> Vec<u16> {
    rollout.held.iter().filter_map(|name| names::gateway_ordinal(name, "demo")).collect()
}

/// Pods, of how many they were told, and the catalog; then who is held back, and a part of the text.
type Case<'a> = (&'a [Pod], usize, CatalogStatus, &'a [u16], &'a str);

#[test]
fn one_gateway_restarts_at_a_time_and_the_leader_last() {
    let all = || kept_by(&[Current; 3]);
    let five = |states: [CatalogMemberState; 5]| kept_by(&states);
    let table: &[Case] = &[
        (&[Up; 3], 3, all(), &[], ""),
        (&[New; 3], 3, all(), &[], "Starting 3 of 3 gateways."),
        (&[Up, Unready, Up], 3, kept_by(&[Current, Joining, Current]), &[], "Waiting for 1 of 3"),
        (&[Old; 3], 3, all(), &[1, 3], "demo-gateway-2 now, 2 still to go"),
        (&[Old; 3], 3, led_by(2, all()), &[2, 3], "demo-gateway now, 2 still to go"),
        (&[Old, Up, Old], 3, all(), &[1], "demo-gateway-3 now, 1 still to go"),
        (&[Old, Up, Up], 3, all(), &[], "demo-gateway now, 0 still to go"),
        // The one before has not come back, or not all the way.
        (
            &[Old, Unready, Old],
            3,
            kept_by(&[Current, Away, Current]),
            &[1, 3],
            "demo-gateway-2 (its pod is not",
        ),
        (
            &[Old, Up, Old],
            3,
            kept_by(&[Current, Joining, Current]),
            &[1, 3],
            "demo-gateway-2 (is being given",
        ),
        (&[Old, Up, Old], 3, led_by(9, all()), &[1, 3], "no gateway leads it now"),
        // It takes the change that may cure it, and whether it has is seen before the next.
        (&[Old, OldUnready, Old], 3, kept_by(&[Current, Away, Current]), &[1, 3], "demo-gateway-2 (its pod"),
        (&[OldUnready; 3], 3, all(), &[], "Waiting for 3 of 3 gateways"),
        // A further one is no member until the leader is told of it, and then it is waited for.
        (&[Old, Old, Old, Unready, Unready], 3, all(), &[1, 3], "demo-gateway-2 now"),
        (
            &[Old, Up, Old, Unready, Unready],
            3,
            five([Current, Current, Current, Joining, Joining]),
            &[1],
            "demo-gateway-3 now",
        ),
        (
            &[Up, Old, Up, Unready, Up],
            3,
            five([Current, Current, Current, Joining, Current]),
            &[2],
            "demo-gateway-4 (its pod is not ready",
        ),
        (&[Old, Old, Old, New, Unready], 3, all(), &[1, 2, 3], "demo-gateway-4 (is being started)"),
    ];
    for (pods, told, catalog, expected, part) in table {
        let (gateways, found) = running(pods, *told);
        let rollout = decided(&gateways, &found, &says(catalog.clone()));
        let (_, message) = text(&rollout);
        assert_eq!(held(&rollout), *expected, "{pods:?} {catalog:?}: {message}");
        assert!(message.contains(part) && message.is_empty() == part.is_empty(), "{pods:?}: {message}");
        assert!(!message.contains("gets fail"), "{message}");
    }
}

#[test]
fn a_gateway_that_was_alone_restarts_once_the_others_can_start() {
    let alone = || says(catalog(1));
    let (gateways, found) = running(&[Old, New, New], 1);
    let first = decided(&gateways, &found, &alone());
    assert_eq!((held(&first), text(&first).0), (vec![1], "GatewayStarting"));
    assert!(
        text(&first).1.contains("demo-gateway-2 (is being started), demo-gateway-3 (is"),
        "{first_text}",
        first_text = text(&first).1
    );

    let (gateways, mut found) = running(&[Old, Unready, Unready], 1);
    found.volumes[2] = volume("demo-gateway-3", "Pending");
    let unbound = decided(&gateways, &found, &alone());
    assert_eq!(held(&unbound), [1]);
    assert!(
        text(&unbound)
            .1
            .contains("In the way: demo-gateway-3 (its volume data-demo-gateway-3-0 is not bound")
    );

    found.volumes[2] = volume("demo-gateway-3", "Bound");
    let now = decided(&gateways, &found, &alone());
    assert!(now.held.is_empty());
    let (reason, message) = text(&now);
    assert_eq!(reason, "GatewayRestarting");
    assert!(
        message.contains("shares its catalog with demo-gateway-2, demo-gateway-3; puts and gets fail"),
        "{message}"
    );
}

#[test]
fn while_nobody_says_how_the_catalog_is_no_ready_gateway_restarts() {
    let (gateways, found) = running(&[Old, Up, Old], 3);
    let rollout = decided(&gateways, &found, &away());
    assert_eq!(held(&rollout), [1, 3]);
    assert!(text(&rollout).1.contains("nobody says how it is: the gateway at demo-gateway does not answer"));

    // Another image may be what it takes to be understood: then the pods' own word is enough.
    let strange = || Err(GatewayError::Unreadable { host: "demo-gateway".into(), reason: "a field".into() });
    assert_eq!(held(&decided(&gateways, &found, &strange())), [3]);
    let (gateways, found) = running(&[Old, Unready, Old], 3);
    assert_eq!(held(&decided(&gateways, &found, &strange())), [1, 3]);
}

/// Nobody needs another there, and nobody leads: only who is ready counts, and what the database's state is does not.
#[test]
fn with_a_database_one_restarts_while_all_others_are_ready() {
    let with_database = |pods: &[Pod], answer: &Answer| {
        let (mut gateways, found) = running(pods, 1);
        gateways.iter_mut().for_each(|gateway| gateway.is_on_volumes = false);
        decided(&gateways, &found, answer)
    };
    for answer in [says(catalog(0)), away()] {
        let one = with_database(&[Old, Old, Up], &answer);
        assert_eq!(held(&one), [2]);
        assert!(text(&one).1.contains("each when all others are ready: demo-gateway now, 1 still to go"));
        let none = with_database(&[Old, Old, Unready], &answer);
        assert_eq!(held(&none), [1, 2]);
        assert!(text(&none).1.contains(
            "one restarts at a time, and only while all others are ready. In the way: demo-gateway-3"
        ));
    }
    assert_eq!(held(&with_database(&[Old, New, New], &away())), [1], "the others come first");
}

#[test]
fn a_pod_that_is_being_replaced_is_named() {
    let (gateways, mut found) = running(&[Old, Up, Old], 3);
    found.gateways[1].status.as_mut().unwrap().updated_replicas = Some(0);
    let rollout = decided(&gateways, &found, &says(kept_by(&[Current, Away, Current])));
    let (reason, message) = text(&rollout);
    assert_eq!(reason, "GatewayRestarting");
    assert!(
        message.contains("In the way: demo-gateway-2 (pod demo-gateway-2-0 is being replaced)"),
        "{message}"
    );
    assert!(message.starts_with("2 gateways wait for a restart (demo-gateway-3, demo-gateway)"), "{message}");
}
