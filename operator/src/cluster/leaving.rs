//! Gateways beyond `gateway.replicas`: they leave. Pure.
//!
//! What exists in Kubernetes beyond `replicas` is the list of what is still to be done, so nothing else has to be remembered. While
//! gateways keep the catalog together, all of them are told who leaves, one at a time like any change; those that leave serve no client
//! from then on, and lose their votes together once all that stay have everything. On a gateway's word of the same pass that they have,
//! for good, their pods go, and then their volumes: a volume that is not there cannot come back with an old vote.

use datamesh_crds::label;
use datamesh_settings::admin::{CatalogMemberState, ClusterStatus};
use datamesh_shard::{NameError, NodeName};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;

use super::build::GatewayObjects;
use super::dereference::Found;
use super::validate::ValidCluster;
use super::verdicts::Answer;
use crate::meta::Family;
use crate::names;
use crate::outcome::Outcome;
use crate::pod::running::{template_hash, unready};
use crate::presence::Presence;

#[cfg(test)]
mod tests;

/// Gateways there may ever have been: what is named after a further one is not ours.
const GATEWAYS_MAX: u16 = 5;

/// Who is beyond `replicas`, by what exists: all from there to the last, whether or not those between exist any more. The list changes
/// only with its end, and with it the settings of those that stay.
pub(super) fn beyond(replicas: i32, family: &Family, found: &Found) -> Result<Vec<NodeName>, NameError> {
    let volumes = found.volumes.iter().filter(|volume| !volume.labels().contains_key(label::POOL));
    let claimants = volumes.filter_map(|volume| names::claimant(volume.metadata.name.as_deref()?));
    let sets = found.gateways.iter().filter_map(|set| set.metadata.name.as_deref());
    let ordinals = claimants.chain(sets).filter_map(|name| names::gateway_ordinal(name, &family.cluster));
    let last = ordinals.filter(|ordinal| *ordinal <= GATEWAYS_MAX).max().unwrap_or(0);
    let first = u16::try_from(replicas).unwrap_or(1) + 1;
    (first..=last).map(|ordinal| NodeName::new(&names::nth_gateway(&family.cluster, ordinal))).collect()
}

/// Whether one of those that stay may know those beyond, so that they may have votes. One that does not exist may have known them.
pub(super) fn were_known(stay: &[NodeName], found: &Found) -> bool {
    let knows = |set: &StatefulSet| told(set) > stay.len() || leaving_of(set).is_some();
    stay.iter().any(|name| found.gateway(name.as_str()).is_none_or(knows))
}

/// Of how many gateways that stay a gateway's settings tell it.
pub(super) fn told(set: &StatefulSet) -> usize {
    set.annotations().get(label::GATEWAYS_TOLD).and_then(|told| told.parse().ok()).unwrap_or(1)
}

fn leaving_of(set: &StatefulSet) -> Option<&str> {
    set.annotations().get(label::GATEWAYS_LEAVING).map(String::as_str)
}

/// Whether a gateway's settings tell it that it leaves: then it is not ready, and that is as it should be.
pub(super) fn is_told_to_leave(set: &StatefulSet) -> bool {
    leaving_of(set) == Some(label::LEAVING_ITSELF)
}

/// One gateway that leaves.
#[derive(Clone, Debug)]
pub(super) struct Leaving<'a> {
    pub(super) name: &'a str,
    pub(super) set: Option<&'a StatefulSet>,
    pub(super) claim: Option<&'a PersistentVolumeClaim>,
    pub(super) step: Step,
}

/// What is to be done with it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Its vote may be needed still: it is kept like all others.
    Keep,
    /// What exists of it stays as it is.
    Stay,
    /// It has no part in the catalog any more: its pod goes.
    RemovePod,
    /// The pod is gone: its settings go, and its volume.
    RemoveVolume,
    /// What was deleted is not gone yet.
    Await,
    /// Nothing of it exists.
    Gone,
}

/// What exists of a gateway.
pub(super) fn remains<'a>(
    found: &'a Found,
    name: &str,
) -> (Option<&'a StatefulSet>, Option<&'a PersistentVolumeClaim>) {
    let claim = names::claim(name);
    (found.gateway(name), found.volumes.iter().find(|volume| volume.name_any() == claim))
}

/// Whether what was deleted of a gateway has to be gone before it can be made anew.
pub(super) fn is_going(found: &Found, name: &str) -> bool {
    let (set, claim) = remains(found, name);
    match Presence::of(set) {
        Presence::Going => true,
        Presence::Present => false,
        Presence::Absent => Presence::of(claim) == Presence::Going,
    }
}

