//! Object lock as clients meet it, by S3 and by REST.

use axum::body::Body;
use datamesh_catalog::Permission;
use http::Method;

use super::signer::{Ask, Client};
use crate::tests::house::{ADMIN, Got, House};

const FAR: &str = "2099-01-01T00:00:00Z";
const HOLD: &[u8] = b"<LegalHold><Status>ON</Status></LegalHold>";
const LIFT: &[u8] = b"<LegalHold><Status>OFF</Status></LegalHold>";
const BYPASS: (&str, &str) = ("x-amz-bypass-governance-retention", "true");
/// CRC32 of `text`.
const SUM: (&str, &str) = ("x-amz-checksum-crc32", "O4unxw==");

fn governed() -> [(&'static str, &'static str); 3] {
    [("x-amz-object-lock-mode", "GOVERNANCE"), ("x-amz-object-lock-retain-until-date", FAR), SUM]
}

fn retention(mode: &str, until: &str) -> String {
    format!("<Retention><Mode>{mode}</Mode><RetainUntilDate>{until}</RetainUntilDate></Retention>")
}

/// A lockable bucket, and whoever administers it.
struct Vault {
    house: House,
    admin: Client,
}

impl Vault {
    async fn new() -> Self {
        let house = House::new(6).await;
        let admin = Client::new(&house, Permission::Admin, &[]).await;
        let headers = &[("x-amz-bucket-object-lock-enabled", "true")];
        assert_eq!(admin.refusal("PUT", "/vault", Ask { headers, ..Ask::default() }).await, None);
        Self { house, admin }
    }

    /// Puts `text` and gives its version's path.
    async fn put(&self, key: &str, headers: &[(&str, &str)]) -> String {
        let ask = Ask { headers, body: b"text", ..Ask::default() };
        let put = self.admin.ask("PUT", &format!("/vault/{key}"), ask).await.ok();
        format!("/vault/{key}?versionId={}", put.header("x-amz-version-id"))
    }

    async fn set(&self, target: &str, body: &[u8]) -> Option<String> {
        self.admin.refusal("PUT", target, Ask { body, ..Ask::default() }).await
    }

    async fn rest(&self, method: Method, path: &str) -> Got {
        self.house.ask(method, path, &[], Body::empty()).await
    }
}

async fn delete(client: &Client, path: &str, headers: &[(&str, &str)]) -> Option<String> {
    client.refusal("DELETE", path, Ask { headers, ..Ask::default() }).await
}

fn denied() -> Option<String> {
    Some("AccessDenied".to_owned())
}

