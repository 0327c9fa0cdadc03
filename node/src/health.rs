//! `/livez`, `/readyz` and `/metrics` over plain HTTP, for the kubelet and Prometheus.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// OpenMetrics' content type: what the encoder writes.
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A bound health server.
pub(crate) struct Health {
    listener: TcpListener,
    state: Arc<Shared>,
}

struct Shared {
    registry: Registry,
    /// `None` when ready, else what is waited for.
    waiting_for: watch::Receiver<Option<String>>,
}

impl Health {
    /// Binds the address.
    ///
    /// # Errors
    /// When the address is taken.
    pub(crate) async fn bind(
        address: SocketAddr,
        registry: Registry,
        waiting_for: watch::Receiver<Option<String>>,
    ) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address).await.with_context(|| format!("health port {address}"))?;
        Ok(Self { listener, state: Arc::new(Shared { registry, waiting_for }) })
    }

    /// Serves until stopped.
    ///
    /// # Errors
    /// When accepting fails for good.
    pub(crate) async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let router = Router::new()
            .route("/livez", get(async || "ok\n"))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .with_state(self.state);
        let serve = axum::serve(self.listener, router).with_graceful_shutdown(stop.cancelled_owned());
        Ok(serve.await?)
    }
}

async fn ready(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    match &*shared.waiting_for.borrow() {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("waiting for {reason}\n")),
    }
}

async fn metrics(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    let mut text = String::new();
    match encode(&mut text, &shared.registry) {
        Ok(()) => ([(header::CONTENT_TYPE, METRICS_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
