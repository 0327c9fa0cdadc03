use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use datamesh_catalog::{ObjectKey, UploadId};
use datamesh_seal::{CustomerKey, SegmentKey};
use datamesh_shard::limits::SEAL_HEADER_BYTES;

use super::*;
use crate::objects::Fields;
use crate::pipeline::manifest::{self, SegmentSecret};

fn secrets(bucket: u64, versions: &[u32]) -> Secrets {
    let secret = |version: &u32| BucketSecret::from_bytes(*version, [u8::try_from(*version).unwrap(); 32]);
    Secrets::new(BucketId(bucket), versions.iter().map(secret))
}

fn target(upload: u8, key: &str) -> Target {
    Target { bucket: BucketId(1), key: ObjectKey::new(key).unwrap(), upload: UploadId([upload; 16]) }
}

/// What a page's record holds.
fn page() -> Zeroizing<Vec<u8>> {
    let secret = |n: u8, plain_bytes| SegmentSecret {
        key: SegmentKey::from_bytes([n; 32]),
        plain_bytes,
        seal_header: [n ^ 0xff; SEAL_HEADER_BYTES],
    };
    manifest::encode(&[secret(1, 4 << 20), secret(2, 70_001)]).unwrap()
}

#[test]
fn opens_in_its_place_only() {
    let (ours, place) = (secrets(1, &[1]), Record::Page(PageAt { part: 1, page: 0 }));
    let sealed = ours.seal(&target(1, "a"), place, b"text").unwrap();
    assert_eq!(*ours.open(&target(1, "a"), place, &sealed).unwrap(), b"text");
    let elsewhere = [
        ours.open(&target(2, "a"), place, &sealed),
        ours.open(&target(1, "b"), place, &sealed),
        ours.open(&target(1, "a"), Record::Page(PageAt { part: 1, page: 1 }), &sealed),
        ours.open(&target(1, "a"), Record::Page(PageAt { part: 2, page: 0 }), &sealed),
        ours.open(&target(1, "a"), Record::Inline, &sealed),
        ours.open(&target(1, "a"), Record::Meta, &sealed),
        ours.open(&target(1, "a"), Record::Part(1), &sealed),
        ours.open(&target(1, "a"), place, &sealed[..sealed.len() - 1]),
        secrets(2, &[1]).open(&target(1, "a"), place, &sealed),
        secrets(1, &[]).open(&target(1, "a"), place, &sealed),
    ];
    for (at, opened) in elsewhere.iter().enumerate() {
        assert!(opened.is_err(), "case {at}");
    }
}

#[test]
fn older_secrets_still_open() {
    let sealed = secrets(1, &[1]).seal(&target(1, "a"), Record::Inline, b"old").unwrap();
    assert_eq!(*secrets(1, &[1, 2]).open(&target(1, "a"), Record::Inline, &sealed).unwrap(), b"old");
    assert!(secrets(1, &[2]).open(&target(1, "a"), Record::Inline, &sealed).is_err());
}

/// Sealed by this version as by the first, and opened by hand: with the binding spelt out, as it is fixed for ever.
fn holds(record: Record, plain: &[u8], binding: &[&[u8]], golden: &str) {
    let (secrets, target) = (secrets(1, &[1]), target(9, "golden/key"));
    let sealed = hex::decode(golden.trim()).unwrap();
    let made = secrets.seal(&target, record, plain).unwrap();
    assert_eq!(hex::encode(made), golden.trim(), "{record:?} is sealed otherwise");
    assert_eq!(*secrets.open(&target, record, &sealed).unwrap(), plain, "{record:?}");
    let secret = BucketSecret::from_bytes(1, [1; 32]);
    let opened = datamesh_seal::open_record(&secret, &[9; 16], &binding.concat(), &sealed);
    assert_eq!(*opened.unwrap(), plain, "{record:?} is bound to something else");
}

/// Bucket 1, little-endian, and the upload.
const BUCKET: [u8; 8] = [1, 0, 0, 0, 0, 0, 0, 0];
const UPLOAD: [u8; 16] = [9; 16];
const NO_PAGE: [u8; 8] = [0; 8];

