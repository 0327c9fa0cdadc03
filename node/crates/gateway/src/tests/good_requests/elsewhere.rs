use std::time::Duration;

use datamesh_catalog::Role;
use http::StatusCode;
use serde_json::json;

use super::super::accounts::{PASSWORD, signed_in};
use super::super::oidc::{kept, path_of};
use super::{NOTHING, Sent, Tour, text};

/// What a provider sends a browser back with, to the callback.
async fn back(tour: &mut Tour, account: &str, (url, cookie): (String, String)) {
    let (back, _) = tour.identities.person(account).follow(url).await;
    let query = path_of(&back).split_once('?').unwrap().1;
    let (query, headers) = (format!("?{query}"), [("cookie", cookie.as_str())]);
    let sent = Sent { query: &query, headers: &headers, ..Sent::default() };
    tour.ask(None, "GET /api/v1/auth/oidc/{provider}/callback", &["work"], sent).await;
}

pub(super) async fn sign_in(tour: &mut Tour) {
    let work = &["work"];
    assert_eq!(
        tour.ask(None, "GET /api/v1/auth/oidc", &[], NOTHING).await.json()["items"][0]["name"],
        json!("work")
    );
    let away = tour.ask(None, "GET /api/v1/auth/oidc/{provider}/start", work, NOTHING).await;
    back(tour, "frank", (away.header("location").to_owned(), kept(&away))).await;

    let begun = tour.ask(None, "POST /api/v1/auth/oidc/{provider}/device", work, NOTHING).await.json();
    tour.identities.person("grace").allows(begun["pageWithCode"].as_str().unwrap()).await;
    tour.house.clock.move_on(Duration::from_secs(begun["intervalSeconds"].as_u64().unwrap()));
    let body = json!({ "handle": begun["handle"] });
    let got = tour.ask(None, "POST /api/v1/auth/oidc/{provider}/device/token", work, body).await;
    assert_eq!((got.status, &got.json()["user"]["name"]), (StatusCode::OK, &json!("grace")));

    for name in ["heidi", "ivan"] {
        let session = signed_in(&tour.house, name, Role::Member).await;
        let me = Some(session.as_str());
        let asked = tour
            .ask(me, "POST /api/v1/auth/identities/{provider}", work, json!({ "password": PASSWORD }))
            .await;
        back(tour, name, (text(&asked.json(), "url"), kept(&asked))).await;
        let mine = tour.ask(me, "GET /api/v1/auth/identities", &[], NOTHING).await.json();
        assert_eq!(mine["items"][0]["subject"], json!(name));
        if name == "heidi" {
            tour.ask(me, "DELETE /api/v1/auth/identities/{provider}", work, NOTHING).await;
        } else {
            tour.admin("DELETE /api/v1/admin/users/{name}/identities/{provider}", &[name, "work"], NOTHING)
                .await;
        }
    }
}
