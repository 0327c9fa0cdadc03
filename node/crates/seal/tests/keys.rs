//! No key ever seals two messages, equal content gives equal bytes, and no secret is printed.
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
#[path = "support/oracle.rs"]
mod oracle;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU8, Ordering};

use datamesh_seal::{
    BucketSecret, ClusterSecret, ClusterSecretError, Prepared, Random, SegmentKey, pays_to_compress,
    seal_record, seal_segment, sealed_bytes_of,
};
use datamesh_shard::{Cipher, NodeName, PoolName};
use dice::Dice;

/// What was sealed under which AEAD key.
#[derive(Default)]
struct Seen(BTreeMap<[u8; 32], BTreeSet<Vec<u8>>>);

impl Seen {
    fn add(&mut self, key: [u8; 32], message: &[u8]) {
        self.0.entry(key).or_default().insert(message.to_vec());
    }

    /// Keys that sealed more than one message.
    fn reused(&self) -> usize {
        self.0.values().filter(|messages| messages.len() > 1).count()
    }
}

fn contents(dice: &mut Dice) -> Vec<Vec<u8>> {
    let words: Vec<Vec<u8>> = (0..50).map(|_| dice.bytes(4)).collect();
    let text: Vec<u8> = (0..60_000).flat_map(|_| words[dice.below(50)].clone()).collect();
    let mut almost = text.clone();
    almost[100_000] ^= 1;
    let random = dice.bytes(70_000);
    vec![
        text.clone(),
        almost,
        text[..text.len() - 1].to_vec(),
        random,
        vec![0; 65_536],
        vec![0; 65_537],
        vec![0; 300],
        vec![0],
    ]
}

#[test]
fn no_key_seals_two_messages() {
    let mut dice = Dice::printed("no_key_seals_two_messages");
    let raw = dice.array();
    let secrets = [1, 2, 3].map(|version| BucketSecret::from_bytes(version, raw)).into_iter();
    let secrets: Vec<BucketSecret> = secrets.chain([BucketSecret::generate(1)]).collect();
    let (mut seen, mut careless, mut sealed_total, mut distinct) =
        (Seen::default(), Seen::default(), 0, BTreeSet::new());
    for plain in contents(&mut dice) {
        for level in [None, Some(-5), Some(1), Some(3), Some(9)] {
            for cipher in [Cipher::Aes256Gcm, Cipher::ChaCha20Poly1305] {
                for (number, secret) in secrets.iter().enumerate() {
                    let mut out = vec![0; sealed_bytes_of(plain.len())];
                    let derived =
                        Prepared::new(cipher, &plain, level, &mut out).unwrap().derive(secret).unwrap();
                    let key = derived.key().clone();
                    let sealed_bytes = derived.seal().unwrap();
                    let sealed = &out[..sealed_bytes];
                    let stored = oracle::open(key.as_bytes(), sealed).unwrap();
                    seen.add(*key.as_bytes(), sealed);
                    seen.add(oracle::aead_key(key.as_bytes(), &sealed[..12]), sealed);
                    distinct.insert((number, sealed[..12].to_vec(), stored));
                    // What a derivation from the plaintext alone would have done.
                    careless.add(blake3::hash(&plain).into(), sealed);
                    sealed_total += 1;
                }
            }
        }
    }
    assert_eq!(seen.reused(), 0);
    assert_eq!(seen.0.len(), 2 * distinct.len(), "one key, and one AEAD key, per message");
    assert!(distinct.len() < sealed_total, "equal messages did occur");
    assert!(careless.reused() >= 8, "the control: careless derivation is found out");
}

#[test]
fn a_random_key_seals_other_suites_and_lengths_under_other_aead_keys() {
    let key = SegmentKey::random();
    let mut seen = Seen::default();
    for cipher in [Cipher::Aes256Gcm, Cipher::ChaCha20Poly1305] {
        for compress in [false, true] {
            for len in [999, 1000] {
                let mut out = vec![0; sealed_bytes_of(len)];
                let sealed_bytes = seal_segment(&key, cipher, &vec![b'a'; len], compress, &mut out).unwrap();
                seen.add(oracle::aead_key(key.as_bytes(), &out[..12]), &out[..sealed_bytes]);
            }
        }
    }
    assert_eq!((seen.reused(), seen.0.len()), (0, 8));
}

#[test]
fn equal_content_gives_equal_bytes_inside_a_bucket_only() {
    let secrets = [BucketSecret::generate(1), BucketSecret::generate(1)];
    let seal = |secret: &BucketSecret| {
        let mut out = vec![0; sealed_bytes_of(5000)];
        let derived =
            Prepared::new(Cipher::Aes256Gcm, &[3; 5000], Some(1), &mut out).unwrap().derive(secret).unwrap();
        let lookup = derived.key().lookup();
        assert_ne!(lookup, *derived.key().as_bytes());
        let sealed_bytes = derived.seal().unwrap();
        (lookup, out[..sealed_bytes].to_vec())
    };
    assert_eq!(seal(&secrets[0]), seal(&secrets[0]));
    assert_ne!(seal(&secrets[0]).0, seal(&secrets[1]).0);
}

