//! The table of `docs/scale.md` is what the code says. `UPDATE=1` writes it anew.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may stop, and prints"
)]

#[path = "../examples/scale/figures.rs"]
mod figures;
#[path = "../examples/scale/inputs.rs"]
mod inputs;
#[path = "../examples/scale/page.rs"]
mod page;
#[path = "../examples/scale/placed.rs"]
mod placed;
#[path = "../examples/scale/source.rs"]
mod source;
#[path = "../examples/scale/wire.rs"]
mod wire;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use placed::{Placed, place};
use source::Constants;

const BEGIN: &str = "<!-- generated: `make generate` -->\n";
const END: &str = "<!-- end of what is generated -->\n";

fn is_update() -> bool {
    std::env::var_os("UPDATE").is_some()
}

fn recorded_at() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/scale/placed.json")
}

fn recorded() -> Vec<Placed> {
    serde_json::from_str(&std::fs::read_to_string(recorded_at()).unwrap_or_default()).unwrap_or_default()
}

/// Tables are a wire format, which golden files hold: what was computed for 1,000 nodes stays true as long as what is
/// computed for 100 does. `DATAMESH_LONG=1` computes both, and so does `UPDATE=1` if 100 nodes differ.
static PLACED: LazyLock<Vec<Placed>> = LazyLock::new(|| {
    let (mut placed, hundred) = (recorded(), place(100));
    let is_stale = placed.len() != 2 || placed[0] != hundred;
    if std::env::var_os("DATAMESH_LONG").is_some() || is_stale && is_update() {
        placed = vec![hundred, place(1000)];
    }
    assert!(!is_stale || is_update(), "examples/scale/placed.json is stale: run `make generate`");
    if is_update() {
        std::fs::write(recorded_at(), serde_json::to_string_pretty(&placed).unwrap() + "\n").unwrap();
    }
    placed
});

#[test]
fn what_is_recorded_of_tables_is_so() {
    assert_eq!(PLACED.iter().map(|placed| placed.nodes).collect::<Vec<_>>(), [100, 1000]);
    assert_eq!(recorded(), *PLACED, "UPDATE=1 records them anew");
}

#[test]
fn scale_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/scale.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("where the table begins");
    let (found, after) = rest.split_once(END).expect("where the table ends");
    let expected = page::table(&PLACED, &Constants::read());
    if is_update() {
        std::fs::write(&path, [before, BEGIN, &expected, END, after].concat()).unwrap();
        return;
    }
    assert!(found == expected, "docs/scale.md is stale: run `make generate`");
}

/// The figures of a lost node, without the code that computes them.
#[test]
fn a_lost_node_is_rebuilt_by_all_that_were_beside_it() {
    for placed in PLACED.iter() {
        let nodes = u64::try_from(placed.nodes).unwrap();
        let slots = u64::from(placed.partitions) * 6;
        assert!(placed.node_slots.abs_diff(slots / nodes) <= 1, "{placed:?}");
        assert!(placed.zone_slots.abs_diff(slots / 5) <= 5, "{placed:?}");
        assert!(placed.node_moved >= placed.node_slots && placed.zone_moved >= placed.zone_slots);
        assert!(placed.stewards < nodes && placed.rebuilt_most * placed.stewards >= placed.node_slots);
        // Each slot is read k times and written once, by others.
        assert!(placed.accessed_most * (nodes - 1) >= placed.node_slots * 5, "{placed:?}");
    }
}

#[test]
fn constants_are_read_from_sources() {
    let code = Constants::read();
    assert_eq!(source::value("14 * 24 * 3600"), 1_209_600.0);
    assert_eq!(source::value("1 << 17"), 131_072.0);
    assert_eq!(source::value("Duration::from_millis(1_500)"), 1.5);
    assert!(code.rest_max > code.rest_whole && code.rest_whole > code.look, "{code:?}");
}

/// What is said of the length of an index row, against the store's own golden file.
#[test]
fn an_index_row_is_as_long_as_the_stores() {
    let golden = source::crates().join("store/tests/golden/index-rows-v2.hex");
    let text = std::fs::read_to_string(golden).unwrap();
    // Log 300, offset 123,456,789,012, a header of 200, a payload of 1 MiB, generation 9; then `corrupt`, k and m.
    let row = text.lines().nth(1).unwrap();
    assert!(row.starts_with("02ac02") && row.ends_with("c80180804009010402"), "{row}");
    assert_eq!(wire::shard_row(300, 123_456_789_012, 200, 1 << 20, 9) * 2, row.len());
}

#[test]
fn numbers_have_three_digits() {
    let told = [0.0, 0.034, 9.99, 9.996, 12.34, 99.96, 1234.5, 1_234_567.0].map(page::number);
    assert_eq!(told, ["0", "0.03", "9.99", "10.0", "12.3", "100", "1,234", "1,234,567"]);
}
