//! One storage node.

use datamesh_crds::label;
use datamesh_settings::{BULK_PORT, MESH_PORT};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{
    Affinity, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PodAffinityTerm,
    PodAntiAffinity, WeightedPodAffinityTerm,
};

use crate::meta::{self, Labels};
use crate::names::{self, JOIN_FIELD};
use crate::pod::{self, PodParts, secret_files, settings_file};
use crate::pool::validate::{Identity, ValidPool};
use crate::zones::UNZONED;

/// Labels of a pool's objects.
pub(super) fn pool_labels(pool: &ValidPool) -> Labels {
    let labels = meta::and(pool.family.labels(), label::COMPONENT, label::STORAGE);
    meta::and(labels, label::POOL, pool.name.as_str())
}

/// Labels of a node's objects.
pub(super) fn labels(pool: &ValidPool, identity: &Identity) -> Labels {
    let labels = meta::and(pool_labels(pool), label::NODE, identity.node.as_str());
    meta::and(labels, label::ZONE, identity.zone.as_str())
}

/// The labels that select a pool's pods.
pub(super) fn selecting_pool(pool: &ValidPool) -> Labels {
    meta::selecting(&[(label::CLUSTER, &pool.family.cluster), (label::POOL, pool.name.as_str())])
}

/// The node of `identity` with `settings` in its ConfigMap.
pub(super) fn node(pool: &ValidPool, identity: &Identity, settings: &str) -> StatefulSet {
    let (family, name) = (&pool.family, identity.node.to_string());
    pod::stateful_set(PodParts {
        meta: pod::sealed_with(family.owned(name.clone(), labels(pool, identity)), &pool.key),
        selector: meta::and(selecting_pool(pool), label::NODE, &name),
        // Nodes advertise their pod's address, so they need no Service of their own.
        service: names::gateway_mesh(&family.cluster),
        role: label::STORAGE,
        image: pool.image.clone(),
        pull_policy: pool.pull_policy,
        resources: pool.resources.clone(),
        log_level: pool.log_level.clone(),
        ports: vec![("mesh", MESH_PORT), ("bulk", BULK_PORT)],
        files: vec![
            settings_file(names::settings(&name)),
            secret_files(names::join(&name), &[(JOIN_FIELD, "join/token")]),
        ],
        settings_hash: pod::short_hash(settings.as_bytes()),
        affinity: Some(affinity(pool, identity)),
        volume_size: pool.volume_size.clone(),
        storage_class_name: pool.storage_class_name.clone(),
    })
}

/// In its zone, and away from other nodes of the pool where possible.
fn affinity(pool: &ValidPool, identity: &Identity) -> Affinity {
    let elsewhere = WeightedPodAffinityTerm {
        weight: 100,
        pod_affinity_term: PodAffinityTerm {
            topology_key: "kubernetes.io/hostname".into(),
            label_selector: Some(meta::selector(selecting_pool(pool))),
            ..PodAffinityTerm::default()
        },
    };
    Affinity {
        node_affinity: (identity.zone.as_str() != UNZONED).then(|| in_zone(&pool.zone_label, identity)),
        pod_anti_affinity: Some(PodAntiAffinity {
            preferred_during_scheduling_ignored_during_execution: Some(vec![elsewhere]),
            ..PodAntiAffinity::default()
        }),
        pod_affinity: None,
    }
}

fn in_zone(zone_label: &str, identity: &Identity) -> NodeAffinity {
    let requirement = NodeSelectorRequirement {
        key: zone_label.to_owned(),
        operator: "In".into(),
        values: Some(vec![identity.zone.to_string()]),
    };
    let term = NodeSelectorTerm { match_expressions: Some(vec![requirement]), match_fields: None };
    NodeAffinity {
        required_during_scheduling_ignored_during_execution: Some(NodeSelector {
            node_selector_terms: vec![term],
        }),
        ..NodeAffinity::default()
    }
}
