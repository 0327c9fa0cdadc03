//! All rows of a view, as pieces.

use std::collections::VecDeque;

use super::piece::{Entry, Piece};
use crate::keyspace::{KeyRange, RangeLimits, ReadError, Row, View};

/// A snapshot on its way: reads a page at a time, and holds no more than that and a piece.
#[derive(Debug)]
pub struct RowPieces<'a, V> {
    view: &'a V,
    /// What is not read yet.
    left: Option<KeyRange>,
    waiting: VecDeque<Row>,
}

impl<'a, V: View> RowPieces<'a, V> {
    /// From the first row on.
    pub fn of(view: &'a V) -> Self {
        let all = KeyRange { start: Vec::new(), end: None }.without_reserved();
        Self { view, left: Some(all), waiting: VecDeque::new() }
    }

    /// The next piece; none after the last row.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, ReadError> {
        let mut piece = Piece::default();
        loop {
            while let Some(row) = self.waiting.front() {
                if !piece.add(Entry::Put { key: &row.key, value: &row.value }) {
                    return Ok(Some(piece.finish()));
                }
                self.waiting.pop_front();
            }
            let Some(left) = self.left.take() else { break };
            let page = self.view.range(&left, RangeLimits::default()).await?;
            // Engines read where they are called: others have their turn between two pages.
            tokio::task::yield_now().await;
            self.left = page.rows.last().filter(|_| page.more).map(|last| left.after(&last.key));
            self.waiting = page.rows.into();
        }
        Ok((!piece.is_empty()).then(|| piece.finish()))
    }
}
