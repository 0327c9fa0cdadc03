//! The bytes that every later version must read, and that this version must write.
#![cfg(not(feature = "unsealed-for-blindness-test"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may stop, and prints"
)]

#[path = "support/oracle.rs"]
mod oracle;

use std::collections::BTreeMap;

use datamesh_seal::{
    BucketSecret, Certificate, ClusterSecret, CustomerKey, KeyMark, Link, MemberRole, Prepared, SegmentKey,
    SignedCertificate, WrappedBucketSecret, open_derived_segment, open_record, open_segment, seal_record,
    seal_segment, sealed_bytes_of, sign_head, verify,
};
use datamesh_shard::{Cipher, NodeName, PeerKey, PoolName, ZoneName};
use zeroize::Zeroizing;

const CIPHERS: [(&str, Cipher); 2] = [("aes", Cipher::Aes256Gcm), ("chacha", Cipher::ChaCha20Poly1305)];
const KEY: [u8; 32] = *b"a segment key of thirty-two byte";
const BUCKET: [u8; 32] = *b"bucket secret of thirty-two byte";
const CUSTOMER: [u8; 32] = *b"customer key of 32 bytes, golden";
const CLUSTER: [u8; 32] = *b"cluster secret of 32 bytes, test";

/// Lines of a name and hexadecimal bytes (`blake3:` and a hash where they are many).
fn golden() -> BTreeMap<&'static str, &'static str> {
    include_str!("golden/seal-v1.txt").lines().map(|line| line.split_once(' ').unwrap()).collect()
}

fn bytes(name: &str) -> Vec<u8> {
    hex::decode(golden().get(name).unwrap_or_else(|| panic!("no golden {name}"))).unwrap()
}

/// Three frames and five bytes.
fn long() -> Vec<u8> {
    (0..3 * 65_536 + 5u32).map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}

fn text() -> Vec<u8> {
    b"any k of k+m shards bring the data back. ".repeat(20)
}

fn sealed(cipher: Cipher, plain: &[u8]) -> Vec<u8> {
    let mut out = vec![0; sealed_bytes_of(plain.len())];
    seal_segment(&SegmentKey::from_bytes(KEY), cipher, plain, false, &mut out).unwrap();
    out
}

fn certificate() -> Certificate {
    let role =
        MemberRole::Storage { pool: PoolName::new("fast").unwrap(), zone: ZoneName::new("zone-a").unwrap() };
    Certificate {
        role,
        node: NodeName::new("storage-0").unwrap(),
        peer: PeerKey([9; 32]),
        not_after_unix: 1_800_000_000,
    }
}

fn cluster() -> ClusterSecret {
    ClusterSecret::from_hex(&hex::encode(CLUSTER)).unwrap()
}

fn join_names() -> (NodeName, PoolName) {
    (NodeName::new("storage-0").unwrap(), PoolName::new("fast").unwrap())
}

