//! Objects as an API server gives them: a cluster that is well, and one with all that can be wrong.

use serde::de::DeserializeOwned;

use super::gather::Snapshot;

fn read<T: DeserializeOwned>(text: &str) -> Vec<T> {
    serde_yaml::from_str(text).unwrap()
}

pub(super) fn well() -> Snapshot {
    Snapshot {
        namespace: "datamesh".into(),
        clusters: read(include_str!("../../tests/kubectl/clusters-well.yaml")),
        pools: read(include_str!("../../tests/kubectl/pools-well.yaml")),
        pods: read(include_str!("../../tests/kubectl/pods-well.yaml")),
        claims: Vec::new(),
        events: Vec::new(),
    }
}

pub(super) fn broken() -> Snapshot {
    Snapshot {
        namespace: "datamesh".into(),
        clusters: read(include_str!("../../tests/kubectl/clusters-broken.yaml")),
        pools: read(include_str!("../../tests/kubectl/pools-broken.yaml")),
        pods: read(include_str!("../../tests/kubectl/pods-broken.yaml")),
        claims: read(include_str!("../../tests/kubectl/claims-broken.yaml")),
        events: read(include_str!("../../tests/kubectl/events-broken.yaml")),
    }
}
