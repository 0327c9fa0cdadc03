//! A web server that takes events, and does with them what a test wants.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use futures::stream;
use http::{HeaderMap, StatusCode, header};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::https::{Certificates, Https};
use crate::tests::https::write_certificate;

/// A message.
pub(super) struct Told {
    pub(super) headers: HeaderMap,
    pub(super) bytes: Bytes,
    pub(super) body: Value,
}

/// How it answers.
#[derive(Clone)]
enum Answer {
    Status(u16),
    Elsewhere(String),
    Endless,
    /// So to messages in which this stands, and with success to others.
    Refusal(u16, String),
}

#[derive(Clone)]
struct Served {
    answer: Arc<Mutex<Answer>>,
    told: mpsc::UnboundedSender<Told>,
}

pub(super) struct Receiver {
    address: SocketAddr,
    scheme: &'static str,
    answer: Arc<Mutex<Answer>>,
    told: mpsc::UnboundedReceiver<Told>,
    serving: JoinSet<()>,
}

impl Receiver {
    pub(super) async fn start() -> Self {
        Self::at("127.0.0.1:0".parse().unwrap()).await
    }

    pub(super) async fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (router, answer, told) = served();
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, scheme: "http", answer, told, serving }
    }

    /// With a certificate that nobody vouches for but the file that this gives.
    pub(super) async fn with_tls(folder: &Path) -> (Self, PathBuf) {
        let (files, _) = write_certificate(folder);
        let certificates = Arc::new(Certificates::open(&files).unwrap());
        let https = Https::bind(
            "127.0.0.1:0".parse().unwrap(),
            certificates,
            crate::https::Connections::within(None),
        )
        .await
        .unwrap();
        let address = https.local_addr();
        let (router, answer, told) = served();
        let mut serving = JoinSet::new();
        serving.spawn(https.run(router, CancellationToken::new()));
        (Self { address, scheme: "https", answer, told, serving }, files.certificate_file)
    }

    pub(super) fn url(&self) -> String {
        format!("{}://localhost:{}/told", self.scheme, self.address.port())
    }

    /// Nobody listens there any more when it returns.
    pub(super) async fn stop(mut self) -> SocketAddr {
        self.serving.shutdown().await;
        self.address
    }

    /// With this status from now on.
    pub(super) fn answers(&self, status: u16) {
        *self.answer.lock() = Answer::Status(status);
    }

    /// With this status to messages that have such a text in them.
    pub(super) fn refuses(&self, status: u16, text: &str) {
        *self.answer.lock() = Answer::Refusal(status, text.to_owned());
    }

    /// With another address to go to.
    pub(super) fn sends_to(&self, url: &str) {
        *self.answer.lock() = Answer::Elsewhere(url.to_owned());
    }

    /// With success, and a body that has no end.
    pub(super) fn never_ends(&self) {
        *self.answer.lock() = Answer::Endless;
    }

    /// The next message.
    pub(super) async fn next(&mut self) -> Told {
        let next = tokio::time::timeout(std::time::Duration::from_secs(20), self.told.recv());
        next.await.expect("no message comes").unwrap()
    }

    /// Messages that came and were not looked at.
    pub(super) fn waiting(&mut self) -> usize {
        self.told.len()
    }
}

fn served() -> (Router, Arc<Mutex<Answer>>, mpsc::UnboundedReceiver<Told>) {
    let (to, told) = mpsc::unbounded_channel();
    let answer = Arc::new(Mutex::new(Answer::Status(200)));
    let served = Served { answer: Arc::clone(&answer), told: to };
    (Router::new().fallback(take).with_state(served), answer, told)
}

async fn take(State(served): State<Served>, headers: HeaderMap, bytes: Bytes) -> Response {
    let body = serde_json::from_slice(&bytes).unwrap();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    served.told.send(Told { headers, bytes, body }).unwrap();
    let mut response = Response::new(Body::empty());
    match served.answer.lock().clone() {
        Answer::Status(status) => *response.status_mut() = StatusCode::from_u16(status).unwrap(),
        Answer::Refusal(status, what) if text.contains(&what) => {
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
        }
        Answer::Refusal(..) => {}
        Answer::Elsewhere(url) => {
            *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
            response.headers_mut().insert(header::LOCATION, url.parse().unwrap());
        }
        Answer::Endless => {
            let piece = Bytes::from_static(&[b'x'; 4096]);
            *response.body_mut() =
                Body::from_stream(stream::repeat_with(move || Ok::<_, std::io::Error>(piece.clone())));
        }
    }
    response
}
