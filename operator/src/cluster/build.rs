//! Step 3: the objects of a valid cluster. Pure but for keys and certificates that do not exist yet.

use datamesh_seal::ClusterSecret;
use datamesh_shard::NodeName;
use jiff::civil::Date;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt;

use super::dereference::Found;
use super::leaving;
use super::validate::ValidCluster;
use crate::certificates::CertificateError;
use crate::secrets::NoEntropy;
use crate::volume::{self, Growth};

pub(crate) mod config_map;
mod network_policy;
pub(crate) mod pod_disruption_budget;
pub(crate) mod secret;
mod service;
mod stateful_set;
#[cfg(test)]
pub(crate) mod tests;

/// Why objects could not be built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    /// The settings file.
    #[error("cannot write settings: {0}")]
    Settings(#[from] serde_yaml::Error),
    /// A certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A token.
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
}

/// What shall exist.
pub(crate) struct Objects {
    /// Made once and never changed.
    pub(crate) tokens: Option<Secret>,
    /// Own CA and the gateway's certificate, as far as they are new.
    pub(crate) certificates: Vec<Secret>,
    pub(crate) services: Vec<Service>,
    pub(crate) network_policies: Vec<NetworkPolicy>,
    pub(crate) budget: PodDisruptionBudget,
    /// In the order of their numbers. At least one; those that leave and of which something exists come last, where they have to be told.
    pub(crate) gateways: Vec<GatewayObjects>,
    /// Where all of it belongs.
    pub(crate) namespace: String,
}

/// What makes one gateway.
pub(crate) struct GatewayObjects {
    pub(crate) settings: ConfigMap,
    pub(crate) growth: Option<Growth>,
    pub(crate) stateful_set: StatefulSet,
    /// Whether it is to leave.
    pub(crate) leaves: bool,
    /// Whether the gateways need one another to serve the catalog: it is on their volumes, if only for now.
    pub(crate) is_on_volumes: bool,
}

impl GatewayObjects {
    /// The gateway's name.
    pub(crate) fn name(&self) -> String {
        self.stateful_set.name_any()
    }
}

/// Builds all of it.
pub(crate) fn build(
    cluster: &ValidCluster,
    found: &Found,
    key: &ClusterSecret,
    today: Date,
) -> Result<Objects, BuildError> {
    Ok(Objects {
        tokens: secret::tokens(cluster, found)?,
        certificates: secret::certificates(cluster, found, today)?,
        services: vec![service::gateway(cluster), service::mesh(cluster)],
        network_policies: network_policy::all(cluster),
        budget: pod_disruption_budget::gateway(cluster),
        gateways: gateways(cluster, found, key)?,
        namespace: cluster.family.namespace.clone(),
    })
}

fn gateways(
    cluster: &ValidCluster,
    found: &Found,
    key: &ClusterSecret,
) -> Result<Vec<GatewayObjects>, BuildError> {
    let exists = |name: &&NodeName| !matches!(leaving::remains(found, name.as_str()), (None, None));
    let all = cluster.gateways.iter().chain(cluster.told_of_leaving().iter().filter(exists));
    all.map(|name| gateway(cluster, name, found, key)).collect()
}

fn gateway(
    cluster: &ValidCluster,
    name: &NodeName,
    found: &Found,
    key: &ClusterSecret,
) -> Result<GatewayObjects, BuildError> {
    let settings_text = config_map::settings(cluster, name, key).to_yaml()?;
    let stateful_set = stateful_set::gateway(cluster, name, key, &settings_text);
    Ok(GatewayObjects {
        settings: config_map::config_map(cluster, name, settings_text),
        growth: volume::to_grow(&found.volumes, name.as_str(), &cluster.volume_size),
        leaves: cluster.leaving.contains(name),
        is_on_volumes: cluster.catalog.is_on_volumes(),
        stateful_set: volume::keep_claim_template(stateful_set, found.gateway(name.as_str())),
    })
}
