//! The gateway. A StatefulSet, since it carries the catalog.

use datamesh_crds::label;
use datamesh_seal::ClusterSecret;
use datamesh_settings::{BULK_PORT, HTTPS_PORT, MESH_PORT, S3_PORT};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::VolumeProjection;

use crate::cluster::database::{self, Database};
use crate::cluster::validate::ValidCluster;
use crate::meta;
use crate::names::{self, ADMIN_TOKEN_FIELD, KEY_FIELD, TOKEN_FIELD};
use crate::pod::{self, PodParts, secret_files, settings_file};

/// The labels that select the gateway's pod.
pub(super) fn selecting(cluster: &str) -> meta::Labels {
    meta::selecting(&[(label::CLUSTER, cluster), (label::COMPONENT, label::GATEWAY)])
}

/// The gateway with `settings` in its ConfigMap, whose catalog is sealed with `key`.
pub(super) fn gateway(cluster: &ValidCluster, key: &ClusterSecret, settings: &str) -> StatefulSet {
    let (family, name) = (&cluster.family, names::gateway(&cluster.family.cluster));
    let tls = cluster.given_tls.clone().unwrap_or_else(|| names::gateway_tls(&family.cluster));
    let labels = meta::and(family.labels(), label::COMPONENT, label::GATEWAY);
    pod::stateful_set(PodParts {
        meta: pod::sealed_with(family.owned(name.clone(), labels), key),
        selector: selecting(&family.cluster),
        service: names::gateway_mesh(&family.cluster),
        role: label::GATEWAY,
        image: cluster.image.clone(),
        pull_policy: cluster.pull_policy,
        resources: cluster.resources.clone(),
        log_level: cluster.log_level.clone(),
        ports: [("https", HTTPS_PORT), ("mesh", MESH_PORT), ("bulk", BULK_PORT)]
            .into_iter()
            .chain(cluster.s3.as_ref().map(|_| ("s3", S3_PORT)))
            .collect(),
        files: [
            vec![
                settings_file(names::settings(&name)),
                secret_files(names::cluster_key(&family.cluster), &[(KEY_FIELD, "cluster-key/secret")]),
                secret_files(
                    names::tokens(&family.cluster),
                    &[(TOKEN_FIELD, "tokens/token"), (ADMIN_TOKEN_FIELD, "tokens/admin-token")],
                ),
                // Re-read by the gateway when renewed, so it is no part of the hash.
                secret_files(tls, &[("tls.crt", "tls/tls.crt"), ("tls.key", "tls/tls.key")]),
            ],
            database_files(cluster.database.as_ref()),
        ]
        .concat(),
        settings_hash: pod::short_hash(settings.as_bytes()),
        affinity: None,
        volume_size: cluster.volume_size.clone(),
        storage_class_name: cluster.storage_class_name.clone(),
    })
}

fn database_files(database: Option<&Database>) -> Vec<VolumeProjection> {
    let Some(Database { secret, has_ca, .. }) = database else { return Vec::new() };
    let mut files = vec![(database::URI_FIELD, "catalog-database/uri")];
    if *has_ca {
        files.push((database::CA_FIELD, "catalog-database/ca.crt"));
    }
    vec![secret_files(secret.clone(), &files)]
}
