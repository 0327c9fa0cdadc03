//! Step 1: reads what a cluster refers to and what exists of it. Decides nothing.

use datamesh_crds::{DataMeshCluster, ExposureType, StoragePool, label};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim, Secret, Service};
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use super::given_files::{Given, secrets_of};
use crate::context::Context;
use crate::names;

/// Addresses of Kubernetes nodes that go into a certificate at most.
const ADDRESSES_MAX: usize = 64;

/// What exists.
#[derive(Clone, Default)]
pub(crate) struct Found {
    /// The cluster key.
    pub(crate) key: Option<Secret>,
    /// The bearer tokens.
    pub(crate) tokens: Option<Secret>,
    /// The own CA.
    pub(crate) ca: Option<Secret>,
    /// The gateway's certificate by that CA.
    pub(crate) tls: Option<Secret>,
    /// The certificate the administrator gives.
    pub(crate) given_tls: Option<Secret>,
    /// How the catalog's database is reached, where there is one.
    pub(crate) database: Option<Secret>,
    /// What gateways are given for mail, for providers that users sign in at, and for webhooks.
    pub(crate) given: Given,
    /// What copies of backups are put by.
    pub(crate) copies: Option<Secret>,
    /// Volumes of the gateways and of all pools.
    pub(crate) volumes: Vec<PersistentVolumeClaim>,
    /// The gateways.
    pub(crate) gateways: Vec<StatefulSet>,
    /// Addresses under which clients outside may reach the gateway.
    pub(crate) addresses: Vec<String>,
    /// Pools that name this cluster.
    pub(crate) pools: Vec<StoragePool>,
}

impl Found {
    /// The StatefulSet of the gateway `name`.
    pub(crate) fn gateway(&self, name: &str) -> Option<&StatefulSet> {
        self.gateways.iter().find(|set| set.name_any() == name)
    }

    /// Whether the pod of the gateway `name` is ready.
    pub(crate) fn gateway_is_ready(&self, name: &str) -> bool {
        let status = self.gateway(name).and_then(|set| set.status.as_ref());
        status.is_some_and(|status| status.ready_replicas.unwrap_or(0) > 0)
    }
}

/// Reads all of it.
pub(crate) async fn dereference(cluster: &DataMeshCluster, context: &Context) -> kube::Result<Found> {
    let (name, namespace) = (cluster.name_any(), cluster.namespace().unwrap_or_default());
    let secrets: Api<Secret> = context.api(&namespace);
    let given_tls = match &cluster.spec.tls.secret_name {
        Some(secret) => secrets.get_opt(secret).await?,
        None => None,
    };
    let database = match &cluster.spec.catalog {
        Some(catalog) => secrets.get_opt(&catalog.postgres.secret_ref.name).await?,
        None => None,
    };
    let mut given = Given::new();
    for named in secrets_of(&cluster.spec.gateway) {
        given.extend(secrets.get_opt(named).await?.map(|secret| (named.to_owned(), secret)));
    }
    let copies = match &cluster.spec.gateway.backup_copies {
        Some(copies) => secrets.get_opt(&copies.secret_ref.name).await?,
        None => None,
    };
    let ours = ListParams::default().labels(&format!("{}={name}", label::CLUSTER));
    let gateways = ListParams::default().labels(&format!(
        "{}={name},{}={}",
        label::CLUSTER,
        label::COMPONENT,
        label::GATEWAY
    ));
    let pools = context.api::<StoragePool>(&namespace).list(&ListParams::default()).await?;
    Ok(Found {
        key: secrets.get_opt(&names::cluster_key(&name)).await?,
        tokens: secrets.get_opt(&names::tokens(&name)).await?,
        ca: secrets.get_opt(&names::ca(&name)).await?,
        tls: secrets.get_opt(&names::gateway_tls(&name)).await?,
        given_tls,
        database,
        given,
        copies,
        volumes: context.api::<PersistentVolumeClaim>(&namespace).list(&ours).await?.items,
        gateways: context.api::<StatefulSet>(&namespace).list(&gateways).await?.items,
        addresses: addresses(cluster, context).await?,
        pools: pools.items.into_iter().filter(|pool| pool.spec.cluster_ref == name).collect(),
    })
}

async fn addresses(cluster: &DataMeshCluster, context: &Context) -> kube::Result<Vec<String>> {
    let mut addresses = match cluster.spec.gateway.exposure.type_ {
        ExposureType::ClusterIP => Vec::new(),
        ExposureType::NodePort => {
            let nodes = Api::<Node>::all(context.client.clone()).list(&ListParams::default()).await?;
            nodes.items.iter().flat_map(node_addresses).collect()
        }
        ExposureType::LoadBalancer => {
            let services: Api<Service> = context.api(&cluster.namespace().unwrap_or_default());
            let service = services.get_opt(&names::gateway(&cluster.name_any())).await?;
            service.iter().flat_map(balancer_addresses).collect()
        }
    };
    addresses.sort();
    addresses.dedup();
    addresses.truncate(ADDRESSES_MAX);
    Ok(addresses)
}

fn node_addresses(node: &Node) -> Vec<String> {
    let addresses = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
    addresses
        .filter(|a| a.type_ == "InternalIP" || a.type_ == "ExternalIP")
        .map(|a| a.address.clone())
        .collect()
}

fn balancer_addresses(service: &Service) -> Vec<String> {
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let points = balancer.iter().flat_map(|balancer| balancer.ingress.iter().flatten());
    points.flat_map(|point| [point.ip.clone(), point.hostname.clone()]).flatten().collect()
}