/// Everything whose bytes are determined, as this version makes it. Compressed bytes are not: they depend on zstd's version.
fn made() -> BTreeMap<String, String> {
    let mut made = BTreeMap::new();
    let mut add = |name: &str, text: String| made.insert(name.to_owned(), text);
    for (name, cipher) in CIPHERS {
        add(&format!("segment-{name}-short"), hex::encode(sealed(cipher, b"hello")));
        add(
            &format!("segment-{name}-long"),
            format!("blake3:{}", blake3::hash(&sealed(cipher, &long())).to_hex()),
        );
        let mut out = vec![0; sealed_bytes_of(text().len())];
        let plain = text();
        let derived = Prepared::new(cipher, &plain, None, &mut out).unwrap();
        let derived = derived.derive(&BucketSecret::from_bytes(2, BUCKET)).unwrap();
        add(&format!("segment-{name}-derived-key"), hex::encode(derived.key().as_bytes()));
        add(&format!("segment-{name}-derived-lookup"), hex::encode(derived.key().lookup()));
        let sealed_bytes = derived.seal().unwrap();
        add(&format!("segment-{name}-derived"), hex::encode(&out[..sealed_bytes]));
    }
    let record = seal_record(&BucketSecret::from_bytes(2, BUCKET), &[5; 16], b"bucket 1, page 2", b"a page");
    add("record", hex::encode(record));
    add("cluster-fingerprint", cluster().fingerprint());
    add("cluster-public-key", hex::encode(cluster().signing_key().public().0));
    add("signature", hex::encode(cluster().signing_key().sign("golden", b"message")));
    let (node, pool) = join_names();
    add("access-key-secret", hex::encode(cluster().seal_access_key("DM0123456789ABCDEFGH", "secret")));
    add("catalog-anchor", hex::encode(cluster().seal_anchor(&[6; 32], b"what opens a backup")));
    add("credential-hash", hex::encode(cluster().credential_hash(&[4; 24], &[5; 32])));
    add("password-pepper", hex::encode(*cluster().password_pepper(&[1; 16])));
    add("second-factor", hex::encode(cluster().seal_second_factor(&[1; 16], &[2; 20])));
    add("recovery-code-hash", hex::encode(cluster().recovery_code_hash(&[1; 16], b"code")));
    let key = cluster().request_key(&[1; 16], "POST /a", "key");
    add("request-id", hex::encode(key.id()));
    add("request-print", hex::encode(key.print("/a", b"body")));
    add("request-answer", hex::encode(key.seal(b"answer")));
    let (mark, secret) = CustomerKey::from_bytes(Zeroizing::new(CUSTOMER)).mark([8; 16]);
    add("customer-mark", hex::encode(mark.encode()));
    add("customer-record", hex::encode(seal_record(&secret, &[5; 16], b"object", b"a page")));
    let link = Link::first().next("gw/3", 0, b"text");
    add("chain-link", hex::encode(link.0));
    add("chain-head", hex::encode(sign_head(&cluster().signing_key(), "gw/3", 1, &link)));
    add("join-token", hex::encode(cluster().mint_join_token(&node, &pool, [3; 16]).as_str()));
    let signed = SignedCertificate::sign(&cluster().signing_key(), certificate());
    add("certificate-storage", hex::encode(postcard::to_stdvec(&signed).unwrap()));
    let gateway = Certificate { role: MemberRole::Gateway, ..certificate() };
    let signed = SignedCertificate::sign(&cluster().signing_key(), gateway);
    add("certificate-gateway", hex::encode(postcard::to_stdvec(&signed).unwrap()));
    made
}

#[test]
fn this_version_writes_the_golden_bytes() {
    let golden = golden();
    let made = made();
    for (name, text) in &made {
        println!("{name} {text}");
    }
    for (name, text) in &made {
        assert_eq!(golden.get(name.as_str()), Some(&text.as_str()), "{name}");
    }
    let read_only = ["segment-aes-zstd", "segment-chacha-zstd", "wrapped-bucket-secret"];
    assert_eq!(golden.len(), made.len() + read_only.len(), "every golden line is tested");
}

#[test]
fn the_golden_segments_open() {
    let key = SegmentKey::from_bytes(KEY);
    for (name, _) in CIPHERS {
        let mut out = Vec::new();
        open_segment(&key, &mut bytes(&format!("segment-{name}-short")), &mut out).unwrap();
        assert_eq!(out, b"hello");
        open_segment(&key, &mut bytes(&format!("segment-{name}-zstd")), &mut out).unwrap();
        assert_eq!(out, text());
        let key = SegmentKey::from_bytes(bytes(&format!("segment-{name}-derived-key")).try_into().unwrap());
        let mut sealed = bytes(&format!("segment-{name}-derived"));
        open_derived_segment(&BucketSecret::from_bytes(2, BUCKET), &key, &mut sealed, &mut out).unwrap();
        assert_eq!(out, text());
    }
}

