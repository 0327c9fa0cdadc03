//! What 100 and 1,000 nodes of 10 TB come to: prints the table of `docs/scale.md`, computed anew, and the times it took.
//!
//! `cargo run -p datamesh-exchange --example scale`; a minute for the tables of a thousand nodes.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a development tool: it prints, and stops where the code it reads is not what it expects"
)]

mod figures;
mod inputs;
mod page;
mod placed;
mod source;
mod wire;

use std::time::Instant;

use datamesh_exchange::survey::survey;
use datamesh_placement::Table;
use datamesh_shard::{Generation, Held, SegmentId, ShardIndex};

fn main() {
    let placed = [100, 1000].map(|nodes| {
        let (layout, begun) = (placed::layout(nodes, 9, |_| false), Instant::now());
        let table = Table::compute(layout).expect("a table");
        println!("{nodes} nodes, {} partitions: {:?} for a table", table.partitions(), begun.elapsed());
        placed::place(nodes)
    });
    println!("{:.0} rows surveyed a second\n", surveyed_per_second());
    println!("{}", page::table(&placed, &source::Constants::read()));
}

/// How fast a steward compares six inventories of 100,000 rows.
fn surveyed_per_second() -> f64 {
    let segment = |at: u32| SegmentId(std::array::from_fn(|byte| at.to_be_bytes()[byte % 4]));
    let profile = inputs::profile();
    let held = |shard| {
        let shards = [ShardIndex(shard)].into_iter().collect();
        (0..100_000)
            .map(|at| Held { segment: segment(at), profile, generation: Generation(1), shards })
            .collect()
    };
    let inventories: Vec<(u16, Vec<Held>)> = (0..6).map(|shard| (u16::from(shard), held(shard))).collect();
    let begun = Instant::now();
    assert_eq!(survey(inputs::profile(), &[0, 1, 2, 3, 4, 5], &inventories).tolerances.total(), 100_000);
    600_000.0 / begun.elapsed().as_secs_f64()
}
