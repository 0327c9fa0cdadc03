use std::fmt;
use std::str::FromStr;

use datamesh_shard::limits::OBJECT_KEY_BYTES_MAX;
use serde::{Deserialize, Serialize};

/// A bucket's number: never used again, also after the bucket is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BucketId(pub u64);

impl fmt::Display for BucketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names one upload, and afterwards the object version that came of it. Chosen at random by the gateway.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UploadId(pub [u8; 16]);

/// Why a text is no upload id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an upload id is 32 hexadecimal digits")]
pub struct UploadIdError;

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UploadId({self})")
    }
}

impl FromStr for UploadId {
    type Err = UploadIdError;

    fn from_str(text: &str) -> Result<Self, UploadIdError> {
        let mut id = [0; 16];
        hex::decode_to_slice(text, &mut id).map_err(|_| UploadIdError)?;
        Ok(Self(id))
    }
}

/// An object's name in its bucket: 1 to 1024 bytes, any bytes. Listings are in the order of these bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey(Box<[u8]>);

/// Why bytes are no object key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an object's key has 1 to {OBJECT_KEY_BYTES_MAX} bytes, not {0}")]
pub struct ObjectKeyError(pub usize);

impl ObjectKey {
    /// A checked key.
    ///
    /// # Errors
    /// Refuses an empty key and one above the limit.
    pub fn new(bytes: impl AsRef<[u8]>) -> Result<Self, ObjectKeyError> {
        let bytes = bytes.as_ref();
        if bytes.is_empty() || bytes.len() > OBJECT_KEY_BYTES_MAX {
            return Err(ObjectKeyError(bytes.len()));
        }
        Ok(Self(bytes.into()))
    }

    /// The key's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for ObjectKey {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(&self.0).fmt(f)
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectKey({:?})", String::from_utf8_lossy(&self.0))
    }
}

impl Serialize for ObjectKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        crate::record::bytes::serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for ObjectKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = crate::record::bytes::deserialize(deserializer)?;
        Self::new(bytes).map_err(serde::de::Error::custom)
    }
}
