//! Requests that their clients gave a key: each is begun by one gateway, in one commit, and what it was answered with is kept for whoever
//! sends it again. How many an asker has is counted in the same commits.

use std::collections::BTreeMap;

use super::faults::{ATTEMPTS_MAX, find, put};
use super::{Catalog, CatalogError};
use crate::keys::{self, Table};
use crate::keyspace::{Batch, KeyRange, Keyspace, RangeLimits, View};
use crate::limits::KEYED_REQUESTS_MAX;
use crate::model::{KeyedRequest, RequestId};
use crate::record::{KeyOnlyRecord, KeyedRequestCountRecord};

/// What beginning a request came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It has begun: whoever asked does it, then says what became of it.
    Now,
    /// It began before.
    Before(KeyedRequest),
    /// Its asker has as many as they may: [`KEYED_REQUESTS_MAX`].
    TooMany,
}

/// Has a batch change how many requests an asker has; gives how many they had.
async fn count(
    view: &impl View,
    asker: &[u8; 16],
    change: impl FnOnce(u32) -> u32,
    batch: &mut Batch,
) -> Result<u32, CatalogError> {
    let row = keys::keyed_request_count(asker);
    let found = find::<KeyedRequestCountRecord>(view, &row).await?;
    let had = found.record.unwrap_or_default().requests;
    batch.expect(row.clone(), found.version);
    match change(had) {
        0 => batch.delete(row),
        requests => put(batch, row, &KeyedRequestCountRecord { requests })?,
    }
    Ok(had)
}

impl<K: Keyspace> Catalog<K> {
    /// Begins a request if it is not known, or only one that is to be forgotten by now.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn begin_keyed_request(
        &self,
        id: RequestId,
        new: &KeyedRequest,
    ) -> Result<Begun, CatalogError> {
        let row = keys::keyed_request(id);
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            let found = find::<KeyedRequest>(&view, &row).await?;
            let mut batch = Batch::new();
            batch.expect(row.clone(), found.version);
            match found.record {
                Some(known) if known.until_unix_ms > new.begun_unix_ms => return Ok(Begun::Before(known)),
                // It stays counted.
                Some(old) => batch.delete(keys::keyed_request_due(old.until_unix_ms, id)),
                None => {
                    let had = count(&view, &new.asker, |had| had.saturating_add(1), &mut batch).await?;
                    if had >= KEYED_REQUESTS_MAX {
                        return Ok(Begun::TooMany);
                    }
                }
            }
            drop(view);
            put(&mut batch, row.clone(), new)?;
            put(&mut batch, keys::keyed_request_due(new.until_unix_ms, id), &KeyOnlyRecord)?;
            if self.try_commit(batch).await?.is_some() {
                return Ok(Begun::Now);
            }
        }
        Err(CatalogError::Contended)
    }

    /// Keeps what a request was answered with, which began then. Gives false where it is known no more, or was begun anew.
    ///
    /// # Errors
    /// The engine's faults; the answer is longer than one may be.
    pub async fn answer_keyed_request(
        &self,
        id: RequestId,
        begun_unix_ms: u64,
        sealed: Vec<u8>,
    ) -> Result<bool, CatalogError> {
        let row = keys::keyed_request(id);
        let found = find::<KeyedRequest>(&self.view().await?, &row).await?;
        let Some(begun) = found.record.filter(|known| known.begun_unix_ms == begun_unix_ms) else {
            return Ok(false);
        };
        let mut batch = Batch::new();
        batch.expect(row.clone(), found.version);
        put(&mut batch, row, &KeyedRequest { answer: Some(sealed), ..begun })?;
        Ok(self.try_commit(batch).await?.is_some())
    }

    /// Forgets a request that began then and changed nothing: it may be sent again.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn withdraw_keyed_request(
        &self,
        id: RequestId,
        begun_unix_ms: u64,
    ) -> Result<(), CatalogError> {
        let row = keys::keyed_request(id);
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            let found = find::<KeyedRequest>(&view, &row).await?;
            let begun = found.record.filter(|known| known.begun_unix_ms == begun_unix_ms);
            let Some(KeyedRequest { asker, until_unix_ms, .. }) = begun else { return Ok(()) };
            let mut batch = Batch::new();
            batch.expect(row.clone(), found.version);
            batch.delete(row.clone());
            batch.delete(keys::keyed_request_due(until_unix_ms, id));
            count(&view, &asker, |had| had.saturating_sub(1), &mut batch).await?;
            drop(view);
            if self.try_commit(batch).await?.is_some() {
                return Ok(());
            }
        }
        Err(CatalogError::Contended)
    }

    /// Forgets requests whose time is over, `most` at a time. Gives how many were looked at: as many mean that there may be more.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn forget_keyed_requests(&self, now_unix_ms: u64, most: usize) -> Result<usize, CatalogError> {
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            let (seen, batch) =
                plan_forgetting(&view, keys::due_by(Table::KeyedRequestDue, now_unix_ms), most).await?;
            drop(view);
            if seen == 0 || self.try_commit(batch).await?.is_some() {
                return Ok(seen);
            }
        }
        Err(CatalogError::Contended)
    }
}

async fn plan_forgetting(
    view: &impl View,
    due: KeyRange,
    most: usize,
) -> Result<(usize, Batch), CatalogError> {
    let page = view.range(&due, RangeLimits::rows(most)).await?;
    let (mut batch, mut gone) = (Batch::new(), BTreeMap::<[u8; 16], u32>::new());
    for due in &page.rows {
        let (until_unix_ms, id) = keys::read_keyed_request_due(&due.key)?;
        let row = keys::keyed_request(id);
        let found = find::<KeyedRequest>(view, &row).await?;
        batch.delete(due.key.clone());
        batch.expect(row.clone(), found.version);
        if let Some(over) = found.record.filter(|known| known.until_unix_ms == until_unix_ms) {
            batch.delete(row);
            *gone.entry(over.asker).or_default() += 1;
        }
    }
    for (asker, gone) in gone {
        count(view, &asker, |had| had.saturating_sub(gone), &mut batch).await?;
    }
    Ok((page.rows.len(), batch))
}
