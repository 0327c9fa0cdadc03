//! Nodes beyond `replicas`: they leave. Pure.
//!
//! The gateway drains whom it is not told of any more, and leaves a node out of the layout once that is proven to be empty.
//! What exists in Kubernetes beyond `replicas` is the list of what is still to be done, so nothing else has to be remembered:
//! pod first, volume last, each step on the gateway's word of the same pass.

use datamesh_settings::admin::PoolStatus;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;

use super::dereference::Found;
use super::gateway::Answer;
use super::validate::{Identity, ValidPool};
use crate::names;
use crate::presence::Presence;

#[cfg(test)]
pub(super) mod tests;

/// One node that leaves.
#[derive(Clone, Debug)]
pub(crate) struct Leaving<'a> {
    pub(crate) identity: &'a Identity,
    pub(crate) set: Option<&'a StatefulSet>,
    pub(crate) claim: Option<&'a PersistentVolumeClaim>,
    pub(crate) step: Step,
}

/// What is to be done with it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It is a member of the layout still: it is kept like all others.
    Keep,
    /// Nobody says what it is: what exists stays as it is.
    Stay,
    /// It is in no layout any more: its pod goes.
    RemovePod,
    /// The pod is gone: what it was started with goes, and its volume.
    RemoveVolume,
    /// What was deleted is not gone yet.
    Await,
}

/// What a node is to the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Nobody can say.
    Unknown,
    /// In the layout.
    Member,
    /// In no layout, and not wanted either.
    Gone,
}

/// Decides it for all nodes beyond `replicas`.
pub(crate) fn decide<'a>(pool: &'a ValidPool, found: &'a Found, answer: &Answer) -> Vec<Leaving<'a>> {
    let word = answer.word(pool.name.as_str());
    let decide_one = |identity: &'a Identity| {
        let (set, claim) = remains(found, identity.node.as_str());
        let step = step(standing(identity, word, pool.epoch_seen), Presence::of(set), Presence::of(claim));
        Leaving { identity, set, claim, step }
    };
    pool.leaving.iter().map(decide_one).collect()
}

/// What exists of a node.
pub(super) fn remains<'a>(
    found: &'a Found,
    node: &str,
) -> (Option<&'a StatefulSet>, Option<&'a PersistentVolumeClaim>) {
    let claim = names::claim(node);
    (
        found.stateful_sets.iter().find(|set| set.name_any() == node),
        found.volumes.iter().find(|volume| volume.name_any() == claim),
    )
}

/// Whether a deleted pod or volume of a node has to be gone before it can be made anew.
pub(super) fn is_going(found: &Found, node: &str) -> bool {
    let (set, claim) = remains(found, node);
    match Presence::of(set) {
        Presence::Going => true,
        // A volume that is deleted below a running pod waits for that pod, which is not ours to stop.
        Presence::Present => false,
        Presence::Absent => Presence::of(claim) == Presence::Going,
    }
}

/// Whether the gateway has gone back behind a layout that was seen before: an older catalog does not know who has data.
pub(super) fn went_back(known: &PoolStatus, seen: Option<u64>) -> bool {
    seen.is_some_and(|seen| known.epoch.is_some_and(|now| now.0 < seen))
}

fn standing(identity: &Identity, word: Option<&PoolStatus>, seen: Option<u64>) -> Standing {
    match word {
        Some(pool) if pool.epoch.is_none() || went_back(pool, seen) => Standing::Unknown,
        Some(pool) if pool.members.iter().any(|member| member.node == identity.node) => Standing::Member,
        Some(_) => Standing::Gone,
        None => Standing::Unknown,
    }
}

fn step(standing: Standing, set: Presence, claim: Presence) -> Step {
    match (standing, set, claim) {
        (Standing::Member, Presence::Present, _)
        // After the pool was deleted and applied again with fewer nodes: without its pod it gives nothing away.
        | (Standing::Member, Presence::Absent, Presence::Present) => Step::Keep,
        (Standing::Unknown | Standing::Member, ..) => Step::Stay,
        (Standing::Gone, Presence::Present, _) => Step::RemovePod,
        (Standing::Gone, Presence::Absent, Presence::Present) => Step::RemoveVolume,
        (Standing::Gone, ..) => Step::Await,
    }
}