#[test]
fn golden_inline_version_1() {
    let binding: [&[u8]; 5] = [&[1, 2], &BUCKET, &UPLOAD, &NO_PAGE, b"golden/key"];
    holds(Record::Inline, b"golden", &binding, include_str!("../../../tests/golden/inline-record-v1.hex"));
}

#[test]
fn golden_page_version_1() {
    let page = page();
    assert_eq!(hex::encode(&*page), include_str!("../../../tests/golden/manifest-v1.hex").trim());
    let at = Record::Page(PageAt { part: 3, page: 0x0102 });
    let binding: [&[u8]; 5] = [&[1, 1], &BUCKET, &UPLOAD, &[3, 0, 0, 0, 2, 1, 0, 0], b"golden/key"];
    holds(at, &page, &binding, include_str!("../../../tests/golden/page-record-v1.hex"));
}

#[test]
fn golden_part_version_1() {
    let sums = br#"[["x-amz-checksum-crc32","y/Q5Jg=="]]"#;
    let binding: [&[u8]; 5] = [&[1, 4], &BUCKET, &UPLOAD, &[3, 0, 0, 0, 0, 0, 0, 0], b"golden/key"];
    holds(Record::Part(3), sums, &binding, include_str!("../../../tests/golden/part-record-v1.hex"));
}

