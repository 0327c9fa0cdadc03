//! Where several gateways keep the catalog, one restores it, and only when none of the others has it: one that lost its volume alone is
//! filled by them.

use bytes::Bytes;
use datamesh_exchange::message::{Request, Response};
use datamesh_mesh::Gateways;
use datamesh_settings::GatewayAddress;
use datamesh_settings::mesh::CatalogHolding;
use datamesh_shard::NodeName;
use std::time::Duration;

/// Patience with one of them.
const WITHIN: Duration = Duration::from_secs(5);

/// Who restores, as far as the others have said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// This gateway does.
    Own,
    /// Another has the catalog, or will restore it.
    Others(String),
    /// Somebody has not said what it has.
    Unknown(NodeName),
}

/// By what each of the others has, in the order of the list.
pub(super) fn whose(
    own: &NodeName,
    members: &[GatewayAddress],
    holds: impl Fn(&NodeName) -> Option<CatalogHolding>,
) -> Whose {
    match members.first() {
        Some(first) if first.node != *own => {
            return Whose::Others(format!("gateway {} restores the catalog, if any does", first.node));
        }
        _ => {}
    }
    let others = || members.iter().map(|member| &member.node).filter(|node| *node != own);
    let has = |node: &&NodeName| holds(node).is_some_and(|holding| holding != CatalogHolding::Nothing);
    if let Some(node) = others().find(has) {
        return Whose::Others(format!("gateway {node} has the catalog"));
    }
    others().find(|node| holds(node).is_none()).map_or(Whose::Own, |node| Whose::Unknown(node.clone()))
}

/// What a gateway says that it has, if it says anything.
pub(super) async fn ask(gateways: &Gateways, node: &NodeName) -> Option<CatalogHolding> {
    match gateways.ask((node, None), Request::Standing, Bytes::new(), WITHIN).await {
        Ok(told) => match told.response {
            Response::Standing(standing) => Some(standing.holding),
            _ => None,
        },
        Err(error) => {
            tracing::debug!(%node, %error, "a gateway does not say what it has of the catalog");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use datamesh_settings::Endpoint;

    use super::*;

    #[test]
    fn the_first_restores_when_all_others_have_said_that_they_have_nothing() {
        let name = |n: u8| format!("g{n}").parse::<NodeName>().unwrap();
        let endpoint = Endpoint { host: "h".into(), mesh_port: 1, bulk_port: 2 };
        let members: Vec<_> =
            (0..3).map(|n| GatewayAddress { node: name(n), endpoint: endpoint.clone() }).collect();
        let nothing = |_: &NodeName| Some(CatalogHolding::Nothing);
        assert_eq!(whose(&name(0), &members, nothing), Whose::Own);
        assert!(matches!(whose(&name(1), &members, nothing), Whose::Others(_)));
        let silent = |node: &NodeName| (*node != name(2)).then_some(CatalogHolding::Nothing);
        assert_eq!(whose(&name(0), &members, silent), Whose::Unknown(name(2)));
        let has = |node: &NodeName| (*node == name(2)).then_some(CatalogHolding::Replica);
        assert!(matches!(whose(&name(0), &members, has), Whose::Others(text) if text.contains("g2")));
        assert_eq!(whose(&name(0), &[], |_| None), Whose::Own, "alone");
    }
}
