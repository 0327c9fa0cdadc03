//! Several gateways that keep one catalog together, each a replica on its own volume.
//!
//! * `volume`: what lies in the data folder, and whether it may take part.
//! * `desk`: what other processes ask, from before the catalog is open.
//! * `wires`: the way to the other gateways.
//! * `parts`: who stays and who leaves, by the settings.
//! * `form`: what a gateway does that is in no group yet; `open` does it.
//! * `members`: who shall be in the group; `keep` sees to it where this gateway leads.
//! * `standing`: how the members are.
//! * `leading`: what only one gateway does.

pub(crate) mod desk;
mod errors;
mod form;
pub(crate) mod keep;
pub(crate) mod leading;
mod members;
mod metrics;
mod open;
mod parts;
mod standing;
pub(crate) mod volume;
mod wires;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::engine::AnyKeyspace;
use datamesh_catalog::engine::raft::{RaftKeyspace, ReplicaId};
use datamesh_catalog::keyspace::Keyspace;
use datamesh_settings::admin::{CatalogLeaving, CatalogMember};
use datamesh_settings::mesh::{CatalogHolding, CatalogStanding};
use datamesh_shard::{NodeName, PeerKey};
use parking_lot::Mutex;
use tokio::time::timeout;

pub use errors::GroupError;
pub(crate) use leading::Leading;
use members::{Known, Step};
pub(crate) use open::{Opening, check};
pub(crate) use parts::Members;
use wires::Wires;

/// Patience with a replica that ends: its folder is free then.
const CLOSE_WAIT: Duration = Duration::from_secs(10);
/// Patience with whoever shall lead instead of a gateway that stops.
const HAND_OVER_WAIT: Duration = Duration::from_secs(3);
/// Entries a member may be behind and still have everything in a moment: a few seconds of commits.
const LAG_MAX: u64 = 1000;

/// What the id of a replica is derived from a key for.
const REPLICA_CONTEXT: &str = "datamesh catalog replica id v1";

/// The id of the replica on the volume that has this key. A volume that is lost takes its key with it, so another one is another
/// replica.
pub(crate) fn replica_of(peer: &PeerKey) -> ReplicaId {
    let hash = blake3::derive_key(REPLICA_CONTEXT, &peer.0);
    let [a, b, c, d, e, f, g, h, ..] = hash;
    u64::from_le_bytes([a, b, c, d, e, f, g, h]).max(1)
}

/// This gateway's part in the group.
pub(crate) struct Group {
    node: NodeName,
    members: Members,
    replica: RaftKeyspace,
    wires: Arc<Wires>,
    /// Which replica each member was when it answered last.
    heard: Mutex<BTreeMap<NodeName, ReplicaId>>,
}

impl Group {
    /// What the catalog stands on.
    pub(crate) fn keyspace(&self) -> AnyKeyspace {
        self.replica.clone().into()
    }

    /// Waits until this gateway's replica does nothing any more.
    pub(crate) async fn stopped(&self) {
        self.replica.write_failed().await;
    }

    /// The gateways whose volumes have what was deleted from the catalog, besides the rows of this one. One that is the last has it in
    /// its log.
    pub(crate) fn others(&self) -> Vec<NodeName> {
        let is_other = |name: &NodeName| self.members.is_one() || *name != self.node;
        self.members.all().filter(|name| is_other(name)).cloned().collect()
    }

    /// Whether this gateway is to leave.
    pub(crate) fn leaves(&self) -> bool {
        self.members.leaving.contains(&self.node)
    }

    /// What this gateway has.
    fn own(&self) -> CatalogStanding {
        standing::of(&self.node, &self.replica)
    }

    /// What all members that answer say now, this one among them.
    async fn ask(&self) -> BTreeMap<NodeName, CatalogStanding> {
        let mut said = self.wires.ask_others().await;
        said.insert(self.node.clone(), self.own());
        let mut heard = self.heard.lock();
        heard.extend(said.iter().map(|(node, standing)| (node.clone(), standing.replica)));
        drop(heard);
        said
    }

