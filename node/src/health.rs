//! `/livez`, `/readyz` and `/metrics` over plain HTTP, for the kubelet and Prometheus.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use futures::future::BoxFuture;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// OpenMetrics' content type: what the encoder writes.
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Asked at each probe; the error says what is waited for.
type Ready = Box<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// A bound health server.
pub(crate) struct Health {
    listener: TcpListener,
    state: Arc<Shared>,
}

struct Shared {
    registry: Arc<Registry>,
    ready: Ready,
}

impl Health {
    /// Binds the address.
    ///
    /// # Errors
    /// When the address is taken.
    pub(crate) async fn bind<F>(
        address: SocketAddr,
        registry: Arc<Registry>,
        ready: impl Fn() -> F + Send + Sync + 'static,
    ) -> anyhow::Result<Self>
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let listener = TcpListener::bind(address).await.with_context(|| format!("health port {address}"))?;
        let ready: Ready = Box::new(move || Box::pin(ready()));
        Ok(Self { listener, state: Arc::new(Shared { registry, ready }) })
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
    match (shared.ready)().await {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

async fn metrics(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    let mut text = String::new();
    match encode(&mut text, &shared.registry) {
        Ok(()) => ([(header::CONTENT_TYPE, METRICS_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
