//! Who keeps the catalog by the settings.

use datamesh_settings::GatewaySettings;
use datamesh_shard::NodeName;

/// The gateways that keep it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Members {
    /// Those that stay, in the order of the settings: 1, 3 or 5.
    pub(super) stay: Vec<NodeName>,
    /// Those that leave, whose votes count until they are taken away.
    pub(super) leaving: Vec<NodeName>,
}

impl Members {
    /// As the settings name them. A gateway that is told of no other is the last.
    pub(crate) fn of(gateway: &GatewaySettings, own: &NodeName) -> Self {
        let stay: Vec<NodeName> = gateway.catalog_members.iter().map(|member| member.node.clone()).collect();
        let leaving = gateway.catalog_leaving.iter().map(|member| member.node.clone()).collect();
        Self { stay: if stay.is_empty() { vec![own.clone()] } else { stay }, leaving }
    }

    /// Those that stay, then those that leave.
    pub(super) fn all(&self) -> impl Iterator<Item = &NodeName> + Clone {
        self.stay.iter().chain(&self.leaving)
    }

    /// Whether there is but one.
    pub(super) fn is_one(&self) -> bool {
        self.all().count() == 1
    }
}
