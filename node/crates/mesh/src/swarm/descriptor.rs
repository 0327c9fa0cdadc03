//! What stands in the DHT: node descriptors, each signed by its node, and layout pointers, signed by a gateway whose
//! certificate they carry. Nothing is believed for having been found there.

use datamesh_seal::{MemberRole, SignedCertificate};
use datamesh_settings::Endpoint;
use datamesh_shard::{Epoch, Incarnation, NodeName, PeerKey, PoolName};
use serde::{Deserialize, Serialize};

use crate::encoding::whole;
use crate::identity::{Identity, verify_by_peer};
use crate::trust::{Trust, now_unix};

const NODE_CONTEXT: &str = "datamesh.io 2026 node descriptor";
const LAYOUT_POINTER_CONTEXT: &str = "datamesh.io 2026 layout pointer";
/// First byte of a record's value.
const VERSION: u8 = 1;
const NODE_PREFIX: &str = "datamesh/1/node/";
const LAYOUT_PREFIX: &str = "datamesh/1/layout/";

/// Where a node is, in its own words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeDescriptor {
    /// Its key.
    pub peer: PeerKey,
    /// Its name.
    pub node: NodeName,
    /// Where others reach it.
    pub endpoint: Endpoint,
    /// Rises each time its store is opened.
    pub incarnation: Incarnation,
    /// Rises with each change within an incarnation.
    pub seq: u64,
}

/// That a layout of some epoch exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayoutPointer {
    /// The pool.
    pub pool: PoolName,
    /// The newest epoch.
    pub epoch: Epoch,
    /// BLAKE3 of the encoded layout.
    pub hash: [u8; 32],
}

/// Why a record is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordRefused {
    /// The key is none of ours.
    #[error("unknown kind of record")]
    Key,
    /// Written by a later version.
    #[error("record version {0} is not known to this version")]
    Version(u8),
    /// Not a record.
    #[error("the record cannot be read")]
    Malformed,
    /// Kept under another key than its content says.
    #[error("the record stands under another's key")]
    OtherKey,
    /// Not signed by whom it names.
    #[error("the record's signature is wrong")]
    Signature,
    /// Signed by someone who may not say this.
    #[error("the record's publisher is no member")]
    Stranger,
}

#[derive(Serialize, Deserialize)]
struct Signed {
    body: Vec<u8>,
    signature: Vec<u8>,
    /// The signer's certificate, where its key alone proves nothing.
    certificate: Option<SignedCertificate>,
    signer: PeerKey,
}

/// A believed record's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Node(NodeDescriptor),
    Layout(LayoutPointer),
}

impl Content {
    /// Order of two records under one key: the later one wins.
    pub(crate) fn rank(&self) -> (u64, u64) {
        match self {
            Self::Node(node) => (node.incarnation.0, node.seq),
            Self::Layout(pointer) => (pointer.epoch.0, 0),
        }
    }
}

/// The DHT key of a node's descriptor.
#[must_use]
pub fn node_key(peer: &PeerKey) -> Vec<u8> {
    format!("{NODE_PREFIX}{peer}").into_bytes()
}

/// The DHT key of a pool's layout pointer.
#[must_use]
pub fn layout_key(pool: &PoolName) -> Vec<u8> {
    format!("{LAYOUT_PREFIX}{pool}").into_bytes()
}

impl NodeDescriptor {
    /// The record's value.
    ///
    /// # Errors
    /// None that a well-formed descriptor can cause.
    pub fn sign(&self, identity: &Identity) -> Result<Vec<u8>, postcard::Error> {
        let body = postcard::to_stdvec(self)?;
        let signature = identity.sign(NODE_CONTEXT, &body);
        postcard::to_extend(
            &Signed { body, signature, certificate: None, signer: identity.peer() },
            vec![VERSION],
        )
    }
}

impl LayoutPointer {
    /// The record's value, signed by a gateway that shows its certificate.
    ///
    /// # Errors
    /// None that a well-formed pointer can cause.
    pub fn sign(&self, identity: &Identity, gateway: &SignedCertificate) -> Result<Vec<u8>, postcard::Error> {
        let body = postcard::to_stdvec(self)?;
        let signature = identity.sign(LAYOUT_POINTER_CONTEXT, &body);
        let certificate = Some(gateway.clone());
        postcard::to_extend(&Signed { body, signature, certificate, signer: identity.peer() }, vec![VERSION])
    }
}

/// The descriptor in a record that was proven before.
pub(super) fn read_node(value: &[u8]) -> Option<NodeDescriptor> {
    whole(&read(value).ok()?.body).ok()
}

/// The pointer in a record that was proven before.
pub(super) fn read_pointer(value: &[u8]) -> Option<LayoutPointer> {
    whole(&read(value).ok()?.body).ok()
}

fn read(value: &[u8]) -> Result<Signed, RecordRefused> {
    let Some((&version, body)) = value.split_first() else {
        return Err(RecordRefused::Malformed);
    };
    if version != VERSION {
        return Err(RecordRefused::Version(version));
    }
    whole(body).map_err(|_| RecordRefused::Malformed)
}

/// Reads and proves a record.
pub(crate) fn check(key: &[u8], value: &[u8], trust: &Trust) -> Result<Content, RecordRefused> {
    let signed = read(value)?;
    if key.starts_with(NODE_PREFIX.as_bytes()) {
        check_node(key, &signed, trust).map(Content::Node)
    } else if key.starts_with(LAYOUT_PREFIX.as_bytes()) {
        check_pointer(key, &signed, trust).map(Content::Layout)
    } else {
        Err(RecordRefused::Key)
    }
}

fn check_node(key: &[u8], signed: &Signed, trust: &Trust) -> Result<NodeDescriptor, RecordRefused> {
    let node: NodeDescriptor = whole(&signed.body).map_err(|_| RecordRefused::Malformed)?;
    if key != node_key(&node.peer) || node.peer != signed.signer {
        return Err(RecordRefused::OtherKey);
    }
    if !verify_by_peer(&node.peer, NODE_CONTEXT, &signed.body, &signed.signature) {
        return Err(RecordRefused::Signature);
    }
    if !trust.knows(&node.peer) {
        return Err(RecordRefused::Stranger);
    }
    Ok(node)
}

fn check_pointer(key: &[u8], signed: &Signed, trust: &Trust) -> Result<LayoutPointer, RecordRefused> {
    let pointer: LayoutPointer = whole(&signed.body).map_err(|_| RecordRefused::Malformed)?;
    if key != layout_key(&pointer.pool) {
        return Err(RecordRefused::OtherKey);
    }
    let certificate = signed.certificate.as_ref().ok_or(RecordRefused::Stranger)?;
    let checked = certificate
        .verify(trust.cluster_key(), &signed.signer, now_unix())
        .map_err(|_| RecordRefused::Stranger)?;
    if !matches!(checked.role, MemberRole::Gateway) {
        return Err(RecordRefused::Stranger);
    }
    if !verify_by_peer(&signed.signer, LAYOUT_POINTER_CONTEXT, &signed.body, &signed.signature) {
        return Err(RecordRefused::Signature);
    }
    Ok(pointer)
}
