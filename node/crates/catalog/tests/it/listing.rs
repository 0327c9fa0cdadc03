//! Listings against a plain sorted map.

use std::collections::BTreeSet;

use datamesh_catalog::keyspace::Keyspace;
use datamesh_catalog::{BucketId, Catalog, Condition, Cursor, ListQuery, Listing, ObjectKey, Target};

use crate::support::{BUCKET, Dice, catalog_on, inline, on_all_engines, upload_id};

on_all_engines!(catalog_on: as_the_model, many_keys_page_by_page, folders_are_skipped);

const ALPHABET: &[u8] = &[0, b'/', b'/', b'a', b'b', 0xc3, 0xb6, 255];

async fn put<K: Keyspace>(catalog: &Catalog<K>, bucket: BucketId, key: &[u8], upload: u64) {
    let target = Target { bucket, key: ObjectKey::new(key).unwrap(), upload: upload_id(upload) };
    catalog.put_inline(&target, &inline("e", 0), &Condition::None).await.unwrap();
}

/// What a listing must be, from all keys at once.
fn expected(keys: &BTreeSet<Vec<u8>>, query: &ListQuery) -> Listing {
    let delimiter = query.delimiter.clone().map(String::into_bytes);
    let mut found = Listing::default();
    let mut full = false;
    for key in keys.iter().filter(|key| key.starts_with(&query.prefix)) {
        let skipped = match &query.after {
            None => false,
            Some(Cursor::Key(after)) => key <= after,
            Some(Cursor::Prefix(after)) => key.starts_with(after) || key < after,
        };
        let rolled = delimiter.as_ref().and_then(|delimiter| {
            let rest = &key[query.prefix.len()..];
            let at = rest.windows(delimiter.len()).position(|window| window == delimiter)?;
            Some(key[..query.prefix.len() + at + delimiter.len()].to_vec())
        });
        if skipped || (rolled.is_some() && rolled.as_ref() == found.common_prefixes.last()) {
            continue;
        }
        if found.entries.len() + found.common_prefixes.len() == query.limit {
            full = true;
            break;
        }
        match rolled {
            Some(prefix) => {
                found.next = Some(Cursor::Prefix(prefix.clone()));
                found.common_prefixes.push(prefix);
            }
            None => {
                found.next = Some(Cursor::Key(key.clone()));
                found.entries.push(entry(key));
            }
        }
    }
    found.next = found.next.filter(|_| full);
    found
}

fn entry(key: &[u8]) -> datamesh_catalog::Entry {
    datamesh_catalog::Entry {
        key: ObjectKey::new(key).unwrap(),
        upload: upload_id(0),
        size_bytes: 5,
        content_type: "text/plain".into(),
        etag: "e".into(),
        created_unix_ms: 0,
    }
}

async fn as_the_model<K: Keyspace>(catalog: Catalog<K>) {
    let mut dice = Dice::new("as_the_model");
    let mut keys = BTreeSet::new();
    for _ in 0..300 {
        let mut key = dice.bytes(ALPHABET, 6);
        key.push(*dice.pick(ALPHABET));
        put(&catalog, BUCKET, &key, 0).await;
        put(&catalog, BucketId(2), &[&key[..], b"other"].concat(), 0).await;
        keys.insert(key);
    }
    let mut with_prefixes = 0;
    for _ in 0..800 {
        let after = match dice.below(3) {
            0 => None,
            1 => Some(Cursor::Key(dice.bytes(ALPHABET, 3))),
            _ => Some(Cursor::Prefix(dice.bytes(ALPHABET, 2)))
                .filter(|after| *after != Cursor::Prefix(Vec::new())),
        };
        let delimiter = dice.pick(&[None, Some("/"), Some("ö"), Some("\0"), Some("//")]).map(str::to_owned);
        let query =
            ListQuery { prefix: dice.bytes(ALPHABET, 2), after, limit: 1 + dice.below(40), delimiter };
        let listing = catalog.list(BUCKET, &query).await.unwrap();
        with_prefixes += usize::from(!listing.common_prefixes.is_empty());
        assert_eq!(listing, expected(&keys, &query), "{query:?}");
    }
    assert!(with_prefixes > 50, "{with_prefixes} listings had common prefixes: both kinds must occur");
}

async fn many_keys_page_by_page<K: Keyspace>(catalog: Catalog<K>) {
    let mut dice = Dice::new("many_keys_page_by_page");
    let mut keys = BTreeSet::new();
    for _ in 0..400 {
        let key = format!("{}/{}", dice.below(9), dice.below(200));
        put(&catalog, BUCKET, key.as_bytes(), 0).await;
        keys.insert(key.into_bytes());
    }
    for delimiter in [None, Some("/".to_owned())] {
        let whole = ListQuery { limit: usize::MAX, delimiter: delimiter.clone(), ..ListQuery::default() };
        let whole = catalog.list(BUCKET, &whole).await.unwrap();
        assert_eq!(whole.next, None);
        let mut query =
            ListQuery { limit: 1 + dice.below(17), delimiter: delimiter.clone(), ..ListQuery::default() };
        let mut pages = Listing::default();
        loop {
            let page = catalog.list(BUCKET, &query).await.unwrap();
            assert!(page.entries.len() + page.common_prefixes.len() <= query.limit);
            pages.entries.extend(page.entries);
            pages.common_prefixes.extend(page.common_prefixes);
            let Some(next) = page.next else { break };
            query.after = Some(Cursor::decode(&next.encode()).unwrap());
        }
        assert_eq!(pages, whole, "each key once, in order");
        assert_eq!(
            whole.entries.len() + whole.common_prefixes.len(),
            if delimiter.is_some() { 9 } else { keys.len() }
        );
    }
}

async fn folders_are_skipped<K: Keyspace>(catalog: Catalog<K>) {
    for folder in ["a", "b"] {
        for n in 0..150 {
            put(&catalog, BUCKET, format!("{folder}/{n}").as_bytes(), 0).await;
        }
    }
    put(&catalog, BUCKET, b"z", 0).await;
    let query = ListQuery { limit: 10, delimiter: Some("/".into()), ..ListQuery::default() };
    let listing = catalog.list(BUCKET, &query).await.unwrap();
    assert_eq!(listing.common_prefixes, [b"a/", b"b/"]);
    assert_eq!(listing.entries.len(), 1);
    assert_eq!(listing.next, None);
    let nowhere = ListQuery { prefix: vec![b'a'; 1025], limit: 10, ..ListQuery::default() };
    assert_eq!(catalog.list(BUCKET, &nowhere).await.unwrap(), Listing::default());
    assert!(
        Cursor::decode(b"").is_err()
            && Cursor::decode(&[1, 3, 65]).is_err()
            && Cursor::decode(&[2, 1]).is_err()
    );
    assert!(Cursor::decode(&[&[1, 1], [b'a'; 1025].as_slice()].concat()).is_err());
}
