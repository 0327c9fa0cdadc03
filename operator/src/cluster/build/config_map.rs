//! The gateways' settings.

use std::net::{Ipv4Addr, SocketAddr};

use datamesh_seal::ClusterSecret;
use datamesh_settings::{
    BULK_PORT, BulkEncryption, ClusterSettings, DatabaseFiles, Endpoint, GatewayAddress, GatewaySettings,
    HEALTH_PORT, HTTPS_PORT, Listen, MESH_PORT, Role, S3_PORT, S3Settings, SETTINGS_VERSION, Settings,
    TlsFiles,
};
use datamesh_shard::NodeName;
use k8s_openapi::api::core::v1::ConfigMap;

use super::stateful_set::gateway_labels;
use crate::cluster::copies::CopiesPlace;
use crate::cluster::notifications::Webhook;
use crate::cluster::validate::ValidCluster;
use crate::meta::Family;
use crate::names;
use crate::pod::{CONFIG_DIR, DATA_DIR};

/// What all members of a cluster share.
pub(crate) fn cluster_settings(
    family: &Family,
    name: NodeName,
    key: &ClusterSecret,
    bulk_encryption: BulkEncryption,
) -> ClusterSettings {
    ClusterSettings {
        name,
        public_key: key.signing_key().public(),
        gateways: vec![endpoint(mesh_host(family))],
        bulk_encryption,
    }
}

/// The headless Service's name: it resolves to all gateways, so nobody else restarts when their number changes.
fn mesh_host(family: &Family) -> String {
    names::service_host(&names::gateway_mesh(&family.cluster), &family.namespace)
}

fn endpoint(host: String) -> Endpoint {
    Endpoint { host, mesh_port: MESH_PORT, bulk_port: BULK_PORT }
}

/// Where each of several gateways finds these: by its pod's name, which stays when the pod is replaced. Empty for one alone, and where
/// a database keeps the catalog for good.
fn addresses(cluster: &ValidCluster, gateways: &[NodeName]) -> Vec<GatewayAddress> {
    if !cluster.has_several() || !cluster.catalog.names_members() {
        return Vec::new();
    }
    let host = |name: &NodeName| format!("{}.{}", names::pod(name.as_str()), mesh_host(&cluster.family));
    let address = |name: &NodeName| GatewayAddress { node: name.clone(), endpoint: endpoint(host(name)) };
    gateways.iter().map(address).collect()
}

/// The addresses every process of a cluster listens on.
pub(crate) fn listen() -> Listen {
    Listen { mesh: on(MESH_PORT), bulk: on(BULK_PORT), health: on(HEALTH_PORT) }
}

fn on(port: u16) -> SocketAddr {
    (Ipv4Addr::UNSPECIFIED, port).into()
}

/// The settings file of the gateway `name`.
pub(crate) fn settings(cluster: &ValidCluster, name: &NodeName, key: &ClusterSecret) -> Settings {
    let file = |path: &str| format!("{CONFIG_DIR}/{path}").into();
    Settings {
        version: SETTINGS_VERSION,
        cluster: cluster_settings(
            &cluster.family,
            cluster.settings_name.clone(),
            key,
            cluster.bulk_encryption,
        ),
        node: name.clone(),
        role: Role::Gateway(Box::new(GatewaySettings {
            data_dir: DATA_DIR.into(),
            cluster_secret_file: file("cluster-key/secret"),
            token_file: file("tokens/token"),
            admin_token_file: file("tokens/admin-token"),
            tls: TlsFiles { certificate_file: file("tls/tls.crt"), key_file: file("tls/tls.key") },
            https: on(HTTPS_PORT),
            s3: cluster.s3.as_ref().map(|s3| S3Settings { listen: on(S3_PORT), domain: s3.domain.clone() }),
            listen: listen(),
            // The pod's own address, which only the pod knows: ADVERTISE_HOST.
            advertise_host: None,
            buffer_bytes: cluster.buffer_bytes,
            cache_bytes: cluster.cache_bytes,
            deleted_retention_seconds: cluster.deleted_retention.as_secs(),
            audit_retention_seconds: cluster.audit_retention.as_secs(),
            catalog_database: cluster.database.as_ref().map(|database| DatabaseFiles {
                uri_file: file("catalog-database/uri"),
                ca_file: database.has_ca.then(|| file("catalog-database/ca.crt")),
            }),
            catalog_members: addresses(cluster, &cluster.gateways),
            catalog_leaving: addresses(cluster, cluster.told_of_leaving()),
            catalog_move: cluster.catalog.moves,
            request_limits: cluster.request_limits,
            restore: cluster.restore.clone(),
            catalog_backups: cluster.catalog_backups,
            backup_copies: cluster.copies.as_ref().map(CopiesPlace::settings),
            restore_from: cluster.restore_from,
            notifications: cluster.webhooks.iter().map(Webhook::settings).collect(),
            mail: cluster.sign_in.mail.clone(),
            public_url: cluster.sign_in.public_url.clone(),
            oidc: cluster.sign_in.oidc.clone(),
        })),
    }
}

/// The ConfigMap that carries it.
pub(crate) fn config_map(cluster: &ValidCluster, name: &NodeName, settings: String) -> ConfigMap {
    ConfigMap {
        metadata: cluster.family.owned(names::settings(name.as_str()), gateway_labels(cluster, name)),
        data: Some([(names::SETTINGS_FIELD.to_owned(), settings)].into()),
        ..ConfigMap::default()
    }
}
