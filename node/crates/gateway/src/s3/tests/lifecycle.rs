//! What rules end, and when: with a clock that is moved on.

use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::Permission;

use super::signer::{Ask, Client};
use crate::tests::house::House;
use crate::work::expire::{Expire, PERIOD};
use crate::work::{Next, Worker as _};

const DAY: Duration = Duration::from_secs(24 * 3600);

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
}

fn rule(filter: &str, what: &str) -> String {
    format!("<Rule><ID>{}</ID><Status>Enabled</Status><Filter>{filter}</Filter>{what}</Rule>", what.len())
}

#[tokio::test]
async fn objects_end_after_their_days_where_the_filter_takes_them() {
    let logs = Logs::new().await;
    logs.put("/logs/a/1", "").await;
    logs.put("/logs/b/1", "keep=no").await;
    logs.put("/logs/b/2", "keep=yes").await;
    let two_days = rule("<Prefix>a/</Prefix>", "<Expiration><Days>2</Days></Expiration>");
    let tagged = rule(
        "<And><Prefix>b/</Prefix><Tag><Key>keep</Key><Value>no</Value></Tag></And>",
        "<Expiration><Days>10</Days></Expiration>",
    );
    assert_eq!(logs.rules(&format!("{two_days}{tagged}")).await, None);
    logs.walk().await;
    assert_eq!(logs.keys().await, ["a/1", "b/1", "b/2"], "nothing is due");
    logs.house.clock.move_on(3 * DAY);
    logs.put("/logs/a/1", "").await;
    logs.walk().await;
    assert_eq!(logs.keys().await, ["a/1", "b/1", "b/2"], "it was put anew meanwhile");
    logs.house.clock.move_on(3 * DAY);
    logs.walk().await;
    assert_eq!(logs.keys().await, ["b/1", "b/2"]);
    logs.house.clock.move_on(10 * DAY);
    logs.walk().await;
    logs.walk().await;
    assert_eq!(logs.keys().await, ["b/2"], "its tag says otherwise");
    logs.done("DELETE", "/logs?lifecycle=", b"").await;
    let refused = logs.client.refusal("GET", "/logs?lifecycle=", Ask::default()).await;
    assert_eq!(refused.as_deref(), Some("NoSuchLifecycleConfiguration"));
}

#[tokio::test]
async fn versions_markers_and_uploads_end() {
    let logs = Logs::new().await;
    let enabled = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    logs.put("/logs/a", "").await;
    logs.done("PUT", "/logs?versioning=", enabled).await;
    for _ in 0..3 {
        logs.put("/logs/a", "").await;
    }
    logs.done("POST", "/logs/b?uploads=", b"").await;
    let rules = [
        rule("", "<Expiration><Days>5</Days></Expiration>"),
        rule(
            "",
            "<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays><NewerNoncurrentVersions>1</NewerNoncurrentVersions></NoncurrentVersionExpiration>",
        ),
        rule(
            "",
            "<AbortIncompleteMultipartUpload><DaysAfterInitiation>7</DaysAfterInitiation></AbortIncompleteMultipartUpload>",
        ),
    ];
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
    let all = rule(
        "",
        "<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration>",
    );
    let lone =
        rule("", "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>");
    assert_eq!(logs.rules(&format!("{all}{lone}")).await, None);
    logs.walk().await;
    logs.walk().await;
    assert_eq!(logs.kept().await, (0, 0));
}

#[tokio::test]
async fn rules_that_cannot_be_carried_out_are_refused() {
    let logs = Logs::new().await;
    let transition = "<Transition><Days>1</Days><StorageClass>GLACIER</StorageClass></Transition>";
    let many: String = (0..1001).map(|_| rule("", "<Expiration><Days>1</Days></Expiration>")).collect();
    for (rules, code) in [
        (rule("", transition), "NotImplemented"),
        (rule("", "<Expiration><Days>0</Days></Expiration>"), "InvalidArgument"),
        (rule("", "<Expiration><Date>2030-01-01T01:00:00Z</Date></Expiration>"), "InvalidArgument"),
        (rule("", "<Expiration></Expiration>"), "MalformedXML"),
        (rule("", ""), "InvalidRequest"),
        (
            rule(
                "<ObjectSizeGreaterThan>5</ObjectSizeGreaterThan>",
                "<AbortIncompleteMultipartUpload><DaysAfterInitiation>7</DaysAfterInitiation></AbortIncompleteMultipartUpload>",
            ),
            "InvalidRequest",
        ),
        (rule("", "<Expiration><Days>1</Days></Expiration>").repeat(2), "InvalidArgument"),
        (many, "MalformedXML"),
    ] {
        assert_eq!(logs.rules(&rules).await.as_deref(), Some(code), "{}", &rules[..rules.len().min(300)]);
    }
    let date = rule("", "<Expiration><Date>2030-01-01T00:00:00Z</Date></Expiration>");
    assert_eq!(logs.rules(&date).await, None);
    assert!(logs.text("/logs?lifecycle=").await.contains("<Date>2030-01-01T00:00:00"), "as it was put");
}
