use serde_json::json;

use super::super::house::USER;
use super::super::sealed::client::{BUCKET, Client, Sealed, base64};
use super::{NOTHING, Sent, Tour, text};

const ME: Option<&str> = Some(USER);

pub(super) async fn of_a_private_bucket(tour: &mut Tour) {
    let client = Client::new(&tour.house).await;
    let (small, large) = (client.name("small"), client.name("large"));
    let key = &[BUCKET, &small];
    tour.ask(ME, "PUT /api/v1/buckets/{bucket}/sealed/{*key}", key, json!({ "sealed": base64(b"sealed") }))
        .await;
    let shown = tour.ask(ME, "GET /api/v1/buckets/{bucket}/sealed/{*key}", key, NOTHING).await.json();
    assert_eq!(shown["sealed"], json!(base64(b"sealed")));
    let (upload, segments) = (client.begin(&tour.house, &large).await, client.seal(b"twice"));
    let [Sealed { id, sealed, .. }] = &segments[..] else { panic!("one segment") };
    let (id, put) = (id.to_string(), Sent { body: sealed.clone().into(), ..Sent::default() });
    tour.ask(ME, "PUT /api/v1/uploads/{id}/segments/{segment}", &[&upload, &id], put).await;
    let durable = tour.ask(ME, "GET /api/v1/uploads/{id}/segments", &[&upload], NOTHING).await.json();
    assert_eq!(durable["items"][0]["id"], json!(id));
    tour.ask(ME, "PUT /api/v1/uploads/{id}/pages/{page}", &[&upload, "0"], client.page(0, &segments)).await;
    let mut last = client.page(1, &segments);
    last["page"] = json!(1);
    tour.ask(ME, "POST /api/v1/uploads/{id}/commit", &[&upload], last).await;
    let page =
        tour.ask(ME, "GET /api/v1/buckets/{bucket}/sealed/{*key}", &[BUCKET, &large], NOTHING).await.json();
    let query = format!("?object={}", text(&page, "object"));
    let wanted = &[BUCKET, &id, &large];
    let sent = Sent { query: &query, ..Sent::default() };
    let got = tour.ask(ME, "GET /api/v1/buckets/{bucket}/segments/{segment}/{*key}", wanted, sent).await;
    assert_eq!(got.body, *sealed);
}
