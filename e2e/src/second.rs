//! A small cluster beside the example, with its image: for what would hurt the example, or needs one of its own.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim, Secret};
use kube::api::{Api, DeleteParams, DynamicObject};
use kube::runtime::watcher;
use serde_json::{Value, json};

use crate::cluster::{CLUSTER, Cluster, NAMESPACE};
use crate::wait;

const GONE_TIMEOUT: Duration = Duration::from_secs(90);
/// Pods start, take what they lack of the catalog, and the operator looks at them.
const GATEWAYS_TIMEOUT: Duration = Duration::from_secs(120);
/// Its DataMeshCluster.
pub const SECOND: &str = "second";
/// Its StoragePool.
pub const EXTRA: &str = "extra";
/// Nodes of its pool, coded 1+2.
pub const NODES: usize = 3;

impl Cluster {
    /// Makes it in a namespace of its own, and that namespace. `pool` are further fields of the pool's spec.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn make_second(&self, space: &str, pool: Value) -> anyhow::Result<()> {
        self.make_second_with(space, json!({}), pool).await
    }

    /// The same, with further fields of the cluster's spec; those of its gateway stand beside the ones that keep it small.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn make_second_with(&self, space: &str, mut cluster: Value, pool: Value) -> anyhow::Result<()> {
        self.make_namespace(space).await?;
        let demo = self.clusters(NAMESPACE).get(CLUSTER).await?;
        let image = demo.data.pointer("/spec/image").cloned().unwrap_or_default();
        let resources = json!({"requests": {"cpu": "10m", "memory": "64Mi"}});
        let small = json!({"volumeSize": "1Gi", "bufferBytes": "64Mi", "resources": resources});
        let gateway = extended(small, cluster["gateway"].take());
        let spec = extended(json!({"image": image, "deletionPolicy": "Destroy"}), cluster);
        let spec = extended(spec, json!({"gateway": gateway}));
        create(&self.clusters(space), "DataMeshCluster", SECOND, space, spec).await?;
        let spec = json!({
            "clusterRef": SECOND, "replicas": NODES, "erasure": {"dataShards": 1, "parityShards": 2},
            "volumeSize": "1Gi", "resources": resources,
        });
        create(&self.pools(space), "StoragePool", EXTRA, space, extended(spec, pool)).await
    }

    /// Waits until its gateways are there, have the whole catalog, and run what the spec says; and until its pool is Ready.
    ///
    /// # Errors
    /// They are not in time; the message holds the conditions.
    pub async fn until_gateways_whole(&self, space: &str, gateways: usize) -> anyhow::Result<()> {
        let whole = |object: Option<&DynamicObject>| {
            object.is_some_and(|object| {
                let ready = object.data.pointer("/status/gatewaysReady").and_then(Value::as_u64);
                let wanted = [("Ready", "True"), ("DataSafe", "True"), ("Progressing", "False")];
                ready == u64::try_from(gateways).ok()
                    && wanted.iter().all(|(type_, status)| wait::is(object, type_, status))
                    && wait::up_to_date(object)
            })
        };
        let what = "every gateway has the whole catalog";
        wait::object_until(&self.clusters(space), SECOND, what, GATEWAYS_TIMEOUT, whole).await?;
        self.until_ready(space, SECOND, EXTRA).await
    }

    /// Deletes it as an administrator does, and waits until neither volume nor key is left.
    ///
    /// # Errors
    /// Something is left.
    pub async fn destroy_second(&self, space: &str) -> anyhow::Result<()> {
        self.pools(space).delete(EXTRA, &DeleteParams::background()).await?;
        self.clusters(space).delete(SECOND, &DeleteParams::background()).await?;
        let gone = |object: Option<&DynamicObject>| object.is_none();
        wait::object_until(&self.pools(space), EXTRA, "the pool is gone", GONE_TIMEOUT, gone).await?;
        wait::object_until(&self.clusters(space), SECOND, "the cluster is gone", GONE_TIMEOUT, gone).await?;
        let claims = self.api::<PersistentVolumeClaim>(space);
        let none = |now: &[PersistentVolumeClaim]| now.is_empty();
        wait::set_until(&claims, watcher::Config::default(), "no volume is left", GONE_TIMEOUT, none).await?;
        let secrets = self.api::<Secret>(space);
        let none = |now: &[Secret]| now.is_empty();
        wait::set_until(&secrets, watcher::Config::default(), "no key is left", GONE_TIMEOUT, none).await?;
        Ok(())
    }

    /// Removes the namespace with whatever is still in it; after a failure first keeps what explains it.
    ///
    /// # Errors
    /// What `outcome` says, or the API server refuses.
    pub async fn leave_second(
        &self,
        space: &str,
        promise: &str,
        outcome: anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        if outcome.is_err() {
            self.collect(promise).await;
        }
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces.delete(space, &DeleteParams::background()).await?;
        outcome
    }
}

/// `fields` with `further` ones, which may replace some.
fn extended(mut fields: Value, further: Value) -> Value {
    if let (Value::Object(all), Value::Object(further)) = (&mut fields, further) {
        all.extend(further);
    }
    fields
}

async fn create(
    api: &Api<DynamicObject>,
    kind: &str,
    name: &str,
    space: &str,
    spec: Value,
) -> anyhow::Result<()> {
    let object = json!({
        "apiVersion": "datamesh.io/v1alpha1", "kind": kind, "metadata": {"name": name, "namespace": space}, "spec": spec,
    });
    api.create(&Default::default(), &serde_json::from_value(object)?).await?;
    Ok(())
}
