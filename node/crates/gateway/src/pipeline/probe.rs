//! Measures members that are slow, by requests that nobody waits for: so it shows when they are well again.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use datamesh_exchange::message::Request;
use datamesh_shard::{PeerKey, ShardIndex, ShardKey};

use super::context::Context;
use super::spread::Spread;
use crate::pools::ended;
use crate::pools::reputation::Asked;

/// Patience with one: long enough to tell a slow disk from a dead one.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Sends slow holders, which others stand in for, the shards that belong to them all the same: what arrives need not be
/// brought home later.
pub(super) fn put(context: &Arc<Context>, spread: &Spread) {
    for (shard, holder) in (0..).map(ShardIndex).zip(spread.holders()) {
        let Some(peer) = spread.peer(*holder).filter(|_| !spread.plan.assignment.contains(holder)) else {
            continue;
        };
        let Some(payload) = spread.shards.get(shard.at()) else { continue };
        if context.pools.begin_probe(&peer, Asked::Put) {
            // A copy: the shards of a segment lie in one buffer of the budget, which is not to wait for a slow disk.
            let payload = Bytes::copy_from_slice(payload);
            send(context, peer, Asked::Put, (spread.request(shard), Some(payload)));
        }
    }
}

/// Reads a shard that others were asked for in place of.
pub(super) fn get(context: &Context, peer: PeerKey, key: ShardKey) {
    if context.pools.begin_probe(&peer, Asked::Get) {
        send(context, peer, Asked::Get, (Request::Get { key }, None));
    }
}

fn send(context: &Context, peer: PeerKey, asked: Asked, (request, payload): (Request, Option<Bytes>)) {
    let (net, pools) = (Arc::clone(&context.net), Arc::clone(&context.pools));
    context.spawn_tail(async move {
        let timing = pools.probe(peer, asked);
        let answer = net.request(&peer, request, payload, TIMEOUT).await;
        timing.end(ended(&answer));
    });
}
