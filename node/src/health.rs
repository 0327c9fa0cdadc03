//! `/livez`, `/readyz` and `/metrics` over plain HTTP, for the kubelet and Prometheus.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

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
    /// Why it is not ready before there is more to ask.
    reason: Box<dyn Fn() -> String + Send + Sync>,
    served: OnceLock<Served>,
}

/// What there is once the process has begun to do its part.
struct Served {
    registry: Arc<Registry>,
    ready: Ready,
}

/// Tells a health server that its process has started.
pub(crate) struct Starting(Arc<Shared>);

impl Starting {
    /// From here on these are asked.
    pub(crate) fn done<F>(self, registry: Arc<Registry>, ready: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let _ = self.0.served.set(Served::new(registry, ready));
    }
}

impl Served {
    fn new<F>(registry: Arc<Registry>, ready: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        Self { registry, ready: Box::new(move || Box::pin(ready())) }
    }
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
        let (health, starting) = Self::bind_first(address, String::new).await?;
        starting.done(registry, ready);
        Ok(health)
    }

    /// Binds it before the process can do its part, which may take as long as others need: it lives, and is not ready for this reason.
    ///
    /// # Errors
    /// When the address is taken.
    pub(crate) async fn bind_first(
        address: SocketAddr,
        reason: impl Fn() -> String + Send + Sync + 'static,
    ) -> anyhow::Result<(Self, Starting)> {
        let listener = TcpListener::bind(address).await.with_context(|| format!("health port {address}"))?;
        let state = Arc::new(Shared { reason: Box::new(reason), served: OnceLock::new() });
        Ok((Self { listener, state: Arc::clone(&state) }, Starting(state)))
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
    let Some(served) = shared.served.get() else {
        return (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", (shared.reason)()));
    };
    match (served.ready)().await {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

async fn metrics(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    let mut text = String::new();
    let none = Registry::default();
    let registry = shared.served.get().map_or(&none, |served| &*served.registry);
    match encode(&mut text, registry) {
        Ok(()) => ([(header::CONTENT_TYPE, METRICS_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    async fn said(state: &Arc<Shared>) -> (StatusCode, String) {
        let answer = ready(State(Arc::clone(state))).await.into_response();
        let status = answer.status();
        (status, String::from_utf8(to_bytes(answer.into_body(), 1024).await.unwrap().to_vec()).unwrap())
    }

    #[tokio::test]
    async fn what_is_waited_for_is_said_until_the_process_has_started() {
        let any = "127.0.0.1:0".parse().unwrap();
        let (health, starting) = Health::bind_first(any, || "waits for gw-0".into()).await.unwrap();
        let waits = (StatusCode::SERVICE_UNAVAILABLE, "waits for gw-0\n".to_owned());
        assert_eq!(said(&health.state).await, waits);
        let scraped = metrics(State(Arc::clone(&health.state))).await.into_response();
        assert_eq!(scraped.status(), StatusCode::OK);
        starting.done(Arc::default(), || std::future::ready(Ok(())));
        assert_eq!(said(&health.state).await, (StatusCode::OK, "ok\n".to_owned()));
    }
}
