//! Metadata of derived objects: labels that say what they belong to, and the owner they go with.

use std::collections::BTreeMap;

use datamesh_crds::{DataMeshCluster, label};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use kube::Resource;

/// What all objects of one cluster share.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Family {
    /// The DataMeshCluster's name.
    pub(crate) cluster: String,
    /// Its namespace.
    pub(crate) namespace: String,
    /// Objects with this owner are removed with it.
    pub(crate) owner: Option<OwnerReference>,
}

pub(crate) type Labels = BTreeMap<String, String>;

impl Family {
    /// The family of a cluster read from the API server.
    pub(crate) fn of(cluster: &DataMeshCluster) -> Self {
        Self {
            cluster: cluster.metadata.name.clone().unwrap_or_default(),
            namespace: cluster.metadata.namespace.clone().unwrap_or_default(),
            owner: cluster.controller_owner_ref(&()),
        }
    }

    /// Labels of every object of the cluster.
    pub(crate) fn labels(&self) -> Labels {
        [
            (label::MANAGED_BY, label::OPERATOR),
            (label::NAME, label::DATAMESH),
            (label::CLUSTER, &self.cluster),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
    }

    /// Metadata of an object that goes when the cluster goes.
    pub(crate) fn owned(&self, name: String, labels: Labels) -> ObjectMeta {
        ObjectMeta {
            owner_references: self.owner.clone().map(|owner| vec![owner]),
            ..self.kept(name, labels)
        }
    }

    /// Metadata of an object that outlives the cluster.
    pub(crate) fn kept(&self, name: String, labels: Labels) -> ObjectMeta {
        ObjectMeta {
            name: Some(name),
            namespace: Some(self.namespace.clone()),
            labels: Some(labels),
            ..ObjectMeta::default()
        }
    }
}

/// `labels` and one more.
pub(crate) fn and(mut labels: Labels, key: &str, value: &str) -> Labels {
    labels.insert(key.to_owned(), value.to_owned());
    labels
}

/// Selects exactly what carries `labels`.
pub(crate) fn selector(labels: Labels) -> LabelSelector {
    LabelSelector { match_labels: Some(labels), match_expressions: None }
}

/// The labels that select pods: without those that only inform, since a selector can never change.
pub(crate) fn selecting(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
}
