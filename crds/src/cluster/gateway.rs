//! What a DataMeshCluster says of its gateways.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{RequestLimitsSpec, SecretRef};
use crate::copies::{BackupCopiesSpec, RestoreFrom};
use crate::sign_in::{MailSpec, OidcSpec};
use crate::size::{Resources, Size};
use crate::span::Span;

/// The gateway.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.oidc) || self.oidc.size() == 0 || has(self.publicUrl)").message("gateway.publicUrl: gateway.oidc needs it, providers send browsers back there; write where browsers reach the gateways, like https://files.example.com"))]
#[x_kube(validation = Rule::new("!has(self.backupCopies) || !has(self.catalogBackups) || self.catalogBackups != 'Off'").message("gateway.backupCopies: catalogBackups is Off, so there is nothing to copy; leave backupCopies out, or set catalogBackups to Mesh"))]
#[x_kube(validation = Rule::new("!has(self.restoreFrom) || self.restoreFrom != 'Copies' || has(self.backupCopies)").message("gateway.restoreFrom: Copies are read where gateway.backupCopies says they are; write that, or set restoreFrom to Mesh"))]
#[x_kube(validation = Rule::new("has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)").message("gateway.storageClassName: cannot change, the catalog's volume exists; set it back").reason(Reason::FieldValueForbidden))]
pub struct GatewaySpec {
    /// Gateways, each with a copy of the catalog on a volume of its own. 3 survive the loss of one, 5 of two; 1 is the single copy
    /// of all names and keys. With `catalog.postgres` none has a copy, and any that is left serves. Lowered, the last ones leave: once those
    /// that stay have everything, their pods and then their volumes are removed; until then, raising it again calls that off.
    #[serde(default = "one")]
    #[x_kube(validation = Rule::new("self == 1 || self == 3 || self == 5").message("gateway.replicas: 1, 3 or 5, since a majority of them has to agree on each change, and an even number survives no more losses than the odd one below it"))]
    pub replicas: i32,
    /// Size of the catalog's volume; it may grow later, not shrink.
    #[x_kube(validation = Rule::new("quantity(self).compareTo(quantity('1Gi')) >= 0").message("gateway.volumeSize: at least 1Gi, the catalog's log alone needs that"))]
    #[x_kube(validation = Rule::new("quantity(self).compareTo(quantity(oldSelf)) >= 0").message("gateway.volumeSize: a volume cannot shrink; set it back to at least its old size").reason(Reason::FieldValueForbidden))]
    pub volume_size: Size,
    /// Storage class of the catalog's volume. Left out: the default class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub storage_class_name: Option<String>,
    /// cpu and memory of the gateway's container.
    #[serde(default)]
    pub resources: Resources,
    /// How clients reach the gateway.
    #[serde(default)]
    pub exposure: Exposure,
    /// Serves S3 as well, on port 9000 of the same Service and by the same certificate. `{}` is enough; left out: no S3. Adding or
    /// removing it restarts the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Spec>,
    /// Bytes of buffers that all transfers share. Transfers beyond it wait, none fails; with cacheBytes it must leave 96Mi of
    /// the memory limit, 128Mi where S3 is served.
    #[serde(default = "default_buffer_bytes")]
    #[x_kube(validation = Rule::new("quantity(self).compareTo(quantity('32Mi')) >= 0").message("gateway.bufferBytes: at least 32Mi, one upload needs a few segments of 4Mi and their parity"))]
    pub buffer_bytes: Size,
    /// Bytes of memory in which hot segments are kept, sealed as they lie on the nodes, so that reading them again asks no node.
    /// 0 keeps none. With bufferBytes it must leave 96Mi of the memory limit, 128Mi where S3 is served. `datamesh_gateway_cache_hits_total` and
    /// `_misses_total` tell whether more would pay.
    #[serde(default = "default_cache_bytes")]
    #[x_kube(validation = Rule::new("quantity(self).compareTo(quantity('0')) == 0 || quantity(self).compareTo(quantity('16Mi')) >= 0").message("gateway.cacheBytes: 0 for no cache, or at least 16Mi, less holds too few segments of 4Mi"))]
    pub cache_bytes: Size,
    /// How long the pieces of deleted and replaced files are kept for reads under way, like `1h` or `36h`. A read that lasts longer
    /// goes on while its file is there, and is ended once it is not. A change restarts the gateway and counts for what is
    /// deleted from then on.
    #[serde(default = "default_deleted_retention")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('10m') && duration(self) <= duration('8760h')").message("gateway.deletedRetention: at least 10m, in which a read under way surely has the piece it is at, and at most 8760h, like 1h"))]
    pub deleted_retention: Span,
    /// How long entries of the audit are kept, like `720h` for 30 days; `9600h`, 400 days, where it is left out. There are 1,000,000 of them at
    /// most, however young. What is older is cut off by itself; export before shortening it. A change restarts the gateway.
    #[serde(default = "default_audit_retention")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('24h') && duration(self) <= duration('87600h')").message("gateway.auditRetention: at least 24h and at most 87600h, ten years; 30 days are 720h"))]
    pub audit_retention: Span,
    /// Where no gateway has a catalog on its volume: restore it from the backups that storage nodes keep, `newest` or a time like
    /// `2026-11-30T02:00:00Z` after which nothing shall be in it; what was acknowledged later is lost. With a catalog there it does
    /// nothing. The same text restores once: after another loss write another, like `newest#2`. A change restarts the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new("self.matches('^(newest|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2}))(#[0-9A-Za-z._-]{1,20})?$')").message("gateway.restore: write newest, or a time like 2026-11-30T02:00:00Z"))]
    pub restore: Option<String>,
    /// Where the catalog is backed up to while gateways keep it: `Mesh` into the pools themselves, every half a minute in which something
    /// changed, so a lost volume costs that much and takes a few copies of the catalog in room. `Off` nowhere: storage nodes let go of
    /// earlier backups, and the catalog is as safe as the gateways' volumes. A change restarts the gateway.
    #[serde(default, skip_serializing_if = "CatalogBackups::is_default")]
    pub catalog_backups: CatalogBackups,
    /// A bucket of any S3 that copies of those backups go to, for when pools and gateways are lost together. A change restarts the gateways,
    /// one at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_copies: Option<BackupCopiesSpec>,
    /// Where `restore` finds backups. With `Copies` the time may be as long ago as copies are kept; files that were deleted since may be
    /// damaged then. A change restarts the gateways.
    #[serde(default, skip_serializing_if = "RestoreFrom::is_default")]
    pub restore_from: RestoreFrom,
    /// Webhooks that events of buckets may be sent to. Users of S3 name one as `arn:datamesh:sqs:::NAME`, and can name no other
    /// address. Adding, changing or removing one restarts the gateway.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub notifications: Vec<NotificationTargetSpec>,
    /// How many requests each gateway takes of whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_limits: Option<RequestLimitsSpec>,
    /// Where browsers reach the gateways, like `https://files.example.com`; `oidc` needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 9, max = 264))]
    #[x_kube(validation = Rule::new("self.matches('^https://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]+)?$')").message("gateway.publicUrl: write https:// and a host without a path, like https://files.example.com"))]
    pub public_url: Option<String>,
    /// How mail leaves the cluster. Left out: none does. A change restarts the gateways, one at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mail: Option<MailSpec>,
    /// Providers of OpenID Connect that users may sign in at. A change restarts the gateways, one at a time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub oidc: Vec<OidcSpec>,
}

