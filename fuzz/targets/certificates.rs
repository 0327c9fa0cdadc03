//! What the cluster's secret vouches for: membership certificates, wrapped bucket secrets, join tokens. What is believed is
//! what the golden files say; what the cluster's key signs may say anything, and is read with the same care.
#![no_main]

use std::sync::LazyLock;

use datamesh_fuzz as _;
use datamesh_seal::{BucketSecret, ClusterSecret, ClusterSigningKey, SignedCertificate, WrappedBucketSecret};
use datamesh_shard::{NodeName, PeerKey, PoolName};

/// As in `node/crates/seal/tests/golden.rs`, whose golden file is where the corpus begins.
const CLUSTER: &str = "636c757374657220736563726574206f662033322062797465732c2074657374";
const BUCKET: [u8; 32] = *b"bucket secret of thirty-two byte";
const BUCKET_VERSION: u32 = 2;
const BUCKET_ID: u64 = 42;
const PEER: PeerKey = PeerKey([9; 32]);

static SECRET: LazyLock<ClusterSecret> =
    LazyLock::new(|| ClusterSecret::from_hex(CLUSTER).expect("64 digits"));
static SIGNING: LazyLock<ClusterSigningKey> = LazyLock::new(|| SECRET.signing_key());
static FINGERPRINT: LazyLock<[u8; 8]> =
    LazyLock::new(|| u64::from_str_radix(&SECRET.fingerprint(), 16).expect("16 digits").to_be_bytes());
static NAMES: LazyLock<(NodeName, PoolName)> =
    LazyLock::new(|| (NodeName::new("storage-0").expect("a name"), PoolName::new("fast").expect("a name")));

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    shown(input);
    signed(input);
    wrapped(input.to_vec());
    wrapped(with_good_fingerprint(input));
    token(input);
});

/// A certificate as a peer shows it.
fn shown(input: &[u8]) {
    if let Ok(shown) = postcard::from_bytes::<SignedCertificate>(input)
        && let Ok(certificate) = shown.verify(&SIGNING.public(), &PEER, 0)
    {
        assert_eq!(
            SignedCertificate::sign(&SIGNING, certificate),
            shown,
            "believed without having been signed"
        );
    }
}

/// Any bytes in a certificate's place, signed, so that the reader behind the signature is reached.
fn signed(input: &[u8]) {
    let signature = SIGNING.sign("membership certificate", input);
    let bytes = postcard::to_stdvec(&(input, &signature[..])).expect("encodes");
    let read: SignedCertificate = postcard::from_bytes(&bytes).expect("two lists of bytes");
    if let Ok(certificate) = read.verify(&SIGNING.public(), &PEER, 0) {
        let again = SignedCertificate::sign(&SIGNING, certificate.clone());
        assert_eq!(again.verify(&SIGNING.public(), &PEER, 0), Ok(certificate));
    }
}

fn wrapped(bytes: Vec<u8>) {
    let wrapped = WrappedBucketSecret { version: BUCKET_VERSION, bytes };
    if let Ok(secret) = SECRET.unwrap_bucket(&wrapped, BUCKET_ID) {
        assert_eq!(
            secret,
            BucketSecret::from_bytes(BUCKET_VERSION, BUCKET),
            "unwrapped without having been wrapped"
        );
    }
}

fn with_good_fingerprint(input: &[u8]) -> Vec<u8> {
    let mut bytes = input.to_vec();
    if let Some(fingerprint) = bytes.get_mut(2..10) {
        fingerprint.copy_from_slice(&*FINGERPRINT);
    }
    bytes
}

fn token(input: &[u8]) {
    let (node, pool) = &*NAMES;
    if let Ok(text) = std::str::from_utf8(input)
        && let Ok(nonce) = SECRET.check_join_token(text, node, pool)
    {
        assert_eq!(nonce, [3; 16], "a token nobody minted");
    }
}
