//! `ETag`, `If-Match`, `If-None-Match`, `If-Range`.

use datamesh_catalog::Condition;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::problem::{Kind, Problem};

/// An entity tag as it stands in a header.
pub(super) fn quoted(etag: &str) -> Result<HeaderValue, Problem> {
    HeaderValue::try_from(format!("\"{etag}\""))
        .map_err(|error| Problem::internal("the entity tag is no header", &error))
}

/// What must be true of the object that a put or delete meets.
pub(super) fn of_write(headers: &HeaderMap) -> Result<Condition, Problem> {
    let matching = text(headers, &header::IF_MATCH)?;
    let none_matching = text(headers, &header::IF_NONE_MATCH)?;
    match (matching, none_matching) {
        (None, None) => Ok(Condition::None),
        (None, Some("*")) => Ok(Condition::IfAbsent),
        (None, Some(_)) => {
            Err(Problem::request_header("If-None-Match", "a write takes `If-None-Match: *` only"))
        }
        (Some(tag), None) => match tags(tag).as_slice() {
            [tag] if *tag != "*" => Ok(Condition::IfMatch((*tag).to_owned())),
            _ => Err(Problem::request_header("If-Match", "a write takes `If-Match` with one entity tag")),
        },
        (Some(_), Some(_)) => {
            Err(Problem::request_header("If-Match", "`If-Match` and `If-None-Match` exclude each other"))
        }
    }
}

/// What becomes of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// The object is sent; its `Range`, if any, counts.
    Send,
    /// The object is sent in full: it is not the one the client has a part of.
    SendWhole,
    /// The client has it already.
    NotModified,
}

/// Judges a read of the object with this tag.
pub(super) fn of_read(headers: &HeaderMap, etag: &str) -> Result<Read, Problem> {
    let lists = |list: &str| tags(list).iter().any(|tag| *tag == "*" || *tag == etag);
    if let Some(list) = text(headers, &header::IF_MATCH)?
        && !lists(list)
    {
        return Err(
            Problem::new(Kind::PreconditionFailed, "the object has another entity tag").in_header("If-Match")
        );
    }
    if let Some(list) = text(headers, &header::IF_NONE_MATCH)?
        && lists(list)
    {
        return Ok(Read::NotModified);
    }
    match text(headers, &header::IF_RANGE)? {
        Some(tag) if tags(tag) != [etag] => Ok(Read::SendWhole),
        _ => Ok(Read::Send),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let text = value
        .to_str()
        .map_err(|_| Problem::new(Kind::InvalidParameter, format!("{name} is not plain ASCII")))?;
    Ok(Some(text.trim()))
}

/// The tags of a list, without quotes and without the mark of weakness (our tags are all strong).
fn tags(list: &str) -> Vec<&str> {
    list.split(',').map(|tag| bare(tag.trim())).filter(|tag| !tag.is_empty()).collect()
}

fn bare(tag: &str) -> &str {
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    tag.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn conditions_of_writes() {
        let of = |pairs: &[(HeaderName, &str)]| of_write(&headers(pairs)).map_err(|p| p.kind());
        assert_eq!(of(&[]), Ok(Condition::None));
        assert_eq!(of(&[(header::IF_NONE_MATCH, "*")]), Ok(Condition::IfAbsent));
        assert_eq!(of(&[(header::IF_MATCH, "\"ab\"")]), Ok(Condition::IfMatch("ab".into())));
        assert_eq!(of(&[(header::IF_MATCH, "ab")]), Ok(Condition::IfMatch("ab".into())));
        for wrong in [
            &[(header::IF_NONE_MATCH, "\"ab\"")] as &[_],
            &[(header::IF_MATCH, "*")],
            &[(header::IF_MATCH, "\"a\", \"b\"")],
            &[(header::IF_MATCH, "\"a\""), (header::IF_NONE_MATCH, "*")],
        ] {
            assert_eq!(of(wrong), Err(Kind::InvalidParameter), "{wrong:?}");
        }
    }

    #[test]
    fn conditions_of_reads() {
        let of = |pairs: &[(HeaderName, &str)]| of_read(&headers(pairs), "ab").map_err(|p| p.kind());
        assert_eq!(of(&[]), Ok(Read::Send));
        assert_eq!(of(&[(header::IF_MATCH, "\"x\", \"ab\"")]), Ok(Read::Send));
        assert_eq!(of(&[(header::IF_MATCH, "*")]), Ok(Read::Send));
        assert_eq!(of(&[(header::IF_MATCH, "\"x\"")]), Err(Kind::PreconditionFailed));
        assert_eq!(of(&[(header::IF_NONE_MATCH, "W/\"ab\"")]), Ok(Read::NotModified));
        assert_eq!(of(&[(header::IF_NONE_MATCH, "\"x\"")]), Ok(Read::Send));
        assert_eq!(of(&[(header::IF_RANGE, "\"ab\"")]), Ok(Read::Send));
        assert_eq!(of(&[(header::IF_RANGE, "\"x\"")]), Ok(Read::SendWhole));
    }

    proptest::proptest! {
        #[test]
        fn any_headers_are_judged(
            matching in proptest::option::of("[ab,*\" W/]{0,12}|\\PC{0,20}"),
            none_matching in proptest::option::of("[ab,*\" W/]{0,12}|\\PC{0,20}"),
            range in proptest::option::of("[ab,*\" W/]{0,12}"),
        ) {
            let texts = [(header::IF_MATCH, matching), (header::IF_NONE_MATCH, none_matching), (header::IF_RANGE, range)];
            let values = texts.into_iter().filter_map(|(name, text)| {
                Some((name, HeaderValue::from_bytes(text?.as_bytes()).ok()?))
            });
            let headers: HeaderMap = values.collect();
            let _ = of_read(&headers, "ab");
            // What a write must meet is one tag, never a list and never any.
            if let Ok(Condition::IfMatch(tag)) = of_write(&headers) {
                proptest::prop_assert!(!tag.is_empty() && tag != "*" && !tag.contains(','));
            }
        }

        #[test]
        fn a_tag_is_read_as_it_is_sent(tag in "[0-9a-f]{1,64}") {
            let sent = HeaderMap::from_iter([(header::IF_MATCH, quoted(&tag).unwrap())]);
            proptest::prop_assert_eq!(of_write(&sent).ok(), Some(Condition::IfMatch(tag.clone())));
            proptest::prop_assert_eq!(of_read(&sent, &tag).ok(), Some(Read::Send));
        }
    }
}
