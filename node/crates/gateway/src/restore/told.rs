//! What the nodes say of backups, and when that suffices.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use datamesh_exchange::anchor::AnchorId;
use datamesh_placement::{Layout, SignedLayout};
use datamesh_shard::{PeerKey, PoolName};

/// Nodes have so long to come, in any case: those of a pool that nobody has spoken of yet may keep the newest backup.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Once so long has passed, m members of a pool may be missing: each backup's anchor is kept by m + 1 at least.
const PATIENCE_WITH_MISSING: Duration = Duration::from_secs(60);
/// Where the newest copy is asked for and no node that knows a layout has come by then, the mesh is gone: after a power cut, disks are checked
/// and images fetched first. Whoever names a time knows that it is.
const PATIENCE_WITHOUT_MESH: Duration = Duration::from_secs(600);

/// For people who know that a pool will not come back.
pub(super) const BY_TIME: &str = "; if they are lost for good, ask for a time instead of the newest";

/// What a node said.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// Anchors it keeps.
    pub(crate) anchors: Vec<AnchorId>,
    /// The newest layout it knows of its pool; the signature is proven.
    pub(crate) layout: Option<(Layout, SignedLayout)>,
}

/// Whether to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Enough {
    Yes,
    /// For what is waited.
    NotYet(String),
}

/// The newest layout of each pool.
pub(crate) fn layouts(told: &BTreeMap<PeerKey, Told>) -> BTreeMap<&PoolName, &(Layout, SignedLayout)> {
    let mut newest: BTreeMap<&PoolName, &(Layout, SignedLayout)> = BTreeMap::new();
    for said in told.values().filter_map(|told| told.layout.as_ref()) {
        let known = newest.entry(&said.0.pool).or_insert(said);
        if known.0.epoch < said.0.epoch {
            *known = said;
        }
    }
    newest
}

/// All anchors, the newest first, and who keeps each.
pub(crate) fn anchors(told: &BTreeMap<PeerKey, Told>) -> Vec<(AnchorId, Vec<PeerKey>)> {
    let mut all: BTreeMap<AnchorId, Vec<PeerKey>> = BTreeMap::new();
    for (peer, told) in told {
        told.anchors.iter().for_each(|id| all.entry(*id).or_default().push(*peer));
    }
    all.into_iter().rev().collect()
}

/// Whether no newer backup can be known to those who have not answered, or it is time to take what there is. All pools of which a
/// node has answered are waited for; where a time was asked `for_time`, one with backups suffices after a while: a pool may be lost.
pub(crate) fn enough(told: &BTreeMap<PeerKey, Told>, waited: Duration, for_time: bool) -> Enough {
    if told.is_empty() {
        return Enough::NotYet("for the nodes to come: none has joined yet".into());
    }
    let with_anchors: BTreeSet<&PoolName> = told
        .values()
        .filter(|told| !told.anchors.is_empty())
        .filter_map(|told| Some(&told.layout.as_ref()?.0.pool))
        .collect();
    if with_anchors.is_empty() {
        let nodes = told.len();
        return Enough::NotYet(format!("for a node that keeps a backup: {nodes} answered, and none does"));
    }
    if waited < PATIENCE {
        return Enough::NotYet(format!("for more nodes to come: {} have answered", told.len()));
    }
    let (late, mut missing, mut whole) = (waited >= PATIENCE_WITH_MISSING, None, 0);
    for (pool, (layout, _)) in
        layouts(told).into_iter().filter(|(pool, _)| !for_time || with_anchors.contains(pool))
    {
        match away(told, layout, late) {
            None => whole += usize::from(with_anchors.contains(pool)),
            reason => missing = reason,
        }
    }
    match missing {
        None => Enough::Yes,
        // The others keep the same anchors; whether the backup can be read is seen when it is.
        Some(_) if for_time && late && whole > 0 => Enough::Yes,
        Some(missing) if late && !for_time && whole > 0 => Enough::NotYet(format!("{missing}{BY_TIME}")),
        Some(missing) => Enough::NotYet(missing),
    }
}

