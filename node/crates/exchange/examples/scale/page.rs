//! The table, as Markdown.

use datamesh_placement::LAYOUT_BYTES_MAX;
use datamesh_shard::limits::MESSAGE_BYTES_MAX;

use crate::figures::Figures;
use crate::inputs::{CASES, DISKS, GB, TB};
use crate::placed::{Placed, layout};
use crate::source::Constants;
use crate::wire::{self, float};

const MIB: f64 = 1048576.0;
const KIB: f64 = 1024.0;
const HOUR: f64 = 3600.0;
/// Bytes of the longest names.
const NAME_BYTES_MAX: usize = 63;

/// Three digits, thousands apart.
pub(crate) fn number(value: f64) -> String {
    let decimals = if value >= 99.95 || value == 0.0 {
        0
    } else if value >= 9.995 {
        1
    } else {
        2
    };
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), ""), |(whole, rest)| (whole, rest));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if rest.is_empty() { grouped } else { format!("{grouped}.{rest}") }
}

fn percent(share: f64) -> String {
    format!("{} %", number(share * 100.0))
}

/// What is beyond a limit stands out.
fn within(value: f64, limit: f64) -> String {
    if value < limit { number(value) } else { format!("**{}**", number(value)) }
}

/// Rows of one table: a name, and a figure for each case.
struct Rows<'a> {
    all: Vec<Figures<'a>>,
    text: String,
}

impl Rows<'_> {
    fn section(&mut self, name: &str) {
        let columns = self.all.iter().map(|_| " |").collect::<String>();
        self.text.push_str(&format!("| **{name}** |{columns}\n"));
    }

    fn row(&mut self, name: &str, figure: impl Fn(&Figures<'_>) -> String) {
        let cells: Vec<String> = self.all.iter().map(figure).collect();
        self.text.push_str(&format!("| {name} | {} |\n", cells.join(" | ")));
    }
}

/// All rows for these pools.
pub(crate) fn table(placed: &[Placed], code: &Constants) -> String {
    let of = |nodes| placed.iter().find(|placed| placed.nodes == nodes);
    let figures = |case| Some(Figures { case, placed: of(case.nodes)?, code });
    let all: Vec<Figures<'_>> = CASES.into_iter().filter_map(figures).collect();
    let mut text = String::from("| |");
    all.iter().for_each(|f| {
        text.push_str(&format!(" {} nodes, {} |", number(f.case.node_count()), f.case.shard_name))
    });
    text.push_str(&format!("\n|---|{}\n", "---:|".repeat(all.len())));
    let mut rows = Rows { all, text };
    layouts(&mut rows);
    changes(&mut rows);
    memory(&mut rows, code);
    counting(&mut rows, code);
    repair(&mut rows);
    control(&mut rows);
    rows.text
}

fn layouts(rows: &mut Rows<'_>) {
    rows.section("Layout");
    rows.row("partitions", |f| number(f64::from(f.placed.partitions)));
    rows.row("slots of a node: shards of partitions", |f| {
        number(float(usize::try_from(f.placed.node_slots).unwrap_or(0)))
    });
    let encoded = |placed: &Placed, name_bytes| {
        float(layout(placed.nodes, name_bytes, |_| false).encode().len() + placed.holder_bytes) / KIB
    };
    rows.row("encoded, names of 9 bytes, KiB", |f| number(encoded(f.placed, 9)));
    let limit = float(LAYOUT_BYTES_MAX) / KIB;
    rows.row(&format!("encoded, names of {NAME_BYTES_MAX} bytes, KiB (limit {})", number(limit)), |f| {
        within(encoded(f.placed, NAME_BYTES_MAX), limit)
    });
    rows.row("table in memory, KiB", |f| number(f.table_bytes() / KIB));
    rows.row("sent by the gateway for each change, MB; seconds", |f| {
        let bytes = encoded(f.placed, 9) * KIB;
        format!("{}; {}", number(bytes * f.case.node_count() / 1e6), number(f.push_seconds(bytes)))
    });
}

fn changes(rows: &mut Rows<'_>) {
    let moved = |f: &Figures<'_>, least: u64, moved: u64| {
        let (least, moved) = (f.bytes_of(least) / TB, f.bytes_of(moved) / TB);
        format!("{} of {}: {}", number(moved), number(least), percent(moved / least))
    };
    rows.section("Change of the layout");
    rows.row("one node added: TB that move, of what must", |f| {
        moved(f, f.placed.node_slots, f.placed.node_moved)
    });
    for disk in DISKS {
        rows.row(&format!("hours until it has all, {}", disk.name), |f| number(f.fill_seconds(disk) / HOUR));
    }
    rows.row("one node left out: TB made anew or moved, of what must", |f| {
        moved(f, f.placed.node_slots, f.placed.node_moved)
    });
    rows.row("one of five zones left out: the same", |f| moved(f, f.placed.zone_slots, f.placed.zone_moved));
}

