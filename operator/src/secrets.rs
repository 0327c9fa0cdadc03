//! Reading and making the content of Secrets. What is secret is zeroed when dropped and never printed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use zeroize::Zeroizing;

/// Bytes of a bearer token.
const TOKEN_BYTES: usize = 32;

/// The operating system gave no randomness.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gives no random bytes: {0}")]
pub(crate) struct NoEntropy(#[from] getrandom::Error);

/// A fresh bearer token, base64url without padding.
pub(crate) fn random_token() -> Result<Zeroizing<String>, NoEntropy> {
    let bytes = Zeroizing::new(random_bytes::<TOKEN_BYTES>()?);
    let mut text = Zeroizing::new(String::with_capacity(TOKEN_BYTES * 2));
    URL_SAFE_NO_PAD.encode_string(&bytes[..], &mut text);
    Ok(text)
}

/// Random bytes.
pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N], NoEntropy> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// A field of a Secret as text without trailing line breaks; `None` when absent, empty or not text.
pub(crate) fn text_of(secret: &Secret, field: &str) -> Option<Zeroizing<String>> {
    let bytes = &secret.data.as_ref()?.get(field)?.0;
    let text = std::str::from_utf8(bytes).ok()?.trim_end();
    (!text.is_empty()).then(|| Zeroizing::new(text.to_owned()))
}

/// An annotation of a Secret.
pub(crate) fn annotation<'a>(secret: &'a Secret, key: &str) -> Option<&'a str> {
    secret.annotations().get(key).map(String::as_str)
}

/// Fields of a Secret.
pub(crate) fn data(fields: &[(&str, &str)]) -> Option<std::collections::BTreeMap<String, ByteString>> {
    Some(fields.iter().map(|&(key, text)| (key.to_owned(), ByteString(text.as_bytes().to_vec()))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_and_differ() {
        let (a, b) = (random_token().unwrap(), random_token().unwrap());
        assert_eq!(a.len(), 43);
        assert_ne!(*a, *b);
    }

    #[test]
    fn fields_are_read_without_line_breaks() {
        let secret = Secret { data: data(&[("a", "x\n"), ("b", "")]), ..Secret::default() };
        assert_eq!(text_of(&secret, "a").unwrap().as_str(), "x");
        assert!(text_of(&secret, "b").is_none() && text_of(&secret, "c").is_none());
    }
}
