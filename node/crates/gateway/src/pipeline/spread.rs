//! Places the shards of one segment on the nodes: drives a [`PutMachine`] against the mesh.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use datamesh_exchange::message::{Request, Response};
use datamesh_exchange::{Ack, PutAction, PutDeadlines, PutFailure, PutMachine, PutPlan, SendFailure};
use datamesh_placement::Table;
use datamesh_shard::{Generation, PeerKey, PoolName, SegmentId, ShardIndex, ShardKey};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use crate::metrics::Written;
use crate::pools::ended;
use crate::pools::reputation::Asked;

/// How patient a put is. A node answers after its group fdatasync: tens of milliseconds when all is well.
pub(super) const DEADLINES: PutDeadlines = PutDeadlines {
    late: Duration::from_secs(2),
    tail: Duration::from_secs(3),
    retry: Duration::from_secs(1),
    give_up: Duration::from_secs(20),
};
/// The transport's own patience with one shard: longer than the machine's, so that a late success still counts.
const SEND_TIMEOUT: Duration = Duration::from_secs(15);

/// One segment on its way to the nodes.
pub(super) struct Spread {
    pub(super) pool: PoolName,
    pub(super) table: Arc<Table>,
    pub(super) generation: Generation,
    pub(super) segment: SegmentId,
    pub(super) header: Bytes,
    pub(super) shards: Vec<Bytes>,
    pub(super) plan: PutPlan,
}

type Sent = (ShardIndex, u16, Result<(), SendFailure>);

impl Spread {
    /// Sends until the segment is whole or its time is up. The first of acknowledgement and failure goes to `tell`;
    /// what is missing after a short acknowledgement is tried on. `abandon` ends a put nobody waits for any more,
    /// unless it has been acknowledged.
    pub(super) async fn run(
        self,
        context: Arc<Context>,
        tell: oneshot::Sender<Result<Ack, PutFailure>>,
        abandon: CancellationToken,
    ) {
        let (begun, metrics) = (Instant::now(), &context.metrics);
        let mut machine = PutMachine::new(self.plan.clone(), Duration::ZERO);
        let mut tell = Some(tell);
        let mut sends: FuturesUnordered<BoxFuture<'_, Sent>> = FuturesUnordered::new();
        let mut handed_off = false;
        loop {
            for action in machine.next(begun.elapsed()) {
                match action {
                    PutAction::Send { shard, to } => sends.push(Box::pin(self.send(&context, shard, to))),
                    PutAction::Acknowledge(ack) => {
                        metrics.segment(self.pool.as_str(), self.written(&context, ack));
                        answer(&mut tell, Ok(ack));
                    }
                    PutAction::Fail(failure) => {
                        metrics.segment(self.pool.as_str(), Written::Failed);
                        answer(&mut tell, Err(failure));
                    }
                    PutAction::Finished => {
                        self.judge(&context, !handed_off && machine.missing().is_empty());
                        self.report_missing(&machine);
                    }
                }
            }
            let Some(wake) = machine.wake_at() else { break };
            tokio::select! {
                // In this order, here as in every select of the core: tokio would draw another one each time, out of no
                // seed of ours, and no run could be repeated. Answers come before the timer, so that one that is there
                // counts as in time; they are few, and the machine looks at the clock after each, so the timer misses
                // nothing.
                biased;
                () = abandon.cancelled(), if tell.is_some() => break,
                Some((shard, to, sent)) = sends.next() => match sent {
                    Ok(()) => {
                        handed_off |= !self.is_home(shard, to);
                        machine.on_stored(shard, to);
                    }
                    Err(failure) => {
                        metrics.shard_error(self.pool.as_str(), "put", reason(&failure));
                        tracing::debug!(segment = ?self.segment, %shard, node = %self.node(to), %failure, "shard not stored");
                        machine.on_failed(shard, to, failure, begun.elapsed());
                    }
                },
                () = tokio::time::sleep_until(begun + wake) => {}
            }
        }
    }

    /// A member's key.
    pub(super) fn peer(&self, member: u16) -> Option<PeerKey> {
        self.table.layout().members.get(usize::from(member)).map(|member| member.peer)
    }

    fn node(&self, member: u16) -> &str {
        self.table.layout().members.get(usize::from(member)).map_or("?", |member| member.node.as_str())
    }

    /// What is sent with a shard.
    pub(super) fn request(&self, shard: ShardIndex) -> Request {
        Request::Put {
            key: ShardKey { segment: self.segment, index: shard },
            pool: self.pool.clone(),
            epoch: self.table.layout().epoch,
            generation: self.generation,
            header: self.header.clone(),
        }
    }

    async fn send(&self, context: &Context, shard: ShardIndex, to: u16) -> Sent {
        let (Some(peer), Some(payload)) = (self.peer(to), self.shards.get(shard.at())) else {
            return (shard, to, Err(SendFailure::Unreachable));
        };
        let timing = context.pools.timing(peer, Asked::Put);
        let answer =
            context.net.request(&peer, self.request(shard), Some(payload.clone()), SEND_TIMEOUT).await;
        timing.end(ended(&answer));
        let sent = match answer {
            Ok((Response::Done, _)) => Ok(()),
            Ok((Response::Refused(refusal), _)) => Err(SendFailure::from(refusal)),
            Ok(_) | Err(_) => Err(SendFailure::Unreachable),
        };
        (shard, to, sent)
    }

    /// The members its shards belong to.
    pub(super) fn holders(&self) -> &[u16] {
        self.table.holders_of(self.plan.profile, self.table.partition_of(self.segment))
    }

    /// Whether a shard belongs to this member.
    fn is_home(&self, shard: ShardIndex, member: u16) -> bool {
        self.holders().get(shard.at()) == Some(&member)
    }

    fn written(&self, context: &Context, ack: Ack) -> Written {
        match ack {
            Ack::Whole => Written::Whole,
            Ack::Short { .. } => {
                context.damage.short_put(&self.pool, self.segment);
                Written::Short
            }
        }
    }

    /// Where not all shards are where they belong, their steward need not find that out by itself.
    fn judge(&self, context: &Context, is_whole: bool) {
        match is_whole {
            true => context.damage.is_whole(&self.pool, self.segment),
            false => context.damage.alarms.raise(&self.pool, self.segment),
        }
    }

    fn report_missing(&self, machine: &PutMachine) {
        let missing = machine.missing();
        if !missing.is_empty() {
            let missing = missing.len();
            tracing::warn!(segment = %self.segment, pool = %self.pool, missing, "segment stays short until it is repaired");
        }
    }
}

fn answer(tell: &mut Option<oneshot::Sender<Result<Ack, PutFailure>>>, outcome: Result<Ack, PutFailure>) {
    if let Some(tell) = tell.take() {
        // Whoever asked may be gone: the shards are garbage then, and their upload will be reclaimed.
        let _ = tell.send(outcome);
    }
}

fn reason(failure: &SendFailure) -> &'static str {
    match failure {
        SendFailure::Unreachable => "unreachable",
        SendFailure::Busy => "busy",
        SendFailure::Full => "full",
        SendFailure::StaleEpoch(_) => "stale-epoch",
        SendFailure::StaleGeneration => "stale-generation",
        SendFailure::Refused(_) => "refused",
    }
}
