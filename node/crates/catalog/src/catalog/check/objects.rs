use crate::catalog::faults::find;
use crate::catalog::parts::parts_in;
use crate::catalog::{Catalog, CatalogError};
use crate::keys::{self, KeyReader, Table};
use crate::keyspace::{Keyspace, RangeLimits, Row, View};
use crate::model::{BucketId, ObjectKey};
use crate::record::{
    BehindRecord, BodyRecord, CurrentRecord, ObjectRecord, UploadRecord, UploadState, Written as _,
};

/// An object, or a version of one, whose parts are not what it says: it cannot be read, or not whole. Nothing else knows what was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenObject {
    /// The bucket.
    pub bucket: BucketId,
    /// The key.
    pub key: ObjectKey,
}

/// Objects that were looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectsPage {
    /// How many.
    pub looked_at: usize,
    /// Those that are broken.
    pub broken: Vec<BrokenObject>,
    /// Where the next page begins; absent after the last one.
    pub after: Option<Vec<u8>>,
}

impl<K: Keyspace> Catalog<K> {
    /// Looks at objects of a bucket, and then at the versions behind them, at most `limit`, from where the page before ended.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn check_objects(
        &self,
        bucket: BucketId,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<ObjectsPage, CatalogError> {
        let (objects, versions) = (keys::objects(bucket, b""), keys::versions(bucket, b""));
        let is_behind = after.is_some_and(|after| after >= versions.start.as_slice());
        let all = if is_behind { versions.clone() } else { objects };
        let range = after.map_or(all.clone(), |after| all.after(after));
        let view = self.view().await?;
        let page = view.range(&range, RangeLimits::rows(limit)).await?;
        let mut broken = Vec::new();
        for row in &page.rows {
            let (key, object) = if is_behind { version_in(row)? } else { object_in(row)? };
            if let Some(object) = object
                && !is_whole(&view, &object).await?
            {
                broken.push(BrokenObject { bucket, key });
            }
        }
        let last = page.rows.last().filter(|_| page.more).map(|row| row.key.clone());
        Ok(ObjectsPage {
            looked_at: page.rows.len(),
            broken,
            // No row has the key that a range begins with.
            after: last.or((!is_behind).then_some(versions.start)),
        })
    }
}

async fn is_whole(view: &impl View, object: &ObjectRecord) -> Result<bool, CatalogError> {
    let BodyRecord::Pages(parts) = &object.body else { return Ok(true) };
    let upload = find::<UploadRecord>(view, &keys::upload(object.upload)).await?.record;
    if upload.is_none_or(|upload| upload.state != UploadState::Committed) {
        return Ok(false);
    }
    let there = parts_in(view, object.upload).await?;
    Ok(parts.iter().all(|part| there.contains(part)))
}

type Named = (ObjectKey, Option<ObjectRecord>);

fn object_in(row: &Row) -> Result<Named, CatalogError> {
    let mut key = KeyReader::new(&row.key, Table::Object)?;
    let (_, name) = (key.u64()?, key.bytes()?);
    key.end()?;
    let key = ObjectKey::new(name).map_err(|_| keys::KeyError::Name)?;
    Ok((key, Some(CurrentRecord::decode(&row.value)?.object)))
}

fn version_in(row: &Row) -> Result<Named, CatalogError> {
    let (key, _) = keys::read_version(&row.key)?;
    Ok((key, BehindRecord::decode(&row.value)?.object().cloned()))
}
