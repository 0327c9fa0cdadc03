//! A storage node's settings.

use datamesh_settings::{Role, SETTINGS_VERSION, Settings, StorageSettings};
use k8s_openapi::api::core::v1::ConfigMap;

use super::stateful_set::labels;
use crate::cluster::{cluster_settings, listen};
use crate::names;
use crate::pod::{CONFIG_DIR, DATA_DIR};
use crate::pool::validate::{Identity, ValidPool};

/// The settings file of one node.
pub(super) fn settings(pool: &ValidPool, identity: &Identity) -> Settings {
    Settings {
        version: SETTINGS_VERSION,
        cluster: cluster_settings(&pool.family, pool.settings_name.clone(), &pool.key, pool.bulk_encryption),
        node: identity.node.clone(),
        role: Role::Storage(Box::new(StorageSettings {
            pool: pool.name.clone(),
            zone: identity.zone.clone(),
            data_dir: DATA_DIR.into(),
            capacity_bytes: pool.capacity_bytes,
            reserve_bytes: pool.reserve_bytes,
            join_token_file: format!("{CONFIG_DIR}/join/token").into(),
            listen: listen(),
            // The pod's own address, which only the pod knows: ADVERTISE_HOST.
            advertise_host: None,
        })),
    }
}

/// The ConfigMap that carries it.
pub(super) fn config_map(pool: &ValidPool, identity: &Identity, settings: String) -> ConfigMap {
    ConfigMap {
        metadata: pool.family.owned(names::settings(identity.node.as_str()), labels(pool, identity)),
        data: Some([(names::SETTINGS_FIELD.to_owned(), settings)].into()),
        ..ConfigMap::default()
    }
}
