use axum::body::Body;
use http::{Method, StatusCode};
use http_body_util::BodyExt;

use super::house::{House, noise};
use crate::work::Worker as _;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn puts_and_reads_go_on_with_two_nodes_dead() {
    let house = House::new(6).await;
    let before = noise(1, 9 << 20);
    house.put("before", before.clone()).await.ok();
    house.nodes.kill(1);
    house.nodes.kill(4);
    let during = noise(2, 9 << 20);
    let put = house.put("during", during.clone()).await.ok();
    assert_eq!(put.header("datamesh-durability"), "short; durable=6; of=6", "two hold two each");
    assert!(house.get("before").await.ok().body == before);
    assert!(house.get("during").await.ok().body == during);
    house.nodes.revive(1);
    house.nodes.revive(4);
    assert!(house.get("during").await.ok().body == during, "shards are found where they were handed to");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_die_in_the_middle_of_a_write_and_of_a_read() {
    for answers in [0, 1, 2, 3] {
        let house = House::new(7).await;
        let text = noise(3, 9 << 20);
        house.nodes.kill_after(0, answers);
        house.nodes.kill_after(3, answers);
        house.put("x", text.clone()).await.ok();
        house.nodes.revive(0);
        house.nodes.revive(3);
        // Five nodes took six shards: any one of them may be lost now, and those that come back hold nothing.
        house.nodes.kill_after(2, answers);
        assert!(house.get("x").await.ok().body == text, "after {answers} answers");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handed_over_shards_survive_the_loss_of_two_more() {
    let house = House::new(7).await;
    house.nodes.kill(0);
    let text = noise(4, 5 << 20);
    house.put("x", text.clone()).await.ok();
    house.nodes.revive(0);
    for (a, b) in [(1, 2), (3, 4), (5, 6)] {
        house.nodes.kill(a);
        house.nodes.kill(b);
        assert!(house.get("x").await.ok().body == text, "without {a} and {b}");
        house.nodes.revive(a);
        house.nodes.revive(b);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_corrupt_shard_is_never_given_out_and_is_counted() {
    let house = House::new(6).await;
    let text = noise(5, 9 << 20);
    house.put("x", text.clone()).await.ok();
    house.nodes.lie(0, true);
    house.nodes.lie(1, true);
    assert!(house.get("x").await.ok().body == text);
    let damaged = house.status().await["pools"][0]["damagedShards"].as_u64().unwrap();
    assert!(damaged > 0, "found {damaged} damaged shards");
    // Three of six lie: nothing may come out but an error.
    house.nodes.lie(2, true);
    assert_eq!(house.get("x").await.problem(), "not-readable");
    house.nodes.lie(2, false);
    assert!(house.get("x").await.ok().body == text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_shards_are_rebuilt_and_counted() {
    let house = House::new(6).await;
    let texts: Vec<_> = (0..8).map(|n| (format!("x{n}"), noise(10 + n, 1 << 20))).collect();
    for (key, text) in &texts {
        house.put(key, text.clone()).await.ok();
    }
    house.nodes.wipe(2);
    house.nodes.wipe(3);
    let mut damaged = 0;
    // On a busy machine a read may have enough from others before those two have answered: then the next one tells.
    for (key, text) in &texts {
        assert!(house.get(key).await.ok().body == *text);
        damaged += house.status().await["pools"][0]["damagedShards"].as_u64().unwrap();
    }
    assert!(damaged > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_nodes_are_passed_over() {
    let house = House::new(7).await;
    house.nodes.fill(2);
    let text = noise(7, 5 << 20);
    let put = house.put("x", text.clone()).await.ok();
    // Where the seventh node's zone holds two shards already, a node of another zone takes a second one.
    assert!(["whole", "short; durable=6; of=6"].contains(&put.header("datamesh-durability")));
    assert_eq!(house.nodes.shards(2), 0);
    assert!(house.get("x").await.ok().body == text);
}

#[tokio::test]
async fn late_nodes_make_a_put_short_and_the_answer_says_so() {
    let house = House::new(6).await;
    // Each takes its own shard, but the first: what it has not taken nobody else takes in time.
    for n in 0..6 {
        house.nodes.hang_after(n, usize::from(n > 0));
    }
    let put = house.put("x", noise(8, 100_000)).await.ok();
    assert_eq!(put.header("datamesh-durability"), "short; durable=5; of=6");
    let pool = house.status().await["pools"][0].clone();
    assert_eq!((&pool["shortPuts"], &pool["safety"]["shortLately"]), (&1.into(), &1.into()), "{pool}");
    assert!(house.get("x").await.ok().body == noise(8, 100_000));
}

#[tokio::test]
async fn a_put_that_cannot_be_safe_fails_and_says_so() {
    let house = House::new(6).await;
    for n in 0..4 {
        house.nodes.kill(n);
    }
    let put = house.put("x", noise(9, 100_000)).await;
    assert_eq!(put.problem(), "not-writable");
    assert!(put.headers.contains_key("retry-after"));
    assert_eq!(house.get("x").await.problem(), "no-such-object");
    assert_eq!(house.status().await["pools"][0]["writable"], false);
    for n in 0..4 {
        house.nodes.revive(n);
    }
    house.put("x", noise(9, 100_000)).await.ok();
}

#[tokio::test]
async fn a_put_without_room_says_whose_disk_is_full() {
    let mut house = House::new(6).await;
    house.put("before", noise(9, 100_000)).await.ok();
    for n in 0..5 {
        house.nodes.fill(n);
    }
    // The nodes say so themselves, before any report.
    assert_eq!(house.put("x", noise(10, 100_000)).await.problem(), "pool-full");
    house.core.reports.work().await;
    let put = house.put("x", noise(10, 100_000)).await;
    assert_eq!((put.status, put.problem().as_str()), (StatusCode::INSUFFICIENT_STORAGE, "pool-full"));
    let detail = put.json()["detail"].to_string();
    assert!(detail.contains("n0, n1, n2, n3, n4 are full") && detail.contains("volumeSize"), "{detail}");
    // Nobody is sent to buy disks for nodes that are down.
    for n in 0..4 {
        house.nodes.kill(n);
    }
    assert_eq!(house.put("x", noise(10, 100_000)).await.problem(), "not-writable");
    for n in 0..4 {
        house.nodes.revive(n);
    }
    assert!(house.get("before").await.ok().body == noise(9, 100_000));
    house.delete("before").await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_finishes_the_version_it_began() {
    let house = House::keeping(6, 32 << 20, 3_600_000).await;
    let (old, new) = (noise(10, 40 << 20), noise(11, 5 << 20));
    house.put("x", old.clone()).await.ok();
    let request = http::Request::builder().method(Method::GET).uri("/api/v1/files/x");
    let request = request.header("authorization", format!("Bearer {}", super::house::USER));
    let mut reading = house.send(request.body(Body::empty()).unwrap()).await.into_body();
    let mut got = reading.frame().await.unwrap().unwrap().into_data().unwrap().to_vec();
    house.put("x", new.clone()).await.ok();
    assert!(house.get("x").await.ok().body == new);
    while let Some(frame) = reading.frame().await {
        got.extend_from_slice(&frame.unwrap().into_data().unwrap());
    }
    assert!(got == old);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_breaks_off_leaves_the_old_object() {
    let house = House::new(6).await;
    house.put("x", noise(12, 100_000)).await.ok();
    let broken = futures::stream::iter([
        Ok(bytes::Bytes::from(noise(13, 6 << 20))),
        Err(std::io::Error::other("gone")),
    ]);
    assert_eq!(house.put("x", Body::from_stream(broken)).await.problem(), "body-incomplete");
    assert_eq!(house.get("x").await.ok().body, noise(12, 100_000));
}

/// Which nodes were told of damage since the last call; the gateway's own work tells them.
async fn told(house: &mut House) -> Vec<u8> {
    let before: Vec<usize> = (0..6).map(|n| house.nodes.looks(n).len()).collect();
    house.core.alarms.work().await;
    (0..6).filter(|n| house.nodes.looks(*n).len() > before[usize::from(*n)]).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stewards_are_told_of_what_puts_and_reads_find() {
    let mut house = House::new(6).await;
    house.put("x", noise(7, 2 << 20)).await.ok();
    house.get("x").await.ok();
    assert_eq!(told(&mut house).await, Vec::<u8>::new(), "the control: nothing is wrong");
    house.nodes.kill(3);
    let put = house.put("y", noise(8, 2 << 20)).await.ok();
    assert_eq!(put.header("datamesh-durability"), "short; durable=6; of=6");
    let stewards = told(&mut house).await;
    assert!(stewards.len() == 1 && !stewards.contains(&3), "of one segment one node: {stewards:?}");
    assert_eq!(told(&mut house).await, Vec::<u8>::new(), "it is said once");
    house.nodes.revive(3);
    assert_eq!(told(&mut house).await, Vec::<u8>::new(), "nothing new is wrong");
    for n in 0..12 {
        house.put(&n.to_string(), noise(n, 64 << 10)).await.ok();
    }
    house.nodes.rot(0);
    house.nodes.rot(1);
    // Of some both have a parity shard, which nobody asks for.
    for n in 0..12 {
        house.get(&n.to_string()).await.ok();
    }
    assert_ne!(told(&mut house).await, Vec::<u8>::new());
}
