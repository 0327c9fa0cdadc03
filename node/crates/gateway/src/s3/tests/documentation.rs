//! `docs/s3.md` names every operation there is, calls supported what is, and the rest is answered as it says.

use std::collections::BTreeMap;

use datamesh_catalog::Permission;

use super::signer::{Ask, Client};
use crate::s3::front::{BY_THE_LIBRARY, OPERATIONS, is_served};
use crate::tests::house::House;

const TABLE: &str = include_str!("../../../../../../docs/s3.md");
/// As many as S3 has, and the library knows.
const ALL: usize = 99;
/// How what is not served is asked for: bucket or object, and the query.
const NOT_SERVED: [(&str, &str, &str); 21] = [
    ("BucketAccelerateConfiguration", "/photos?accelerate=", "GET PUT"),
    ("BucketAcl", "/photos?acl=", "GET PUT"),
    ("BucketAnalyticsConfiguration", "/photos?analytics=&id=a", "DELETE GET PUT"),
    ("BucketIntelligentTieringConfiguration", "/photos?id=a&intelligent-tiering=", "DELETE GET PUT"),
    ("BucketInventoryConfiguration", "/photos?id=a&inventory=", "DELETE GET PUT"),
    ("BucketLogging", "/photos?logging=", "GET PUT"),
    ("BucketMetadataTableConfiguration", "/photos?metadataTable=", "DELETE GET"),
    ("BucketMetricsConfiguration", "/photos?id=a&metrics=", "DELETE GET PUT"),
    ("BucketOwnershipControls", "/photos?ownershipControls=", "DELETE GET PUT"),
    ("BucketReplication", "/photos?replication=", "DELETE GET PUT"),
    ("BucketRequestPayment", "/photos?requestPayment=", "GET PUT"),
    ("BucketWebsite", "/photos?website=", "DELETE GET PUT"),
    ("ObjectAcl", "/photos/x?acl=", "GET PUT"),
    ("ObjectTorrent", "/photos/x?torrent=", "GET"),
    ("CreateBucketMetadataTableConfiguration", "/photos?metadataTable=", "POST"),
    ("CreateSession", "/photos?session=", "GET"),
    ("ListBucketAnalyticsConfigurations", "/photos?analytics=", "GET"),
    ("ListBucketIntelligentTieringConfigurations", "/photos?intelligent-tiering=", "GET"),
    ("ListBucketInventoryConfigurations", "/photos?inventory=", "GET"),
    ("ListBucketMetricsConfigurations", "/photos?metrics=", "GET"),
    ("ListDirectoryBuckets", "/?x-id=ListDirectoryBuckets", "GET"),
];
const POSTED: [(&str, &str); 3] = [
    ("RestoreObject", "/photos/x?restore="),
    ("SelectObjectContent", "/photos/x?select=&select-type=2"),
    ("WriteGetObjectResponse", "/photos"),
];

pub(super) fn camel(name: &str) -> String {
    let part = |part: &str| part[..1].to_uppercase() + &part[1..];
    name.split('_').map(part).collect()
}

/// Each operation of the table, what it is called there, and why.
fn rows() -> BTreeMap<String, (String, String)> {
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    TABLE
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| operation"))
        .map(cells)
        .map(|cells| (cells[1].clone(), (cells[2].clone(), cells[3].clone())))
        .collect()
}

#[test]
fn the_table_of_operations_is_true() {
    let rows = rows();
    assert_eq!(rows.len(), ALL, "each operation once");
    let mut served: Vec<String> = OPERATIONS.iter().map(|name| camel(name)).collect();
    served.push(BY_THE_LIBRARY.to_owned());
    for (operation, (kind, why)) in &rows {
        assert!(["supported", "refused", "absent"].contains(&kind.as_str()), "{operation}: {kind}");
        assert_eq!(kind == "supported", served.contains(operation), "{operation}");
        assert_eq!(kind == "supported", is_served(operation), "{operation}");
        assert!(kind == "supported" || !why.is_empty(), "{operation}: why?");
    }
    assert!(served.iter().all(|operation| rows.contains_key(operation)), "{served:?}");
}

/// Method and target of each operation that is not served.
fn asked() -> BTreeMap<String, (&'static str, &'static str)> {
    let mut asked = BTreeMap::new();
    for (name, target, methods) in NOT_SERVED {
        for method in methods.split(' ') {
            let verb = camel(&method.to_lowercase());
            let whole = ["Create", "List"].iter().any(|verb| name.starts_with(verb));
            asked.insert(if whole { name.to_owned() } else { verb + name }, (method, target));
        }
    }
    asked.extend(POSTED.map(|(name, target)| (name.to_owned(), ("POST", target))));
    asked
}

#[tokio::test]
async fn what_is_not_served_is_answered_as_the_table_says() {
    let house = House::new(6).await;
    let client = Client::new(&house, Permission::Admin, &[]).await;
    assert_eq!(client.refusal("PUT", "/photos", Ask::default()).await, None);
    assert_eq!(client.refusal("PUT", "/photos/x", Ask { body: b"x", ..Ask::default() }).await, None);
    let asked = asked();
    let rows = rows();
    let missing: Vec<_> =
        rows.iter().filter(|(_, (kind, _))| kind != "supported").map(|(name, _)| name).collect();
    assert_eq!(missing, asked.keys().collect::<Vec<_>>());
    let headers = [("x-amz-request-route", "a"), ("x-amz-request-token", "a")];
    for (operation, (method, target)) in asked {
        let headers: &[_] = if operation == "WriteGetObjectResponse" { &headers } else { &[] };
        let got = client.ask(method, target, Ask { headers, ..Ask::default() }).await;
        let text = String::from_utf8_lossy(&got.body).into_owned();
        assert_eq!(
            (got.status.as_u16(), got.code().as_deref()),
            (501, Some("NotImplemented")),
            "{operation}: {text}"
        );
        assert!(text.contains(&format!("<Message>{operation} is not here")), "{operation}: {text}");
    }
}