    /// How the members are, as far as this gateway sees; none where one keeps the catalog. And how far those are that leave.
    pub(crate) async fn members(&self) -> (Vec<CatalogMember>, Option<CatalogLeaving>) {
        let said = self.ask().await;
        let leaving = if self.members.leaving.is_empty() { None } else { Some(self.leaving(&said).await) };
        let names: Vec<NodeName> = match &leaving {
            Some(leaving) if !leaving.have_left => self.members.all().cloned().collect(),
            _ => self.members.stay.clone(),
        };
        let members = if names.len() > 1 { standing::members(&names, &said) } else { Vec::new() };
        (members, leaving)
    }

    async fn leaving(&self, said: &BTreeMap<NodeName, CatalogStanding>) -> CatalogLeaving {
        let have_left = self.have_left().await;
        let waits_for = match self.next(said) {
            Step::Wait(reason) if !have_left => Some(reason),
            _ => None,
        };
        CatalogLeaving { gateways: self.members.leaving.clone(), have_left, waits_for }
    }

    /// Whether those that stay have all votes, and that is agreed on. A replica that was left behind may remember a group that was so
    /// before others came: it must know of everything that was committed by now.
    async fn have_left(&self) -> bool {
        if self.replica.get(b"").await.is_err() {
            return false;
        }
        let group = self.replica.status();
        let heard = self.heard.lock();
        let stay: Option<BTreeSet<ReplicaId>> =
            self.members.stay.iter().map(|name| heard.get(name).copied()).collect();
        group.settled && !group.joint && group.learners.is_empty() && stay == Some(group.voters)
    }

    /// What is to be done next where this gateway leads.
    fn next(&self, said: &BTreeMap<NodeName, CatalogStanding>) -> Step {
        let (heard, group) = (self.heard.lock().clone(), self.replica.status());
        members::next(&Known {
            own: self.replica.id(),
            members: &self.members,
            said,
            heard: &heard,
            group: &group,
        })
    }

    /// Whether this gateway is one of those that everything is agreed on with.
    pub(crate) fn votes(&self) -> bool {
        self.replica.status().voters.contains(&self.replica.id())
    }

    /// Ends this gateway's part.
    pub(crate) async fn close(group: Arc<Self>) {
        group.wires.close().await;
        let replica = group.replica.clone();
        drop(group);
        if timeout(CLOSE_WAIT, replica.close()).await.is_err() {
            tracing::warn!("the catalog's replica is still open after {CLOSE_WAIT:?}");
        }
    }

    /// Before this gateway ends: if it leads, another shall, which spares all the time until they miss this one.
    pub(crate) async fn hand_over(&self) {
        let own = self.replica.id();
        if self.replica.status().leader != Some(own) {
            return;
        }
        let said = self.ask().await;
        let voters = self.replica.status().voters;
        let mut fit = said.values().filter(|said| said.replica != own && voters.contains(&said.replica));
        let next = fit.by_ref().filter(|said| said.holding == CatalogHolding::Replica);
        let stays = |said: &CatalogStanding| self.members.stay.contains(&said.node);
        let Some(next) = next.max_by_key(|said| (stays(said), said.applied)) else { return };
        let handing = async {
            self.replica.hand_over(next.replica).await?;
            self.replica.until(|group| group.leader.is_some_and(|leader| leader != own)).await;
            Ok::<(), datamesh_catalog::engine::raft::MembersError>(())
        };
        match timeout(HAND_OVER_WAIT, handing).await {
            Ok(Ok(())) => tracing::info!(to = %next.node, "another gateway leads the catalog now"),
            Ok(Err(error)) => tracing::debug!(%error, "the lead is not handed over"),
            Err(_) => tracing::debug!("nobody took the lead in time"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a group knows its members by: another derivation would make others of them.
    #[test]
    fn a_replicas_id_follows_from_its_key_for_ever() {
        assert_eq!(replica_of(&PeerKey([0x11; 32])), 695_678_238_470_635_575);
        assert_ne!(replica_of(&PeerKey([0x11; 32])), replica_of(&PeerKey([0x12; 32])));
    }
}
