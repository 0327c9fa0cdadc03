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

/// What a lost zone would cost, if that is more than the profile survives.
pub(crate) fn zone_risk(profile: ErasureProfile, zones: &[ZoneName]) -> Option<String> {
    let mut distinct: Vec<&ZoneName> = zones.iter().collect();
    distinct.sort();
    distinct.dedup();
    let (m, total) = (profile.m(), profile.total());
    let lost = total.div_ceil(distinct.len().max(1));
    if lost <= m {
        return None;
    }
    let enough = total.div_ceil(m);
    Some(format!(
        "The loss of a whole zone would cost {lost} of {total} shards, and {profile} survives {m}: {have} in use, \
         {enough} zones would be safe.",
        have = match distinct.len() {
            1 => "1 zone is".to_owned(),
            n => format!("{n} zones are"),
        }
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

    #[test]
    fn a_zone_that_would_cost_too_much_is_told() {
        let profile = ErasureProfile::new(4, 2).unwrap();
        let zones =
            |n: usize| (0..6).map(|i| ZoneName::new(&format!("z{}", i % n)).unwrap()).collect::<Vec<_>>();
        assert_eq!(zone_risk(profile, &zones(3)), None);
        let risk = zone_risk(profile, &zones(2)).unwrap();
        assert!(risk.contains("cost 3 of 6 shards") && risk.contains("3 zones would be safe"), "{risk}");
    }
}
