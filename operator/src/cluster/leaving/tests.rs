use CatalogMemberState::{Away, Behind, Current};
use datamesh_crds::DataMeshCluster;
use datamesh_settings::admin::{CatalogLeaving, CatalogStatus};
use k8s_openapi::api::apps::v1::StatefulSetStatus;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use rustls::pki_types::UnixTime;

use super::*;
use crate::cluster::build::tests::{gateways_of, valid_of};
use crate::cluster::rollout;
use crate::cluster::validate::{tests::cluster, validate};
use crate::gateway_api::GatewayError;
use crate::golden::golden;
use crate::report::catalog::tests::kept_by;
use crate::report::tests::catalog;

/// A Kubernetes that does what it is told, at once.
struct World {
    replicas: i32,
    found: Found,
    answer: Answer,
}

fn said(catalog: CatalogStatus) -> Answer {
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

/// What a gateway says that was told of those from `first` on as leaving.
fn leaving(first: u16, last: u16, have_left: bool, catalog: CatalogStatus) -> Answer {
    let gateways =
        (first..=last).map(|ordinal| names::nth_gateway("demo", ordinal).parse().unwrap()).collect();
    let waits_for = (!have_left).then(|| "too few members answer".to_owned());
    said(CatalogStatus { leaving: Some(CatalogLeaving { gateways, have_left, waits_for }), ..catalog })
}

impl World {
    /// So many gateways that run as they should.
    fn of(gateways: usize) -> Self {
        let answer = said(if gateways > 1 { kept_by(&vec![Current; gateways]) } else { catalog(1) });
        let mut world = Self { replicas: i32::try_from(gateways).unwrap(), found: Found::default(), answer };
        while world.pass().0 != Outcome::Applied {}
        world
    }

    /// What the operator does in one pass, done; what it says, and the next step of each that leaves.
    fn pass(&mut self) -> (Outcome, Vec<(u16, Step)>) {
        let valid = valid_of(self.replicas, &self.found);
        let mut gateways = gateways_of(&valid, &self.found);
        let found = self.found.clone();
        let leaving = decide(&valid, &gateways, &found, &self.answer);
        gateways.retain(|gateway| !gateway.leaves || is_kept(&leaving, &gateway.name()));
        let rollout = rollout::decide(&gateways, &found, &self.answer, jiff::Timestamp::now());
        for gateway in gateways.iter().filter(|gateway| !rollout.held.contains(&gateway.name())) {
            self.apply(gateway);
        }
        for gateway in &leaving {
            let (set, claim) = (gateway.name, names::claim(gateway.name));
            match gateway.step {
                Step::RemovePod => self.found.gateways.retain(|known| known.name_any() != set),
                Step::RemoveVolume => self.found.volumes.retain(|known| known.name_any() != claim),
                _ => {}
            }
        }
        let steps =
            leaving.iter().filter_map(|one| Some((names::gateway_ordinal(one.name, "demo")?, one.step)));
        (outcome(&leaving, rollout.outcome, &self.answer), steps.collect())
    }

    fn apply(&mut self, gateway: &GatewayObjects) {
        let (name, mut set) = (gateway.name(), gateway.stateful_set.clone());
        let ready = i32::from(!is_told_to_leave(&set));
        set.status = Some(StatefulSetStatus {
            ready_replicas: Some(ready),
            updated_replicas: Some(1),
            ..StatefulSetStatus::default()
        });
        self.found.gateways.retain(|known| known.name_any() != name);
        self.found.gateways.push(set);
        let claim = names::claim(&name);
        if !self.found.volumes.iter().any(|known| known.name_any() == claim) {
            let text = format!("{{metadata: {{name: {claim}}}, status: {{phase: Bound}}}}");
            self.found.volumes.push(serde_yaml::from_str(&text).unwrap());
        }
    }

    /// Until all are told; says who was restarted, in this order.
    fn told(&mut self) -> Vec<u16> {
        let mut restarted = Vec::new();
        for _ in 0..9 {
            let before = self.found.gateways.clone();
            let (said, steps) = self.pass();
            assert!(steps.iter().all(|(_, step)| *step == Step::Keep), "{said:?} {steps:?}");
            let hash = |sets: &[StatefulSet], name: &str| {
                sets.iter().find(|set| set.name_any() == name).and_then(template_hash).cloned()
            };
            let changed = self.found.gateways.iter().map(|set| set.name_any());
            let changed: Vec<String> =
                changed.filter(|name| hash(&before, name) != hash(&self.found.gateways, name)).collect();
            assert!(changed.len() < 2, "at a time: {changed:?}");
            restarted.extend(changed.iter().filter_map(|name| names::gateway_ordinal(name, "demo")));
        }
        restarted
    }
}

fn text(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Underway { message, .. } => message,
        _ => "",
    }
}

