//! Names of everything the operator makes, in one place: tests, runbooks and people look for them.

/// Finalizer on clusters and pools.
pub(crate) const FINALIZER: &str = "datamesh.io/operator";
/// Field of the key Secret: 64 hexadecimal digits.
pub(crate) const KEY_FIELD: &str = "secret";
/// Field of the tokens Secret: bearer token of users.
pub(crate) const TOKEN_FIELD: &str = "token";
/// Field of the tokens Secret: bearer token of administrators and of the operator.
pub(crate) const ADMIN_TOKEN_FIELD: &str = "admin-token";
/// Field of a join Secret.
pub(crate) const JOIN_FIELD: &str = "token";
/// Field of a settings ConfigMap.
pub(crate) const SETTINGS_FIELD: &str = "settings.yaml";
/// Name of the data volume's claim template; the claim is `data-<StatefulSet>-0`.
pub(crate) const DATA_VOLUME: &str = "data";

pub(crate) fn cluster_key(cluster: &str) -> String {
    format!("{cluster}-cluster-key")
}

pub(crate) fn ca(cluster: &str) -> String {
    format!("{cluster}-ca")
}

pub(crate) fn gateway_tls(cluster: &str) -> String {
    format!("{cluster}-gateway-tls")
}

pub(crate) fn tokens(cluster: &str) -> String {
    format!("{cluster}-tokens")
}

/// The gateways' Service and disruption budget, and the first gateway: it has the name that an only one always had.
pub(crate) fn gateway(cluster: &str) -> String {
    format!("{cluster}-gateway")
}

/// One of several gateways, counted from 1: its StatefulSet, and its name in settings and catalog.
pub(crate) fn nth_gateway(cluster: &str, ordinal: u16) -> String {
    match ordinal {
        0 | 1 => gateway(cluster),
        more => format!("{}-{more}", gateway(cluster)),
    }
}

/// Which of the cluster's gateways has this name, counted from 1.
pub(crate) fn gateway_ordinal(name: &str, cluster: &str) -> Option<u16> {
    let rest = name.strip_prefix(&gateway(cluster))?;
    if rest.is_empty() {
        Some(1)
    } else {
        rest.strip_prefix('-')?.parse().ok().filter(|&ordinal| ordinal > 1)
    }
}

/// The one pod of a StatefulSet.
pub(crate) fn pod(stateful_set: &str) -> String {
    format!("{stateful_set}-0")
}

/// The headless Service by which nodes find the gateway before it is ready.
pub(crate) fn gateway_mesh(cluster: &str) -> String {
    format!("{cluster}-gateway-mesh")
}

/// The DNS name of a Service, as it is written into settings and certificates.
pub(crate) fn service_host(service: &str, namespace: &str) -> String {
    format!("{service}.{namespace}.svc")
}

/// One node identity: its StatefulSet, and its name in settings and layouts.
pub(crate) fn node(cluster: &str, pool: &str, ordinal: u16) -> String {
    format!("{cluster}-{pool}-{ordinal}")
}

/// A pool's disruption budget, and what the names of its nodes begin with. Not unique by itself: see `pool/namesakes`.
pub(crate) fn pool(cluster: &str, pool: &str) -> String {
    format!("{cluster}-{pool}")
}

/// The settings ConfigMap of a gateway or node.
pub(crate) fn settings(owner: &str) -> String {
    format!("{owner}-settings")
}

/// The join token of a node.
pub(crate) fn join(node: &str) -> String {
    format!("{node}-join")
}

/// The volume claim of a gateway or node.
pub(crate) fn claim(stateful_set: &str) -> String {
    format!("{DATA_VOLUME}-{stateful_set}-0")
}

/// The gateway or node whose volume claim has this name.
pub(crate) fn claimant(claim: &str) -> Option<&str> {
    claim.strip_prefix(DATA_VOLUME)?.strip_prefix('-')?.strip_suffix("-0")
}

/// The ordinal in the name of a node of this pool.
pub(crate) fn ordinal_of(node: &str, cluster: &str, pool: &str) -> Option<u16> {
    node.strip_prefix(cluster)?.strip_prefix('-')?.strip_prefix(pool)?.strip_prefix('-')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinal_is_read_back() {
        assert_eq!(ordinal_of(&node("demo", "main", 12), "demo", "main"), Some(12));
        assert_eq!(ordinal_of("demo-other-1", "demo", "main"), None);
        assert_eq!(ordinal_of("demo-main-x", "demo", "main"), None);
    }

    #[test]
    fn gateways_are_counted_from_the_one_that_was_alone() {
        let names = [1, 2, 5].map(|ordinal| nth_gateway("demo", ordinal));
        assert_eq!(names, ["demo-gateway", "demo-gateway-2", "demo-gateway-5"]);
        assert_eq!(names.map(|name| gateway_ordinal(&name, "demo")), [Some(1), Some(2), Some(5)]);
        for other in ["demo-gateway-x", "demo-gateway-1", "demo-gateway2", "demo-main-0", "other-gateway"] {
            assert_eq!(gateway_ordinal(other, "demo"), None, "{other}");
        }
    }

    #[test]
    fn a_claim_names_whose_it_is() {
        assert_eq!(claimant(&claim("demo-main-0")), Some("demo-main-0"));
        assert_eq!(claimant("other-demo-main-0-0"), None);
        assert_eq!(claimant("data-demo-main-0-1"), None);
    }

    #[test]
    fn the_longest_names_leave_room_for_kubernetes_suffixes() {
        let name = node(&"c".repeat(24), &"p".repeat(20), 999);
        assert!(
            name.len() <= 52,
            "{name}: a StatefulSet's pods carry a revision label of its name and 11 characters"
        );
    }
}
