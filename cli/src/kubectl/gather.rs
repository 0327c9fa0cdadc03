//! What Kubernetes has of the clusters of one namespace.

use datamesh_crds::{DataMeshCluster, StoragePool, label};
use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim, Pod};
use k8s_openapi::api::events::v1::Event;
use kube::api::{ListParams, LogParams};
use kube::config::KubeConfigOptions;
use kube::{Api, Client, Config, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::Failure;

/// Events asked for at most: the newest are few, a bad day has many.
const EVENTS_MAX: u32 = 2000;
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

impl Kubernetes {
    pub(super) async fn connect(context: Option<String>, namespace: Option<String>) -> Result<Self, Failure> {
        let options = KubeConfigOptions { context: context.clone(), ..KubeConfigOptions::default() };
        let unknown = |error: &dyn std::fmt::Display| {
            Failure::Usage(format!(
                "no way to a Kubernetes: {error}; set KUBECONFIG, or check `kubectl get pods`"
            ))
        };
        let config = match context {
            Some(_) => Config::from_kubeconfig(&options).await.map_err(|error| unknown(&error))?,
            None => Config::infer().await.map_err(|error| unknown(&error))?,
        };
        let namespace = namespace.unwrap_or_else(|| config.default_namespace.clone());
        Ok(Self { client: Client::try_from(config).map_err(kubernetes)?, namespace })
    }

    pub(super) async fn gather(&self) -> Result<Snapshot, Failure> {
        let ours = ListParams::default().labels(&format!("{}={}", label::MANAGED_BY, label::OPERATOR));
        let all = ListParams::default();
        let some = ListParams::default().limit(EVENTS_MAX);
        let (clusters, pools, pods, claims, events) = tokio::try_join!(
            self.list(&all),
            self.list(&all),
            self.list(&ours),
            self.list(&ours),
            self.list(&some),
        )?;
        Ok(Snapshot { namespace: self.namespace.clone(), clusters, pools, pods, claims, events })
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
