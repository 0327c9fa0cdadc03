//! Two pages of the same range side by side. Pure.

use std::cmp::Ordering;
use std::iter::Peekable;
use std::vec::IntoIter;

use super::own::is_own;
use crate::keyspace::{RangePage, Row};

/// What a target's row must become to be the source's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Difference {
    /// It has another value, or is not there.
    Put { key: Vec<u8>, value: Vec<u8> },
    /// It is there and should not be.
    Delete { key: Vec<u8> },
}

impl Difference {
    pub(super) fn key(&self) -> &[u8] {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }
}

/// What two pages say together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Compared {
    pub(super) differences: Vec<Difference>,
    /// Rows of the source that were looked at.
    pub(super) rows: u64,
    /// They say nothing of the keys after this one. Absent: there are none.
    pub(super) through: Option<Vec<u8>>,
}

/// Compares pages that begin at the same key. What one of them does not reach is left for the next time.
pub(super) fn compare(source: RangePage, target: RangePage) -> Compared {
    let through = [&source, &target].into_iter().filter_map(end).min();
    let (mut source, mut target) = (rows(source, through.as_ref()), rows(target, through.as_ref()));
    let mut compared = Compared { through, ..Compared::default() };
    loop {
        let order = match (source.peek(), target.peek()) {
            (None, None) => return compared,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(one), Some(other)) => one.key.cmp(&other.key),
        };
        let one = if order.is_le() { source.next() } else { None };
        let other = if order.is_ge() { target.next() } else { None };
        compared.rows += u64::from(one.is_some());
        compared.differences.extend(difference(one, other));
    }
}

fn difference(source: Option<Row>, target: Option<Row>) -> Option<Difference> {
    match (source, target) {
        (Some(one), Some(other)) if one.value == other.value => None,
        (Some(Row { key, value, .. }), _) => Some(Difference::Put { key, value }),
        (None, Some(Row { key, .. })) => Some(Difference::Delete { key }),
        (None, None) => None,
    }
}

/// The last key of a page that is not all of its range.
fn end(page: &RangePage) -> Option<Vec<u8>> {
    page.rows.last().filter(|_| page.more).map(|row| row.key.clone())
}

/// The copied rows of a page up to a key.
fn rows(page: RangePage, through: Option<&Vec<u8>>) -> Peekable<IntoIter<Row>> {
    let mut rows = page.rows;
    rows.retain(|row| through.is_none_or(|through| row.key <= *through) && !is_own(&row.key));
    rows.into_iter().peekable()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{self, Table};
    use crate::keyspace::Revision;

    fn page(rows: &[(&[u8], &str)], more: bool) -> RangePage {
        let row = |&(key, value): &(&[u8], &str)| Row {
            key: key.into(),
            version: Revision(1),
            value: value.into(),
        };
        RangePage { rows: rows.iter().map(row).collect(), more }
    }

    fn put(key: &[u8], value: &str) -> Difference {
        Difference::Put { key: key.into(), value: value.into() }
    }

    #[test]
    fn what_is_missing_other_or_too_much_is_told_and_versions_are_nothing() {
        let source = page(&[(b"a", "1"), (b"b", "2"), (b"d", "4")], false);
        let target = page(&[(b"b", "3"), (b"c", "3"), (b"d", "4")], false);
        let compared = compare(source, target);
        let wanted = [put(b"a", "1"), put(b"b", "2"), Difference::Delete { key: b"c".into() }];
        assert_eq!(compared, Compared { differences: wanted.into(), rows: 3, through: None });
    }

    #[test]
    fn nothing_is_said_beyond_the_page_that_ends_first() {
        // The target may have b; its page does not say.
        let compared =
            compare(page(&[(b"a", "1"), (b"b", "2"), (b"e", "5")], true), page(&[(b"a", "1")], true));
        assert_eq!(compared, Compared { differences: vec![], rows: 1, through: Some(b"a".into()) });
        // The source may have d.
        let compared = compare(page(&[(b"a", "1")], true), page(&[(b"a", "1"), (b"d", "4")], false));
        assert_eq!(compared, Compared { differences: vec![], rows: 1, through: Some(b"a".into()) });
    }

    #[test]
    fn a_moves_own_rows_are_none_of_either() {
        let (fence, came) = (keys::only(Table::Fence), keys::only(Table::Came));
        let ready = keys::ready(&"gateway".parse().unwrap());
        let compared = compare(page(&[(&ready, "1"), (&came, "2")], false), page(&[(&fence, "3")], false));
        assert_eq!(compared, Compared::default());
    }
}
