//! What a pool's next layout is, from what is wanted and who has joined. Pure.

use std::collections::{BTreeMap, BTreeSet};

use datamesh_placement::{Layout, Member};
use datamesh_settings::admin::PoolSpec;
use datamesh_shard::limits::POOL_MEMBERS_MAX;
use datamesh_shard::{Epoch, ErasureProfile, NodeName, PeerKey, PoolName, ZoneName};

/// What is to be done about a pool's layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// These desired members have not joined yet; what is committed stays.
    Wait(Vec<NodeName>),
    /// What is committed is what is wanted.
    Keep,
    /// This is to be committed.
    Commit(Layout),
}

/// The next step of a pool whose newest committed layout is `current`.
pub(crate) fn step(
    cluster: &NodeName,
    pool: &PoolName,
    spec: &PoolSpec,
    joined: &BTreeMap<NodeName, PeerKey>,
    current: Option<&Layout>,
) -> Step {
    let missing: Vec<_> = spec
        .members
        .iter()
        .map(|member| &member.node)
        .filter(|node| !joined.contains_key(node))
        .cloned()
        .collect();
    if !missing.is_empty() {
        return Step::Wait(missing);
    }
    let mut members: Vec<_> = spec
        .members
        .iter()
        .filter_map(|desired| {
            Some(Member {
                node: desired.node.clone(),
                peer: *joined.get(&desired.node)?,
                zone: desired.zone.clone(),
                capacity_bytes: desired.capacity_bytes,
            })
        })
        .collect();
    members.sort_by(|a, b| a.node.cmp(&b.node));
    // Another number is another table: nearly all data would move.
    let partitions_log2 = current.map_or_else(
        || Layout::partitions_log2_for(spec.erasure, members.len()),
        |current| current.partitions_log2,
    );
    let next = Layout {
        cluster: cluster.clone(),
        pool: pool.clone(),
        profile: spec.erasure,
        epoch: current.map_or(Epoch(1), |current| current.epoch),
        partitions_log2,
        members,
    };
    match current {
        None => Step::Commit(next),
        Some(current) if *current == next => Step::Keep,
        Some(current) => Step::Commit(Layout { epoch: current.epoch.next(), ..next }),
    }
}

/// Why a pool cannot be as the administrator wants it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// Too few members, or too many.
    #[error("{members} members are too few for {erasure}: at least {} are needed, at most {POOL_MEMBERS_MAX} allowed", erasure.total())]
    Members {
        /// How many.
        members: usize,
        /// For this.
        erasure: ErasureProfile,
    },
    /// A member twice.
    #[error("member {0} is named twice")]
    Twice(NodeName),
    /// A member without room.
    #[error("member {0} has no capacity")]
    NoCapacity(NodeName),
    /// Acknowledgements that would be worth nothing, or never come.
    #[error(
        "ackShards is {ack}, but {erasure} needs {least} to {}: fewer would acknowledge data that one more loss destroys",
        erasure.total()
    )]
    AckShards {
        /// Shards asked for.
        ack: u8,
        /// Shards that are needed.
        least: usize,
        /// Of these.
        erasure: ErasureProfile,
    },
    /// Data cannot be coded anew.
    #[error("the pool holds data as {old}; it cannot become {new}. Make another pool for new data")]
    Erasure {
        /// As the data is.
        old: ErasureProfile,
        /// As it was asked for.
        new: ErasureProfile,
    },
    /// Members that hold data are missing.
    #[error(
        "members {0} still hold data. Moving data away (drain) comes with a later version; keep them for now"
    )]
    Removed(String),
    /// A member that holds data is said to stand elsewhere.
    #[error("member {node} stands in zone {old} and holds data; it cannot be moved to {new}")]
    Zone {
        /// The member.
        node: NodeName,
        /// Where it stands.
        old: ZoneName,
        /// Where it is said to stand.
        new: ZoneName,
    },
}

impl SpecError {
    /// The field of the document that is wrong.
    pub(crate) fn field(&self) -> &'static str {
        match self {
            Self::Members { .. }
            | Self::Twice(_)
            | Self::NoCapacity(_)
            | Self::Removed(_)
            | Self::Zone { .. } => "members",
            Self::AckShards { .. } => "ackShards",
            Self::Erasure { .. } => "erasure",
        }
    }

    /// Whether it is about data that is there, not about the document itself.
    pub(crate) fn is_in_use(&self) -> bool {
        matches!(self, Self::Erasure { .. } | Self::Removed(_) | Self::Zone { .. })
    }
}

/// Shards that must be durable for an acknowledgement after the tail deadline.
pub(crate) fn ack_shards(spec: &PoolSpec) -> u8 {
    spec.ack_shards.unwrap_or(spec.erasure.data() + 1)
}

/// Checks a wish by itself and against the layout that holds data.
pub(crate) fn check(spec: &PoolSpec, current: Option<&Layout>) -> Result<(), SpecError> {
    let erasure = spec.erasure;
    if !(erasure.total()..=POOL_MEMBERS_MAX).contains(&spec.members.len()) {
        return Err(SpecError::Members { members: spec.members.len(), erasure });
    }
    let mut seen = BTreeSet::new();
    for member in &spec.members {
        if !seen.insert(&member.node) {
            return Err(SpecError::Twice(member.node.clone()));
        }
        if member.capacity_bytes == 0 {
            return Err(SpecError::NoCapacity(member.node.clone()));
        }
    }
    if let Some(ack) = spec.ack_shards {
        // One parity shard leaves no room between "whole" and "one more loss is fatal": k may be asked for explicitly.
        let least = if erasure.m() == 1 { erasure.k() } else { erasure.k() + 1 };
        if !(least..=erasure.total()).contains(&usize::from(ack)) {
            return Err(SpecError::AckShards { ack, least, erasure });
        }
    }
    current.map_or(Ok(()), |current| check_change(spec, current))
}

