//! What a pool's next layout is, from what is wanted and who has joined. Pure.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use datamesh_placement::{Layout, LayoutError, Member};
use datamesh_settings::admin::{
    DesiredMember, PoolSpec, RECODE_BYTES_PER_SECOND_MIN, RecodeSpec, SCRUB_BYTES_PER_SECOND_MIN,
    SCRUB_PERIOD_SECONDS_MAX, SCRUB_PERIOD_SECONDS_MIN, ScrubSpec,
};
use datamesh_shard::limits::POOL_MEMBERS_MAX;
use datamesh_shard::{Epoch, ErasureProfile, NodeName, PeerKey, PoolName, ZoneName};

/// What is to be done about a pool's layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// These desired members have not joined yet; what is committed stays.
    Wait(Vec<NodeName>),
    /// What is committed is what is wanted.
    Keep,
    /// This is to be committed, with the holders that follow from the layout before.
    Commit(Layout),
}

/// What is wanted of a pool, and what is known of its members.
pub(crate) struct Wish<'a> {
    /// What the administrator wants.
    pub(crate) spec: &'a PoolSpec,
    /// Members that shall give their shards away.
    pub(crate) drains: &'a BTreeSet<NodeName>,
    /// Who has joined, with which key.
    pub(crate) joined: &'a BTreeMap<NodeName, PeerKey>,
    /// Those of the current layout's draining members that have nothing any more, and take nothing.
    pub(crate) drained: &'a BTreeSet<NodeName>,
    /// Those of the current layout's members whose volume an administrator gave up for lost, and which are away: their name
    /// has another key by now, or none.
    pub(crate) lost: &'a BTreeSet<NodeName>,
    /// Profiles of the current layout of which nothing is left, not even something that waits to be deleted.
    pub(crate) empty: &'a BTreeSet<ErasureProfile>,
    /// Binary logarithm of the number of partitions, where it does not follow from the number of members.
    pub(crate) partitions_log2: Option<u8>,
}

/// The next step of a pool whose newest committed layout is `current`.
///
/// A member that shall drain, or is not wanted any more, is drained first, and left out when it has nothing any more, or was
/// given up for lost.
/// Members that join wait for one another, so that data moves once for all of them; nothing else waits for them.
pub(crate) fn step(cluster: &NodeName, pool: &PoolName, wish: &Wish<'_>, current: Option<&Layout>) -> Step {
    let missing: Vec<_> = concerned(wish, current)
        .map(|(desired, _)| desired.node.clone())
        .filter(|node| !wish.joined.contains_key(node))
        .collect();
    let members = members(wish, current, missing.is_empty());
    let earlier = earlier(wish.spec, current, wish.empty);
    // With what it has a pool goes on where its number is fixed, even by less.
    let partitions_log2 = match (wish.partitions_log2, current) {
        (Some(fixed), current) => fixed.max(current.map_or(0, |current| current.partitions_log2)),
        (None, None) => Layout::partitions_log2_for(wish.spec.erasure, members.len()),
        (None, Some(current)) => {
            Layout { profile: wish.spec.erasure, earlier: earlier.clone(), ..current.clone() }
                .split_log2_for(members.iter().filter(|member| !member.draining).count())
        }
    };
    let next = Layout {
        cluster: cluster.clone(),
        pool: pool.clone(),
        profile: wish.spec.erasure,
        earlier,
        epoch: current.map_or(Epoch(1), |current| current.epoch),
        partitions_log2,
        members,
        holders: Vec::new(),
    };
    let needed = next.profiles().map(ErasureProfile::total).max().unwrap_or_default();
    let is_enough = next.staying().count() >= needed;
    match current {
        _ if !is_enough => Step::Wait(missing),
        None => Step::Commit(next),
        Some(current) if *current == next && !missing.is_empty() => Step::Wait(missing),
        Some(current) if *current == next => Step::Keep,
        Some(current) => Step::Commit(Layout { epoch: current.epoch.next(), ..next }),
    }
}