/// The same where the backup is elsewhere: nodes that are there say whether they keep a newer one, and which layouts they have. Where none
/// comes, or only such as know of no layout, the mesh is gone; one of which a part is there is waited for, but where a time was asked `for_time`.
pub(crate) fn enough_beside(told: &BTreeMap<PeerKey, Told>, waited: Duration, for_time: bool) -> Enough {
    let late = waited >= PATIENCE_WITH_MISSING;
    let without = if for_time { PATIENCE_WITH_MISSING } else { PATIENCE_WITHOUT_MESH };
    let missing = layouts(told).into_values().filter_map(|(layout, _)| away(told, layout, late)).next_back();
    match missing {
        _ if waited < PATIENCE || layouts(told).is_empty() && waited < without => Enough::NotYet(format!(
            "for nodes, should the mesh be there: {} have answered, and {} layouts are known; without any it goes on after {} s",
            told.len(),
            layouts(told).len(),
            without.as_secs()
        )),
        Some(missing) if late && !for_time => Enough::NotYet(format!("{missing}{BY_TIME}")),
        Some(missing) if !late => Enough::NotYet(missing),
        _ => Enough::Yes,
    }
}

/// Which members of a pool are waited for, if any: later no more than m.
fn away(told: &BTreeMap<PeerKey, Told>, layout: &Layout, late: bool) -> Option<String> {
    let (members, may_miss) = (layout.members.len(), usize::from(layout.profile.parity()));
    let here = layout.members.iter().filter(|member| told.contains_key(&member.peer)).count();
    let is_enough = here == members || late && here + may_miss >= members;
    let pool = &layout.pool;
    (!is_enough).then(|| format!("for the nodes of pool {pool}: {here} of {members} have answered"))
}

/// A pool that had a layout when a backup was made, and of which nobody has answered.
pub(crate) fn unheard<'a>(told: &BTreeMap<PeerKey, Told>, pools: &'a [PoolName]) -> Option<&'a PoolName> {
    let heard = layouts(told);
    pools.iter().find(|pool| !heard.contains_key(pool))
}

#[cfg(test)]
mod tests {
    use datamesh_placement::Member;
    use datamesh_shard::{Epoch, ErasureProfile};

    use super::*;

    fn layout(epoch: u64, members: u8) -> (Layout, SignedLayout) {
        let member = |n: u8| Member {
            node: format!("n{n}").parse().unwrap(),
            peer: PeerKey([n; 32]),
            zone: "z".parse().unwrap(),
            capacity_bytes: 1,
            draining: false,
        };
        let layout = Layout {
            cluster: "c".parse().unwrap(),
            pool: "main".parse().unwrap(),
            profile: ErasureProfile::new(4, 2).unwrap(),
            earlier: Vec::new(),
            epoch: Epoch(epoch),
            partitions_log2: 10,
            members: (0..members).map(member).collect(),
            holders: Vec::new(),
        };
        (layout, SignedLayout { bytes: Vec::new(), signature: [0; 64] })
    }

    fn id(revision: u64) -> AnchorId {
        AnchorId { generation: 1, revision, at_unix_ms: revision, snapshot: 1 }
    }

    fn told(nodes: u8, anchors: &[AnchorId]) -> BTreeMap<PeerKey, Told> {
        let told = |_| Told { anchors: anchors.to_vec(), layout: Some(layout(1, 6)) };
        (0..nodes).map(|n| (PeerKey([n; 32]), told(n))).collect()
    }

    #[test]
    fn all_members_are_waited_for_and_after_a_while_all_but_m() {
        assert!(matches!(enough(&told(0, &[]), PATIENCE, false), Enough::NotYet(_)));
        let at_once = enough(&told(6, &[id(1)]), PATIENCE - Duration::from_millis(1), false);
        assert_eq!(at_once, Enough::NotYet("for more nodes to come: 6 have answered".into()));
        assert_eq!(enough(&told(6, &[id(1)]), PATIENCE, false), Enough::Yes);
        let late = PATIENCE_WITH_MISSING;
        let five = enough(&told(5, &[id(1)]), late - Duration::from_millis(1), false);
        assert_eq!(five, Enough::NotYet("for the nodes of pool main: 5 of 6 have answered".into()));
        assert_eq!(enough(&told(4, &[id(1)]), late, false), Enough::Yes);
        assert!(matches!(enough(&told(3, &[id(1)]), late * 100, false), Enough::NotYet(_)));
    }

