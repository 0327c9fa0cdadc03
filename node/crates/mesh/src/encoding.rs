//! Reading postcard's encoding to its end.

use serde::de::DeserializeOwned;

/// Reads a value that takes all of `bytes`. Bytes left over would be passed on to others with it: whoever appends some to
/// what a third one signed must not be believed.
///
/// # Errors
/// postcard's, and `DeserializeBadEncoding` where bytes are left over.
pub(crate) fn whole<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, postcard::Error> {
    match postcard::take_from_bytes(bytes)? {
        (value, []) => Ok(value),
        _ => Err(postcard::Error::DeserializeBadEncoding),
    }
}
