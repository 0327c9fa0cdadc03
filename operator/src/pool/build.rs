//! Step 3: the objects of a valid pool: one StatefulSet for each node identity, so that any node can be taken out, not
//! only the last. Pure but for the nonces of join tokens.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::ResourceExt;

use super::dereference::Found;
use super::validate::{Identity, ValidPool};
use crate::secrets::NoEntropy;
use crate::volume::{self, Growth};

mod config_map;
pub(crate) mod pod_disruption_budget;
mod secret;
mod stateful_set;

/// Why objects could not be built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    /// The settings file.
    #[error("cannot write settings: {0}")]
    Settings(#[from] serde_yaml::Error),
    /// A join token's nonce.
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
}

/// What shall exist of one node.
pub(crate) struct NodeObjects {
    pub(crate) settings: ConfigMap,
    /// Made once and never changed.
    pub(crate) join: Secret,
    pub(crate) growth: Option<Growth>,
    pub(crate) stateful_set: StatefulSet,
}

impl NodeObjects {
    /// The node's name.
    pub(crate) fn name(&self) -> String {
        self.stateful_set.name_any()
    }
}

/// Builds all nodes, in the order of their ordinals, and then those that `leave`.
pub(crate) fn build<'a>(
    pool: &'a ValidPool,
    leave: impl Iterator<Item = &'a Identity>,
    found: &Found,
) -> Result<Vec<NodeObjects>, BuildError> {
    let build_node = |identity: &Identity, stays: bool| {
        let settings = config_map::settings(pool, identity).to_yaml()?;
        let stateful_set = stateful_set::node(pool, identity, &settings);
        let name = stateful_set.name_any();
        let live = found.stateful_sets.iter().find(|set| set.name_any() == name);
        Ok(NodeObjects {
            settings: config_map::config_map(pool, identity, settings),
            join: secret::join(pool, identity)?,
            growth: volume::to_grow(&found.volumes, &name, &pool.volume_size).filter(|_| stays),
            stateful_set: volume::keep_claim_template(stateful_set, live),
        })
    };
    let stay = pool.identities.iter().map(|identity| build_node(identity, true));
    stay.chain(leave.map(|identity| build_node(identity, false))).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::golden::golden;
    use crate::pool::validate::{tests, validate};
    use crate::{names, secrets};

    pub(crate) fn built(found: &Found) -> Vec<NodeObjects> {
        build(&validate(&tests::pool(), found).unwrap(), std::iter::empty(), found).unwrap()
    }

    /// What is here in the repository is what runs at users: a difference would restart their storage nodes.
    #[test]
    fn a_storage_node_is_as_it_always_was() {
        let nodes = built(&tests::found());
        assert_eq!(nodes.len(), 6);
        golden("storage-stateful-set.yaml", &nodes[1].stateful_set);
        golden("storage-settings.yaml", &nodes[1].settings);
        let valid = validate(&tests::pool(), &tests::found()).unwrap();
        golden("pool-budget.yaml", &pod_disruption_budget::pool(&valid));
    }

    #[test]
    fn everything_is_encrypted_where_the_cluster_says_so() {
        let everything = |found: &Found| {
            let data = built(found).remove(0).settings.data.unwrap();
            data[names::SETTINGS_FIELD].contains("bulkEncryption: Everything")
        };
        let mut found = tests::found();
        assert!(!everything(&found));
        found.cluster.as_mut().unwrap().spec.bulk_encryption = datamesh_crds::BulkEncryption::Everything;
        assert!(everything(&found));
    }

    #[test]
    fn building_again_changes_no_template() {
        let first: Vec<StatefulSet> =
            built(&tests::found()).into_iter().map(|node| node.stateful_set).collect();
        let again = built(&Found { stateful_sets: first.clone(), ..tests::found() });
        let again: Vec<StatefulSet> = again.into_iter().map(|node| node.stateful_set).collect();
        assert_eq!(first, again);
    }

    #[test]
    fn a_join_token_is_for_its_node_alone_and_new_each_time() {
        let nodes = built(&tests::found());
        let valid = validate(&tests::pool(), &tests::found()).unwrap();
        let token = |node: &NodeObjects| secrets::text_of(&node.join, names::JOIN_FIELD).unwrap();
        let identity = |n: usize| &valid.identities[n].node;
        assert!(valid.key.check_join_token(&token(&nodes[0]), identity(0), &valid.name).is_ok());
        assert!(valid.key.check_join_token(&token(&nodes[0]), identity(1), &valid.name).is_err());
        assert_ne!(*token(&nodes[0]), *token(&built(&tests::found())[0]));
        assert_eq!(nodes[0].join.name_any(), "demo-main-0-join");
    }

    #[test]
    fn only_unpinned_nodes_run_anywhere() {
        let mut unlabelled = tests::found();
        for node in &mut unlabelled.nodes {
            node.metadata.labels = None;
        }
        let affinity = |set: &StatefulSet| set.spec.clone().unwrap().template.spec.unwrap().affinity.unwrap();
        assert!(affinity(&built(&unlabelled)[0].stateful_set).node_affinity.is_none());
        assert!(affinity(&built(&tests::found())[0].stateful_set).node_affinity.is_some());
    }
}
