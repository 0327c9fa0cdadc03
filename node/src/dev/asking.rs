//! What is asked of the gateway, as the operator and an administrator do on Kubernetes: the pool, until it takes writes, and a key
//! pair for S3.

use std::time::Duration;

use anyhow::Context as _;
use datamesh_settings::admin::ClusterStatus;
use tokio_util::sync::CancellationToken;

use crate::dev::plan::Plan;
use crate::dev::secrets::Secrets;

/// Between two questions to a gateway that is still starting.
const POLL: Duration = Duration::from_millis(100);

/// A key pair that was just made.
#[derive(serde::Deserialize)]
struct MadeKey {
    id: String,
    secret: String,
}

/// Speaks for the administrator.
pub(super) struct Client {
    http: reqwest::Client,
    server: String,
    token: String,
}

impl Client {
    pub(super) fn new(secrets: &Secrets) -> anyhow::Result<Self> {
        let config: serde_yaml::Value = serde_yaml::from_str(&std::fs::read_to_string(&secrets.cli_config)?)?;
        let server = config["server"].as_str().context("server of the CLI configuration")?.to_owned();
        let pem = std::fs::read(&secrets.certificate)?;
        let http = reqwest::Client::builder()
            .tls_certs_only(reqwest::Certificate::from_pem_bundle(&pem)?)
            .timeout(Duration::from_secs(10))
            .build()?;
        Ok(Self { http, server, token: datamesh_settings::read_secret(&secrets.admin_token)? })
    }

    /// Asks for the pool until it takes writes.
    pub(super) async fn until_ready(&self, plan: &Plan, stop: &CancellationToken) -> anyhow::Result<()> {
        let mut shown = String::new();
        while !stop.is_cancelled() {
            let waiting = match self.ask(plan).await {
                Ok(None) => return Ok(()),
                Ok(Some(reason)) => reason,
                Err(error) if is_starting(&error) => "the gateway".to_owned(),
                Err(error) => return Err(error).context("asking the gateway for the pool"),
            };
            if waiting != shown {
                tracing::info!("waiting for {waiting}");
                shown = waiting;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
        Ok(())
    }

    /// Makes a key pair for S3 and keeps it where clients find it, unless that was done before.
    pub(super) async fn ensure_s3_key(&self, secrets: &Secrets) -> anyhow::Result<()> {
        if secrets.s3_credentials.exists() {
            return Ok(());
        }
        let asked = serde_json::json!({ "name": "dev", "permission": "admin" });
        let keys = format!("{}/api/v1/admin/keys", self.server);
        let made = self.http.post(keys).bearer_auth(&self.token).json(&asked).send().await;
        let made = made.and_then(reqwest::Response::error_for_status).context("asking for an S3 key")?;
        let made: MadeKey = made.json().await.context("the S3 key")?;
        secrets.write_s3_credentials(&made.id, &made.secret)
    }

    /// What the pool still waits for; `None` when it takes writes.
    async fn ask(&self, plan: &Plan) -> reqwest::Result<Option<String>> {
        let pool = format!("{}/api/v1/admin/pools/{}", self.server, plan.pool);
        let put = self.http.put(pool).bearer_auth(&self.token).json(&plan.spec);
        put.send().await?.error_for_status()?;
        let status = self.http.get(format!("{}/api/v1/admin/status", self.server)).bearer_auth(&self.token);
        let status: ClusterStatus = status.send().await?.error_for_status()?.json().await?;
        let pool = status.pools.iter().find(|pool| pool.name == plan.pool);
        Ok(match pool {
            Some(pool) if pool.writable => None,
            Some(pool) => Some(pool.problems.first().cloned().unwrap_or_else(|| "the pool".into())),
            None => Some("the pool".into()),
        })
    }
}

/// Nobody listens yet, or the gateways have not yet agreed who leads.
fn is_starting(error: &reqwest::Error) -> bool {
    let unavailable = error.status() == Some(reqwest::StatusCode::SERVICE_UNAVAILABLE);
    error.is_connect() || error.is_timeout() || unavailable
}
