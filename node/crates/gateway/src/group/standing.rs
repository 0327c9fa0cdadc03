//! How the members of the group are.

use std::collections::BTreeMap;

use datamesh_catalog::engine::raft::RaftKeyspace;
use datamesh_settings::admin::{CatalogMember, CatalogMemberState};
use datamesh_settings::mesh::{CatalogHolding, CatalogStanding};
use datamesh_shard::NodeName;

use super::LAG_MAX;

/// What a gateway with this replica says of itself.
pub(super) fn of(node: &NodeName, replica: &RaftKeyspace) -> CatalogStanding {
    let group = replica.status();
    let is_in_one = !group.voters.is_empty();
    CatalogStanding {
        node: node.clone(),
        replica: replica.id(),
        holding: if is_in_one { CatalogHolding::Replica } else { CatalogHolding::Nothing },
        applied: group.applied,
        leads: group.leader == Some(replica.id()),
        voters: group.voters,
    }
}

/// All members in the order of the settings, by what those say that answer.
pub(super) fn members(names: &[NodeName], said: &BTreeMap<NodeName, CatalogStanding>) -> Vec<CatalogMember> {
    let newest = said.values().map(|said| said.applied).max().unwrap_or_default();
    // Of two that lead, the one that was outvoted knows less.
    let leader = said.values().filter(|said| said.leads).max_by_key(|said| said.applied);
    let voters = leader.or_else(|| said.values().max_by_key(|said| said.applied)).map(|said| &said.voters);
    let state = |standing: Option<&CatalogStanding>| match standing {
        None => CatalogMemberState::Away,
        Some(standing) if !voters.is_some_and(|voters| voters.contains(&standing.replica)) => {
            CatalogMemberState::Joining
        }
        Some(standing) if standing.applied.saturating_add(LAG_MAX) < newest => CatalogMemberState::Behind,
        Some(_) => CatalogMemberState::Current,
    };
    let member = |node: &NodeName| CatalogMember {
        node: node.clone(),
        state: state(said.get(node)),
        leads: leader.is_some_and(|leader| leader.node == *node),
    };
    names.iter().map(member).collect()
}

/// For tests: what a gateway says that is behind nobody; its replica follows from its name, and is a group of its own if it is in one.
#[cfg(test)]
pub(super) fn told(node: &str, holding: CatalogHolding) -> CatalogStanding {
    let replica = node.bytes().fold(1, |id, byte| id * 31 + u64::from(byte));
    let node = node.parse().unwrap();
    let voters = if holding == CatalogHolding::Replica { [replica].into() } else { [].into() };
    CatalogStanding { node, replica, holding, applied: 0, leads: false, voters }
}

#[cfg(test)]
mod tests {
    use super::*;
    use CatalogMemberState::{Away, Behind, Current, Joining};

    #[test]
    fn a_whole_copy_votes_answers_and_is_not_far_behind() {
        let names: Vec<NodeName> = ["a", "b", "c", "d"].map(|name| name.parse().unwrap()).into();
        let mut said = BTreeMap::new();
        for (name, applied) in [("a", 9000), ("b", 8500), ("c", 5000), ("d", 9000)] {
            let standing = told(name, CatalogHolding::Replica);
            let voters = ["a", "b", "c"].map(|name| told(name, CatalogHolding::Replica).replica).into();
            let leads = name == "a";
            said.insert(standing.node.clone(), CatalogStanding { applied, leads, voters, ..standing });
        }
        let states = |said: &BTreeMap<_, _>| -> Vec<_> {
            members(&names, said).iter().map(|member| (member.state, member.leads)).collect()
        };
        assert_eq!(states(&said), [(Current, true), (Current, false), (Behind, false), (Joining, false)]);
        said.remove(&names[0]);
        assert_eq!(states(&said), [(Away, false), (Current, false), (Behind, false), (Joining, false)]);
    }
}
