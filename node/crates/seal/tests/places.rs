//! What is wrapped, tokened, signed or recorded opens in its place only.
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

use datamesh_seal::{
    BadSignature, BucketSecret, Certificate, CertificateError, ClusterSecret, JoinTokenError, MemberRole,
    OpenError, SignedCertificate, UnwrapError, WrappedBucketSecret, open_record, seal_record, verify,
};
use datamesh_shard::{NodeName, PeerKey, PoolName, ZoneName};
use dice::Dice;

#[test]
fn every_flipped_byte_of_a_record_is_refused_and_named() {
    let mut dice = Dice::printed("every_flipped_byte_of_a_record");
    let secret = BucketSecret::generate(5);
    let id = dice.array();
    let sealed = seal_record(&secret, &id, b"bucket 1", b"a page of a manifest");
    for at in 0..sealed.len() {
        let mut altered = sealed.clone();
        altered[at] ^= 1 << dice.below(8);
        let error =
            open_record(&secret, &id, b"bucket 1", &altered).expect_err("an altered byte was believed");
        let named = match at {
            0..2 => matches!(error, OpenError::RecordVersion { .. }),
            2..6 => matches!(error, OpenError::SecretVersion { have: 5, .. }),
            6..54 => error == OpenError::Commitment,
            _ => error == OpenError::Record,
        };
        assert!(named, "byte {at}: {error}");
    }
    for len in 0..sealed.len() {
        let error = open_record(&secret, &id, b"bucket 1", &sealed[..len]).unwrap_err();
        assert!(matches!(error, OpenError::Truncated { .. }) == (len < 70), "{len}: {error}");
    }
    let longer = [&sealed[..], &[0]].concat();
    assert_eq!(open_record(&secret, &id, b"bucket 1", &longer).unwrap_err(), OpenError::Record);
    assert_eq!(open_record(&secret, &id, b"bucket 1", &sealed).unwrap()[..], b"a page of a manifest"[..]);
}

#[test]
fn a_record_opens_in_its_place_only() {
    let mut dice = Dice::printed("a_record_opens_in_its_place_only");
    let (raw, id, other_id) = (dice.array(), dice.array(), dice.array());
    let secret = BucketSecret::from_bytes(1, raw);
    let sealed = seal_record(&secret, &id, b"place", b"text");
    let other_bucket = BucketSecret::generate(1);
    assert_eq!(open_record(&other_bucket, &id, b"place", &sealed).unwrap_err(), OpenError::Commitment);
    assert_eq!(open_record(&secret, &other_id, b"place", &sealed).unwrap_err(), OpenError::Commitment);
    assert_eq!(open_record(&secret, &id, b"other place", &sealed).unwrap_err(), OpenError::Record);
    let rotated = BucketSecret::from_bytes(2, raw);
    let expected = OpenError::SecretVersion { have: 2, need: 1 };
    assert_eq!(open_record(&rotated, &id, b"place", &sealed).unwrap_err(), expected);
    // Two records spliced: head of one, text of the other.
    let other = seal_record(&secret, &id, b"place", b"more");
    let spliced = [&sealed[..54], &other[54..]].concat();
    assert_eq!(open_record(&secret, &id, b"place", &spliced).unwrap_err(), OpenError::Record);
    // One record id used twice by mistake: other salts, so other keys; the same record again: the same bytes.
    assert_ne!(sealed[6..54], other[6..54]);
    assert_eq!(seal_record(&secret, &id, b"place", b"text"), sealed);
}

#[test]
fn every_flipped_byte_of_a_wrapped_secret_is_refused_and_named() {
    let mut dice = Dice::printed("every_flipped_byte_of_a_wrapped_secret");
    let cluster = ClusterSecret::generate();
    let secret = BucketSecret::generate(1);
    let wrapped = cluster.wrap_bucket(&secret, 7);
    for at in 0..wrapped.bytes.len() {
        let mut altered = wrapped.clone();
        altered.bytes[at] ^= 1 << dice.below(8);
        let error = cluster.unwrap_bucket(&altered, 7).expect_err("an altered byte was believed");
        let named = match at {
            0..2 => matches!(error, UnwrapError::Version { .. }),
            2..10 => matches!(error, UnwrapError::OtherClusterSecret { .. }),
            _ => error == UnwrapError::Refused,
        };
        assert!(named, "byte {at}: {error}");
    }
    assert_eq!(cluster.unwrap_bucket(&wrapped, 8), Err(UnwrapError::Refused), "another bucket");
    let newer = WrappedBucketSecret { version: 2, ..wrapped.clone() };
    assert_eq!(cluster.unwrap_bucket(&newer, 7), Err(UnwrapError::Refused), "another version");
    let short = WrappedBucketSecret { bytes: wrapped.bytes[1..].to_vec(), ..wrapped.clone() };
    assert_eq!(cluster.unwrap_bucket(&short, 7), Err(UnwrapError::Length(89)));
    let stranger = ClusterSecret::generate();
    let expected =
        UnwrapError::OtherClusterSecret { have: stranger.fingerprint(), need: cluster.fingerprint() };
    assert_eq!(stranger.unwrap_bucket(&wrapped, 7), Err(expected));
    assert_eq!(cluster.unwrap_bucket(&wrapped, 7), Ok(secret));
}