#[test]
fn five_become_three_step_by_step() {
    let mut world = World::of(5);
    world.replicas = 3;
    let (said, _) = world.pass();
    assert!(
        text(&said).starts_with("Gateways leave: demo-gateway-4, demo-gateway-5; those that stay"),
        "{said:?}"
    );
    // The first was restarted already; the leader is the last.
    assert_eq!(world.told(), [5, 2, 3, 1]);
    let untold = world.pass().0;
    assert!(text(&untold).contains("demo-gateway was not told of that yet"), "{untold:?}");
    world.answer = leaving(4, 5, false, kept_by(&[Current; 5]));
    let waits = world.pass().0;
    assert!(
        text(&waits).contains("they still have a vote: too few members answer. To keep them,"),
        "{waits:?}"
    );
    // One that stays lacks something.
    world.answer = leaving(4, 5, true, kept_by(&[Current, Behind, Current]));
    assert_eq!(world.pass().1, [(4, Step::Keep), (5, Step::Keep)]);
    world.answer = leaving(4, 5, true, kept_by(&[Current; 3]));
    assert_eq!(world.pass().1, [(4, Step::RemovePod), (5, Step::RemovePod)]);
    // The operator ends here, or nobody answers for a while: nothing is made again.
    let good = std::mem::replace(&mut world.answer, Err(GatewayError::NoCluster));
    assert_eq!(world.pass().1, [(4, Step::Stay), (5, Step::Stay)]);
    world.answer = good;
    assert_eq!(world.pass().1, [(4, Step::RemoveVolume), (5, Step::Await)]);
    assert_eq!(world.pass().1, [(4, Step::Gone), (5, Step::RemoveVolume)]);
    world.answer = said_plainly(3);
    let (last, steps) = world.pass();
    assert!(steps.is_empty() && text(&last).contains("Restarting gateways one at a time"), "{last:?}");
    while world.pass().0 != Outcome::Applied {}
    assert_eq!(world.found.volumes.len(), 3);
    let plain = World::of(3);
    let hashes = |world: &World| -> Vec<Option<String>> {
        let mut sets = world.found.gateways.clone();
        sets.sort_by_key(|set| set.name_any());
        sets.iter().map(|set| template_hash(set).cloned()).collect()
    };
    assert_eq!(hashes(&world), hashes(&plain), "as if they had always been three");
}

fn said_plainly(gateways: usize) -> Answer {
    said(kept_by(&vec![Current; gateways]))
}

#[test]
fn three_become_one() {
    let mut world = World::of(3);
    world.replicas = 1;
    assert_eq!(world.told(), [2, 3, 1]);
    world.answer = leaving(2, 3, true, catalog(1));
    assert_eq!(world.pass().1, [(2, Step::RemovePod), (3, Step::RemovePod)]);
    world.pass();
    assert_eq!(world.pass().1, [(2, Step::Gone), (3, Step::RemoveVolume)]);
    world.answer = said(catalog(1));
    while world.pass().0 != Outcome::Applied {}
    let alone = World::of(1);
    assert_eq!(template_hash(&world.found.gateways[0]), template_hash(&alone.found.gateways[0]));
}

