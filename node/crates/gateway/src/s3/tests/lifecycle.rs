//! What rules end, and when, and what they leave: with a clock that is moved on.

mod rules;

use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::{BucketSetting, Permission};
use datamesh_settings::admin::FsckEvent;
use futures::StreamExt as _;
use http::Method;

use super::signer::{Ask, Client};
use crate::tests::house::{ADMIN, House};
use crate::work::expire::{Expire, PERIOD};
use crate::work::{Next, Worker as _};

const DAY: Duration = Duration::from_secs(24 * 3600);
const ENABLED: &[u8] = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";

struct Logs {
    house: House,
    client: Client,
}

impl Logs {
    async fn new() -> Self {
        let house = House::new(6).await;
        let client = Client::new(&house, Permission::Admin, &[]).await;
        let logs = Self { house, client };
        logs.done("PUT", "/logs", b"").await;
        logs
    }

    async fn done(&self, method: &str, target: &str, body: &[u8]) {
        let refused = self.client.refusal(method, target, Ask { body, ..Ask::default() }).await;
        assert_eq!(refused, None, "{method} {target}");
    }

    /// Puts as many bytes as its path has.
    async fn put(&self, target: &str, tags: &str) {
        let headers = [("x-amz-tagging", tags)];
        let ask = Ask { headers: &headers, body: target.as_bytes(), ..Ask::default() };
        assert_eq!(self.client.refusal("PUT", target, ask).await, None);
    }

    async fn rules(&self, rules: &str) -> Option<String> {
        let body = format!("<LifecycleConfiguration>{rules}</LifecycleConfiguration>");
        let hash = ring::digest::digest(&ring::digest::SHA256, body.as_bytes());
        let sum = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, hash);
        let headers = [("x-amz-checksum-sha256", &*sum)];
        let ask = Ask { headers: &headers, body: body.as_bytes(), ..Ask::default() };
        self.client.refusal("PUT", "/logs?lifecycle=", ask).await
    }

    /// One walk over all buckets, as the worker does it in its time.
    async fn walk(&self) {
        let mut worker = Expire::new(Arc::clone(&self.house.core.context), Arc::clone(&self.house.core.app));
        while worker.work().await != Next::Wait(PERIOD) {}
    }

    async fn text(&self, target: &str) -> String {
        let got = self.client.ask("GET", target, Ask::default()).await.ok();
        String::from_utf8_lossy(&got.body).into_owned()
    }

    /// Keys that a list of objects shows.
    async fn keys(&self) -> Vec<String> {
        let text = self.text("/logs?list-type=2").await;
        text.split("<Key>").skip(1).map(|rest| rest.split_once('<').unwrap().0.to_owned()).collect()
    }

    /// How many versions and markers there are.
    async fn kept(&self) -> (usize, usize) {
        let text = self.text("/logs?versions=").await;
        (text.matches("<Version>").count(), text.matches("<DeleteMarker>").count())
    }

    /// What the audit says of ends.
    async fn told(&self) -> Vec<String> {
        let path = "/api/v1/admin/audit?action=s3:Expire";
        let got = self.house.ask_as(Some(ADMIN), Method::GET, path, (&[], "".into())).await.ok().json();
        let entries = got["items"].as_array().unwrap().iter().map(|item| &item["entry"]);
        let of = |entry: &serde_json::Value, field: &str| entry[field].as_str().unwrap().to_owned();
        let line = |entry| format!("{} {}: {}", of(entry, "actor"), of(entry, "target"), of(entry, "detail"));
        entries.map(line).collect()
    }

    fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.house.core.registry).unwrap();
        text
    }
}

fn rule(filter: &str, what: &str) -> String {
    named(&what.len().to_string(), filter, what)
}

fn named(id: &str, filter: &str, what: &str) -> String {
    format!("<Rule><ID>{id}</ID><Status>Enabled</Status><Filter>{filter}</Filter>{what}</Rule>")
}

fn days(days: u32) -> String {
    format!("<Expiration><Days>{days}</Days></Expiration>")
}

fn noncurrent(days: u32, kept: &str) -> String {
    format!(
        "<NoncurrentVersionExpiration><NoncurrentDays>{days}</NoncurrentDays>{kept}</NoncurrentVersionExpiration>"
    )
}

