//! Each operation by each kind of key.

use datamesh_catalog::Permission;
use http::Method;

use super::signer::{Ask, Client};
use crate::s3::access::need;
use crate::tests::house::{ADMIN, House};

const DELETE_MANY: &[u8] = b"<Delete><Object><Key>x</Key></Object></Delete>";
const COMPLETE: &[u8] =
    b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>";
const SEALED_BY_THE_CLUSTER: &[u8] = b"<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>\
    <SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>";
const BLOCK_NOTHING: &[u8] = b"<PublicAccessBlockConfiguration/>";
const UPLOAD: &str = "uploadId=00000000000000000000000000000000";

/// Every operation that is served, some that are not, and the least permission that each needs. `@` is the bucket.
pub(super) fn cells() -> Vec<(&'static str, &'static str, String, &'static [u8], Permission)> {
    use Permission::{Admin, ReadOnly, ReadWrite};
    let of_upload = |path: &str| format!("{path}{UPLOAD}");
    vec![
        ("ListBuckets", "GET", "/".into(), b"", ReadOnly),
        ("HeadBucket", "HEAD", "/@".into(), b"", ReadOnly),
        ("GetBucketLocation", "GET", "/@?location=".into(), b"", ReadOnly),
        ("GetBucketEncryption", "GET", "/@?encryption=".into(), b"", ReadOnly),
        ("PutBucketEncryption", "PUT", "/@?encryption=".into(), SEALED_BY_THE_CLUSTER, Admin),
        ("DeleteBucketEncryption", "DELETE", "/@?encryption=".into(), b"", Admin),
        ("GetBucketVersioning", "GET", "/@?versioning=".into(), b"", ReadOnly),
        ("ListObjects", "GET", "/@".into(), b"", ReadOnly),
        ("ListObjectsV2", "GET", "/@?list-type=2".into(), b"", ReadOnly),
        ("ListMultipartUploads", "GET", "/@?uploads=".into(), b"", ReadOnly),
        ("ListObjectVersions", "GET", "/@?versions=".into(), b"", ReadOnly),
        ("GetObject", "GET", "/@/x".into(), b"", ReadOnly),
        ("HeadObject", "HEAD", "/@/x".into(), b"", ReadOnly),
        ("GetObjectAttributes", "GET", "/@/x?attributes=".into(), b"", ReadOnly),
        ("ListParts", "GET", of_upload("/@/x?"), b"", ReadOnly),
        ("GetObjectTagging", "GET", "/@/x?tagging=".into(), b"", ReadOnly),
        ("GetBucketTagging", "GET", "/@?tagging=".into(), b"", ReadOnly),
        ("GetBucketLifecycleConfiguration", "GET", "/@?lifecycle=".into(), b"", ReadOnly),
        ("GetBucketCors", "GET", "/@?cors=".into(), b"", ReadOnly),
        ("GetObjectLockConfiguration", "GET", "/@?object-lock=".into(), b"", ReadOnly),
        ("GetObjectRetention", "GET", "/@/x?retention=".into(), b"", ReadOnly),
        ("GetObjectLegalHold", "GET", "/@/x?legal-hold=".into(), b"", ReadOnly),
        ("PutObject", "PUT", "/@/x".into(), b"text", ReadWrite),
        ("PutObjectRetention", "PUT", "/@/x?retention=".into(), b"<Retention/>", ReadWrite),
        ("PutObjectLegalHold", "PUT", "/@/x?legal-hold=".into(), b"<LegalHold/>", ReadWrite),
        ("PutObjectTagging", "PUT", "/@/x?tagging=".into(), b"<Tagging/>", ReadWrite),
        ("DeleteObjectTagging", "DELETE", "/@/x?tagging=".into(), b"", ReadWrite),
        ("CopyObject", "PUT", "/@/y".into(), b"", ReadWrite),
        ("DeleteObject", "DELETE", "/@/z".into(), b"", ReadWrite),
        ("DeleteObjects", "POST", "/@?delete=".into(), DELETE_MANY, ReadWrite),
        ("CreateMultipartUpload", "POST", "/@/x?uploads=".into(), b"", ReadWrite),
        ("UploadPart", "PUT", of_upload("/@/x?partNumber=1&"), b"text", ReadWrite),
        ("UploadPartCopy", "PUT", of_upload("/@/x?partNumber=2&"), b"", ReadWrite),
        ("CompleteMultipartUpload", "POST", of_upload("/@/x?"), COMPLETE, ReadWrite),
        ("AbortMultipartUpload", "DELETE", of_upload("/@/x?"), b"", ReadWrite),
        ("CreateBucket", "PUT", "/@".into(), b"", Admin),
        ("DeleteBucket", "DELETE", "/@".into(), b"", Admin),
        ("PutBucketVersioning", "PUT", "/@?versioning=".into(), b"<VersioningConfiguration/>", Admin),
        ("PutBucketTagging", "PUT", "/@?tagging=".into(), b"<Tagging/>", Admin),
        ("DeleteBucketTagging", "DELETE", "/@?tagging=".into(), b"", Admin),
        (
            "PutBucketLifecycleConfiguration",
            "PUT",
            "/@?lifecycle=".into(),
            b"<LifecycleConfiguration/>",
            Admin,
        ),
        ("PutObjectLockConfiguration", "PUT", "/@?object-lock=".into(), b"<ObjectLockConfiguration/>", Admin),
        ("PutBucketCors", "PUT", "/@?cors=".into(), b"<CORSConfiguration/>", Admin),
        ("GetBucketNotificationConfiguration", "GET", "/@?notification=".into(), b"", ReadOnly),
        (
            "PutBucketNotificationConfiguration",
            "PUT",
            "/@?notification=".into(),
            b"<NotificationConfiguration/>",
            Admin,
        ),
        ("DeleteBucketCors", "DELETE", "/@?cors=".into(), b"", Admin),
        ("DeleteBucketLifecycle", "DELETE", "/@?lifecycle=".into(), b"", Admin),
        ("GetBucketPolicy", "GET", "/@?policy=".into(), b"", ReadOnly),
        ("GetBucketPolicyStatus", "GET", "/@?policyStatus=".into(), b"", ReadOnly),
        ("PutBucketPolicy", "PUT", "/@?policy=".into(), b"{}", Admin),
        ("DeleteBucketPolicy", "DELETE", "/@?policy=".into(), b"", Admin),
        ("GetPublicAccessBlock", "GET", "/@?publicAccessBlock=".into(), b"", ReadOnly),
        ("PutPublicAccessBlock", "PUT", "/@?publicAccessBlock=".into(), BLOCK_NOTHING, Admin),
        ("DeletePublicAccessBlock", "DELETE", "/@?publicAccessBlock=".into(), b"", Admin),
    ]
}

