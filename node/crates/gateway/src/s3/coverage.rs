//! What a signature of version 4 must cover. The library checks what the client names as signed; what it must name, nobody else asks:
//! with one header more, whoever was given a signed URL to put an object would have made it a copy of another one.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, Uri, header};
use percent_encoding::percent_decode_str;

/// Say what a request does, or what becomes of the object.
const DECISIVE: &str = "x-amz-";
/// The payload's hash. On a URL it may be said and not signed: a body that is another one is refused for it, nothing more.
const PAYLOAD_HASH: &str = "x-amz-content-sha256";

/// A header that decides something and is not signed. Version 2, and forms, cover such headers by themselves.
pub(super) fn uncovered<'a>(headers: &'a HeaderMap, uri: &Uri) -> Option<&'a HeaderName> {
    let by_header = headers.get(header::AUTHORIZATION).and_then(|value| listed(value.to_str().ok()?));
    let (signed, is_url) = match by_header {
        Some(signed) => (Cow::from(signed), false),
        None => (in_query(uri.query()?)?, true),
    };
    let is_signed =
        |name: &HeaderName| signed.split(';').any(|signed| signed.eq_ignore_ascii_case(name.as_str()));
    let decides = |name: &HeaderName| {
        name == header::HOST || (name.as_str().starts_with(DECISIVE) && !(is_url && name == PAYLOAD_HASH))
    };
    headers.keys().find(|name| decides(name) && !is_signed(name))
}

/// `AWS4-HMAC-SHA256 Credential=…, SignedHeaders=host;x-amz-date, Signature=…`
fn listed(authorization: &str) -> Option<&str> {
    let (_, fields) = authorization.trim().split_once("AWS4-HMAC-SHA256")?;
    fields.split(',').find_map(|field| field.trim().strip_prefix("SignedHeaders="))
}

fn in_query(query: &str) -> Option<Cow<'_, str>> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix("X-Amz-SignedHeaders="))?;
    Some(percent_decode_str(value).decode_utf8_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(signed: &str, url: bool, names: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for name in names {
            headers.append(HeaderName::try_from(*name).unwrap(), "x".parse().unwrap());
        }
        let query = signed.replace(';', "%3B");
        let uri =
            if url { format!("/b/k?X-Amz-SignedHeaders={query}&X-Amz-Signature=0") } else { "/b/k".into() };
        if !url {
            let text = format!("AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders={signed}, Signature=0");
            headers.insert(header::AUTHORIZATION, text.parse().unwrap());
        }
        uncovered(&headers, &uri.parse().unwrap()).map(ToString::to_string)
    }

    #[test]
    fn what_decides_must_be_signed() {
        let copy = Some("x-amz-copy-source".to_owned());
        for url in [true, false] {
            assert_eq!(found("host", url, &["host", "x-amz-copy-source"]), copy);
            assert_eq!(found("host;x-amz-copy-source", url, &["host", "x-amz-copy-source", "range"]), None);
            assert_eq!(found("x-amz-date", url, &["host"]), Some("host".into()));
            assert_eq!(found("host", url, &["host", "x-amz-meta-colour"]), Some("x-amz-meta-colour".into()));
        }
        assert_eq!(found("host", true, &["host", "x-amz-content-sha256"]), None);
        assert_eq!(found("host", false, &["x-amz-content-sha256"]), Some("x-amz-content-sha256".into()));
    }
}
