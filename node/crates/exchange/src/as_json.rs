//! For reports, which gain fields from version to version: JSON inside the frame, where postcard knows no absent field.

use serde::de::{DeserializeOwned, Error as _};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(crate) fn serialize<T: Serialize, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    let text = serde_json::to_string(value).map_err(S::Error::custom)?;
    to.serialize_str(&text)
}

pub(crate) fn deserialize<'a, T: DeserializeOwned, D: Deserializer<'a>>(from: D) -> Result<T, D::Error> {
    // Borrowed: no longer than the head it came in, whose length was checked.
    let text = <&str>::deserialize(from)?;
    serde_json::from_str(text).map_err(D::Error::custom)
}
