//! Each checksum there is, by the port: in a header and behind the body, of objects and of parts.

use datamesh_catalog::Permission;

use super::chunks::{Chunked, SIGNED_TRAILER, UNSIGNED_TRAILER};
use super::signer::{Ask, Client, HOST};
use crate::tests::house::{Got, House};

const TEXT: &[u8] = b"123456789";
/// The check values that the standards, and other implementations, give for this text.
const SUMS: [(&str, &str, &str); 5] = [
    ("CRC32", "x-amz-checksum-crc32", "y/Q5Jg=="),
    ("CRC32C", "x-amz-checksum-crc32c", "4waSgw=="),
    ("CRC64NVME", "x-amz-checksum-crc64nvme", "rosUhgp5mIg="),
    ("SHA1", "x-amz-checksum-sha1", "98O8HYCOBHMq32eZZczDTKeuNEE="),
    ("SHA256", "x-amz-checksum-sha256", "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU="),
];
/// How a checksum comes.
const WAYS: [Option<&str>; 3] = [None, Some(UNSIGNED_TRAILER), Some(SIGNED_TRAILER)];

/// The value with another first letter.
fn wrong(sum: &str) -> String {
    format!("{}{}", if sum.starts_with('A') { "B" } else { "A" }, &sum[1..])
}

/// Puts the text with a checksum, in a header or behind it.
async fn put(client: &Client, target: &str, way: Option<&str>, sum: (&str, &str)) -> Got {
    let Some(mode) = way else {
        return client.ask("PUT", target, Ask { headers: &[sum], body: TEXT, ..Ask::default() }).await;
    };
    let (headers, body) = Chunked::new(mode, TEXT, 4, Some(sum)).sign(client, HOST, target);
    let mut request = http::Request::put(target).body(body.into()).unwrap();
    *request.headers_mut() = headers;
    client.send(request).await
}

/// That an answer has this checksum of the whole, and no other.
fn has(got: &Got, (_, header, sum): (&str, &str, &str), way: Option<&str>) {
    for (_, name, _) in SUMS {
        let said = got.headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!(said, (name == header).then_some(sum), "{name} where {header} came by {way:?}");
    }
}

#[tokio::test]
async fn each_checksum_of_an_object_by_each_way() {
    let house = House::new(6).await;
    let client = Client::new(&house, Permission::Admin, &[]).await;
    assert_eq!(client.refusal("PUT", "/photos", Ask::default()).await, None);
    let asks = [("x-amz-checksum-mode", "ENABLED")];
    for way in WAYS {
        for known @ (_, header, sum) in SUMS {
            let refused = put(&client, "/photos/x", way, (header, &wrong(sum))).await;
            assert_eq!(refused.code().as_deref(), Some("BadDigest"), "{header} by {way:?}");
            let malformed = put(&client, "/photos/x", way, (header, "AA==")).await;
            assert!(malformed.status.is_client_error(), "{header} by {way:?}: {malformed:?}");
            assert_eq!(
                client.refusal("GET", "/photos/x", Ask::default()).await.as_deref(),
                Some("NoSuchKey")
            );
            has(&put(&client, "/photos/x", way, (header, sum)).await.ok(), known, way);
            for method in ["GET", "HEAD"] {
                let got =
                    client.ask(method, "/photos/x", Ask { headers: &asks, ..Ask::default() }).await.ok();
                has(&got, known, way);
                assert_eq!(got.header("x-amz-checksum-type"), "FULL_OBJECT");
            }
            client.ask("DELETE", "/photos/x", Ask::default()).await.ok();
        }
    }
}

#[tokio::test]
async fn each_checksum_of_a_part_by_each_way() {
    let house = House::new(6).await;
    let client = Client::new(&house, Permission::Admin, &[]).await;
    assert_eq!(client.refusal("PUT", "/photos", Ask::default()).await, None);
    for way in WAYS {
        for known @ (name, header, sum) in SUMS {
            let headers = [("x-amz-checksum-algorithm", name)];
            let begun = client
                .ask("POST", "/photos/x?uploads=", Ask { headers: &headers, ..Ask::default() })
                .await
                .ok();
            assert_eq!(begun.header("x-amz-checksum-algorithm"), name);
            let text = String::from_utf8_lossy(&begun.body).into_owned();
            let id = text.split_once("<UploadId>").and_then(|(_, rest)| rest.split_once('<')).unwrap().0;
            let target = format!("/photos/x?partNumber=1&uploadId={id}");
            let refused = put(&client, &target, way, (header, &wrong(sum))).await;
            assert_eq!(refused.code().as_deref(), Some("BadDigest"), "{header} by {way:?}");
            let part = put(&client, &target, way, (header, sum)).await.ok();
            has(&part, known, way);
            let target = format!("/photos/x?uploadId={id}");
            let listed = client.ask("GET", &target, Ask::default()).await.ok();
            let field = format!("<Checksum{name}>{sum}</Checksum{name}>");
            assert!(String::from_utf8_lossy(&listed.body).contains(&field), "{field} by {way:?}");
            let etag = part.header("etag");
            let document = format!(
                "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag>{field}</Part></CompleteMultipartUpload>"
            );
            let made =
                client.ask("POST", &target, Ask { body: document.as_bytes(), ..Ask::default() }).await.ok();
            let whole = format!("<Checksum{name}>");
            assert!(String::from_utf8_lossy(&made.body).contains(&whole), "{whole} by {way:?}");
        }
    }
}
