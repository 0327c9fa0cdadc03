use datamesh_catalog::Role;
use serde_json::json;

use super::super::accounts::{PASSWORD, login, signed_in};
use super::super::second_factor::{LATER, Phone};
use super::{NOTHING, Tour, text};

pub(super) async fn one_s_own(tour: &mut Tour) {
    tour.admin("PUT /api/v1/admin/registration", &[], json!({ "registration": "open" })).await;
    tour.ask(None, "POST /api/v1/auth/register", &[], json!({ "name": "carol", "password": PASSWORD })).await;
    let body = json!({ "name": "carol", "password": PASSWORD });
    let session = text(&tour.ask(None, "POST /api/v1/auth/login", &[], body).await.json(), "token");
    let me = Some(session.as_str());
    let profile = tour.ask(me, "GET /api/v1/auth/profile", &[], NOTHING).await.json();
    assert_eq!(profile["user"]["name"], json!("carol"));
    let body = json!({ "email": "carol@example.org", "password": PASSWORD });
    assert_eq!(tour.ask(me, "PUT /api/v1/auth/profile", &[], body.clone()).await.status, 202);
    let code = tour.mails.word("dma_");
    tour.ask(None, "POST /api/v1/auth/profile/email", &[], json!({ "code": code })).await;
    assert_eq!(tour.ask(me, "PUT /api/v1/auth/profile", &[], body).await.status, 200, "it is hers");
    tour.ask(None, "POST /api/v1/auth/reset/mail", &[], json!({ "name": "carol" })).await;
    let body = json!({ "code": tour.mails.word("dmr_"), "password": PASSWORD });
    tour.ask(None, "POST /api/v1/auth/reset", &[], body).await;

    let session = text(&login(&tour.house, "carol", PASSWORD).await.ok().json(), "token");
    let me = Some(session.as_str());
    let listed = tour.ask(me, "GET /api/v1/auth/sessions", &[], NOTHING).await.json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "the others ended with the old password");
    let body = json!({ "name": "backup", "scopes": ["read"], "days": 1, "password": PASSWORD });
    let id = text(&tour.ask(me, "POST /api/v1/auth/tokens", &[], body).await.json(), "id");
    tour.ask(me, "GET /api/v1/auth/tokens", &[], NOTHING).await;
    tour.ask(me, "DELETE /api/v1/auth/tokens/{id}", &[&id], NOTHING).await;
    let body = json!({ "name": "backup", "permission": "readWrite", "password": PASSWORD });
    let id = text(&tour.ask(me, "POST /api/v1/auth/keys", &[], body).await.json(), "id");
    let listed = tour.ask(me, "GET /api/v1/auth/keys", &[], NOTHING).await.json();
    assert_eq!(listed["items"][0]["owner"], json!("carol"));
    tour.ask(me, "DELETE /api/v1/auth/keys/{id}", &[&id], NOTHING).await;
    let body = json!({ "old": PASSWORD, "new": PASSWORD.to_uppercase() });
    tour.ask(me, "POST /api/v1/auth/password", &[], body).await;
    login(&tour.house, "carol", &PASSWORD.to_uppercase()).await.ok();
    let listed = tour.ask(me, "GET /api/v1/auth/sessions", &[], NOTHING).await.json();
    let other =
        listed["items"].as_array().unwrap().iter().find(|item| item["current"] == json!(false)).unwrap();
    tour.ask(me, "DELETE /api/v1/auth/sessions/{id}", &[&text(other, "id")], NOTHING).await;
    tour.ask(me, "POST /api/v1/auth/logout", &[], NOTHING).await;
}

/// Has somebody made, with a second factor; their session, and what makes its codes.
async fn with_factor(tour: &mut Tour, name: &str) -> (String, Phone) {
    let session = signed_in(&tour.house, name, Role::Member).await;
    let me = Some(session.as_str());
    let body = json!({ "password": PASSWORD });
    let offered = tour.ask(me, "POST /api/v1/auth/second-factor", &[], body).await.json();
    let phone = Phone::of(&text(&offered, "secret"));
    let body = json!({ "code": phone.code(&tour.house) });
    tour.ask(me, "POST /api/v1/auth/second-factor/confirm", &[], body).await;
    let shown = tour.ask(me, "GET /api/v1/auth/second-factor", &[], NOTHING).await.json();
    assert_eq!(shown["enabled"], json!(true));
    (session, phone)
}

pub(super) async fn second_factor(tour: &mut Tour) {
    with_factor(tour, "lost-it").await;
    tour.admin("DELETE /api/v1/admin/users/{name}/second-factor", &["lost-it"], NOTHING).await;
    let (session, phone) = with_factor(tour, "dave").await;
    tour.house.clock.move_on(LATER);
    let body = json!({ "password": PASSWORD, "code": phone.code(&tour.house) });
    tour.ask(Some(&session), "POST /api/v1/auth/second-factor/remove", &[], body).await;
}