/// Where the catalog is backed up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CatalogBackups {
    /// Into the pools, sealed and coded like any data.
    #[default]
    Mesh,
    /// Nowhere.
    Off,
}

impl CatalogBackups {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A webhook of yours.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotificationTargetSpec {
    /// What users of S3 call it.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$')").message("gateway.notifications.name: small letters, digits, `.` and `-`, like hook-1"))]
    pub name: String,
    /// Where it takes messages, by HTTPS. The gateway's NetworkPolicy opens its port outward.
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = Rule::new("self.startsWith('https://')").message("gateway.notifications.url: write one like https://hooks.example.org/datamesh"))]
    pub url: String,
    /// Names a Secret with `secret`, which messages are signed with, or `ca.crt`, the certificate of the server's CA where no public
    /// one vouches for it, or both. Left out: messages are not signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
}

fn one() -> i32 {
    1
}

fn default_buffer_bytes() -> Size {
    Size::new("96Mi")
}

fn default_cache_bytes() -> Size {
    Size::new("32Mi")
}

fn default_deleted_retention() -> Span {
    Span::new("1h")
}

fn default_audit_retention() -> Span {
    Span::new("9600h")
}

/// How S3 is served.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct S3Spec {
    /// The DNS domain below which each name is a bucket (`photos.s3.example.com`). Left out: buckets stand in paths only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 190))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')").message("gateway.s3.domain: write a DNS name in small letters without a port, like s3.example.com"))]
    pub domain: Option<String>,
}

/// How clients reach the gateway.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.nodePort) || self.type == 'NodePort'").message("gateway.exposure.nodePort: only with type NodePort; set the type or remove the port"))]
#[x_kube(validation = Rule::new("!has(self.externalTrafficPolicy) || self.type == 'NodePort' || self.type == 'LoadBalancer'").message("gateway.exposure.externalTrafficPolicy: only with type NodePort or LoadBalancer; set the type or remove the policy"))]
pub struct Exposure {
    /// Type of the gateway's Service.
    #[serde(rename = "type", default)]
    pub type_: ExposureType,
    /// The port on every Kubernetes node. Left out: Kubernetes chooses one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 65535").message("gateway.exposure.nodePort: a port is 1 to 65535, and usually Kubernetes allows 30000 to 32767"))]
    pub node_port: Option<i32>,
    /// How what comes from outside gets to a gateway. `Local` keeps the address of the client, which the audit enters and by which
    /// sign-ins are slowed down, and answers only on Kubernetes nodes that run a gateway. Left out, or `Cluster`: on any, with that
    /// node's address in place of the client's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_traffic_policy: Option<ExternalTrafficPolicy>,
}

/// How traffic from outside gets to a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum ExternalTrafficPolicy {
    /// By any Kubernetes node.
    Cluster,
    /// By those that run a gateway.
    Local,
}

impl ExternalTrafficPolicy {
    /// As a Service's field.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cluster => "Cluster",
            Self::Local => "Local",
        }
    }
}

/// Types of the gateway's Service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum ExposureType {
    /// Inside the Kubernetes cluster only.
    #[default]
    ClusterIP,
    /// By a port of every Kubernetes node.
    NodePort,
    /// By a load balancer of the surrounding cloud.
    LoadBalancer,
}

impl ExposureType {
    /// As a Service's field.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClusterIP => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::LoadBalancer => "LoadBalancer",
        }
    }
}
