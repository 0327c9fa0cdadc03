//! Gateways that end while a segment is put, and gateways that put the same one at once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use datamesh_catalog::engine::MemoryKeyspace;
use http::{HeaderName, HeaderValue, Method, Request, header};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tower::ServiceExt;

use super::client::{Asked, Client};
use crate::embed::EmbeddedGateway;
use crate::owned;
use crate::tests::deterministic::{World, catalog_of, gateway_of, gateway_over};
use crate::tests::house::{Got, USER, noise, read};

const MEMBERS: u8 = 6;

impl Asked for EmbeddedGateway {
    async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Got {
        let mut request = Request::builder().method(method).uri(path).body(body.into()).unwrap();
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            request.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
        }
        let token = HeaderValue::from_str(&format!("Bearer {USER}")).unwrap();
        request.headers_mut().insert(header::AUTHORIZATION, token);
        read(self.router().oneshot(request).await.unwrap()).await
    }
}

fn works(gateway: &EmbeddedGateway) -> Vec<AbortOnDropHandle<()>> {
    let never = CancellationToken::new();
    let workers = gateway.take_workers().into_iter();
    workers.map(|worker| owned::spawn(crate::work::run(worker, never.clone()))).collect()
}

/// All that was put is gone some time after nobody needs it.
async fn all_is_reclaimed(world: &World, why: &str) {
    sleep(Duration::from_secs(60)).await;
    assert_eq!(world.nodes.all_shards(), 0, "{why}");
}

/// How far a put has come when its gateway ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reached {
    /// No node has a shard.
    Before,
    /// Some or all have, and nobody wrote down that it is durable.
    Shards,
    /// It is written down, and its client was not told.
    Promise,
    Answer,
}

async fn cut_after(cut_ms: u64) -> Reached {
    let (world, keyspace) = (Arc::new(World::new(7, MEMBERS)), MemoryKeyspace::new());
    let first = gateway_of(&world, &keyspace, (MEMBERS, 0)).await;
    let client = Client::new(&first).await;
    let (text, key) = (noise(1, 3000), client.name("x"));
    let (object, upload) = (client.seal(&text), client.begin(&first, &key).await);
    let put = timeout(Duration::from_millis(cut_ms), client.put_segment(&first, &upload, &object[0])).await;
    first.cut_off();
    drop(first);
    // What is under way on the net ends first.
    sleep(Duration::from_millis(200)).await;
    let second = gateway_of(&world, &keyspace, (MEMBERS, 0)).await;
    let _works = works(&second);
    let is_durable = !client.durable(&second, &upload, 10).await.is_empty();
    let reached = match (is_durable, put.is_ok(), world.nodes.all_shards()) {
        (false, true, _) => panic!("it was told durable, and is not: {cut_ms} ms"),
        (true, _, shards) if shards < object.len() * client.profile.total() => {
            panic!("it is durable, and {shards} shards are there: {cut_ms} ms")
        }
        (true, true, _) => Reached::Answer,
        (true, false, _) => Reached::Promise,
        (false, false, 0) => Reached::Before,
        (false, false, _) => Reached::Shards,
    };
    // One client goes on, another gives up.
    if cut_ms.is_multiple_of(2) {
        let again = client.put_segment(&second, &upload, &object[0]).await.ok();
        assert_eq!(again.status, if is_durable { 200 } else { 201 }, "{reached:?}");
        client.commit(&second, &upload, &object, &[]).await.ok();
        sleep(Duration::from_secs(60)).await;
        assert!(client.read(&second, &key).await == text, "{reached:?}");
        second.ask(Method::DELETE, &client.file(&key), &[], Body::empty()).await.ok();
    } else {
        let path = format!("/api/v1/uploads/{upload}");
        second.ask(Method::DELETE, &path, &[], Body::empty()).await.ok();
    }
    all_is_reclaimed(&world, &format!("{reached:?}, {cut_ms} ms")).await;
    reached
}

#[tokio::test(start_paused = true)]
async fn a_gateway_may_end_at_any_moment_of_a_put() {
    let mut reached = BTreeSet::new();
    for cut_ms in (0..450).step_by(9) {
        reached.insert(Box::pin(cut_after(cut_ms)).await);
    }
    let all = [Reached::Before, Reached::Shards, Reached::Promise, Reached::Answer];
    assert_eq!(reached.into_iter().collect::<Vec<_>>(), all, "each of them was met");
}

#[tokio::test(start_paused = true)]
async fn two_gateways_may_put_the_same_segment_at_once() {
    for late_ms in (0..300).step_by(20) {
        let (world, keyspace) = (Arc::new(World::new(late_ms, MEMBERS)), MemoryKeyspace::new());
        let catalog = catalog_of(&world, &keyspace, (MEMBERS, 0)).await;
        let first = gateway_over(&world, catalog.clone(), MEMBERS).await;
        let second = gateway_over(&world, catalog, MEMBERS).await;
        let _works = works(&first);
        let client = Client::new(&first).await;
        let (text, keys) = (noise(late_ms, 3000), ["x", "y"].map(|name| client.name(name)));
        let object = client.seal(&text);
        let (one, other) = (client.begin(&first, &keys[0]).await, client.begin(&second, &keys[1]).await);
        let late = Duration::from_millis(late_ms);
        // To one upload, as by a client that was too impatient.
        let again = async {
            sleep(late).await;
            client.put_segment(&second, &one, &object[0]).await
        };
        let (put, again) = tokio::join!(client.put_segment(&first, &one, &object[0]), again);
        assert_eq!(put.ok().status, 201, "{late:?}");
        assert!([200, 201].contains(&again.ok().status.as_u16()), "{late:?}");
        assert_eq!(client.durable(&second, &one, 10).await, [object[0].id.to_string()]);
        // To another, while the first is given up: what that lets go of is not what this is told to be durable.
        let path = format!("/api/v1/uploads/{one}");
        let give_up = async {
            sleep(late).await;
            first.ask(Method::DELETE, &path, &[], Body::empty()).await
        };
        let (put, gone) = tokio::join!(client.put_segment(&second, &other, &object[0]), give_up);
        assert_eq!(put.ok().status, 201, "{late:?}");
        gone.ok();
        sleep(Duration::from_secs(60)).await;
        client.commit(&second, &other, &object, &[]).await.ok();
        assert!(client.read(&first, &keys[1]).await == text, "{late:?}");
        first.ask(Method::DELETE, &client.file(&keys[1]), &[], Body::empty()).await.ok();
        all_is_reclaimed(&world, &format!("{late:?}")).await;
    }
}
