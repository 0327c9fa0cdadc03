//! The gateway's settings.

use std::net::{Ipv4Addr, SocketAddr};

use datamesh_crds::label;
use datamesh_seal::ClusterSecret;
use datamesh_settings::{
    BULK_PORT, BulkEncryption, ClusterSettings, DatabaseFiles, Endpoint, GatewaySettings, HEALTH_PORT,
    HTTPS_PORT, Listen, MESH_PORT, Role, S3_PORT, S3Settings, SETTINGS_VERSION, Settings, TlsFiles,
};
use datamesh_shard::NodeName;
use k8s_openapi::api::core::v1::ConfigMap;

use crate::cluster::validate::ValidCluster;
use crate::meta::{self, Family};
use crate::names;
use crate::pod::{CONFIG_DIR, DATA_DIR};

/// What all members of a cluster share.
pub(crate) fn cluster_settings(
    family: &Family,
    name: NodeName,
    key: &ClusterSecret,
    bulk_encryption: BulkEncryption,
) -> ClusterSettings {
    let host = names::service_host(&names::gateway_mesh(&family.cluster), &family.namespace);
    ClusterSettings {
        name,
        public_key: key.signing_key().public(),
        gateways: vec![Endpoint { host, mesh_port: MESH_PORT, bulk_port: BULK_PORT }],
        bulk_encryption,
    }
}

/// The addresses every process of a cluster listens on.
pub(crate) fn listen() -> Listen {
    Listen { mesh: on(MESH_PORT), bulk: on(BULK_PORT), health: on(HEALTH_PORT) }
}

fn on(port: u16) -> SocketAddr {
    (Ipv4Addr::UNSPECIFIED, port).into()
}

/// The gateway's settings file.
pub(crate) fn settings(cluster: &ValidCluster, key: &ClusterSecret) -> Settings {
    let file = |path: &str| format!("{CONFIG_DIR}/{path}").into();
    Settings {
        version: SETTINGS_VERSION,
        cluster: cluster_settings(
            &cluster.family,
            cluster.settings_name.clone(),
            key,
            cluster.bulk_encryption,
        ),
        node: cluster.gateway_name.clone(),
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
            catalog_database: cluster.database.as_ref().map(|database| DatabaseFiles {
                uri_file: file("catalog-database/uri"),
                ca_file: database.has_ca.then(|| file("catalog-database/ca.crt")),
            }),
            catalog_members: Vec::new(),
        })),
    }
}

/// The ConfigMap that carries it.
pub(crate) fn config_map(cluster: &ValidCluster, settings: String) -> ConfigMap {
    let (family, name) = (&cluster.family, names::gateway(&cluster.family.cluster));
    let labels = meta::and(family.labels(), label::COMPONENT, label::GATEWAY);
    ConfigMap {
        metadata: family.owned(names::settings(&name), labels),
        data: Some([(names::SETTINGS_FIELD.to_owned(), settings)].into()),
        ..ConfigMap::default()
    }
}
