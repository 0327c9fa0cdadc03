//! Who does not reach whom. Where no node of one zone reaches one of another, the zones are named, not the nodes.

use std::collections::{BTreeMap, BTreeSet};

use datamesh_settings::admin::MemberState;
use datamesh_settings::mesh::{Finding, MeshNode};
use datamesh_shard::{NodeName, ZoneName};

use super::warning;

type Pair<'a, T> = (&'a T, &'a T);

/// What to say about one pool's members.
pub(super) fn of(members: &[&MeshNode]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = members.iter().filter_map(|node| silent(node, members)).collect();
    // Only of those that answered; the others are down, or cut off from the gateway too.
    let answering: Vec<&MeshNode> = members.iter().copied().filter(|node| node.sees.is_some()).collect();
    let zones: BTreeMap<&NodeName, &ZoneName> =
        answering.iter().map(|node| (&node.node, &node.zone)).collect();
    let cut = cut(&answering, &zones);
    let apart = zones_apart(&cut, &zones);
    findings.extend(apart.iter().map(|(a, b)| {
        warning(format!(
            "No node of zone {a} reaches one of zone {b}: the network between them is cut. Shards between them wait; reads and \
             writes go by the gateway."
        ))
    }));
    let single = cut.iter().filter(|(from, to)| !apart.contains(&ordered(zones[from], zones[to])));
    findings.extend(single.map(|(from, to)| {
        let back = if cut.contains(&(*to, *from)) { "and the other way neither" } else { "though the other way it does" };
        warning(format!(
            "{from} does not reach {to}, {back}: look at the network between them (network policies, firewalls, ports 7100 and \
             7101)."
        ))
    }));
    findings
}

/// A node that does not answer the gateway, and what the others say about it.
fn silent(node: &MeshNode, members: &[&MeshNode]) -> Option<Finding> {
    if node.sees.is_some() {
        return None;
    }
    let name = &node.node;
    if node.state != MemberState::Down {
        return Some(warning(format!(
            "{name} did not say in time what it sees: ask again, and read its log."
        )));
    }
    let sees =
        |other: &&&MeshNode| other.sees.iter().flatten().any(|seen| seen.node == *name && seen.sight.live);
    let by: Vec<&str> = members.iter().filter(sees).map(|other| other.node.as_str()).collect();
    Some(warning(if by.is_empty() {
        format!(
            "{name} (zone {}) answers neither the gateway nor any other node: see whether it runs.",
            node.zone
        )
    } else {
        format!(
            "{name} (zone {}) does not answer the gateway, but {} reach it: look at the network between it and the gateway.",
            node.zone,
            by.join(", ")
        )
    }))
}

/// Pairs of answering nodes of which the first does not reach the second.
fn cut<'a>(
    answering: &[&'a MeshNode],
    zones: &BTreeMap<&NodeName, &ZoneName>,
) -> BTreeSet<Pair<'a, NodeName>> {
    let mut cut = BTreeSet::new();
    for node in answering {
        let unseen =
            node.sees.iter().flatten().filter(|seen| !seen.sight.live && zones.contains_key(&seen.node));
        cut.extend(unseen.map(|seen| (&node.node, &seen.node)));
    }
    cut
}

/// Pairs of zones between which nobody reaches anybody, more than one pair of nodes being concerned.
fn zones_apart<'a>(
    cut: &BTreeSet<Pair<'_, NodeName>>,
    zones: &BTreeMap<&NodeName, &'a ZoneName>,
) -> BTreeSet<Pair<'a, ZoneName>> {
    let mut all: BTreeMap<Pair<'a, ZoneName>, (usize, usize)> = BTreeMap::new();
    for (from, a) in zones {
        for (to, b) in zones.iter().filter(|(_, b)| *b != a) {
            let counts = all.entry(ordered(*a, *b)).or_default();
            counts.0 += 1;
            counts.1 += usize::from(cut.contains(&(*from, *to)));
        }
    }
    all.into_iter().filter(|(_, (pairs, cut))| *pairs > 2 && pairs == cut).map(|(zones, _)| zones).collect()
}

fn ordered<'a, T: Ord>(a: &'a T, b: &'a T) -> Pair<'a, T> {
    if a <= b { (a, b) } else { (b, a) }
}
