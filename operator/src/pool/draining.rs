//! What the status says of nodes that give their shards away: a list with numbers, and one condition. Pure.

use datamesh_crds::{DrainingNode, StoragePool, condition};
use datamesh_settings::admin::{DrainStatus, MemberStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;

use super::gateway::{Answer, Untold};
use super::leaving::{Leaving, Step, went_back};
use crate::conditions::Verdict;
use crate::names;

#[cfg(test)]
mod tests;

/// Nodes listed at most; all are counted in the condition.
pub(super) const LISTED_MAX: usize = 100;
/// Nodes named in a message at most; more are counted.
const NAMED_MAX: usize = 8;
/// Characters of one node's message at most, as the definition says.
const MESSAGE_CHARS_MAX: usize = 500;

/// Its pod and volume are being removed.
const REMOVING: &str = "Removing";
/// The gateway does not say how it is.
const UNKNOWN: &str = "Unknown";

/// All nodes that leave or are drained, with what is known of each.
pub(super) fn nodes(pool: &StoragePool, leaving: &[Leaving<'_>], answer: &Answer) -> Vec<DrainingNode> {
    let members = answer.pool(&pool.name_any()).map_or(&[][..], |known| &known.members);
    let known = |node: &str| members.iter().find(|member| member.node.as_str() == node);
    let mut all: Vec<DrainingNode> = leaving
        .iter()
        .map(|leaves| one_that_leaves(pool, leaves, known(leaves.identity.node.as_str()), answer))
        .collect();
    let rest = members.iter().filter(|member| all.iter().all(|listed| listed.node != member.node.as_str()));
    let rest: Vec<DrainingNode> = rest.filter_map(|member| drained_otherwise(pool, member)).collect();
    all.extend(rest);
    all
}

/// A node beyond `replicas` of which something exists.
fn one_that_leaves(
    pool: &StoragePool,
    leaving: &Leaving<'_>,
    member: Option<&MemberStatus>,
    answer: &Answer,
) -> DrainingNode {
    let node = leaving.identity.node.to_string();
    let bare = |state: &str, message: String| DrainingNode {
        node: node.clone(),
        leaves: true,
        state: state.into(),
        message: Some(bounded(&message)),
        ..DrainingNode::default()
    };
    match (leaving.step, member.and_then(|member| member.drain.as_ref())) {
        (Step::RemovePod | Step::RemoveVolume | Step::Await, _) => {
            bare(REMOVING, format!("It is empty and in no layout; {}.", being_removed(leaving)))
        }
        (Step::Keep | Step::Stay, Some(drain)) => in_numbers(node, true, drain),
        (Step::Keep | Step::Stay, None) => bare(UNKNOWN, unsaid(pool, answer)),
    }
}

/// What of a node that has left is on its way out, and who holds it up.
fn being_removed(leaving: &Leaving<'_>) -> String {
    let on_its_way = |what: &str, meta: &ObjectMeta| {
        let since = meta.deletion_timestamp.as_ref()?;
        let held = meta.finalizers.as_deref().unwrap_or_default().join(", ");
        Some(format!("{what} was deleted at {} and waits for {held}", since.0))
    };
    let set = leaving.set.and_then(|set| on_its_way("its StatefulSet", &set.metadata));
    let claim = leaving.claim.and_then(|claim| on_its_way("its volume claim", &claim.metadata));
    match leaving.step {
        Step::RemoveVolume => "its pod is gone, its volume is being removed".into(),
        Step::Await => set.or(claim).unwrap_or_else(|| "what is left of it is being removed".into()),
        _ => "its pod is being removed".into(),
    }
}

/// One that an administrator drains, or one beyond `replicas` of which nothing exists.
fn drained_otherwise(pool: &StoragePool, member: &MemberStatus) -> Option<DrainingNode> {
    let (node, drain) = (member.node.to_string(), member.drain.as_ref()?);
    let ordinal = names::ordinal_of(&node, &pool.spec.cluster_ref, &pool.name_any());
    let ordinal = ordinal.filter(|ordinal| i32::from(*ordinal) >= pool.spec.replicas);
    let mut shown = in_numbers(node, ordinal.is_some(), drain);
    if let Some(ordinal) = ordinal {
        shown.message = Some(format!(
            "Neither its pod nor its volume exists, so it gives nothing away. If they are lost for good, \
             `datamesh node replace {node} --volume-is-lost` has it left out and its shards rebuilt; if not, set replicas to \
             {least} or more.",
            least = u32::from(ordinal) + 1,
            node = shown.node,
        ));
    }
    Some(shown)
}

fn in_numbers(node: String, leaves: bool, drain: &DrainStatus) -> DrainingNode {
    let number = |value: u64| i64::try_from(value).ok();
    let message = drain.waits_for.join(" ");
    DrainingNode {
        node,
        leaves,
        state: format!("{:?}", drain.state),
        bytes_left: drain.left_bytes.and_then(number),
        bytes_total: drain.left_bytes.and_then(|left| number(left.saturating_add(drain.moved_bytes))),
        estimated_seconds_left: drain.eta_seconds.and_then(number),
        message: (!message.is_empty()).then(|| bounded(&message)),
    }
}

/// Why nobody can say how a node that leaves is, so that nothing of it is deleted.
fn unsaid(pool: &StoragePool, answer: &Answer) -> String {
    let known = answer.pool(&pool.name_any());
    let seen = pool.status.as_ref().and_then(|status| u64::try_from(status.epoch?).ok());
    let why = match (answer.told(), answer.status(), known) {
        (Some(Err(Untold::Refused(words))), ..) => format!("The gateway refuses the pool: {words}"),
        (Some(Err(Untold::Away(why))), ..) => why.clone(),
        (_, Err(error), _) => error.to_string(),
        (.., Some(known)) if went_back(known, seen) => format!(
            "The gateway's catalog is older than a layout seen before ({} then), so it may not know what this node has. If \
             it shall be kept, raise replicas again.",
            seen.unwrap_or_default()
        ),
        (.., Some(known)) if known.epoch.is_none() => "The pool has no layout yet.".into(),
        _ => "The operator changes nothing now; the condition Progressing says why.".into(),
    };
    format!("{}. Nothing of it is deleted.", why.trim_end_matches('.'))
}

/// `1 node beyond replicas leaves: demo-main-6; status.draining says how far it is.`
pub(super) fn leaving(leaving: &[Leaving<'_>]) -> String {
    let names = named(leaving.iter().map(|node| node.identity.node.to_string()));
    let count = match leaving.len() {
        1 => "1 node beyond replicas leaves".to_owned(),
        n => format!("{n} nodes beyond replicas leave"),
    };
    format!("{count}: {names}; status.draining says how far this is.")
}

/// The Draining condition.
pub(super) fn verdict(nodes: &[DrainingNode], answer: &Answer) -> Verdict {
    let any = |states: &[&str]| nodes.iter().any(|node| states.contains(&node.state.as_str()));
    let all = named(nodes.iter().map(in_words));
    if let (Some(Err(Untold::Refused(words))), true) = (answer.told(), nodes.iter().any(|node| node.leaves)) {
        let text = format!("Nodes beyond replicas cannot leave, the gateway refuses the pool: {words}");
        return Verdict::yes(condition::DRAINING, "Refused", text);
    }
    if let Err(error) = answer.status() {
        let stay = named(nodes.iter().map(|node| node.node.clone()));
        let stay = if stay.is_empty() { stay } else { format!(" Nothing is deleted of {stay}.") };
        return Verdict::unknown(
            condition::DRAINING,
            "GatewayUnreachable",
            format!("Nobody can say: {error}.{stay}"),
        );
    }
    if any(&["Stalled"]) {
        return Verdict::yes(condition::DRAINING, "Stalled", format!("Nothing leaves some nodes. {all}"));
    }
    if any(&[UNKNOWN]) {
        return Verdict::unknown(condition::DRAINING, "NotKnown", all);
    }
    if any(&["Pending", "Moving"]) {
        return Verdict::yes(condition::DRAINING, "MovingData", all);
    }
    if nodes.iter().any(|node| node.leaves) {
        return Verdict::yes(condition::DRAINING, "RemovingNodes", all);
    }
    if nodes.is_empty() {
        return Verdict::no(condition::DRAINING, "NotDraining", "No node leaves or is drained.");
    }
    let text =
        format!("Their pods and volumes may go; `datamesh node undrain` has them take shards again. {all}");
    Verdict::no(condition::DRAINING, "Drained", text)
}

/// `demo-main-6 (Moving, 12 of 40 MiB left, about 30 s): what it waits for`.
fn in_words(node: &DrainingNode) -> String {
    let mut facts = vec![node.state.clone()];
    if let (Some(left), Some(total)) = (node.bytes_left, node.bytes_total) {
        facts.push(format!("{} of {} MiB left", mebibytes(left), mebibytes(total)));
    }
    facts.extend(node.estimated_seconds_left.map(|seconds| format!("about {seconds} s")));
    let message = node.message.as_ref().map_or_else(String::new, |message| format!(": {message}"));
    format!("{} ({}){message}", node.node, facts.join(", "))
}

/// Rounded up: 0 only when nothing is left.
fn mebibytes(bytes: i64) -> i64 {
    bytes.saturating_add((1 << 20) - 1) >> 20
}

fn named(all: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = all.collect();
    let named = all[..all.len().min(NAMED_MAX)].join("; ");
    match all.len().saturating_sub(NAMED_MAX) {
        0 => named,
        more => format!("{named}; and {more} more"),
    }
}

fn bounded(message: &str) -> String {
    message.chars().take(MESSAGE_CHARS_MAX).collect()
}
