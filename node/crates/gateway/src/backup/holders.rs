//! Who keeps the anchor of a backup.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use datamesh_exchange::anchor::AnchorId;
use datamesh_exchange::message::{Refusal, Request, Response};
use datamesh_exchange::net::Net;
use datamesh_placement::Layout;
use datamesh_shard::{Incarnation, PeerKey, ZoneName};
use futures::StreamExt;

/// Members that keep an anchor at most: as many as lose it only with all else.
const HOLDERS_MAX: usize = 16;
/// Patience with one of them.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Why an anchor does not count as kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeepError {
    #[error(
        "a catalog of incarnation {0} was restored from a backup in place of this one: this gateway ends; give it an empty \
         volume, or remove it"
    )]
    Superseded(Incarnation),
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

/// The members of a pool that keep its anchors: the first of each zone, then the second of each, and so on.
pub(super) fn of(layout: &Layout) -> Vec<PeerKey> {
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

/// Has them keep an anchor; at least `enough` of them, or it does not count.
pub(super) async fn keep(
    net: &Arc<dyn Net>,
    holders: Vec<PeerKey>,
    (id, sealed): (AnchorId, Bytes),
    enough: usize,
) -> Result<(), KeepError> {
    let telling = futures::stream::iter(holders).map(|peer| {
        let request = Request::KeepAnchor { id, sealed: sealed.clone() };
        async move { net.request(&peer, request, None, TIMEOUT).await }
    });
    let answers: Vec<_> = telling.buffer_unordered(HOLDERS_MAX).collect().await;
    let (mut kept, mut last) = (0, "the pool has too few members".to_owned());
    for answer in answers {
        match answer {
            Ok((Response::Done, _)) => kept += 1,
            Ok((Response::Refused(Refusal::Superseded { by }), _)) => return Err(KeepError::Superseded(by)),
            Ok((Response::Refused(refusal), _)) => last = refusal.to_string(),
            Ok(_) => "an answer to something else".clone_into(&mut last),
            Err(error) => last = error.to_string(),
        }
    }
    if kept >= enough { Ok(()) } else { Err(KeepError::TooFew { kept, enough, last }) }
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
