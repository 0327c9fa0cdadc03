//! Listings of versions: the rows of objects and those of what is kept behind them, merged.

use std::collections::VecDeque;

use datamesh_shard::limits::OBJECT_KEY_BYTES_MAX;

use super::listing::common_prefix;
use super::versions::Kept;
use super::{Catalog, CatalogError};
use crate::keys::{self, KeyReader, Table};
use crate::keyspace::{KeyRange, Keyspace, RangeLimits, Row, View};
use crate::limits::LISTING_MAX;
use crate::model::{
    BucketId, ObjectKey, VersionCursor, VersionEntry, VersionId, VersionListing, VersionObject, VersionQuery,
};
use crate::record::{
    self, BehindRecord, CurrentRecord, ObjectRecord, OrderRecord, VersionBodyRecord, Written as _,
};

/// Rows of the first read of a listing with a delimiter, and of the first one after a skip: where folders are, most of what is
/// read may be skipped. While none is skipped, reads double.
const ROWS_FIRST: usize = 8;
/// Rows of one read at most.
const ROWS_MAX: usize = 1024;

impl<K: Keyspace> Catalog<K> {
    /// Versions of a bucket's keys, those that are deletes too, all of one moment: in the order of the keys, of each the newest
    /// first. Keys with the delimiter after the prefix are rolled up into common prefixes, which count like entries.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn list_versions(
        &self,
        bucket: BucketId,
        query: &VersionQuery,
    ) -> Result<VersionListing, CatalogError> {
        let mut listing = VersionListing::default();
        let limit = query.limit.min(LISTING_MAX);
        if query.prefix.len() > OBJECT_KEY_BYTES_MAX {
            return Ok(listing);
        }
        let view = self.view().await?;
        let start = Start::of(&view, bucket, query).await?;
        let max = limit.saturating_add(2).min(ROWS_MAX);
        let first = if query.delimiter.is_some() { ROWS_FIRST.min(max) } else { max };
        let mut merged = Merged::new(&view, &start, Step { first, max });
        let delimiter = query.delimiter.as_deref().unwrap_or_default().as_bytes();
        while let Some(listed) = merged.next().await? {
            if start.passes_over(&listed) {
                continue;
            }
            let full = listing.entries.len() + listing.common_prefixes.len() >= limit;
            match common_prefix(&query.prefix, delimiter, listed.entry.key.as_bytes()) {
                _ if full => return Ok(listing),
                Some(prefix) => {
                    listing.next = Some(VersionCursor::Prefix(prefix.clone()));
                    // Whatever else begins with it is skipped unread.
                    merged.skip(keys::objects(bucket, &prefix).end, keys::versions(bucket, &prefix).end);
                    listing.common_prefixes.push(prefix);
                }
                None => {
                    let at = VersionCursor::Version(listed.entry.key.clone(), listed.entry.exact);
                    listing.next = Some(at);
                    listing.entries.push(listed.entry);
                }
            }
        }
        listing.next = None;
        Ok(listing)
    }
}

/// A version in the order of the list.
struct Listed {
    entry: VersionEntry,
    order: u64,
}

/// Where a listing begins.
struct Start {
    objects: KeyRange,
    versions: KeyRange,
    /// Of this key, only what is older than this order.
    within: Option<(ObjectKey, u64)>,
}

impl Start {
    async fn of(view: &impl View, bucket: BucketId, query: &VersionQuery) -> Result<Self, CatalogError> {
        let mut start = Self {
            objects: keys::objects(bucket, &query.prefix),
            versions: keys::versions(bucket, &query.prefix),
            within: None,
        };
        let (objects, versions) = match &query.after {
            None => return Ok(start),
            Some(VersionCursor::Prefix(prefix)) => {
                (keys::objects(bucket, prefix).end, keys::versions(bucket, prefix).end)
            }
            Some(VersionCursor::Key(key)) => (
                Some(crate::keyspace::successor(&keys::object(bucket, key))),
                keys::versions_of(bucket, key).end,
            ),
            Some(VersionCursor::Version(key, id)) => {
                let order = order_of(view, (bucket, key), *id).await?;
                start.within = Some((key.clone(), order));
                let after = crate::keyspace::successor(&keys::version(bucket, key, order));
                // What was behind that version may be the key's object by now.
                (Some(keys::object(bucket, key.as_bytes())), Some(after))
            }
        };
        let raise = |range: &mut KeyRange, to: Option<Vec<u8>>| {
            if let Some(to) = to.filter(|to| *to > range.start) {
                range.start = to;
            }
        };
        raise(&mut start.objects, objects);
        raise(&mut start.versions, versions);
        Ok(start)
    }

    fn passes_over(&self, listed: &Listed) -> bool {
        let within = self.within.as_ref().filter(|(key, _)| *key == listed.entry.key);
        within.is_some_and(|(_, order)| listed.order >= *order)
    }
}

/// The place of a version of a key. One without an id that is nowhere any more was the oldest.
async fn order_of(
    view: &impl View,
    (bucket, key): (BucketId, &ObjectKey),
    id: VersionId,
) -> Result<u64, CatalogError> {
    if let VersionId::Numbered { order, .. } = id {
        return Ok(order);
    }
    if let Some(row) = view.get(&keys::null_version(bucket, key)).await? {
        return Ok(record::decode::<OrderRecord>(&row.value)?.order);
    }
    let current = view.get(&keys::object(bucket, key.as_bytes())).await?;
    let current = current.map(|row| CurrentRecord::decode(&row.value)).transpose()?;
    Ok(current.map(|current| current.place()).filter(|place| place.null).map_or(0, |place| place.order))
}

