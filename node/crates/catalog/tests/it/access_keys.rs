//! S3 key pairs: kept, listed, refused, revoked.

use datamesh_catalog::catalog::AccessKeyError;
use datamesh_catalog::keyspace::Keyspace;
use datamesh_catalog::{AccessKey, AccessKeyId, Catalog, Grant, Permission};
use datamesh_shard::BucketName;

use crate::support::{catalog_on, on_all_engines};

on_all_engines!(catalog_on: kept_until_revoked, limits);

fn key(id: &str) -> AccessKey {
    AccessKey {
        id: id.parse().unwrap(),
        grant: Grant {
            name: "backup".into(),
            owner: "admin".into(),
            permission: Permission::ReadWrite,
            buckets: vec![BucketName::new("backups").unwrap()],
            created_unix_ms: 5,
            disabled: false,
        },
        sealed_secret: vec![1, 2, 3],
    }
}

async fn kept_until_revoked<K: Keyspace>(catalog: Catalog<K>) {
    let (one, two) = (key("DM00000000000000AAAA"), key("DM00000000000000BBBB"));
    catalog.create_access_key(&two).await.unwrap();
    catalog.create_access_key(&one).await.unwrap();
    assert_eq!(catalog.create_access_key(&one).await, Err(AccessKeyError::Taken(one.id.clone())));
    assert_eq!(catalog.access_keys().await.unwrap(), [one.clone(), two.clone()]);
    let (read, first) = catalog.access_key(&one.id).await.unwrap().unwrap();
    assert_eq!(read, one);
    assert!(catalog.disable_access_key(&one.id, true).await.unwrap());
    let (read, second) = catalog.access_key(&one.id).await.unwrap().unwrap();
    assert!(read.grant.disabled && second > first, "a cache sees by the revision that the row is another");
    assert!(catalog.delete_access_key(&one.id).await.unwrap());
    assert!(!catalog.delete_access_key(&one.id).await.unwrap());
    assert!(!catalog.disable_access_key(&one.id, false).await.unwrap());
    assert_eq!(catalog.access_key(&one.id).await.unwrap(), None);
    assert_eq!(catalog.access_keys().await.unwrap(), [two]);
}

async fn limits<K: Keyspace>(catalog: Catalog<K>) {
    let mut long = key("DM00000000000000AAAA");
    long.grant.name = "n".repeat(129);
    assert!(matches!(catalog.create_access_key(&long).await, Err(AccessKeyError::Invalid(_))));
    let mut many = key("DM00000000000000AAAA");
    many.grant.buckets = vec![BucketName::new("b").unwrap(); 101];
    assert!(matches!(catalog.create_access_key(&many).await, Err(AccessKeyError::Invalid(_))));
    for text in ["", "DM", "dm00000000000000AAAA", "DM00000000000000AAAAA", "DM0000000000000/AAAA"] {
        assert!(text.parse::<AccessKeyId>().is_err(), "{text}");
    }
}
