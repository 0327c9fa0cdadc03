//! Whatever a peer sends or a volume gives back: it is read as what was written, or refused; nothing panics, and nothing that
//! was changed is believed. The crate cannot be built without libp2p and RocksDB, so its decoders are mutated here
//! instead of being fuzzed by coverage; what they have in common with the pure crates is.

use datamesh_exchange::message::Joined;
use datamesh_placement::{LAYOUT_CONTEXT, Layout, Member, SignedLayout};
use datamesh_seal::{MemberRole, SignedCertificate};
use datamesh_settings::Endpoint;
use datamesh_shard::{Epoch, ErasureProfile, Incarnation, NodeName, PeerKey, ZoneName};

use crate::dice::Dice;
use crate::golden::{LATE, certificate, identity, pool, secret};
use crate::identity::{Identity, IdentityError};
use crate::node::kept;
use crate::swarm::descriptor::{Content, check};
use crate::swarm::records::StoredRecord;
use crate::swarm::{LayoutPointer, NodeDescriptor, layout_key, node_key};
use crate::trust::{Learned, Trust};

const INPUTS: usize = 20_000;

fn trust() -> Trust {
    Trust::new(NodeName::new("cluster").unwrap(), secret().signing_key().public(), Box::new(|_, _| {}))
}

fn layout() -> SignedLayout {
    let member = |i: u8| Member {
        node: NodeName::new(&format!("node-{i}")).unwrap(),
        peer: PeerKey([i; 32]),
        zone: ZoneName::new("a").unwrap(),
        capacity_bytes: 1 << 40,
        draining: i == 3,
    };
    let bytes = Layout {
        cluster: NodeName::new("cluster").unwrap(),
        pool: pool(),
        profile: ErasureProfile::new(1, 1).unwrap(),
        epoch: Epoch(12),
        partitions_log2: 10,
        members: (1..=3).map(member).collect(),
        earlier: Vec::new(),
        holders: Vec::new(),
    }
    .encode();
    let signature = secret().signing_key().sign(LAYOUT_CONTEXT, &bytes);
    SignedLayout { bytes, signature }
}

/// Mutants of `valid` and bytes of no meaning, one in eight. `judge` says whether it was read; some are, most are not.
fn each_mutant(test: &str, valid: &[u8], mut judge: impl FnMut(&[u8]) -> bool) {
    assert!(judge(valid), "{test}: the control is refused");
    let mut dice = Dice::printed(test);
    let mut refused = 0;
    for _ in 0..INPUTS {
        let len = dice.below(2 * valid.len());
        let hostile = if dice.one_in(8) { dice.bytes(len) } else { dice.mutate(valid) };
        refused += usize::from(!judge(&hostile));
    }
    println!("{test}: {refused} of {INPUTS} refused");
    assert!(refused > INPUTS / 4, "{test}: the mutants are too tame");
}

/// What reads is written so that it reads as the same again, and every addition is refused.
fn reads<T: PartialEq>(
    bytes: &[u8],
    decode: impl Fn(&[u8]) -> Option<T>,
    encode: impl Fn(&T) -> Vec<u8>,
) -> bool {
    let Some(read) = decode(bytes) else { return false };
    let again = encode(&read);
    assert!(decode(&again) == Some(read), "it reads otherwise the second time");
    assert!(decode(&[bytes, &[0]].concat()).is_none(), "a byte more is read");
    assert!(again.len() <= bytes.len());
    true
}

#[test]
fn what_is_kept_on_the_volume() {
    let shown = certificate(MemberRole::Storage { pool: pool(), zone: ZoneName::new("a").unwrap() });
    each_mutant("kept certificate", &kept::encode(&shown).unwrap(), |bytes| {
        reads(bytes, |bytes| kept::decode::<SignedCertificate>("it", bytes), |it| kept::encode(it).unwrap())
    });
    each_mutant("kept layout", &kept::encode(&layout()).unwrap(), |bytes| {
        reads(bytes, |bytes| kept::decode::<SignedLayout>("it", bytes), |it| kept::encode(it).unwrap())
    });
    let record = StoredRecord {
        value: vec![5; 100],
        publisher: Some(identity().peer_id().to_bytes()),
        expires_unix: Some(LATE),
    };
    each_mutant("kept record", &record.encode().unwrap(), |bytes| {
        reads(bytes, StoredRecord::decode, |record| record.encode().unwrap())
    });
}

