//! Every format this crate writes, held by a file that each later version must read. `UPDATE=1` writes them anew, which
//! is right for a new format only.

use std::path::PathBuf;
use std::sync::Arc;

use datamesh_exchange::anchor::AnchorId;
use datamesh_placement::{Layout, Member, SignedLayout};
use datamesh_seal::{Certificate, ClusterSecret, MemberRole, SignedCertificate};
use datamesh_settings::Endpoint;
use datamesh_shard::{Epoch, ErasureProfile, Incarnation, NodeName, PeerKey, PoolName, ZoneName};

use crate::identity::Identity;
use crate::node::kept;
use crate::swarm::descriptor::{Content, check};
use crate::swarm::records::StoredRecord;
use crate::swarm::{LayoutPointer, NodeDescriptor, RecordRefused, layout_key, node_key};
use crate::swarm::{MemoryRecords, RecordBytes};
use crate::trust::Trust;

/// Holds until the year 2100.
pub(crate) const LATE: u64 = 4_102_444_800;

fn golden(name: &str, bytes: &[u8]) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE").is_some() && !path.exists() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
    }
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(crate) fn secret() -> ClusterSecret {
    ClusterSecret::from_hex(&"42".repeat(32)).unwrap()
}

pub(crate) fn identity() -> Identity {
    Identity::from_bytes(&[&[1][..], &[7; 32]].concat()).unwrap()
}

pub(crate) fn pool() -> PoolName {
    PoolName::new("fast").unwrap()
}

fn trust() -> Trust {
    Trust::new(NodeName::new("golden").unwrap(), secret().signing_key().public(), Box::new(|_, _| {}))
}

pub(crate) fn certificate(role: MemberRole) -> SignedCertificate {
    let node = NodeName::new("node-1").unwrap();
    let certificate = Certificate { role, node, peer: identity().peer(), not_after_unix: LATE };
    SignedCertificate::sign(&secret().signing_key(), certificate)
}

#[test]
fn identity_on_the_volume() {
    let bytes = [&[1][..], &[7; 32]].concat();
    let file = golden("identity.bin", &bytes);
    assert_eq!(file, bytes);
    assert_eq!(Identity::from_bytes(&file).unwrap().peer(), identity().peer());
}

#[test]
fn node_descriptor_in_the_dht() {
    let descriptor = NodeDescriptor {
        peer: identity().peer(),
        node: NodeName::new("node-1").unwrap(),
        endpoint: Endpoint { host: "10.0.0.1".into(), mesh_port: 7100, bulk_port: 7101 },
        incarnation: Incarnation(3),
        seq: 1_800_000_000,
    };
    let value = descriptor.sign(&identity()).unwrap();
    let file = golden("node-descriptor.bin", &value);
    assert_eq!(file, value);
    let (trust, key) = (trust(), node_key(&identity().peer()));
    assert_eq!(check(&key, &file, &trust), Err(RecordRefused::Stranger), "before it has shown a certificate");
    let shown = certificate(MemberRole::Gateway).verify(trust.cluster_key(), &identity().peer(), 0).unwrap();
    trust.admit(&shown);
    assert_eq!(check(&key, &file, &trust), Ok(Content::Node(descriptor)));
}

#[test]
fn layout_pointer_in_the_dht() {
    let pointer = LayoutPointer { pool: pool(), epoch: Epoch(12), hash: [9; 32] };
    let value = pointer.sign(&identity(), &certificate(MemberRole::Gateway)).unwrap();
    let file = golden("layout-pointer.bin", &value);
    assert_eq!(file, value);
    assert_eq!(check(&layout_key(&pool()), &file, &trust()), Ok(Content::Layout(pointer)));
}

#[test]
fn dht_record_on_the_volume() {
    let record = StoredRecord {
        value: b"value".to_vec(),
        publisher: Some(identity().peer_id().to_bytes()),
        expires_unix: Some(LATE),
    };
    let bytes = record.encode().unwrap();
    let file = golden("dht-record.bin", &bytes);
    assert_eq!(file, bytes);
    assert_eq!(StoredRecord::decode(&file), Some(record));
}

#[test]
fn anchor_on_the_volume() {
    let id = AnchorId { generation: 3, revision: 300, at_unix_ms: 1_800_000_000_000, snapshot: 40 };
    let records = Arc::new(MemoryRecords::default());
    crate::keeper::anchors::Anchors::recall(records.clone()).keep(id, b"sealed").unwrap();
    let rows = records.iter(b"catalog/anchor/").unwrap();
    let bytes = [&rows[0].0[..], &rows[0].1].concat();
    let file = golden("kept-anchor.bin", &bytes);
    assert_eq!(file, bytes);
    let (key, row) = file.split_at(rows[0].0.len());
    let records = Arc::new(MemoryRecords::default());
    records.put(key, row, datamesh_store::Durability::Synced).unwrap();
    let anchors = crate::keeper::anchors::Anchors::recall(records);
    assert_eq!((anchors.all(), anchors.get(&id).unwrap()), (vec![id], "sealed".into()));
}

#[test]
fn membership_on_the_volume() {
    let role = MemberRole::Storage { pool: pool(), zone: ZoneName::new("a").unwrap() };
    let shown = certificate(role);
    let bytes = kept::encode(&shown).unwrap();
    let file = golden("kept-certificate.bin", &bytes);
    assert_eq!(file, bytes);
    assert_eq!(kept::decode::<SignedCertificate>("certificate", &file), Some(shown));

    let member = |i: u8| Member {
        node: NodeName::new(&format!("node-{i}")).unwrap(),
        peer: PeerKey([i; 32]),
        zone: ZoneName::new("a").unwrap(),
        capacity_bytes: 1 << 40,
        draining: false,
    };
    let layout = Layout {
        cluster: NodeName::new("golden").unwrap(),
        pool: pool(),
        profile: ErasureProfile::new(1, 1).unwrap(),
        epoch: Epoch(12),
        partitions_log2: 10,
        members: vec![member(1), member(2)],
        earlier: Vec::new(),
        holders: Vec::new(),
    };
    let bytes = layout.encode();
    let signature = secret().signing_key().sign(datamesh_placement::LAYOUT_CONTEXT, &bytes);
    let signed = SignedLayout { bytes, signature };
    let bytes = kept::encode(&signed).unwrap();
    let file = golden("kept-layout.bin", &bytes);
    assert_eq!(file, bytes);
    let read = kept::decode::<SignedLayout>("layout", &file).unwrap();
    let trust = trust();
    trust.learn_layout(&read).unwrap();
    assert_eq!(*trust.layout(&pool()).unwrap(), layout);
}
