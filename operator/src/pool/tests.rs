//! What a pass asks of the API server, which here takes everything and gives it back.

use std::sync::Mutex;

use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use kube::runtime::events::{Recorder, Reporter};

use super::*;
use crate::backoff::Backoff;
use crate::health::Health;
use crate::pool::validate::tests;

/// Requests as `PATCH /api/v1/…`, in their order.
type Requests = Arc<Mutex<Vec<String>>>;

fn context() -> (Context, Requests) {
    let requests = Requests::default();
    let seen = requests.clone();
    let server = tower::service_fn(move |request: Request<Body>| {
        seen.lock().unwrap().push(format!("{} {}", request.method(), request.uri().path()));
        async move {
            assert!(matches!(*request.method(), Method::PATCH | Method::POST), "{request:?}");
            let object = request.into_body().collect_bytes().await?;
            Ok::<_, kube::Error>(Response::new(Body::from(object)))
        }
    });
    let client = Client::new(server, "datamesh");
    let reporter = Reporter { controller: "test".into(), instance: None };
    let context = Context {
        recorder: Recorder::new(client.clone(), reporter),
        client,
        health: Arc::new(Health::new()),
        backoff: Backoff::default(),
        field_manager: "datamesh-operator/pool",
    };
    (context, requests)
}

async fn carried_out(told: Result<(), Untold>) -> (Outcome, Vec<String>) {
    let (context, requests) = context();
    let (pool, found) = (validate::validate(&tests::pool(), &tests::found()).unwrap(), tests::found());
    let outcome = carry_out(&pool, &found, told, None, &context).await.unwrap();
    let requests = requests.lock().unwrap().clone();
    (outcome, requests)
}

fn stateful_sets(requests: &[String]) -> usize {
    requests.iter().filter(|request| request.contains("/statefulsets/")).count()
}

#[tokio::test]
async fn what_the_gateway_refuses_touches_nothing() {
    let refused = Untold::Refused("members n6 still hold data".into());
    let (outcome, requests) = carried_out(Err(refused)).await;
    let words = "The gateway refuses the pool: members n6 still hold data";
    assert_eq!(outcome, Outcome::Invalid(words.into()));
    assert_eq!(requests, Vec::<String>::new());
}

#[tokio::test]
async fn what_it_takes_is_made() {
    let (outcome, requests) = carried_out(Ok(())).await;
    assert!(matches!(outcome, Outcome::Underway { reason: "NodesStarting", .. }), "{outcome:?}");
    assert_eq!(stateful_sets(&requests), 6);
}

#[tokio::test]
async fn a_gateway_that_is_away_holds_no_new_node_up() {
    let (outcome, requests) = carried_out(Err(Untold::Away("no answer".into()))).await;
    let message = "no answer. Starting 6 of 6 nodes.".to_owned();
    assert_eq!(outcome, Outcome::Underway { reason: "GatewayUnreachable", message });
    assert_eq!(stateful_sets(&requests), 6);
}