/// Profiles of the layout that are not wanted any more and not empty, the one before the wanted one first.
fn earlier(
    spec: &PoolSpec,
    current: Option<&Layout>,
    empty: &BTreeSet<ErasureProfile>,
) -> Vec<ErasureProfile> {
    let known = current.into_iter().flat_map(Layout::profiles);
    known.filter(|profile| *profile != spec.erasure && !empty.contains(profile)).collect()
}

/// Wanted members, each with what it is in the layout. Without those that shall drain and are in none: they have nothing.
fn concerned<'a>(
    wish: &'a Wish<'_>,
    current: Option<&'a Layout>,
) -> impl Iterator<Item = (&'a DesiredMember, Option<&'a Member>)> {
    let known = move |node: &NodeName| current.and_then(|layout| layout.member(node));
    let wanted = wish.spec.members.iter().map(move |desired| (desired, known(&desired.node)));
    wanted.filter(|(desired, known)| known.is_some() || !wish.drains.contains(&desired.node))
}

/// The members of the next layout, sorted; new ones only where all have joined.
fn members(wish: &Wish<'_>, current: Option<&Layout>, all_joined: bool) -> Vec<Member> {
    let has_nothing = |node: &NodeName| wish.drained.contains(node) || wish.lost.contains(node);
    let is_gone = |member: &Member| member.draining && has_nothing(&member.node);
    let wanted = concerned(wish, current).filter_map(|(desired, known)| {
        let draining = wish.drains.contains(&desired.node);
        if draining && known.is_some_and(is_gone) || known.is_none() && !all_joined {
            return None;
        }
        // By its old key until it has another: it may come back with it.
        let peer = wish.joined.get(&desired.node).copied().or(known.map(|known| known.peer))?;
        let DesiredMember { node, zone, capacity_bytes } = desired.clone();
        Some(Member { node, peer, zone, capacity_bytes, draining })
    });
    let leaving = unwanted(wish.spec, current).filter(|member| !is_gone(member));
    let leaving = leaving.map(|member| Member { draining: true, ..member.clone() });
    let mut members: Vec<_> = wanted.chain(leaving).collect();
    members.sort_by(|a, b| a.node.cmp(&b.node));
    members
}

/// Members of the layout that nobody wants any more.
fn unwanted<'a>(spec: &'a PoolSpec, current: Option<&'a Layout>) -> impl Iterator<Item = &'a Member> {
    let members = current.map_or(&[][..], |layout| &layout.members).iter();
    members.filter(|member| spec.member(&member.node).is_none())
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
    /// Data of too many profiles.
    #[error(
        "the pool still has data as {}; with {new} that would be too many at once. Set recode.enabled and wait until one of them is \
         gone, or set erasure back",
        .old.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and as ")
    )]
    Erasure {
        /// As the data is.
        old: Vec<ErasureProfile>,
        /// As it was asked for.
        new: ErasureProfile,
    },
    /// A table too large.
    #[error(
        "the pool has too many members for data as {old} and as {new} at once: choose an erasure with fewer shards"
    )]
    TooWide {
        /// As the data is.
        old: ErasureProfile,
        /// As it was asked for.
        new: ErasureProfile,
    },
    /// Coding anew that would never end.
    #[error("recode: maxBytesPerSecond is {:?}: write at least {RECODE_BYTES_PER_SECOND_MIN} bytes a second, or nothing", .0.max_bytes_per_second)]
    Recode(RecodeSpec),
    /// Too few members would be left that do not drain.
    #[error(
        "{staying} members would stay when {draining} are drained, and {erasure} needs {}: add members first, or drain fewer",
        erasure.total()
    )]
    TooFewStay {
        /// Members that would stay.
        staying: usize,
        /// Members that would drain.
        draining: usize,
        /// For this.
        erasure: ErasureProfile,
    },
    /// A scrub that would read all the time, or never end.
    #[error(
        "scrub: periodSeconds is {} and maxBytesPerSecond {:?}: write {SCRUB_PERIOD_SECONDS_MIN} to {SCRUB_PERIOD_SECONDS_MAX} \
         seconds, and at least {SCRUB_BYTES_PER_SECOND_MIN} bytes a second or nothing",
        .0.period_seconds,
        .0.max_bytes_per_second
    )]
    Scrub(ScrubSpec),
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
            | Self::TooFewStay { .. }
            | Self::Zone { .. } => "members",
            Self::AckShards { .. } => "ackShards",
            Self::Erasure { .. } | Self::TooWide { .. } => "erasure",
            Self::Recode(_) => "recode",
            Self::Scrub(_) => "scrub",
        }
    }

    /// Whether it is about data that is there, not about the document itself.
    pub(crate) fn is_in_use(&self) -> bool {
        matches!(
            self,
            Self::Erasure { .. } | Self::TooWide { .. } | Self::TooFewStay { .. } | Self::Zone { .. }
        )
    }
}

