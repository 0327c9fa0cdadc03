//! `GET /api/v1/files`: the objects of a bucket in the order of their keys.

use std::sync::Arc;

use axum::extract::{Query, State};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use datamesh_catalog::{Cursor, ListQuery, Listing};
use datamesh_shard::limits::OBJECT_KEY_BYTES_MAX;
use http::Uri;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::App;
use super::pages::{self, Page};
use super::target::BucketPath;
use crate::limits;
use crate::problem::Problem;

/// What a client may ask.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    /// What the keys begin with.
    #[schemars(length(max = OBJECT_KEY_BYTES_MAX))]
    prefix: Option<String>,
    /// `nextCursor` of the page before, unchanged.
    cursor: Option<String>,
    /// Entries of the page at most.
    #[schemars(range(min = 1, max = limits::LIST_MAX))]
    limit: Option<usize>,
    /// One character: keys that have it behind the prefix are rolled up there.
    #[schemars(length(max = 1))]
    delimiter: Option<String>,
}

/// One page of objects.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ObjectList")]
pub(super) struct Answer {
    items: Vec<Item>,
    /// Keys that were rolled up at the delimiter.
    common_prefixes: Vec<String>,
    /// Where to go on; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ObjectSummary")]
pub(super) struct Item {
    key: String,
    size: u64,
    content_type: String,
    etag: String,
    last_modified: String,
}

/// Lists a bucket. A cursor names a place among the keys, so objects that come and go meanwhile disturb nothing.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    BucketPath(bucket): BucketPath,
    uri: Uri,
    params: Result<Query<Params>, axum::extract::rejection::QueryRejection>,
) -> Result<Page<Answer>, Problem> {
    let Query(params) = params.map_err(|error| Problem::parameter("query", error.body_text()))?;
    let listing = app.objects.list(&bucket, &query(params)?).await?;
    let answer = answer(listing);
    let next = answer.next_cursor.clone();
    Ok(Page::new(answer, &uri, next.as_deref()))
}

pub(super) fn query(params: Params) -> Result<ListQuery, Problem> {
    let limit = pages::limit(params.limit)?;
    let prefix = params.prefix.unwrap_or_default().into_bytes();
    if prefix.len() > OBJECT_KEY_BYTES_MAX {
        return Err(Problem::parameter(
            "prefix",
            format!("a prefix has at most {OBJECT_KEY_BYTES_MAX} bytes"),
        ));
    }
    Ok(ListQuery {
        prefix,
        after: params.cursor.as_deref().map(cursor).transpose()?,
        limit,
        delimiter: delimiter(params.delimiter.as_deref())?,
    })
}

fn cursor(text: &str) -> Result<Cursor, Problem> {
    let wrong = || Problem::parameter("cursor", "take the cursor from the page before, unchanged");
    // Base64 is a third longer than what it stands for; the length is checked before it is decoded.
    if text.len() > 2 * OBJECT_KEY_BYTES_MAX {
        return Err(wrong());
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong())?;
    Cursor::decode(&bytes).map_err(|_| wrong())
}

fn delimiter(text: Option<&str>) -> Result<Option<String>, Problem> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    if text.chars().nth(1).is_some() {
        return Err(Problem::parameter("delimiter", "the delimiter is one character"));
    }
    Ok(Some(text.to_owned()))
}

pub(super) fn answer(listing: Listing) -> Answer {
    let item = |entry: datamesh_catalog::Entry| Item {
        key: entry.key.to_string(),
        size: entry.size_bytes,
        content_type: entry.content_type,
        etag: entry.etag,
        last_modified: rfc3339(entry.created_unix_ms),
    };
    let prefixes = listing.common_prefixes.iter().map(|prefix| String::from_utf8_lossy(prefix).into_owned());
    Answer {
        items: listing.entries.into_iter().map(item).collect(),
        common_prefixes: prefixes.collect(),
        next_cursor: listing.next.map(|next| URL_SAFE_NO_PAD.encode(next.encode())),
    }
}

/// As in `1994-11-06T08:49:37Z`.
pub(crate) fn rfc3339(unix_ms: u64) -> String {
    let at = i64::try_from(unix_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn any_question_is_read_within_its_limits_or_refused(
            cursor in proptest::option::of("[-_A-Za-z0-9]{0,40}|\\PC{0,30}"),
            prefix in proptest::option::of("\\PC{0,30}"),
            delimiter in proptest::option::of("\\PC{0,2}"),
            limit: Option<usize>,
        ) {
            if let Ok(query) = query(Params { prefix, cursor, limit, delimiter }) {
                proptest::prop_assert!((1..=limits::LIST_MAX).contains(&query.limit));
            }
        }

        #[test]
        fn a_cursor_is_read_as_it_was_given(key in proptest::collection::vec(0_u8.., 0..=OBJECT_KEY_BYTES_MAX)) {
            for given in [Cursor::Key(key.clone()), Cursor::Prefix(key.clone())] {
                let text = URL_SAFE_NO_PAD.encode(given.encode());
                proptest::prop_assert_eq!(super::cursor(&text).ok(), Some(given));
            }
        }
    }

    #[test]
    fn longer_than_any_cursor_is_refused() {
        let longest = [0; OBJECT_KEY_BYTES_MAX + 1].to_vec();
        assert!(cursor(&URL_SAFE_NO_PAD.encode(Cursor::Key(longest).encode())).is_err());
        assert!(cursor(&"A".repeat(1 << 20)).is_err());
    }
}
