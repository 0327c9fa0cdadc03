//! StoragePool: the nodes that hold the shards of one erasure profile.

// KubeSchema copies each struct, with its `pub`, into a function.
#![allow(unreachable_pub)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::size::{Resources, Size};
use crate::span::Span;

/// A set of storage nodes with one erasure profile and cipher, spread over the zones.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "datamesh.io",
    version = "v1alpha1",
    kind = "StoragePool",
    namespaced,
    status = "StoragePoolStatus",
    shortname = "dmpool",
    category = "datamesh",
    derive = "PartialEq",
    cel,
    doc = "A set of storage nodes of one DataMeshCluster with one erasure profile and cipher, spread over the zones.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    selectable = ".spec.clusterRef",
    printcolumn(name = "Cluster", type_ = "string", json_path = ".spec.clusterRef"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "DataSafe", type_ = "string", json_path = ".status.conditions[?(@.type==\"DataSafe\")].status"),
    printcolumn(name = "Data", type_ = "integer", json_path = ".spec.erasure.dataShards"),
    printcolumn(name = "Parity", type_ = "integer", json_path = ".spec.erasure.parityShards"),
    printcolumn(name = "Nodes", type_ = "integer", json_path = ".spec.replicas"),
    printcolumn(name = "Up", type_ = "integer", json_path = ".status.nodesUp"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = "1"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]{0,18}[a-z0-9])?$')").message(
        "metadata.name: use at most 20 characters of a-z, 0-9 and '-', beginning with a letter and ending with a letter or digit: the names of nodes and volumes are made from it"
    ),
    validation = Rule::new("self.metadata.name != 'gateway' && !self.metadata.name.endsWith('-gateway')").message(
        "metadata.name: 'gateway' and names that end with '-gateway' give the names a cluster's gateway has; choose another one"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.erasure.dataShards + self.erasure.parityShards <= self.replicas").message("replicas: every shard of a segment needs a node of its own; raise replicas to at least erasure.dataShards + erasure.parityShards, or lower those"))]
#[x_kube(validation = Rule::new("self.erasure.parityShards != 1 || (has(self.ackShards) && self.ackShards == self.erasure.dataShards)").message("ackShards: with erasure.parityShards 1 a put during an outage is acknowledged while no further loss is survived; set ackShards to the value of dataShards to accept that, or parityShards to 2 or more"))]
#[x_kube(validation = Rule::new("self.erasure.parityShards == 1 || !has(self.ackShards) || (self.ackShards > self.erasure.dataShards && self.ackShards <= self.erasure.dataShards + self.erasure.parityShards)").message("ackShards: choose from dataShards + 1 (one more loss is survived at once) to dataShards + parityShards (all), or leave it out for dataShards + 1"))]
#[x_kube(validation = Rule::new("!has(self.reserve) || quantity(self.reserve).compareTo(quantity(self.volumeSize)) < 0").message("reserve: must be less than volumeSize, or no shard could ever be stored"))]
#[x_kube(validation = Rule::new("has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)").message("storageClassName: cannot change, the volumes exist; set it back, and make a new pool for another class").reason(Reason::FieldValueForbidden))]
pub struct StoragePoolSpec {
    /// The DataMeshCluster in the same namespace that this pool belongs to.
    #[schemars(length(min = 1, max = 24))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z]([-a-z0-9]{0,22}[a-z0-9])?$')").message("clusterRef: write the name of a DataMeshCluster in this namespace: at most 24 characters of a-z, 0-9 and '-', beginning with a letter and ending with a letter or digit"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("clusterRef: cannot change, the volumes are sealed for that cluster; set it back, and make a new pool for another cluster").reason(Reason::FieldValueForbidden))]
    pub cluster_ref: String,
    /// Storage nodes, each with its own volume. Lowered, the nodes with the highest numbers give their shards to the others;
    /// each that is proven to be empty is then removed, and its volume too.
    #[x_kube(validation = Rule::new("self >= 2 && self <= 1000").message("replicas: 2 to 1000 nodes"))]
    pub replicas: i32,
    /// How many pieces a segment is cut into, and how many may be lost. Changed, it holds for what is written from then on; what is
    /// there stays in the profile it has, with the losses that one survives, unless recode is enabled.
    #[serde(default)]
    pub erasure: ErasureSpec,
    /// Whether what was written in an earlier erasure profile is coded anew in the present one.
    #[serde(default)]
    pub recode: RecodeSpec,
    /// The AEAD that seals segments.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf").message("cipher: cannot change in a pool; set it back, and make a new pool for another cipher").reason(Reason::FieldValueForbidden))]
    pub cipher: CipherName,
    /// Durable shards that suffice to acknowledge a put when some nodes are late or down. Left out: dataShards + 1, which
    /// survives one more loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ack_shards: Option<i32>,
    /// Size of each node's volume; it may grow later, not shrink.
    #[x_kube(validation = Rule::new("quantity(self).compareTo(quantity('1Gi')) >= 0").message("volumeSize: at least 1Gi"))]
    #[x_kube(validation = Rule::new("quantity(self).compareTo(quantity(oldSelf)) >= 0").message("volumeSize: a volume cannot shrink; set it back to at least its old size").reason(Reason::FieldValueForbidden))]
    pub volume_size: Size,
    /// Storage class of the volumes. Left out: the default class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub storage_class_name: Option<String>,
    /// Free bytes below which a node takes no new shards. Left out: a twentieth of volumeSize.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserve: Option<Size>,
    /// cpu and memory of a storage node's container.
    #[serde(default)]
    pub resources: Resources,
    /// How the nodes read their shards, to see whether they are still what was written. A change restarts nothing.
    #[serde(default)]
    pub scrub: ScrubSpec,
}

/// How the nodes read their shards, to see whether they are still what was written.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScrubSpec {
    /// Within this each node reads all of its shards once, like `336h` for 14 days.
    #[serde(default = "fortnight")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1h') && duration(self) <= duration('8760h')").message("scrub.period: choose 1h to 8760h, like 336h for 14 days"))]
    pub period: Span,
    /// While true, nodes do not read; each goes on later where it was. What rots meanwhile is found by reads alone, and DataSafe says
    /// so.
    #[serde(default)]
    pub paused: bool,
    /// Bytes a second that each node reads for it at most; goes before the period. Left out: as many as the period asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("quantity(self).compareTo(quantity('1Mi')) >= 0").message("scrub.maxBytesPerSecond: at least 1Mi, with less it would never end; set paused to stop it"))]
    pub max_bytes_per_second: Option<Size>,
}

