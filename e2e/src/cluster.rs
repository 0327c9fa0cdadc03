//! The cluster under test: brought up as `make up` does it, reached as an administrator reaches it.

use std::ffi::OsStr;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::{Namespace, Pod, Secret, Service};
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::process::Command;

use crate::forward::Forward;
use crate::gateway::{Access, Gateway};
use crate::kubectl::Kubectl;
use crate::wait;

/// Namespace of the example cluster.
pub const NAMESPACE: &str = "datamesh";
/// Namespace of the operator.
pub const OPERATOR_NAMESPACE: &str = "datamesh-system";
/// Selects the operator's pods.
pub const OPERATOR_PODS: &str = "app.kubernetes.io/component=operator";
/// The example's DataMeshCluster.
pub const CLUSTER: &str = "demo";
/// The example's StoragePool.
pub const POOL: &str = "main";
/// Port of the gateway's HTTPS API.
const HTTPS_PORT: u16 = 8443;
/// What `up.sh` is given: a cold machine builds Kubernetes first, or all programs a second time in Docker.
const UP_TIMEOUT: Duration = Duration::from_secs(60 * 60);
/// A cluster is whole again after this at the latest.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(120);
/// Shards go home within seconds; that all of them have is counted in passes a minute apart.
const WHOLE_TIMEOUT: Duration = Duration::from_secs(300);

/// A running DataMesh.
pub struct Cluster {
    /// The API server.
    pub client: kube::Client,
    /// The same by kubectl.
    pub kubectl: Kubectl,
    kubeconfig: PathBuf,
    /// The file that configures the `datamesh` program for this cluster.
    pub client_config: PathBuf,
}

/// A gateway and, where it is not reached directly, the forwarded port that ends with it.
pub struct Door {
    /// The client.
    pub gateway: Gateway,
    _forward: Option<Forward>,
}

/// The repository.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

impl Cluster {
    /// Runs `scripts/up.sh`, which uses KUBECONFIG if set and leaves a running cluster as it is.
    ///
    /// # Errors
    /// The cluster does not come up; the script says why.
    pub async fn bring_up() -> anyhow::Result<Self> {
        let mut command = Command::new(root().join("scripts/up.sh"));
        // What cargo says of this test's package is news to ring's build script: half of all would be compiled anew.
        let of_this_package = |name: &OsStr| {
            let name = name.to_string_lossy();
            name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
        };
        for (name, _) in std::env::vars_os().filter(|(name, _)| of_this_package(name)) {
            command.env_remove(name);
        }
        if let Some(given) = std::env::var_os("DATAMESH_E2E_KUBECONFIG") {
            command.env("KUBECONFIG", given);
        }
        let run =
            command.arg("--print-env").stderr(std::process::Stdio::inherit()).kill_on_drop(true).output();
        let output = tokio::time::timeout(UP_TIMEOUT, run).await.context("scripts/up.sh hangs")??;
        ensure!(output.status.success(), "scripts/up.sh: {}", output.status);
        let text = String::from_utf8(output.stdout)?;
        let value = |name: &str| {
            let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            found.map(PathBuf::from).with_context(|| format!("scripts/up.sh --print-env prints no {name}"))
        };
        let kubeconfig = value("KUBECONFIG")?;
        let config = Kubeconfig::read_from(&kubeconfig)?;
        let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
        Ok(Self {
            client: kube::Client::try_from(config)?,
            kubectl: Kubectl::new(value("KUBECTL")?, kubeconfig.clone()),
            kubeconfig,
            client_config: value("DATAMESH_CONFIG")?,
        })
    }

    /// The file kubectl and others find the cluster by.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// DataMeshClusters of a namespace.
    #[must_use]
    pub fn clusters(&self, namespace: &str) -> Api<DynamicObject> {
        self.custom(namespace, "DataMeshCluster")
    }

    /// StoragePools of a namespace.
    #[must_use]
    pub fn pools(&self, namespace: &str) -> Api<DynamicObject> {
        self.custom(namespace, "StoragePool")
    }

