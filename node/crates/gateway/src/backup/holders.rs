//! Who keeps the anchor of a backup.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use datamesh_catalog::backup::Anchor;
use datamesh_exchange::anchor::AnchorId;
use datamesh_exchange::message::{Refusal, Request, Response};
use datamesh_placement::Layout;
use datamesh_shard::{PeerKey, PoolName, ZoneName};
use futures::StreamExt;

use super::proof::{Given, Opener};
use crate::pools::Pools;

/// Members of a pool that keep an anchor at most: as many as lose it only with all else.
const HOLDERS_MAX: usize = 16;
/// Patience with one of them.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The same before a gateway serves.
const AT_START: Duration = Duration::from_secs(1);
/// Asked at the same time.
const ASKED_AT_ONCE: usize = 64;

/// Why an anchor does not count as kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeepError {
    #[error(
        "a catalog of generation {0} was restored from a backup in place of this one: this gateway ends; give it an empty \
         volume, or remove it"
    )]
    Superseded(u64),
    #[error("only {kept} nodes keep its anchor, and {enough} must: {last}")]
    TooFew {
        /// Nodes that said so.
        kept: usize,
        /// m + 1.
        enough: usize,
        /// What the last of the others said.
        last: String,
    },
}

/// What holders say.
pub(super) struct Heard {
    /// The newest anchor that proves itself.
    pub(super) newest: Option<(AnchorId, Anchor)>,
    /// Where there is none: how many of those that count have not said so.
    pub(super) silent: usize,
}

/// Who shall keep an anchor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Holders {
    /// Of the pool that has the backup: these count.
    pub(super) own: Vec<PeerKey>,
    /// Of other pools, as far as they answer: whoever restores may hear of one pool alone.
    pub(super) others: Vec<PeerKey>,
}

impl Holders {
    /// For a backup in this pool.
    pub(super) fn of(pools: &Pools, place: &PoolName) -> Self {
        let mut holders = Self::default();
        for (name, pool) in pools.all() {
            let of_pool = pool.layout().map(of).unwrap_or_default();
            if name == *place { holders.own = of_pool } else { holders.others.extend(of_pool) }
        }
        holders
    }

    pub(super) fn all(&self) -> impl Iterator<Item = PeerKey> {
        self.own.iter().chain(&self.others).copied()
    }

    /// Has them keep an anchor; at least `enough` of those that count, or it does not.
    pub(super) async fn keep(
        &self,
        opener: &Opener,
        (id, sealed): (AnchorId, Bytes),
        enough: usize,
    ) -> Result<(), KeepError> {
        let own: BTreeSet<&PeerKey> = self.own.iter().collect();
        let telling = futures::stream::iter(self.all()).map(|peer| {
            let request = Request::KeepAnchor { id, sealed: sealed.clone() };
            async move { (peer, opener.net.request(&peer, request, None, TIMEOUT).await) }
        });
        let answers: Vec<_> = telling.buffer_unordered(ASKED_AT_ONCE).collect().await;
        let (mut kept, mut last) = (0, "the pool has too few members".to_owned());
        for (peer, answer) in answers {
            match answer {
                Ok((Response::Done, _)) => kept += usize::from(own.contains(&peer)),
                Ok((Response::Refused(Refusal::Superseded { by }), _)) => {
                    if by.generation > id.generation
                        && let Given::Proven(_) = opener.ask(&peer, &by, TIMEOUT).await
                    {
                        return Err(KeepError::Superseded(by.generation));
                    }
                    last = format!("{peer} says that it keeps a later catalog's, and does not prove it");
                }
                Ok((Response::Refused(refusal), _)) => last = refusal.to_string(),
                Ok(_) => "an answer to something else".clone_into(&mut last),
                Err(error) => last = error.to_string(),
            }
        }
        if kept >= enough { Ok(()) } else { Err(KeepError::TooFew { kept, enough, last }) }
    }