/// Whether what was written in an earlier erasure profile is coded anew in the present one.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecodeSpec {
    /// While true, the gateway codes such data anew, behind all other work. What is done stays done when it is false again.
    #[serde(default)]
    pub enabled: bool,
    /// Bytes a second that are coded anew at most. Left out: as fast as other work leaves room for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("quantity(self).compareTo(quantity('1Mi')) >= 0").message("recode.maxBytesPerSecond: at least 1Mi, with less it would never end; set enabled to false to stop it"))]
    pub max_bytes_per_second: Option<Size>,
}

impl Default for ScrubSpec {
    fn default() -> Self {
        Self { period: fortnight(), paused: false, max_bytes_per_second: None }
    }
}

fn fortnight() -> Span {
    Span::new("336h")
}

/// How a segment is cut: any dataShards of its dataShards + parityShards pieces bring it back.
#[derive(KubeSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErasureSpec {
    /// Pieces that suffice to read (k).
    #[serde(default = "four")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 16").message("erasure.dataShards: choose 1 to 16"))]
    pub data_shards: i32,
    /// Pieces that may be lost (m).
    #[serde(default = "two")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 8").message("erasure.parityShards: choose 1 to 8"))]
    pub parity_shards: i32,
}

impl Default for ErasureSpec {
    fn default() -> Self {
        Self { data_shards: four(), parity_shards: two() }
    }
}

fn four() -> i32 {
    4
}

fn two() -> i32 {
    2
}

/// The AEAD that seals segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum CipherName {
    /// Faster on machines with AES instructions: nearly all servers.
    #[default]
    #[serde(rename = "AES-256-GCM")]
    Aes256Gcm,
    /// Faster on machines without.
    #[serde(rename = "ChaCha20-Poly1305")]
    ChaCha20Poly1305,
}

/// What the operator observed.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoragePoolStatus {
    /// The generation of the spec this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Progressing, Degraded, DataSafe, Draining.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Nodes that exist, those that leave included, for the scale subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Selects this pool's pods, for the scale subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub selector: Option<String>,
    /// Nodes that answer the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes_up: Option<i32>,
    /// The layout's epoch, once all nodes have joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<i64>,
    /// The node identities and the zones they are pinned to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["node".into()]))]
    pub members: Vec<PoolMember>,
    /// Nodes that give their shards to the others: those beyond replicas, which leave, and those an administrator drains.
    /// The first 100 of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["node".into()]))]
    pub draining: Vec<DrainingNode>,
    /// What the pool has in each erasure profile, the one of new data first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["profile".into()]))]
    pub profiles: Vec<PoolProfile>,
    /// How far it is with coding anew what is in an earlier profile. Absent where there is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recode: Option<RecodeProgress>,
}

/// What a pool has in one erasure profile.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolProfile {
    /// `4+2` for four data and two parity pieces.
    #[schemars(length(max = 8))]
    pub profile: String,
    /// Bytes of its segments without parity, what was deleted and is kept for readers included.
    pub bytes: i64,
}

/// How far a pool is with coding anew what it has in earlier erasure profiles.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecodeProgress {
    /// Off, Running, Stalled, or Ending: what is left belongs to uploads under way, or was deleted and is kept for readers.
    #[schemars(length(max = 16))]
    pub state: String,
    /// Bytes that are still in an earlier profile.
    pub bytes_left: i64,
    /// Bytes that were coded anew since the gateway started.
    pub bytes_done: i64,
    /// Seconds until the rest is done, at the rate so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_seconds_left: Option<i64>,
    /// What it waits for and what will clear that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 500))]
    pub message: Option<String>,
}

/// One node identity.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolMember {
    /// Its name.
    #[schemars(length(max = 63))]
    pub node: String,
    /// Its failure domain, for good.
    #[schemars(length(max = 63))]
    pub zone: String,
    /// What it is to the gateway: Joining, Up, Full, Down; absent while the gateway has not been asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub state: Option<String>,
}

/// One node that gives its shards to the others.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DrainingNode {
    /// Its name.
    #[schemars(length(max = 63))]
    pub node: String,
    /// Whether it leaves the pool, because replicas does not count it any more. Else an administrator drains it.
    pub leaves: bool,
    /// Where it stands: Pending, Moving, Stalled, Drained, Removing (it is empty and in no layout: pod, then volume go), or
    /// Unknown while the gateway does not say.
    #[schemars(length(max = 16))]
    pub state: String,
    /// Payload bytes it still has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_left: Option<i64>,
    /// Those and what has left it since the gateway began to watch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_total: Option<i64>,
    /// Seconds until the rest will have left it, at the rate so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_seconds_left: Option<i64>,
    /// What it waits for and what will clear that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 500))]
    pub message: Option<String>,
}