#[test]
fn the_second_implementation_agrees() {
    for (name, cipher) in CIPHERS {
        let seal = |plain: &[u8]| oracle::Segment::plain(cipher.code(), plain).seal(&KEY);
        assert_eq!(seal(b"hello"), bytes(&format!("segment-{name}-short")));
        let hash = format!("blake3:{}", blake3::hash(&seal(&long())).to_hex());
        assert_eq!(golden()[format!("segment-{name}-long").as_str()], hash);
        let derived = oracle::Segment { flags: 1, ..oracle::Segment::plain(cipher.code(), &text()) };
        let key = derived.derived_key(&BUCKET, 2);
        assert_eq!(key.to_vec(), bytes(&format!("segment-{name}-derived-key")));
        assert_eq!(derived.seal(&key), bytes(&format!("segment-{name}-derived")));
        let zstd = bytes(&format!("segment-{name}-zstd"));
        let stored = oracle::open(&KEY, &zstd).unwrap();
        assert_eq!(zstd::bulk::decompress(&stored, 10_000).unwrap(), text());
    }
    assert_eq!(oracle::seal_record(&BUCKET, 2, &[5; 16], b"bucket 1, page 2", b"a page"), bytes("record"));
    assert_eq!(oracle::wrap(&CLUSTER, &BUCKET, 2, 42, &[7; 32]), bytes("wrapped-bucket-secret"));
}

#[test]
fn the_golden_records_open() {
    let secret = BucketSecret::from_bytes(2, BUCKET);
    assert_eq!(
        open_record(&secret, &[5; 16], b"bucket 1, page 2", &bytes("record")).unwrap()[..],
        b"a page"[..]
    );
    let wrapped = WrappedBucketSecret { version: 2, bytes: bytes("wrapped-bucket-secret") };
    assert_eq!(cluster().unwrap_bucket(&wrapped, 42), Ok(secret));
    let (node, pool) = join_names();
    let token = String::from_utf8(bytes("join-token")).unwrap();
    assert_eq!(cluster().check_join_token(&token, &node, &pool), Ok([3; 16]));
}

#[test]
fn the_golden_mark_of_a_customer_knows_its_key() {
    let mark = KeyMark::decode(&bytes("customer-mark")).unwrap();
    let secret = CustomerKey::from_bytes(Zeroizing::new(CUSTOMER)).secret_of(&mark).unwrap();
    let opened = open_record(&secret, &[5; 16], b"object", &bytes("customer-record")).unwrap();
    assert_eq!(opened[..], b"a page"[..]);
    assert_eq!(CustomerKey::from_bytes(Zeroizing::new([7; 32])).secret_of(&mark), None);
    // As it is described: one version, salt, check.
    let check = oracle::derive("datamesh.io 2026 checks of keys of customers v1", &[&CUSTOMER, &[8; 16]]);
    assert_eq!(bytes("customer-mark"), [&[1][..], &[8; 16], &check].concat());
    let secret = oracle::derive("datamesh.io 2026 secrets of keys of customers v1", &[&CUSTOMER, &[8; 16]]);
    assert_eq!(oracle::seal_record(&secret, 1, &[5; 16], b"object", b"a page"), bytes("customer-record"));
}

#[test]
fn the_golden_signatures_hold() {
    let public = PeerKey(bytes("cluster-public-key").try_into().unwrap());
    let signature = bytes("signature").try_into().unwrap();
    assert_eq!(verify(&public, "golden", b"message", &signature), Ok(()));
    let read = |name: &str| postcard::from_bytes::<SignedCertificate>(&bytes(name)).unwrap();
    assert_eq!(read("certificate-storage").verify(&public, &PeerKey([9; 32]), 0), Ok(certificate()));
    let gateway = read("certificate-gateway").verify(&public, &PeerKey([9; 32]), 0).unwrap();
    assert_eq!(gateway.role, MemberRole::Gateway);
}
