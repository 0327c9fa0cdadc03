//! What objects are called: nothing in their names is a secret, and anchors stand in the order in which they are newer.
//!
//! `PREFIX/FINGERPRINT/anchors/GENERATION-REVISION-TIME-SNAPSHOT` and `PREFIX/FINGERPRINT/pieces/GENERATION-SNAPSHOT/SEGMENT`, all of it in
//! hexadecimal: the fingerprint is that of the cluster secret, so clusters never touch each other's.

use datamesh_exchange::anchor::AnchorId;
use datamesh_shard::SegmentId;

/// A chain: see [`AnchorId::chain`].
pub(crate) type ChainId = (u64, u64);

/// Where a cluster's copies are in a bucket.
#[derive(Clone, Debug)]
pub(super) struct Folder(String);

impl Folder {
    /// With a prefix that is empty or ends with `/`.
    pub(super) fn of(prefix: &str, fingerprint: &str) -> Self {
        Self(format!("{prefix}{fingerprint}/"))
    }

    /// All anchors begin so.
    pub(super) fn anchors(&self) -> String {
        format!("{}anchors/", self.0)
    }

    /// An anchor.
    pub(super) fn anchor(&self, id: &AnchorId) -> String {
        let AnchorId { generation, revision, at_unix_ms, snapshot } = *id;
        format!("{}{}", self.anchors(), numbers(&[generation, revision, at_unix_ms, snapshot]))
    }

    /// Which anchor that is, if it is one.
    pub(super) fn anchor_of(&self, name: &str) -> Option<AnchorId> {
        let [generation, revision, at_unix_ms, snapshot] = parsed(name.strip_prefix(&self.anchors())?)?;
        let id = AnchorId { generation, revision, at_unix_ms, snapshot };
        (self.anchor(&id) == name).then_some(id)
    }

    /// All pieces begin so.
    pub(super) fn pieces(&self) -> String {
        format!("{}pieces/", self.0)
    }

    /// All pieces of a chain begin so.
    pub(super) fn chain(&self, (generation, snapshot): ChainId) -> String {
        format!("{}{}/", self.pieces(), numbers(&[generation, snapshot]))
    }

    /// Which chain's folder that is, if it is one's.
    pub(super) fn chain_of(&self, folder: &str) -> Option<ChainId> {
        let [generation, snapshot] = parsed(folder.strip_prefix(&self.pieces())?.strip_suffix('/')?)?;
        (self.chain((generation, snapshot)) == folder).then_some((generation, snapshot))
    }

    /// A piece.
    pub(super) fn piece(&self, chain: ChainId, segment: &SegmentId) -> String {
        format!("{}{}", self.chain(chain), hex::encode(segment.0))
    }

    /// Which segment is in that piece of a chain, if it is one.
    pub(super) fn piece_of(&self, chain: ChainId, name: &str) -> Option<SegmentId> {
        let id = hex::decode(name.strip_prefix(&self.chain(chain))?).ok()?;
        let segment = SegmentId(id.try_into().ok()?);
        (self.piece(chain, &segment) == name).then_some(segment)
    }
}

/// Each of 16 digits, so that names are in the order of the numbers.
fn numbers(numbers: &[u64]) -> String {
    numbers.iter().map(|number| format!("{number:016x}")).collect::<Vec<_>>().join("-")
}

fn parsed<const N: usize>(text: &str) -> Option<[u64; N]> {
    let mut numbers = [0; N];
    let mut parts = text.split('-');
    for number in &mut numbers {
        let part = parts.next().filter(|part| part.len() == 16)?;
        *number = u64::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id() -> impl Strategy<Value = AnchorId> {
        let number = prop_oneof![0..4_u64, any::<u64>()];
        [number.clone(), number.clone(), number.clone(), number].prop_map(
            |[generation, revision, at_unix_ms, snapshot]| AnchorId {
                generation,
                revision,
                at_unix_ms,
                snapshot,
            },
        )
    }

    proptest! {
        #[test]
        fn names_say_which_and_are_in_order(one in id(), other in id()) {
            let folder = Folder::of("demo/", "ab12");
            prop_assert_eq!(folder.anchor_of(&folder.anchor(&one)), Some(one));
            prop_assert_eq!(folder.chain_of(&folder.chain(one.chain())), Some(one.chain()));
            prop_assert_eq!(folder.anchor(&one).cmp(&folder.anchor(&other)), one.cmp(&other));
        }
    }

    #[test]
    fn names_that_are_none_are_seen() {
        let folder = Folder::of("demo/", "ab12");
        let segment = SegmentId([0xcd; 32]);
        let piece = folder.piece((1, 2), &segment);
        assert_eq!(piece, format!("demo/ab12/pieces/0000000000000001-0000000000000002/{}", "cd".repeat(32)));
        assert_eq!(folder.piece_of((1, 2), &piece), Some(segment));
        assert_eq!(folder.piece_of((1, 3), &piece), None);
        assert_eq!(folder.piece_of((1, 2), &piece[..piece.len() - 2]), None);
        let anchor = folder.anchor(&AnchorId { generation: 1, revision: 2, at_unix_ms: 3, snapshot: 4 });
        for name in
            [&anchor[1..], &anchor[..anchor.len() - 1], &format!("{anchor}-1"), &format!("{anchor}0"), ""]
        {
            assert_eq!(folder.anchor_of(name), None, "{name}");
        }
        assert_eq!(folder.anchor_of(&anchor.replace("-0", "-+")), None);
        let large = folder.anchor(&AnchorId { generation: 0xab, revision: 2, at_unix_ms: 3, snapshot: 4 });
        assert_eq!(folder.anchor_of(&large.replace("ab-", "AB-")), None);
    }
}
