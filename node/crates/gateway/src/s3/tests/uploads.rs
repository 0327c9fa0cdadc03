//! Lists of open uploads, and what is said of the parts of an object.

use std::collections::BTreeSet;

use datamesh_catalog::Permission;

use super::signer::{Ask, Client};
use crate::tests::house::House;

/// What stands between the tags of this name.
fn texts(body: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let inside = body.split(&open).skip(1);
    inside.filter_map(|rest| Some(rest.split_once(&close)?.0.to_owned())).collect()
}

async fn ask(client: &Client, method: &str, target: &str, ask: Ask<'_>) -> String {
    let got = client.ask(method, target, ask).await.ok();
    String::from_utf8_lossy(&got.body).into_owned()
}

async fn photos(house: &House) -> Client {
    let client = Client::new(house, Permission::Admin, &[]).await;
    assert_eq!(client.refusal("PUT", "/photos", Ask::default()).await, None);
    client
}

/// All pages of a list: keys of uploads, and common prefixes, in the order they came.
async fn listed(client: &Client, (prefix, delimiter): (&str, &str), size: usize) -> Vec<String> {
    let (mut all, mut markers) = (Vec::new(), (String::new(), String::new()));
    loop {
        let (key, id) = &markers;
        let query = format!(
            "delimiter={delimiter}&key-marker={key}&max-uploads={size}&prefix={prefix}&upload-id-marker={id}&uploads="
        )
        .replace("=a/", "=a%2F")
        .replace("=/", "=%2F");
        let page = ask(client, "GET", &format!("/photos?{query}"), Ask::default()).await;
        let prefixes: Vec<_> = texts(&page, "CommonPrefixes").iter().flat_map(|one| texts(one, "Prefix")).collect();
        let keys: Vec<_> = texts(&page, "Upload").iter().flat_map(|one| texts(one, "Key")).collect();
        assert!(keys.len() + prefixes.len() <= size);
        let mut both = [keys, prefixes].concat();
        both.sort();
        all.extend(both);
        let next = |name: &str| texts(&page, name).pop().unwrap_or_default().replace('/', "%2F");
        markers = (next("NextKeyMarker"), next("NextUploadIdMarker"));
        if texts(&page, "IsTruncated") != ["true"] {
            return all;
        }
    }
}

#[tokio::test]
async fn uploads_are_listed_by_delimiter_as_objects_are() {
    let house = House::new(6).await;
    let client = photos(&house).await;
    let keys = ["a", "a/b", "a/b", "a/c/d", "a/c/e", "a0", "b", "b", "c/d", "c/e", "d"];
    for key in keys {
        ask(&client, "POST", &format!("/photos/{key}?uploads="), Ask::default()).await;
    }
    let rolled = |prefix: &str, delimiter: &str| {
        let mut wanted = Vec::new();
        let mut seen = BTreeSet::new();
        for key in keys.iter().filter(|key| key.starts_with(prefix)) {
            let at = key[prefix.len()..].find(delimiter).filter(|_| !delimiter.is_empty());
            match at.map(|at| key[..=prefix.len() + at].to_owned()) {
                Some(all) if seen.insert(all.clone()) => wanted.push(all),
                Some(_) => {}
                None => wanted.push((*key).to_owned()),
            }
        }
        wanted
    };
    for asked in [("", ""), ("", "/"), ("a", "/"), ("a/", "/"), ("a/", ""), ("x", "/")] {
        for size in [1, 2, 3, 1000] {
            assert_eq!(listed(&client, asked, size).await, rolled(asked.0, asked.1), "{asked:?} {size}");
        }
    }
}

#[tokio::test]
async fn attributes_have_the_parts_as_reads_count_them() {
    let house = House::new(6).await;
    let client = photos(&house).await;
    let begun = ask(&client, "POST", "/photos/x?uploads=", Ask::default()).await;
    let id = texts(&begun, "UploadId").pop().unwrap();
    let large = vec![7; 5 << 20];
    let mut named = String::new();
    for (number, body) in [(3, &large[..]), (5, &large), (9, b"last")] {
        let target = format!("/photos/x?partNumber={number}&uploadId={id}");
        let put = client.ask("PUT", &target, Ask { body, ..Ask::default() }).await.ok();
        named += &format!("<Part><PartNumber>{number}</PartNumber><ETag>{}</ETag></Part>", put.header("etag"));
    }
    let document = format!("<CompleteMultipartUpload>{named}</CompleteMultipartUpload>");
    let target = format!("/photos/x?uploadId={id}");
    ask(&client, "POST", &target, Ask { body: document.as_bytes(), ..Ask::default() }).await;
    let sizes = [5 << 20, 5 << 20, 4].map(|size: u32| size.to_string());
    for (max, after, shown, next) in
        [("", "", 0..3, None), ("2", "", 0..2, Some("2")), ("2", "2", 2..3, None), ("0", "", 0..0, None), ("", "9", 3..3, None)]
    {
        let mut headers = vec![("x-amz-object-attributes", "ObjectParts")];
        headers.extend([("x-amz-max-parts", max), ("x-amz-part-number-marker", after)].iter().filter(|said| !said.1.is_empty()));
        let told = ask(&client, "GET", "/photos/x?attributes=", Ask { headers: &headers, ..Ask::default() }).await;
        let numbers: Vec<_> = shown.clone().map(|at| (at + 1).to_string()).collect();
        let parts = texts(&told, "ObjectParts").pop().unwrap();
        assert_eq!(texts(&parts, "PartNumber"), numbers, "{max} {after}: {told}");
        assert_eq!(texts(&parts, "Size"), sizes[shown], "{max} {after}: {told}");
        assert_eq!(texts(&parts, "IsTruncated"), [next.is_some().to_string()], "{max} {after}");
        assert_eq!(texts(&parts, "NextPartNumberMarker").first().map(String::as_str), next, "{max} {after}");
        assert!(parts.contains("<PartsCount>3</PartsCount>"), "{told}");
    }
}
