//! Least privilege, checked: what the code uses is granted, and nothing else.

use std::collections::BTreeSet;
use std::path::Path;

use k8s_openapi::api::core::v1::EnvVar;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role, RoleBinding};

/// What the code does in all namespaces: (group, resource, verb, where).
const USED: &[(&str, &str, &str, &str)] = &[
    ("datamesh.io", "datameshclusters", "get", "pool/dereference"),
    ("datamesh.io", "datameshclusters", "list", "controllers, run"),
    ("datamesh.io", "datameshclusters", "watch", "controllers"),
    ("datamesh.io", "datameshclusters", "patch", "finalizer"),
    ("datamesh.io", "datameshclusters/status", "patch", "cluster/update_status"),
    ("datamesh.io", "storagepools", "list", "controllers, dereference, pool/cleanup"),
    ("datamesh.io", "storagepools", "watch", "controllers"),
    ("datamesh.io", "storagepools", "patch", "finalizer"),
    ("datamesh.io", "storagepools/status", "patch", "pool/update_status"),
    ("apps", "statefulsets", "list", "controllers, dereference, cleanup"),
    ("apps", "statefulsets", "watch", "controllers"),
    ("apps", "statefulsets", "create", "apply"),
    ("apps", "statefulsets", "patch", "apply"),
    ("apps", "statefulsets", "delete", "cleanup, pool/removal"),
    ("", "services", "get", "cluster/dereference"),
    ("", "services", "create", "apply"),
    ("", "services", "patch", "apply"),
    ("", "configmaps", "create", "apply"),
    ("", "configmaps", "patch", "apply"),
    ("", "configmaps", "delete", "pool/cleanup, pool/removal"),
    ("", "secrets", "get", "dereference; never list or watch: names are known"),
    ("", "secrets", "create", "keep_new_key, tokens, join tokens"),
    ("", "secrets", "patch", "certificates"),
    ("", "secrets", "delete", "cleanup, pool/removal"),
    ("", "persistentvolumeclaims", "list", "dereference, cleanup"),
    ("", "persistentvolumeclaims", "patch", "volumes grow"),
    (
        "",
        "persistentvolumeclaims",
        "delete",
        "cluster/cleanup with deletionPolicy Destroy; pool/removal of drained nodes",
    ),
    ("", "nodes", "list", "zones and addresses"),
    ("networking.k8s.io", "networkpolicies", "create", "apply"),
    ("networking.k8s.io", "networkpolicies", "patch", "apply"),
    ("policy", "poddisruptionbudgets", "create", "apply"),
    ("policy", "poddisruptionbudgets", "patch", "apply"),
    ("policy", "poddisruptionbudgets", "delete", "pool/cleanup"),
    ("events.k8s.io", "events", "create", "context::tell"),
    ("events.k8s.io", "events", "patch", "context::tell, repeated"),
];

/// What it does in its own namespace.
const USED_AT_HOME: &[(&str, &str, &str, &str)] = &[
    ("coordination.k8s.io", "leases", "get", "leader election"),
    ("coordination.k8s.io", "leases", "create", "leader election"),
    ("coordination.k8s.io", "leases", "update", "leader election"),
];

type Grants = BTreeSet<(String, String, String)>;

fn granted(rules: &[PolicyRule]) -> Grants {
    let mut grants = Grants::new();
    for rule in rules {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                for verb in &rule.verbs {
                    grants.insert((group.clone(), resource.clone(), verb.clone()));
                }
            }
        }
    }
    grants
}

fn used(table: &[(&str, &str, &str, &str)]) -> Grants {
    table.iter().map(|&(group, resource, verb, _)| (group.into(), resource.into(), verb.into())).collect()
}

fn read<T: serde::de::DeserializeOwned>(file: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests").join(file);
    serde_yaml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The value the overlay for one namespace patches into an object of this kind.
fn patched<T: serde::de::DeserializeOwned>(kind: &str) -> T {
    let overlay: serde_yaml::Value = read("namespaced/kustomization.yaml");
    let patches = overlay["patches"].as_sequence().unwrap();
    let patch = patches.iter().find(|patch| patch["target"]["kind"] == kind).unwrap();
    let steps: serde_yaml::Value = serde_yaml::from_str(patch["patch"].as_str().unwrap()).unwrap();
    serde_yaml::from_value(steps[0]["value"].clone()).unwrap()
}

#[test]
fn the_cluster_role_grants_what_is_used_and_nothing_else() {
    let role: ClusterRole = read("base/clusterrole.yaml");
    assert_eq!(granted(&role.rules.unwrap()), used(USED));
}

#[test]
fn the_role_grants_the_lease_and_nothing_else() {
    let role: Role = read("base/role.yaml");
    assert_eq!(granted(&role.rules.unwrap()), used(USED_AT_HOME));
}

#[test]
fn nothing_is_granted_by_wildcard() {
    let all = granted(&read::<ClusterRole>("base/clusterrole.yaml").rules.unwrap());
    assert!(
        all.iter()
            .all(|(group, resource, verb)| ![group, resource, verb].iter().any(|part| part.contains('*')))
    );
}

#[test]
fn in_one_namespace_the_same_is_granted_there_and_nothing_elsewhere_but_zones() {
    let role: Role = read("namespaced/role.yaml");
    let everywhere: Vec<PolicyRule> = patched("ClusterRole");
    let zones = Grants::from([(String::new(), "nodes".into(), "list".into())]);
    assert_eq!(granted(&everywhere), zones);
    let mut there = used(USED);
    there.retain(|grant| !zones.contains(grant));
    assert_eq!(granted(&role.rules.unwrap()), there);
    // All three speak of one namespace.
    let binding: RoleBinding = read("namespaced/rolebinding.yaml");
    let watched: EnvVar = patched("Deployment");
    assert_eq!(watched.name, "WATCH_NAMESPACE");
    assert_eq!((&role.metadata.namespace, &binding.metadata.namespace), (&watched.value, &watched.value));
    assert_eq!(Some(binding.role_ref.name), role.metadata.name);
}
