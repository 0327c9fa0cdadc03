//! The gateway's admin API, as far as the operator uses it.

use std::time::Duration;

use datamesh_crds::DataMeshCluster;
use datamesh_settings::HTTPS_PORT;
use datamesh_settings::admin::{ClusterStatus, PoolSpec};
use datamesh_shard::PoolName;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use reqwest::{Certificate, Client, Response};
use zeroize::Zeroizing;

use crate::{names, secrets};

/// Time for a whole request: a gateway that is slower than this is as good as away.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Characters of a gateway's error answer that are shown.
const ANSWER_SHOWN_MAX: usize = 300;
/// Bytes of an answer at most: a status of 1000 nodes has about half of that.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Where a cluster's gateway is and how to be let in.
pub(crate) struct Door {
    /// DNS name of its Service.
    pub(crate) host: String,
    /// PEM of the CA that signed its certificate; without, a public one did.
    pub(crate) ca: Option<String>,
    /// Bearer token.
    pub(crate) admin_token: Zeroizing<String>,
}

/// Why the gateway could not be asked. The text goes into conditions, so it says what to look at.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GatewayError {
    /// There is no cluster, so no gateway.
    #[error("the pool's DataMeshCluster does not exist")]
    NoCluster,
    /// Tokens or certificates are not there (yet).
    #[error("Secret {0} is not there yet")]
    NoDoor(String),
    /// No connection, no TLS, no answer in time.
    #[error("the gateway at {host} does not answer: {reason}")]
    Unreachable { host: String, reason: String },
    /// It answered, but not with success.
    #[error("the gateway at {host} answers {status}: {answer}")]
    Refused { host: String, status: u16, answer: String },
    /// It answered with what this build cannot read.
    #[error("the gateway at {host} answers what this operator cannot read ({reason}): use matching images")]
    Unreadable { host: String, reason: String },
}

impl Door {
    /// The door of `cluster`, with what its Secrets say. `tls` is the one the gateway serves with.
    ///
    /// # Errors
    /// Names the Secret that is not there yet.
    pub(crate) fn of(
        cluster: &DataMeshCluster,
        tokens: Option<&Secret>,
        tls: Option<&Secret>,
    ) -> Result<Self, GatewayError> {
        let (name, namespace) = (cluster.name_any(), cluster.namespace().unwrap_or_default());
        let admin_token = tokens.and_then(|secret| secrets::text_of(secret, names::ADMIN_TOKEN_FIELD));
        let ca = tls.and_then(|secret| secrets::text_of(secret, "ca.crt"));
        if ca.is_none() && cluster.spec.tls.secret_name.is_none() {
            return Err(GatewayError::NoDoor(names::gateway_tls(&name)));
        }
        Ok(Self {
            host: names::service_host(&names::gateway(&name), &namespace),
            ca: ca.map(|pem| pem.to_string()),
            admin_token: admin_token.ok_or_else(|| GatewayError::NoDoor(names::tokens(&name)))?,
        })
    }

    /// What the cluster knows of itself.
    pub(crate) async fn status(&self) -> Result<ClusterStatus, GatewayError> {
        let response =
            self.client()?.get(self.url("status")).bearer_auth(self.admin_token.as_str()).send().await;
        let body = self.accepted(response).await?;
        serde_json::from_slice(&body).map_err(|error| self.unreadable(&error))
    }

    /// Says what the administrator wants of a pool. Idempotent.
    pub(crate) async fn put_pool(&self, pool: &PoolName, spec: &PoolSpec) -> Result<(), GatewayError> {
        let request =
            self.client()?.put(self.url(&format!("pools/{pool}"))).bearer_auth(self.admin_token.as_str());
        self.accepted(request.json(spec).send().await).await.map(|_| ())
    }

    fn client(&self) -> Result<Client, GatewayError> {
        let builder = Client::builder().timeout(REQUEST_TIMEOUT).https_only(true).no_proxy();
        let builder = match &self.ca {
            Some(pem) => {
                let roots = Certificate::from_pem_bundle(pem.as_bytes()).map_err(|e| self.unreachable(&e))?;
                builder.tls_certs_only(roots)
            }
            None => builder,
        };
        builder.build().map_err(|error| self.unreachable(&error))
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}:{HTTPS_PORT}/api/v1/admin/{path}", self.host)
    }

    async fn accepted(&self, response: reqwest::Result<Response>) -> Result<Vec<u8>, GatewayError> {
        let response = response.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let body = self.bounded_body(response).await?;
        if status.is_success() {
            return Ok(body);
        }
        let answer = String::from_utf8_lossy(&body).chars().take(ANSWER_SHOWN_MAX).collect();
        Err(GatewayError::Refused { host: self.host.clone(), status: status.as_u16(), answer })
    }

    async fn bounded_body(&self, mut response: Response) -> Result<Vec<u8>, GatewayError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(GatewayError::Unreadable {
                    host: self.host.clone(),
                    reason: format!("more than {ANSWER_BYTES_MAX} bytes"),
                });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn unreachable(&self, error: &reqwest::Error) -> GatewayError {
        GatewayError::Unreachable { host: self.host.clone(), reason: root_cause(error) }
    }

    fn unreadable(&self, error: &serde_json::Error) -> GatewayError {
        GatewayError::Unreadable { host: self.host.clone(), reason: error.to_string() }
    }
}

/// The innermost reason: "connection refused" says more than "error sending request".
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
