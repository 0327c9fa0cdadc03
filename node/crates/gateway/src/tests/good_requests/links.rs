use datamesh_catalog::Role;
use serde_json::{Value, json};

use super::super::accounts::signed_in;
use super::{NOTHING, Tour, text};

/// Makes a link; its id and its secret.
async fn share(tour: &mut Tour, session: &str, wanted: Value) -> (String, String) {
    let made = tour.ask(Some(session), "POST /api/v1/shares", &[], wanted).await.json();
    let secret = text(&made, "link").split('/').nth(4).unwrap().to_owned();
    (text(&made, "id"), secret)
}

pub(super) async fn all(tour: &mut Tour) {
    let erin = signed_in(&tour.house, "erin", Role::Member).await;
    for key in ["doc", "in/one"] {
        tour.house.put(key, "shared").await.ok();
    }
    let (first, file) = share(tour, &erin, json!({ "key": "doc" })).await;
    let (second, folder) = share(tour, &erin, json!({ "prefix": "in/" })).await;
    let bounds = json!({ "files": 2, "bytes": 1000 });
    let (_, drop_box) = share(tour, &erin, json!({ "prefix": "in/", "upload": bounds })).await;
    let (file, folder) = ([file.as_str()], [folder.as_str()]);
    assert_eq!(
        tour.ask(None, "GET /api/v1/shared/{token}", &file, NOTHING).await.json()["name"],
        json!("doc")
    );
    assert_eq!(tour.ask(None, "GET /api/v1/shared/{token}/download", &file, NOTHING).await.body, "shared");
    tour.ask(None, "HEAD /api/v1/shared/{token}/download", &file, NOTHING).await;
    let listed = tour.ask(None, "GET /api/v1/shared/{token}/files", &folder, NOTHING).await.json();
    assert_eq!(listed["items"][0]["key"], json!("one"));
    let one = [folder[0], "one"];
    assert_eq!(tour.ask(None, "GET /api/v1/shared/{token}/files/{*key}", &one, NOTHING).await.body, "shared");
    tour.ask(None, "HEAD /api/v1/shared/{token}/files/{*key}", &one, NOTHING).await;
    assert!(
        tour.ask(None, "GET /api/v1/shared/{token}/archive", &folder, NOTHING).await.body.starts_with(b"PK")
    );
    tour.ask(None, "POST /api/v1/shared/{token}/drop/{file}", &[&drop_box, "x.txt"], "dropped").await;
    let me = Some(erin.as_str());
    assert_eq!(
        tour.ask(me, "GET /api/v1/shares", &[], NOTHING).await.json()["items"].as_array().unwrap().len(),
        3
    );
    tour.ask(me, "DELETE /api/v1/shares/{id}", &[&first], NOTHING).await;
    tour.admin("GET /api/v1/admin/users/{name}/shares", &["erin"], NOTHING).await;
    tour.admin("DELETE /api/v1/admin/users/{name}/shares/{id}", &["erin", &second], NOTHING).await;
}
