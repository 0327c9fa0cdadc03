//! DataMeshCluster: one encrypted object store, its gateway and its key.

// KubeSchema copies each struct, with its `pub`, into a function.
#![allow(unreachable_pub)]

mod gateway;
mod request_limits;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use gateway::{
    CatalogBackups, Exposure, ExposureType, ExternalTrafficPolicy, GatewaySpec, NotificationTargetSpec,
    S3Spec,
};
pub use request_limits::{PortLimitsSpec, RequestLimitsSpec, RequestRateSpec};

use crate::catalog::{CatalogKeeper, CatalogSpec};

/// One encrypted object store: its gateway, its key and certificates. Its StoragePools name it in `clusterRef`.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "datamesh.io",
    version = "v1alpha1",
    kind = "DataMeshCluster",
    namespaced,
    status = "DataMeshClusterStatus",
    shortname = "dmc",
    category = "datamesh",
    derive = "PartialEq",
    cel,
    doc = "One encrypted, erasure-coded object store: its gateway, its key and certificates. StoragePools name it in `clusterRef`.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "DataSafe", type_ = "string", json_path = ".status.conditions[?(@.type==\"DataSafe\")].status"),
    printcolumn(name = "Nodes", type_ = "integer", json_path = ".status.nodes"),
    printcolumn(name = "Up", type_ = "integer", json_path = ".status.nodesUp"),
    printcolumn(
        name = "Endpoint",
        type_ = "string",
        json_path = ".status.endpoint",
        priority = "1"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = "1"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]{0,22}[a-z0-9])?$')").message(
        "metadata.name: use at most 24 characters of a-z, 0-9 and '-', beginning with a letter and ending with a letter or digit: the names of Services and pods are made from it"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.zoneLabel == oldSelf.zoneLabel").message("zoneLabel: cannot change, every node's volume is pinned to a zone of the old label; set it back").reason(Reason::FieldValueForbidden))]
#[x_kube(validation = Rule::new("!has(self.catalog) || !has(self.catalog.embedded) || !has(self.catalog.embedded.replicas) || self.catalog.embedded.replicas == self.gateway.replicas").message("catalog.embedded.replicas: each gateway keeps one copy of the catalog; write the same number in gateway.replicas"))]
pub struct DataMeshClusterSpec {
    /// The image of gateways and storage nodes.
    pub image: ImageSpec,
    /// The gateway: the HTTPS API, which also carries the catalog of names and keys.
    pub gateway: GatewaySpec,
    /// Where names, keys and the cluster's own records are. Left out: on the gateway's volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalog: Option<CatalogSpec>,
    /// Certificates of the HTTPS API. Left out: the operator makes an own CA and renews everything itself.
    #[serde(default)]
    pub tls: TlsSpec,
    /// The label of Kubernetes nodes that names their failure domain.
    #[serde(default = "default_zone_label")]
    #[schemars(length(min = 1, max = 253))]
    pub zone_label: String,
    /// While true, the operator changes nothing of this cluster and its pools; what runs goes on running.
    #[serde(default)]
    pub paused: bool,
    /// What deleting this object does to volumes and the cluster key. `Destroy` cannot be undone.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// What is encrypted between the processes: requests alone, since shards are sealed already, or everything once more.
    /// A change restarts the pods one after the other; while both kinds run, everything is.
    #[serde(default)]
    pub bulk_encryption: BulkEncryption,
    /// What the processes log: a level (`info`), or levels by module (`info,datamesh_store=debug`).
    #[serde(default = "default_log_level")]
    #[schemars(length(min = 1, max = 200))]
    #[x_kube(validation = Rule::new("self.matches('^([A-Za-z0-9_:-]+=)?(off|error|warn|info|debug|trace)(,([A-Za-z0-9_:-]+=)?(off|error|warn|info|debug|trace))*$')").message("logLevel: write off, error, warn, info, debug or trace, or such levels by module with commas between them, like info,datamesh_store=debug"))]
    pub log_level: String,
}

fn default_zone_label() -> String {
    "topology.kubernetes.io/zone".into()
}

fn default_log_level() -> String {
    "info".into()
}

/// A container image. There is no default: an upgrade of the operator or of this definition must not restart a pod.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageSpec {
    /// Registry and name, like `registry.example.com/datamesh`.
    #[schemars(length(min = 1, max = 400))]
    #[x_kube(validation = Rule::new("self.matches('^([A-Za-z0-9]+(([.]|-+)[A-Za-z0-9]+)*(:[0-9]+)?/)?[a-z0-9]+(([.]|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+(([.]|_|__|-+)[a-z0-9]+)*)*$')").message("image.repository: write registry and name without a tag, the name in small letters, like registry.example.com/datamesh or localhost:5000/datamesh"))]
    pub repository: String,
    /// Tag, or a digest (`sha256:…`).
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = Rule::new("self.matches('^([A-Za-z0-9_][A-Za-z0-9_.-]*|sha256:[0-9a-f]{64})$')").message("image.tag: write a tag of letters, digits, '_', '.' and '-', or a digest: sha256: and 64 hexadecimal digits"))]
    pub tag: String,
    /// When the image is pulled.
    #[serde(default)]
    pub pull_policy: PullPolicy,
}

impl ImageSpec {
    /// The full reference a container uses.
    #[must_use]
    pub fn reference(&self) -> String {
        let separator = if self.tag.starts_with("sha256:") { '@' } else { ':' };
        format!("{}{separator}{}", self.repository, self.tag)
    }
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum PullPolicy {
    /// Only when the node lacks it.
    #[default]
    IfNotPresent,
    /// At every start of a pod.
    Always,
    /// Never; it must be there.
    Never,
}

impl PullPolicy {
    /// As a container's field.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IfNotPresent => "IfNotPresent",
            Self::Always => "Always",
            Self::Never => "Never",
        }
    }
}

/// A Secret of the same namespace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Certificates of the HTTPS API.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsSpec {
    /// A Secret with `tls.crt`, `tls.key` and `ca.crt`, the CA's certificate. The certificate must also name the
    /// Service (`<cluster>-gateway.<namespace>.svc`), by which the operator asks the gateway. Left out: an own CA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: Option<String>,
}

/// What is encrypted on connections between the cluster's processes. All of them prove their keys in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum BulkEncryption {
    /// Requests and answers. Shards travel as they lie on the disks, sealed by the gateway: who watches the network sees sealed
    /// segments, and which of them are read when.
    #[default]
    Requests,
    /// Everything, in TLS. A get costs half as much CPU again, a put an eighth more.
    Everything,
}

/// What deleting a cluster does to what holds data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum DeletionPolicy {
    /// Volumes and the cluster key stay; applying the same objects again goes on with the data.
    #[default]
    Retain,
    /// Volumes and the cluster key are deleted. No copy remains.
    Destroy,
}

/// What the operator observed.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DataMeshClusterStatus {
    /// The generation of the spec this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Progressing, Degraded, DataSafe, KeyMissing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// First digits of the cluster key's fingerprint. A key with another one is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub key_fingerprint: Option<String>,
    /// Who keeps the catalog, by a gateway's own word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalog_kept_by: Option<CatalogKeeper>,
    /// Where the gateway is reached inside the Kubernetes cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub endpoint: Option<String>,
    /// Gateways wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateways: Option<i32>,
    /// Gateways whose pods are ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateways_ready: Option<i32>,
    /// Storage nodes wanted, over all pools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<i32>,
    /// Storage nodes that answer the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes_up: Option<i32>,
}
