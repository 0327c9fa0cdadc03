//! The cluster: how it is, and what its nodes are to do.

use datamesh_settings::admin::ClusterStatus;
use datamesh_settings::mesh::MeshStatus;
use datamesh_shard::{NodeName, PoolName};
use reqwest::Method;

use super::{Client, ExportedKey, accepted, json};
use crate::failure::Failure;

impl Client {
    pub(crate) async fn status(&self) -> Result<ClusterStatus, Failure> {
        self.read("/status").await
    }

    /// Has a node give its shards away; asked again, nothing changes.
    pub(crate) async fn drain(&self, pool: &PoolName, node: &NodeName) -> Result<ClusterStatus, Failure> {
        self.change_node(Method::PUT, &format!("/{pool}/drains/{node}")).await
    }

    /// Has a node take shards again.
    pub(crate) async fn undrain(&self, pool: &PoolName, node: &NodeName) -> Result<ClusterStatus, Failure> {
        self.change_node(Method::DELETE, &format!("/{pool}/drains/{node}")).await
    }

    /// Gives a node's volume up: it may join with an empty one.
    pub(crate) async fn replace(&self, pool: &PoolName, node: &NodeName) -> Result<ClusterStatus, Failure> {
        self.change_node(Method::POST, &format!("/{pool}/nodes/{node}/replace")).await
    }

    /// Asks every node what it sees.
    pub(crate) async fn mesh(&self) -> Result<MeshStatus, Failure> {
        self.administer(Method::GET, "/mesh").await
    }

    /// Asked twice, it is done once.
    async fn change_node(&self, method: Method, path: &str) -> Result<ClusterStatus, Failure> {
        self.administer(method, &format!("/pools{path}")).await
    }

    pub(crate) async fn export_key(&self) -> Result<ExportedKey, Failure> {
        let url = format!("{}/api/v1/admin/key/export", self.base);
        let request = self.http.post(url).bearer_auth(self.config.admin_token()?);
        json(accepted(request.send().await?).await?).await
    }
}