#[tokio::test]
async fn the_audit_names_bucket_and_keys_however_they_are_sent() {
    let house = House::new(6).await;
    let admin = Client::new(&house, Permission::Admin, &[]).await;
    assert_eq!(admin.refusal("PUT", "/ours", Ask::default()).await, None);
    let put = Ask { body: b"text", ..Ask::default() };
    assert_eq!(admin.ask_host("ours.buckets.test", "PUT", "/x%20y", put).await.status, 200);
    let delete = Ask { body: DELETE_MANY, ..Ask::default() };
    assert_eq!(admin.ask("POST", "/ours?delete=", delete).await.status, 200);
    let reader = Client::new(&house, Permission::ReadOnly, &["theirs"]).await;
    assert!(reader.refusal("GET", "/ours/x", Ask::default()).await.is_some());
    let ask = house.ask_as(Some(ADMIN), Method::GET, "/api/v1/admin/audit?action=s3:", (&[], "".into()));
    let all = ask.await.ok().json();
    let text = |n: usize, field: &str| all["items"][n]["entry"][field].as_str().unwrap().to_owned();
    assert_eq!((text(1, "target"), text(1, "credential")), ("/ours/x y".into(), admin.id.clone()));
    assert_eq!((text(2, "target"), text(2, "detail")), ("/ours".into(), "1 keys: [\"x\"]".into()));
    assert_eq!((text(3, "action"), text(3, "target")), ("s3:GetObject".into(), "/ours/x".into()));
}