/// What the administrator says of acknowledgements, where this profile is the one it is said of.
pub(crate) fn asked_acks(spec: &PoolSpec, profile: ErasureProfile) -> Option<u8> {
    spec.ack_shards.filter(|_| spec.erasure == profile)
}

/// Shards of a segment of this profile that must be durable for an acknowledgement after the tail deadline.
pub(crate) fn ack_shards(spec: &PoolSpec, profile: ErasureProfile) -> u8 {
    asked_acks(spec, profile).unwrap_or(profile.data() + 1)
}

/// Checks a wish by itself and against the layout that holds data, but in profiles of which nothing is left.
pub(crate) fn check(
    spec: &PoolSpec,
    drains: &BTreeSet<NodeName>,
    (current, empty): (Option<&Layout>, &BTreeSet<ErasureProfile>),
) -> Result<(), SpecError> {
    let erasure = spec.erasure;
    if !(erasure.total()..=POOL_MEMBERS_MAX).contains(&spec.members.len()) {
        return Err(SpecError::Members { members: spec.members.len(), erasure });
    }
    let all = spec.members.len() + unwanted(spec, current).count();
    if all > POOL_MEMBERS_MAX {
        return Err(SpecError::Members { members: all, erasure });
    }
    let draining = spec.members.iter().filter(|member| drains.contains(&member.node)).count();
    let staying = spec.members.len() - draining;
    let all = std::iter::once(erasure).chain(earlier(spec, current, empty));
    if let Some(erasure) =
        all.filter(|profile| staying < profile.total()).max_by_key(|profile| profile.total())
    {
        return Err(SpecError::TooFewStay { staying, draining, erasure });
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
    if !spec.scrub.is_within_limits() {
        return Err(SpecError::Scrub(spec.scrub));
    }
    if !spec.recode.is_within_limits() {
        return Err(SpecError::Recode(spec.recode));
    }
    current.map_or(Ok(()), |current| check_change(spec, current, empty))
}

fn check_change(
    spec: &PoolSpec,
    current: &Layout,
    empty: &BTreeSet<ErasureProfile>,
) -> Result<(), SpecError> {
    if spec.erasure != current.profile {
        let next = Layout {
            profile: spec.erasure,
            earlier: earlier(spec, Some(current), empty),
            holders: Vec::new(),
            ..current.clone()
        };
        let new = spec.erasure;
        match next.check_profiles() {
            Err(LayoutError::Profiles(_)) => return Err(SpecError::Erasure { old: next.earlier, new }),
            Err(LayoutError::Slots(_)) => return Err(SpecError::TooWide { old: current.profile, new }),
            // Members that are wanted and have not joined yet are waited for.
            _ => {}
        }
    }
    let desired: BTreeMap<_, _> = spec.members.iter().map(|member| (&member.node, &member.zone)).collect();
    for member in &current.members {
        let zone = desired.get(&member.node).copied();
        if let Some(new) = zone.filter(|zone| **zone != member.zone) {
            let (old, new) = (member.zone.clone(), new.clone());
            return Err(SpecError::Zone { node: member.node.clone(), old, new });
        }
    }
    Ok(())
}
