use std::fmt;
use std::str::FromStr;

use datamesh_shard::BucketName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Characters of a key id.
const ID_CHARS: usize = 20;

/// Names an S3 key pair: 20 capital letters and digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccessKeyId(Box<str>);

/// Why a text is no key id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the id of an access key is {ID_CHARS} capital letters and digits")]
pub struct AccessKeyIdError;

impl AccessKeyId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AccessKeyId {
    type Err = AccessKeyIdError;

    fn from_str(text: &str) -> Result<Self, AccessKeyIdError> {
        let known = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
        if text.len() == ID_CHARS && text.bytes().all(known) {
            Ok(Self(text.into()))
        } else {
            Err(AccessKeyIdError)
        }
    }
}

impl fmt::Display for AccessKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a key pair may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Permission {
    /// Read and list.
    ReadOnly,
    /// And write and delete objects.
    ReadWrite,
    /// And make and delete buckets.
    Admin,
}

/// An S3 key pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessKey {
    /// Its id, which every request names.
    pub id: AccessKeyId,
    /// What is known of it.
    pub grant: Grant,
    /// Its secret, sealed under the cluster secret: a signature is checked with the secret itself.
    pub sealed_secret: Vec<u8>,
}

/// Whose a key pair is, and what it may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// What people call it.
    pub name: String,
    /// The principal it acts for. Only administrators have keys so far, so it is a plain name.
    pub owner: String,
    /// What it may do.
    pub permission: Permission,
    /// The only buckets it may touch; empty: all.
    pub buckets: Vec<BucketName>,
    /// When it was made.
    pub created_unix_ms: u64,
    /// Whether it is refused for the time being.
    pub disabled: bool,
}
