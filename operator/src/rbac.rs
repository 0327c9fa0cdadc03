//! Least privilege, checked: what the code uses is granted, and nothing else.

use std::collections::BTreeSet;
use std::path::Path;

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};

/// What the code does in all namespaces: (group, resource, verb, where).
const USED: &[(&str, &str, &str, &str)] = &[
    ("datamesh.io", "datameshclusters", "get", "pool/dereference"),
    ("datamesh.io", "datameshclusters", "list", "controllers, run"),
    ("datamesh.io", "datameshclusters", "watch", "controllers"),
    ("datamesh.io", "datameshclusters", "patch", "finalizer"),
    ("datamesh.io", "datameshclusters/status", "patch", "cluster/update_status"),
    ("datamesh.io", "storagepools", "list", "controllers, cluster/dereference"),
    ("datamesh.io", "storagepools", "watch", "controllers"),
    ("datamesh.io", "storagepools", "patch", "finalizer"),
    ("datamesh.io", "storagepools/status", "patch", "pool/update_status"),
    ("apps", "statefulsets", "get", "cluster/dereference"),
    ("apps", "statefulsets", "list", "controllers, pool/dereference, cleanup"),
    ("apps", "statefulsets", "watch", "controllers"),
    ("apps", "statefulsets", "create", "apply"),
    ("apps", "statefulsets", "patch", "apply"),
    ("apps", "statefulsets", "delete", "cleanup"),
    ("", "services", "get", "cluster/dereference"),
    ("", "services", "create", "apply"),
    ("", "services", "patch", "apply"),
    ("", "configmaps", "create", "apply"),
    ("", "configmaps", "patch", "apply"),
    ("", "configmaps", "delete", "pool/cleanup"),
    ("", "secrets", "get", "dereference; never list or watch: names are known"),
    ("", "secrets", "create", "keep_new_key, tokens, join tokens"),
    ("", "secrets", "patch", "certificates"),
    ("", "secrets", "delete", "cleanup"),
    ("", "persistentvolumeclaims", "list", "dereference, cleanup"),
    ("", "persistentvolumeclaims", "patch", "volumes grow"),
    ("", "persistentvolumeclaims", "delete", "cluster/cleanup, deletionPolicy Destroy"),
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
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/base").join(file);
    serde_yaml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn the_cluster_role_grants_what_is_used_and_nothing_else() {
    let role: ClusterRole = read("clusterrole.yaml");
    assert_eq!(granted(&role.rules.unwrap()), used(USED));
}

#[test]
fn the_role_grants_the_lease_and_nothing_else() {
    let role: Role = read("role.yaml");
    assert_eq!(granted(&role.rules.unwrap()), used(USED_AT_HOME));
}

#[test]
fn nothing_is_granted_by_wildcard() {
    let all = granted(&read::<ClusterRole>("clusterrole.yaml").rules.unwrap());
    assert!(
        all.iter()
            .all(|(group, resource, verb)| ![group, resource, verb].iter().any(|part| part.contains('*')))
    );
}