fn memory(rows: &mut Rows<'_>, code: &Constants) {
    rows.section("A node's index and memory");
    rows.row("shards, million", |f| number(f.case.shards() / 1e6));
    rows.row("bytes of a shard in the index", |f| number(f.index_row_bytes()));
    rows.row("index on disk, GB", |f| number(f.index_bytes() / GB));
    let cache = code.block_cache_bytes / MIB;
    rows.row(&format!("filters, MiB (cache {})", number(cache)), |f| within(f.filter_bytes() / MIB, cache));
    rows.row("log files", |f| number(f.log_files()));
    rows.row("table of log files, MiB", |f| number(f.log_table_bytes() / MIB));
    let most = number(code.bulk_connections_max);
    rows.row(&format!("bulk connections taken, one of each member (limit {most})"), |f| {
        within(f.bulk_connections_in(1.0), code.bulk_connections_max)
    });
    rows.row("the same, two of each member", |f| {
        within(f.bulk_connections_in(2.0), code.bulk_connections_max)
    });
    let most = number(code.swarm_connections_max);
    rows.row(&format!("libp2p connections, both ways (limit {most})"), |f| {
        within(f.swarm_connections(), code.swarm_connections_max)
    });
    rows.row("buffers of all connections at most, MiB", |f| number(f.connection_bytes() / MIB));
    rows.row("a steward that counts one partition, MiB", |f| number(f.count_bytes() / MIB));
    rows.row("**all of it, caches and transfers included, MiB at most**", |f| {
        format!("**{}**", number(f.memory_bytes() / MIB))
    });
}

fn counting(rows: &mut Rows<'_>, code: &Constants) {
    rows.section("Counting everything once");
    let most = number(code.rows_max);
    rows.row(&format!("segments of a partition (limit {most})"), |f| within(f.rows(), code.rows_max));
    rows.row("TB of such shards on a node, up to which that holds", |f| number(f.counted_bytes() / TB));
    rows.row("index rows a node reads, million", |f| number(f.case.shards() / 1e6));
    let seconds = |f: &Figures<'_>, requests: f64, read: f64, sent: f64| {
        let seconds = f.count_seconds(requests, read, sent);
        format!("{}; {}", number(seconds), percent(f.count_share(seconds)))
    };
    rows.row("whole inventories: requests a node answers", |f| number(f.answered()));
    rows.row("MB a node sends", |f| number(f.inventory_bytes() / 1e6));
    rows.row("seconds of the busiest steward; of its time", |f| seconds(f, 1.0, 1.0, 1.0));
    rows.row("digests: requests a node answers, none differing; with what was just written", |f| {
        f.digests_answered().map(number).join("; ")
    });
    rows.row("MB a node sends then", |f| number(f.digest_bytes() / 1e6));
    let requests = |f: &Figures<'_>| f.questions(1.0, f.differing_partitions());
    rows.row("seconds, made from all rows each time; of its time", |f| {
        seconds(f, requests(f), 1.0, f.differing_share())
    });
    rows.row("seconds, kept up to date by each put; of its time", |f| {
        seconds(f, requests(f), f.differing_share(), f.differing_share())
    });
}

fn repair(rows: &mut Rows<'_>) {
    rows.section("Repair of a lost node, from when it is left out");
    rows.row("shards to make, million", |f| {
        number(f.bytes_of(f.placed.node_slots) / f.case.shard_bytes / 1e6)
    });
    rows.row("stewards that take part", |f| number(float(usize::try_from(f.placed.stewards).unwrap_or(0))));
    for disk in DISKS {
        rows.row(&format!("{}: segments a second, one steward", disk.name), |f| {
            number(f.rebuilt_per_second(disk))
        });
        rows.row("the same with counting in between", |f| number(f.repaired_per_second(disk)));
        rows.row("hours, by the busiest steward; disk; network", |f| {
            f.repair_seconds(disk).map(|seconds| number(seconds / HOUR)).join("; ")
        });
        rows.row("**hours until all is whole**", |f| {
            let slowest = f.repair_seconds(disk).into_iter().fold(0.0, f64::max);
            if f.is_counted() {
                format!("**{}**", number(slowest / HOUR))
            } else {
                "**never: not counted**".into()
            }
        });
        rows.row("the stewards' part alone, were it equal", |f| number(f.repair_seconds_even(disk) / HOUR));
    }
}

fn control(rows: &mut Rows<'_>) {
    rows.section("Control traffic, nothing else going on");
    rows.row("greetings a node sends a second; KB/s there and back", |f| {
        format!("{}; {}", number(f.greetings()), number(f.greetings() * wire::greeting() / 1e3))
    });
    rows.row("libp2p pings a node sends a second", |f| number(f.pings()));
    rows.row("seconds to look up every member's descriptor", |f| number(f.lookup_round()));
    rows.row("a gateway's polls: requests a second; KB/s", |f| {
        let requests = 2.0 * f.case.node_count() / f.code.poll_period;
        format!("{}; {}", number(requests), number(f.poll_rate() / 1e3))
    });
    let limit = float(MESSAGE_BYTES_MAX) / KIB;
    rows.row(&format!("one node's view of the others, KiB (limit {})", number(limit)), |f| {
        within(wire::mesh_view(f.case.nodes) / KIB, limit)
    });
    rows.row("all views, once for each look at the mesh, MB", |f| {
        number(wire::mesh_view(f.case.nodes) * f.case.node_count() / 1e6)
    });
}
