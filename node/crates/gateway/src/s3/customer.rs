//! Keys that customers bring with a request (SSE-C): three headers that say algorithm, key and the key's MD5.
//! The key is in no answer, log or error, and kept no longer than the request. The port speaks TLS only.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use datamesh_seal::CustomerKey;
use http::{HeaderMap, HeaderName, Uri};
use percent_encoding::percent_decode_str;
use s3s::crypto::{Checksum as _, Md5};
use s3s::dto::PostObjectInput;
use s3s::{S3Request, S3Result, s3_error};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// The one algorithm there is, as S3 calls it.
pub(super) const AES256: &str = "AES256";
/// Headers that have a key in them, or its MD5, which is a print of it.
const SECRET: [HeaderName; 4] = [
    HeaderName::from_static("x-amz-server-side-encryption-customer-key"),
    HeaderName::from_static("x-amz-server-side-encryption-customer-key-md5"),
    HeaderName::from_static("x-amz-copy-source-server-side-encryption-customer-key"),
    HeaderName::from_static("x-amz-copy-source-server-side-encryption-customer-key-md5"),
];
/// What names of headers, and of fields of forms, have in them that are about a key.
const NAMES: &str = "server-side-encryption-customer";
/// Characters of 32 bytes in base64.
const KEY_CHARS: usize = 44;

/// A customer's key as a request has it.
pub(super) struct Customer {
    pub(super) key: CustomerKey,
    /// As it came, to be told again.
    pub(super) md5: String,
}

/// Takes the key out of a request. The shapes of all operations have it under the same names.
macro_rules! customer {
    ($input:expr) => {
        $crate::s3::customer::Customer::said(
            $input.sse_customer_algorithm.take(),
            $input.sse_customer_key.take(),
            $input.sse_customer_key_md5.take(),
        )
    };
}
pub(super) use customer;

/// The same of the source of a copy.
macro_rules! customer_of_source {
    ($input:expr) => {
        $crate::s3::customer::Customer::said(
            $input.copy_source_sse_customer_algorithm.take(),
            $input.copy_source_sse_customer_key.take(),
            $input.copy_source_sse_customer_key_md5.take(),
        )
    };
}
pub(super) use customer_of_source;

/// Says in an answer what an object is sealed with: the customer's key, by its MD5 as it came, or keys of the cluster as every other one.
macro_rules! show_sealing {
    ($output:expr, $customer:expr) => {
        match &$customer {
            Some(customer) => {
                $output.sse_customer_algorithm = Some($crate::s3::customer::AES256.to_owned());
                $output.sse_customer_key_md5 = Some(customer.md5.clone());
            }
            None => $output.server_side_encryption = $crate::s3::fields::sealed_by_the_cluster(false),
        }
    };
}
pub(super) use show_sealing;

impl Customer {
    /// What was said of a key; nothing where none of the three headers came.
    ///
    /// # Errors
    /// `InvalidArgument` where one of them is missing or wrong, `InvalidEncryptionAlgorithmError` for another algorithm.
    pub(super) fn said(
        algorithm: Option<String>,
        key: Option<String>,
        md5: Option<String>,
    ) -> S3Result<Option<Self>> {
        let key = key.map(Zeroizing::new);
        let (algorithm, key, md5) = match (algorithm, key, md5) {
            (None, None, None) => return Ok(None),
            (Some(algorithm), Some(key), Some(md5)) => (algorithm, key, md5),
            _ => {
                return Err(s3_error!(
                    InvalidArgument,
                    "a key of the customer comes with its algorithm (AES256), itself in base64, and its MD5 in base64: all three"
                ));
            }
        };
        if algorithm != AES256 {
            return Err(s3_error!(InvalidEncryptionAlgorithmError, "the one algorithm is AES256"));
        }
        let key = decoded(&key)
            .ok_or_else(|| s3_error!(InvalidArgument, "a key of the customer is 32 bytes in base64"))?;
        let mut sum = Md5::new();
        sum.update(&key[..]);
        let said = STANDARD.decode(&md5).unwrap_or_default();
        if !bool::from(sum.finalize()[..].ct_eq(&said)) {
            return Err(s3_error!(
                InvalidArgument,
                "the key of the customer does not have the MD5 it came with"
            ));
        }
        Ok(Some(Self { key: CustomerKey::from_bytes(key), md5 }))
    }
}

/// The key of a request that may have none.
pub(super) fn key_of(customer: Option<&Customer>) -> Option<&CustomerKey> {
    customer.map(|customer| &customer.key)
}

fn decoded(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let mut key = Zeroizing::new([0; 32]);
    if text.len() != KEY_CHARS {
        return None;
    }
    // Room for what 44 characters may come to, were they no key.
    let mut room = Zeroizing::new([0; 33]);
    let bytes = STANDARD.decode_slice(text, &mut room[..]).ok()?;
    key.copy_from_slice(room.get(..bytes).filter(|bytes| bytes.len() == 32)?);
    Some(key)
}

/// Whether the query of a request says something of a key, as URLs of version 2 do that some clients make: it would be ignored there, and
/// has been in who knows how many logs.
pub(super) fn is_in_query(uri: &Uri) -> bool {
    let query = uri.query().unwrap_or_default();
    let name = |pair: &str| {
        let name = pair.split('=').next().unwrap_or_default();
        percent_decode_str(name).decode_utf8_lossy().to_ascii_lowercase()
    };
    query.split('&').any(|pair| name(pair).contains(NAMES))
}