#[test]
fn the_secret_of_an_access_key_opens_for_that_key_alone() {
    let mut dice = Dice::printed("the_secret_of_an_access_key");
    let cluster = ClusterSecret::generate();
    let sealed = cluster.seal_access_key("DM0123456789ABCDEFGH", "hunter2-hunter2");
    let opened = cluster.open_access_key("DM0123456789ABCDEFGH", &sealed).unwrap();
    assert_eq!(&opened[..], b"hunter2-hunter2");
    assert!(!sealed.windows(7).any(|window| window == b"hunter2"), "it is not written in the clear");
    assert!(cluster.open_access_key("DM0123456789ABCDEFGI", &sealed).is_err(), "another key's");
    assert!(ClusterSecret::generate().open_access_key("DM0123456789ABCDEFGH", &sealed).is_err());
    for at in 0..sealed.len() {
        let mut altered = sealed.clone();
        altered[at] ^= 1 << dice.below(8);
        assert!(cluster.open_access_key("DM0123456789ABCDEFGH", &altered).is_err(), "byte {at}");
    }
}

#[test]
fn an_answer_opens_for_the_key_of_its_request_alone() {
    let cluster = ClusterSecret::generate();
    let key = cluster.request_key(&[1; 16], "POST /a", "key");
    let sealed = key.seal(b"a secret answer");
    assert_eq!(&key.open(&sealed).unwrap()[..], b"a secret answer");
    assert!(!sealed.windows(6).any(|window| window == b"secret"), "it is not written in the clear");
    let others = [
        cluster.request_key(&[2; 16], "POST /a", "key"),
        cluster.request_key(&[1; 16], "POST /b", "key"),
        cluster.request_key(&[1; 16], "POST /a", "kez"),
        ClusterSecret::generate().request_key(&[1; 16], "POST /a", "key"),
    ];
    for other in others {
        assert!(other.open(&sealed).is_err());
        assert_ne!(other.id(), key.id());
        assert_ne!(other.print("/a", b"body"), key.print("/a", b"body"));
    }
    assert_ne!(key.print("/a", b"body"), key.print("/b", b"body"));
    assert_ne!(key.print("/a", b"body"), key.print("/a", b"bodz"));
    assert_ne!(key.print("/ab", b""), key.print("/a", b"b"));
}

#[test]
fn the_secret_of_a_second_factor_opens_for_its_user_alone() {
    let cluster = ClusterSecret::generate();
    let sealed = cluster.seal_second_factor(&[1; 16], b"twenty bytes of them");
    assert_eq!(&cluster.open_second_factor(&[1; 16], &sealed).unwrap()[..], b"twenty bytes of them");
    assert!(!sealed.windows(6).any(|window| window == b"twenty"), "it is not written in the clear");
    assert!(cluster.open_second_factor(&[2; 16], &sealed).is_err(), "another user's");
    assert!(ClusterSecret::generate().open_second_factor(&[1; 16], &sealed).is_err());
    let hash = cluster.recovery_code_hash(&[1; 16], b"code");
    assert_ne!(hash, cluster.recovery_code_hash(&[2; 16], b"code"), "another user's");
    assert_ne!(hash, ClusterSecret::generate().recovery_code_hash(&[1; 16], b"code"));
}

#[test]
fn what_is_pending_opens_for_its_purpose_alone() {
    let cluster = ClusterSecret::generate();
    let sealed = cluster.seal_pending("browser", (&[7; 16], b"a verifier"));
    assert_eq!(&cluster.open_pending("browser", &sealed).unwrap()[..], b"a verifier");
    assert!(!sealed.windows(8).any(|window| window == b"verifier"));
    assert!(cluster.open_pending("device", &sealed).is_err(), "another purpose");
    assert!(ClusterSecret::generate().open_pending("browser", &sealed).is_err());
    for at in 0..sealed.len() {
        let mut altered = sealed.clone();
        altered[at] ^= 1;
        assert!(cluster.open_pending("browser", &altered).is_err(), "byte {at}");
        assert!(cluster.open_pending("browser", &sealed[..at]).is_err(), "the first {at} bytes");
    }
}

