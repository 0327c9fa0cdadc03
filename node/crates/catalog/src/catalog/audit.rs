//! Who did what: chains of entries, each written by one gateway in one of its lives, and how far each goes.

use super::faults::{find, put, whole};
use super::{Catalog, CatalogError};
use crate::keys::{self, KeyError, Table};
use crate::keyspace::{Batch, KeyRange, Keyspace, RangeLimits, Row, View};
use crate::model::{AuditAt, AuditHead, AuditPage, AuditRow};
use crate::record::{self, AuditCutRecord, AuditHeadRecord, AuditRecord};

fn row_of(row: &Row) -> Result<AuditRow, CatalogError> {
    let AuditRecord { entry, link } = record::decode(&row.value)?;
    let at = keys::read_audit_entry(&row.key)?;
    // The link is over the entry's time alone: one under another would be found at no time that it is looked for at.
    if at.at_unix_ms != entry.at_unix_ms {
        return Err(KeyError::Time.into());
    }
    Ok(AuditRow { at, entry, link })
}

fn head_of(record: AuditHeadRecord) -> AuditHead {
    let AuditHeadRecord { count, link, signature } = record;
    AuditHead { count, link, signature }
}

impl<K: Keyspace> Catalog<K> {
    /// Writes entries down behind the `before` that their chain has, with its new head. Gives whether it has that many: if not, the
    /// chain is another's, or an attempt before this one was written after all.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn append_audit(
        &self,
        chain: &str,
        before: u64,
        (rows, head): (&[AuditRow], &AuditHead),
    ) -> Result<bool, CatalogError> {
        let key = keys::audit_head(chain);
        let found = find::<AuditHeadRecord>(&self.view().await?, &key).await?;
        if found.record.map_or(0, |head| head.count) != before {
            return Ok(false);
        }
        let mut batch = Batch::new();
        batch.expect(key.clone(), found.version);
        for AuditRow { at, entry, link } in rows {
            put(&mut batch, keys::audit_entry(at), &AuditRecord { entry: entry.clone(), link: *link })?;
        }
        let AuditHead { count, link, signature } = head.clone();
        put(&mut batch, key, &AuditHeadRecord { count, link, signature })?;
        Ok(self.try_commit(batch).await?.is_some())
    }

    /// How far a chain goes.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn audit_head(&self, chain: &str) -> Result<Option<AuditHead>, CatalogError> {
        Ok(self.read::<AuditHeadRecord>(&keys::audit_head(chain)).await?.map(head_of))
    }

    /// How far each chain goes, by name.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn audit_heads(&self) -> Result<Vec<(String, AuditHead)>, CatalogError> {
        let rows = whole(&self.view().await?, keys::all(Table::AuditHead)).await?.rows;
        let head = |row: &Row| Ok((keys::read_audit_head(&row.key)?, head_of(record::decode(&row.value)?)));
        rows.iter().map(head).collect()
    }

    /// How much was cut off each chain, by name: as heads of what is not there any more.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn audit_cuts(&self) -> Result<Vec<(String, AuditHead)>, CatalogError> {
        let rows = whole(&self.view().await?, keys::all(Table::AuditCut)).await?.rows;
        let cut = |row: &Row| {
            let AuditCutRecord(cut) = record::decode(&row.value)?;
            Ok((keys::read_audit_cut(&row.key)?, head_of(cut)))
        };
        rows.iter().map(cut).collect()
    }

    /// Cuts entries off, the first that each chain has, and writes down how much is cut off each of these chains then. Gives false, and does
    /// nothing, if they are not the first of their chains (any more).
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn cut_audit(
        &self,
        rows: &[AuditRow],
        cuts: &[(String, AuditHead)],
    ) -> Result<bool, CatalogError> {
        let view = self.view().await?;
        let mut batch = Batch::new();
        for (chain, cut) in cuts {
            let key = keys::audit_cut(chain);
            let found = find::<AuditCutRecord>(&view, &key).await?;
            let mut next = found.record.map_or(0, |AuditCutRecord(before)| before.count);
            for AuditRow { at, .. } in rows.iter().filter(|row| row.at.chain == *chain) {
                if at.number != next {
                    return Ok(false);
                }
                next += 1;
                batch.delete(keys::audit_entry(at));
            }
            if next != cut.count {
                return Ok(false);
            }
            batch.expect(key.clone(), found.version);
            let AuditHead { count, link, signature } = cut.clone();
            put(&mut batch, key, &AuditCutRecord(AuditHeadRecord { count, link, signature }))?;
        }
        drop(view);
        Ok(self.try_commit(batch).await?.is_some())
    }

    /// Entries from one time on and before another, of all chains, at most `limit`; after `after` if it is given.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn audit(
        &self,
        (from_unix_ms, until_unix_ms): (u64, u64),
        after: Option<&AuditAt>,
        limit: usize,
    ) -> Result<AuditPage, CatalogError> {
        let range: KeyRange = keys::audit_between(from_unix_ms, until_unix_ms);
        let range = after.map_or_else(|| range.clone(), |at| range.after(&keys::audit_entry(at)));
        let page = self.view().await?.range(&range, RangeLimits::rows(limit)).await?;
        let rows = page.rows.iter().map(row_of).collect::<Result<_, _>>()?;
        Ok(AuditPage { rows, more: page.more })
    }
}
