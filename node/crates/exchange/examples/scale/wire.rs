//! Bytes of real messages, encoded as they are sent.

use datamesh_exchange::digest::{Digest, Question};
use datamesh_exchange::message::{INVENTORY_ROWS_MAX, PartitionCount, Request, Response, Stewardship};
use datamesh_exchange::survey::Tolerances;
use datamesh_settings::admin::NodeReport;
use datamesh_settings::mesh::{MeshView, PeerView, Sight};
use datamesh_shard::{Epoch, Generation, Held, Incarnation, PeerKey, SegmentId, ShardIndex};

use crate::inputs::profile;

/// Bytes of a membership certificate (golden files of `seal`: 127 with a short name), and of what TLS, TCP and IP put
/// around a message.
const CERTIFICATE_BYTES: usize = 127;
const AROUND_BYTES: usize = 22 + 52;
/// Generations count the catalog's commits: of some hundred million.
const GENERATION: Generation = Generation(200_000_000);

fn request(request: &Request) -> f64 {
    float(request.encode(0).expect("a request").len() + AROUND_BYTES)
}

fn response(response: &Response) -> f64 {
    float(response.encode(0).expect("a response").len() + AROUND_BYTES)
}

/// Counts here are far below 2^53, from where on a double has gaps.
#[allow(clippy::cast_precision_loss, reason = "see above")]
pub(crate) fn float(count: usize) -> f64 {
    count as f64
}

/// One greeting, there and back.
pub(crate) fn greeting() -> f64 {
    let certificate = Some(vec![0; CERTIFICATE_BYTES]);
    let incarnation = Incarnation(100);
    request(&Request::Hello { certificate: certificate.clone(), incarnation })
        + response(&Response::Hello { certificate, incarnation })
}

/// A question for an inventory and an answer that says nothing is there.
pub(crate) fn empty_inventory() -> f64 {
    let asked = Request::Inventory { partitions_log2: 16, partition: 40_000, after: None };
    request(&asked) + response(&Response::Inventory(vec![]))
}

/// A question for digests of so many partitions, and its answer.
pub(crate) fn digests_of(partitions: usize) -> f64 {
    let shards = [ShardIndex(3)].into_iter().collect();
    let of = vec![(40_000, shards); partitions];
    let asked = Question { partitions_log2: 16, ranges_log2: 0, profile: profile(), partitions: of };
    let digest = Digest { expected: 24_000, ids: [0xa5; 32], others: 0 };
    request(&Request::Digests(asked)) + response(&Response::Digests(vec![digest; partitions]))
}

/// Bytes of one row of a full page.
pub(crate) fn inventory_row() -> f64 {
    let row = |_| Held {
        segment: SegmentId([0xa5; 32]),
        profile: profile(),
        generation: GENERATION,
        shards: [ShardIndex(3)].into_iter().collect(),
    };
    response(&Response::Inventory((0..INVENTORY_ROWS_MAX).map(row).collect())) / float(INVENTORY_ROWS_MAX)
}

/// What a gateway asks one node each time, and is answered.
pub(crate) fn poll(stewarded: u64) -> f64 {
    let report = NodeReport {
        incarnation: Incarnation(100),
        shards: 152_587_890,
        shard_bytes: 10_000_000_000_000,
        capacity_bytes: 12_000_000_000_000,
        free_bytes: 2_000_000_000_000,
        accepting: true,
        corrupt_shards: 0,
        epoch: Some(Epoch(1000)),
        arriving: 0,
        scrub: None,
    };
    let count = |partition| PartitionCount {
        partition,
        age_seconds: 300,
        silent: 0,
        tolerances: Tolerances {
            segments: vec![0, 0, 150_000][..=profile().m()].to_vec(),
            short: vec![0; profile().m() + 1],
            ..Tolerances::default()
        },
    };
    let counts = (0..u32::try_from(stewarded).unwrap_or(u32::MAX)).map(|at| count(at + 60_000)).collect();
    let stewardship = Stewardship { epoch: Some(Epoch(1000)), counts, ..Stewardship::default() };
    request(&Request::Report)
        + response(&Response::Report(report))
        + request(&Request::Stewardship { after: None })
        + response(&Response::Stewardship(stewardship))
}

/// What one node sees of the others.
pub(crate) fn mesh_view(nodes: usize) -> f64 {
    let sight = Sight { live: true, rtt_micros: Some(420), read_p95_micros: Some(17_500) };
    let peers = (1..nodes).map(|_| PeerView { peer: PeerKey([0xa5; 32]), sight }).collect();
    let view = MeshView { version: env!("CARGO_PKG_VERSION").to_owned(), now_unix: 1_795_000_000, peers };
    response(&Response::Mesh(view))
}

/// Bytes of a number as postcard writes it: seven bits each.
fn varint(number: u64) -> usize {
    usize::try_from((u64::BITS - number.leading_zeros()).max(1).div_ceil(7)).unwrap_or_default()
}

/// k and m, behind the other fields.
const PROFILE_BYTES: usize = 2;

/// Bytes of a shard's row in the index of a store, without its key: version, `ShardRow`'s fields in their order.
pub(crate) fn shard_row(log: u64, offset: u64, header: u64, payload: u64, generation: u64) -> usize {
    let numbers = [log, offset, header, payload, generation].map(varint);
    1 + numbers.iter().sum::<usize>() + 1 + PROFILE_BYTES
}

/// The same for a store in the middle of its logs.
pub(crate) fn usual_shard_row(logs: f64, log_bytes: f64, header: f64, payload: f64) -> usize {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "all are positive and far below 2^53"
    )]
    let [log, offset, header, payload] =
        [logs / 2.0, log_bytes / 2.0, header, payload].map(|number| number as u64);
    shard_row(log, offset, header, payload, GENERATION.0)
}