/// Rows of one read: at first and after a skip, and at most.
#[derive(Clone, Copy)]
struct Step {
    first: usize,
    max: usize,
}

/// Rows of a range, read some at a time.
struct Rows {
    rest: KeyRange,
    read: VecDeque<Row>,
    more: bool,
    step: Step,
    /// Rows of the next read.
    rows: usize,
}

impl Rows {
    fn new(rest: KeyRange, step: Step) -> Self {
        Self { more: !rest.is_empty(), rest, read: VecDeque::new(), step, rows: step.first }
    }

    async fn fill(&mut self, view: &impl View) -> Result<(), CatalogError> {
        if !self.read.is_empty() || !self.more {
            return Ok(());
        }
        let page = view.range(&self.rest, RangeLimits::rows(self.rows)).await?;
        self.rows = self.rows.saturating_mul(2).min(self.step.max);
        if let Some(last) = page.rows.last() {
            self.rest = self.rest.after(&last.key);
        }
        self.read = page.rows.into();
        self.more = page.more && !self.read.is_empty();
        Ok(())
    }

    /// Goes on at this key; absent: there is nothing behind.
    fn skip(&mut self, to: Option<Vec<u8>>) {
        self.rows = self.step.first;
        let Some(to) = to else {
            self.read.clear();
            self.more = false;
            return;
        };
        while self.read.front().is_some_and(|row| row.key < to) {
            self.read.pop_front();
        }
        if to > self.rest.start {
            self.rest.start = to;
            self.more &= !self.rest.is_empty();
        }
    }
}

/// Both tables in the one order.
struct Merged<'a, V> {
    view: &'a V,
    objects: Rows,
    versions: Rows,
    /// The key whose newest version was met.
    met: Option<ObjectKey>,
}

impl<'a, V: View> Merged<'a, V> {
    fn new(view: &'a V, start: &Start, step: Step) -> Self {
        let objects = Rows::new(start.objects.clone(), step);
        let versions = Rows::new(start.versions.clone(), step);
        Self { view, objects, versions, met: start.within.as_ref().map(|(key, _)| key.clone()) }
    }

    fn skip(&mut self, objects: Option<Vec<u8>>, versions: Option<Vec<u8>>) {
        self.objects.skip(objects);
        self.versions.skip(versions);
    }

    async fn next(&mut self) -> Result<Option<Listed>, CatalogError> {
        self.objects.fill(self.view).await?;
        self.versions.fill(self.view).await?;
        let object = self.objects.read.front().map(|row| object_key(&row.key)).transpose()?;
        let version = self.versions.read.front().map(|row| keys::read_version(&row.key)).transpose()?;
        let (row, kept) = match (object, version) {
            // A key's object is its newest version.
            (Some(object), Some((key, _))) if object <= key => (self.objects.read.pop_front(), None),
            (Some(_), None) => (self.objects.read.pop_front(), None),
            (_, version) => (self.versions.read.pop_front(), version),
        };
        let Some(row) = row else { return Ok(None) };
        let mut listed = match kept {
            None => of_object(&row)?,
            Some((key, order)) => of_kept(key, Kept { order, record: BehindRecord::decode(&row.value)? }),
        };
        listed.entry.latest |= self.met.as_ref() != Some(&listed.entry.key);
        self.met = Some(listed.entry.key.clone());
        Ok(Some(listed))
    }
}

fn object_key(row: &[u8]) -> Result<ObjectKey, CatalogError> {
    let mut reader = KeyReader::new(row, Table::Object)?;
    let (_, key) = (reader.u64()?, reader.bytes()?);
    reader.end()?;
    Ok(ObjectKey::new(key).map_err(|_| keys::KeyError::Name)?)
}

fn of_object(row: &Row) -> Result<Listed, CatalogError> {
    let current = CurrentRecord::decode(&row.value)?;
    let (object, place) = (&current.object, current.place());
    let ids = (place.id(object.upload), VersionId::Numbered { order: place.order, upload: object.upload });
    let entry = VersionEntry { latest: true, ..entry(object_key(&row.key)?, ids, object) };
    Ok(Listed { entry, order: place.order })
}

fn of_kept(key: ObjectKey, kept: Kept) -> Listed {
    let (order, ids) = (kept.order, (kept.id(), kept.exact()));
    let entry = match kept.record.what {
        VersionBodyRecord::Object(object) => entry(key, ids, &object),
        VersionBodyRecord::Marker { created_unix_ms, .. } => {
            let (version, exact) = ids;
            VersionEntry { key, version, exact, latest: false, created_unix_ms, object: None }
        }
    };
    Listed { entry, order }
}

fn entry(key: ObjectKey, (version, exact): (VersionId, VersionId), object: &ObjectRecord) -> VersionEntry {
    let ObjectRecord { upload, size_bytes, created_unix_ms, etag, .. } = object;
    let shown = VersionObject { upload: *upload, size_bytes: *size_bytes, etag: etag.clone() };
    let (latest, created_unix_ms) = (false, *created_unix_ms);
    VersionEntry { key, version, exact, latest, created_unix_ms, object: Some(shown) }
}
