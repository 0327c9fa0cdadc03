//! Labels and annotations, all in one place: the operator writes them, tests and people select by them.

/// Who made an object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The value of [`MANAGED_BY`].
pub const OPERATOR: &str = "datamesh-operator";
/// The program's name.
pub const NAME: &str = "app.kubernetes.io/name";
/// The value of [`NAME`].
pub const DATAMESH: &str = "datamesh";
/// The part a pod plays.
pub const COMPONENT: &str = "app.kubernetes.io/component";
/// [`COMPONENT`] of gateways.
pub const GATEWAY: &str = "gateway";
/// [`COMPONENT`] of storage nodes.
pub const STORAGE: &str = "storage";

/// The DataMeshCluster an object belongs to.
pub const CLUSTER: &str = "datamesh.io/cluster";
/// The StoragePool an object belongs to.
pub const POOL: &str = "datamesh.io/pool";
/// The node identity an object belongs to.
pub const NODE: &str = "datamesh.io/node";
/// The failure domain a node identity is pinned to, for good. Also on its volume claim, which outlives everything else.
pub const ZONE: &str = "datamesh.io/zone";

/// Annotation: fingerprint of the cluster secret.
pub const FINGERPRINT: &str = "datamesh.io/fingerprint";
/// Annotation: last day a certificate is valid, `YYYY-MM-DD`.
pub const NOT_AFTER: &str = "datamesh.io/not-after";
/// Annotation: what a certificate was issued for (names and issuer), hashed.
pub const ISSUED_FOR: &str = "datamesh.io/issued-for";
/// Annotation on a gateway's StatefulSet: of how many gateways its settings tell it. Absent where it was alone.
pub const GATEWAYS_TOLD: &str = "datamesh.io/gateways-told";
/// Annotation on a gateway's StatefulSet: its settings tell it of gateways that leave. [`LEAVING_OTHERS`] or [`LEAVING_ITSELF`].
pub const GATEWAYS_LEAVING: &str = "datamesh.io/gateways-leaving";
/// [`GATEWAYS_LEAVING`] of one that stays.
pub const LEAVING_OTHERS: &str = "others";
/// [`GATEWAYS_LEAVING`] of one that leaves, and serves no client any more.
pub const LEAVING_ITSELF: &str = "itself";
/// Annotation on a pod template: hash of the settings it starts with.
pub const SETTINGS_HASH: &str = "datamesh.io/settings-hash";
/// Annotation on a StatefulSet: hash of its whole pod template, which says whether applying it restarts the pod.
pub const TEMPLATE_HASH: &str = "datamesh.io/template-hash";
