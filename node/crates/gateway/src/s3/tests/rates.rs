//! How many requests may come of whom, all behind one address.

use std::time::Duration;

use datamesh_catalog::Permission;
use datamesh_settings::request_limits::{PortLimits, RequestLimits, RequestRate};

use super::signer::{Ask, Client};
use crate::tests::house::House;

/// Of strangers 3, of addresses 5, of keys 8 requests at once, and 1 a second.
async fn house() -> House {
    let of = |burst| RequestRate::new(burst, 1).unwrap();
    let s3 = PortLimits { strangers: of(3), addresses: of(5), known: of(8) };
    let house = House::limiting(6, RequestLimits { s3, ..RequestLimits::default() }).await;
    house.clock.stop();
    house
}

/// How many of these requests are let through before the first `SlowDown`.
async fn through(ask: impl AsyncFn() -> (u16, String)) -> usize {
    for done in 0..100 {
        let (status, body) = ask().await;
        if body.contains("<Code>SlowDown</Code>") {
            assert_eq!(status, 503);
            return done;
        }
    }
    100
}

fn told(got: &crate::tests::house::Got) -> (u16, String) {
    (got.status.as_u16(), String::from_utf8_lossy(&got.body).into_owned())
}

#[tokio::test]
async fn a_stranger_s_flood_holds_up_nobody_who_signs() {
    let house = house().await;
    let client = Client::new(&house, Permission::Admin, &[]).await;
    let unsigned = async || told(&client.unsigned("GET", "/").await);
    assert_eq!(through(unsigned).await, 3);
    let refused = client.unsigned("GET", "/").await;
    assert_eq!((refused.header("retry-after"), refused.header("content-type")), ("1", "application/xml"));
    assert_eq!(client.signed_from_there("GET", "/").await.status, 200, "from the same address");
    assert_eq!(client.unsigned("OPTIONS", "/x/y").await.status, 503, "whatever they ask");
    house.clock.move_on(Duration::from_secs(1));
    assert_eq!(through(unsigned).await, 1, "and one more comes back each second");
}

/// What looks signed and is not is served as to nobody, so it is counted so.
#[tokio::test]
async fn whoever_only_looks_as_if_they_signed_is_a_stranger() {
    let two = [("authorization", "one"), ("authorization", "another")];
    for (target, headers) in [("/photos?X-Amz-Credential=x", &[][..]), ("/photos", &two)] {
        let house = house().await;
        let client = Client::new(&house, Permission::Admin, &[]).await;
        let ask = async || told(&client.stranger("GET", target, Ask { headers, ..Ask::default() }).await);
        assert_eq!(through(ask).await, 3, "{target} {headers:?}");
    }
}

#[tokio::test]
async fn a_key_is_counted_by_itself_and_its_address_is_not() {
    let house = house().await;
    let one = Client::new(&house, Permission::Admin, &[]).await;
    let two = Client::new(&house, Permission::Admin, &[]).await;
    assert_eq!(through(async || told(&one.signed_from_there("GET", "/").await)).await, 8);
    assert_eq!(two.signed_from_there("GET", "/").await.status, 200, "another key behind that address");
}

/// However many keys they make for themselves.
#[tokio::test]
async fn keys_of_one_user_are_counted_together() {
    let house = house().await;
    let of = async |owner| Client::of(&house, owner, (Permission::Admin, &[])).await;
    let (one, another, other) = (of("alice").await, of("Alice").await, of("bob").await);
    assert_eq!(through(async || told(&one.signed_from_there("GET", "/").await)).await, 8);
    let refused = another.signed_from_there("GET", "/").await;
    assert!(told(&refused).1.contains("this user or key sends more than 1 requests a second"));
    assert_eq!(other.signed_from_there("GET", "/").await.status, 200);
}

#[tokio::test]
async fn wrong_signatures_are_counted_by_address() {
    let house = house().await;
    let client = Client::new(&house, Permission::Admin, &[]).await;
    let forged = client.with_secret("not-the-secret");
    assert_eq!(through(async || told(&forged.signed_from_there("GET", "/").await)).await, 5);
    let elsewhere = client.ask("GET", "/", Ask::default()).await;
    assert_eq!(elsewhere.status, 200, "from another place the key is as good as ever");
}
