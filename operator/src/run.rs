//! The operator's process: health endpoints, leader election, both controllers, and an orderly end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use datamesh_crds::{DataMeshCluster, StoragePool};
use k8s_controller::LeaderElection;
use kube::api::ListParams;
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::controllers::{self, Start};
use crate::health::{Health, HealthServer};
use crate::tasks::Tasks;

/// The lease's name.
const LEASE: &str = "datamesh-operator";
/// To finish the passes that run; less than the pod's termination grace period of 30 s.
const STOP_GRACE: Duration = Duration::from_secs(20);
/// Between looks for the custom resource definitions.
const DEFINITIONS_POLL: Duration = Duration::from_secs(5);

/// How to run.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// Namespace of the leader election's lease
    #[arg(long, env = "POD_NAMESPACE", default_value = "datamesh-system")]
    namespace: String,
    /// Unique name of this process in the leader election
    #[arg(long, env = "POD_NAME", default_value = "datamesh-operator")]
    identity: String,
    /// Care for this namespace only; all, when left out
    #[arg(long, env = "WATCH_NAMESPACE")]
    watch_namespace: Option<String>,
    /// Address of /livez, /readyz and /metrics
    #[arg(long, default_value = "0.0.0.0:9100")]
    listen: SocketAddr,
}

/// Runs until SIGTERM or SIGINT, or until something cannot go on.
pub(crate) async fn run(args: RunArgs) -> anyhow::Result<()> {
    let client = Client::try_default().await.context("no way to the Kubernetes API")?;
    let health = Arc::new(Health::new());
    let server = HealthServer::bind(args.listen, health.clone()).await.context("health endpoint")?;
    let mut tasks = Tasks::new();
    tasks.spawn("health", |stop| async move { Ok(server.run(stop).await?) });
    tasks.spawn("controllers", |stop| lead(args, client, health, stop));
    tasks.run_until(stop_signal()?, STOP_GRACE).await
}

/// Completes at the first SIGTERM or SIGINT.
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
    })
}

async fn lead(
    args: RunArgs,
    client: Client,
    health: Arc<Health>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    tokio::select! {
        waited = definitions(&client, args.watch_namespace.as_deref()) => waited?,
        () = stop.cancelled() => return Ok(()),
    }
    health.set_ready();
    let election = LeaderElection::new(client.clone(), &args.namespace, LEASE, &args.identity);
    let start = Start {
        client,
        health: health.clone(),
        namespace: args.watch_namespace,
        instance: args.identity,
        stop: stop.clone(),
    };
    let leads = AtomicBool::new(false);
    let work = async {
        leads.store(true, Ordering::Relaxed);
        health.metrics.leads(true);
        tokio::join!(controllers::clusters(start.clone()), controllers::pools(start));
    };
    // A leader finishes its passes and gives the lease back; a candidate just goes.
    let candidate_stopped = async {
        stop.cancelled().await;
        if leads.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    let finished = tokio::select! {
        finished = election.with_lease(work) => finished,
        () = candidate_stopped => return Ok(()),
    };
    health.metrics.leads(false);
    match finished {
        Some(_) if stop.is_cancelled() => Ok(()),
        Some(_) => bail!("the controllers ended by themselves"),
        None => bail!("lost the lease; another process leads now"),
    }
}

/// Waits until the API server serves both kinds; without the right to see them, waiting would be for ever.
async fn definitions(client: &Client, namespace: Option<&str>) -> anyhow::Result<()> {
    loop {
        let seen = match namespace {
            Some(namespace) => {
                let clusters = served::<DataMeshCluster>(&Api::namespaced(client.clone(), namespace)).await;
                clusters.and(served::<StoragePool>(&Api::namespaced(client.clone(), namespace)).await)
            }
            None => {
                let clusters = served::<DataMeshCluster>(&Api::all(client.clone())).await;
                clusters.and(served::<StoragePool>(&Api::all(client.clone())).await)
            }
        };
        match seen {
            Ok(()) => return Ok(()),
            Err(kube::Error::Api(status)) if matches!(status.code, 401 | 403) => {
                return Err(kube::Error::Api(status))
                    .context("the service account may not list datamesh.io objects");
            }
            Err(error) => tracing::info!(%error, "waiting for the custom resource definitions"),
        }
        tokio::time::sleep(DEFINITIONS_POLL).await;
    }
}

async fn served<K>(api: &Api<K>) -> kube::Result<()>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    api.list(&ListParams::default().limit(1)).await.map(|_| ())
}
