use std::collections::BTreeMap;

use super::{Flaw, FlawKind};
use crate::catalog::{Catalog, CatalogError};
use crate::keys::{self, KeyReader, Table};
use crate::keyspace::{Batch, Keyspace, RangeLimits, View};
use crate::model::BucketId;

/// References that were looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferencesPage {
    /// How many.
    pub looked_at: usize,
    /// Of which buckets.
    pub of_buckets: BTreeMap<BucketId, u64>,
    /// Those that nobody uses.
    pub flaws: Vec<Flaw>,
    /// Where the next page begins; absent after the last one.
    pub after: Option<Vec<u8>>,
}

impl<K: Keyspace> Catalog<K> {
    /// Looks at references behind one of them, at most `limit`, for such as nobody uses: they keep a segment for ever. With `mend`
    /// they go; what was kept by them is known to nobody then, and found on the nodes.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn check_references(
        &self,
        after: Option<&[u8]>,
        limit: usize,
        mend: bool,
    ) -> Result<ReferencesPage, CatalogError> {
        let all = keys::all(Table::Reference);
        let range = after.map_or(all.clone(), |after| all.after(after));
        let view = self.view().await?;
        let page = view.range(&range, RangeLimits::rows(limit)).await?;
        let (mut flaws, mut batch, mut of_buckets) = (Vec::new(), Batch::new(), BTreeMap::new());
        for row in &page.rows {
            *of_buckets.entry(BucketId(KeyReader::new(&row.key, Table::Reference)?.u64()?)).or_default() += 1;
            let (segment, upload) = keys::read_reference(&row.key)?;
            let used = keys::used_segment(upload, segment);
            if view.get(&used).await?.is_none() {
                batch.expect(used, None);
                batch.delete(row.key.clone());
                flaws.push(Flaw { upload, kind: FlawKind::Idle(segment), mended: false });
            }
        }
        drop(view);
        if mend && !flaws.is_empty() && self.try_commit(batch).await?.is_some() {
            flaws.iter_mut().for_each(|flaw| flaw.mended = true);
        }
        let after = page.rows.last().filter(|_| page.more).map(|row| row.key.clone());
        Ok(ReferencesPage { looked_at: page.rows.len(), of_buckets, flaws, after })
    }
}
