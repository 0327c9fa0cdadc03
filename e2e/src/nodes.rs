//! Storage pods and the Kubernetes nodes under them: taken away and given back.

use std::collections::BTreeSet;
use std::process::Output;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim, Pod};
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use kube::runtime::watcher;
use serde_json::json;

use crate::cluster::{CLUSTER, Cluster, NAMESPACE, POOL};
use crate::partition::{heal, is_here};
use crate::wait;

/// A forced deletion is done when the API server answers; the kubelet needs a moment more.
const GONE_TIMEOUT: Duration = Duration::from_secs(30);
/// A lost volume's claim goes with its pod, and another is made.
const NEW_TIMEOUT: Duration = Duration::from_secs(60);
/// Label of a pool's pods.
const POOL_LABEL: &str = "datamesh.io/pool";
/// Annotation on Kubernetes nodes that were cordoned here: those an administrator cordoned stay so. It stands on the nodes,
/// so that the next run takes back what one that broke off left.
const CORDONED: &str = "datamesh.io/cordoned-by-e2e";

/// One pod of the example, as it is now.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// The pod's name.
    pub pod: String,
    /// Differs after each replacement.
    pub uid: String,
    /// Restarts of its container.
    pub restarts: i32,
    /// `storage` or `gateway`.
    pub component: String,
    /// The node identity it carries.
    pub node: String,
    /// Its zone; empty for a gateway.
    pub zone: String,
    /// The Kubernetes node it runs on.
    pub host: String,
    /// Whether it is ready.
    pub ready: bool,
}

impl Member {
    fn of(pod: &Pod) -> Self {
        let label = |name: &str| pod.labels().get(name).cloned().unwrap_or_default();
        let status = pod.status.as_ref();
        let container = status.and_then(|s| s.container_statuses.as_ref()?.first());
        Self {
            pod: pod.name_any(),
            uid: pod.uid().unwrap_or_default(),
            restarts: container.map_or(0, |c| c.restart_count),
            component: label("app.kubernetes.io/component"),
            node: label("datamesh.io/node"),
            zone: label("datamesh.io/zone"),
            host: pod.spec.as_ref().and_then(|s| s.node_name.clone()).unwrap_or_default(),
            ready: container.is_some_and(|c| c.ready),
        }
    }
}

/// That no pod was replaced, restarted or moved.
///
/// # Errors
/// One was; the message names it, as it was and as it is.
pub fn ensure_untouched(before: &[Member], after: &[Member]) -> anyhow::Result<()> {
    for old in before {
        let new = after.iter().find(|member| member.pod == old.pod);
        ensure!(new == Some(old), "{} was touched: it was {old:?}, it is {new:?}", old.pod);
    }
    ensure!(before.len() == after.len(), "{} pods became {}", before.len(), after.len());
    Ok(())
}

/// Names of the identities, in order.
#[must_use]
pub fn names(members: &[Member]) -> Vec<&str> {
    members.iter().map(|m| m.node.as_str()).collect()
}

impl Cluster {
    /// All pods of the example: storage nodes and gateway.
    ///
    /// # Errors
    /// The API server does not answer.
    pub async fn members(&self) -> anyhow::Result<Vec<Member>> {
        let selector = ListParams::default().labels(&format!("datamesh.io/cluster={CLUSTER}"));
        let mut all: Vec<Member> =
            self.api::<Pod>(NAMESPACE).list(&selector).await?.items.iter().map(Member::of).collect();
        all.sort();
        Ok(all)
    }

    /// The storage pods of the example.
    ///
    /// # Errors
    /// There are none.
    pub async fn storage(&self) -> anyhow::Result<Vec<Member>> {
        let all: Vec<Member> =
            self.members().await?.into_iter().filter(|m| m.component == "storage").collect();
        ensure!(!all.is_empty(), "there are no storage pods");
        Ok(all)
    }

    /// One storage pod of each zone.
    ///
    /// # Errors
    /// There are none.
    pub async fn one_of_each_zone(&self) -> anyhow::Result<Vec<Member>> {
        let mut zones = BTreeSet::new();
        Ok(self.storage().await?.into_iter().filter(|m| zones.insert(m.zone.clone())).collect())
    }

    /// Kills pods at once and keeps their replacements from starting anywhere: as when their machines are lost.
    /// [`Cluster::settle`] takes it back.
    ///
    /// # Errors
    /// The API server refuses, or the pods do not go.
    pub async fn lose(&self, members: &[Member]) -> anyhow::Result<()> {
        self.cordon().await?;
        for member in members {
            self.force_delete(&member.pod).await?;
        }
        self.until_not_ready(members).await
    }

    /// Waits until every pod of the example is ready.
    ///
    /// # Errors
    /// They are not in time.
    pub async fn until_pods_ready(&self, limit: Duration) -> anyhow::Result<()> {
        let config = watcher::Config::default().labels(&format!("datamesh.io/cluster={CLUSTER}"));
        wait::set_until(&self.api::<Pod>(NAMESPACE), config, "every pod is ready", limit, |now| {
            !now.is_empty() && now.iter().all(|pod| Member::of(pod).ready)
        })
        .await?;
        Ok(())
    }

