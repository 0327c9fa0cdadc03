//! What is set of a bucket and is the gateway's business alone: kept as JSON.

use std::sync::Arc;

use datamesh_catalog::catalog::SettingError;
use datamesh_catalog::{BucketSetting, Cause, Grounds, Object, Subscription};
use datamesh_shard::BucketName;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::tags::Tags;
use super::{BucketContext, Fields, Found, Meta, Objects, locks, refusals, target_of};
use crate::limits;
use crate::problem::{Kind, Problem};

/// What a setting's row holds.
pub(super) fn read<T: DeserializeOwned>(row: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(row).map_err(|e| Problem::internal("a setting is malformed", &e))
}

impl BucketContext {
    /// The tags of an object in it.
    pub(crate) fn tags_of(&self, object: &Object) -> Result<Tags, Problem> {
        Ok(Tags::of_fields(&self.fields(&target_of(object), &object.meta)?.system))
    }
}

impl Objects {
    /// What is set, if it is.
    pub(crate) async fn setting<T: DeserializeOwned>(
        &self,
        bucket: &BucketContext,
        which: BucketSetting,
    ) -> Result<Option<T>, Problem> {
        let kept = self.context.catalog.bucket_setting(bucket.id, which).await.map_err(refusals::catalog)?;
        kept.as_deref().map(read).transpose()
    }

    /// Sets it.
    pub(crate) async fn set_setting<T: Serialize>(
        &self,
        bucket: &BucketContext,
        which: BucketSetting,
        value: &T,
    ) -> Result<(), Problem> {
        let written = serde_json::to_vec(value);
        let written = written.map_err(|error| Problem::internal("cannot write a setting", &error))?;
        let set = self.context.catalog.set_bucket_setting(bucket.id, which, Some(written)).await;
        set.map_err(refusals::setting)
    }

    /// Takes it away.
    pub(crate) async fn clear_setting(
        &self,
        bucket: &BucketContext,
        which: BucketSetting,
    ) -> Result<(), Problem> {
        let cleared = self.context.catalog.set_bucket_setting(bucket.id, which, None).await;
        cleared.map_err(refusals::setting)
    }

    /// Who wants to know of what happens in a bucket.
    pub(crate) async fn subscriptions(&self, bucket: &BucketContext) -> Result<Vec<Subscription>, Problem> {
        self.context.catalog.subscriptions(bucket.id).await.map_err(refusals::catalog)
    }

    /// Says who does; with `test`, each target is sent a message at once.
    pub(crate) async fn subscribe(
        &self,
        (bucket, name): (&BucketContext, &BucketName),
        subscriptions: Vec<Subscription>,
        test: bool,
        cause: &Arc<Cause>,
    ) -> Result<(), Problem> {
        let catalog = self.context.catalog.because_of(Arc::clone(cause));
        let when = (test, self.now_unix_ms());
        catalog.subscribe((bucket.id, name), subscriptions, when).await.map_err(refusals::setting)
    }

    /// Gives an object other tags; false when it is not as it was found any more.
    pub(crate) async fn set_tags(&self, found: &Found, tags: &Tags) -> Result<bool, Problem> {
        let mut fields: Fields = found.fields.clone();
        tags.put_into(&mut fields.system);
        if !fields.fit() {
            let max = limits::FIELDS_BYTES_MAX;
            let detail = format!("tags, metadata and headers have at most {max} bytes together, as JSON");
            return Err(Problem::new(Kind::InvalidBody, detail));
        }
        let sealed = fields.seal(found.bucket.secrets()?, &target_of(&found.object))?;
        self.set_fields(found, None, sealed).await
    }

    /// Gives an object another type and other metadata, and shows it as it is then; none when it is not as it was found any more. What
    /// is locked stays as it was put.
    pub(crate) async fn set_metadata(&self, found: Found, meta: Meta) -> Result<Option<Found>, Problem> {
        found.object.lock.lets_go(Grounds::at(self.now_unix_ms())).map_err(locks::locked)?;
        let Meta { content_type, fields, .. } = meta;
        let sealed = fields.seal(found.bucket.secrets()?, &target_of(&found.object))?;
        let is_done = self.set_fields(&found, Some(&content_type), sealed.clone()).await?;
        let object = Object { content_type, meta: sealed, ..found.object };
        Ok(is_done.then_some(Found { object, fields, ..found }))
    }

    async fn set_fields(
        &self,
        found: &Found,
        content_type: Option<&str>,
        sealed: Vec<(String, String)>,
    ) -> Result<bool, Problem> {
        match self.context.catalog.set_meta(&found.object, content_type, sealed).await {
            Ok(done) => Ok(done),
            Err(SettingError::Catalog(error)) => Err(refusals::catalog(error)),
            Err(error) => Err(refusals::setting(error)),
        }
    }
}
