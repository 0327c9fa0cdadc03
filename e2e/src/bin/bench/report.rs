//! The table: rates, latencies, CPU over all server processes, and where it went.

use std::time::Duration;

use crate::load::Timing;
use crate::rounds::{Kind, Round};
use crate::server::Measured;

/// Prints to standard output; the one place that does.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

/// Prints a row: it is measured.
pub(crate) fn row(round: &Round, timing: &Timing, before: &Measured, after: &Measured) {
    let cpu = after.cpu_seconds() - before.cpu_seconds();
    let seconds = timing.wall.as_secs_f64();
    let count = round.count as f64;
    let gigabytes = count * round.bytes as f64 / 1e9;
    let large = matches!(round.kind, Kind::Put | Kind::Get) && round.bytes > 65_536;
    let (rate, cpu_text) = if round.kind == Kind::List {
        let keys = timing.keys as f64;
        (format!("{:.0} keys/s", keys / seconds), format!("{:.1} CPU-us/key", cpu * 1e6 / keys))
    } else if large {
        (
            format!("{:.0} MiB/s", gigabytes * 1e9 / 1_048_576.0 / seconds),
            format!("{:.2} CPU-s/GB", cpu / gigabytes),
        )
    } else {
        (format!("{:.0} /s", count / seconds), format!("{:.3} CPU-ms", cpu * 1e3 / count))
    };
    let (unit, scale) = if large { ("s/GB", 1.0 / gigabytes) } else { ("ms", 1e3 / count) };
    let stages = after.stages.iter().filter_map(|(stage, seconds)| {
        let used = seconds - before.stages.get(stage).unwrap_or(&0.0);
        (used > 0.001).then(|| format!("{stage} {:.2}", used * scale))
    });
    let stages = stages.collect::<Vec<_>>().join(", ");
    let stages = if stages.is_empty() { stages } else { format!("{stages} {unit}") };
    let at = |share: f64| percentile(&timing.latencies, share);
    let (name, p50_ms, p99_ms) = (round.name, at(0.5), at(0.99));
    let (gateway_mib, node_mib) = after.peaks();
    say!(
        "{name:<22} {rate:>12} {cpu_text:>18} {p50_ms:>9.2} {p99_ms:>9.2} {gateway_mib:>8.0} {node_mib:>8.0}  {stages}"
    );
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index below the length")]
fn percentile(sorted: &[Duration], share: f64) -> f64 {
    let at = ((sorted.len().saturating_sub(1)) as f64 * share).round() as usize;
    sorted.get(at).map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
}

/// Said at once.
pub(crate) fn note(text: &str) {
    say!("{text}");
}

/// Says what rows are of, and prints what stands above them.
pub(crate) fn begin() {
    say!(
        "REST, and S3 with signed payloads, over HTTPS on loopback, client and servers on the same cores; AES-256-GCM sealed, Reed-Solomon 4+2"
    );
    say!(
        "(1.5x), 6 storage processes and 1 gateway (\"at 3\": 3 with one catalog), every shard and catalog row fdatasync'ed before the answer;"
    );
    say!("random data, never repeated; CPU is user and system time summed over all server processes.\n");
    say!(
        "{:<22} {:>12} {:>18} {:>9} {:>9} {:>8} {:>8}  gateway stages",
        "",
        "rate",
        "servers' CPU",
        "p50 ms",
        "p99 ms",
        "gateway",
        "node MiB"
    );
}
