//! The two controllers as streams: what each watches, how fast it works, how it stops.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datamesh_crds::{DataMeshCluster, StoragePool, label};
use futures::{Stream, StreamExt};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::api::PartialObjectMeta;
use kube::runtime::controller::{Action, Config, Controller};
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{Predicate as _, PredicateConfig, WatchStreamExt as _, predicates, reflector, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::context::Context;
use crate::health::Health;
use crate::{cluster, pool};

/// Objects worked on at the same time. Each pass holds one connection and little memory.
const CONCURRENCY: u16 = 8;
/// A burst of changes of one object's children is one pass.
const DEBOUNCE: Duration = Duration::from_millis(300);

/// What both controllers start from.
#[derive(Clone)]
pub(crate) struct Start {
    pub(crate) client: Client,
    pub(crate) health: Arc<Health>,
    /// Watch this namespace only.
    pub(crate) namespace: Option<String>,
    /// The pod's name, for events.
    pub(crate) instance: String,
    pub(crate) stop: CancellationToken,
}

impl Start {
    fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        match &self.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }

    fn context(&self, field_manager: &'static str) -> Arc<Context> {
        let reporter = Reporter { controller: field_manager.into(), instance: Some(self.instance.clone()) };
        Arc::new(Context {
            recorder: Recorder::new(self.client.clone(), reporter),
            client: self.client.clone(),
            health: self.health.clone(),
            backoff: Backoff::default(),
            field_manager,
        })
    }

    /// A kind's objects: those whose spec, finalizers or annotations changed, and the store of all.
    fn objects<K>(&self) -> (impl Stream<Item = Result<K, watcher::Error>> + Send + 'static, Store<K>)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
        K: Send + Sync + 'static,
    {
        let (reader, writer) = reflector::store();
        let all = watcher(self.api::<K>(), watcher::Config::default().any_semantic()).default_backoff();
        // Generation alone would miss the finalizer that was just added.
        let changes = predicates::generation.combine(predicates::finalizers).combine(predicates::annotations);
        let stream =
            reflector(writer, all).touched_objects().predicate_filter(changes, PredicateConfig::default());
        (stream, reader)
    }

    /// Metadata of the StatefulSets the operator made. By resource version, or deletions would be missed.
    fn stateful_sets(
        &self,
    ) -> impl Stream<Item = Result<PartialObjectMeta<StatefulSet>, watcher::Error>> + Send + 'static {
        let ours = watcher::Config::default().labels(&format!("{}={}", label::MANAGED_BY, label::OPERATOR));
        watcher(self.api::<PartialObjectMeta<StatefulSet>>(), ours)
            .default_backoff()
            .touched_objects()
            .predicate_filter(predicates::resource_version, PredicateConfig::default())
    }

    /// All changes of a kind, also those of its status.
    fn changes<K>(&self) -> impl Stream<Item = Result<K, watcher::Error>> + Send + 'static
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
        K: Send + Sync + 'static,
    {
        watcher(self.api::<K>(), watcher::Config::default())
            .default_backoff()
            .touched_objects()
            .predicate_filter(predicates::resource_version, PredicateConfig::default())
    }
}

fn config() -> Config {
    Config::default().concurrency(CONCURRENCY).debounce(DEBOUNCE)
}

/// Runs the controller of clusters until it is told to stop.
pub(crate) async fn clusters(start: Start) {
    let (objects, reader) = start.objects::<DataMeshCluster>();
    Controller::for_stream(objects, reader)
        .watches_stream(start.stateful_sets(), |set| labelled(&set, label::CLUSTER))
        .watches_stream(start.changes::<StoragePool>(), |pool| {
            Some(ObjectRef::new(&pool.spec.cluster_ref).within(&pool.namespace().unwrap_or_default()))
        })
        .with_config(config())
        .graceful_shutdown_on(start.stop.clone().cancelled_owned())
        .run(
            |cluster, context| observed("cluster", cluster, context, cluster::reconcile),
            |cluster, error, context| retry(cluster.as_ref(), error, &context),
            start.context("datamesh-operator/cluster"),
        )
        .for_each(|_| std::future::ready(()))
        .await;
}

/// Runs the controller of pools until it is told to stop.
pub(crate) async fn pools(start: Start) {
    let (objects, reader) = start.objects::<StoragePool>();
    let all = reader.clone();
    Controller::for_stream(objects, reader)
        .watches_stream(start.stateful_sets(), |set| labelled(&set, label::POOL))
        .watches_stream(start.changes::<DataMeshCluster>(), move |cluster| pools_of(&cluster, &all))
        .with_config(config())
        .graceful_shutdown_on(start.stop.clone().cancelled_owned())
        .run(
            |pool, context| observed("pool", pool, context, pool::reconcile),
            |pool, error, context| retry(pool.as_ref(), error, &context),
            start.context("datamesh-operator/pool"),
        )
        .for_each(|_| std::future::ready(()))
        .await;
}

/// The object that a child's label names.
fn labelled<K>(child: &PartialObjectMeta<StatefulSet>, key: &str) -> Option<ObjectRef<K>>
where
    K: Resource<DynamicType = ()>,
{
    let name = child.labels().get(key)?;
    Some(ObjectRef::new(name).within(&child.namespace().unwrap_or_default()))
}

fn pools_of(cluster: &DataMeshCluster, pools: &Store<StoragePool>) -> Vec<ObjectRef<StoragePool>> {
    let (name, namespace) = (cluster.name_any(), cluster.namespace());
    let of_it = |pool: &Arc<StoragePool>| pool.spec.cluster_ref == name && pool.namespace() == namespace;
    pools.state().iter().filter(|pool| of_it(pool)).map(|pool| ObjectRef::from_obj(pool.as_ref())).collect()
}

/// One pass, with its time, outcome and errors on record.
async fn observed<K, E, F>(
    controller: &'static str,
    object: Arc<K>,
    context: Arc<Context>,
    reconcile: impl FnOnce(Arc<K>, Arc<Context>) -> F,
) -> Result<Action, E>
where
    K: Resource<DynamicType = ()>,
    E: std::error::Error,
    F: Future<Output = Result<Action, E>>,
{
    let (key, began) = (key(object.as_ref()), Instant::now());
    let result = reconcile(object, context.clone()).await;
    let took = began.elapsed();
    match &result {
        Ok(_) => {
            context.backoff.succeeded(&key);
            context.health.metrics.passed(controller, "ok", took);
            tracing::debug!(controller, object = key, ?took, "pass done");
        }
        Err(error) => {
            context.health.metrics.passed(controller, "failed", took);
            tracing::warn!(controller, object = key, ?took, %error, "pass failed");
        }
    }
    result
}

fn retry<K, E>(object: &K, _logged_already: &E, context: &Context) -> Action
where
    K: Resource<DynamicType = ()>,
{
    Action::requeue(context.backoff.failed(&key(object)))
}

fn key<K: Resource<DynamicType = ()>>(object: &K) -> String {
    format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any())
}