#[test]
fn an_identity_is_read_at_its_length_only() {
    each_mutant("identity", &[&[1][..], &[7; 32]].concat(), |bytes| match Identity::from_bytes(bytes) {
        Ok(_) => bytes.len() == 33 && bytes[0] == 1,
        Err(IdentityError::Length(len)) => len == 33,
        Err(_) => false,
    });
}

#[test]
fn records_of_the_dht_are_believed_as_they_were_signed_only() {
    let descriptor = NodeDescriptor {
        peer: identity().peer(),
        node: NodeName::new("node-1").unwrap(),
        endpoint: Endpoint { host: "10.0.0.1".into(), mesh_port: 7100, bulk_port: 7101 },
        incarnation: Incarnation(3),
        seq: 1_800_000_000,
    };
    let (trust, key) = (trust(), node_key(&identity().peer()));
    let gateway = certificate(MemberRole::Gateway);
    trust.admit(&gateway.verify(trust.cluster_key(), &identity().peer(), 0).unwrap());
    let signed = descriptor.sign(&identity()).unwrap();
    each_mutant("node descriptor", &signed, |value| {
        let read = check(&key, value, &trust);
        assert!(!matches!(read, Ok(Content::Node(ref other)) if *other != descriptor), "{read:?}");
        // A length may be written longer than it must be, and nothing else.
        assert!(value.len() <= signed.len() + 8 || read.is_err(), "bytes were added");
        read.is_ok()
    });
    let pointer = LayoutPointer { pool: pool(), epoch: Epoch(12), hash: [9; 32] };
    let signed = pointer.sign(&identity(), &gateway).unwrap();
    each_mutant("layout pointer", &signed, |value| {
        let read = check(&layout_key(&pool()), value, &trust);
        assert!(!matches!(read, Ok(Content::Layout(ref other)) if *other != pointer), "{read:?}");
        read.is_ok()
    });
    for more in [&[0][..], &[0; 4000]] {
        assert!(check(&layout_key(&pool()), &[&signed, more].concat(), &trust).is_err());
    }
}

#[test]
fn a_certificate_on_the_wire_holds_as_it_was_signed_only() {
    let bytes = postcard::to_stdvec(&certificate(MemberRole::Gateway)).unwrap();
    each_mutant("shown certificate", &bytes, |shown| {
        // A trust of its own: what holds is remembered.
        let caller = trust().accepts(identity().peer(), Some(shown), Incarnation(1));
        assert!(caller.is_err() || shown.len() <= bytes.len() + 8);
        caller.is_ok_and(|caller| caller.is_gateway())
    });
    assert!(trust().accepts(PeerKey([1; 32]), Some(&bytes), Incarnation(1)).is_err(), "another's");
}

/// What a gateway answers to a join: it is trusted to let nodes in, not to be free of faults.
#[test]
fn an_answer_to_a_join() {
    let joined = Joined {
        certificate: postcard::to_stdvec(&certificate(MemberRole::Gateway)).unwrap(),
        layouts: vec![layout()],
        gateways: vec![Endpoint { host: "gateway".into(), mesh_port: 7100, bulk_port: 7101 }],
    };
    let known = Layout::decode(&layout().bytes).unwrap();
    each_mutant("joined", &postcard::to_stdvec(&joined).unwrap(), |answer| {
        let Ok(answer) = crate::encoding::whole::<Joined>(answer) else { return false };
        let trust = trust();
        let learned = answer.layouts.iter().map(|layout| trust.learn_layout(layout)).collect::<Vec<_>>();
        assert!(learned.iter().flatten().all(|learned| matches!(learned, Learned::Newer | Learned::Known)));
        assert!(trust.layout(&pool()).is_none_or(|layout| *layout == known), "another layout is believed");
        learned.iter().any(Result::is_ok)
    });
}
