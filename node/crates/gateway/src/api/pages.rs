//! Lists that are read page by page: how many entries, and where the next page is.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Uri, header};
use serde::Serialize;

use crate::limits;
use crate::problem::Problem;

/// Entries of a page that was asked for.
pub(super) fn limit(asked: Option<usize>) -> Result<usize, Problem> {
    let limit = asked.unwrap_or(limits::LIST_MAX);
    if !(1..=limits::LIST_MAX).contains(&limit) {
        return Err(Problem::parameter("limit", format!("limit is 1 to {}, not {limit}", limits::LIST_MAX)));
    }
    Ok(limit)
}

/// A page, with `Link: <…>; rel="next"` (RFC 8288) beside the cursor in it, for clients that follow links.
pub(super) struct Page<T> {
    body: T,
    link: Option<HeaderValue>,
}

impl<T> Page<T> {
    /// The page that was asked for by `uri`; `next` is the cursor of the one behind it.
    pub(super) fn new(body: T, uri: &Uri, next: Option<&str>) -> Self {
        Self { body, link: next.and_then(|cursor| next_link(uri, cursor)) }
    }
}

impl<T: Serialize> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        let mut answer = Json(self.body).into_response();
        if let Some(link) = self.link {
            answer.headers_mut().insert(header::LINK, link);
        }
        answer
    }
}

/// The same question with another cursor. A cursor has no character that a query would have to encode.
fn next_link(uri: &Uri, cursor: &str) -> Option<HeaderValue> {
    let asked = uri.query().unwrap_or_default().split('&');
    let kept = asked.filter(|pair| !pair.is_empty() && pair.split('=').next() != Some("cursor"));
    let cursor = format!("cursor={cursor}");
    let query = kept.chain([cursor.as_str()]).collect::<Vec<_>>().join("&");
    HeaderValue::try_from(format!("<{}?{query}>; rel=\"next\"", uri.path())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_asked_for_as_this_one_was() {
        let link = |uri: &'static str| next_link(&Uri::from_static(uri), "abc").unwrap();
        assert_eq!(link("/api/v1/files"), "</api/v1/files?cursor=abc>; rel=\"next\"");
        let asked = "/api/v1/files?limit=2&cursor=old&prefix=a%2F";
        assert_eq!(link(asked), "</api/v1/files?limit=2&prefix=a%2F&cursor=abc>; rel=\"next\"");
    }

    #[test]
    fn pages_have_a_limit() {
        assert_eq!(limit(None).unwrap(), limits::LIST_MAX);
        assert_eq!(limit(Some(1)).unwrap(), 1);
        assert!(limit(Some(0)).is_err() && limit(Some(limits::LIST_MAX + 1)).is_err());
    }
}
