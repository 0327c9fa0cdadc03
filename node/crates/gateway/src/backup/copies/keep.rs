//! Which copies may go.

use std::collections::{BTreeMap, BTreeSet};

use datamesh_exchange::anchor::AnchorId;

use super::names::ChainId;

const DAY_MS: u64 = 24 * 3_600_000;

/// The anchors that may go, of those that are there, now that the one of `newest` is whole: those that a later one of their chain has
/// replaced, those of chains that lead to no point from `oldest_unix_ms` on, and of what is more than a day older than the newest all but
/// the last chain of each day. The chain that was the newest at one of these times stays, since it leads there; and so does whatever is
/// newer than `newest`, which is not known to be whole. The oldest come first.
pub(super) fn ended(there: &BTreeSet<AnchorId>, newest: AnchorId, oldest_unix_ms: u64) -> Vec<AnchorId> {
    let known = || there.iter().copied().filter(|id| *id <= newest).chain([newest]);
    let mut last: BTreeMap<ChainId, AnchorId> = BTreeMap::new();
    for id in known() {
        let of_chain = last.entry(id.chain()).or_insert(id);
        *of_chain = id.max(*of_chain);
    }
    let newest_at =
        |unix_ms| last.iter().filter(|(_, id)| id.at_unix_ms <= unix_ms).map(|(chain, _)| *chain).max();
    let day_ago = newest.at_unix_ms.saturating_sub(DAY_MS);
    let (base, of_day_ago) = (newest_at(oldest_unix_ms), newest_at(day_ago));
    // Chains are in order: a later one of the same day takes the place of an earlier.
    let of_days: BTreeMap<u64, ChainId> =
        last.iter().map(|(chain, id)| (id.at_unix_ms / DAY_MS, *chain)).collect();
    let stays = |id: &AnchorId| {
        let chain = id.chain();
        let is_kept = id.at_unix_ms > day_ago
            || [base, of_day_ago].contains(&Some(chain))
            || of_days.get(&(id.at_unix_ms / DAY_MS)) == Some(&chain);
        last.get(&chain) == Some(id) && base.is_none_or(|base| chain >= base) && is_kept
    };
    there.iter().copied().filter(|id| *id <= newest && !stays(id)).collect()
}

