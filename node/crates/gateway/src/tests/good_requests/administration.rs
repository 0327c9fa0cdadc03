use serde_json::json;

use super::super::house::spec;
use super::{NOTHING, Tour, text};

pub(super) async fn of_people(tour: &mut Tour) {
    tour.admin("GET /api/v1/admin/registration", &[], NOTHING).await;
    let body = json!({ "name": "judy", "role": "auditor" });
    tour.admin("POST /api/v1/admin/users", &[], body).await;
    assert!(tour.admin("GET /api/v1/admin/users", &[], NOTHING).await.json().to_string().contains("judy"));
    let judy = &["judy"];
    tour.admin("PUT /api/v1/admin/users/{name}", judy, json!({ "role": "operator" })).await;
    assert_eq!(
        tour.admin("GET /api/v1/admin/users/{name}", judy, NOTHING).await.json()["role"],
        json!("operator")
    );
    tour.admin("POST /api/v1/admin/users/{name}/reset", judy, NOTHING).await;
    tour.admin("DELETE /api/v1/admin/users/{name}/sessions", judy, NOTHING).await;
    tour.admin("DELETE /api/v1/admin/users/{name}", judy, NOTHING).await;
    let invited = tour.admin("POST /api/v1/admin/invites", &[], json!({ "role": "member" })).await.json();
    tour.admin("GET /api/v1/admin/invites", &[], NOTHING).await;
    tour.admin("DELETE /api/v1/admin/invites/{id}", &[&text(&invited, "id")], NOTHING).await;
    let body = json!({ "name": "backup", "permission": "readOnly" });
    let id = text(&tour.admin("POST /api/v1/admin/keys", &[], body).await.json(), "id");
    tour.admin("GET /api/v1/admin/keys", &[], NOTHING).await;
    tour.admin("PUT /api/v1/admin/keys/{id}", &[&id], json!({ "disabled": true })).await;
    tour.admin("DELETE /api/v1/admin/keys/{id}", &[&id], NOTHING).await;
}

pub(super) async fn of_groups(tour: &mut Tour) {
    tour.admin("POST /api/v1/admin/users", &[], json!({ "name": "mallory", "role": "member" })).await;
    tour.admin("POST /api/v1/admin/groups", &[], json!({ "name": "devs" })).await;
    let (devs, member) = (&["devs"], &["devs", "mallory"]);
    tour.admin("PUT /api/v1/admin/groups/{name}", devs, json!({ "role": "auditor" })).await;
    tour.admin("PUT /api/v1/admin/groups/{name}/members/{user}", member, NOTHING).await;
    let shown = tour.admin("GET /api/v1/admin/groups/{name}", devs, NOTHING).await.json();
    assert_eq!((&shown["role"], &shown["users"]), (&json!("auditor"), &json!(["mallory"])));
    tour.admin("DELETE /api/v1/admin/groups/{name}/members/{user}", member, NOTHING).await;
    assert!(tour.admin("GET /api/v1/admin/groups", &[], NOTHING).await.json().to_string().contains("devs"));
    tour.admin("DELETE /api/v1/admin/groups/{name}", devs, NOTHING).await;
}

pub(super) async fn of_the_cluster(tour: &mut Tour) {
    for route in [
        "GET /api/v1/openapi.json",
        "GET /api/v1/docs",
        "GET /api/v1/status",
        "GET /api/v1/monitoring/health",
        "GET /api/v1/monitoring/metrics",
        "GET /api/v1/monitoring/alerts",
        "GET /api/v1/monitoring/analytics",
        "GET /api/v1/admin/status",
        "GET /api/v1/admin/mesh",
        "GET /api/v1/admin/jobs",
        "POST /api/v1/admin/backup",
        "GET /api/v1/admin/backup",
        "GET /api/v1/admin/backup/points",
        "POST /api/v1/admin/fsck",
        "GET /api/v1/admin/audit",
        "GET /api/v1/admin/audit/export",
        "GET /api/v1/admin/audit/chains",
        "POST /api/v1/admin/key/export",
        "POST /api/v1/admin/restored/confirm",
    ] {
        assert!(!tour.admin(route, &[], NOTHING).await.body.is_empty(), "{route}");
    }
    tour.admin("PUT /api/v1/admin/pools/{pool}", &["main"], serde_json::to_value(spec(7)).unwrap()).await;
    let node = &["main", "n6"];
    tour.admin("PUT /api/v1/admin/pools/{pool}/drains/{node}", node, NOTHING).await;
    tour.admin("DELETE /api/v1/admin/pools/{pool}/drains/{node}", node, NOTHING).await;
    tour.house.nodes.kill(6);
    tour.admin("POST /api/v1/admin/pools/{pool}/nodes/{node}/replace", node, NOTHING).await;
}
