//! `make bench`: load over REST and S3 against `datamesh-node dev --processes` on loopback. Random data that never repeats;
//! CPU is summed over all server processes, the client's own left out. Every loop is bounded in count. `--rows WORD` measures
//! only rows whose name has the word in it; `gone` and `lost`, those of `trouble`: nodes that are away, a volume that is rebuilt; `idle`,
//! connections that nobody uses. `--profile ROW=FILE` has perf sample the server processes while that row runs, for scripts/profile.sh.

mod cpu;
mod idle;
mod load;
mod profile;
mod report;
mod server;
mod trouble;

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::load::Load;
use crate::profile::Profile;
use crate::server::Server;

/// One round of one kind of request.
struct Round {
    name: &'static str,
    kind: Kind,
    clients: usize,
    count: usize,
    bytes: usize,
    /// Objects that reads go round; as many as requests: each is read once, and nothing comes from the gateway's memory.
    keys: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Put,
    Get,
    Head,
    List,
}

const MIB: usize = 1 << 20;
/// Words that stand for the rows of `trouble`.
const GONE: &str = "gone";
const LOST: &str = "lost";
/// And for idle connections.
const IDLE: &str = "idle";

/// Sizes and client counts people compare stores by.
const ROUNDS: &[Round] = &[
    Round { name: "warm-up PUT 10 MiB", kind: Kind::Put, clients: 8, count: 32, bytes: 10 * MIB, keys: 32 },
    Round { name: "PUT 10 MiB", kind: Kind::Put, clients: 8, count: 128, bytes: 10 * MIB, keys: 128 },
    Round { name: "GET 10 MiB", kind: Kind::Get, clients: 8, count: 128, bytes: 10 * MIB, keys: 128 },
    Round { name: "hot GET 10 MiB", kind: Kind::Get, clients: 8, count: 256, bytes: 10 * MIB, keys: 8 },
    Round { name: "PUT 1 MiB", kind: Kind::Put, clients: 8, count: 512, bytes: MIB, keys: 512 },
    Round { name: "GET 1 MiB", kind: Kind::Get, clients: 8, count: 512, bytes: MIB, keys: 512 },
    Round { name: "hot GET 1 MiB", kind: Kind::Get, clients: 8, count: 1024, bytes: MIB, keys: 32 },
    Round { name: "PUT 64 KiB", kind: Kind::Put, clients: 16, count: 1000, bytes: 64 << 10, keys: 1000 },
    Round { name: "GET 64 KiB", kind: Kind::Get, clients: 16, count: 1000, bytes: 64 << 10, keys: 1000 },
    Round { name: "hot GET 64 KiB", kind: Kind::Get, clients: 16, count: 10_000, bytes: 64 << 10, keys: 100 },
    Round { name: "PUT 4 KiB", kind: Kind::Put, clients: 16, count: 10_000, bytes: 4096, keys: 10_000 },
    Round { name: "GET 4 KiB", kind: Kind::Get, clients: 16, count: 20_000, bytes: 4096, keys: 128 },
    Round { name: "HEAD 4 KiB", kind: Kind::Head, clients: 16, count: 20_000, bytes: 4096, keys: 128 },
    Round { name: "LIST 10,000 keys", kind: Kind::List, clients: 1, count: 10, bytes: 4096, keys: 0 },
    Round { name: "PUT of 64 clients", kind: Kind::Put, clients: 64, count: 640, bytes: MIB, keys: 640 },
    Round { name: "GET of 64 clients", kind: Kind::Get, clients: 64, count: 640, bytes: MIB, keys: 640 },
    Round { name: "PUT 32 MiB of 64", kind: Kind::Put, clients: 64, count: 64, bytes: 32 * MIB, keys: 64 },
    Round { name: "GET 32 MiB of 64", kind: Kind::Get, clients: 64, count: 64, bytes: 32 * MIB, keys: 64 },
    Round {
        name: "PUT of 1,000 clients",
        kind: Kind::Put,
        clients: 1000,
        count: 2000,
        bytes: MIB,
        keys: 1000,
    },
    Round {
        name: "GET of 1,000 clients",
        kind: Kind::Get,
        clients: 1000,
        count: 2000,
        bytes: MIB,
        keys: 1000,
    },
    Round {
        name: "PUT 4 KiB of 200",
        kind: Kind::Put,
        clients: 200,
        count: 10_000,
        bytes: 4096,
        keys: 10_000,
    },
    Round {
        name: "GET 4 KiB of 200",
        kind: Kind::Get,
        clients: 200,
        count: 20_000,
        bytes: 4096,
        keys: 10_000,
    },
    Round { name: "HEAD of 200", kind: Kind::Head, clients: 200, count: 20_000, bytes: 4096, keys: 10_000 },
    Round { name: "one PUT 10 MiB", kind: Kind::Put, clients: 1, count: 16, bytes: 10 * MIB, keys: 16 },
    Round { name: "one GET 10 MiB", kind: Kind::Get, clients: 1, count: 16, bytes: 10 * MIB, keys: 16 },
];

