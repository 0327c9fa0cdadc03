//! Links of all objects under a prefix. Keys and cursors are told without it: what it is called is its owner's business.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Response};
use datamesh_catalog::{Cursor, Entry, ListQuery, Listing, ObjectKey, Shared, UploadId};
use http::{HeaderMap, Method, Uri};
use zeroize::Zeroizing;

use super::super::App;
use super::super::archive::{self, Folder, Right};
use super::super::listing::{self, Params};
use super::super::pages::Page;
use super::super::target::{decode, object_key};
use super::{Opened, Wanted, bucket_of, found, guarded, send, token_of};
use crate::accounts::{OpenShare, no_share};
use crate::problem::{Kind, Problem};

fn prefix_of(open: &OpenShare) -> Result<&[u8], Problem> {
    match &open.share.what {
        Shared::Prefix { prefix, .. } => Ok(prefix.as_bytes()),
        _ => Err(Problem::new(Kind::Conflict, "the link is of no folder: ask for it without `/files`")),
    }
}

/// What is asked of a folder, as it is asked of its bucket.
fn within(prefix: &[u8], asked: ListQuery) -> ListQuery {
    let whole = |rest: Vec<u8>| [prefix, &rest].concat();
    let after = asked.after.map(|after| match after {
        Cursor::Key(key) => Cursor::Key(whole(key)),
        Cursor::Prefix(rest) => Cursor::Prefix(whole(rest)),
    });
    ListQuery { prefix: whole(asked.prefix), after, ..asked }
}

/// What is in a folder, without what all begins with. An object of just that key stands for the folder and is none in it.
fn without(prefix: &[u8], listing: Listing) -> Listing {
    let rest = |bytes: &[u8]| bytes.strip_prefix(prefix).unwrap_or_default().to_vec();
    let entry = |entry: Entry| Some(Entry { key: ObjectKey::new(rest(entry.key.as_bytes())).ok()?, ..entry });
    let next = listing.next.map(|next| match next {
        Cursor::Key(key) => Cursor::Key(rest(&key)),
        Cursor::Prefix(prefix) => Cursor::Prefix(rest(&prefix)),
    });
    Listing {
        entries: listing.entries.into_iter().filter_map(entry).collect(),
        common_prefixes: listing.common_prefixes.iter().map(|common| rest(common)).collect(),
        next,
    }
}

/// `GET` of the files that there are.
pub(in crate::api) async fn list(
    State(app): State<Arc<App>>,
    Opened { open, .. }: Opened,
    uri: Uri,
    params: Result<Query<Params>, QueryRejection>,
) -> Response {
    let listed = async {
        let prefix = prefix_of(&open)?;
        let Query(params) = params.map_err(|error| Problem::parameter("query", error.body_text()))?;
        let query = within(prefix, listing::query(params)?);
        let listing = app.objects.list_in(bucket_of(&app, &open).await?.id, &query).await?;
        let answer = listing::answer(without(prefix, listing));
        // No link to the next page: its address would have the secret in it.
        Ok(Page::new(answer, &uri, None).into_response())
    };
    guarded(listed.await)
}

/// The key of a path below a link, still without the folder's prefix.
fn rest_of(uri: &Uri) -> Result<Vec<u8>, Problem> {
    let rest = uri.path().splitn(7, '/').nth(6).unwrap_or_default();
    decode(rest)
}

/// `GET` and `HEAD` of one of them.
pub(in crate::api) async fn read(
    State(app): State<Arc<App>>,
    Opened { open, from }: Opened,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let sent = async {
        let rest = rest_of(&uri)?;
        if rest.is_empty() {
            return Err(Problem::parameter("key", "name a file"));
        }
        let key = object_key(&[prefix_of(&open)?, &rest].concat())?;
        let found = found(&app, &open, key).await?;
        send(&app, &open, found, Wanted { method: &method, headers: &headers, from }).await
    };
    guarded(sent.await)
}

/// `GET` of all of them as a zip: one download.
pub(in crate::api) async fn zip(
    State(app): State<Arc<App>>,
    Opened { open, from }: Opened,
    method: Method,
    uri: Uri,
) -> Response {
    let sent = async {
        prefix_of(&open)?;
        let Shared::Prefix { prefix, .. } = open.share.what.clone() else { return Err(no_share()) };
        bucket_of(&app, &open).await?;
        let (bucket, bucket_name) = (open.share.bucket, open.share.bucket_name.clone());
        let right = Right::Link(Zeroizing::new(token_of(&uri).to_owned()));
        let folder = Folder { bucket, bucket_name, prefix, right };
        let begun = archive::begin(&app, &folder).await?;
        if method != Method::HEAD {
            // It is never asked for in parts: each begins anew.
            app.accounts.count_download(&open, (UploadId([0; 16]), 1, 1), from).await?;
        }
        archive::answer(Arc::clone(&app), folder, begun)
    };
    guarded(sent.await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_asked_and_told_without_its_prefix() {
        let asked = ListQuery {
            prefix: b"a".to_vec(),
            after: Some(Cursor::Key(b"ab".to_vec())),
            ..Default::default()
        };
        let whole = within(b"in/", asked);
        assert_eq!(
            (whole.prefix.as_slice(), whole.after),
            (&b"in/a"[..], Some(Cursor::Key(b"in/ab".to_vec())))
        );
        let told = without(
            b"in/",
            Listing {
                common_prefixes: vec![b"in/x/".to_vec()],
                next: Some(Cursor::Prefix(b"in/x/".to_vec())),
                ..Listing::default()
            },
        );
        assert_eq!(told.common_prefixes, [b"x/".to_vec()]);
        assert_eq!(told.next, Some(Cursor::Prefix(b"x/".to_vec())));
    }

    #[test]
    fn the_rest_of_a_path_is_the_key() {
        let of = |uri: &'static str| rest_of(&Uri::from_static(uri)).unwrap();
        assert_eq!(of("/api/v1/shared/t/files/a/b%20c//d"), b"a/b c//d");
        assert_eq!(of("/api/v1/shared/t/files/../x"), b"../x");
        assert!(rest_of(&Uri::from_static("/api/v1/shared/t/files/%zz")).is_err());
    }
}
