//! `/livez`, `/readyz` and `/metrics`, plain HTTP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// Content type of the page Prometheus reads.
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the endpoints show.
pub(crate) struct Health {
    pub(crate) metrics: Metrics,
    ready: AtomicBool,
}

impl Health {
    pub(crate) fn new() -> Self {
        Self { metrics: Metrics::new(), ready: AtomicBool::new(false) }
    }

    /// From now on `/readyz` says yes.
    pub(crate) fn set_ready(&self) {
        self.ready.store(true, Ordering::Relaxed);
    }
}

/// A server that listens already.
pub(crate) struct HealthServer {
    listener: TcpListener,
    health: Arc<Health>,
}

impl HealthServer {
    pub(crate) async fn bind(listen: SocketAddr, health: Arc<Health>) -> std::io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(listen).await?, health })
    }

    #[cfg(test)]
    fn local_addr(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    pub(crate) async fn run(self, stop: CancellationToken) -> std::io::Result<()> {
        let router = Router::new()
            .route("/livez", get(|| async { "ok\n" }))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .with_state(self.health);
        axum::serve(self.listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
    }
}

async fn ready(State(health): State<Arc<Health>>) -> (StatusCode, &'static str) {
    if health.ready.load(Ordering::Relaxed) {
        (StatusCode::OK, "ok\n")
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "the custom resource definitions of datamesh.io are not there yet\n",
        )
    }
}

async fn metrics(
    State(health): State<Arc<Health>>,
) -> Result<([(&'static str, &'static str); 1], String), StatusCode> {
    let page = health.metrics.render().map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(([("content-type", METRICS_TYPE)], page))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_ready_only_when_told() {
        let health = Arc::new(Health::new());
        let server = HealthServer::bind("127.0.0.1:0".parse().unwrap(), health.clone()).await.unwrap();
        let base = format!("http://{}", server.local_addr());
        let stop = CancellationToken::new();
        let mut running = tokio::task::JoinSet::new();
        running.spawn(server.run(stop.clone()));
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let status =
            async |path: &str| client.get(format!("{base}{path}")).send().await.unwrap().status().as_u16();
        assert_eq!((status("/livez").await, status("/readyz").await), (200, 503));
        health.set_ready();
        assert_eq!((status("/readyz").await, status("/metrics").await), (200, 200));
        stop.cancel();
        running.join_next().await.unwrap().unwrap().unwrap();
    }
}
