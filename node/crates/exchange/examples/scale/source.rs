//! Constants of crates that a pure crate may not be built from (arrows go the other way): read from their sources, so that
//! none is written down twice and the page goes stale when one changes.

use std::path::{Path, PathBuf};

/// What the figures take from other crates' sources. Durations are in seconds.
#[derive(Debug)]
pub(crate) struct Constants {
    pub(crate) log_file_bytes: f64,
    pub(crate) block_cache_bytes: f64,
    pub(crate) shards_buffer_bytes: f64,
    pub(crate) small_buffer_bytes: f64,
    pub(crate) bloom_bits_per_key: f64,
    pub(crate) rows_max: f64,
    pub(crate) asked_at_once: f64,
    pub(crate) partitions_at_once: f64,
    pub(crate) digested_rows_max: f64,
    pub(crate) rebuilds_at_once: f64,
    pub(crate) queue_max: f64,
    pub(crate) rebuild_max: f64,
    pub(crate) look: f64,
    pub(crate) segments_homed_at_once: f64,
    pub(crate) rest_factor: f64,
    pub(crate) rest_whole: f64,
    pub(crate) rest_max: f64,
    pub(crate) silence: f64,
    pub(crate) probe_period: f64,
    pub(crate) connections_per_peer: f64,
    pub(crate) bulk_connections_max: f64,
    pub(crate) inbound_bytes: f64,
    pub(crate) idle_bytes: f64,
    pub(crate) swarm_connections_max: f64,
    pub(crate) ping_period: f64,
    pub(crate) lookup_ticks: f64,
    pub(crate) lookups_at_once: f64,
    pub(crate) poll_period: f64,
    pub(crate) pushes_at_once: f64,
}

impl Constants {
    pub(crate) fn read() -> Self {
        let (steward, stock) = ("mesh/src/keeper/steward.rs", "mesh/src/keeper/steward/stock.rs");
        let listings = "mesh/src/keeper/fellows/listings.rs";
        let (pace, peers) = ("mesh/src/keeper/pace.rs", "mesh/src/peers.rs");
        let (behaviour, driver) = ("mesh/src/swarm/behaviour.rs", "mesh/src/swarm/driver.rs");
        Self {
            log_file_bytes: constant("store/src/options.rs", "LOG_BYTES_MAX"),
            block_cache_bytes: constant("store/src/index.rs", "BLOCK_CACHE_BYTES"),
            shards_buffer_bytes: constant("store/src/index.rs", "SHARDS_BUFFER_BYTES"),
            small_buffer_bytes: constant("store/src/index.rs", "SMALL_BUFFER_BYTES"),
            bloom_bits_per_key: constant("store/src/index.rs", "BLOOM_BITS_PER_KEY"),
            rows_max: constant(listings, "ROWS_MAX"),
            asked_at_once: constant(stock, "ASKED_AT_ONCE"),
            partitions_at_once: constant(stock, "PARTITIONS_AT_ONCE"),
            digested_rows_max: constant(listings, "DIGESTED_ROWS_MAX"),
            rebuilds_at_once: constant(steward, "REBUILDS_AT_ONCE"),
            queue_max: constant(steward, "QUEUE_MAX"),
            rebuild_max: constant(steward, "REBUILD_MAX"),
            look: field(pace, "look"),
            segments_homed_at_once: constant("mesh/src/keeper/homing.rs", "SEGMENTS_AT_ONCE"),
            rest_factor: constant("mesh/src/keeper/steward/agenda.rs", "REST_FACTOR"),
            rest_whole: field(pace, "rest_whole"),
            rest_max: field(pace, "rest_max"),
            silence: constant(peers, "SILENCE"),
            probe_period: constant(peers, "PROBE_PERIOD"),
            connections_per_peer: constant(peers, "CONNECTIONS_PER_PEER"),
            bulk_connections_max: constant("mesh/src/server.rs", "CONNECTIONS_MAX"),
            inbound_bytes: constant("mesh/src/server.rs", "INBOUND_BYTES_MAX"),
            idle_bytes: constant("mesh/src/wire.rs", "RECEIVED_BYTES_KEPT")
                + constant("store/src/log_reader.rs", "KEPT_BYTES"),
            swarm_connections_max: constant(behaviour, "ESTABLISHED_MAX"),
            ping_period: constant(behaviour, "PING_PERIOD"),
            lookup_ticks: constant(driver, "LOOKUP_TICKS"),
            lookups_at_once: constant(driver, "LOOKUPS_AT_ONCE"),
            poll_period: constant("gateway/src/work/reports.rs", "PERIOD"),
            pushes_at_once: constant("gateway/src/layouts.rs", "PUSHES_AT_ONCE"),
        }
    }
}

/// The folder of all crates of a node.
pub(crate) fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The value of `const NAME: type = value;`.
fn constant(file: &str, name: &str) -> f64 {
    let text = text_of(file);
    let (_, rest) = text.split_once(&format!("const {name}: ")).unwrap_or_else(|| lacks(file, name));
    let (_, rest) = rest.split_once(" = ").unwrap_or_else(|| lacks(file, name));
    value(rest.split_once(';').unwrap_or_else(|| lacks(file, name)).0)
}

/// The value of `name: value,` where a struct is made.
fn field(file: &str, name: &str) -> f64 {
    let text = text_of(file);
    let (_, rest) = text.split_once(&format!(" {name}: Duration::")).unwrap_or_else(|| lacks(file, name));
    value(rest.split_once(",\n").unwrap_or_else(|| lacks(file, name)).0)
}

fn text_of(file: &str) -> String {
    std::fs::read_to_string(crates().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn lacks<T>(file: &str, name: &str) -> T {
    panic!("{file} has no {name} any more: say where the figure comes from now")
}

/// A number, a product of some, a number shifted, or one of these as a Duration's seconds.
pub(crate) fn value(text: &str) -> f64 {
    let text = text.trim().trim_start_matches("Duration::");
    let number = |text: &str| -> f64 {
        text.trim().replace('_', "").parse().unwrap_or_else(|_| panic!("{text:?} is no number"))
    };
    if let Some(inner) = text.strip_prefix("from_secs(").and_then(|rest| rest.strip_suffix(')')) {
        value(inner)
    } else if let Some(inner) = text.strip_prefix("from_millis(").and_then(|rest| rest.strip_suffix(')')) {
        value(inner) / 1000.0
    } else if let Some((base, bits)) = text.split_once("<<") {
        number(base) * number(bits).exp2()
    } else {
        text.split('*').map(number).product()
    }
}
