//! Strangers that come to stay, and who gets in all the same.

use datamesh_exchange::message::JoinRequest;
use datamesh_settings::Endpoint;
use datamesh_shard::{PoolName, ZoneName};
use tokio::net::TcpSocket;

use super::super::conversation::PROOF_TIMEOUT;
use super::*;

/// A stranger does something this often.
const PACE: Duration = Duration::from_millis(100);

fn join() -> Request {
    Request::Join(JoinRequest {
        token: "any".into(),
        node: NodeName::new("n").unwrap(),
        pool: PoolName::new("p").unwrap(),
        zone: ZoneName::new("z").unwrap(),
        capacity_bytes: 1,
        endpoint: Endpoint { host: "h".into(), mesh_port: 1, bulk_port: 2 },
        incarnation: Incarnation(1),
    })
}

/// A connection from one of loopback's many addresses, on which nothing is ever said.
async fn silent(scene: &Scene, from: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
    socket.connect(scene.address).await.unwrap()
}

/// Whether the handler gets to see a token; it refuses all of them.
async fn token_arrives(scene: &Scene) -> bool {
    let Ok(mut stream) = scene.try_connect(&Identity::generate().0).await else { return false };
    matches!(try_ask(&mut stream, &join()).await, Ok(Response::Refused(Refusal::Busy)))
}

#[tokio::test]
async fn a_node_shows_its_token_while_strangers_hold_every_place() {
    let scene = Scene::new().await;
    let mut strangers = Vec::new();
    for n in 0..STRANGERS_MAX {
        strangers.push(silent(&scene, &format!("127.0.1.{}", 1 + n / STRANGERS_PER_SOURCE_MAX)).await);
    }
    let trying = async {
        while !token_arrives(&scene).await {
            tokio::time::sleep(PACE).await;
        }
    };
    // Well before the strangers' own time is over.
    assert!(tokio::time::timeout(PROOF_TIMEOUT / 2, trying).await.is_ok());
    drop(strangers);
    scene.end().await;
}

#[tokio::test]
async fn a_stranger_that_keeps_talking_has_no_more_time_than_a_silent_one() {
    let scene = Scene::new().await;
    let greeting = async {
        let mut stream = scene.connect(&Identity::generate().0).await;
        let hello = Request::Hello { certificate: None, incarnation: Incarnation(1) };
        while try_ask(&mut stream, &hello).await.is_ok() {
            tokio::time::sleep(PACE).await;
        }
    };
    let trickling = async {
        let mut stream = scene.connect(&Identity::generate().0).await;
        stream.write_all(&10_000_u32.to_le_bytes()).await.unwrap();
        while stream.write_all(&[0]).await.is_ok() {
            tokio::time::sleep(PACE).await;
        }
    };
    let both = async { tokio::join!(greeting, trickling) };
    assert!(tokio::time::timeout(PROOF_TIMEOUT * 3 / 2, both).await.is_ok(), "they are still there");
    scene.end().await;
}

#[tokio::test]
async fn a_refused_token_is_the_end_of_the_conversation() {
    let scene = Scene::new().await;
    let mut stream = scene.connect(&Identity::generate().0).await;
    assert_eq!(ask(&mut stream, &join()).await, Response::Refused(Refusal::Busy));
    assert!(hung_up(&mut stream).await);
    scene.end().await;
}
