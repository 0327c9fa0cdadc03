//! Policies and public access blocks, as clients meet them.

use datamesh_catalog::catalog::KeyFor;
use datamesh_catalog::{Permission, Role};
use datamesh_shard::BucketName;
use http::Method;
use serde_json::{Value, json};

use super::signer::{Ask, Client, STRANGER};
use crate::access_keys::NewKey;
use crate::tests::accounts::{signed_in, tell};
use crate::tests::house::{ADMIN, Got, House};

fn one(effect: &str, principal: &str, actions: &str, more: &str) -> String {
    format!(
        r#"{{"Version": "2012-10-17", "Statement": [{{"Effect": "{effect}", "Principal": {principal},
        "Action": {actions}, "Resource": ["arn:aws:s3:::photos", "arn:aws:s3:::photos/*"]{more}}}]}}"#
    )
}

fn allow(principal: &str, actions: &str) -> String {
    one("Allow", principal, actions, "")
}

async fn photos(house: &House) -> Client {
    let admin = Client::new(house, Permission::Admin, &[]).await;
    assert_eq!(admin.refusal("PUT", "/photos", Ask::default()).await, None);
    put(&admin, "/photos/x").await;
    admin
}

async fn put(client: &Client, target: &str) -> Got {
    client.ask("PUT", target, Ask { body: b"text", ..Ask::default() }).await.ok()
}

async fn set(client: &Client, bucket: &str, policy: &str) -> Option<String> {
    client
        .refusal("PUT", &format!("/{bucket}?policy="), Ask { body: policy.as_bytes(), ..Ask::default() })
        .await
}

async fn block(client: &Client, what: &str) -> Option<String> {
    let body =
        format!("<PublicAccessBlockConfiguration><{what}>true</{what}></PublicAccessBlockConfiguration>");
    let hash = ring::digest::digest(&ring::digest::SHA256, body.as_bytes());
    let sum = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, hash);
    let headers = [("x-amz-checksum-sha256", &*sum)];
    let ask = Ask { headers: &headers, body: body.as_bytes(), ..Ask::default() };
    client.refusal("PUT", "/photos?publicAccessBlock=", ask).await
}