/// Another's word is not about this.
#[test]
fn pods_go_on_the_word_of_one_that_knows_just_this() {
    let mut world = World::of(5);
    world.replicas = 3;
    world.told();
    for other in [
        leaving(5, 5, true, kept_by(&[Current; 3])),
        leaving(2, 5, true, catalog(1)),
        leaving(4, 5, true, kept_by(&[Current; 5])),
        leaving(4, 5, true, kept_by(&[Current, Current, Away])),
        said(catalog(1)),
        Err(GatewayError::NoCluster),
    ] {
        world.answer = other;
        let (said, steps) = world.pass();
        assert_eq!(steps, [(4, Step::Keep), (5, Step::Keep)], "{said:?}");
    }
    // One that stays does not run what it was told, or is not ready.
    world.answer = leaving(4, 5, true, kept_by(&[Current; 3]));
    let second = world.found.gateways.iter_mut().find(|set| set.name_any() == "demo-gateway-2").unwrap();
    second.status.as_mut().unwrap().ready_replicas = Some(0);
    assert_eq!(world.pass().1, [(4, Step::Keep), (5, Step::Keep)]);
}

#[test]
fn who_is_wanted_again_is_given_back_one_at_a_time() {
    let mut world = World::of(3);
    world.replicas = 1;
    world.told();
    world.replicas = 3;
    world.answer = said_plainly(3);
    let mut passes = 0;
    while world.pass().0 != Outcome::Applied {
        passes += 1;
        assert!(passes < 9);
    }
    assert!(passes >= 3, "each by itself");
    assert!(world.found.gateways.iter().all(|set| !set.annotations().contains_key(label::GATEWAYS_LEAVING)));
}

/// Nobody that stays was told of them: they have no part.
#[test]
fn who_never_came_goes_without_a_word() {
    let mut world = World::of(1);
    world.replicas = 3;
    world.found.volumes.clear();
    world.pass();
    assert_eq!(world.found.gateways.len(), 3);
    world.replicas = 1;
    assert_eq!(world.pass().1, [(2, Step::RemovePod), (3, Step::RemovePod)]);
    world.pass();
    world.pass();
    assert_eq!(world.pass(), (Outcome::Applied, Vec::new()));
}

/// A cluster that was deleted and is applied again with fewer: their votes are needed before they leave.
#[test]
fn volumes_alone_are_started_to_leave() {
    let mut world = World::of(3);
    world.found.gateways.clear();
    world.replicas = 1;
    world.answer = Err(GatewayError::NoCluster);
    world.pass();
    let sets: Vec<_> =
        world.found.gateways.iter().map(|set| (set.name_any(), is_told_to_leave(set))).collect();
    let expected = [("demo-gateway", false), ("demo-gateway-2", true), ("demo-gateway-3", true)];
    assert_eq!(sets, expected.map(|(name, leaves)| (name.to_owned(), leaves)));
}

/// What is lost for good is not waited for; what only restarts is.
#[test]
fn one_that_leaves_and_is_lost_holds_up_the_others_for_a_while_only() {
    let mut world = World::of(3);
    world.replicas = 1;
    world.answer = said(kept_by(&[Current, Current, Away]));
    let third = |world: &mut World| {
        world.found.gateways.iter().position(|set| set.name_any() == "demo-gateway-3").unwrap()
    };
    let at = third(&mut world);
    world.found.gateways[at].status.as_mut().unwrap().ready_replicas = Some(0);
    // It takes the change at once.
    let said = world.pass().0;
    assert!(text(&said).contains("In the way: demo-gateway-3"), "{said:?}");
    assert!(world.found.gateway("demo-gateway-3").is_some_and(is_told_to_leave));
    assert!(text(&world.pass().0).contains("In the way: demo-gateway-3 (does not answer)"));
    let told_before = |world: &mut World, seconds: i64| {
        let at = third(world);
        let time = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(seconds);
        let entry = k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry {
            operation: Some("Apply".into()),
            time: Some(Time(time)),
            ..Default::default()
        };
        world.found.gateways[at].metadata.managed_fields = Some(vec![entry]);
    };
    told_before(&mut world, 60);
    assert!(text(&world.pass().0).contains("In the way"));
    told_before(&mut world, 200);
    let goes_on = world.pass().0;
    assert!(text(&goes_on).contains("demo-gateway-2 now"), "{goes_on:?}");
}

