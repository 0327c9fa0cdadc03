//! Chains of entries: appended behind what there is, read in the order of time.

use datamesh_catalog::keyspace::Keyspace;
use datamesh_catalog::{AuditAt, AuditHead, AuditRow, Catalog};
use datamesh_settings::audit::AuditEntry;

use crate::support::{catalog_on, on_all_engines};

on_all_engines!(catalog_on: appended_once, moved_rows, read_by_time, cut_off_from_the_front);

fn row(chain: &str, number: u64, at_unix_ms: u64) -> AuditRow {
    let entry = AuditEntry {
        at_unix_ms,
        actor: "user:alice".into(),
        user: "55555555555555555555555555555555".into(),
        credential: "6666666666666666".into(),
        action: "PUT".into(),
        target: "/".into(),
        detail: "x".into(),
        address: "10.0.0.1".into(),
        request: "0".into(),
        status: 200,
    };
    AuditRow { at: AuditAt { at_unix_ms, chain: chain.into(), number }, entry, link: [1; 32] }
}

fn head(count: u64) -> AuditHead {
    AuditHead { count, link: [1; 32], signature: vec![2; 64] }
}

async fn appended_once<K: Keyspace>(catalog: Catalog<K>) {
    let rows = [row("gw/1", 0, 10), row("gw/1", 1, 11)];
    assert_eq!(catalog.audit_head("gw/1").await.unwrap(), None);
    assert!(catalog.append_audit("gw/1", 0, (&rows, &head(2))).await.unwrap());
    assert!(!catalog.append_audit("gw/1", 0, (&rows, &head(2))).await.unwrap(), "the same again");
    assert!(catalog.append_audit("gw/1", 2, (&[row("gw/1", 2, 12)], &head(3))).await.unwrap());
    assert_eq!(catalog.audit_head("gw/1").await.unwrap(), Some(head(3)));
    assert_eq!(catalog.audit_heads().await.unwrap(), [("gw/1".to_owned(), head(3))]);
    assert_eq!(catalog.audit((0, u64::MAX), None, 10).await.unwrap().rows.len(), 3);
}

async fn moved_rows<K: Keyspace>(catalog: Catalog<K>) {
    let mut moved = row("gw/1", 0, 10);
    moved.at.at_unix_ms = 11;
    catalog.append_audit("gw/1", 0, (&[moved], &head(1))).await.unwrap();
    catalog.audit((0, u64::MAX), None, 10).await.expect_err("a row under another time than its entry's");
}

async fn read_by_time<K: Keyspace>(catalog: Catalog<K>) {
    let (one, other) = ([row("a/1", 0, 10), row("a/1", 1, 30)], [row("b/1", 0, 20), row("b/1", 1, 30)]);
    catalog.append_audit("b/1", 0, (&other, &head(2))).await.unwrap();
    catalog.append_audit("a/1", 0, (&one, &head(2))).await.unwrap();
    let page = catalog.audit((0, u64::MAX), None, 3).await.unwrap();
    assert_eq!(page.rows, [one[0].clone(), other[0].clone(), one[1].clone()]);
    assert!(page.more);
    let rest = catalog.audit((0, u64::MAX), Some(&page.rows[2].at), 3).await.unwrap();
    assert_eq!((rest.rows.as_slice(), rest.more), ([other[1].clone()].as_slice(), false));
    let some = catalog.audit((20, 30), None, 3).await.unwrap();
    assert_eq!(some.rows, [other[0].clone()]);
}

async fn cut_off_from_the_front<K: Keyspace>(catalog: Catalog<K>) {
    let (one, other) = ([row("a/1", 0, 10), row("a/1", 1, 30), row("a/1", 2, 40)], [row("b/1", 0, 20)]);
    catalog.append_audit("a/1", 0, (&one, &head(3))).await.unwrap();
    catalog.append_audit("b/1", 0, (&other, &head(1))).await.unwrap();
    let cuts = |a: u64, b: u64| [("a/1".to_owned(), head(a)), ("b/1".to_owned(), head(b))];
    let first = [one[0].clone(), other[0].clone()];
    assert!(
        !catalog.cut_audit(&[one[1].clone()], &[("a/1".to_owned(), head(2))]).await.unwrap(),
        "not the first"
    );
    assert!(!catalog.cut_audit(&first, &cuts(2, 1)).await.unwrap(), "it would say more than it does");
    assert!(catalog.cut_audit(&first, &cuts(1, 1)).await.unwrap());
    assert!(!catalog.cut_audit(&first, &cuts(1, 1)).await.unwrap(), "they are gone");
    assert_eq!(catalog.audit((0, u64::MAX), None, 10).await.unwrap().rows, one[1..]);
    assert_eq!(catalog.audit_cuts().await.unwrap(), cuts(1, 1));
    assert_eq!(catalog.audit_head("b/1").await.unwrap(), Some(head(1)), "how far it went stays");
}