    /// What they say of anchors. Whoever has claimed one that does not prove itself is not asked again.
    pub(super) async fn newest(&self, opener: &Opener) -> Heard {
        let asking = futures::stream::iter(self.all())
            .map(|peer| async move { (peer, opener.list(&peer, TIMEOUT).await) });
        let listed: Vec<_> = asking.buffer_unordered(ASKED_AT_ONCE).collect().await;
        let (mut claims, mut silent) = (Vec::new(), BTreeSet::new());
        for (peer, ids) in listed {
            match ids {
                Some(ids) => claims.extend(ids.into_iter().map(|id| (id, peer))),
                None => drop(silent.insert(peer)),
            }
        }
        claims.sort_unstable_by(|one: &(AnchorId, PeerKey), other| other.cmp(one));
        let mut doubted = BTreeSet::new();
        for (id, peer) in claims {
            if doubted.contains(&peer) {
                continue;
            }
            match opener.ask(&peer, &id, TIMEOUT).await {
                Given::Proven(anchor) => return Heard { newest: Some((id, *anchor)), silent: 0 },
                Given::Unproven => drop(doubted.insert(peer)),
                Given::Away => {
                    doubted.insert(peer);
                    silent.insert(peer);
                }
            }
        }
        let silent = self.own.iter().filter(|peer| silent.contains(peer)).count();
        Heard { newest: None, silent }
    }

    /// Whether one of them proves that a catalog of a later generation was here. Each is taken at its word as it comes: others that
    /// do not answer hold nothing up.
    pub(super) async fn know_later(&self, opener: &Opener, generation: u64) -> Option<u64> {
        let asking = futures::stream::iter(self.all()).map(|peer| async move {
            let newest = opener.list(&peer, AT_START).await?.into_iter().max()?;
            let is_later = newest.generation > generation
                && matches!(opener.ask(&peer, &newest, AT_START).await, Given::Proven(_));
            is_later.then_some(newest.generation)
        });
        let mut later = asking.buffer_unordered(ASKED_AT_ONCE).filter_map(std::future::ready).boxed();
        later.next().await
    }
}

/// The members of a pool that keep anchors: the first of each zone, then the second of each, and so on.
fn of(layout: &Layout) -> Vec<PeerKey> {
    let mut ranks: BTreeMap<&ZoneName, usize> = BTreeMap::new();
    let mut ranked: Vec<(usize, PeerKey)> = Vec::new();
    for member in layout.staying() {
        let rank = ranks.entry(&member.zone).or_default();
        ranked.push((*rank, member.peer));
        *rank += 1;
    }
    // Members of one rank stay in the order of their names.
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().take(HOLDERS_MAX).map(|(_, peer)| peer).collect()
}

#[cfg(test)]
mod tests {
    use datamesh_placement::Member;
    use datamesh_shard::{Epoch, ErasureProfile, NodeName};

    use super::*;

    fn layout(members: u8, zones: u8) -> Layout {
        let member = |n: u8| Member {
            node: NodeName::new(&format!("n{n:03}")).unwrap(),
            peer: PeerKey([n; 32]),
            zone: ZoneName::new(&format!("z{}", n % zones)).unwrap(),
            capacity_bytes: 1,
            draining: n == 1,
        };
        Layout {
            cluster: NodeName::new("c").unwrap(),
            pool: "main".parse().unwrap(),
            profile: ErasureProfile::new(2, 1).unwrap(),
            earlier: Vec::new(),
            epoch: Epoch(1),
            partitions_log2: 10,
            members: (0..members).map(member).collect(),
            holders: Vec::new(),
        }
    }

    #[test]
    fn holders_are_of_all_zones_and_none_drains() {
        let few = of(&layout(6, 3));
        assert_eq!(few.len(), 5);
        assert!(!few.contains(&PeerKey([1; 32])));
        let many = of(&layout(100, 4));
        assert_eq!(many.len(), HOLDERS_MAX);
        for zone in 0..4 {
            assert_eq!(many.iter().filter(|peer| peer.0[0] % 4 == zone).count(), 4);
        }
    }
}
