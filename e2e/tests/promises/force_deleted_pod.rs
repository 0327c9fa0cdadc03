//! A storage pod is deleted by force while its process lives: whatever takes its place must wait for the volume's lock
//! and raise the incarnation, so two never serve one volume.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use datamesh_e2e::cluster::{Cluster, NAMESPACE};
use datamesh_e2e::gateway::Gateway;
use datamesh_e2e::nodes::{Member, ensure_untouched};
use datamesh_e2e::samples;
use datamesh_e2e::traffic::{Traffic, clear, verify};
use datamesh_e2e::wait;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, LogParams};
use kube::runtime::watcher;

const PUTS_TIMEOUT: Duration = Duration::from_secs(60);
const REPLACED_TIMEOUT: Duration = Duration::from_secs(90);
/// Longer than a process waits for the lock before it says who holds it.
const REFUSED_TIMEOUT: Duration = Duration::from_secs(90);
const GHOST: &str = "e2e-ghost";

pub(crate) async fn check(cluster: &Cluster) -> anyhow::Result<()> {
    let seed = samples::seed()?;
    eprintln!("seed {seed}");
    let door = cluster.gateway().await?;
    let member = cluster.storage().await?.swap_remove(0);
    let before = incarnation(&door.gateway, &member.node).await?;

    ghost_is_refused(cluster, &member).await?;
    let now = cluster.storage().await?.swap_remove(0);
    ensure_untouched(std::slice::from_ref(&member), &[now])?;
    ensure!(incarnation(&door.gateway, &member.node).await? == before, "the ghost opened the store");

    let mut traffic = Traffic::start(&door.gateway, "forced", seed);
    traffic.go_on(3, PUTS_TIMEOUT).await?;
    cluster.force_delete(&member.pod).await?;
    traffic.go_on(6, PUTS_TIMEOUT).await?;
    cluster.until_replaced(&member, REPLACED_TIMEOUT).await?;
    let written = traffic.finish().await?;
    cluster.settle().await?;
    verify(&door.gateway, &written).await?;
    let after = incarnation(&door.gateway, &member.node).await?;
    ensure!(after > before, "{} came back with incarnation {after:?}, it had {before:?}", member.node);
    clear(&door.gateway, &written).await
}

/// What the node last reported of itself.
async fn incarnation(gateway: &Gateway, node: &str) -> anyhow::Result<u64> {
    let status = gateway.status().await?;
    let mut members = status.pools.iter().flat_map(|pool| &pool.members);
    let member = members.find(|m| m.node.as_str() == node).context("the gateway does not know the node")?;
    Ok(member.report.as_ref().context("the node has not reported")?.incarnation.0)
}

/// A second pod on the same volume, which stands for a deleted one that lives on: it may not serve.
async fn ghost_is_refused(cluster: &Cluster, member: &Member) -> anyhow::Result<()> {
    let pods = cluster.api::<Pod>(NAMESPACE);
    pods.create(&Default::default(), &ghost_of(pods.get(&member.pod).await?, member)).await?;
    let refused = until_refused(&pods).await;
    pods.delete(GHOST, &DeleteParams::default().grace_period(0)).await?;
    refused
}

/// The same pod under another name, on the same Kubernetes node, watched by nobody.
fn ghost_of(mut pod: Pod, member: &Member) -> Pod {
    pod.metadata = kube::core::ObjectMeta { name: Some(GHOST.into()), ..Default::default() };
    pod.status = None;
    if let Some(spec) = pod.spec.as_mut() {
        spec.node_name = Some(member.host.clone());
        spec.hostname = None;
        spec.subdomain = None;
        spec.restart_policy = Some("Never".into());
        for container in &mut spec.containers {
            container.startup_probe = None;
            container.liveness_probe = None;
        }
    }
    pod
}

/// It ends by itself and says who holds the volume; it is never ready.
async fn until_refused(pods: &Api<Pod>) -> anyhow::Result<()> {
    let config = watcher::Config::default().fields(&format!("metadata.name={GHOST}"));
    let ended = wait::set_until(pods, config, "the ghost ends", REFUSED_TIMEOUT, |now| {
        now.iter().any(|pod| phase(pod) == "Failed" || is_ready(pod))
    });
    let ended = ended.await?;
    ensure!(ended.iter().all(|pod| !is_ready(pod)), "the ghost became ready on a volume that is in use");
    let said = pods.logs(GHOST, &LogParams::default()).await?;
    ensure!(said.contains("is in use by"), "the ghost ended for another reason:\n{said}");
    Ok(())
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

fn is_ready(pod: &Pod) -> bool {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    statuses.is_some_and(|all| all.iter().any(|status| status.ready))
}