/// The same over S3, signed.
const S3_ROUNDS: &[Round] = &[
    Round { name: "S3 PUT 10 MiB", kind: Kind::Put, clients: 8, count: 128, bytes: 10 * MIB, keys: 128 },
    Round { name: "S3 GET 10 MiB", kind: Kind::Get, clients: 8, count: 128, bytes: 10 * MIB, keys: 128 },
    Round { name: "S3 PUT 4 KiB", kind: Kind::Put, clients: 16, count: 10_000, bytes: 4096, keys: 10_000 },
    Round { name: "S3 GET 4 KiB", kind: Kind::Get, clients: 16, count: 20_000, bytes: 4096, keys: 128 },
    Round { name: "S3 HEAD 4 KiB", kind: Kind::Head, clients: 16, count: 20_000, bytes: 4096, keys: 128 },
    Round { name: "S3 LIST 10,000", kind: Kind::List, clients: 1, count: 10, bytes: 4096, keys: 0 },
];

/// Takes an option and its value out of the others.
fn taken(options: &mut Vec<OsString>, name: &str) -> anyhow::Result<Option<String>> {
    let Some(at) = options.iter().position(|option| option == name) else { return Ok(None) };
    let value = options.drain(at..(at + 2).min(options.len())).nth(1);
    Ok(Some(value.with_context(|| format!("{name} needs a value"))?.to_string_lossy().into_owned()))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut arguments = std::env::args_os().skip(1);
    let node = arguments
        .next()
        .map(PathBuf::from)
        .context("usage: bench PATH-TO-datamesh-node [OPTION-OF-dev...]")?;
    let mut options: Vec<_> = arguments.collect();
    let profile = taken(&mut options, "--profile")?;
    let profile = Profile::of(profile.as_deref())?;
    let wanted = taken(&mut options, "--rows")?.unwrap_or_default();
    let folder = tempfile::Builder::new().prefix("datamesh-bench").tempdir()?;
    let server = Server::start(&node, folder.path(), &options).await?;
    let load = Load::new(&server)?;
    let over_s3 = load.over_s3(&server).await?;
    let mut rows = Vec::new();
    let rounds = ROUNDS.iter().map(|round| (&load, round));
    let rounds = rounds.chain(S3_ROUNDS.iter().map(|round| (&over_s3, round)));
    for (load, round) in rounds.filter(|(_, round)| round.name.contains(&wanted)) {
        let before = server.measure().await?;
        let sampling = profile.begin(round.name, &before.pids())?;
        let timing = load.run(round).await.with_context(|| round.name)?;
        let after = server.measure().await?;
        sampling.end().await?;
        rows.push(report::row(round, &timing, &before, &after));
    }
    let is_wanted = |part: &str| wanted.is_empty() || wanted == part;
    if is_wanted(GONE) || is_wanted(LOST) {
        trouble::stored(&server, &load, &mut rows).await?;
    }
    if is_wanted(GONE) {
        trouble::gone(&server, &load, &mut rows).await?;
    }
    if is_wanted(LOST) {
        trouble::lost(&server, &load, &profile, &mut rows).await?;
    }
    report::print(&rows);
    if is_wanted(IDLE) {
        idle::connections(&server).await?;
    }
    server.stop().await
}
