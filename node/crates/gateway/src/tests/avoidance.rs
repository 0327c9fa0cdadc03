//! Members that are slow, or answer wrongly, are avoided and named, at no cost to safety. In virtual time.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use datamesh_catalog::engine::MemoryKeyspace;
use http::Method;
use serde_json::Value;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tower::ServiceExt;

use super::deterministic::{World, alone, gateway_of};
use super::house::{ADMIN, Got, USER, noise, read};
use crate::embed::EmbeddedGateway;
use crate::owned;

/// Rounds of a put and a get within which a verdict is there.
const ROUNDS_MAX: usize = 100;
/// More than a get or a put takes that waits for no slow disk: some trips of up to 51 ms.
const QUICK: Duration = Duration::from_millis(700);
const BYTES: usize = 20 << 10;

struct Stage {
    world: Arc<World>,
    gateway: EmbeddedGateway,
    _working: Vec<AbortOnDropHandle<()>>,
}

impl Stage {
    async fn new(members: u8) -> Self {
        let world = Arc::new(World::new(members.into(), members));
        let gateway = gateway_of(&world, &MemoryKeyspace::new(), (members, 0)).await;
        let never = CancellationToken::new();
        let working = gateway.take_workers().into_iter();
        let working = working.map(|worker| owned::spawn(crate::work::run(worker, never.clone()))).collect();
        Self { world, gateway, _working: working }
    }

    async fn ask(&self, method: Method, path: &str, body: Vec<u8>) -> Got {
        let token = if path.contains("admin") { ADMIN } else { USER };
        let request = http::Request::builder().method(method).uri(format!("/api/v1{path}"));
        let request =
            request.header("authorization", format!("Bearer {token}")).body(Body::from(body)).unwrap();
        read(self.gateway.router().oneshot(request).await.unwrap()).await
    }

    /// Puts an object and reads it back: how safe it is, and how long each took.
    async fn round(&self, n: usize) -> (String, Duration, Duration) {
        let (path, text) = (format!("/files/{n}"), noise(n as u64, BYTES));
        let begun = Instant::now();
        let put = self.ask(Method::PUT, &path, text.clone()).await.ok();
        let put_took = begun.elapsed();
        assert!(self.ask(Method::GET, &path, Vec::new()).await.ok().body == text);
        (put.header("datamesh-durability").to_owned(), put_took, begun.elapsed() - put_took)
    }

    /// Rounds until a member is avoided, or not any more; how many.
    async fn rounds_until(&self, n: usize, avoided: bool) -> usize {
        for round in 0..ROUNDS_MAX {
            if self.avoided(n).await.is_null() != avoided {
                return round;
            }
            self.round(round).await;
            sleep(Duration::from_millis(300)).await;
        }
        panic!("n{n} is {:?}", self.avoided(n).await);
    }

    async fn avoided(&self, n: usize) -> Value {
        self.pool().await["members"][n]["avoided"].clone()
    }

    async fn pool(&self) -> Value {
        self.ask(Method::GET, "/status", Vec::new()).await.ok().json()["pools"][0].clone()
    }

    async fn findings(&self) -> String {
        self.ask(Method::GET, "/admin/mesh", Vec::new()).await.ok().json()["findings"].to_string()
    }

    fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.gateway.registry()).unwrap();
        text
    }
}

#[test]
fn a_slow_disk_is_avoided_named_and_used_again_when_it_is_well() {
    alone(async {
        let stage = Stage::new(8).await;
        stage.world.nodes.slow_down(3, Duration::from_millis(1500));
        let mut before = Duration::ZERO;
        for n in 0..5 {
            before = before.max(stage.round(n).await.1);
        }
        assert!(before > Duration::from_millis(1500), "every put waits for it: {before:?}");
        assert!(stage.rounds_until(3, true).await > 0, "not at once");
        let said = stage.avoided(3).await;
        assert_eq!(said["reason"], "Slow", "{said}");
        assert!(stage.findings().await.contains("n3 is slow: its "), "{}", stage.findings().await);
        assert_eq!(stage.pool().await["problems"], serde_json::json!([]), "no safety is lost");
        let metrics = stage.metrics();
        assert!(metrics.contains("pool_members_avoided{pool=\"main\",reason=\"slow\"} 1"), "{metrics}");
        let before = stage.world.nodes.shards(3);
        for n in 0..30 {
            let (durability, put, get) = stage.round(n).await;
            assert_eq!(durability, "whole", "others take its shards, each on a node of its own");
            assert!(put < QUICK && get < QUICK, "{put:?} {get:?}");
        }
        sleep(Duration::from_secs(5)).await;
        assert!(stage.world.nodes.shards(3) > before, "what nobody waited for arrived as well");
        let metrics = stage.metrics();
        let latency = "shard_latency_seconds{pool=\"main\",node=\"n3\",operation=\"put\"} 1.5";
        assert!(metrics.contains(latency), "{metrics}");
        stage.world.nodes.slow_down(3, Duration::ZERO);
        stage.rounds_until(3, false).await;
        let after = stage.world.nodes.shards(3);
        for n in 1000..1030 {
            stage.round(n).await;
        }
        assert!(stage.world.nodes.shards(3) > after + 10);
    });
}

