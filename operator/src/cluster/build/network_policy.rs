//! Network policies: nothing is allowed but what is named here.

use std::collections::BTreeSet;

use datamesh_crds::label;
use datamesh_settings::{BULK_PORT, HEALTH_PORT, HTTPS_PORT, MESH_PORT, S3_PORT};
use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::cluster::validate::ValidCluster;
use crate::meta::{self, Family, Labels};

/// Port of the cluster's DNS.
const DNS_PORT: u16 = 53;

/// All policies of a cluster.
pub(super) fn all(cluster: &ValidCluster) -> Vec<NetworkPolicy> {
    let family = &cluster.family;
    vec![default_deny(family), gateway(cluster), storage(family)]
}

/// Denies everything to and from the cluster's pods; the others add what is allowed.
fn default_deny(family: &Family) -> NetworkPolicy {
    policy(family, "default-deny", members(family), Vec::new(), Vec::new())
}

/// Clients from anywhere by HTTPS, and S3 where it is served; members by mesh and bulk. Outward also to the catalog's
/// database, to webhooks, to the mail server, to providers that users sign in at and to where copies of backups go, wherever those are.
fn gateway(cluster: &ValidCluster) -> NetworkPolicy {
    let family = &cluster.family;
    let pods = meta::and(members(family), label::COMPONENT, label::GATEWAY);
    let doors = [Some(HTTPS_PORT), cluster.s3.as_ref().map(|_| S3_PORT)].into_iter().flatten();
    let clients = NetworkPolicyIngressRule { from: None, ports: Some(doors.map(tcp).collect()) };
    let to = |port| NetworkPolicyEgressRule { to: None, ports: Some(vec![tcp(port)]) };
    let database = cluster.database.as_ref().map(|database| to(database.port));
    let hooks = cluster.webhooks.iter().map(|webhook| webhook.port);
    let copies = cluster.copies.as_ref().map(|copies| copies.port);
    let beyond: BTreeSet<u16> = hooks.chain(cluster.sign_in.ports.iter().copied()).chain(copies).collect();
    let outward = outward(family).into_iter().chain(database).chain(beyond.into_iter().map(to)).collect();
    policy(family, "allow-gateway", pods, vec![clients, from_members(family), health()], outward)
}

/// Members by mesh and bulk.
fn storage(family: &Family) -> NetworkPolicy {
    let pods = meta::and(members(family), label::COMPONENT, label::STORAGE);
    policy(family, "allow-storage", pods, vec![from_members(family), health()], outward(family))
}

fn members(family: &Family) -> Labels {
    meta::selecting(&[(label::CLUSTER, &family.cluster)])
}

fn from_members(family: &Family) -> NetworkPolicyIngressRule {
    NetworkPolicyIngressRule { from: Some(vec![pods(members(family))]), ports: Some(mesh_ports()) }
}

/// Health and metrics, for monitoring in any namespace. (Probes come from the Kubernetes node itself.)
fn health() -> NetworkPolicyIngressRule {
    let anyone_inside = NetworkPolicyPeer {
        namespace_selector: Some(LabelSelector::default()),
        ..NetworkPolicyPeer::default()
    };
    NetworkPolicyIngressRule { from: Some(vec![anyone_inside]), ports: Some(vec![tcp(HEALTH_PORT)]) }
}

/// To members and to DNS, wherever that runs; nowhere else.
fn outward(family: &Family) -> Vec<NetworkPolicyEgressRule> {
    let dns = vec![protocol(DNS_PORT, "UDP"), tcp(DNS_PORT)];
    vec![
        NetworkPolicyEgressRule { to: Some(vec![pods(members(family))]), ports: Some(mesh_ports()) },
        NetworkPolicyEgressRule { to: None, ports: Some(dns) },
    ]
}

fn pods(labels: Labels) -> NetworkPolicyPeer {
    NetworkPolicyPeer { pod_selector: Some(meta::selector(labels)), ..NetworkPolicyPeer::default() }
}

fn mesh_ports() -> Vec<NetworkPolicyPort> {
    vec![tcp(MESH_PORT), tcp(BULK_PORT)]
}

fn tcp(port: u16) -> NetworkPolicyPort {
    protocol(port, "TCP")
}

fn protocol(port: u16, protocol: &str) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::Int(port.into())),
        protocol: Some(protocol.into()),
        end_port: None,
    }
}

fn policy(
    family: &Family,
    suffix: &str,
    pods: Labels,
    ingress: Vec<NetworkPolicyIngressRule>,
    egress: Vec<NetworkPolicyEgressRule>,
) -> NetworkPolicy {
    NetworkPolicy {
        metadata: family.owned(format!("{}-{suffix}", family.cluster), family.labels()),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(meta::selector(pods)),
            policy_types: Some(vec!["Ingress".into(), "Egress".into()]),
            ingress: (!ingress.is_empty()).then_some(ingress),
            egress: (!egress.is_empty()).then_some(egress),
        }),
    }
}
