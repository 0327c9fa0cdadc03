//! The gateway's admin API, as far as the operator uses it.

use std::time::Duration;

use datamesh_crds::DataMeshCluster;
use datamesh_settings::HTTPS_PORT;
use datamesh_settings::admin::{ClusterStatus, PoolSpec};
use datamesh_shard::PoolName;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use reqwest::{Certificate, Client, Response};
use serde::Deserialize;
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
    /// PEM of the CA that signed its certificate; no other is trusted.
    pub(crate) ca: String,
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
    /// Nothing to know the gateway by. (The image has no public CAs, and none signs the name of a Service.)
    #[error("Secret {0} has no field ca.crt, the CA by which the operator knows the gateway")]
    NoCa(String),
    /// No connection, no TLS, no answer in time.
    #[error("the gateway at {host} does not answer: {reason}")]
    Unreachable { host: String, reason: String },
    /// It answered, but not with success: 400 and 409 refuse what was asked, 401 and 403 the token, 5xx are its own
    /// troubles. `answer` is in its own words.
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
        let tls_name = || cluster.spec.tls.secret_name.clone().unwrap_or_else(|| names::gateway_tls(&name));
        let tls = tls.ok_or_else(|| GatewayError::NoDoor(tls_name()))?;
        let ca = secrets::text_of(tls, "ca.crt").ok_or_else(|| GatewayError::NoCa(tls_name()))?;
        Ok(Self {
            host: names::service_host(&names::gateway(&name), &namespace),
            ca: ca.to_string(),
            admin_token: admin_token.ok_or_else(|| GatewayError::NoDoor(names::tokens(&name)))?,
        })
    }

    /// What the cluster knows of itself. Asked twice before it is unreachable: conditions shall not turn over one lost
    /// packet or one slow answer.
    pub(crate) async fn status(&self) -> Result<ClusterStatus, GatewayError> {
        at_most_twice(|| self.status_once()).await
    }

    async fn status_once(&self) -> Result<ClusterStatus, GatewayError> {
        let response =
            self.client()?.get(self.url("status")).bearer_auth(self.admin_token.as_str()).send().await;
        self.status_in(response).await
    }

    /// Says what the administrator wants of a pool; the answer is what the cluster then knows of itself. Idempotent.
    pub(crate) async fn put_pool(
        &self,
        pool: &PoolName,
        spec: &PoolSpec,
    ) -> Result<ClusterStatus, GatewayError> {
        let request =
            self.client()?.put(self.url(&format!("pools/{pool}"))).bearer_auth(self.admin_token.as_str());
        self.status_in(request.json(spec).send().await).await
    }

    async fn status_in(&self, response: reqwest::Result<Response>) -> Result<ClusterStatus, GatewayError> {
        let body = self.accepted(response).await?;
        serde_json::from_slice(&body).map_err(|error| self.unreadable(&error))
    }

    fn client(&self) -> Result<Client, GatewayError> {
        let roots = Certificate::from_pem_bundle(self.ca.as_bytes()).map_err(|e| self.unreachable(&e))?;
        let builder = Client::builder().timeout(REQUEST_TIMEOUT).https_only(true).no_proxy();
        builder.tls_certs_only(roots).build().map_err(|error| self.unreachable(&error))
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
        Err(GatewayError::Refused { host: self.host.clone(), status: status.as_u16(), answer: words(&body) })
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

/// Asks again when the gateway did not answer; what it answered stands.
async fn at_most_twice<T, F>(ask: impl Fn() -> F) -> Result<T, GatewayError>
where
    F: Future<Output = Result<T, GatewayError>>,
{
    match ask().await {
        Err(GatewayError::Unreachable { reason, .. }) => {
            tracing::debug!(reason, "the gateway does not answer; asking once more");
            ask().await
        }
        answer => answer,
    }
}

/// What an error answer says: the `detail` of its problem document, else its first characters.
fn words(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Problem {
        detail: String,
    }
    let text = match serde_json::from_slice::<Problem>(body) {
        Ok(problem) => problem.detail,
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    text.chars().take(ANSWER_SHOWN_MAX).collect()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::cluster::tests::cluster;

    fn unreachable() -> GatewayError {
        GatewayError::Unreachable { host: "demo-gateway".into(), reason: "timed out".into() }
    }

    fn refused() -> GatewayError {
        GatewayError::Refused { host: "demo-gateway".into(), status: 409, answer: "no".into() }
    }

    /// Asks a gateway that answers so, in this order. Says what came of it and how often it was asked.
    async fn asked(answers: &[fn() -> Result<u8, GatewayError>]) -> (Result<u8, GatewayError>, usize) {
        let times = Cell::new(0);
        let ask = || {
            let answer = answers[times.get()]();
            times.set(times.get() + 1);
            std::future::ready(answer)
        };
        let outcome = at_most_twice(ask).await;
        (outcome, times.get())
    }

    #[tokio::test]
    async fn one_lost_answer_is_asked_for_again_and_two_are_told() {
        assert!(matches!(asked(&[|| Ok(7)]).await, (Ok(7), 1)));
        assert!(matches!(asked(&[|| Err(unreachable()), || Ok(7)]).await, (Ok(7), 2)));
        let twice = asked(&[|| Err(unreachable()), || Err(unreachable())]).await;
        assert!(matches!(twice, (Err(GatewayError::Unreachable { .. }), 2)));
        assert!(matches!(asked(&[|| Err(refused())]).await, (Err(GatewayError::Refused { .. }), 1)));
    }

    #[test]
    fn a_refusal_is_told_in_the_gateways_words() {
        let problem = br#"{"type": "https://datamesh.io/problems/pool-in-use", "title": "T", "status": 409,
            "detail": "members n6 still hold data", "field": "members"}"#;
        assert_eq!(words(problem), "members n6 still hold data");
        assert_eq!(words(b"no JSON"), "no JSON");
        assert_eq!(words(&[b'x'; 9999]).len(), ANSWER_SHOWN_MAX);
    }

    #[test]
    fn a_gateway_is_known_by_a_ca_only() {
        let tokens =
            Secret { data: secrets::data(&[(names::ADMIN_TOKEN_FIELD, "token")]), ..Secret::default() };
        let with = |fields: &[(&str, &str)]| Secret { data: secrets::data(fields), ..Secret::default() };
        let mut given = cluster();
        given.spec.tls.secret_name = Some("mine".into());
        for cluster in [cluster(), given] {
            let door = |tls| Door::of(&cluster, Some(&tokens), tls);
            let name = cluster.spec.tls.secret_name.as_deref().unwrap_or("demo-gateway-tls");
            assert!(matches!(door(None), Err(GatewayError::NoDoor(secret)) if secret == name));
            let bare = with(&[("tls.crt", "x"), ("tls.key", "x")]);
            assert!(matches!(door(Some(&bare)), Err(GatewayError::NoCa(secret)) if secret == name));
            assert_eq!(door(Some(&with(&[("ca.crt", "the ca")]))).unwrap().ca, "the ca");
        }
    }
}