/// Whether a header about a key is there and says nothing: the library takes it for one that is not there, so an object that was to be
/// sealed would lie open.
pub(super) fn is_empty(headers: &HeaderMap) -> bool {
    headers
        .iter()
        .any(|(name, value)| name.as_str().contains(NAMES) && value.as_bytes().trim_ascii().is_empty())
}

/// Forms bring no key: whoever was given a signed one must not seal what they put with a key that the bucket's owner has not, and the library
/// does not tell whether the form's policy speaks of it.
///
/// # Errors
/// `NotImplemented` for fields about a key, and for headers, which the library would not read.
pub(super) fn not_by_form(request: &S3Request<PostObjectInput>) -> S3Result<()> {
    let input = &request.input;
    let fields = [&input.sse_customer_algorithm, &input.sse_customer_key, &input.sse_customer_key_md5];
    let by_header = request.headers.keys().any(|name| name.as_str().contains(NAMES));
    if by_header || fields.iter().any(|field| field.is_some()) {
        return Err(s3_error!(
            NotImplemented,
            "a form takes no key of the customer: sign a URL to put the object"
        ));
    }
    Ok(())
}

/// Whether a document tells of a field with a key: the library tells what a form had there, and what its policy wanted.
pub(super) fn is_told_of(document: &[u8]) -> bool {
    String::from_utf8_lossy(document).to_ascii_lowercase().contains(NAMES)
}

/// Keeps keys out of whatever prints headers: the library shows requests in its log, and wrong headers in its errors.
pub(super) fn conceal(headers: &mut HeaderMap) {
    for name in SECRET {
        if let http::header::Entry::Occupied(mut found) = headers.entry(name) {
            found.iter_mut().for_each(|value| value.set_sensitive(true));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    const MD5: &str = "KqwwhyCCxA0DhpYu8Rcy8g==";

    fn said(algorithm: Option<&str>, key: Option<&str>, md5: Option<&str>) -> Result<bool, (String, String)> {
        let [algorithm, key, md5] = [algorithm, key, md5].map(|text| text.map(str::to_owned));
        let said = Customer::said(algorithm, key, md5);
        said.map(|said| said.is_some()).map_err(|error| {
            (error.code().as_str().to_owned(), error.message().unwrap_or_default().to_owned())
        })
    }

    #[test]
    fn all_three_come_or_none_does() {
        let md5 = {
            let mut sum = Md5::new();
            sum.update(b"0123456789abcdef0123456789abcdef");
            STANDARD.encode(sum.finalize())
        };
        let (aes, key, md5) = (Some("AES256"), Some(KEY), Some(md5.as_str()));
        assert_eq!(said(None, None, None), Ok(false));
        assert_eq!(said(aes, key, md5), Ok(true));
        let long = "A".repeat(44);
        for (algorithm, key, md5, code) in [
            (None, key, md5, "InvalidArgument"),
            (aes, None, md5, "InvalidArgument"),
            (aes, key, None, "InvalidArgument"),
            (aes, key, Some(MD5), "InvalidArgument"),
            (aes, key, Some("no"), "InvalidArgument"),
            (aes, key, Some(""), "InvalidArgument"),
            (aes, Some("AAAA"), md5, "InvalidArgument"),
            (aes, Some(long.as_str()), md5, "InvalidArgument"),
            (aes, Some(&KEY[..43]), md5, "InvalidArgument"),
            (Some("aws:kms"), key, md5, "InvalidEncryptionAlgorithmError"),
            (Some("aes256"), key, md5, "InvalidEncryptionAlgorithmError"),
        ] {
            let refused = said(algorithm, key, md5).unwrap_err();
            assert_eq!(refused.0, code, "{algorithm:?} {key:?} {md5:?}");
            assert!(!refused.1.contains("MDEy"), "the key is in no error: {}", refused.1);
        }
    }

    #[test]
    fn a_key_in_a_url_is_noticed() {
        let said = |uri: &str| is_in_query(&uri.parse().unwrap());
        assert!(said("/b/k?a=b&x-amz-server-side-encryption-customer-key=AAAA"));
        assert!(said("/b/k?X-Amz-Server%2DSide-Encryption-Customer-Algorithm=AES256"));
        assert!(!said("/b/k?prefix=x-amz-server-side-encryption-customer-key") && !said("/b/k"));
    }

    #[test]
    fn a_header_that_says_nothing_is_noticed() {
        let headers = |value: &str| HeaderMap::from_iter([(SECRET[0].clone(), value.parse().unwrap())]);
        assert!(is_empty(&headers("")) && is_empty(&headers(" ")) && !is_empty(&headers(KEY)));
        assert!(!is_empty(&HeaderMap::new()));
    }

    #[test]
    fn headers_with_a_key_are_never_printed() {
        let mut headers = HeaderMap::new();
        for name in SECRET {
            headers.append(&name, KEY.parse().unwrap());
            headers.append(&name, KEY.parse().unwrap());
        }
        assert!(format!("{headers:?}").contains(KEY), "what would be printed otherwise");
        conceal(&mut headers);
        assert!(!format!("{headers:?}").contains("MDEy"), "{headers:?}");
        assert_eq!(
            headers.get(&SECRET[0]).map(|value| value.as_bytes()),
            Some(KEY.as_bytes()),
            "still sent on"
        );
    }
}