    /// Deletes a pod of the example without waiting for its process to end.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn force_delete(&self, pod: &str) -> anyhow::Result<()> {
        self.kill(NAMESPACE, pod).await
    }

    /// The same with a pod of any namespace.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn kill(&self, namespace: &str, pod: &str) -> anyhow::Result<()> {
        self.api::<Pod>(namespace).delete(pod, &DeleteParams::default().grace_period(0)).await?;
        Ok(())
    }

    /// Deletes the volume claim of a node or gateway and the pod that keeps it, and waits until an empty one is made.
    ///
    /// # Errors
    /// The API server refuses, or none is made in time.
    pub async fn lose_volume(&self, namespace: &str, node: &str) -> anyhow::Result<()> {
        let claims = self.api::<PersistentVolumeClaim>(namespace);
        let name = format!("data-{node}-0");
        let old = claims.get(&name).await?.uid();
        claims.delete(&name, &DeleteParams::default()).await?;
        self.kill(namespace, &format!("{node}-0")).await?;
        let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
        wait::set_until(&claims, only, "an empty volume is made", NEW_TIMEOUT, |now| {
            now.iter().any(|claim| claim.uid() != old && claim.metadata.deletion_timestamp.is_none())
        })
        .await?;
        Ok(())
    }

    async fn until_not_ready(&self, members: &[Member]) -> anyhow::Result<()> {
        let pods: Vec<&str> = members.iter().map(|m| m.pod.as_str()).collect();
        let config = watcher::Config::default().labels(&format!("datamesh.io/cluster={CLUSTER}"));
        wait::set_until(&self.api::<Pod>(NAMESPACE), config, "the lost pods are gone", GONE_TIMEOUT, |now| {
            now.iter().filter(|pod| pods.contains(&pod.name_any().as_str())).all(|pod| !Member::of(pod).ready)
        })
        .await?;
        Ok(())
    }

    /// Waits until a pod runs in place of `old`, and gives it.
    ///
    /// # Errors
    /// It does not in time.
    pub async fn until_replaced(&self, old: &Member, limit: Duration) -> anyhow::Result<Member> {
        let config = watcher::Config::default().fields(&format!("metadata.name={}", old.pod));
        let what = format!("{} is replaced", old.pod);
        let now = wait::set_until(&self.api::<Pod>(NAMESPACE), config, &what, limit, |now| {
            now.iter().map(Member::of).any(|m| m.uid != old.uid && m.ready)
        })
        .await?;
        now.first().map(Member::of).context("no pod")
    }

    /// Lets no pod be scheduled anywhere, until [`Cluster::uncordon`] or [`Cluster::settle`].
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn cordon(&self) -> anyhow::Result<()> {
        let change =
            json!({"metadata": {"annotations": {(CORDONED): "true"}}, "spec": {"unschedulable": true}});
        self.change_nodes(&change, |node| !is_cordoned(node)).await
    }

    /// `kubectl drain` of a Kubernetes node, for the storage pods on it: cordons it and evicts them, as the disruption budget
    /// allows within `limit`. Gives kubectl's answer; [`Cluster::settle`] takes it back.
    ///
    /// # Errors
    /// kubectl does not run.
    pub async fn drain(&self, host: &str, limit: Duration) -> anyhow::Result<Output> {
        // Before kubectl cordons it: what breaks off here is taken back by the next run.
        let note = json!({"metadata": {"annotations": {(CORDONED): "true"}}});
        self.change_nodes(&note, |node| node.name_any() == host && !is_cordoned(node)).await?;
        let (timeout, pods) =
            (format!("--timeout={}s", limit.as_secs()), format!("--pod-selector={POOL_LABEL}={POOL}"));
        self.kubectl
            .output(&["drain", host, "--ignore-daemonsets", "--delete-emptydir-data", &pods, &timeout])
            .await
    }

    /// Lets pods be scheduled again where they could be before [`Cluster::lose`] or [`Cluster::drain`].
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn uncordon(&self) -> anyhow::Result<()> {
        let change =
            json!({"metadata": {"annotations": {(CORDONED): null}}, "spec": {"unschedulable": null}});
        self.change_nodes(&change, |node| node.annotations().contains_key(CORDONED)).await?;
        self.heal().await
    }

    /// Takes back what a [`crate::partition::Partition`] left that could not do it by itself: its process was killed.
    async fn heal(&self) -> anyhow::Result<()> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let names = nodes.list_metadata(&ListParams::default()).await?.items;
        names
            .iter()
            .map(kube::ResourceExt::name_any)
            .filter(|name| is_here(name))
            .for_each(|name| heal(&name));
        Ok(())
    }

    async fn change_nodes(
        &self,
        change: &serde_json::Value,
        which: impl Fn(&Node) -> bool,
    ) -> anyhow::Result<()> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        for node in nodes.list(&ListParams::default()).await?.items.into_iter().filter(which) {
            nodes.patch(&node.name_any(), &PatchParams::default(), &Patch::Merge(change)).await?;
        }
        Ok(())
    }
}

fn is_cordoned(node: &Node) -> bool {
    node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false)
}
