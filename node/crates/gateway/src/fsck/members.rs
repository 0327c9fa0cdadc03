//! What the members of a pool say that they have.

use std::time::Duration;

use datamesh_exchange::inventory::{Inventory, Progress};
use datamesh_exchange::message::{Request, Response};
use datamesh_exchange::net::Net;
use datamesh_placement::{Table, segments_of};
use datamesh_shard::{Held, PeerKey, SegmentHeader, SegmentId, ShardIndex, ShardKey, ShardSet};

/// Patience with one answer.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Rows of one member's inventory of a partition at most, as stewards have it.
const ROWS_MAX: usize = 1 << 17;

/// All that a member has of a partition; `None` when it does not say.
pub(super) async fn inventory(
    net: &dyn Net,
    table: &Table,
    peer: PeerKey,
    partition: u32,
) -> Option<Vec<Held>> {
    let partitions_log2 = table.layout().partitions_log2;
    let mut inventory = Inventory::of(segments_of(partitions_log2, partition)?, ROWS_MAX);
    loop {
        let request = Request::Inventory { partitions_log2, partition, after: inventory.after() };
        let Ok((Response::Inventory(page), _)) = net.request(&peer, request, None, TIMEOUT).await else {
            return None;
        };
        match inventory.take(page).ok()? {
            Progress::Next(next) => inventory = next,
            Progress::Whole(all) => return Some(all),
        }
    }
}

/// The shards of a segment that a member has; `None` when it does not say.
pub(super) async fn located(net: &dyn Net, peer: PeerKey, segment: SegmentId) -> Option<ShardSet> {
    match net.request(&peer, Request::Locate { segment }, None, TIMEOUT).await {
        Ok((Response::Located(found), _)) => Some(found.into_iter().collect()),
        _ => None,
    }
}

/// What a shard says of its segment; `None` when it cannot be had, or says it of another.
pub(super) async fn header(
    net: &dyn Net,
    peer: PeerKey,
    segment: SegmentId,
    index: ShardIndex,
) -> Option<SegmentHeader> {
    let request = Request::Get { key: ShardKey { segment, index } };
    let Ok((Response::Shard { header }, _)) = net.request(&peer, request, None, TIMEOUT).await else {
        return None;
    };
    SegmentHeader::decode(&header).ok().filter(|header| header.id() == segment)
}