#[tokio::test]
async fn objects_end_after_their_days_where_the_filter_takes_them() {
    let logs = Logs::new().await;
    logs.put("/logs/a/1", "").await;
    logs.put("/logs/b/1", "keep=no").await;
    logs.put("/logs/b/2", "keep=yes").await;
    let two_days = named("two", "<Prefix>a/</Prefix>", &days(2));
    let tagged = "<And><Prefix>b/</Prefix><Tag><Key>keep</Key><Value>no</Value></Tag></And>";
    assert_eq!(logs.rules(&format!("{two_days}{}", rule(tagged, &days(10)))).await, None);
    logs.walk().await;
    assert_eq!(logs.keys().await, ["a/1", "b/1", "b/2"], "nothing is due");
    assert!(logs.told().await.is_empty() && !logs.metrics().contains("expired_total{"), "the control");
    logs.house.clock.move_on(3 * DAY);
    logs.put("/logs/a/1", "").await;
    logs.walk().await;
    assert_eq!(logs.keys().await, ["a/1", "b/1", "b/2"], "it was put anew meanwhile");
    logs.house.clock.move_on(3 * DAY);
    logs.walk().await;
    assert_eq!(logs.keys().await, ["b/1", "b/2"]);
    assert_eq!(logs.told().await, [r#"lifecycle /logs: object: 1; from "a/1" to "a/1", by {"two"}"#]);
    assert!(logs.metrics().contains("datamesh_gateway_expired_total{kind=\"object\"} 1\n"));
    logs.house.clock.move_on(10 * DAY);
    logs.walk().await;
    logs.walk().await;
    assert_eq!(logs.keys().await, ["b/2"], "its tag says otherwise");
    logs.done("DELETE", "/logs?lifecycle=", b"").await;
    let refused = logs.client.refusal("GET", "/logs?lifecycle=", Ask::default()).await;
    assert_eq!(refused.as_deref(), Some("NoSuchLifecycleConfiguration"));
}

#[tokio::test]
async fn sizes_dates_and_rules_that_are_off_leave_what_they_do_not_mean() {
    let logs = Logs::new().await;
    for target in ["/logs/8", "/logs/nine", "/logs/twelve"] {
        logs.put(target, "").await;
    }
    let sizes = "<And><ObjectSizeGreaterThan>7</ObjectSizeGreaterThan><ObjectSizeLessThan>12</ObjectSizeLessThan></And>";
    let off = rule("", &days(1)).replace("Enabled", "Disabled");
    assert_eq!(logs.rules(&format!("{off}{}", named("sizes", sizes, &days(1)))).await, None);
    assert!(logs.text("/logs?lifecycle=").await.contains("<Status>Disabled</Status>"));
    logs.house.clock.move_on(3 * DAY);
    logs.walk().await;
    assert_eq!(logs.keys().await, ["8", "twelve"], "of 7, 10 and 12 bytes");
    let date = |year: u32| format!("<Expiration><Date>{year}-01-01T00:00:00Z</Date></Expiration>");
    assert_eq!(logs.rules(&rule("<Prefix>t</Prefix>", &date(2100))).await, None);
    logs.walk().await;
    assert_eq!(logs.keys().await, ["8", "twelve"], "the day has not come");
    assert_eq!(logs.rules(&rule("<Prefix>t</Prefix>", &date(2020))).await, None);
    logs.walk().await;
    assert_eq!(logs.keys().await, ["8"]);
}

#[tokio::test]
async fn versions_markers_and_uploads_end() {
    let logs = Logs::new().await;
    logs.put("/logs/a", "").await;
    logs.done("PUT", "/logs?versioning=", ENABLED).await;
    for _ in 0..3 {
        logs.put("/logs/a", "").await;
    }
    logs.done("POST", "/logs/b?uploads=", b"").await;
    let abort = "<AbortIncompleteMultipartUpload><DaysAfterInitiation>7</DaysAfterInitiation></AbortIncompleteMultipartUpload>";
    let one_stays = noncurrent(1, "<NewerNoncurrentVersions>1</NewerNoncurrentVersions>");
    let rules = [rule("", &days(5)), rule("", &one_stays), rule("", abort)];
    assert_eq!(logs.rules(&rules.concat()).await, None);
    assert!(
        logs.text("/logs?lifecycle=").await.contains("<NewerNoncurrentVersions>1</NewerNoncurrentVersions>")
    );
    logs.walk().await;
    assert_eq!(logs.kept().await, (4, 0));
    logs.house.clock.move_on(2 * DAY);
    logs.walk().await;
    assert_eq!(logs.kept().await, (2, 0), "the object, and the one version behind that stays");
    logs.house.clock.move_on(4 * DAY);
    logs.walk().await;
    assert_eq!((logs.kept().await, logs.keys().await.len()), ((2, 1), 0), "a marker hides it");
    assert_eq!(logs.house.catalog.counters().await.unwrap().uploads, 1);
    logs.house.clock.move_on(3 * DAY);
    logs.walk().await;
    assert_eq!(logs.kept().await, (1, 1));
    assert_eq!(logs.house.catalog.counters().await.unwrap().uploads, 0);
    let lone =
        rule("", "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>");
    assert_eq!(logs.rules(&lone).await, None);
    logs.walk().await;
    assert_eq!(logs.kept().await, (1, 1), "the marker hides something");
    assert_eq!(logs.rules(&format!("{}{lone}", rule("", &noncurrent(1, "")))).await, None);
    logs.walk().await;
    logs.walk().await;
    assert_eq!(logs.kept().await, (0, 0));
}

/// More of one key than are looked at in one step.
#[tokio::test]
async fn many_versions_of_a_key_end_in_one_walk() {
    let logs = Logs::new().await;
    logs.done("PUT", "/logs?versioning=", ENABLED).await;
    for _ in 0..300 {
        logs.put("/logs/a", "").await;
    }
    logs.put("/logs/b", "").await;
    let kept = "<NewerNoncurrentVersions>5</NewerNoncurrentVersions>";
    assert_eq!(logs.rules(&named("n", "", &noncurrent(1, kept))).await, None);
    logs.walk().await;
    assert_eq!(logs.kept().await, (301, 0), "the control");
    logs.house.clock.move_on(3 * DAY);
    logs.walk().await;
    assert_eq!(logs.kept().await, (7, 0), "both objects, and five behind");
    let told = logs.told().await.concat();
    assert!(logs.told().await.len() <= 3 && told.contains("version: "), "{told}");
    assert!(logs.metrics().contains("datamesh_gateway_expired_total{kind=\"version\"} 294\n"));
}

#[tokio::test]
async fn new_rules_are_carried_out_at_once() {
    let logs = Logs::new().await;
    let mut worker = Expire::new(Arc::clone(&logs.house.core.context), Arc::clone(&logs.house.core.app));
    assert_eq!(worker.work().await, Next::Wait(PERIOD), "there are none");
    let date = rule("", "<Expiration><Date>2020-01-01T00:00:00Z</Date></Expiration>");
    logs.put("/logs/a", "").await;
    assert_eq!(logs.rules(&date).await, None);
    worker.wakes().unwrap().notified().await;
    while worker.work().await != Next::Wait(PERIOD) {}
    assert_eq!(logs.keys().await, Vec::<String>::new());
    // Also those of a bucket that the walk has passed.
    logs.put("/logs/a", "").await;
    assert_eq!(logs.rules(&rule("", &days(9))).await, None);
    for _ in 0..2 {
        assert_ne!(worker.work().await, Next::Wait(PERIOD), "the walk is in the bucket");
    }
    assert_eq!(logs.rules(&date).await, None);
    while worker.work().await != Next::Wait(PERIOD) {}
    assert_eq!(logs.keys().await, Vec::<String>::new());
}

#[tokio::test]
async fn rules_that_do_not_read_end_nothing_and_are_found() {
    let logs = Logs::new().await;
    logs.put("/logs/a", "").await;
    let bucket = logs.house.catalog.buckets().await.unwrap().remove(0);
    let newer = br#"{"rules":[{"id":"a","enabled":true,"filter":{"prefix":""},"expiration":{"Days":1},"unless":"x"}]}"#;
    let set = |bytes: &[u8]| {
        logs.house.catalog.set_bucket_setting(bucket.id, BucketSetting::Lifecycle, Some(bytes.to_vec()))
    };
    set(newer).await.unwrap();
    logs.house.clock.move_on(9 * DAY);
    logs.walk().await;
    assert_eq!(logs.keys().await, ["a"], "a condition that is not understood is not left out");
    let findings = async || {
        let events: Vec<FsckEvent> = logs.house.core.app.admin.fsck.begin(false).unwrap().collect().await;
        let details = events.into_iter().filter_map(|event| match event {
            FsckEvent::Finding(finding) => Some((finding.bucket, finding.detail)),
            _ => None,
        });
        details.collect::<Vec<_>>()
    };
    let found = findings().await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].0.as_deref() == Some("logs") && found[0].1.contains("unless"), "{found:?}");
    assert_eq!(logs.rules(&rule("", &days(1))).await, None);
    assert_eq!(findings().await, []);
    logs.walk().await;
    assert_eq!(logs.keys().await, Vec::<String>::new());
}
