//! The gateway's Services: one for clients, one for the cluster's own members.

use datamesh_crds::{ExposureType, label};
use datamesh_settings::{BULK_PORT, HTTPS_PORT, MESH_PORT, S3_PORT};
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::stateful_set::selecting;
use crate::cluster::validate::ValidCluster;
use crate::{meta, names};

/// The port clients outside expect.
const HTTPS_STANDARD_PORT: u16 = 443;

/// For clients: HTTPS, ready gateways only. Always on 8443, which the operator uses; by a load balancer also on 443.
/// S3, where it is served, on 9000.
pub(super) fn gateway(cluster: &ValidCluster) -> Service {
    let exposure = &cluster.exposure;
    let mut ports = vec![ServicePort { node_port: exposure.node_port, ..port("https", HTTPS_PORT, "https") }];
    if exposure.type_ == ExposureType::LoadBalancer {
        ports.push(port("https-standard", HTTPS_STANDARD_PORT, "https"));
    }
    if cluster.s3.is_some() {
        ports.push(port("s3", S3_PORT, "s3"));
    }
    let spec = ServiceSpec {
        type_: Some(exposure.type_.as_str().into()),
        external_traffic_policy: exposure.external_traffic_policy.map(|policy| policy.as_str().into()),
        ports: Some(ports),
        ..ServiceSpec::default()
    };
    service(cluster, names::gateway(&cluster.family.cluster), spec)
}

/// For nodes: joining and bootstrap must work before the gateway is ready to serve clients.
pub(super) fn mesh(cluster: &ValidCluster) -> Service {
    let spec = ServiceSpec {
        cluster_ip: Some("None".into()),
        publish_not_ready_addresses: Some(true),
        ports: Some(vec![port("mesh", MESH_PORT, "mesh"), port("bulk", BULK_PORT, "bulk")]),
        ..ServiceSpec::default()
    };
    service(cluster, names::gateway_mesh(&cluster.family.cluster), spec)
}

fn service(cluster: &ValidCluster, name: String, spec: ServiceSpec) -> Service {
    let family = &cluster.family;
    let labels = meta::and(family.labels(), label::COMPONENT, label::GATEWAY);
    let spec = ServiceSpec { selector: Some(selecting(&family.cluster)), ..spec };
    Service { metadata: family.owned(name, labels), spec: Some(spec), status: None }
}

fn port(name: &str, port: u16, target: &str) -> ServicePort {
    ServicePort {
        name: Some(name.into()),
        port: port.into(),
        protocol: Some("TCP".into()),
        target_port: Some(IntOrString::String(target.into())),
        ..ServicePort::default()
    }
}