/// A private bucket with one small object, and a key that may all.
async fn private(house: &House) -> (&'static str, Client) {
    let (key, sealed) = ("c2VhbGVkIG5hbWU", r#"{"sealed": "c2VhbGVkIGJ5IG1l"}"#);
    house.ask(Method::PUT, "/api/v1/buckets/vault", &[], r#"{"kind": "private"}"#).await.ok();
    house.ask(Method::PUT, &format!("/api/v1/buckets/vault/sealed/{key}"), &[], sealed).await.ok();
    (key, Client::new(house, Permission::Admin, &[]).await)
}

#[tokio::test]
async fn of_private_buckets_all_is_shown_and_nothing_opened() {
    let house = House::new(6).await;
    let (key, admin) = private(&house).await;
    let object = format!("/vault/{key}");
    let head = admin.ask("HEAD", &object, Ask::default()).await;
    assert_eq!((head.status.as_u16(), head.header("content-length")), (200, "12"));
    let asks = Ask { headers: &[("x-amz-object-attributes", "ObjectSize")], ..Ask::default() };
    assert_eq!(admin.ask("GET", &format!("{object}?attributes="), asks).await.status, 200);
    let refused = Some("InvalidBucketState".to_owned());
    assert_eq!(admin.refusal("GET", &object, Ask::default()).await, refused);
    assert_eq!(admin.refusal("PUT", "/open", Ask::default()).await, None);
    for target in ["/open/copy", "/vault/copy", &object] {
        let copy = [("x-amz-copy-source", &*object), ("x-amz-metadata-directive", "REPLACE")];
        let copy = Ask { headers: &copy, ..Ask::default() };
        assert_eq!(admin.refusal("PUT", target, copy).await, refused, "{target}");
    }
    let said = [("x-amz-server-side-encryption-customer-algorithm", "AES256")];
    let key = Ask { headers: &said, ..Ask::default() };
    assert_eq!(admin.ask("HEAD", &object, key).await.status, 400, "half a key is none");
}

#[tokio::test]
async fn of_private_buckets_the_audit_has_no_name_in_the_clear() {
    let house = House::new(6).await;
    let (key, admin) = private(&house).await;
    let put = Ask { body: b"text", ..Ask::default() };
    let delete = Ask { body: b"<Delete><Object><Key>plans.pdf</Key></Object></Delete>", ..Ask::default() };
    let copy = Ask { headers: &[("x-amz-copy-source", "/vault/x")], ..Ask::default() };
    for (method, target, ask) in [
        ("PUT", "/vault/plans.pdf", put),
        ("PUT", "/vault/plans.pdf", copy),
        ("POST", "/vault/plans.pdf?uploads=", Ask::default()),
        ("PUT", "/vault/plans.pdf?tagging=", Ask { body: b"<Tagging><TagSet/></Tagging>", ..Ask::default() }),
        ("DELETE", "/vault/plans.pdf", Ask::default()),
    ] {
        assert!(admin.refusal(method, target, ask).await.is_some(), "{method} {target}");
    }
    assert_eq!(admin.ask("POST", "/vault?delete=", delete).await.status, 200, "each by itself");
    let reader = Client::new(&house, Permission::ReadOnly, &["theirs"]).await;
    assert!(reader.refusal("GET", "/vault/plans.pdf", Ask::default()).await.is_some());
    assert_eq!(admin.ask("DELETE", &format!("/vault/{key}"), Ask::default()).await.status, 204);
    let ask = house.ask_as(Some(ADMIN), Method::GET, "/api/v1/admin/audit?action=s3:", (&[], "".into()));
    let all = ask.await.ok().json().to_string();
    assert!(!all.contains("plans"), "{all}");
    assert!(all.contains("\"/vault\"") && all.contains("1 keys") && all.contains(key), "{all}");
}

#[tokio::test]
async fn each_operation_by_each_kind_of_key() {
    let house = House::new(6).await;
    let all = [Permission::ReadOnly, Permission::ReadWrite, Permission::Admin];
    let mut clients = Vec::new();
    for permission in all {
        clients.push((permission, Client::new(&house, permission, &["ours"]).await));
    }
    assert_eq!(clients[2].1.refusal("PUT", "/ours", Ask::default()).await, None);
    for (operation, method, target, body, least) in cells() {
        assert_eq!(need(operation), least, "{operation}");
        let copies = ["CopyObject", "UploadPartCopy"].contains(&operation);
        let source = [("x-amz-copy-source", "/ours/x")];
        let headers: &[(&str, &str)] = if copies { &source } else { &[] };
        for (permission, client) in &clients {
            for (bucket, may) in [("ours", *permission >= least), ("theirs", operation == "ListBuckets")] {
                let got = client
                    .ask(method, &target.replace('@', bucket), Ask { headers, body, ..Ask::default() })
                    .await;
                let denied = got.status == 403;
                assert_eq!(denied, !may, "{operation} of {bucket} as {permission:?}: {got:?}");
                if denied && method != "HEAD" {
                    assert!(
                        String::from_utf8_lossy(&got.body).contains("<Code>AccessDenied</Code>"),
                        "{got:?}"
                    );
                }
            }
        }
        let got = clients[2].1.unsigned(method, &target.replace('@', "ours")).await;
        assert!([400, 403, 411].contains(&got.status.as_u16()), "{operation} unsigned: {}", got.status);
        // What comes next finds the bucket again.
        clients[2].1.ask("PUT", "/ours", Ask::default()).await;
    }
}

#[tokio::test]
async fn a_copy_reads_what_its_key_may_read() {
    let house = House::new(6).await;
    let (admin, bound) = (
        Client::new(&house, Permission::Admin, &[]).await,
        Client::new(&house, Permission::ReadWrite, &["ours"]).await,
    );
    for bucket in ["/ours", "/theirs"] {
        assert_eq!(admin.refusal("PUT", bucket, Ask::default()).await, None);
    }
    let put = Ask { body: b"secret", ..Ask::default() };
    assert_eq!(admin.refusal("PUT", "/theirs/x", put).await, None);
    let copy = || Ask { headers: &[("x-amz-copy-source", "/theirs/x")], ..Ask::default() };
    assert_eq!(bound.refusal("PUT", "/ours/x", copy()).await.as_deref(), Some("AccessDenied"));
    assert_eq!(admin.refusal("PUT", "/ours/x", copy()).await, None);
    // Whoever was given a signed request to put makes no copy of it.
    let turned = Ask { unsigned: &[("x-amz-copy-source", "/theirs/x")], ..Ask::default() };
    assert_eq!(admin.refusal("PUT", "/ours/y", turned).await.as_deref(), Some("AccessDenied"));
    let listed = bound.ask("GET", "/", Ask::default()).await.ok();
    let listed = String::from_utf8_lossy(&listed.body).into_owned();
    assert!(listed.contains("<Name>ours</Name>") && !listed.contains("theirs"), "{listed}");
}

#[tokio::test]
async fn a_revoked_key_is_refused_at_once() {
    let house = House::new(6).await;
    let client = Client::new(&house, Permission::Admin, &[]).await;
    assert_eq!(client.refusal("GET", "/", Ask::default()).await, None);
    let path = format!("/api/v1/admin/keys/{}", client.id);
    let change = |disabled: bool| format!("{{\"disabled\": {disabled}}}");
    for (disabled, refusal) in [(true, Some("InvalidAccessKeyId")), (false, None)] {
        house.ask_as(Some(ADMIN), Method::PUT, &path, (&[], change(disabled).into())).await.ok();
        assert_eq!(client.refusal("GET", "/", Ask::default()).await.as_deref(), refusal);
    }
    let deleted = house.ask_as(Some(ADMIN), Method::DELETE, &path, (&[], Default::default())).await;
    assert_eq!(deleted.status, 204);
    assert_eq!(client.refusal("GET", "/", Ask::default()).await.as_deref(), Some("InvalidAccessKeyId"));
    let again = house.ask_as(Some(ADMIN), Method::DELETE, &path, (&[], Default::default())).await;
    assert_eq!(again.problem(), "no-such-access-key");
}

#[tokio::test]
async fn the_secret_is_shown_once_and_lies_nowhere_in_the_clear() {
    let house = House::new(6).await;
    let new = r#"{"name": "backup", "permission": "readOnly", "buckets": ["ours"]}"#;
    let keys = "/api/v1/admin/keys";
    let made = house.ask_as(Some(ADMIN), Method::POST, keys, (&[], new.into())).await.ok();
    assert_eq!((made.status.as_u16(), made.header("cache-control")), (201, "no-store"));
    let secret = made.json()["secret"].as_str().unwrap().to_owned();
    assert_eq!(secret.len(), 40);
    let listed = house.ask_as(Some(ADMIN), Method::GET, keys, (&[], Default::default())).await.ok();
    assert_eq!(listed.json()["items"][0]["id"], made.json()["id"]);
    assert_eq!(listed.json()["items"][0]["permission"], "readOnly");
    assert!(!String::from_utf8_lossy(&listed.body).contains(&secret));
    let id = made.json()["id"].as_str().unwrap().parse().unwrap();
    let (row, _) = house.catalog.access_key(&id).await.unwrap().unwrap();
    assert!(!row.sealed_secret.windows(8).any(|window| secret.as_bytes().starts_with(window)));
    for wrong in [
        r#"{"name": "x"}"#,
        r#"{"name": "x", "permission": "root"}"#,
        r#"{"name": "x", "permission": "admin", "buckets": ["B"]}"#,
    ] {
        let refused = house.ask_as(Some(ADMIN), Method::POST, keys, (&[], wrong.into())).await;
        assert_eq!(refused.problem(), "invalid-body", "{wrong}");
    }
}

#[tokio::test]
async fn changes_are_in_the_audit_and_reads_are_not() {
    let house = House::new(6).await;
    let admin = Client::new(&house, Permission::Admin, &[]).await;
    let reader = Client::new(&house, Permission::ReadOnly, &[]).await;
    assert_eq!(admin.refusal("PUT", "/audited", Ask::default()).await, None);
    assert_eq!(admin.refusal("PUT", "/audited/x", Ask { body: b"text", ..Ask::default() }).await, None);
    assert_eq!(admin.refusal("GET", "/audited/x", Ask::default()).await, None);
    assert!(reader.refusal("DELETE", "/audited/x", Ask::default()).await.is_some());
    let ask = house.ask_as(Some(ADMIN), Method::GET, "/api/v1/admin/audit?action=s3:", (&[], "".into()));
    let listed = ask.await.ok().json();
    let entries = listed["items"].as_array().unwrap().iter().map(|item| {
        let text = |field: &str| item["entry"][field].as_str().unwrap();
        (text("actor"), text("action"), text("target"), item["entry"]["status"].as_u64().unwrap())
    });
    let (admin, reader) = (format!("key:{}", admin.id), format!("key:{}", reader.id));
    assert_eq!(
        entries.collect::<Vec<_>>(),
        [
            (&*admin, "s3:CreateBucket", "/audited", 200),
            (&*admin, "s3:PutObject", "/audited/x", 200),
            (&*reader, "s3:DeleteObject", "/audited/x", 403),
        ]
    );
}
