//! What a pass asks of the API server, which here takes everything and gives it back.

use std::sync::Mutex;

use datamesh_settings::admin::MemberState::Up;
use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use kube::runtime::events::{Recorder, Reporter};

use super::*;
use crate::backoff::Backoff;
use crate::gateway_api::GatewayError;
use crate::health::Health;
use crate::pool::leaving::tests::{seventh, taken};
use crate::pool::validate::tests;

/// Requests as `PATCH /api/v1/…`, in their order.
type Requests = Arc<Mutex<Vec<String>>>;

const DONE: &str = r#"{"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}"#;

fn context() -> (Context, Requests) {
    let requests = Requests::default();
    let seen = requests.clone();
    let server = tower::service_fn(move |request: Request<Body>| {
        let (seen, line) = (seen.clone(), format!("{} {}", request.method(), request.uri().path()));
        async move {
            let method = request.method().clone();
            assert!(matches!(method, Method::PATCH | Method::POST | Method::DELETE), "{request:?}");
            let object = request.into_body().collect_bytes().await?;
            let is_deletion = method == Method::DELETE;
            let options =
                if is_deletion { String::from_utf8_lossy(&object).into_owned() } else { String::new() };
            seen.lock().unwrap().push(format!("{line} {options}").trim_end().to_owned());
            let answer = if is_deletion { Body::from(DONE.as_bytes().to_vec()) } else { Body::from(object) };
            Ok::<_, kube::Error>(Response::new(answer))
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
    let answer = Answer::of(told, Err(GatewayError::NoCluster));
    let outcome = carry_out(&pool, &found, &[], &answer, &context).await.unwrap();
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

/// What a pass does with a seventh node, where the gateway knows these members.
async fn seventh_node(found: &Found, members: usize) -> (Outcome, Vec<String>) {
    let (context, requests) = context();
    let valid = validate::validate(&tests::pool(), found).unwrap();
    let answer = taken(crate::report::tests::pool(&vec![Up; members]));
    let leaving = leaving::decide(&valid, found, &answer);
    let outcome = carry_out(&valid, found, &leaving, &answer, &context).await.unwrap();
    removal::remove(&tests::pool(), &leaving, &context).await.unwrap();
    let all = requests.lock().unwrap().clone();
    let of_it = |request: &String| request.contains("demo-main-6") || request.contains("events");
    (outcome, all.into_iter().filter(of_it).collect())
}

#[tokio::test]
async fn a_node_that_leaves_is_kept_while_it_is_a_member() {
    let (_, requests) = seventh_node(&seventh(), 7).await;
    assert!(requests.iter().all(|request| !request.starts_with("DELETE")), "{requests:?}");
    assert!(requests.iter().any(|request| request.ends_with("/statefulsets/demo-main-6")), "{requests:?}");
}

#[tokio::test]
async fn its_pod_goes_first_and_its_volume_last() {
    let (_, requests) = seventh_node(&seventh(), 6).await;
    let options = r#"{"propagationPolicy":"Foreground","preconditions":{"uid":"set"}}"#;
    let pod = format!("DELETE /apis/apps/v1/namespaces/datamesh/statefulsets/demo-main-6 {options}");
    assert_eq!(requests, [pod]);

    let volume_only = Found { stateful_sets: Vec::new(), ..seventh() };
    let (_, requests) = seventh_node(&volume_only, 6).await;
    let [settings, join, claim, event] = &requests[..] else { panic!("{requests:?}") };
    assert!(
        settings.starts_with("DELETE /api/v1/namespaces/datamesh/configmaps/demo-main-6-settings"),
        "{settings}"
    );
    assert!(join.starts_with("DELETE /api/v1/namespaces/datamesh/secrets/demo-main-6-join"), "{join}");
    let path = "DELETE /api/v1/namespaces/datamesh/persistentvolumeclaims/data-demo-main-6-0";
    assert!(claim.starts_with(path) && claim.contains(r#""preconditions":{"uid":"claim"}"#), "{claim}");
    assert!(event.contains("events"), "{event}");
}
