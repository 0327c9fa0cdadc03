//! What a signature of version 4 must cover. The library checks what the client names as signed; what it must name, nobody else asks:
//! with one header more, whoever was given a signed URL to put an object would have made it a copy of another one.

use axum::extract::Query;
use http::{HeaderMap, HeaderName, Uri, header};

/// Say what a request does, or what becomes of the object.
const DECISIVE: &str = "x-amz-";
/// The payload's hash. On a URL it may be said and not signed: a body that is another one is refused for it, nothing more.
const PAYLOAD_HASH: &str = "x-amz-content-sha256";

/// What proves a request, as the library reads it: a URL before a header, and version 2 before version 4.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Proof {
    /// A signature of version 4 in a header, or in the URL: the headers that it covers.
    Header(String),
    Url(String),
    /// Version 2, which covers such headers by itself.
    Old,
    Nothing,
}

/// A header that decides something and is not signed. Version 2, and forms, cover such headers by themselves.
pub(super) fn uncovered<'a>(headers: &'a HeaderMap, uri: &Uri) -> Option<&'a HeaderName> {
    let (signed, is_url) = match proof(headers, uri) {
        Proof::Header(signed) => (signed, false),
        Proof::Url(signed) => (signed, true),
        Proof::Old | Proof::Nothing => return None,
    };
    let is_signed =
        |name: &HeaderName| signed.split(';').any(|signed| signed.eq_ignore_ascii_case(name.as_str()));
    let decides = |name: &HeaderName| {
        name == header::HOST || (name.as_str().starts_with(DECISIVE) && !(is_url && name == PAYLOAD_HASH))
    };
    headers.keys().find(|name| decides(name) && !is_signed(name))
}

/// Whether nothing signs it, but perhaps the fields of a form.
pub(super) fn is_unsigned(headers: &HeaderMap, uri: &Uri) -> bool {
    !headers.contains_key(header::AUTHORIZATION) && proof(headers, uri) == Proof::Nothing
}

/// What says nothing of the headers it covers covers none.
fn proof(headers: &HeaderMap, uri: &Uri) -> Proof {
    // Decoded, as the library has them: a name may be written in several ways, and is signed as one.
    let query = Query::<Vec<(String, String)>>::try_from_uri(uri).map(|Query(all)| all).unwrap_or_default();
    let has = |wanted: &str| query.iter().any(|(name, _)| name == wanted);
    if has("Signature") {
        return Proof::Old;
    }
    if has("X-Amz-Signature") {
        let signed = query.into_iter().find(|(name, _)| name == "X-Amz-SignedHeaders");
        return Proof::Url(signed.map(|(_, value)| value).unwrap_or_default());
    }
    let mut said = headers.get_all(header::AUTHORIZATION).iter();
    match (said.next(), said.next()) {
        (Some(one), None) => Proof::Header(one.to_str().ok().and_then(listed).unwrap_or_default().to_owned()),
        // Of several the library takes none.
        _ => Proof::Nothing,
    }
}

/// `AWS4-HMAC-SHA256 Credential=…, SignedHeaders=host;x-amz-date, Signature=…`
fn listed(authorization: &str) -> Option<&str> {
    let (_, fields) = authorization.split_once("AWS4-HMAC-SHA256")?;
    fields.split(',').find_map(|field| field.trim().strip_prefix("SignedHeaders="))
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
    fn of(uri: &str, authorizations: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::from_iter([(header::HOST, "x".parse().unwrap())]);
        headers.insert("x-amz-copy-source", "/b/other".parse().unwrap());
        for text in authorizations {
            headers.append(header::AUTHORIZATION, text.parse().unwrap());
        }
        uncovered(&headers, &uri.parse().unwrap()).map(ToString::to_string)
    }

    #[test]
    fn it_is_read_as_the_library_reads_it() {
        let copy = Some("x-amz-copy-source".to_owned());
        let all = "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host;x-amz-copy-source, Signature=0";
        let plain = "/b/k?X-Amz-SignedHeaders=host&X-Amz-Signature=0";
        assert_eq!(of(plain, &[]), copy);
        assert_eq!(of(plain, &[all]), copy, "the URL's signature is looked at, whatever a header says");
        for (word, written) in
            [("SignedHeaders", "SignedHeader%73"), ("Signature", "%53ignature"), ("X-Amz-Sign", "X%2DAmz-Sign")]
        {
            assert_eq!(of(&plain.replace(word, written), &[]), copy, "{written}");
        }
        assert_eq!(of("/b/k?X-Amz-Signature=0", &[]), Some("host".into()), "without a list none is covered");
        assert_eq!(of("/b/k", &[all]), None);
        assert_eq!(of("/b/k", &["X Credential=a/b, SignedHeaders=host, Signature=0"]), Some("host".into()));
        assert_eq!(of("/b/k?Signature=0", &[]), None, "version 2");
        assert_eq!((of("/b/k", &[]), of("/b/k", &[all, all])), (None, None), "nobody's");
    }
}