#[tokio::test]
async fn who_sets_governance_aside_needs_a_right_of_its_own() {
    let vault = Vault::new().await;
    let writer = Client::new(&vault.house, Permission::ReadWrite, &["vault"]).await;
    let (one, two) = (vault.put("a", &governed()).await, vault.put("a", &governed()).await);
    let three = vault.put("a", &governed()).await;
    assert_eq!(delete(&vault.admin, &one, &[]).await, denied(), "nobody said so");
    assert_eq!(delete(&writer, &one, &[BYPASS]).await, denied(), "who writes may not");
    let free = vault.put("a", &[]).await;
    assert_eq!(delete(&writer, &free, &[BYPASS]).await, None, "to ask in vain is no fault");
    assert_eq!(delete(&vault.admin, &one, &[BYPASS]).await, None);
    let policy = |effect: &str, who: &str, action: &str| {
        format!(
            r#"{{"Version": "2012-10-17", "Statement": [{{"Effect": "{effect}", "Principal": {who},
            "Action": "{action}", "Resource": "arn:aws:s3:::vault/*"}}]}}"#
        )
    };
    let by_key = format!(r#"{{"AWS": "{}"}}"#, writer.id);
    let allowed = policy("Allow", &by_key, "s3:BypassGovernanceRetention");
    assert_eq!(vault.set("/vault?policy=", allowed.as_bytes()).await, None);
    assert_eq!(delete(&writer, &two, &[BYPASS]).await, None);
    let refused = policy("Deny", r#""*""#, "s3:BypassGovernanceRetention");
    assert_eq!(vault.set("/vault?policy=", refused.as_bytes()).await, None);
    assert_eq!(delete(&vault.admin, &three, &[BYPASS]).await, denied());
    let everything = policy("Allow", r#""*""#, "s3:*");
    assert_eq!(vault.set("/vault?policy=", everything.as_bytes()).await, None);
    let stranger = vault.admin.stranger("DELETE", &three, Ask { headers: &[BYPASS], ..Ask::default() }).await;
    assert_eq!(stranger.status, 403, "strangers never do");
    assert_eq!(&vault.admin.ask("GET", &three, Ask::default()).await.ok().body[..], b"text");
}

#[tokio::test]
async fn who_lifts_a_hold_needs_more_than_to_write() {
    let vault = Vault::new().await;
    let writer = Client::new(&vault.house, Permission::ReadWrite, &["vault"]).await;
    let a = vault.put("a", &[]).await;
    let hold = a.replace('?', "?legal-hold=&");
    let set = async |body: &'static [u8]| writer.refusal("PUT", &hold, Ask { body, ..Ask::default() }).await;
    assert_eq!(set(LIFT).await, denied(), "also where none is on: one may come meanwhile");
    assert_eq!(set(HOLD).await, None, "who writes puts holds on");
    assert_eq!(set(LIFT).await, denied());
    assert_eq!(delete(&writer, &a, &[BYPASS]).await, denied(), "so the hold is there still");
    let policy = |effect: &str, who: &str| {
        format!(
            r#"{{"Version": "2012-10-17", "Statement": [{{"Effect": "{effect}", "Principal": {who},
            "Action": "s3:PutObjectLegalHold", "Resource": "arn:aws:s3:::vault/*"}}]}}"#
        )
    };
    let by_key = format!(r#"{{"AWS": "{}"}}"#, writer.id);
    assert_eq!(vault.set("/vault?policy=", policy("Allow", &by_key).as_bytes()).await, None);
    assert_eq!(set(LIFT).await, None, "whom the policy allows it");
    assert_eq!(set(HOLD).await, None);
    assert_eq!(vault.set("/vault?policy=", policy("Allow", r#""*""#).as_bytes()).await, None);
    let stranger = vault.admin.stranger("PUT", &hold, Ask { body: LIFT, ..Ask::default() }).await;
    assert_eq!(stranger.status, 403, "strangers never do");
    assert_eq!(vault.set("/vault?policy=", policy("Deny", r#""*""#).as_bytes()).await, None);
    assert_eq!(vault.set(&hold, LIFT).await, denied(), "whoever it is denied");
    let empty = vault.admin.refusal("DELETE", "/vault?policy=", Ask::default()).await;
    assert_eq!((empty, vault.set(&hold, LIFT).await), (None, None));
    assert_eq!(delete(&writer, &a, &[]).await, None);
}

#[tokio::test]
async fn the_audit_tells_whether_governance_was_set_aside() {
    let vault = Vault::new().await;
    let (free, one) = (vault.put("a", &[]).await, vault.put("a", &governed()).await);
    for version in [&free, &one] {
        assert_eq!(delete(&vault.admin, version, &[BYPASS]).await, None);
    }
    let path = "/api/v1/admin/audit?action=s3:DeleteObject";
    let asked = vault.house.ask_as(Some(ADMIN), Method::GET, path, (&[], "".into()));
    let all = asked.await.ok().json();
    let details: Vec<_> =
        all["items"].as_array().unwrap().iter().map(|item| &item["entry"]["detail"]).collect();
    assert_eq!(details, ["governance may be set aside", "governance is set aside"]);
}

#[tokio::test]
async fn what_brings_a_lock_along_needs_the_right_and_a_proof() {
    let vault = Vault::new().await;
    let [mode, until, _] = governed();
    let put = async |headers: &[(&str, &str)]| {
        vault.admin.refusal("PUT", "/vault/a", Ask { headers, body: b"text", ..Ask::default() }).await
    };
    assert_eq!(put(&[mode, until]).await.as_deref(), Some("InvalidRequest"), "no checksum");
    assert_eq!(put(&[mode, SUM]).await.as_deref(), Some("InvalidArgument"), "no date");
    let past = ("x-amz-object-lock-retain-until-date", "2001-01-01T00:00:00Z");
    assert_eq!(put(&[mode, past, SUM]).await.as_deref(), Some("InvalidArgument"));
    for beyond in ["2999-01-01T00:00:00Z", "9999-12-31T23:59:59-01:00", "9999-12-31T23:59:59Z"] {
        let beyond = ("x-amz-object-lock-retain-until-date", beyond);
        assert_eq!(put(&[mode, beyond, SUM]).await.as_deref(), Some("InvalidArgument"), "{beyond:?}");
    }
    let never = ("x-amz-object-lock-mode", "NEVER");
    assert_eq!(put(&[never, until, SUM]).await.as_deref(), Some("InvalidArgument"));
    let maybe = ("x-amz-object-lock-legal-hold", "MAYBE");
    assert_eq!(put(&[maybe, SUM]).await.as_deref(), Some("InvalidArgument"));
    assert_eq!(put(&governed()).await, None);
    let east = ("x-amz-object-lock-retain-until-date", "2099-01-01T02:00:00+02:00");
    assert_eq!(put(&[mode, east, SUM]).await, None);
    let head = vault.admin.ask("HEAD", "/vault/a", Ask::default()).await.ok();
    let until = head.header("x-amz-object-lock-retain-until-date");
    assert!(until.starts_with("2099-01-01T00:00:00"), "the moment, not the words: {until}");
    let hold = ("x-amz-object-lock-legal-hold", "ON");
    for (action, headers) in
        [("s3:PutObjectRetention", &governed()[..]), ("s3:PutObjectLegalHold", &[hold, SUM])]
    {
        let policy = format!(
            r#"{{"Version": "2012-10-17", "Statement": [{{"Effect": "Deny", "Principal": "*",
            "Action": "{action}", "Resource": "arn:aws:s3:::vault/*"}}]}}"#
        );
        assert_eq!(vault.set("/vault?policy=", policy.as_bytes()).await, None);
        assert_eq!(put(headers).await, denied(), "{action}");
        assert_eq!(put(&[]).await, None, "{action}");
    }
}

#[tokio::test]
async fn who_reads_an_object_does_not_see_its_lock_unless_they_may() {
    let vault = Vault::new().await;
    vault.put("a", &governed()).await;
    assert_eq!(vault.set("/vault/a?legal-hold=", HOLD).await, None);
    let policy = |actions: &str| {
        format!(
            r#"{{"Version": "2012-10-17", "Statement": [{{"Effect": "Allow", "Principal": "*",
            "Action": {actions}, "Resource": "arn:aws:s3:::vault/*"}}]}}"#
        )
    };
    let shown = |got: &Got| {
        ["x-amz-object-lock-mode", "x-amz-object-lock-retain-until-date", "x-amz-object-lock-legal-hold"]
            .map(|name| got.headers.get(name).map(|value| value.to_str().unwrap().to_owned()))
    };
    let seen = vault.admin.ask("GET", "/vault/a", Ask::default()).await.ok();
    let [mode, until, hold] = shown(&seen).map(Option::unwrap);
    assert_eq!((mode.as_str(), hold.as_str()), ("GOVERNANCE", "ON"));
    assert!(until.starts_with("2099-01-01T00:00:00"), "{until}");
    assert_eq!(vault.set("/vault?policy=", policy(r#""s3:GetObject""#).as_bytes()).await, None);
    for method in ["GET", "HEAD"] {
        let got = vault.admin.unsigned(method, "/vault/a").await.ok();
        assert_eq!(shown(&got), [None, None, None], "{method}");
    }
    let both = policy(r#"["s3:GetObject", "s3:GetObjectLegalHold"]"#);
    assert_eq!(vault.set("/vault?policy=", both.as_bytes()).await, None);
    let got = vault.admin.unsigned("HEAD", "/vault/a").await.ok();
    assert_eq!(shown(&got), [None, None, Some("ON".to_owned())]);
}

#[tokio::test]
async fn rest_shows_a_lock_and_honours_it() {
    let vault = Vault::new().await;
    let (file, metadata) = ("/api/v1/buckets/vault/files/a", "/api/v1/buckets/vault/metadata/a");
    vault.put("a", &[]).await;
    let plain = vault.rest(Method::GET, metadata).await.ok();
    assert_eq!(plain.json().get("lock"), None);
    let strict = retention("COMPLIANCE", FAR);
    assert_eq!(vault.set("/vault/a?retention=", strict.as_bytes()).await, None);
    let shown = vault.rest(Method::GET, metadata).await.ok();
    assert_eq!(
        shown.json()["lock"],
        serde_json::json!({ "retainedUntil": FAR, "mode": "compliance", "legalHold": false })
    );
    assert_ne!(plain.header("etag"), shown.header("etag"), "what is shown is another");
    let change = |etag: String| {
        let body = r#"{"contentType": "a/b"}"#;
        let house = &vault.house;
        async move {
            let headers = [("if-match", &*etag), ("content-type", "application/json")];
            house.ask(Method::PUT, metadata, &headers, body).await
        }
    };
    let refused = change(shown.header("etag").to_owned()).await;
    assert_eq!((refused.status.as_u16(), refused.problem()), (423, "locked".to_owned()));
    let shredded = vault.rest(Method::DELETE, &format!("{file}?shred=true")).await;
    assert_eq!((shredded.status.as_u16(), shredded.problem()), (423, "locked".to_owned()));
    assert!(shredded.json()["detail"].as_str().unwrap().contains(FAR), "it names the date");
    // A delete hides it, and a put by REST stands in front of it.
    let gone = vault.rest(Method::DELETE, file).await.ok().json();
    assert!(gone["marker"].is_string() && gone.get("keptUntil").is_none(), "{gone}");
    vault.house.ask(Method::PUT, file, &[], "other").await.ok();
    let listed = vault.admin.ask("GET", "/vault?versions=", Ask::default()).await.ok();
    let listed = String::from_utf8_lossy(&listed.body).into_owned();
    assert_eq!((listed.matches("<Version>").count(), listed.matches("<DeleteMarker>").count()), (2, 1));
    let free = vault.rest(Method::GET, metadata).await.ok();
    assert_eq!(change(free.header("etag").to_owned()).await.status, 200, "the control");
}

#[tokio::test]
async fn holds_are_lifted_and_dates_are_not_shortened() {
    let vault = Vault::new().await;
    let a = vault.put("a", &[]).await;
    let (hold, retain) = (a.replace('?', "?legal-hold=&"), a.replace('?', "?retention=&"));
    let get = async |target: &str| vault.admin.refusal("GET", target, Ask::default()).await;
    for target in [&hold, &retain] {
        assert_eq!(get(target).await.as_deref(), Some("NoSuchObjectLockConfiguration"));
    }
    assert_eq!(vault.set(&hold, HOLD).await, None);
    assert_eq!(delete(&vault.admin, &a, &[BYPASS]).await, denied());
    assert_eq!(vault.set(&hold, LIFT).await, None);
    let held = vault.admin.ask("GET", &hold, Ask::default()).await.ok();
    assert!(String::from_utf8_lossy(&held.body).contains("<Status>OFF</Status>"));
    for (mode, until, refusal) in [
        ("COMPLIANCE", FAR, None),
        ("COMPLIANCE", "2098-12-31T23:59:59Z", denied()),
        ("GOVERNANCE", FAR, denied()),
        ("COMPLIANCE", "2099-01-02T00:00:00Z", None),
        ("compliance", FAR, Some("MalformedXML".to_owned())),
    ] {
        assert_eq!(vault.set(&retain, retention(mode, until).as_bytes()).await, refusal, "{mode} {until}");
    }
    for (target, body, refusal) in [
        (
            "/vault?versioning=",
            &b"<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>"[..],
            "InvalidBucketState",
        ),
        ("/vault/none?legal-hold=", HOLD, "NoSuchKey"),
        ("/vault/a?legal-hold=", b"<LegalHold/>", "MalformedXML"),
        ("/vault/a?retention=", b"<Retention><Mode>COMPLIANCE</Mode></Retention>", "MalformedXML"),
    ] {
        assert_eq!(vault.set(target, body).await.as_deref(), Some(refusal), "{target}");
    }
    vault.admin.ask("DELETE", "/vault/a", Ask::default()).await;
    assert_eq!(vault.set("/vault/a?legal-hold=", HOLD).await.as_deref(), Some("NoSuchKey"), "it is hidden");
    assert_eq!(delete(&vault.admin, &a, &[BYPASS]).await, denied());
}
