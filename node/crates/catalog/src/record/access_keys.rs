use serde::{Deserialize, Serialize};

use super::Record;
use crate::limits::{ACCESS_KEY_BUCKETS_MAX, ACCESS_KEY_NAME_BYTES_MAX, WRAPPED_SECRET_BYTES_MAX};
use crate::model::Grant;

/// An S3 key pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessKeyRecord {
    /// Whose it is, and what it may do.
    pub grant: Grant,
    /// Its secret, sealed.
    #[serde(with = "super::bytes")]
    pub sealed_secret: Vec<u8>,
}

impl Record for AccessKeyRecord {
    const NAME: &'static str = "access key";

    fn check(&self) -> Result<(), &'static str> {
        let names = self.grant.name.len().max(self.grant.owner.len());
        if names > ACCESS_KEY_NAME_BYTES_MAX {
            return Err("a name is too long");
        }
        if self.grant.buckets.len() > ACCESS_KEY_BUCKETS_MAX {
            return Err("too many buckets");
        }
        if self.sealed_secret.len() > WRAPPED_SECRET_BYTES_MAX {
            Err("the secret is too long")
        } else {
            Ok(())
        }
    }
}
