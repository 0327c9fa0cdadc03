//! Whatever a disk, a peer or a user hands in, every decoder answers or refuses; none panics.
#![cfg(not(feature = "unsealed-for-blindness-test"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may stop, and prints"
)]

#[path = "../../shard/tests/support/dice.rs"]
mod dice;

use std::time::{Duration, Instant};

use datamesh_seal::{
    BucketSecret, Certificate, ClusterSecret, CustomerKey, KeyMark, MemberRole, Prepared, SealHeader,
    SegmentKey, SignedCertificate, WrappedBucketSecret, ZSTD_LEVEL, open_derived_segment, open_frame,
    open_record, open_segment, seal_record, seal_segment, sealed_bytes_of,
};
use datamesh_shard::{Cipher, NodeName, PeerKey, PoolName, ZoneName};
use dice::Dice;
use zeroize::Zeroizing;

const INPUTS: u32 = 100_000;
const TIME_MAX: Duration = Duration::from_secs(5);

/// Feeds mutated inputs to `decode`, which says whether it believed what it was given (and may panic, which fails the test).
fn hammer(
    name: &str,
    valid: impl Fn(&mut Dice) -> Vec<u8>,
    mut decode: impl FnMut(&mut Dice, &[u8], &[u8]) -> bool,
) {
    let mut dice = Dice::printed(name);
    let start = Instant::now();
    let (mut inputs, mut believed) = (0, 0);
    while inputs < INPUTS && start.elapsed() < TIME_MAX {
        let valid = valid(&mut dice);
        assert!(decode(&mut dice, &valid, &valid), "the control: what was encoded decodes");
        for _ in 0..20 {
            let input = if dice.one_in(20) {
                let len = dice.below(200);
                dice.bytes(len)
            } else {
                dice.mutate(&valid)
            };
            believed += u32::from(decode(&mut dice, &valid, &input));
            inputs += 1;
        }
    }
    println!("{name}: {inputs} inputs, {believed} decoded, {:?}", start.elapsed());
    assert!(inputs > 1000 && believed < inputs, "{inputs} inputs, {believed} decoded");
}

fn sealed(dice: &mut Dice, key: &SegmentKey) -> Vec<u8> {
    let len = 1 + dice.below(700);
    let plain = if dice.one_in(2) { dice.bytes(len) } else { vec![7; len] };
    let cipher = if dice.one_in(2) { Cipher::Aes256Gcm } else { Cipher::ChaCha20Poly1305 };
    let mut out = vec![0; sealed_bytes_of(len)];
    let sealed_bytes = seal_segment(key, cipher, &plain, true, &mut out).unwrap();
    out.truncate(sealed_bytes);
    out
}

/// Makes the header's check good, so that mutations reach what lies behind it.
fn mend(input: &[u8]) -> Vec<u8> {
    let mut input = input.to_vec();
    if input.len() >= 48 {
        let check = blake3::hash(&input[..12]);
        input[44..48].copy_from_slice(&check.as_bytes()[..4]);
    }
    input
}

#[test]
fn any_mark_of_a_key_is_read_or_refused() {
    let key = CustomerKey::from_bytes(Zeroizing::new([1; 32]));
    hammer(
        "marks",
        |dice| key.mark(dice.array()).0.encode().to_vec(),
        |_, valid, input| {
            let Ok(mark) = KeyMark::decode(input) else { return false };
            assert_eq!(mark.encode()[..], input[..], "one mark, one encoding");
            assert_eq!(key.secret_of(&mark).is_some(), input == valid);
            true
        },
    );
}

#[test]
fn seal_headers() {
    let key = SegmentKey::random();
    hammer(
        "seal_headers",
        |dice| sealed(dice, &key),
        |_, _, input| {
            let input = mend(input);
            let Ok(header) = SealHeader::decode(&input) else { return false };
            assert_eq!(header.encode(), input[..48]);
            assert!(header.frames() >= 1 && header.sealed_len() <= datamesh_shard::limits::SEALED_BYTES_MAX);
            let end = (0..header.frames()).fold(48, |at, frame| {
                assert_eq!(header.frame_range(frame).start, at);
                header.frame_range(frame).end
            });
            assert_eq!(end, header.sealed_len());
            true
        },
    );
}

#[test]
fn segments() {
    let key = SegmentKey::random();
    hammer(
        "segments",
        |dice| sealed(dice, &key),
        |dice, valid, input| {
            let input = if dice.one_in(2) { mend(input) } else { input.to_vec() };
            let mut out = Vec::new();
            let opened = open_segment(&key, &mut input.clone(), &mut out).is_ok();
            assert_eq!(opened, input == valid);
            assert_eq!(opened, !out.is_empty());
            opened
        },
    );
}

