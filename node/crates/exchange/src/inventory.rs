//! What a node has of a range of segments, page by page: whoever reads it comes to an end, whatever the node says.

use datamesh_shard::{Held, SegmentId};

use crate::message::INVENTORY_ROWS_MAX;

/// Segments from the first one up to the second, or to the end.
pub type Span = (SegmentId, Option<SegmentId>);

/// Pages read so far.
#[derive(Debug)]
pub struct Inventory {
    span: Span,
    rows_max: usize,
    rows: Vec<Held>,
}

/// What comes after a page.
#[derive(Debug)]
pub enum Progress {
    /// Another one.
    Next(Inventory),
    /// Nothing: this is all of it.
    Whole(Vec<Held>),
}

/// Why an inventory is not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InventoryError {
    /// A page that does not go on where the one before it ended, or leaves its range.
    #[error("a page of an inventory is out of order")]
    OutOfOrder,
    /// More than whoever reads can hold.
    #[error("an inventory has too many rows")]
    TooLong,
}

impl Inventory {
    /// Nothing yet of a range, of which so many rows are read; the last page may go beyond.
    #[must_use]
    pub fn of(span: Span, rows_max: usize) -> Self {
        Self { span, rows_max, rows: Vec::new() }
    }

    /// Behind which segment the next page begins; absent: at the beginning.
    #[must_use]
    pub fn after(&self) -> Option<SegmentId> {
        self.rows.last().map(|held| held.segment)
    }

    /// Takes the page that was asked for.
    ///
    /// # Errors
    /// See [`InventoryError`].
    pub fn take(mut self, page: Vec<Held>) -> Result<Progress, InventoryError> {
        if !self.goes_on(&page) {
            return Err(InventoryError::OutOfOrder);
        }
        let more = page.len() == INVENTORY_ROWS_MAX;
        self.rows.extend(page);
        match more {
            false => Ok(Progress::Whole(self.rows)),
            true if self.rows.len() >= self.rows_max => Err(InventoryError::TooLong),
            true => Ok(Progress::Next(self)),
        }
    }

    fn goes_on(&self, page: &[Held]) -> bool {
        let (from, to) = self.span;
        let rises = page.windows(2).all(|pair| pair[0].segment < pair[1].segment);
        let behind = page.first().is_none_or(|first| self.after().is_none_or(|after| after < first.segment));
        let within = page.iter().all(|held| from <= held.segment && to.is_none_or(|to| held.segment < to));
        page.len() <= INVENTORY_ROWS_MAX && rises && behind && within
    }
}

#[cfg(test)]
mod tests {
    use datamesh_shard::{ErasureProfile, Generation, ShardSet};

    use super::*;

    fn id(n: usize) -> SegmentId {
        let mut id = [0; 32];
        id[24..].copy_from_slice(&u64::try_from(n).unwrap().to_be_bytes());
        SegmentId(id)
    }

    fn rows(of: impl Iterator<Item = usize>) -> Vec<Held> {
        let profile = ErasureProfile::new(4, 2).unwrap();
        of.map(|n| Held { segment: id(n), profile, generation: Generation(1), shards: ShardSet::default() })
            .collect()
    }

    const PAGE: usize = INVENTORY_ROWS_MAX;

    #[test]
    fn pages_are_read_until_one_is_not_full() {
        let all = Inventory::of((id(0), None), 10 * PAGE);
        assert_eq!(all.after(), None);
        let Ok(Progress::Next(all)) = all.take(rows(0..PAGE)) else { panic!("there is more") };
        assert_eq!(all.after(), Some(id(PAGE - 1)));
        let Ok(Progress::Whole(all)) = all.take(rows(PAGE..PAGE + 3)) else { panic!("that is all") };
        assert_eq!(all.len(), PAGE + 3);
    }

    #[test]
    fn whoever_does_not_go_on_is_not_read_on() {
        let begun = || match Inventory::of((id(5), Some(id(2 * PAGE))), 10 * PAGE).take(rows(5..5 + PAGE)) {
            Ok(Progress::Next(begun)) => begun,
            other => panic!("{other:?}"),
        };
        let wrong: [Vec<usize>; 5] = [
            vec![7],
            vec![4 + PAGE],
            vec![PAGE + 9, PAGE + 8],
            vec![2 * PAGE],
            (PAGE + 5..2 * PAGE + 6).collect(),
        ];
        for page in wrong {
            let refused = begun().take(rows(page.iter().copied())).err();
            assert_eq!(refused, Some(InventoryError::OutOfOrder), "{:?}", page.first());
        }
        assert!(Inventory::of((id(5), None), PAGE).take(rows(4..6)).is_err(), "before its beginning");
        let long = Inventory::of((id(0), None), PAGE).take(rows(0..PAGE)).err();
        assert_eq!(long, Some(InventoryError::TooLong));
    }
}
