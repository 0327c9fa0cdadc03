//! What is wanted of the scrub reaches the nodes, survives the gateway, and a scrub that does not run is told.

use axum::body::Body;
use datamesh_settings::admin::{PoolSpec, ScrubReport, ScrubSpec};
use http::Method;

use super::house::{ADMIN, Got, House, pool_name, spec};
use crate::work::Worker;

const PAUSED: ScrubSpec =
    ScrubSpec { period_seconds: 86_400, paused: true, max_bytes_per_second: Some(5 << 20) };

async fn want(house: &House, scrub: ScrubSpec) -> Got {
    let body = Body::from(serde_json::to_vec(&PoolSpec { scrub, ..spec(6) }).unwrap());
    let headers = [("content-type", "application/json")];
    house.ask_as(Some(ADMIN), Method::PUT, "/api/v1/admin/pools/main", (&headers, body)).await
}

#[tokio::test]
async fn nodes_are_told_once_and_again_when_they_come_back() {
    let mut house = House::new(6).await;
    house.core.reports.work().await;
    assert!((0..6).all(|n| house.nodes.scrub(n).1 == 0), "nobody has to be told the usual");
    house.nodes.kill(2);
    want(&house, PAUSED).await.ok();
    for _ in 0..3 {
        house.core.reports.work().await;
    }
    for n in 0..6 {
        let (report, orders) = house.nodes.scrub(n);
        let expected = if n == 2 { (ScrubSpec::default(), 0) } else { (PAUSED, 1) };
        assert_eq!((report.ordered, orders), expected, "n{n}");
    }
    house.nodes.revive(2);
    house.core.reports.work().await;
    assert_eq!((house.nodes.scrub(2).0.ordered, house.nodes.scrub(2).1), (PAUSED, 1));
    // A gateway that starts anew wants the same still.
    house.core.pools.put(pool_name(), crate::pools::Pool::new(spec(6)));
    house.core.layouts.load().await.unwrap();
    house.core.reports.work().await;
    assert!((0..6).all(|n| house.nodes.scrub(n).1 == 1));
    want(&house, ScrubSpec::default()).await.ok();
    house.core.reports.work().await;
    assert!((0..6).all(|n| house.nodes.scrub(n).0.ordered == ScrubSpec::default()));
}

#[tokio::test]
async fn the_status_says_that_a_scrub_is_paused_or_overdue() {
    let mut house = House::new(6).await;
    house.core.reports.work().await;
    let scrub = |status: &serde_json::Value| status["pools"][0]["scrub"].clone();
    let status = house.status().await;
    assert_eq!((&scrub(&status)["heardMembers"], &scrub(&status)["pausedMembers"]), (&6.into(), &0.into()));
    want(&house, PAUSED).await.ok();
    house.core.reports.work().await;
    house.core.reports.work().await;
    let status = house.status().await;
    assert_eq!(scrub(&status)["pausedMembers"], 6);
    assert_eq!(scrub(&status)["wanted"]["paused"], true);
    assert_eq!(status["pools"][0]["problems"].as_array().unwrap().len(), 0, "a pause is somebody's will");
    let late = ScrubReport { ordered: PAUSED, read_within_seconds: Some(200_000), ..ScrubReport::default() };
    house.nodes.scrubbed(4, late);
    house.core.reports.work().await;
    let status = house.status().await;
    assert_eq!(scrub(&status)["overdueMembers"], 1);
    let problem = status["pools"][0]["problems"][0].as_str().unwrap();
    assert!(problem.starts_with("1 of 6 nodes have not read all their shards"), "{problem}");
    let mut metrics = String::new();
    prometheus_client::encoding::text::encode(&mut metrics, &house.core.registry).unwrap();
    for line in [
        r#"datamesh_gateway_pool_members_not_scrubbed{pool="main",state="paused"} 6"#,
        r#"datamesh_gateway_pool_members_not_scrubbed{pool="main",state="overdue"} 1"#,
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}

#[tokio::test]
async fn a_scrub_that_never_rests_or_never_ends_is_refused() {
    let house = House::new(6).await;
    for wrong in [
        ScrubSpec { period_seconds: 3599, ..PAUSED },
        ScrubSpec { period_seconds: u64::MAX, ..PAUSED },
        ScrubSpec { max_bytes_per_second: Some(0), ..PAUSED },
    ] {
        let got = want(&house, wrong).await;
        assert_eq!((got.problem().as_str(), got.json()["field"].as_str()), ("invalid-body", Some("scrub")));
        assert!(got.json()["detail"].as_str().unwrap().contains("3600 to 31536000"), "{got:?}");
    }
}