/// Decides it for all of them. `gateways` is what they and those that stay are to be.
pub(super) fn decide<'a>(
    cluster: &'a ValidCluster,
    gateways: &[GatewayObjects],
    found: &'a Found,
    answer: &Answer,
) -> Vec<Leaving<'a>> {
    let settled = are_settled(gateways, found);
    let may_go =
        settled && (!cluster.leaving_known || answer.as_ref().is_ok_and(|said| say_so(cluster, said)));
    let decide_one = |name: &'a NodeName| {
        let (set, claim) = remains(found, name.as_str());
        let step = match step(Presence::of(set), Presence::of(claim), may_go) {
            // It was begun to be removed, or never had a part: its vote is not what those that stay miss.
            Step::Keep if !cluster.leaving_known || settled && set.is_none() => Step::Stay,
            step => step,
        };
        Leaving { name: name.as_str(), set, claim, step }
    };
    let mut leaving: Vec<Leaving<'a>> = cluster.leaving.iter().map(decide_one).collect();
    hold_the_last(&mut leaving);
    leaving
}

/// Whether all that stay run what they are to run, and so know who leaves.
fn are_settled(gateways: &[GatewayObjects], found: &Found) -> bool {
    gateways.iter().filter(|gateway| !gateway.leaves).all(|gateway| {
        let runs = |set: &StatefulSet| {
            template_hash(set) == template_hash(&gateway.stateful_set) && unready(set).is_none()
        };
        found.gateway(&gateway.name()).is_some_and(runs)
    })
}

/// Whether a gateway that was told of just this says that those that leave have no part any more, and those that stay have everything.
fn say_so(cluster: &ValidCluster, said: &ClusterStatus) -> bool {
    let have_left = said.catalog.leaving.as_ref().is_some_and(|told| {
        told.have_left && cluster.leaving.iter().all(|name| told.gateways.contains(name))
    });
    let members = &said.catalog.members;
    let stay_whole = match &cluster.gateways[..] {
        [only] => members.is_empty() && said.gateway == *only,
        stay => {
            members.iter().map(|member| &member.node).eq(stay)
                && members.iter().all(|member| member.state == CatalogMemberState::Current)
        }
    };
    have_left && stay_whole
}

fn step(set: Presence, claim: Presence, may_go: bool) -> Step {
    match (set, claim) {
        (Presence::Absent, Presence::Absent) => Step::Gone,
        (Presence::Going, _) | (Presence::Absent, Presence::Going) => Step::Await,
        (Presence::Present, _) if may_go => Step::RemovePod,
        (Presence::Absent, Presence::Present) if may_go => Step::RemoveVolume,
        _ => Step::Keep,
    }
}

/// The last goes when nothing is left of the others: who leaves is told by it, and those that stay are not to restart for each.
fn hold_the_last(leaving: &mut [Leaving<'_>]) {
    if let [others @ .., last] = leaving
        && last.step == Step::RemoveVolume
        && others.iter().any(|other| other.step != Step::Gone)
    {
        last.step = Step::Await;
    }
}

/// Whether a gateway that leaves is still to be what the spec says.
pub(super) fn is_kept(leaving: &[Leaving<'_>], name: &str) -> bool {
    leaving.iter().any(|gateway| gateway.name == name && gateway.step == Step::Keep)
}

/// What Progressing says while gateways leave.
pub(super) fn outcome(leaving: &[Leaving<'_>], rollout: Outcome, answer: &Answer) -> Outcome {
    let names: Vec<&str> =
        leaving.iter().filter(|gateway| gateway.step != Step::Gone).map(|gateway| gateway.name).collect();
    if names.is_empty() {
        return rollout;
    }
    let is_any = |wanted: &[Step]| leaving.iter().any(|gateway| wanted.contains(&gateway.step));
    let doing = match (rollout, answer) {
        _ if is_any(&[Step::RemovePod, Step::RemoveVolume, Step::Await]) => {
            "they have no part in the catalog any more, and their pods and volumes are removed".to_owned()
        }
        (Outcome::Underway { message, .. }, _) => format!("those that stay come first. {message}"),
        (Outcome::Applied, Ok(said)) => waits_for(said),
        (Outcome::Applied, Err(error)) => format!("nobody says whether they still have a vote: {error}"),
        (other, _) => return other,
    };
    let message = format!(
        "Gateways leave: {names}; {doing}. To keep them, set gateway.replicas back.",
        names = names.join(", "),
        doing = doing.trim_end_matches('.'),
    );
    Outcome::Underway { reason: "GatewaysLeaving", message }
}

fn waits_for(said: &ClusterStatus) -> String {
    match said.catalog.leaving.as_ref() {
        Some(leaving) if leaving.have_left => {
            "those that stay are waited for, until each has the whole catalog".into()
        }
        Some(leaving) => match &leaving.waits_for {
            Some(reason) => format!("they still have a vote: {reason}"),
            None => "they still have a vote, which is being taken away".into(),
        },
        None => format!("{} was not told of that yet", said.gateway),
    }
}
