//! What is wrong, in the words of who knows it: the operator's conditions, then the pods, the volumes and the events.

use std::collections::BTreeMap;
use std::process::ExitCode;

use datamesh_crds::{StoragePool, condition};
use k8s_openapi::api::core::v1::{ContainerStatus, PersistentVolumeClaim, Pod, PodStatus};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt as _;
use serde::Serialize;

use super::gather::Snapshot;
use super::status::{conditions_of_cluster, conditions_of_pool};
use crate::args::{Format, Global};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Severity {
    /// Data or service is at risk.
    Critical,
    Warning,
    /// Explains others.
    Note,
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Finding {
    pub(super) severity: Severity,
    /// `pool main`, `pod demo-main-0-0`.
    pub(super) about: String,
    pub(super) what: String,
    /// What to do; empty where the text says it already.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) remedy: &'static str,
}

/// Says what is wrong.
pub(super) fn run(snapshot: &Snapshot, global: &Global) -> Result<ExitCode, Failure> {
    let found = findings(snapshot);
    if global.output == Format::Json {
        output::json(&found)?;
    } else if found.is_empty() {
        output::line(
            "Nothing is wrong, as far as Kubernetes and the operator can tell; `datamesh mesh diagnose` asks the nodes.",
        )?;
    }
    for Finding { severity, about, what, remedy } in found.iter().filter(|_| global.output == Format::Table) {
        let mark = match severity {
            Severity::Critical => "CRITICAL",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        let remedy = if remedy.is_empty() { String::new() } else { format!(" -> {remedy}") };
        output::line(&format!("{mark}: {about}: {what}{remedy}"))?;
    }
    let is_wrong = found.iter().any(|finding| finding.severity != Severity::Note);
    Ok(if is_wrong { Exit::NotWhole } else { Exit::Done }.into())
}

/// All that is wrong, worst first.
pub(super) fn findings(snapshot: &Snapshot) -> Vec<Finding> {
    let mut found = Vec::new();
    if snapshot.clusters.is_empty() {
        let what = "there is no DataMeshCluster here";
        found.push(finding(
            Severity::Warning,
            format!("namespace {}", snapshot.namespace),
            what,
            "-n names another",
        ));
    }
    for cluster in &snapshot.clusters {
        let about = format!("cluster {}", cluster.name_any());
        let seen = cluster.status.as_ref().and_then(|status| status.observed_generation);
        found.extend(unseen(&about, cluster.metadata.generation, seen));
        found.extend(conditions_of_cluster(cluster).iter().filter_map(|known| of_condition(&about, known)));
    }
    for pool in &snapshot.pools {
        let about = format!("pool {}", pool.name_any());
        let seen = pool.status.as_ref().and_then(|status| status.observed_generation);
        found.extend(unseen(&about, pool.metadata.generation, seen));
        found.extend(conditions_of_pool(pool).iter().filter_map(|known| of_condition(&about, known)));
        found.extend(blocked_drains(pool));
    }
    found.extend(snapshot.pods.iter().filter_map(of_pod));
    found.extend(snapshot.claims.iter().filter_map(of_claim));
    found.extend(of_events(&snapshot.events));
    found.sort();
    found
}

fn finding(severity: Severity, about: String, what: impl Into<String>, remedy: &'static str) -> Finding {
    Finding { severity, about, what: what.into(), remedy }
}

/// The operator has not acted on what the spec says now.
fn unseen(about: &str, generation: Option<i64>, seen: Option<i64>) -> Option<Finding> {
    let remedy = "see whether its pod runs: kubectl get pods -A -l app.kubernetes.io/component=operator";
    let what = "the operator has not looked at its present spec yet";
    (seen < generation || seen.is_none()).then(|| finding(Severity::Warning, about.to_owned(), what, remedy))
}

fn of_condition(about: &str, known: &Condition) -> Option<Finding> {
    if !condition::is_alarming(&known.type_, &known.status, &known.reason) {
        return None;
    }
    let severity = match known.type_.as_str() {
        condition::READY | condition::DATA_SAFE | condition::KEY_MISSING => Severity::Critical,
        _ => Severity::Warning,
    };
    // The operator's messages say what will clear them.
    let what = format!("{} is {} ({}): {}", known.type_, known.status, known.reason, known.message);
    Some(finding(severity, about.to_owned(), what, ""))
}

/// What keeps nodes from giving their shards away.
pub(super) fn blocked_drains(pool: &StoragePool) -> Vec<Finding> {
    let draining = pool.status.as_ref().map_or(&[][..], |status| &status.draining);
    let blocked =
        draining.iter().filter(|node| matches!(node.state.as_str(), "Stalled" | "Pending" | "Unknown"));
    let of = |node: &datamesh_crds::DrainingNode| {
        let why = node.message.as_deref().unwrap_or("it does not say why");
        let about = format!("drain of {}", node.node);
        let severity = if node.state == "Pending" { Severity::Note } else { Severity::Warning };
        finding(severity, about, format!("{}: {why}", node.state), "")
    };
    blocked.map(of).collect()
}

fn of_pod(pod: &Pod) -> Option<Finding> {
    let status = pod.status.as_ref()?;
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let is = |type_: &str| conditions.iter().find(|known| known.type_ == type_);
    if is("Ready").is_some_and(|ready| ready.status == "True") {
        return None;
    }
    let about = format!("pod {}", pod.name_any());
    if let Some(scheduled) = is("PodScheduled").filter(|scheduled| scheduled.status != "True") {
        let what =
            format!("no machine takes it: {}", scheduled.message.as_deref().unwrap_or("no reason given"));
        let remedy = "free or add a machine in its zone: a node's volume stays where it is";
        return Some(finding(Severity::Warning, about, what, remedy));
    }
    if let Some((what, remedy)) = container_statuses(status).find_map(of_container) {
        return Some(finding(Severity::Warning, about, what, remedy));
    }
    let phase = status.phase.as_deref().unwrap_or("Unknown");
    let remedy = "its log says what it waits for: kubectl logs";
    Some(finding(Severity::Warning, about, format!("not ready, phase {phase}"), remedy))
}

/// Of all containers, those that prepare the pod first: the others wait for them.
pub(super) fn container_statuses(status: &PodStatus) -> impl Iterator<Item = &ContainerStatus> {
    status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten())
}

fn of_container(status: &ContainerStatus) -> Option<(String, &'static str)> {
    let waiting = status.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref().unwrap_or("Waiting");
    let message = waiting.message.as_deref().unwrap_or_default();
    let ended = status.last_state.as_ref().and_then(|last| last.terminated.as_ref());
    let ended = ended.map_or_else(String::new, |ended| {
        let why = ended.reason.as_deref().unwrap_or("ended");
        format!("; before: {why} (exit code {})", ended.exit_code)
    });
    let remedy = match (reason, ended.contains("OOMKilled")) {
        (_, true) => "it had too little memory: raise resources.memory",
        ("ImagePullBackOff" | "ErrImagePull" | "InvalidImageName", _) => {
            "the image cannot be fetched: check spec.image of the DataMeshCluster and the registry"
        }
        ("CrashLoopBackOff", _) => "it ends soon after it starts; why: kubectl logs --previous",
        ("CreateContainerConfigError", _) => {
            "a Secret or ConfigMap is missing: the operator makes them, see its log"
        }
        _ => "",
    };
    let restarts = status.restart_count;
    Some((format!("{}: {reason} {message}{ended}; {restarts} restarts", status.name), remedy))
}

fn of_claim(claim: &PersistentVolumeClaim) -> Option<Finding> {
    let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending");
    let remedy = match phase {
        "Bound" => return None,
        "Lost" => "if the volume is gone for good: datamesh node replace NODE --volume-is-lost",
        _ => "check storageClassName of the pool and that its provisioner runs",
    };
    let severity = if phase == "Lost" { Severity::Critical } else { Severity::Warning };
    Some(finding(severity, format!("volume {}", claim.name_any()), format!("is {phase}"), remedy))
}

/// Warnings, one for each object and reason, with how often they came.
fn of_events(events: &[Event]) -> Vec<Finding> {
    let mut grouped: BTreeMap<(String, &str), (i32, &str)> = BTreeMap::new();
    for event in events.iter().filter(|event| event.type_.as_deref() == Some("Warning")) {
        let about = event.regarding.as_ref().and_then(|regarding| {
            let kind = regarding.kind.as_deref()?.to_lowercase();
            Some(format!("{kind} {}", regarding.name.as_deref()?))
        });
        let (Some(about), Some(reason)) = (about, event.reason.as_deref()) else { continue };
        let times = event.series.as_ref().map(|series| series.count).or(event.deprecated_count).unwrap_or(1);
        let entry = grouped.entry((about, reason)).or_default();
        entry.0 = entry.0.saturating_add(times.max(1));
        entry.1 = event.note.as_deref().unwrap_or_default();
    }
    let of = |((about, reason), (times, note)): ((String, &str), (i32, &str))| {
        finding(Severity::Note, about, format!("event {reason} ({times} times): {note}"), "")
    };
    grouped.into_iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubectl::recorded;

    fn said(snapshot: &Snapshot) -> Vec<String> {
        let words = |finding: &Finding| format!("{:?} {}: {}", finding.severity, finding.about, finding.what);
        findings(snapshot).iter().map(words).collect()
    }

    #[test]
    fn nothing_is_said_of_what_is_well() {
        assert_eq!(said(&recorded::well()), Vec::<String>::new());
    }

    #[test]
    fn what_is_wrong_is_said_worst_first() {
        let said = said(&recorded::broken());
        let expected = [
            "Critical cluster demo: DataSafe is False (SegmentsShort): 3 segments",
            "Critical pool main: DataSafe is False (SegmentsShort): 3 segments",
            "Warning cluster demo: Degraded is True (NodesDown): demo-main-2 is down",
            "Warning drain of demo-main-5: Stalled: demo-main-2 is away",
            "Warning pod demo-main-2-0: node: CrashLoopBackOff back-off 5m0s; before: OOMKilled (exit code 137); 7 restarts",
            "Warning pod demo-main-3-0: no machine takes it: 0/3 nodes are available",
            "Warning pool main: Degraded is True (NodesDown): demo-main-2 is down",
            "Warning volume data-demo-main-3-0: is Pending",
            "Note pod demo-main-2-0: event BackOff (41 times): Back-off restarting failed container",
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn a_spec_that_the_operator_did_not_see_is_told() {
        let mut snapshot = recorded::well();
        snapshot.pools[0].metadata.generation = Some(9);
        assert_eq!(
            said(&snapshot),
            ["Warning pool main: the operator has not looked at its present spec yet"]
        );
    }

    #[test]
    fn memory_and_images_have_remedies() {
        let found = findings(&recorded::broken());
        let of = |about: &str| found.iter().find(|finding| finding.about == about).unwrap().remedy;
        assert!(of("pod demo-main-2-0").contains("resources.memory"));
        assert!(of("pod demo-main-3-0").contains("zone"));
    }
}