#[test]
fn golden_meta_version_1() {
    let meta = br#"[["colour","blue"],["owner","ann"]]"#;
    let binding: [&[u8]; 5] = [&[1, 3], &BUCKET, &UPLOAD, &NO_PAGE, b"golden/key"];
    let golden = include_str!("../../../tests/golden/meta-record-v1.hex");
    holds(Record::Meta, meta, &binding, golden);
    // And as the catalog keeps it: one field, in base64.
    let user =
        [("colour", "blue"), ("owner", "ann")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let fields = Fields { user: user.to_vec(), ..Fields::default() };
    let kept = fields.seal(&secrets(1, &[1]), &target(9, "golden/key")).unwrap();
    let sealed = STANDARD_NO_PAD.encode(hex::decode(golden.trim()).unwrap());
    assert_eq!(kept, [("sealed-v1".to_owned(), sealed)]);
}

/// With the key of a customer, which is all 2, and a salt that is all 3.
fn of_customer(secrets: &Secrets) -> Secrets {
    secrets.with_customer(CustomerKey::from_bytes(Zeroizing::new([2; 32])).mark([3; 16]).1)
}

#[test]
fn golden_inline_of_a_customer_version_1() {
    let (sealing, target) = (of_customer(&secrets(1, &[1])), target(9, "golden/key"));
    let golden = include_str!("../../../tests/golden/customer-inline-record-v1.hex").trim();
    assert_eq!(hex::encode(sealing.seal(&target, Record::Inline, b"golden").unwrap()), golden);
    assert_eq!(*sealing.open(&target, Record::Inline, &hex::decode(golden).unwrap()).unwrap(), b"golden");
}

/// Opened by hand, with the bindings spelt out, as they are fixed for ever: the bucket's secret outside, the customer's inside.
#[test]
fn what_a_customer_s_key_seals_is_bound_twice_to_its_place() {
    let (sealing, target) = (of_customer(&secrets(1, &[1])), target(9, "golden/key"));
    let outside = BucketSecret::from_bytes(1, [1; 32]);
    let inside = CustomerKey::from_bytes(Zeroizing::new([2; 32])).mark([3; 16]).1;
    for (record, kind, place) in [
        (Record::Page(PageAt { part: 3, page: 0x0102 }), 0x81, [3, 0, 0, 0, 2, 1, 0, 0]),
        (Record::Inline, 0x82, NO_PAGE),
        (Record::Part(3), 0x84, [3, 0, 0, 0, 0, 0, 0, 0]),
        (Record::Sums, 0x85, NO_PAGE),
    ] {
        let sealed = sealing.seal(&target, record, b"text").unwrap();
        let binding = [&[1, kind][..], &BUCKET, &UPLOAD, &place, b"golden/key"].concat();
        let inner = datamesh_seal::open_record(&outside, &UPLOAD, &binding, &sealed).unwrap();
        assert_eq!(*datamesh_seal::open_record(&inside, &UPLOAD, &binding, &inner).unwrap(), b"text");
    }
}

#[test]
fn a_customer_s_key_and_the_bucket_s_secret_open_together_only() {
    let (plain, target) = (secrets(1, &[1]), target(1, "a"));
    let sealing = of_customer(&plain);
    let other = plain.with_customer(CustomerKey::from_bytes(Zeroizing::new([4; 32])).mark([3; 16]).1);
    let other_salt = plain.with_customer(CustomerKey::from_bytes(Zeroizing::new([2; 32])).mark([4; 16]).1);
    for record in [Record::Page(PageAt::default()), Record::Inline, Record::Part(1), Record::Sums] {
        let sealed = sealing.seal(&target, record, b"text").unwrap();
        assert_eq!(*sealing.open(&target, record, &sealed).unwrap(), b"text");
        for wrong in [&plain, &other, &other_salt, &of_customer(&secrets(1, &[2]))] {
            assert!(wrong.open(&target, record, &sealed).is_err(), "{record:?}");
        }
        let without = plain.seal(&target, record, b"text").unwrap();
        assert!(sealing.open(&target, record, &without).is_err(), "{record:?}");
    }
    // What is the cluster's to read stays so.
    let meta = sealing.seal(&target, Record::Meta, b"text").unwrap();
    assert_eq!(*plain.open(&target, Record::Meta, &meta).unwrap(), b"text");
    // The secret's own rotation changes nothing about it.
    let sealed = sealing.seal(&target, Record::Inline, b"old").unwrap();
    assert_eq!(*of_customer(&secrets(1, &[1, 2])).open(&target, Record::Inline, &sealed).unwrap(), b"old");
}

/// Small random numbers, from a seed that is printed.
struct Dice(u64);

impl Dice {
    fn printed() -> Self {
        let mut fresh = [0; 8];
        getrandom::fill(&mut fresh).unwrap();
        let given = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or(u64::from_le_bytes(fresh));
        println!("SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

/// Almost what it was: up to three bytes altered, put in or taken away.
fn mutate(dice: &mut Dice, valid: &[u8]) -> Vec<u8> {
    let mut bytes = valid.to_vec();
    for _ in 0..=dice.below(3) {
        let at = dice.below(bytes.len() + 1);
        let byte = [0, 1, 2, 0x7f, 0x80, 0xff][dice.below(6)];
        match dice.below(5) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, byte),
            2 => bytes.extend_from_within(at..),
            3 if at < bytes.len() => bytes[at] = byte,
            _ if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
            _ => {}
        }
    }
    bytes
}

#[test]
fn a_mutated_record_never_opens() {
    let mut dice = Dice::printed();
    let (ours, target, at) = (secrets(1, &[1, 2]), target(1, "a"), PageAt { part: 1, page: 0 });
    for record in [Record::Page(at), Record::Inline, Record::Meta] {
        for ours in [&ours, &of_customer(&ours)] {
            let sealed = ours.seal(&target, record, &page()).unwrap();
            for _ in 0..10_000 {
                let mutant = mutate(&mut dice, &sealed);
                assert_eq!(ours.open(&target, record, &mutant).is_ok(), mutant == sealed, "{record:?}");
            }
        }
    }
}

#[test]
fn a_mutated_page_is_read_as_what_it_says_or_refused() {
    let mut dice = Dice::printed();
    let (page, mut read, mut refused) = (page(), 0, 0);
    for _ in 0..100_000 {
        let mutant = mutate(&mut dice, &page);
        match manifest::decode(&mutant) {
            Ok(secrets) => {
                assert_eq!(*manifest::encode(&secrets).unwrap(), mutant);
                read += 1;
            }
            Err(_) => refused += 1,
        }
    }
    println!("{read} read, {refused} refused");
    assert!(read > 1000 && refused > 1000, "mutations must hit both: {read} read, {refused} refused");
}
