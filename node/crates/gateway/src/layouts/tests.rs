//! Layouts as the catalog keeps them.

use super::*;

#[test]
fn golden_stored_layout_version_1() {
    let golden = include_str!("../../tests/golden/stored-layout-v1.hex");
    let signed = SignedLayout { bytes: vec![1, 2, 3], signature: [7; 64] };
    assert_eq!(hex::encode(encode_stored(&signed).unwrap()), golden.trim());
    assert_eq!(decode_stored(&hex::decode(golden.trim()).unwrap()).unwrap(), signed);
    assert!(matches!(decode_stored(&[2, 0]), Err(LoadLayoutError::Version(Some(2)))));
    assert!(matches!(decode_stored(&[]), Err(LoadLayoutError::Version(None))));
    let longer = [&encode_stored(&signed).unwrap()[..], &[0, 0]].concat();
    assert!(matches!(decode_stored(&longer), Err(LoadLayoutError::Trailing(2))));
}

proptest::proptest! {
    #[test]
    fn stored_bytes_are_read_as_they_were_written_or_refused(
        bytes in proptest::collection::vec(0_u8.., 0..200),
        signature: [u8; 32],
        at in 0_usize..300,
        bit in 0_u8..8,
    ) {
        let _ = decode_stored(&bytes);
        let signed = SignedLayout { bytes, signature: std::array::from_fn(|n| signature[n % 32]) };
        let mut stored = encode_stored(&signed).unwrap();
        proptest::prop_assert_eq!(decode_stored(&stored).ok(), Some(signed));
        let end = at % stored.len();
        proptest::prop_assert!(decode_stored(&stored[..end]).is_err());
        stored[end] ^= 1 << bit;
        if let Ok(other) = decode_stored(&stored) {
            proptest::prop_assert_eq!(decode_stored(&encode_stored(&other).unwrap()).ok(), Some(other));
        }
    }
}