#[test]
fn what_pays_to_compress() {
    let mut dice = Dice::printed("what_pays_to_compress");
    let text = b"the quick brown fox jumps over the lazy dog; ".repeat(10_000);
    let random = dice.bytes(450_000);
    assert!(pays_to_compress(&text));
    assert!(pays_to_compress(&text[..300]));
    assert!(!pays_to_compress(&random));
    assert!(!pays_to_compress(b"short") && !pays_to_compress(&[]));
    assert!(pays_to_compress(&[&random[..100_000], &text[..]].concat()), "text behind a random head");
    // Asked to compress what does not shrink, it is stored as it is.
    let key = SegmentKey::random();
    let mut out = vec![0; sealed_bytes_of(random.len())];
    let sealed_bytes = seal_segment(&key, Cipher::Aes256Gcm, &random, true, &mut out);
    assert_eq!(sealed_bytes, Ok(sealed_bytes_of(random.len())));
    let sealed_bytes = seal_segment(&key, Cipher::Aes256Gcm, &text[..450_000], true, &mut out).unwrap();
    assert!(sealed_bytes < 10_000);
}

#[test]
fn secrets_are_not_printed() {
    let cluster = ClusterSecret::generate();
    let bucket = BucketSecret::from_bytes(4, [0xab; 32]);
    let key = SegmentKey::from_bytes([0xab; 32]);
    let token =
        cluster.mint_join_token(&NodeName::new("n").unwrap(), &PoolName::new("p").unwrap(), [0xab; 16]);
    let mut out = [0; 500];
    let prepared = format!("{:?}", Prepared::new(Cipher::Aes256Gcm, &[0xab; 100], None, &mut out).unwrap());
    let printed = format!("{cluster:?} {bucket:?} {key:?} {token:?} {:?} {prepared}", cluster.signing_key());
    let hex = cluster.to_hex();
    for secret in [&hex[..8], "abab", "171, 171", token.as_str()] {
        assert!(!printed.contains(secret), "{printed}");
    }
    assert!(
        printed.contains("ClusterSecret(…) BucketSecret(version 4, …) SegmentKey(…) JoinToken(…)"),
        "{printed}"
    );
    let error = ClusterSecret::from_hex(&hex[1..]).unwrap_err();
    assert_eq!(error, ClusterSecretError);
    assert!(!error.to_string().contains(&hex[1..9]));
}

#[test]
fn a_cluster_secret_reads_back() {
    let cluster = ClusterSecret::generate();
    assert_eq!(ClusterSecret::from_hex(&cluster.to_hex()), Ok(cluster.clone()));
    assert_ne!(ClusterSecret::generate(), cluster);
    assert_eq!(cluster.fingerprint().len(), 16);
    assert!(!cluster.to_hex().contains(&cluster.fingerprint()));
    assert_ne!(BucketSecret::generate(1), BucketSecret::generate(1));
    assert_ne!(SegmentKey::random(), SegmentKey::random());
    for wrong in
        ["", "00", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64), &format!("{}\n", "0".repeat(64))]
    {
        assert_eq!(ClusterSecret::from_hex(wrong), Err(ClusterSecretError), "{wrong:?}");
    }
}

/// Gives 1, 1, …, then 2, 2, …
#[derive(Default)]
struct Counting(AtomicU8);

impl Random for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0.fetch_add(1, Ordering::Relaxed) + 1);
    }
}

#[test]
fn keys_out_of_another_source_are_drawn_anew_each_time() {
    let source = Counting::default();
    assert_eq!(SegmentKey::random_from(&source), SegmentKey::from_bytes([1; 32]));
    assert_eq!(SegmentKey::random_from(&source), SegmentKey::from_bytes([2; 32]));
    let secret = BucketSecret::generate_from(7, &source);
    assert_eq!(secret, BucketSecret::from_bytes(7, [3; 32]));
    let cluster = ClusterSecret::generate();
    let [one, two] = [(); 2].map(|()| cluster.wrap_bucket_from(&secret, 9, &source));
    assert_ne!(one.bytes, two.bytes);
    assert_eq!(cluster.unwrap_bucket(&one, 9), Ok(secret.clone()));
    assert_eq!(cluster.unwrap_bucket(&two, 9), Ok(secret));
}

#[test]
fn a_record_id_used_twice_seals_under_two_keys() {
    let secret = BucketSecret::generate(1);
    let sealed: BTreeSet<Vec<u8>> = [&b"one"[..], b"two", b"three"]
        .iter()
        .map(|plain| seal_record(&secret, &[1; 16], b"", plain)[22..54].to_vec())
        .collect();
    assert_eq!(sealed.len(), 3, "three commitments to three keys");
}
