//! What other processes may ask a gateway over the mesh, from before its catalog is open: members of a group need each other for
//! that. Nodes that want to join are asked to come again until it is.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use datamesh_catalog::engine::raft::{RaftKeyspace, ReplicaId};
use datamesh_exchange::message::{Refusal, Request, Response};
use datamesh_mesh::{Caller, Handler};
use datamesh_settings::GatewayAddress;
use datamesh_settings::mesh::{CatalogHolding, CatalogStanding};
use datamesh_shard::NodeName;

use super::standing;
use super::volume::Found;
use crate::join::JoinDesk;

/// Answers. Clones are one.
#[derive(Clone)]
pub(crate) struct FrontDesk(Arc<Desk>);

struct Desk {
    node: NodeName,
    id: ReplicaId,
    /// Who may ask about the catalog; nobody where it is not kept together.
    members: BTreeSet<NodeName>,
    /// What the volume has, once that was looked at.
    found: OnceLock<Found>,
    replica: OnceLock<RaftKeyspace>,
    join: OnceLock<JoinDesk>,
}

impl FrontDesk {
    pub(crate) fn new<'a>(
        (node, id): (NodeName, ReplicaId),
        members: impl Iterator<Item = &'a GatewayAddress>,
    ) -> Self {
        let members = members.map(|member| member.node.clone()).collect();
        Self(Arc::new(Desk {
            node,
            id,
            members,
            found: OnceLock::new(),
            replica: OnceLock::new(),
            join: OnceLock::new(),
        }))
    }

    /// From here on others are told what the volume has: before, nobody may take it for blank.
    pub(super) fn has_found(&self, found: Found) {
        let _ = self.0.found.set(found);
    }

    /// From here on the replica answers the others.
    pub(super) fn has_replica(&self, replica: RaftKeyspace) {
        let _ = self.0.replica.set(replica);
    }

    /// From here on nodes may join.
    pub(crate) fn lets_in(&self, join: JoinDesk) {
        let _ = self.0.join.set(join);
    }
}

impl Desk {
    fn standing(&self) -> Result<CatalogStanding, Refusal> {
        let Desk { node, id, .. } = self;
        if let Some(replica) = self.replica.get() {
            return Ok(standing::of(node, replica));
        }
        let holding = match self.found.get().ok_or(Refusal::Busy)? {
            Found::Nothing => CatalogHolding::Nothing,
            Found::Alone => CatalogHolding::Alone,
            Found::Replica => CatalogHolding::Replica,
        };
        let (node, replica, voters) = (node.clone(), *id, BTreeSet::new());
        Ok(CatalogStanding { node, replica, holding, applied: 0, leads: false, voters })
    }

    fn is_member(&self, from: &Caller) -> bool {
        let names = from.role.as_ref().map(|certificate| &certificate.node);
        from.is_gateway() && names.is_some_and(|node| self.members.contains(node))
    }

    async fn answer(
        &self,
        from: Caller,
        request: Request,
        payload: Bytes,
    ) -> Result<(Response, Bytes), Refusal> {
        match request {
            Request::Join(_) => match self.join.get() {
                Some(join) => Ok(join.handle(from, request, payload).await),
                None => Err(Refusal::Busy),
            },
            Request::Standing | Request::Replica if !self.is_member(&from) => Err(Refusal::NotAMember),
            Request::Standing => Ok((Response::Standing(self.standing()?), Bytes::new())),
            Request::Replica => {
                let replica = self.replica.get().ok_or(Refusal::Busy)?;
                Ok((Response::Replica, replica.answer(&payload).await.into()))
            }
            _ => Err(Refusal::BadRequest("a gateway holds no shards".into())),
        }
    }
}

impl Handler for FrontDesk {
    async fn handle(&self, from: Caller, request: Request, payload: Bytes) -> (Response, Bytes) {
        let answered = Box::pin(self.0.answer(from, request, payload)).await;
        answered.unwrap_or_else(|refusal| (Response::Refused(refusal), Bytes::new()))
    }

    /// Storage nodes may not keep the members' messages waiting with bytes that nobody here wants.
    fn takes_payload(&self, from: &Caller, request: &Request) -> bool {
        matches!(request, Request::Replica) && self.0.is_member(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_told_of_a_blank_volume_before_it_was_looked_at() {
        let desk = FrontDesk::new(("a".parse().unwrap(), 7), std::iter::empty());
        assert_eq!(desk.0.standing(), Err(Refusal::Busy));
        desk.has_found(Found::Replica);
        let told = desk.0.standing().unwrap();
        assert_eq!((told.holding, told.replica), (CatalogHolding::Replica, 7));
    }
}
