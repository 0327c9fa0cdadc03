//! What Kubernetes has of the clusters of one namespace.

use std::time::Duration;

use datamesh_crds::{DataMeshCluster, StoragePool, label};
use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim, Pod};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ListParams, LogParams};
use kube::config::KubeConfigOptions;
use kube::{Api, Client, Config, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::Failure;
use crate::output;

/// Events that are kept, the newest: a bad day has many.
const EVENTS_MAX: usize = 2000;
/// Events of one answer. They come in no order of time.
const EVENTS_PAGE: u32 = 500;
/// Answers that are asked for.
const EVENT_PAGES_MAX: usize = 40;
/// Without a byte for this long an answer is given up: a machine that hangs is what a bundle may be about.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of one container's log.
const LOG_BYTES_MAX: i64 = 4 << 20;

/// A connection to the API server, and the namespace in question.
pub(super) struct Kubernetes {
    client: Client,
    pub(super) namespace: String,
}

/// All there is, as it was when it was asked for. Secrets are not among it.
#[derive(Debug, Default, Serialize)]
pub(super) struct Snapshot {
    pub(super) namespace: String,
    pub(super) clusters: Vec<DataMeshCluster>,
    pub(super) pools: Vec<StoragePool>,
    pub(super) pods: Vec<Pod>,
    pub(super) claims: Vec<PersistentVolumeClaim>,
    pub(super) events: Vec<Event>,
}

const CLUSTERS: &str = "clusters";
const POOLS: &str = "pools";

/// Kinds that could not be had, and why.
pub(super) type Missing = Vec<(&'static str, Failure)>;

fn had<T>(kind: &'static str, answer: Result<Vec<T>, Failure>, missing: &mut Missing) -> Vec<T> {
    answer.unwrap_or_else(|failure| {
        missing.push((kind, failure));
        Vec::new()
    })
}

/// When an event came last; who made it decides where that is said.
fn last_seen(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().map(|series| series.last_observed_time.0);
    let last = event.deprecated_last_timestamp.as_ref().map(|time| time.0);
    series.or(last).or(event.event_time.as_ref().map(|time| time.0))
}

impl Kubernetes {
    pub(super) async fn connect(context: Option<String>, namespace: Option<String>) -> Result<Self, Failure> {
        let options = KubeConfigOptions { context: context.clone(), ..KubeConfigOptions::default() };
        let unknown = |error: &dyn std::fmt::Display| {
            Failure::Usage(format!(
                "no way to a Kubernetes: {error}; set KUBECONFIG, or check `kubectl get pods`"
            ))
        };
        let mut config = match context {
            Some(_) => Config::from_kubeconfig(&options).await.map_err(|error| unknown(&error))?,
            None => Config::infer().await.map_err(|error| unknown(&error))?,
        };
        config.read_timeout = Some(READ_TIMEOUT);
        let namespace = namespace.unwrap_or_else(|| config.default_namespace.clone());
        Ok(Self { client: Client::try_from(config).map_err(kubernetes)?, namespace })
    }

    /// What there is.
    ///
    /// # Errors
    /// When clusters or pools cannot be had. Of all else it is told: not everybody may read everything.
    pub(super) async fn gather(&self) -> Result<Snapshot, Failure> {
        let (snapshot, missing) = self.gather_some().await;
        for (kind, failure) in missing {
            if matches!(kind, CLUSTERS | POOLS) {
                return Err(failure);
            }
            output::note(&format!(
                "{kind} are not to be had, and what they would tell is missing: {failure}"
            ));
        }
        Ok(snapshot)
    }

    /// What can be had, and of what could not be, which it is and why.
    pub(super) async fn gather_some(&self) -> (Snapshot, Missing) {
        let ours = ListParams::default().labels(&format!("{}={}", label::MANAGED_BY, label::OPERATOR));
        let all = ListParams::default();
        let (clusters, pools, pods, claims, events) = tokio::join!(
            self.list(&all),
            self.list(&all),
            self.list(&ours),
            self.list(&ours),
            self.newest_events(),
        );
        let mut missing = Missing::new();
        let snapshot = Snapshot {
            namespace: self.namespace.clone(),
            clusters: had(CLUSTERS, clusters, &mut missing),
            pools: had(POOLS, pools, &mut missing),
            pods: had("pods", pods, &mut missing),
            claims: had("volumes", claims, &mut missing),
            events: had("events", events, &mut missing),
        };
        (snapshot, missing)
    }

    async fn newest_events(&self) -> Result<Vec<Event>, Failure> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        let mut params = ListParams::default().limit(EVENTS_PAGE);
        let mut events = Vec::new();
        for _ in 0..EVENT_PAGES_MAX {
            let page = api.list(&params).await.map_err(kubernetes)?;
            events.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => break,
            }
        }
        events.sort_by_key(|event| std::cmp::Reverse(last_seen(event)));
        events.truncate(EVENTS_MAX);
        Ok(events)
    }

    /// The operator's pods, in whichever namespace they are.
    pub(super) async fn operators(&self) -> Result<Vec<Pod>, Failure> {
        let which = format!("{}={},{}=operator", label::NAME, label::DATAMESH, label::COMPONENT);
        let api: Api<Pod> = Api::all(self.client.clone());
        Ok(api.list(&ListParams::default().labels(&which)).await.map_err(kubernetes)?.items)
    }

    /// The machines of the Kubernetes cluster.
    pub(super) async fn machines(&self) -> Result<Vec<Node>, Failure> {
        let api: Api<Node> = Api::all(self.client.clone());
        Ok(api.list(&ListParams::default()).await.map_err(kubernetes)?.items)
    }

    async fn list<K>(&self, which: &ListParams) -> Result<Vec<K>, Failure>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
        K: Clone + DeserializeOwned + std::fmt::Debug,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), &self.namespace);
        Ok(api.list(which).await.map_err(kubernetes)?.items)
    }

    /// The end of a container's log; of the life before this one, too.
    pub(super) async fn log(
        &self,
        pod: &Pod,
        container: &str,
        (lines, previous): (u32, bool),
    ) -> Result<String, Failure> {
        let namespace = pod.namespace().unwrap_or_else(|| self.namespace.clone());
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
        let params = LogParams {
            container: Some(container.to_owned()),
            tail_lines: Some(i64::from(lines)),
            limit_bytes: Some(LOG_BYTES_MAX),
            previous,
            timestamps: true,
            ..LogParams::default()
        };
        api.logs(&pod.name_any(), &params).await.map_err(kubernetes)
    }
}

/// What the API server says, with the exit code that fits.
fn kubernetes(error: kube::Error) -> Failure {
    match error {
        kube::Error::Api(status) => Failure::Kubernetes { status: status.code, message: status.message },
        error => Failure::Kubernetes { status: 0, message: error.to_string() },
    }
}
