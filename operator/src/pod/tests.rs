use std::path::Path;

use super::*;
use crate::cluster;

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn parts() -> PodParts {
    let labels = meta::selecting(&[(label::CLUSTER, "demo")]);
    let meta = ObjectMeta {
        name: Some("demo-main-0".into()),
        labels: Some(labels.clone()),
        ..ObjectMeta::default()
    };
    PodParts {
        meta,
        selector: labels,
        service: "demo-gateway-mesh".into(),
        role: label::STORAGE,
        image: "datamesh:dev".into(),
        pull_policy: "IfNotPresent",
        resources: Resources::default(),
        log_level: "info,datamesh_store=debug".into(),
        ports: Vec::new(),
        files: Vec::new(),
        settings_hash: "0".into(),
        affinity: None,
        volume_size: Size::new("10Gi"),
        storage_class_name: None,
    }
}

/// A source file of the node, which reads what is written here and is no dependency of this crate.
fn node_source(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../node/src").join(file);
    std::fs::read_to_string(path).unwrap()
}

/// The number between `before` and `after`.
fn number(text: &str, before: &str, after: &str) -> i64 {
    let (_, rest) = text.split_once(before).unwrap();
    rest.split_once(after).unwrap().0.parse().unwrap()
}

#[test]
fn a_pod_that_never_became_ready_takes_a_corrected_template() {
    let spec = stateful_set(parts()).spec.unwrap();
    assert_eq!(spec.pod_management_policy.as_deref(), Some("Parallel"));
    assert_eq!(spec.replicas, Some(1));
}

#[test]
fn the_node_reads_the_level_it_is_given() {
    let pod = stateful_set(parts()).spec.unwrap().template.spec.unwrap();
    let given = pod.containers[0].env.as_ref().unwrap();
    let level = given.iter().find(|variable| variable.value == Some("info,datamesh_store=debug".into()));
    let read = format!("env = \"{}\"", level.unwrap().name);
    assert!(node_source("args.rs").contains(&read), "node/src/args.rs has no {read}");
}

#[test]
fn a_pod_may_stop_longer_than_its_process_takes() {
    let pod = stateful_set(parts()).spec.unwrap().template.spec.unwrap();
    let own = number(&node_source("stop.rs"), "GRACE: Duration = Duration::from_secs(", ")");
    assert!(pod.termination_grace_period_seconds.unwrap() > own, "{own} s are too many");
}

/// Another level would end every process at its start.
#[test]
fn every_admitted_level_can_be_read() {
    let mut cluster = cluster::tests::cluster();
    for level in [
        "info",
        "off",
        "info,datamesh_store=debug",
        "datamesh_mesh::swarm=trace,warn",
        "libp2p-kad=error,h2=off",
    ] {
        cluster.spec.log_level = level.into();
        cluster.validate_cel().unwrap();
        tracing_subscriber::EnvFilter::builder().parse(level).unwrap();
    }
    for level in ["info,datamesh_store=loud", "datamesh_store=", "info=info=info"] {
        cluster.spec.log_level = level.into();
        assert!(cluster.validate_cel().unwrap_err().to_string().contains("logLevel: write"), "{level}");
    }
}

#[test]
fn a_volume_keeps_the_note_of_its_key() {
    let key = ClusterSecret::from_hex(KEY).unwrap();
    let set = stateful_set(PodParts { meta: sealed_with(parts().meta, &key), ..parts() });
    let claim = &set.spec.unwrap().volume_claim_templates.unwrap()[0];
    let notes = claim.metadata.annotations.as_ref().unwrap();
    assert_eq!(notes, &BTreeMap::from([(label::FINGERPRINT.to_owned(), key.fingerprint())]));
    // What changes with each release is no part of what can never change.
    let hash = set.metadata.annotations.unwrap().remove(label::TEMPLATE_HASH);
    assert!(hash.is_some());
}
