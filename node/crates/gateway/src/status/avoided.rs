//! Who is avoided, said for people.

use std::time::Duration;

use datamesh_settings::admin::{AvoidedReason, AvoidedStatus};
use datamesh_shard::NodeName;
use tokio::time::Instant;

use crate::pools::reputation::{Asked, Avoided, Why, Window};

/// What the status says of a member that is avoided.
pub(super) fn told(node: &NodeName, avoided: &Avoided, now: Instant) -> AvoidedStatus {
    let (reason, detail) = match avoided.why {
        Why::Slow { asked, window } => (AvoidedReason::Slow, slow(asked, &window)),
        Why::Quarantined { wrong, until } => {
            (AvoidedReason::WrongAnswers, quarantined(node, wrong, until.duration_since(now)))
        }
    };
    AvoidedStatus { reason, seconds: now.duration_since(avoided.since).as_secs(), detail }
}

fn slow(asked: Asked, window: &Window) -> String {
    let kind = if asked == Asked::Put { "writes" } else { "reads" };
    let failed = match window.failed {
        0 => String::new(),
        failed => format!(" {failed} of the last {} {kind} failed.", window.requests),
    };
    format!(
        "is slow: its {kind} take {} ms, those of half of the other nodes {} ms at most.{failed} It is read last, and others take \
         its shards where that costs no safety, until it is as quick as they are. Look at its disk and at the way to it.",
        window.mean.as_millis(),
        window.others.as_millis().max(1)
    )
}

fn quarantined(node: &NodeName, wrong: u32, left: Duration) -> String {
    format!(
        "is quarantined: {wrong} shards it gave did not match their proofs. Nothing wrong was given out; others took their place. \
         Its memory is broken, it lies, or the network changes what it sends. It is read last and spared for another {} min, or \
         until it is restarted; one wrong answer more and it is quarantined again. If so, drain it (datamesh node drain {node}).",
        left.as_secs().div_ceil(60)
    )
}
