use std::time::Duration;

use datamesh_settings::oidc::OidcSettings;
use http::StatusCode;
use serde_json::{Value, json};

use super::identities::Identities;
use super::{house_of, profile, tell, trusting};

#[tokio::test]
async fn a_device_signs_in_once_somebody_says_yes() {
    let identities = Identities::start();
    let house = house_of(&identities).await;
    let begun = tell(&house, None, "POST", "/auth/oidc/work/device", Value::Null).await.ok().json();
    let ask = async || {
        let body = json!({ "handle": begun["handle"] });
        tell(&house, None, "POST", "/auth/oidc/work/device/token", body).await
    };
    let slower = async || {
        let got = ask().await;
        assert_eq!(got.status, StatusCode::ACCEPTED);
        got.json()["slower"].clone()
    };
    let pause = Duration::from_secs(begun["intervalSeconds"].as_u64().unwrap());
    assert_eq!(slower().await, json!(false));
    assert_eq!(slower().await, json!(true), "the provider is asked once in each pause");
    house.clock.move_on(pause);
    assert_eq!(slower().await, json!(false));
    identities.person("alice").allows(begun["pageWithCode"].as_str().unwrap()).await;
    assert_eq!(slower().await, json!(true), "it is too early to know");
    house.clock.move_on(pause);
    let got = ask().await.ok();
    assert_eq!((got.status, &got.json()["user"]["name"]), (StatusCode::OK, &json!("alice")));
    profile(&house, got.json()["token"].as_str().unwrap()).await;
    house.clock.move_on(pause);
    assert_eq!(ask().await.problem(), "forbidden", "once");
    let body = json!({ "handle": "x" });
    assert_eq!(tell(&house, None, "POST", "/auth/oidc/work/device/token", body).await.problem(), "forbidden");
    let none = tell(&house, None, "POST", "/auth/oidc/none/device", Value::Null).await;
    assert_eq!(none.problem(), "invalid-parameter");
}

#[tokio::test]
async fn devices_sign_in_where_the_settings_say_so_alone() {
    let identities = Identities::start();
    let closed = OidcSettings { devices: false, ..identities.settings("home", "modern") };
    let (open, another) = (Identities::start(), Identities::start());
    let others = another.settings("others", "datamesh");
    let house = trusting(&[closed, open.settings("work", "datamesh"), others]).await;
    let begin = async |name: &str| {
        tell(&house, None, "POST", &format!("/auth/oidc/{name}/device"), Value::Null).await
    };
    assert_eq!(begin("home").await.problem(), "forbidden");
    let begun = begin("work").await.ok().json();
    let body = json!({ "handle": begun["handle"] });
    let got = tell(&house, None, "POST", "/auth/oidc/others/device/token", body).await;
    assert_eq!(got.problem(), "forbidden", "the handle of another");
    assert!(got.json()["detail"].as_str().unwrap().contains("did not begin here"), "{:?}", got.body);
}

/// Who signs in rightly has used nothing up of what wrong passwords have.
#[tokio::test]
async fn right_sign_ins_of_devices_and_faults_of_providers_are_no_wrong_passwords() {
    let identities = Identities::start();
    let gone = Identities::start();
    let lost = gone.settings("home", "datamesh");
    let house = trusting(&[identities.settings("work", "datamesh"), lost]).await;
    crate::tests::accounts::signed_in(&house, "alice", datamesh_catalog::Role::Member).await;
    drop(gone);
    for _ in 0..40 {
        let failed = tell(&house, None, "POST", "/auth/oidc/home/device", Value::Null).await;
        assert_eq!(failed.problem(), "provider-failed");
    }
    let begin = async || tell(&house, None, "POST", "/auth/oidc/work/device", Value::Null).await;
    let mut last = begin().await;
    for _ in 0..40 {
        last = begin().await;
    }
    assert_eq!(last.problem(), "too-many-requests", "who begins and never signs in");
    let wanted = json!({ "name": "alice", "password": crate::tests::accounts::PASSWORD });
    tell(&house, None, "POST", "/auth/login", wanted).await.ok();
}
