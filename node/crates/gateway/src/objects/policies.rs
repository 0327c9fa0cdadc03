//! Policies of buckets, as they are kept: the text that was put, read again when it changes.

use std::sync::Arc;

use datamesh_catalog::{BucketId, BucketSetting};
use datamesh_shard::BucketName;
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};

use super::{Objects, refusals};
use crate::policy::Policy;
use crate::problem::Problem;

/// Policies at most that are kept as they were read.
const READ_MAX: usize = 1000;

/// A policy, and the row it was read of.
struct Read {
    row: Vec<u8>,
    policy: Arc<Policy>,
}

/// Those that were read. A row decides by itself: what is kept of another one counts for nothing.
pub(super) struct Policies(Cache<BucketId, Arc<Read>>);

impl Policies {
    pub(super) fn new() -> Self {
        Self(Cache::new(READ_MAX))
    }
}

/// What no policy opens, whatever it says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PublicAccessBlock {
    /// There are no access control lists; kept for whoever asks.
    pub(crate) block_public_acls: bool,
    pub(crate) ignore_public_acls: bool,
    /// Policies that let strangers in are refused.
    pub(crate) block_public_policy: bool,
    /// Strangers are refused, whatever a public policy says.
    pub(crate) restrict_public_buckets: bool,
}

impl Objects {
    /// The policy of the bucket that has this name now; absent also where there is no such bucket.
    pub(crate) async fn policy(&self, bucket: &BucketName) -> Result<Option<Arc<Policy>>, Problem> {
        let Some((id, row)) = self.setting_of_name(bucket, BucketSetting::Policy).await? else {
            return Ok(None);
        };
        if let Some(read) = self.policies.0.get(&id).filter(|read| read.row == row) {
            return Ok(Some(Arc::clone(&read.policy)));
        }
        let text: String =
            serde_json::from_slice(&row).map_err(|e| Problem::internal("a setting is malformed", &e))?;
        let policy = Policy::parse(&text, bucket.as_str());
        // Nobody gets in by what is not understood.
        let policy =
            policy.map_err(|error| Problem::internal("the bucket's policy does not read", &error))?;
        let policy = Arc::new(policy);
        self.policies.0.insert(id, Arc::new(Read { row, policy: Arc::clone(&policy) }));
        Ok(Some(policy))
    }

    /// Whether strangers are kept out of the bucket that has this name now, whatever a public policy says.
    pub(crate) async fn keeps_strangers_out(&self, bucket: &BucketName) -> Result<bool, Problem> {
        let row = self.setting_of_name(bucket, BucketSetting::PublicAccessBlock).await?;
        let Some((_, row)) = row else { return Ok(false) };
        let block: PublicAccessBlock =
            serde_json::from_slice(&row).map_err(|e| Problem::internal("a setting is malformed", &e))?;
        Ok(block.restrict_public_buckets)
    }

    async fn setting_of_name(
        &self,
        bucket: &BucketName,
        which: BucketSetting,
    ) -> Result<Option<(BucketId, Vec<u8>)>, Problem> {
        let kept = self.context.catalog.setting_of_name(bucket, which).await.map_err(refusals::catalog)?;
        Ok(kept.and_then(|(id, row)| Some((id, row?))))
    }
}
