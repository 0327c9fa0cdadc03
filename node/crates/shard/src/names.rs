use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a text is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{kind} {text:?}: 1 to {max} characters of a-z, 0-9, '-' and '.', beginning and ending with a letter or digit"
)]
pub struct NameError {
    kind: &'static str,
    text: String,
    max: usize,
}

/// Characters of a name shown in an error at most, so that a hostile name cannot fill a log.
const NAME_SHOWN_MAX: usize = 80;

fn check(kind: &'static str, text: &str, max: usize) -> Result<(), NameError> {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    if text.len() <= max && edge(text.chars().next()) && edge(text.chars().last()) && text.chars().all(inner)
    {
        return Ok(());
    }
    Err(NameError { kind, text: text.chars().take(NAME_SHOWN_MAX).collect(), max })
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $max:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(extend("pattern" = "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", "maxLength" = $max))]
        pub struct $name(Arc<str>);

        impl $name {
            /// A checked name.
            ///
            /// # Errors
            /// Says what the name may consist of.
            pub fn new(text: &str) -> Result<Self, NameError> {
                check($kind, text, $max)?;
                Ok(Self(text.into()))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().into()
            }
        }
    };
}

name!(
    /// The name of a storage node or gateway: its identity in settings and layouts.
    NodeName, "node name", 63
);
name!(
    /// The name of a StoragePool.
    PoolName, "pool name", 63
);
name!(
    /// A failure domain, as the nodes' zone label says.
    ZoneName, "zone name", 63
);
name!(
    /// The name of what events of buckets are told to.
    TargetName, "notification target's name", 63
);
name!(
    /// The name of a bucket (as in S3: 3 characters and more are advised).
    BucketName, "bucket name", 63
);

/// Serde for fixed bytes: hexadecimal text where people read, raw bytes where machines do.
macro_rules! serde_as_text_or_bytes {
    ($name:ident, $len:literal) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.serialize_str(&hex::encode(self.0))
                } else {
                    self.0.serialize(serializer)
                }
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                    let mut bytes = [0; $len];
                    hex::decode_to_slice(text.as_bytes(), &mut bytes).map_err(serde::de::Error::custom)?;
                    Ok(Self(bytes))
                } else {
                    <[u8; $len]>::deserialize(deserializer).map(Self)
                }
            }
        }
    };
}
pub(crate) use serde_as_text_or_bytes;
