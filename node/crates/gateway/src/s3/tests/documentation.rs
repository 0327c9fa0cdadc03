//! `docs/s3.md` names every operation there is, and calls supported what is.

use std::collections::BTreeMap;

use crate::s3::front::OPERATIONS;

const TABLE: &str = include_str!("../../../../../../docs/s3.md");
/// Done by the library: it hands a form's file to `PutObject`.
const BY_THE_LIBRARY: &str = "PostObject";
/// As many as S3 has, and the library knows.
const ALL: usize = 99;

pub(super) fn camel(name: &str) -> String {
    let part = |part: &str| part[..1].to_uppercase() + &part[1..];
    name.split('_').map(part).collect()
}

#[test]
fn the_table_of_operations_is_true() {
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let rows: BTreeMap<String, (String, String)> = TABLE
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| operation"))
        .map(cells)
        .map(|cells| (cells[1].clone(), (cells[2].clone(), cells[3].clone())))
        .collect();
    assert_eq!(rows.len(), ALL, "each operation once");
    let mut served: Vec<String> = OPERATIONS.iter().map(|name| camel(name)).collect();
    served.push(BY_THE_LIBRARY.to_owned());
    for (operation, (kind, why)) in &rows {
        assert!(["supported", "refused", "absent"].contains(&kind.as_str()), "{operation}: {kind}");
        assert_eq!(kind == "supported", served.contains(operation), "{operation}");
        assert!(kind == "supported" || !why.is_empty(), "{operation}: why?");
    }
    assert!(served.iter().all(|operation| rows.contains_key(operation)), "{served:?}");
}