#[tokio::test]
async fn strangers_get_what_a_policy_gives_them_and_nothing_else() {
    let house = House::new(6).await;
    let admin = photos(&house).await;
    assert_eq!(admin.unsigned("GET", "/photos/x").await.status, 403);
    let reads = allow(r#""*""#, r#""s3:GetObject""#);
    assert_eq!(set(&admin, "photos", &reads).await, None);
    let got = admin.unsigned("GET", "/photos/x").await.ok();
    assert_eq!(&got.body[..], b"text");
    admin.unsigned("HEAD", "/photos/x").await.ok();
    for (method, target) in [
        ("GET", "/"),
        ("GET", "/photos"),
        ("GET", "/photos?policy="),
        ("GET", "/photos/x?versionId=null"),
        ("GET", "/no-such-bucket/x"),
        ("DELETE", "/photos/x"),
        ("PUT", "/photos/y"),
    ] {
        assert_eq!(admin.unsigned(method, target).await.status, 403, "{method} {target}");
    }
    // What they get is as it was put, and the policy as well.
    assert_eq!(&admin.ask("GET", "/photos?policy=", Ask::default()).await.ok().body[..], reads.as_bytes());
    assert_eq!(admin.refusal("DELETE", "/photos?policy=", Ask::default()).await, None);
    assert_eq!(admin.unsigned("GET", "/photos/x").await.status, 403);
    let gone = admin.refusal("GET", "/photos?policy=", Ask::default()).await;
    assert_eq!(gone.as_deref(), Some("NoSuchBucketPolicy"));
}

#[tokio::test]
async fn what_is_unsigned_is_plain() {
    let house = House::new(6).await;
    let admin = photos(&house).await;
    assert_eq!(set(&admin, "photos", &allow(r#""*""#, r#"["s3:PutObject", "s3:GetObject"]"#)).await, None);
    let page = admin.unsigned("GET", "/photos/x?response-content-type=text/html").await;
    assert_eq!(page.status, 400, "{page:?}");
    let encoded = admin.unsigned("GET", "/photos/x?%72esponse-content-type=text/html").await;
    assert_eq!(encoded.status, 400, "{encoded:?}");
    for chunked in [
        ("content-encoding", "aws-chunked"),
        ("content-encoding", "gzip, aws-chunked"),
        ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
        ("x-amz-decoded-content-length", "4"),
        ("x-amz-trailer", "x-amz-checksum-crc32"),
    ] {
        let ask = Ask { headers: &[chunked], body: b"4\r\ntext\r\n0\r\n\r\n", ..Ask::default() };
        assert_eq!(admin.stranger("PUT", "/photos/y", ask).await.status, 501, "{chunked:?}");
    }
    let sum = [("x-amz-checksum-crc32", "AAAAAA==")];
    let wrong = Ask { headers: &sum, body: b"text", ..Ask::default() };
    assert_eq!(admin.stranger("PUT", "/photos/y", wrong).await.status, 400, "checksums count all the same");
    assert_eq!(admin.refusal("GET", "/photos/y", Ask::default()).await.as_deref(), Some("NoSuchKey"));
}

async fn audited(house: &House) -> Vec<serde_json::Value> {
    let ask = house.ask_as(Some(ADMIN), Method::GET, "/api/v1/admin/audit?action=s3:", (&[], "".into()));
    let all = ask.await.ok().json();
    all["items"].as_array().unwrap().iter().map(|item| item["entry"].clone()).collect()
}

async fn of_strangers(house: &House) -> Vec<serde_json::Value> {
    audited(house).await.into_iter().filter(|entry| entry["actor"] == "anonymous").collect()
}

#[tokio::test]
async fn the_audit_names_strangers_where_they_change_something() {
    let house = House::new(6).await;
    let admin = photos(&house).await;
    assert_eq!(set(&admin, "photos", &allow(r#""*""#, r#"["s3:PutObject", "s3:GetObject"]"#)).await, None);
    let ask = Ask { body: b"theirs", ..Ask::default() };
    admin.stranger("PUT", "/photos/y", ask).await.ok();
    admin.unsigned("GET", "/photos/y").await.ok();
    assert_eq!(admin.unsigned("DELETE", "/photos/y").await.status, 403);
    let entries = audited(&house).await;
    let of_policy = entries.iter().find(|entry| entry["action"] == "s3:PutBucketPolicy").unwrap();
    assert_eq!((&of_policy["target"], &of_policy["detail"]), (&"/photos".into(), &"public=true".into()));
    let strangers = of_strangers(&house).await;
    assert_eq!(strangers.len(), 1, "{strangers:?}");
    assert_eq!(strangers[0]["target"], "/photos/y");
    assert_eq!(strangers[0]["address"], STRANGER.to_string());
}

#[tokio::test]
async fn conditions_meet_the_request() {
    let house = House::new(6).await;
    let admin = photos(&house).await;
    for (condition, target, expected) in [
        (r#"{"StringLike": {"s3:prefix": "home/*"}}"#, "/photos?prefix=home%2Fada", 200),
        (r#"{"StringLike": {"s3:prefix": "home/*"}}"#, "/photos?list-type=2&prefix=home/ada", 200),
        (r#"{"StringLike": {"s3:prefix": "home/*"}}"#, "/photos?versions=&prefix=home/ada", 403),
        (r#"{"StringEquals": {"s3:prefix": "a b"}}"#, "/photos?prefix=a+b", 200),
        (r#"{"StringLike": {"s3:prefix": "home/*"}}"#, "/photos?prefix=secret", 403),
        (r#"{"StringLike": {"s3:prefix": "home/*"}}"#, "/photos", 403),
        (r#"{"StringLike": {"s3:prefix": "home/*"}}"#, "/photos?prefix=home/&prefix=secret", 400),
        (r#"{"NumericLessThanEquals": {"s3:max-keys": 10}}"#, "/photos?max-keys=10", 200),
        (r#"{"NumericLessThanEquals": {"s3:max-keys": 10}}"#, "/photos?max-keys=11", 403),
        (r#"{"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}"#, "/photos", 200),
        (r#"{"IpAddress": {"aws:SourceIp": "198.51.100.0/24"}}"#, "/photos", 403),
        (r#"{"Bool": {"aws:SecureTransport": "true"}}"#, "/photos", 200),
        (r#"{"DateLessThan": {"aws:CurrentTime": "2001-01-01"}}"#, "/photos", 403),
    ] {
        let more = format!(r#", "Condition": {condition}"#);
        assert_eq!(set(&admin, "photos", &one("Allow", r#""*""#, r#""s3:ListBucket""#, &more)).await, None);
        let got = admin.unsigned("GET", target).await;
        assert_eq!(got.status, expected, "{condition} {target}: {got:?}");
    }
}

#[tokio::test]
async fn each_of_many_deletes_is_judged() {
    let house = House::new(6).await;
    let admin = photos(&house).await;
    let other = Client::new(&house, Permission::ReadOnly, &["another"]).await;
    for key in ["/photos/mine/a", "/photos/theirs/b"] {
        put(&admin, key).await;
    }
    let body = b"<Delete><Object><Key>mine/a</Key></Object><Object><Key>theirs/b</Key></Object>\
        <Object><Key>mine/a</Key><VersionId>null</VersionId></Object></Delete>";
    let ask = || Ask { body, ..Ask::default() };
    assert_eq!(other.refusal("POST", "/photos?delete=", ask()).await.as_deref(), Some("AccessDenied"));
    let policy = allow(&format!(r#"{{"AWS": "{}"}}"#, other.id), r#""s3:DeleteObject""#)
        .replace("photos/*", "photos/mine/*");
    assert_eq!(set(&admin, "photos", &policy).await, None);
    let got = other.ask("POST", "/photos?delete=", ask()).await.ok();
    let text = String::from_utf8_lossy(&got.body).into_owned();
    assert_eq!(text.matches("<Deleted>").count(), 1, "{text}");
    assert_eq!(text.matches("<Code>AccessDenied</Code>").count(), 2, "{text}");
    assert_eq!(admin.refusal("GET", "/photos/mine/a", Ask::default()).await.as_deref(), Some("NoSuchKey"));
    assert_eq!(admin.refusal("GET", "/photos/theirs/b", Ask::default()).await, None);

    // Strangers are judged key by key as well, and entered where any was theirs to delete.
    let of_strangers_mine = allow(r#""*""#, r#""s3:DeleteObject""#).replace("photos/*", "photos/mine/*");
    assert_eq!(set(&admin, "photos", &of_strangers_mine).await, None);
    let body = b"<Delete><Object><Key>theirs/b</Key></Object></Delete>";
    let got = admin.stranger("POST", "/photos?delete=", Ask { body, ..Ask::default() }).await.ok();
    assert!(String::from_utf8_lossy(&got.body).contains("<Code>AccessDenied</Code>"));
    assert!(of_strangers(&house).await.is_empty());
    let body = b"<Delete><Object><Key>mine/c</Key></Object></Delete>";
    admin.stranger("POST", "/photos?delete=", Ask { body, ..Ask::default() }).await.ok();
    assert_eq!(of_strangers(&house).await.len(), 1);
}

fn form(key: &str) -> String {
    format!(
        "--b\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\n{key}\r\n\
        --b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\nby form\r\n--b--\r\n"
    )
}

#[tokio::test]
async fn a_form_is_judged_by_the_key_in_it() {
    let house = House::new(6).await;
    let admin = photos(&house).await;
    let headers = [("content-type", "multipart/form-data; boundary=b")];
    let sent = async |key: &str| {
        let form = form(key);
        admin
            .stranger("POST", "/photos", Ask { headers: &headers, body: form.as_bytes(), ..Ask::default() })
            .await
    };
    assert_eq!(sent("inbox/a").await.status, 403);
    let policy = allow(r#""*""#, r#""s3:PutObject""#).replace("photos/*", "photos/inbox/*");
    assert_eq!(set(&admin, "photos", &policy).await, None);
    sent("inbox/a").await.ok();
    assert_eq!(sent("outbox/a").await.status, 403);
    assert_eq!(of_strangers(&house).await.len(), 1, "what they are refused is not entered");
    assert_eq!(&admin.ask("GET", "/photos/inbox/a", Ask::default()).await.ok().body[..], b"by form");
    assert_eq!(admin.refusal("GET", "/photos/outbox/a", Ask::default()).await.as_deref(), Some("NoSuchKey"));
}

#[tokio::test]
async fn a_copy_is_judged_where_it_reads_and_where_it_writes() {
    let house = House::new(6).await;
    let admin = photos(&house).await;
    assert_eq!(admin.refusal("PUT", "/ours", Ask::default()).await, None);
    let ours = Client::new(&house, Permission::ReadWrite, &["ours"]).await;
    let copy = || Ask { headers: &[("x-amz-copy-source", "/photos/x")], ..Ask::default() };
    let copied = async || ours.refusal("PUT", "/ours/x", copy()).await;
    assert_eq!(copied().await.as_deref(), Some("AccessDenied"));
    let who = format!(r#"{{"AWS": "{}"}}"#, ours.id);
    assert_eq!(set(&admin, "photos", &allow(&who, r#""s3:GetObject""#)).await, None);
    assert_eq!(copied().await, None);
    // Its tags are read by an action of their own.
    let tagged = Ask { headers: &[("x-amz-tagging", "a=1")], body: b"text", ..Ask::default() };
    assert_eq!(admin.refusal("PUT", "/photos/x", tagged).await, None);
    assert_eq!(copied().await.as_deref(), Some("AccessDenied"));
    let headers = [("x-amz-copy-source", "/photos/x"), ("x-amz-tagging-directive", "REPLACE")];
    let replaced = Ask { headers: &headers, ..Ask::default() };
    assert_eq!(ours.refusal("PUT", "/ours/x", replaced).await, None);
    assert_eq!(set(&admin, "photos", &allow(&who, r#"["s3:GetObject", "s3:GetObjectTagging"]"#)).await, None);
    assert_eq!(copied().await, None);
    // And where it may read by its own key, the source's policy may deny it.
    let all = Client::new(&house, Permission::ReadWrite, &[]).await;
    assert_eq!(all.refusal("PUT", "/ours/y", copy()).await, None);
    let denied = one("Deny", &format!(r#"{{"AWS": "{}"}}"#, all.id), r#""s3:GetObject""#, "");
    assert_eq!(set(&admin, "photos", &denied).await, None);
    assert_eq!(all.refusal("PUT", "/ours/y", copy()).await.as_deref(), Some("AccessDenied"));
}

#[tokio::test]
async fn tags_that_come_along_are_an_action_of_their_own() {
    let house = House::new(6).await;
    let admin = photos(&house).await;
    assert_eq!(set(&admin, "photos", &allow(r#""*""#, r#""s3:PutObject""#)).await, None);
    let ask = |headers| Ask { headers, body: b"x", ..Ask::default() };
    admin.stranger("PUT", "/photos/y", ask(&[])).await.ok();
    let tagged = admin.stranger("PUT", "/photos/y", ask(&[("x-amz-tagging", "a=1")])).await;
    assert_eq!(tagged.status, 403);
}

#[tokio::test]
async fn what_is_blocked_no_policy_opens() {
    let house = House::new(6).await;
    let admin = photos(&house).await;
    let none = admin.refusal("GET", "/photos?publicAccessBlock=", Ask::default()).await;
    assert_eq!(none.as_deref(), Some("NoSuchPublicAccessBlockConfiguration"));
    let (everybody, place) = (
        allow(r#""*""#, r#""s3:GetObject""#),
        one(
            "Allow",
            r#""*""#,
            r#""s3:GetObject""#,
            r#", "Condition": {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}"#,
        ),
    );
    assert_eq!(block(&admin, "BlockPublicPolicy").await, None);
    assert_eq!(set(&admin, "photos", &everybody).await.as_deref(), Some("AccessDenied"));
    assert_eq!(set(&admin, "photos", &place).await, None, "a place is not everybody");
    admin.unsigned("GET", "/photos/x").await.ok();
    let status = admin.ask("GET", "/photos?policyStatus=", Ask::default()).await.ok();
    assert!(String::from_utf8_lossy(&status.body).contains("false"), "{:?}", status.body);
    // It names one, so the other is no more.
    assert_eq!(block(&admin, "RestrictPublicBuckets").await, None);
    assert_eq!(set(&admin, "photos", &everybody).await, None);
    let status = admin.ask("GET", "/photos?policyStatus=", Ask::default()).await.ok();
    assert!(String::from_utf8_lossy(&status.body).contains("true"), "{:?}", status.body);
    assert_eq!(admin.unsigned("GET", "/photos/x").await.status, 403);
    let other = Client::new(&house, Permission::ReadOnly, &["another"]).await;
    assert_eq!(other.refusal("GET", "/photos/x", Ask::default()).await, None, "a key is no stranger");
    assert_eq!(admin.refusal("DELETE", "/photos?publicAccessBlock=", Ask::default()).await, None);
    admin.unsigned("GET", "/photos/x").await.ok();
}

#[tokio::test]
async fn a_policy_ends_with_its_bucket() {
    let house = House::new(6).await;
    let admin = photos(&house).await;
    assert_eq!(set(&admin, "photos", &allow(r#""*""#, r#""s3:GetObject""#)).await, None);
    admin.unsigned("GET", "/photos/x").await.ok();
    for (method, target) in [("DELETE", "/photos/x"), ("DELETE", "/photos"), ("PUT", "/photos")] {
        assert_eq!(admin.refusal(method, target, Ask::default()).await, None, "{method} {target}");
    }
    put(&admin, "/photos/x").await;
    assert_eq!(admin.unsigned("GET", "/photos/x").await.status, 403);
}

#[tokio::test]
async fn what_is_no_policy_is_refused_and_the_one_there_stays() {
    let house = House::new(6).await;
    let admin = photos(&house).await;
    let good = allow(r#""*""#, r#""s3:GetObject""#);
    assert_eq!(set(&admin, "photos", &good).await, None);
    let unknown = r#"{"AWS": "DMAKAAAAAAAAAAAAAAAA"}"#;
    for wrong in [
        "{}".to_owned(),
        allow(r#""*""#, r#""s3:Fly""#),
        one(
            "Allow",
            r#""*""#,
            r#""s3:*""#,
            r#", "Condition": {"Bool": {"aws:MultiFactorAuthPresent": "true"}}"#,
        ),
        allow(unknown, r#""s3:GetObject""#),
        good.replace("photos", "others"),
    ] {
        assert_eq!(set(&admin, "photos", &wrong).await.as_deref(), Some("MalformedPolicy"), "{wrong}");
    }
    assert_eq!(set(&admin, "no-such-bucket", &good).await.as_deref(), Some("NoSuchBucket"));
    admin.unsigned("GET", "/photos/x").await.ok();
}

/// The object of a bucket whose policy speaks of a group is there for whom it is at that moment.
#[tokio::test]
async fn a_policy_names_a_group_and_a_denial_wins() {
    let house = House::new(6).await;
    let admin = photos(&house).await;
    signed_in(&house, "dora", Role::Member).await;
    let ours = NewKey {
        name: "dora's".into(),
        owner: "Dora".into(),
        permission: Permission::ReadOnly,
        buckets: vec![BucketName::new("ours").unwrap()],
    };
    let dora = Client::with(&house, house.core.app.keys.create(ours, KeyFor::Nobody).await.unwrap());
    let group = async |method: &str, path: &str, body: Value| {
        tell(&house, Some(ADMIN), method, &format!("/admin/groups{path}"), body).await.ok();
    };
    let reads = async || dora.refusal("GET", "/photos/x", Ask::default()).await.is_none();
    group("POST", "", json!({ "name": "Readers" })).await;
    let readers = r#"{"AWS": "arn:aws:iam:::group/readers"}"#;
    assert_eq!(set(&admin, "photos", &allow(readers, r#""s3:GetObject""#)).await, None);
    assert!(!reads().await, "she is in no group");
    group("PUT", "/readers/members/dora", Value::Null).await;
    assert!(reads().await);
    group("DELETE", "/readers/members/dora", Value::Null).await;
    assert!(!reads().await, "she is in it no more");
    group("PUT", "/readers/members/dora", Value::Null).await;
    let says = |effect: &str, whom: &str| {
        format!(
            r#"{{"Effect": "{effect}", "Principal": {whom}, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::photos/*"}}"#
        )
    };
    let denied = format!(
        r#"{{"Version": "2012-10-17", "Statement": [{}, {}]}}"#,
        says("Deny", readers),
        says("Allow", r#""*""#)
    );
    assert_eq!(set(&admin, "photos", &denied).await, None);
    assert!(!reads().await, "a denial wins");
    group("DELETE", "/readers", Value::Null).await;
    assert!(reads().await, "there is no such group");
    for wrong in ["arn:aws:iam:::group/", "arn:aws:iam:::group/a*"] {
        let policy = allow(&format!(r#"{{"AWS": "{wrong}"}}"#), r#""s3:GetObject""#);
        assert_eq!(set(&admin, "photos", &policy).await.as_deref(), Some("MalformedPolicy"), "{wrong}");
    }
}
