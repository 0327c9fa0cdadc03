//! What to come back to.

use std::str::FromStr;

use datamesh_catalog::backup::{Anchor, AnchorPart};
use datamesh_catalog::record::WISH_BYTES_MAX;

/// The word for the newest backup.
const NEWEST: &str = "newest";

/// What to come back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// The newest there is.
    Newest,
    /// The newest that has nothing of what came later: milliseconds since 1970.
    Until(u64),
}

/// A text is no such wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it is neither {NEWEST} nor a time like 2026-11-30T02:00:00Z, each with #, a word and no more than {WISH_BYTES_MAX} bytes"
)]
pub(crate) struct WishError;

impl FromStr for Wish {
    type Err = WishError;

    /// Whatever comes after a `#` makes it another wish than the last one with the same words.
    fn from_str(text: &str) -> Result<Self, WishError> {
        if text.len() > WISH_BYTES_MAX || !text.is_ascii() {
            return Err(WishError);
        }
        let text = text.split_once('#').map_or(text, |(text, _)| text);
        if text == NEWEST {
            return Ok(Self::Newest);
        }
        let time: jiff::Timestamp = text.parse().map_err(|_| WishError)?;
        u64::try_from(time.as_millisecond()).map(Self::Until).map_err(|_| WishError)
    }
}

impl Wish {
    /// The parts of a chain that lead there; none if it begins later.
    pub(crate) fn parts(self, anchor: &Anchor) -> &[AnchorPart] {
        match self {
            Self::Newest => &anchor.parts,
            Self::Until(unix_ms) => anchor.until(unix_ms),
        }
    }

    /// The time by which all that was acknowledged is in these parts.
    pub(crate) fn at_unix_ms(self, anchor: &Anchor, parts: &[AnchorPart]) -> u64 {
        let last = parts.last().map_or(0, |part| part.at_unix_ms);
        // Nothing came after the last part until the anchor's own time.
        let quiet = if parts.len() == anchor.parts.len() { anchor.at_unix_ms } else { last };
        match self {
            Self::Newest => quiet,
            Self::Until(unix_ms) => quiet.min(unix_ms.max(last)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datamesh_catalog::UploadId;

    fn anchor() -> Anchor {
        let part = |revision| AnchorPart { revision, at_unix_ms: revision * 1000, chunks: Vec::new() };
        Anchor {
            cluster: "c".parse().unwrap(),
            gateway: "g".parse().unwrap(),
            generation: 1,
            wish: None,
            pools: Vec::new(),
            reach_ms: 1,
            upload: UploadId([1; 16]),
            at_unix_ms: 9500,
            parts: vec![part(1), part(5), part(7)],
        }
    }

    #[test]
    fn a_time_or_the_newest() {
        assert_eq!("newest".parse(), Ok(Wish::Newest));
        assert_eq!("1970-01-01T00:00:07Z".parse(), Ok(Wish::Until(7000)));
        assert_eq!("1970-01-01T01:00:07+01:00".parse(), Ok(Wish::Until(7000)));
        assert_eq!("newest#2".parse(), Ok(Wish::Newest));
        assert_eq!("1970-01-01T00:00:07Z#again".parse(), Ok(Wish::Until(7000)));
        let long = format!("newest#{}", "2".repeat(WISH_BYTES_MAX));
        for text in ["", "#2", "newest#\u{e9}", &long, "yesterday", "2026-11-30", "1960-01-01T00:00:00Z"] {
            assert_eq!(text.parse::<Wish>(), Err(WishError), "{text}");
        }
    }

    #[test]
    fn a_point_has_all_before_it_and_nothing_after() {
        let anchor = anchor();
        let chosen = |wish: Wish| {
            let parts = wish.parts(&anchor);
            (parts.len(), wish.at_unix_ms(&anchor, parts))
        };
        assert_eq!(chosen(Wish::Newest), (3, 9500));
        assert_eq!(chosen(Wish::Until(6999)), (2, 5000));
        assert_eq!(chosen(Wish::Until(7000)), (3, 7000));
        assert_eq!(chosen(Wish::Until(8000)), (3, 8000), "nothing came in between");
        assert_eq!(chosen(Wish::Until(20_000)), (3, 9500));
        assert_eq!(Wish::Until(999).parts(&anchor).len(), 0);
    }
}
