//! What a gateway does that is in no group yet, by what the others say they have. Pure.

use std::collections::{BTreeMap, BTreeSet};

use datamesh_catalog::engine::raft::ReplicaId;
use datamesh_settings::mesh::{CatalogHolding, CatalogStanding};
use datamesh_shard::NodeName;

use super::Members;

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Ask again in a moment, for this reason.
    Wait(String),
    /// Make these the group.
    Form(BTreeSet<ReplicaId>),
    /// Make the catalog that is here that of a group, of this one for the time being.
    TakeOver,
    /// This one has another catalog.
    Refuse(NodeName),
}

/// `said` is what the others say that answer. Who is to leave may have the only catalog, and makes none.
pub(super) fn next(
    members: &Members,
    own: &CatalogStanding,
    said: &BTreeMap<NodeName, CatalogStanding>,
) -> Step {
    let all = || said.values().chain([own]);
    let twin = all().find(|one| all().any(|other| one.node != other.node && one.replica == other.replica));
    if let Some(twin) = twin {
        let reason = "for another volume: a copy of it is at another gateway too, and one of the two must start with an empty one";
        return Step::Wait(format!("at {} {reason}", twin.node));
    }
    let has = |wanted: CatalogHolding| said.values().find(|said| said.holding == wanted);
    let in_a_group = said.values().find(|said| said.holding == CatalogHolding::Replica && !said.is_opening());
    let holder = in_a_group.or_else(|| has(CatalogHolding::Alone)).or_else(|| has(CatalogHolding::Replica));
    let silent = members.all().filter(|name| **name != own.node && !said.contains_key(*name));
    let silent: Vec<&str> = silent.map(NodeName::as_str).collect();
    match (own.holding, holder) {
        (CatalogHolding::Replica, _) => Step::Wait("for its group's leader".into()),
        (CatalogHolding::Nothing, Some(holder)) => {
            Step::Wait(format!("for {}, which has the catalog, to take this gateway in", holder.node))
        }
        (CatalogHolding::Nothing, None) if !silent.is_empty() => {
            Step::Wait(format!("for {} to say whether they have the catalog", silent.join(", ")))
        }
        (CatalogHolding::Nothing, None) if members.stay.first() == Some(&own.node) => {
            let stays = |said: &&CatalogStanding| members.stay.contains(&said.node);
            Step::Form(all().filter(stays).map(|said| said.replica).collect())
        }
        (CatalogHolding::Nothing, None) => {
            Step::Wait("for the first of the gateways to form the group".into())
        }
        (CatalogHolding::Alone, Some(holder)) if holder.is_opening() => {
            Step::Wait(format!("for {} to say which group it is in, if it is in one", holder.node))
        }
        (CatalogHolding::Alone, Some(holder)) => Step::Refuse(holder.node.clone()),
        // Then there is no group of a majority which this volume, perhaps an old one, knows nothing of. It is no witness itself.
        (CatalogHolding::Alone, None) if said.len() * 2 > members.all().count() => Step::TakeOver,
        (CatalogHolding::Alone, None) => {
            Step::Wait(format!("for {} to say that they have no other catalog", silent.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::standing::told;
    use super::*;
    use CatalogHolding::{Alone, Nothing, Replica};

    fn members() -> Members {
        let stay = ["a", "b", "c"].map(|name| name.parse().unwrap()).into();
        Members { stay, leaving: Vec::new() }
    }

    fn step(own: (&str, CatalogHolding), others: &[(&str, CatalogHolding)]) -> Step {
        let said = |(node, holding): &(&str, CatalogHolding)| {
            let standing = told(node, *holding);
            (standing.node.clone(), standing)
        };
        next(&members(), &told(own.0, own.1), &others.iter().map(said).collect())
    }

    #[test]
    fn the_first_forms_the_group_when_all_are_there_and_have_nothing() {
        let all = ["a", "b", "c"].map(|node| told(node, Nothing).replica);
        assert_eq!(step(("a", Nothing), &[("b", Nothing), ("c", Nothing)]), Step::Form(all.into()));
        for waits in [
            step(("b", Nothing), &[("a", Nothing), ("c", Nothing)]),
            step(("a", Nothing), &[("b", Nothing)]),
            step(("a", Nothing), &[("b", Nothing), ("c", Alone)]),
            step(("a", Nothing), &[("b", Replica)]),
            step(("a", Nothing), &[]),
        ] {
            assert!(matches!(waits, Step::Wait(_)), "{waits:?}");
        }
    }

    /// It may have the only catalog, and is in none that is begun.
    #[test]
    fn who_is_to_leave_is_asked_and_forms_nothing() {
        let names = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect();
        let fewer = Members { stay: names(&["a"]), leaving: names(&["b", "c"]) };
        let step = |own, others: &[(&str, CatalogHolding)]| {
            let others = others.iter().map(|(node, holding)| told(node, *holding));
            next(&fewer, &told(own, Nothing), &others.map(|said| (said.node.clone(), said)).collect())
        };
        let own = told("a", Nothing).replica;
        assert_eq!(step("a", &[("b", Nothing), ("c", Nothing)]), Step::Form([own].into()));
        assert!(matches!(step("a", &[("b", Nothing)]), Step::Wait(why) if why.starts_with("for c to say")));
        assert!(matches!(step("b", &[("a", Nothing), ("c", Nothing)]), Step::Wait(_)));
    }

    #[test]
    fn a_catalog_is_taken_over_when_a_majority_of_others_know_no_other() {
        assert_eq!(step(("b", Alone), &[("a", Nothing), ("c", Nothing)]), Step::TakeOver);
        // The one that is silent may have a group with the volume that this one had then.
        assert!(matches!(step(("b", Alone), &[("c", Nothing)]), Step::Wait(_)));
        assert!(matches!(step(("b", Alone), &[]), Step::Wait(_)));
    }

    /// It may be one that was never in a group.
    #[test]
    fn a_replica_that_is_being_opened_is_no_catalog_yet() {
        let opening = CatalogStanding { voters: [].into(), ..told("c", Replica) };
        let blank = told("b", Nothing);
        let others = [(blank.node.clone(), blank), (opening.node.clone(), opening)].into();
        for own in [Alone, Nothing] {
            let waits = next(&members(), &told("a", own), &others);
            assert!(matches!(&waits, Step::Wait(why) if why.starts_with("for c")), "{waits:?}");
        }
    }

    #[test]
    fn copies_of_one_volume_form_no_group() {
        let said = |node: &str, replica| {
            let standing = told(node, Nothing);
            (standing.node.clone(), CatalogStanding { replica, ..standing })
        };
        let others = [said("b", 9), said("c", 9)].into();
        let waits = next(&members(), &told("a", Nothing), &others);
        assert!(matches!(&waits, Step::Wait(why) if why.contains("at b for another volume")), "{waits:?}");
    }

    #[test]
    fn two_catalogs_do_not_become_one() {
        let other = |node: &str| Step::Refuse(node.parse().unwrap());
        assert_eq!(step(("a", Alone), &[("b", Alone), ("c", Nothing)]), other("b"));
        assert_eq!(step(("a", Alone), &[("b", Nothing), ("c", Replica)]), other("c"));
    }
}
