//! Which zones there are, and which node identity belongs to which. Pure.

use std::collections::BTreeMap;

use datamesh_shard::{ErasureProfile, NameError, ZoneName};
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;

/// The zone of every identity where no Kubernetes node carries the zone label: nothing is pinned then.
pub(crate) const UNZONED: &str = "unzoned";

/// Values of the zone label on nodes that take pods, sorted. Empty when none carries the label.
pub(crate) fn live_zones(nodes: &[Node], zone_label: &str) -> Vec<String> {
    let mut zones: Vec<String> = nodes
        .iter()
        .filter(|node| schedulable(node))
        .filter_map(|node| node.labels().get(zone_label).cloned())
        .collect();
    zones.sort();
    zones.dedup();
    zones
}

fn schedulable(node: &Node) -> bool {
    let Some(spec) = &node.spec else { return true };
    let repels = |effect: &str| effect == "NoSchedule" || effect == "NoExecute";
    // Kubernetes' own taints pass (not ready, unreachable, under pressure); an identity's zone is for good.
    let lasting = |key: &str| !key.starts_with("node.kubernetes.io/");
    let blocked = spec.taints.iter().flatten().any(|taint| repels(&taint.effect) && lasting(&taint.key));
    !spec.unschedulable.unwrap_or(false) && !blocked
}

/// The zone of each ordinal below `replicas`: a known one never changes; a new one goes where fewest are.
/// Ties go to the zone first by name, so the outcome depends on nothing but the arguments.
///
/// # Errors
/// A zone label that cannot be a zone's name.
pub(crate) fn assign(
    replicas: u16,
    known: &BTreeMap<u16, String>,
    live: &[String],
) -> Result<Vec<ZoneName>, NameError> {
    let unzoned = [UNZONED.to_owned()];
    let live = if live.is_empty() { &unzoned } else { live };
    let mut used: BTreeMap<&str, usize> = live.iter().map(|zone| (zone.as_str(), 0)).collect();
    for zone in known.values() {
        if let Some(count) = used.get_mut(zone.as_str()) {
            *count += 1;
        }
    }
    let mut zones = Vec::with_capacity(replicas.into());
    for ordinal in 0..replicas {
        let zone = match known.get(&ordinal) {
            Some(zone) => zone.as_str(),
            None => least_used(&mut used),
        };
        zones.push(ZoneName::new(zone)?);
    }
    Ok(zones)
}

/// The zone with the fewest identities, counting the one it is chosen for.
fn least_used<'a>(used: &mut BTreeMap<&'a str, usize>) -> &'a str {
    let least = used.iter().min_by_key(|(_, count)| **count).map(|(zone, _)| *zone);
    match least {
        Some(zone) => {
            *used.entry(zone).or_default() += 1;
            zone
        }
        None => UNZONED,
    }
}

