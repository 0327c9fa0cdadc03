//! Policies of buckets, as they are kept: the text that was put, read again when it changes.

use std::sync::Arc;

use datamesh_catalog::{BucketId, BucketSetting};
use datamesh_shard::BucketName;
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};

use super::settings::read;
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
        let kept = self.context.catalog.settings_of_name(bucket, [BucketSetting::Policy]).await;
        let Some((id, [row])) = kept.map_err(refusals::catalog)? else { return Ok(None) };
        row.map(|row| self.read_policy((bucket, id), row)).transpose()
    }

    /// The same for strangers, with whether they are kept out whatever a public policy says, both of one moment.
    pub(crate) async fn policy_for_strangers(
        &self,
        bucket: &BucketName,
    ) -> Result<(Option<Arc<Policy>>, bool), Problem> {
        let both = [BucketSetting::Policy, BucketSetting::PublicAccessBlock];
        let kept = self.context.catalog.settings_of_name(bucket, both).await;
        let Some((id, [policy, block])) = kept.map_err(refusals::catalog)? else { return Ok((None, false)) };
        let policy = policy.map(|row| self.read_policy((bucket, id), row)).transpose()?;
        let block = block.as_deref().map(read::<PublicAccessBlock>).transpose()?.unwrap_or_default();
        Ok((policy, block.restrict_public_buckets))
    }

    fn read_policy(
        &self,
        (bucket, id): (&BucketName, BucketId),
        row: Vec<u8>,
    ) -> Result<Arc<Policy>, Problem> {
        if let Some(read) = self.policies.0.get(&id).filter(|read| read.row == row) {
            return Ok(Arc::clone(&read.policy));
        }
        let policy = Policy::parse(&read::<String>(&row)?, bucket.as_str());
        // Nobody gets in by what is not understood.
        let policy =
            policy.map_err(|error| Problem::internal("the bucket's policy does not read", &error))?;
        let policy = Arc::new(policy);
        self.policies.0.insert(id, Arc::new(Read { row, policy: Arc::clone(&policy) }));
        Ok(policy)
    }
}
