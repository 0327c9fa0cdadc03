use crate::catalog::faults::find;
use crate::catalog::parts::parts_in;
use crate::catalog::{Catalog, CatalogError};
use crate::keys::{self, KeyReader, Table};
use crate::keyspace::{Keyspace, RangeLimits, Row, View};
use crate::model::{BucketId, ObjectKey};
use crate::record::{self, BodyRecord, ObjectRecord, UploadRecord, UploadState};

/// An object whose parts are not what it says: it cannot be read, or not whole. Nothing else knows what was there.
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
    pub after: Option<ObjectKey>,
}

impl<K: Keyspace> Catalog<K> {
    /// Looks at objects of a bucket behind one of them, at most `limit`.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn check_objects(
        &self,
        bucket: BucketId,
        after: Option<&ObjectKey>,
        limit: usize,
    ) -> Result<ObjectsPage, CatalogError> {
        let all = keys::objects(bucket, b"");
        let range = after.map_or(all.clone(), |after| all.after(&keys::object(bucket, after.as_bytes())));
        let view = self.view().await?;
        let page = view.range(&range, RangeLimits::rows(limit)).await?;
        let mut broken = Vec::new();
        for row in &page.rows {
            if !is_whole(&view, &record::decode(&row.value)?).await? {
                broken.push(BrokenObject { bucket, key: key_of(row)? });
            }
        }
        let after = page.rows.last().filter(|_| page.more).map(key_of).transpose()?;
        Ok(ObjectsPage { looked_at: page.rows.len(), broken, after })
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

fn key_of(row: &Row) -> Result<ObjectKey, CatalogError> {
    let mut key = KeyReader::new(&row.key, Table::Object)?;
    let (_, name) = (key.u64()?, key.bytes()?);
    key.end()?;
    ObjectKey::new(name).map_err(|_| crate::keys::KeyError::Name.into())
}