/// The chains of which pieces are there and that nothing leads to any more. One that is newer than `newest` may be on its way here.
pub(super) fn let_go(
    pieces: &BTreeSet<ChainId>,
    anchors: &BTreeSet<AnchorId>,
    newest: AnchorId,
) -> Vec<ChainId> {
    let led_to: BTreeSet<ChainId> = anchors.iter().chain([&newest]).map(AnchorId::chain).collect();
    pieces.iter().copied().filter(|chain| *chain < newest.chain() && !led_to.contains(chain)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Each chain's anchors, one after another as a gateway makes them: chains begin in order, and each anchor is later than those before.
    fn history() -> impl Strategy<Value = Vec<AnchorId>> {
        let chain = (any::<bool>(), prop::collection::vec(1..50_u64, 1..5));
        prop::collection::vec(chain, 1..8).prop_map(|chains| {
            let (mut ids, mut generation, mut now) = (Vec::new(), 0, 1000);
            for (is_restored, steps) in chains {
                generation += u64::from(is_restored);
                let snapshot = now;
                for step in steps {
                    ids.push(AnchorId { generation, revision: now, at_unix_ms: now, snapshot });
                    now += step;
                }
            }
            ids
        })
    }

    /// What a restore to that time would take: the newest chain that begins no later, as far as it goes by then.
    fn taken(there: &BTreeSet<AnchorId>, unix_ms: u64) -> Option<ChainId> {
        // A chain's first point is that of its snapshot, whose revision is its time here.
        there.iter().rev().map(AnchorId::chain).find(|(_, snapshot)| *snapshot <= unix_ms)
    }

    proptest! {
        #[test]
        fn every_time_that_is_kept_leads_to_the_same_point_before_and_after(
            ids in history(),
            back in 0..400_u64,
        ) {
            let there: BTreeSet<AnchorId> = ids.iter().copied().collect();
            let newest = *ids.last().unwrap();
            let oldest = newest.at_unix_ms.saturating_sub(back);
            let gone: BTreeSet<AnchorId> = ended(&there, newest, oldest).into_iter().collect();
            let left: BTreeSet<AnchorId> = there.difference(&gone).copied().collect();
            prop_assert!(left.contains(&newest));
            for time in oldest..=newest.at_unix_ms + 10 {
                prop_assert_eq!(taken(&there, time), taken(&left, time), "{}", time);
            }
            // Of each chain one is left at most, and of what ended before that time no more than one.
            let chains: BTreeSet<ChainId> = left.iter().map(AnchorId::chain).collect();
            prop_assert_eq!(chains.len(), left.len());
            let past = left.iter().filter(|id| id.at_unix_ms <= oldest).count();
            prop_assert!(past <= 1, "{past}");
            prop_assert!(ended(&left, newest, oldest).is_empty());
        }

        #[test]
        fn of_what_is_older_than_a_day_one_chain_of_each_day_is_left(hours in prop::collection::vec(1..40_u64, 1..60)) {
            let (mut there, mut now) = (BTreeSet::new(), 10 * DAY_MS);
            for hours in hours {
                let begun = now;
                now += hours * 3_600_000;
                there.insert(AnchorId { generation: 1, revision: now, at_unix_ms: now - 1, snapshot: begun });
            }
            let newest = *there.last().unwrap();
            let gone: BTreeSet<AnchorId> = ended(&there, newest, 0).into_iter().collect();
            let left: BTreeSet<AnchorId> = there.difference(&gone).copied().collect();
            let day_ago = newest.at_unix_ms - DAY_MS;
            for id in &there {
                // The last day as it was, and of each day before its last point.
                prop_assert!(id.at_unix_ms <= day_ago || left.contains(id));
                let is_of_day = |other: &&AnchorId| other.at_unix_ms / DAY_MS == id.at_unix_ms / DAY_MS;
                prop_assert!(left.iter().filter(is_of_day).any(|other| other >= id));
            }
            for time in (day_ago..newest.at_unix_ms).step_by(600_000) {
                prop_assert_eq!(taken(&there, time), taken(&left, time), "{}", time);
            }
            let old = left.iter().filter(|id| id.at_unix_ms <= day_ago);
            let days: BTreeSet<u64> = old.clone().map(|id| id.at_unix_ms / DAY_MS).collect();
            prop_assert!(old.count() <= days.len() + 1);
        }

        #[test]
        fn pieces_that_an_anchor_leads_to_stay(ids in history(), back in 0..400_u64) {
            let there: BTreeSet<AnchorId> = ids.iter().copied().collect();
            let newest = *ids.last().unwrap();
            let gone: BTreeSet<AnchorId> =
                ended(&there, newest, newest.at_unix_ms.saturating_sub(back)).into_iter().collect();
            let left: BTreeSet<AnchorId> = there.difference(&gone).copied().collect();
            let pieces: BTreeSet<ChainId> = there.iter().map(AnchorId::chain).collect();
            let let_go: BTreeSet<ChainId> = let_go(&pieces, &left, newest).into_iter().collect();
            let led_to: BTreeSet<ChainId> = left.iter().map(AnchorId::chain).collect();
            prop_assert!(let_go.is_disjoint(&led_to));
            prop_assert_eq!(let_go.union(&led_to).copied().collect::<BTreeSet<_>>(), pieces);
        }
    }

    #[test]
    fn what_is_newer_than_the_newest_whole_one_stays() {
        let id = |generation, at_unix_ms| AnchorId { generation, revision: 5, at_unix_ms, snapshot: 1 };
        let (old, newest, later) = (id(1, 10), id(2, 20), id(3, 5));
        let there = BTreeSet::from([old, newest, later]);
        assert_eq!(ended(&there, newest, 30), [old]);
        assert_eq!(ended(&there, newest, 15), []);
        let pieces = BTreeSet::from([old.chain(), newest.chain(), later.chain()]);
        assert_eq!(let_go(&pieces, &BTreeSet::new(), newest), [old.chain()]);
    }
}
