use http::StatusCode;
use serde_json::{Value, json};

use super::identities::Identities;
use super::{house_of, profile, tell};

#[tokio::test]
async fn a_device_signs_in_once_somebody_says_yes() {
    let identities = Identities::start();
    let house = house_of(&identities).await;
    let begun = tell(&house, None, "POST", "/auth/oidc/work/device", Value::Null).await.ok().json();
    let ask = async || {
        let body = json!({ "handle": begun["handle"] });
        tell(&house, None, "POST", "/auth/oidc/work/device/token", body).await
    };
    assert_eq!(ask().await.status, StatusCode::ACCEPTED);
    identities.person("alice").allows(begun["pageWithCode"].as_str().unwrap()).await;
    let got = ask().await.ok();
    assert_eq!((got.status, &got.json()["user"]["name"]), (StatusCode::OK, &json!("alice")));
    profile(&house, got.json()["token"].as_str().unwrap()).await;
    assert_eq!(ask().await.problem(), "forbidden", "once");
    let body = json!({ "handle": "x" });
    assert_eq!(tell(&house, None, "POST", "/auth/oidc/work/device/token", body).await.problem(), "forbidden");
    let none = tell(&house, None, "POST", "/auth/oidc/none/device", Value::Null).await;
    assert_eq!(none.problem(), "invalid-parameter");
}
