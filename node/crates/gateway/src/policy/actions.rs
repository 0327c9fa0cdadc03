//! Everything that a bucket's policy can allow or deny.

use std::collections::BTreeSet;

use super::pattern::matches;

/// What an action is done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Bucket,
    Object,
}

macro_rules! actions {
    ($($level:ident: $($action:ident)*;)*) => {
        /// An action, by the name it has in S3.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Action { $($($action,)*)* }

        impl Action {
            /// All of them.
            pub(crate) const ALL: &[Self] = &[$($(Self::$action,)*)*];

            /// As policies name it.
            pub(crate) const fn name(self) -> &'static str {
                match self { $($(Self::$action => concat!("s3:", stringify!($action)),)*)* }
            }

            pub(super) const fn level(self) -> Level {
                match self { $($(Self::$action => Level::$level,)*)* }
            }
        }
    };
}

// The second half of each are S3's too, for operations that are not served here: policies may name them.
actions! {
    Bucket:
        ListBucket ListBucketVersions ListBucketMultipartUploads GetBucketLocation DeleteBucket
        GetBucketVersioning PutBucketVersioning GetEncryptionConfiguration PutEncryptionConfiguration GetBucketTagging PutBucketTagging
        GetLifecycleConfiguration PutLifecycleConfiguration
        GetBucketPolicy PutBucketPolicy DeleteBucketPolicy GetBucketPolicyStatus
        GetBucketPublicAccessBlock PutBucketPublicAccessBlock
        GetBucketCORS PutBucketCORS GetBucketNotification PutBucketNotification
        GetBucketObjectLockConfiguration PutBucketObjectLockConfiguration
        GetBucketAcl PutBucketAcl GetBucketOwnershipControls PutBucketOwnershipControls
        GetReplicationConfiguration
        PutReplicationConfiguration GetBucketWebsite PutBucketWebsite DeleteBucketWebsite
        GetBucketLogging PutBucketLogging GetBucketRequestPayment PutBucketRequestPayment
        GetAccelerateConfiguration PutAccelerateConfiguration GetInventoryConfiguration
        PutInventoryConfiguration GetMetricsConfiguration PutMetricsConfiguration
        GetAnalyticsConfiguration PutAnalyticsConfiguration GetIntelligentTieringConfiguration
        PutIntelligentTieringConfiguration;
    Object:
        GetObject GetObjectVersion GetObjectAttributes GetObjectVersionAttributes
        PutObject DeleteObject DeleteObjectVersion AbortMultipartUpload ListMultipartUploadParts
        GetObjectTagging GetObjectVersionTagging PutObjectTagging PutObjectVersionTagging
        DeleteObjectTagging DeleteObjectVersionTagging
        GetObjectRetention PutObjectRetention GetObjectLegalHold PutObjectLegalHold
        BypassGovernanceRetention
        GetObjectAcl GetObjectVersionAcl PutObjectAcl PutObjectVersionAcl RestoreObject GetObjectTorrent;
}

impl Action {
    /// Those that a name with `*` and `?` means; small and capital letters are the same.
    pub(super) fn named(pattern: &str) -> BTreeSet<Self> {
        let pattern = pattern.to_ascii_lowercase();
        let named = |action: &&Self| matches(&pattern, &action.name().to_ascii_lowercase());
        Self::ALL.iter().filter(named).copied().collect()
    }

    pub(super) fn all() -> BTreeSet<Self> {
        Self::ALL.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_star_means_several() {
        let named = |pattern: &str| Action::named(pattern).into_iter().collect::<Vec<_>>();
        assert_eq!(named("s3:GetObject"), [Action::GetObject]);
        assert_eq!(named("S3:getobject"), [Action::GetObject]);
        assert_eq!(named("s3:GetObject?agging"), [Action::GetObjectTagging]);
        assert!(named("s3:List*").contains(&Action::ListBucketVersions));
        assert_eq!(named("s3:*").len(), Action::ALL.len());
        assert_eq!(named("*").len(), Action::ALL.len());
        assert_eq!(named("s3:GetObjekt"), []);
        assert_eq!(named("sqs:*"), []);
    }
}