/// What users' gateways see of it.
#[test]
fn what_gateways_are_told_of_leaving_is_as_it_always_was() {
    let mut world = World::of(3);
    world.replicas = 1;
    let gateways = gateways_of(&valid_of(1, &world.found), &world.found);
    let settings: Vec<_> = gateways.iter().map(|gateway| &gateway.settings).collect();
    golden("gateways-leaving-settings.yaml", &settings);
    let told: Vec<_> = gateways.iter().map(|gateway| gateway.stateful_set.annotations().clone()).collect();
    golden("gateways-leaving-annotations.yaml", &told);
}

#[test]
fn every_case_has_its_step() {
    use Presence::{Absent, Going, Present};
    let table = [
        (Present, Present, Step::Keep, Step::RemovePod),
        (Present, Absent, Step::Keep, Step::RemovePod),
        (Present, Going, Step::Keep, Step::RemovePod),
        (Absent, Present, Step::Keep, Step::RemoveVolume),
        (Absent, Going, Step::Await, Step::Await),
        (Going, Present, Step::Await, Step::Await),
        (Going, Going, Step::Await, Step::Await),
        (Absent, Absent, Step::Gone, Step::Gone),
    ];
    for (set, claim, kept, let_go) in table {
        assert_eq!((step(set, claim, false), step(set, claim, true)), (kept, let_go), "{set:?} {claim:?}");
    }
}

#[test]
fn gateways_are_named_and_those_beyond_leave() {
    let mut cluster = cluster();
    let volumes = "
- {metadata: {name: data-demo-gateway-0}}
- {metadata: {name: data-demo-gateway-3-0}}
- {metadata: {name: data-demo-gateway-4-0, labels: {datamesh.io/pool: gateway}}}
- {metadata: {name: data-demo-gateway-77-0}}
- {metadata: {name: data-demo-main-7-0}}
";
    let found = Found { volumes: serde_yaml::from_str(volumes).unwrap(), ..Found::default() };
    let names = |names: &[NodeName]| names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let valid = validate(&cluster, &found, UnixTime::now()).unwrap();
    assert_eq!(names(&valid.leaving), "demo-gateway-2 demo-gateway-3");
    assert!(valid.leaving_known, "nobody says what gateways that do not run were told");
    let spec = serde_json::json!({"postgres": {"secretRef": {"name": "pg"}}});
    cluster.spec.catalog = Some(serde_json::from_value(spec).unwrap());
    let kept_by = |keeper| {
        Some(datamesh_crds::DataMeshClusterStatus { catalog_kept_by: Some(keeper), ..Default::default() })
    };
    let refused = |cluster: &DataMeshCluster| {
        let refused = validate(cluster, &found, UnixTime::now()).err().unwrap().to_string();
        assert!(refused.contains("demo-gateway-3 is beyond 1, and the catalog is to move"), "{refused}");
    };
    cluster.status = kept_by(datamesh_crds::CatalogKeeper::Gateways);
    refused(&cluster);
    // And on its way back.
    cluster.spec.catalog.as_mut().unwrap().kept_by = datamesh_crds::CatalogKeeper::Gateways;
    cluster.status = kept_by(datamesh_crds::CatalogKeeper::Postgres);
    refused(&cluster);
    (cluster.spec.catalog, cluster.status) = (None, None);
    cluster.spec.gateway.replicas = 3;
    let valid = validate(&cluster, &found, UnixTime::now()).unwrap();
    assert_eq!(names(&valid.gateways), "demo-gateway demo-gateway-2 demo-gateway-3");
    assert!(valid.leaving.is_empty());
}