#[test]
fn a_join_token_lets_one_node_into_one_pool() {
    let mut dice = Dice::printed("a_join_token");
    let node = |name: &str| NodeName::new(name).unwrap();
    let pool = |name: &str| PoolName::new(name).unwrap();
    let cluster = ClusterSecret::generate();
    let nonce: [u8; 16] = dice.array();
    let token = cluster.mint_join_token(&node("a1"), &pool("b"), nonce);
    assert_eq!(cluster.check_join_token(token.as_str(), &node("a1"), &pool("b")), Ok(nonce));
    for (n, p) in [("a1", "c"), ("a2", "b"), ("a", "1b"), ("a1b", "b")] {
        assert_eq!(
            cluster.check_join_token(token.as_str(), &node(n), &pool(p)),
            Err(JoinTokenError::Rejected)
        );
    }
    let stranger = ClusterSecret::generate();
    assert_eq!(
        stranger.check_join_token(token.as_str(), &node("a1"), &pool("b")),
        Err(JoinTokenError::Rejected)
    );
    for at in 0..token.as_str().len() {
        let mut altered = token.as_str().as_bytes().to_vec();
        altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
        let altered = String::from_utf8(altered).unwrap();
        let error = cluster.check_join_token(&altered, &node("a1"), &pool("b")).unwrap_err();
        let expected = if at < 5 { JoinTokenError::Malformed } else { JoinTokenError::Rejected };
        assert_eq!(error, expected, "character {at}");
    }
    let text = token.as_str();
    for wrong in [
        String::new(),
        text[..68].into(),
        format!("{text}A"),
        format!("{text}="),
        format!(" {text}"),
        text[5..].into(),
    ] {
        assert_eq!(cluster.check_join_token(&wrong, &node("a1"), &pool("b")), Err(JoinTokenError::Malformed));
    }
}

#[test]
fn a_signature_counts_for_its_key_context_and_message() {
    let cluster = ClusterSecret::generate();
    let key = cluster.signing_key();
    let signature = key.sign("layout", b"message");
    assert_eq!(verify(&key.public(), "layout", b"message", &signature), Ok(()));
    assert_eq!(cluster.signing_key().public(), key.public());
    assert_eq!(verify(&key.public(), "layouts", b"message", &signature), Err(BadSignature));
    assert_eq!(
        verify(&key.public(), "layoutm", b"essage", &signature),
        Err(BadSignature),
        "the border is signed too"
    );
    assert_eq!(verify(&key.public(), "layout", b"message2", &signature), Err(BadSignature));
    let other = ClusterSecret::generate().signing_key();
    assert_eq!(verify(&other.public(), "layout", b"message", &signature), Err(BadSignature));
    for at in 0..64 {
        let mut altered = signature;
        altered[at] ^= 1;
        assert_eq!(verify(&key.public(), "layout", b"message", &altered), Err(BadSignature), "byte {at}");
    }
}

#[test]
fn a_certificate_holds_for_its_peer_cluster_and_time() {
    let key = ClusterSecret::generate().signing_key();
    let (peer, other) = (PeerKey([7; 32]), PeerKey([8; 32]));
    let role =
        MemberRole::Storage { pool: PoolName::new("fast").unwrap(), zone: ZoneName::new("a").unwrap() };
    let certificate = Certificate { role, node: NodeName::new("s-0").unwrap(), peer, not_after_unix: 1000 };
    let signed = SignedCertificate::sign(&key, certificate.clone());
    assert_eq!(signed.verify(&key.public(), &peer, 0), Ok(certificate.clone()));
    assert_eq!(signed.verify(&key.public(), &peer, 1000), Ok(certificate));
    assert_eq!(signed.verify(&key.public(), &peer, 1001), Err(CertificateError::Expired(1000)));
    assert_eq!(signed.verify(&key.public(), &other, 0), Err(CertificateError::Peer(peer)));
    let stranger = ClusterSecret::generate().signing_key().public();
    assert_eq!(signed.verify(&stranger, &peer, 0), Err(CertificateError::Signature(BadSignature)));
    let bytes = postcard::to_stdvec(&signed).unwrap();
    let mut refused = 0;
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut altered = bytes.clone();
            altered[at] ^= 1 << bit;
            let Ok(read) = postcard::from_bytes::<SignedCertificate>(&altered) else { continue };
            assert!(read.verify(&key.public(), &peer, 0).is_err(), "byte {at} bit {bit}");
            refused += 1;
        }
    }
    assert!(refused > 8 * 100, "only {refused} altered certificates came as far as the signature");
}