/// The derived key, then the segment.
#[test]
fn derived_segments() {
    let secret = BucketSecret::generate(1);
    let seal = |dice: &mut Dice| {
        let (plain, level) = (vec![7; 1 + dice.below(700)], dice.one_in(2).then_some(ZSTD_LEVEL));
        let mut out = vec![0; sealed_bytes_of(plain.len())];
        let prepared = Prepared::new(Cipher::ChaCha20Poly1305, &plain, level, &mut out).unwrap();
        let derived = prepared.derive(&secret).unwrap();
        let key = derived.key().clone();
        let sealed_bytes = derived.seal().unwrap();
        [key.as_bytes(), &out[..sealed_bytes]].concat()
    };
    hammer("derived_segments", seal, |dice, valid, input| {
        let Some((key, sealed)) = input.split_first_chunk::<32>() else { return false };
        let sealed = if dice.one_in(2) { mend(sealed) } else { sealed.to_vec() };
        let mut out = Vec::new();
        let derived = SegmentKey::from_bytes(*key);
        let opened = open_derived_segment(&secret, &derived, &mut sealed.clone(), &mut out).is_ok();
        assert_eq!(opened, [&key[..], &sealed].concat() == valid);
        assert_eq!(opened, !out.is_empty());
        opened
    });
}

#[test]
fn frames() {
    let key = SegmentKey::random();
    hammer(
        "frames",
        |dice| sealed(dice, &key),
        |dice, valid, input| {
            let header = SealHeader::decode(valid).unwrap();
            let frame = if dice.one_in(30) { u32::from_le_bytes(dice.array()) } else { 0 };
            let mut bytes = input.get(48..).unwrap_or_default().to_vec();
            let opened = open_frame(&key, &header, frame, &mut bytes).is_ok();
            assert_eq!(opened, frame == 0 && input.get(48..) == Some(&valid[48..]));
            opened || input == valid
        },
    );
}

#[test]
fn records() {
    let secret = BucketSecret::generate(1);
    let seal = |dice: &mut Dice| {
        let len = dice.below(200);
        seal_record(&secret, &[1; 16], b"place", &dice.bytes(len))
    };
    hammer("records", seal, |_, valid, input| {
        let opened = open_record(&secret, &[1; 16], b"place", input).is_ok();
        assert_eq!(opened, input == valid);
        opened
    });
}

#[test]
fn wrapped_bucket_secrets() {
    let cluster = ClusterSecret::generate();
    let wrap = |dice: &mut Dice| {
        let secret = BucketSecret::from_bytes(u32::from_le_bytes(dice.array()), dice.array());
        postcard::to_stdvec(&cluster.wrap_bucket(&secret, 3)).unwrap()
    };
    hammer("wrapped_bucket_secrets", wrap, |_, valid, input| {
        let Ok((read, rest)) = postcard::take_from_bytes::<WrappedBucketSecret>(input) else { return false };
        let opened = cluster.unwrap_bucket(&read, 3).is_ok();
        assert_eq!(opened, input[..input.len() - rest.len()] == *valid);
        opened
    });
}

#[test]
fn join_tokens() {
    let cluster = ClusterSecret::generate();
    let (node, pool) = (NodeName::new("n").unwrap(), PoolName::new("p").unwrap());
    let mint = |dice: &mut Dice| cluster.mint_join_token(&node, &pool, dice.array()).as_str().into();
    hammer("join_tokens", mint, |_, valid, input| {
        let text = String::from_utf8_lossy(input);
        let _ = ClusterSecret::from_hex(&text);
        let opened = cluster.check_join_token(&text, &node, &pool).is_ok();
        assert_eq!(opened, input == valid);
        opened
    });
}

#[test]
fn certificates() {
    let key = ClusterSecret::generate().signing_key();
    let sign = |dice: &mut Dice| {
        let node = NodeName::new(&format!("n{}", dice.below(1000))).unwrap();
        let certificate =
            Certificate { role: MemberRole::Gateway, node, peer: PeerKey([1; 32]), not_after_unix: 9 };
        postcard::to_stdvec(&SignedCertificate::sign(&key, certificate)).unwrap()
    };
    hammer("certificates", sign, |_, valid, input| {
        let Ok((read, rest)) = postcard::take_from_bytes::<SignedCertificate>(input) else { return false };
        let believed = read.verify(&key.public(), &PeerKey([1; 32]), 0).is_ok();
        assert_eq!(believed, input[..input.len() - rest.len()] == *valid);
        believed
    });
}

/// Behind a good signature: a later version may sign other things, and whoever has the key may sign anything.
#[test]
fn what_certificates_may_say() {
    let key = ClusterSecret::generate().signing_key();
    let said = |dice: &mut Dice| {
        let node = NodeName::new(&format!("n{}", dice.below(1000))).unwrap();
        let (pool, zone) = (PoolName::new("p").unwrap(), ZoneName::new("z").unwrap());
        let role = if dice.one_in(2) { MemberRole::Gateway } else { MemberRole::Storage { pool, zone } };
        let certificate = Certificate { role, node, peer: PeerKey([1; 32]), not_after_unix: 9 };
        postcard::to_extend(&certificate, vec![1]).unwrap()
    };
    hammer("what_certificates_may_say", said, |_, valid, input| {
        let signature = key.sign("membership certificate", input);
        let signed = postcard::to_stdvec(&(input, &signature[..])).unwrap();
        let read: SignedCertificate = postcard::from_bytes(&signed).unwrap();
        let Ok(certificate) = read.verify(&key.public(), &PeerKey([1; 32]), 9) else { return false };
        assert!(certificate.peer == PeerKey([1; 32]) && certificate.not_after_unix >= 9);
        let again = SignedCertificate::sign(&key, certificate.clone());
        assert_eq!(again.verify(&key.public(), &PeerKey([1; 32]), 9), Ok(certificate));
        input != valid || again == read
    });
}