/// What a lost zone would cost, if that is more than the profile survives. No table is computed for it: the gateway says
/// what its own tables cost once there is a layout.
pub(crate) fn zone_risk(profile: ErasureProfile, zones: &[ZoneName]) -> Option<String> {
    let (m, total) = (profile.m(), profile.total());
    let mut nodes: BTreeMap<&ZoneName, usize> = BTreeMap::new();
    for zone in zones {
        *nodes.entry(zone).or_default() += 1;
    }
    // Each node holds one shard of a segment. With at most `bound` in a zone, all zones together hold this many.
    let room = |bound: usize| nodes.values().map(|&nodes| nodes.min(bound)).sum::<usize>();
    let lost = (1..total).find(|&bound| room(bound) >= total).unwrap_or(total);
    if lost <= m {
        return None;
    }
    let have = match nodes.len() {
        1 => "1 zone is".to_owned(),
        n => format!("{n} zones are"),
    };
    let more = match total.saturating_sub(room(m)) {
        1 => "1 more node".to_owned(),
        n => format!("{n} more nodes"),
    };
    Some(format!(
        "The loss of a whole zone would cost {lost} of {total} shards or more, and {profile} survives {m}: {have} in use. \
         {more} would make it safe, in zones that then have at most {m}."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zones(names: &[&str]) -> Vec<String> {
        names.iter().map(|&n| n.to_owned()).collect()
    }

    fn names(assigned: &[ZoneName]) -> Vec<&str> {
        assigned.iter().map(ZoneName::as_str).collect()
    }

    #[test]
    fn new_identities_spread_evenly() {
        let assigned = assign(6, &BTreeMap::new(), &zones(&["a", "b", "c"])).unwrap();
        assert_eq!(names(&assigned), ["a", "b", "c", "a", "b", "c"]);
    }

    #[test]
    fn a_known_identity_keeps_its_zone_even_when_the_zone_is_gone() {
        let known = BTreeMap::from([(0, "gone".to_owned()), (1, "a".to_owned())]);
        let assigned = assign(4, &known, &zones(&["a", "b"])).unwrap();
        assert_eq!(names(&assigned), ["gone", "a", "b", "a"]);
    }

    #[test]
    fn more_nodes_change_no_earlier_one() {
        let live = zones(&["a", "b", "c"]);
        let before = assign(5, &BTreeMap::new(), &live).unwrap();
        let known =
            before.iter().enumerate().map(|(n, z)| (u16::try_from(n).unwrap(), z.to_string())).collect();
        let after = assign(9, &known, &zones(&["a", "b", "c", "d"])).unwrap();
        assert_eq!(before, after[..5]);
        assert!(names(&after[5..]).contains(&"d"));
    }

    #[test]
    fn without_labels_nothing_is_zoned() {
        assert_eq!(names(&assign(2, &BTreeMap::new(), &[]).unwrap()), [UNZONED, UNZONED]);
    }

    #[test]
    fn a_label_that_is_no_zone_name_is_refused() {
        let error = assign(1, &BTreeMap::new(), &zones(&["Rack_1"])).unwrap_err();
        assert!(error.to_string().contains("Rack_1"), "{error}");
    }

    #[test]
    fn cordoned_and_tainted_nodes_lend_no_zone() {
        let text = "
- {metadata: {name: n1, labels: {zone: a}}}
- {metadata: {name: n2, labels: {zone: b}}, spec: {unschedulable: true}}
- {metadata: {name: n3, labels: {zone: c}}, spec: {taints: [{key: k, effect: NoSchedule}]}}
- {metadata: {name: n4}}
- metadata: {name: n5, labels: {zone: e}}
  spec: {taints: [{key: node.kubernetes.io/not-ready, effect: NoExecute}]}
";
        let nodes: Vec<Node> = serde_yaml::from_str(text).unwrap();
        assert_eq!(live_zones(&nodes, "zone"), ["a", "e"]);
    }

    fn risk(profile: (u8, u8), zones: &str) -> Option<String> {
        let zones: Vec<ZoneName> = zones.split(' ').map(|zone| ZoneName::new(zone).unwrap()).collect();
        zone_risk(ErasureProfile::new(profile.0, profile.1).unwrap(), &zones)
    }

    #[test]
    fn a_zone_that_would_cost_too_much_is_told() {
        assert_eq!(risk((4, 2), "a b c a b c"), None);
        let told = risk((4, 2), "a b a b a b").unwrap();
        assert!(told.contains("cost 3 of 6 shards") && told.contains("2 zones are in use"), "{told}");
        assert!(told.contains("2 more nodes would make it safe"), "{told}");
        assert_eq!(risk((4, 2), "a b a b a b c c"), None);
        let single = risk((4, 2), "a a a a a a").unwrap();
        assert!(single.contains("cost 6 of 6 shards") && single.contains("4 more nodes"), "{single}");
    }

    #[test]
    fn uneven_zones_cost_more_than_their_number_says() {
        let told = risk((4, 2), "a a a b b b c").unwrap();
        assert!(told.contains("cost 3 of 6 shards") && told.contains("1 more node would"), "{told}");
        assert_eq!(risk((4, 2), "a a a b b b c c"), None);
        assert_eq!(risk((4, 2), "a a a a b c d e"), None);
        let lopsided = risk((4, 2), "a a a a a b").unwrap();
        assert!(lopsided.contains("cost 5 of 6 shards"), "{lopsided}");
    }
}
