//! Who sees whom: every node is asked what it sees of the others, and what follows from it is said.

mod findings;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use datamesh_exchange::message::{Request, Response};
use datamesh_exchange::net::Net;
use datamesh_placement::Member;
use datamesh_settings::admin::ClusterStatus;
use datamesh_settings::mesh::{MeshNode, MeshStatus, MeshView, SeenNode};
use datamesh_shard::{NodeName, PeerKey, PoolName};
use futures::StreamExt;

use crate::pools::Pools;
use crate::surroundings::Surroundings;

/// Patience with one node.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Nodes asked at the same time.
const AT_ONCE: usize = 64;

/// Asks the nodes.
pub(crate) struct MeshSource {
    pub(crate) pools: Arc<Pools>,
    pub(crate) net: Arc<dyn Net>,
    pub(crate) surroundings: Arc<dyn Surroundings>,
}

impl MeshSource {
    /// The mesh now; `status` is the cluster's.
    pub(crate) async fn now(&self, status: &ClusterStatus) -> MeshStatus {
        let mut members = Vec::new();
        for (name, pool) in self.pools.all() {
            let of_pool = pool.layout().map_or(&[][..], |layout| &layout.members);
            members.extend(of_pool.iter().map(|member| (name.clone(), member.clone())));
        }
        let names: BTreeMap<PeerKey, NodeName> =
            members.iter().map(|(_, member)| (member.peer, member.node.clone())).collect();
        let asking = members.into_iter().map(|(pool, member)| self.ask(pool, member, &names));
        let nodes: Vec<MeshNode> = futures::stream::iter(asking).buffered(AT_ONCE).collect().await;
        let findings = findings::of(status, &nodes);
        MeshStatus { gateway: status.gateway.clone(), version: status.version.clone(), nodes, findings }
    }

    async fn ask(&self, pool: PoolName, member: Member, names: &BTreeMap<PeerKey, NodeName>) -> MeshNode {
        let Member { node, peer, zone, .. } = member;
        let asked = self.surroundings.now_unix_ms();
        let answer = self.net.request(&peer, Request::Mesh, None, TIMEOUT).await;
        let answered = self.surroundings.now_unix_ms();
        let view = match answer {
            Ok((Response::Mesh(view), _)) => Some(view),
            _ => None,
        };
        MeshNode {
            pool,
            node,
            zone,
            state: self.pools.state(&peer),
            reached: self.net.sight(&peer),
            version: view.as_ref().map(|view| view.version.clone()),
            clock_ahead_ms: view.as_ref().map(|view| ahead_ms(view, asked, answered)),
            sees: view.map(|view| seen(view, names)),
        }
    }
}

/// Milliseconds a node's clock is ahead for certain. It said whole seconds, at some time between the question and the answer.
fn ahead_ms(view: &MeshView, asked: u64, answered: u64) -> i64 {
    let millis = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    let least = millis(view.now_unix.saturating_mul(1000));
    let most = least.saturating_add(999);
    let (ahead, behind) = (least.saturating_sub(millis(answered)), millis(asked).saturating_sub(most));
    if ahead > 0 { ahead } else { -behind.max(0) }
}

fn seen(view: MeshView, names: &BTreeMap<PeerKey, NodeName>) -> Vec<SeenNode> {
    let named = |peer: PeerKey| names.get(&peer).cloned();
    let peers = view.peers.into_iter();
    peers.filter_map(|peer| Some(SeenNode { node: named(peer.peer)?, sight: peer.sight })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_off_only_by_what_is_certain() {
        let says = |now_unix| MeshView { now_unix, ..MeshView::default() };
        assert_eq!(ahead_ms(&says(100), 100_000, 100_900), 0);
        assert_eq!(ahead_ms(&says(100), 101_500, 101_600), -501, "100.999 at most, 101.5 at least");
        assert_eq!(ahead_ms(&says(103), 100_000, 100_500), 2500);
        assert_eq!(ahead_ms(&says(100), 99_000, 102_000), 0, "it may have been any time between");
        assert_eq!(ahead_ms(&says(u64::MAX), 0, 0), i64::MAX);
    }
}
