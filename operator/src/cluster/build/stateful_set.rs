//! One gateway. A StatefulSet, since it carries the catalog.
//!
//! Several gateways have one StatefulSet each, as storage nodes have. The first one's selector takes the pods of all, and could
//! not be changed any more: a StatefulSet takes only pods that are named after it, and `demo-gateway-2-0` is named after
//! `demo-gateway-2`.

use datamesh_crds::label;
use datamesh_seal::ClusterSecret;
use datamesh_settings::{BULK_PORT, HTTPS_PORT, MESH_PORT, S3_PORT};
use datamesh_shard::NodeName;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{
    Affinity, PodAffinityTerm, PodAntiAffinity, VolumeProjection, WeightedPodAffinityTerm,
};

use crate::cluster::copies::CopiesPlace;
use crate::cluster::database::{self, Database};
use crate::cluster::given_files::GivenFiles;
use crate::cluster::validate::ValidCluster;
use crate::meta::{self, Labels};
use crate::names::{self, ADMIN_TOKEN_FIELD, KEY_FIELD, TOKEN_FIELD};
use crate::pod::{self, PodParts, secret_files, settings_file};

/// The labels that select the pods of all gateways.
pub(super) fn selecting(cluster: &str) -> Labels {
    meta::selecting(&[(label::CLUSTER, cluster), (label::COMPONENT, label::GATEWAY)])
}

/// Labels of a gateway's objects. The first one has none of its own: it was alone once, and its pod must not restart for a label.
pub(super) fn gateway_labels(cluster: &ValidCluster, name: &NodeName) -> Labels {
    let labels = meta::and(cluster.family.labels(), label::COMPONENT, label::GATEWAY);
    own(cluster, name).into_iter().fold(labels, |labels, name| meta::and(labels, label::NODE, name))
}

/// What tells a gateway from the others.
fn own<'a>(cluster: &ValidCluster, name: &'a NodeName) -> Option<&'a str> {
    (cluster.gateways.first() != Some(name)).then_some(name.as_str())
}

/// The gateway `name` with `settings` in its ConfigMap, whose catalog is sealed with `key`.
pub(super) fn gateway(
    cluster: &ValidCluster,
    name: &NodeName,
    key: &ClusterSecret,
    settings: &str,
) -> StatefulSet {
    let mut set = pod::stateful_set(parts(cluster, name, key, settings));
    let annotations = set.metadata.annotations.get_or_insert_default();
    // The first one's catalog is its own until it is told of the others.
    if cluster.has_several() && !cluster.catalog.comes_to_the_first() {
        annotations.insert(label::GATEWAYS_TOLD.to_owned(), cluster.gateways.len().to_string());
    }
    if !cluster.told_of_leaving().is_empty() {
        let itself = cluster.leaving.contains(name);
        let who = if itself { label::LEAVING_ITSELF } else { label::LEAVING_OTHERS };
        annotations.insert(label::GATEWAYS_LEAVING.to_owned(), who.to_owned());
    }
    set
}

fn parts(cluster: &ValidCluster, name: &NodeName, key: &ClusterSecret, settings: &str) -> PodParts {
    let family = &cluster.family;
    let tls = cluster.given_tls.clone().unwrap_or_else(|| names::gateway_tls(&family.cluster));
    let selector = selecting(&family.cluster);
    PodParts {
        meta: pod::sealed_with(family.owned(name.to_string(), gateway_labels(cluster, name)), key),
        selector: own(cluster, name)
            .into_iter()
            .fold(selector, |labels, name| meta::and(labels, label::NODE, name)),
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
                settings_file(names::settings(name.as_str())),
                secret_files(names::cluster_key(&family.cluster), &[(KEY_FIELD, "cluster-key/secret")]),
                secret_files(
                    names::tokens(&family.cluster),
                    &[(TOKEN_FIELD, "tokens/token"), (ADMIN_TOKEN_FIELD, "tokens/admin-token")],
                ),
                // Re-read by the gateway when renewed, so it is no part of the hash.
                secret_files(tls, &[("tls.crt", "tls/tls.crt"), ("tls.key", "tls/tls.key")]),
            ],
            database_files(cluster.database.as_ref()),
            cluster.given_files().map(GivenFiles::projection).collect(),
            cluster.copies.iter().map(CopiesPlace::projection).collect(),
        ]
        .concat(),
        settings_hash: settings_hash(cluster, settings),
        affinity: cluster.has_several().then(|| apart(cluster)),
        volume_size: cluster.volume_size.clone(),
        storage_class_name: cluster.storage_class_name.clone(),
    }
}

/// Changes when the gateway must start anew: with its settings, and with authorities that it reads at its start alone.
fn settings_hash(cluster: &ValidCluster, settings: &str) -> String {
    let authorities = cluster.given_files().filter_map(GivenFiles::authorities_hash);
    let all: String = std::iter::once(settings).chain(authorities).collect();
    pod::short_hash(all.as_bytes())
}

/// Away from the other gateways where possible: on another machine, in another zone.
fn apart(cluster: &ValidCluster) -> Affinity {
    let elsewhere = |topology_key: &str| WeightedPodAffinityTerm {
        weight: 100,
        pod_affinity_term: PodAffinityTerm {
            topology_key: topology_key.into(),
            label_selector: Some(meta::selector(selecting(&cluster.family.cluster))),
            ..PodAffinityTerm::default()
        },
    };
    Affinity {
        pod_anti_affinity: Some(PodAntiAffinity {
            preferred_during_scheduling_ignored_during_execution: Some(vec![
                elsewhere("kubernetes.io/hostname"),
                elsewhere(&cluster.zone_label),
            ]),
            ..PodAntiAffinity::default()
        }),
        ..Affinity::default()
    }
}

fn database_files(database: Option<&Database>) -> Vec<VolumeProjection> {
    let Some(Database { secret, has_ca, .. }) = database else { return Vec::new() };
    let mut files = vec![(database::URI_FIELD, "catalog-database/uri")];
    if *has_ca {
        files.push((database::CA_FIELD, "catalog-database/ca.crt"));
    }
    vec![secret_files(secret.clone(), &files)]
}