    #[test]
    fn members_are_those_of_the_newest_layout() {
        let mut seen = told(6, &[id(1)]);
        seen.get_mut(&PeerKey([3; 32])).unwrap().layout = Some(layout(2, 9));
        assert!(matches!(enough(&seen, PATIENCE, false), Enough::NotYet(_)), "it has three more");
        assert_eq!(layouts(&seen).into_values().next().unwrap().0.epoch, Epoch(2));
    }

    #[test]
    fn other_pools_are_waited_for_as_they_may_know_of_newer_ones() {
        let mut seen = told(6, &[id(1)]);
        let (mut archive, signed) = layout(1, 10);
        archive.pool = "archive".parse().unwrap();
        seen.insert(PeerKey([8; 32]), Told { anchors: Vec::new(), layout: Some((archive, signed)) });
        let missing = enough(&seen, PATIENCE, false);
        assert_eq!(missing, Enough::NotYet("for the nodes of pool archive: 7 of 10 have answered".into()));
        assert_eq!(enough(&seen, PATIENCE, true), Enough::Yes, "by an explicit time it may be lost");
        // Nodes of it keep the anchors, too, and most of them are lost.
        seen.get_mut(&PeerKey([8; 32])).unwrap().anchors = vec![id(1)];
        assert!(matches!(enough(&seen, PATIENCE, true), Enough::NotYet(_)));
        assert_eq!(enough(&seen, PATIENCE_WITH_MISSING, true), Enough::Yes);
        let Enough::NotYet(reason) = enough(&seen, PATIENCE_WITH_MISSING, false) else { panic!() };
        assert!(reason.contains("pool archive: 7 of 10") && reason.ends_with(BY_TIME), "{reason}");
        let pools = ["archive", "main", "other"].map(|pool| pool.parse().unwrap());
        assert_eq!(unheard(&seen, &pools), Some(&pools[2]));
        assert_eq!(unheard(&seen, &pools[..2]), None);
    }

    #[test]
    fn without_any_backup_nothing_is_begun() {
        let Enough::NotYet(reason) = enough(&told(6, &[]), PATIENCE * 100, false) else { panic!() };
        assert!(reason.contains("6 answered, and none does"), "{reason}");
    }

    #[test]
    fn beside_copies_a_mesh_may_be_gone_but_not_a_part_of_it() {
        let (soon, late) = (PATIENCE, PATIENCE_WITH_MISSING);
        for for_time in [false, true] {
            assert!(matches!(enough_beside(&told(6, &[]), soon / 2, for_time), Enough::NotYet(_)));
            assert_eq!(enough_beside(&told(6, &[]), soon, for_time), Enough::Yes, "no anchor is needed");
            assert!(matches!(enough_beside(&told(0, &[]), soon, for_time), Enough::NotYet(_)));
            let gone = if for_time { late } else { PATIENCE_WITHOUT_MESH };
            assert!(matches!(enough_beside(&told(0, &[]), gone - soon / 2, for_time), Enough::NotYet(_)));
            assert_eq!(enough_beside(&told(0, &[]), gone, for_time), Enough::Yes);
            assert!(matches!(enough_beside(&told(5, &[]), soon, for_time), Enough::NotYet(_)));
            assert_eq!(enough_beside(&told(4, &[]), late, for_time), Enough::Yes);
        }
        let Enough::NotYet(reason) = enough_beside(&told(3, &[]), late * 100, false) else { panic!() };
        assert!(reason.contains("3 of 6") && reason.ends_with(BY_TIME), "{reason}");
        assert_eq!(enough_beside(&told(3, &[]), late, true), Enough::Yes);
    }

    #[test]
    fn anchors_come_newest_first_with_all_who_keep_them() {
        let mut seen = told(3, &[id(1)]);
        seen.get_mut(&PeerKey([2; 32])).unwrap().anchors = vec![id(1), id(9)];
        let all = anchors(&seen);
        assert_eq!(all.iter().map(|(id, _)| id.revision).collect::<Vec<_>>(), [9, 1]);
        assert_eq!((all[0].1.len(), all[1].1.len()), (1, 3));
    }
}