fn check_change(spec: &PoolSpec, current: &Layout) -> Result<(), SpecError> {
    if spec.erasure != current.profile {
        return Err(SpecError::Erasure { old: current.profile, new: spec.erasure });
    }
    let desired: BTreeMap<_, _> = spec.members.iter().map(|member| (&member.node, &member.zone)).collect();
    let removed: Vec<_> = current
        .members
        .iter()
        .filter(|m| !desired.contains_key(&m.node))
        .map(|m| m.node.to_string())
        .collect();
    if !removed.is_empty() {
        return Err(SpecError::Removed(removed.join(", ")));
    }
    for member in &current.members {
        let zone = desired.get(&member.node).copied();
        if let Some(new) = zone.filter(|zone| **zone != member.zone) {
            let (old, new) = (member.zone.clone(), new.clone());
            return Err(SpecError::Zone { node: member.node.clone(), old, new });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use datamesh_settings::admin::DesiredMember;
    use datamesh_shard::Cipher;

    use super::*;

    fn name(n: usize) -> NodeName {
        NodeName::new(&format!("n{n}")).unwrap()
    }

    fn spec(members: usize) -> PoolSpec {
        let member = |n| DesiredMember {
            node: name(n),
            zone: ZoneName::new(&format!("z{}", n % 3)).unwrap(),
            capacity_bytes: 1 << 30,
        };
        PoolSpec {
            erasure: ErasureProfile::new(4, 2).unwrap(),
            cipher: Cipher::default(),
            ack_shards: None,
            members: (0..members).map(member).collect(),
        }
    }

    fn joined(members: usize) -> BTreeMap<NodeName, PeerKey> {
        (0..members).map(|n| (name(n), PeerKey([u8::try_from(n).unwrap(); 32]))).collect()
    }

    fn next(spec: &PoolSpec, joined: &BTreeMap<NodeName, PeerKey>, current: Option<&Layout>) -> Step {
        step(&NodeName::new("c").unwrap(), &PoolName::new("p").unwrap(), spec, joined, current)
    }

    fn committed(step: Step) -> Layout {
        let Step::Commit(layout) = step else { panic!("{step:?}") };
        layout
    }

    #[test]
    fn the_first_epoch_waits_for_all_and_growth_makes_the_next() {
        assert_eq!(next(&spec(6), &joined(4), None), Step::Wait(vec![name(4), name(5)]));
        let first = committed(next(&spec(6), &joined(6), None));
        assert_eq!((first.epoch, first.partitions_log2, first.members.len()), (Epoch(1), 10, 6));
        assert_eq!(next(&spec(6), &joined(9), Some(&first)), Step::Keep);
        assert_eq!(next(&spec(7), &joined(6), Some(&first)), Step::Wait(vec![name(6)]));
        let second = committed(next(&spec(7), &joined(7), Some(&first)));
        assert_eq!((second.epoch, second.members.len()), (Epoch(2), 7));
        let mut larger = spec(7);
        larger.members[3].capacity_bytes *= 2;
        assert_eq!(committed(next(&larger, &joined(7), Some(&second))).epoch, Epoch(3));
    }

    #[test]
    fn a_pool_keeps_its_partitions_as_it_grows() {
        let first = committed(next(&spec(6), &joined(6), None));
        let grown = committed(next(&spec(200), &joined(200), Some(&first)));
        assert_eq!((first.partitions_log2, grown.partitions_log2), (10, 10));
        assert_eq!(committed(next(&spec(200), &joined(200), None)).partitions_log2, 15);
    }

    #[test]
    fn wrong_wishes_name_their_field() {
        let of = |change: fn(&mut PoolSpec)| {
            let mut wish = spec(6);
            change(&mut wish);
            check(&wish, None).unwrap_err().field()
        };
        assert_eq!(check(&spec(6), None), Ok(()));
        assert_eq!(of(|s| s.members.truncate(5)), "members");
        assert_eq!(of(|s| s.members[1].node = s.members[0].node.clone()), "members");
        assert_eq!(of(|s| s.members[1].capacity_bytes = 0), "members");
        assert_eq!(of(|s| s.ack_shards = Some(4)), "ackShards");
        assert_eq!(of(|s| s.ack_shards = Some(7)), "ackShards");
    }

    #[test]
    fn data_that_is_there_limits_what_can_change() {
        let layout = committed(next(&spec(7), &joined(7), None));
        let of = |change: fn(&mut PoolSpec)| {
            let mut wish = spec(7);
            change(&mut wish);
            let error = check(&wish, Some(&layout)).unwrap_err();
            assert!(error.is_in_use());
            error.to_string()
        };
        assert_eq!(check(&spec(8), Some(&layout)), Ok(()));
        assert!(of(|s| drop(s.members.pop())).contains("members n6 still hold data"));
        assert!(of(|s| s.erasure = ErasureProfile::new(3, 2).unwrap()).contains("cannot become 3+2"));
        assert!(of(|s| s.members[0].zone = ZoneName::new("z9").unwrap()).contains("stands in zone z0"));
    }
}
