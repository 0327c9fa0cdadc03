//! Entries become links; pure.

use datamesh_catalog::{AuditAt, AuditHead, AuditRow};
use datamesh_seal::{ClusterSigningKey, Link, sign_head};
use datamesh_settings::audit::AuditEntry;

/// Entries as rows behind the `count` that a chain has, which end with `link`.
pub(super) fn linked(chain: &str, (count, mut link): (u64, Link), entries: Vec<AuditEntry>) -> Vec<AuditRow> {
    let row = |(number, entry): (u64, AuditEntry)| {
        link = link.next(chain, number, entry.text().as_bytes());
        let at = AuditAt { at_unix_ms: entry.at_unix_ms, chain: chain.to_owned(), number };
        AuditRow { at, entry, link: link.0 }
    };
    (count..).zip(entries).map(row).collect()
}

/// The head of a chain that ends with these rows.
pub(super) fn head_after(key: &ClusterSigningKey, chain: &str, rows: &[AuditRow]) -> AuditHead {
    let (count, link) = rows.last().map_or((0, Link::first().0), |last| (last.at.number + 1, last.link));
    AuditHead { count, link, signature: sign_head(key, chain, count, &Link(link)).to_vec() }
}

/// How many of the rows a chain with this head has; `None` when it is another chain.
pub(super) fn reached(rows: &[AuditRow], head: &AuditHead) -> Option<usize> {
    let same = |row: &AuditRow| row.at.number + 1 == head.count && row.link == head.link;
    rows.iter().position(same).map(|at| at + 1)
}