    fn custom(&self, namespace: &str, kind: &str) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("datamesh.io", "v1alpha1", kind));
        Api::namespaced_with(self.client.clone(), namespace, &resource)
    }

    /// Objects of a namespace.
    #[must_use]
    pub fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Waits until a cluster and its pool are Ready for their present specs.
    ///
    /// # Errors
    /// They are not in time; the message holds their conditions.
    pub async fn until_ready(&self, namespace: &str, cluster: &str, pool: &str) -> anyhow::Result<()> {
        let ready = |object: Option<&DynamicObject>| {
            object.is_some_and(|o| wait::is(o, "Ready", "True") && wait::up_to_date(o))
        };
        wait::object_until(&self.clusters(namespace), cluster, "the cluster is Ready", SETTLE_TIMEOUT, ready)
            .await?;
        wait::object_until(&self.pools(namespace), pool, "the pool is Ready", SETTLE_TIMEOUT, ready).await?;
        Ok(())
    }

    /// Waits until nothing of the example is down or being replaced: what each promise starts from and leaves behind.
    ///
    /// # Errors
    /// Something stays down; the message says what.
    pub async fn settle(&self) -> anyhow::Result<()> {
        self.uncordon().await?;
        self.until_ready(NAMESPACE, CLUSTER, POOL).await?;
        let all_up = |pool: Option<&DynamicObject>| {
            pool.is_some_and(|p| {
                p.data.pointer("/status/nodesUp") == p.data.pointer("/spec/replicas")
                    && wait::is(p, "Progressing", "False")
            })
        };
        let what = "all nodes of the pool answer";
        wait::object_until(&self.pools(NAMESPACE), POOL, what, SETTLE_TIMEOUT, all_up).await?;
        self.until_pods_ready(SETTLE_TIMEOUT).await
    }

    /// Waits until the nodes have counted that all data of the example survives any two losses.
    ///
    /// # Errors
    /// It does not in time; the message holds the conditions.
    pub async fn until_whole(&self) -> anyhow::Result<()> {
        let whole = |object: Option<&DynamicObject>| {
            object
                .and_then(|o| wait::condition(o, "Degraded"))
                .is_some_and(|c| c.status == "False" && c.message.contains("as the nodes counted"))
        };
        let what = "all data is whole";
        wait::object_until(&self.clusters(NAMESPACE), CLUSTER, what, WHOLE_TIMEOUT, whole).await?;
        Ok(())
    }

    /// A field of a Secret.
    ///
    /// # Errors
    /// There is none.
    pub async fn secret(&self, namespace: &str, name: &str, field: &str) -> anyhow::Result<Vec<u8>> {
        let secret = self.api::<Secret>(namespace).get(name).await?;
        let data = secret.data.unwrap_or_default();
        Ok(data.get(field).with_context(|| format!("Secret {name} has no {field}"))?.0.clone())
    }

    /// Reaches the example's gateway: by its Service's address where this machine can, else by a forwarded port.
    ///
    /// # Errors
    /// It cannot be reached.
    pub async fn gateway(&self) -> anyhow::Result<Door> {
        self.gateway_of(NAMESPACE, CLUSTER).await
    }

    /// Reaches a cluster's gateway.
    ///
    /// # Errors
    /// It cannot be reached.
    pub async fn gateway_of(&self, namespace: &str, cluster: &str) -> anyhow::Result<Door> {
        let service_name = format!("{cluster}-gateway");
        let (address, forward) = self.reach(namespace, &service_name, HTTPS_PORT).await?;
        let tokens = format!("{cluster}-tokens");
        let text = async |field: &str| -> anyhow::Result<String> {
            Ok(String::from_utf8(self.secret(namespace, &tokens, field).await?)?)
        };
        let access = Access {
            address,
            host: format!("{service_name}.{namespace}.svc"),
            ca: self.secret(namespace, &format!("{cluster}-gateway-tls"), "ca.crt").await?,
            token: text("token").await?,
            admin_token: text("admin-token").await?,
        };
        Ok(Door { gateway: Gateway::new(access)?, _forward: forward })
    }

    /// Where a port of a Service is reached: its own address where this machine can, else a port of this machine, forwarded while
    /// what is returned lives.
    ///
    /// # Errors
    /// There is no such Service, or kubectl forwards nothing.
    pub async fn reach(
        &self,
        namespace: &str,
        service: &str,
        port: u16,
    ) -> anyhow::Result<(SocketAddr, Option<Forward>)> {
        let found = self.api::<Service>(namespace).get(service).await?;
        let ip = found.spec.and_then(|spec| spec.cluster_ip).context("the Service has no address")?;
        let direct = SocketAddr::new(ip.parse()?, port);
        let connecting = tokio::net::TcpStream::connect(direct);
        if let Ok(Ok(_)) = tokio::time::timeout(Duration::from_secs(2), connecting).await {
            return Ok((direct, None));
        }
        let forward = Forward::start(&self.kubectl, namespace, service, port).await?;
        Ok((forward.address, Some(forward)))
    }

    /// An address of this machine that pods reach: the one from which it reaches one of them.
    ///
    /// # Errors
    /// No pod has an address.
    pub async fn address_for_pods(&self) -> anyhow::Result<IpAddr> {
        let pods = self.api::<Pod>(NAMESPACE).list(&ListParams::default()).await?;
        let mut addresses = pods.items.iter().filter_map(|pod| pod.status.as_ref()?.pod_ip.as_ref());
        let pod: IpAddr = addresses.next().context("no pod has an address")?.parse()?;
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect((pod, 9))?;
        Ok(socket.local_addr()?.ip())
    }

    /// Makes a namespace that admits only restricted pods.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn make_namespace(&self, name: &str) -> anyhow::Result<()> {
        let namespace: Namespace = serde_json::from_value(serde_json::json!({
            "metadata": {"name": name, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}
        }))?;
        Api::all(self.client.clone()).create(&Default::default(), &namespace).await?;
        Ok(())
    }
}