#[test]
fn where_every_node_is_needed_a_slow_one_takes_its_shard_unless_it_is_late_anyway() {
    alone(async {
        let stage = Stage::new(6).await;
        stage.world.nodes.slow_down(3, Duration::from_secs(1));
        stage.rounds_until(3, true).await;
        for n in 0..10 {
            let (durability, put, get) = stage.round(n).await;
            assert_eq!(durability, "whole", "no shard doubles up on another node");
            assert!(put > Duration::from_secs(1) && get < QUICK, "{put:?} {get:?}");
        }
        stage.world.nodes.slow_down(3, Duration::from_secs(6));
        for n in 0..20 {
            stage.round(n).await;
        }
        for n in 0..10 {
            let (durability, put, get) = stage.round(n).await;
            assert_eq!(durability, "short; durable=6; of=6", "as when it was waited for in vain");
            assert!(put < QUICK && get < QUICK, "{put:?} {get:?}");
        }
        stage.world.nodes.slow_down(3, Duration::ZERO);
        stage.rounds_until(3, false).await;
        assert_eq!(stage.round(0).await.0, "whole");
    });
}

#[test]
fn avoidance_never_keeps_a_put_from_being_written() {
    alone(async {
        let stage = Stage::new(8).await;
        stage.world.nodes.slow_down(2, Duration::from_secs(1));
        stage.world.nodes.slow_down(3, Duration::from_secs(1));
        stage.rounds_until(2, true).await;
        stage.rounds_until(3, true).await;
        // Of the six others two die: the slow ones are needed.
        stage.world.nodes.kill(0);
        stage.world.nodes.kill(7);
        for n in 0..10 {
            let (durability, put, _) = stage.round(n).await;
            assert_eq!(durability, "whole");
            assert!(put > Duration::from_secs(1));
        }
    });
}

#[test]
fn a_node_that_answers_wrongly_is_quarantined_named_and_tried_again() {
    alone(async {
        let stage = Stage::new(8).await;
        stage.world.nodes.lie(1, true);
        // Every round reads what it wrote, and no byte of it is wrong.
        assert!(stage.rounds_until(1, true).await > 4, "not for a single shard");
        let pool = stage.pool().await;
        assert_eq!(pool["members"][1]["avoided"]["reason"], "WrongAnswers", "{pool}");
        let problem = pool["problems"][0].as_str().unwrap();
        assert!(problem.contains("n1 is quarantined") && problem.contains("node drain n1"), "{pool}");
        assert!(stage.findings().await.contains("n1 is quarantined"));
        let metric = "pool_members_avoided{pool=\"main\",reason=\"wrong-answers\"} 1";
        sleep(Duration::from_secs(4)).await;
        assert!(stage.metrics().contains(metric), "{}", stage.metrics());
        let (held, damaged) = (stage.world.nodes.shards(1), pool["damagedShards"].clone());
        for n in 1000..1030 {
            assert_eq!(stage.round(n).await.0, "whole");
        }
        assert_eq!(stage.world.nodes.shards(1), held, "it is given nothing");
        assert_eq!(stage.pool().await["damagedShards"], damaged, "and asked for nothing");
        stage.world.nodes.lie(1, false);
        sleep(Duration::from_secs(3700)).await;
        assert!(stage.avoided(1).await.is_null());
        stage.round(0).await;
    });
}

#[test]
fn a_disk_that_rots_is_no_liar() {
    alone(async {
        let stage = Stage::new(8).await;
        stage.world.nodes.rot(1);
        for n in 0..40 {
            stage.round(n).await;
            sleep(Duration::from_millis(300)).await;
        }
        let pool = stage.pool().await;
        assert!(pool["damagedShards"].as_u64().unwrap() > 5, "{pool}");
        assert!(stage.avoided(1).await.is_null(), "{pool}");
    });
}
