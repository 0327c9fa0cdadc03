//! Bodies in chunks that nobody signed, as boto3 and the AWS CLI send them by themselves.

use axum::body::Body;
use datamesh_catalog::Permission;
use futures::stream;
use http::{HeaderMap, Request};

use super::chunks::{Chunked, UNSIGNED_TRAILER, crc32c};
use super::signer::{Ask, Client, HOST, STRANGER};
use crate::auth::Address;
use crate::tests::house::{House, noise};

const CRC: &str = "x-amz-checksum-crc32c";

/// A bucket into which strangers may put.
async fn inbox(house: &House) -> Client {
    let client = Client::new(house, Permission::Admin, &[]).await;
    assert_eq!(client.refusal("PUT", "/photos", Ask::default()).await, None);
    let policy = br#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*",
        "Action": "s3:PutObject", "Resource": "arn:aws:s3:::photos/inbox/*"}]}"#;
    let ask = Ask { body: policy, ..Ask::default() };
    assert_eq!(client.refusal("PUT", "/photos?policy=", ask).await, None);
    client
}

/// What is said of a body, without what would sign it; and the body.
fn of(client: &Client, chunked: &Chunked<'_>) -> (HeaderMap, Vec<u8>) {
    let (mut headers, body) = chunked.sign(client, HOST, "/photos/inbox/x");
    headers.remove("authorization");
    headers.remove("x-amz-date");
    (headers, body)
}

async fn sent(client: &Client, target: &str, (headers, body): (HeaderMap, Vec<u8>)) -> Option<String> {
    let pieces: Vec<_> = body.chunks(1000).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect();
    let mut request = Request::put(target).body(Body::from_stream(stream::iter(pieces))).unwrap();
    *request.headers_mut() = headers;
    request.extensions_mut().insert(Address(STRANGER.into()));
    client.send(request).await.code()
}

#[tokio::test]
async fn a_stranger_s_chunks_are_undone_and_held_against_what_follows_them() {
    let house = House::new(6).await;
    let client = inbox(&house).await;
    let (data, other) = (noise(1, 100_000), noise(2, 100_000));
    let (right, wrong) = (crc32c(&data), crc32c(&other));
    let chunked = Chunked::new(UNSIGNED_TRAILER, &data, 30_000, Some((CRC, &right)));
    let put = async |chunked: Chunked<'_>| sent(&client, "/photos/inbox/x", of(&client, &chunked)).await;
    let refused = [
        (Chunked { trailer: Some((CRC, &wrong)), ..chunked }, "BadDigest"),
        (Chunked { decoded: data.len() - 1, ..chunked }, "IncompleteBody"),
        (Chunked { decoded: data.len() + 1, ..chunked }, "IncompleteBody"),
        (Chunked { trailer: Some(("x-amz-checksum-sha256", &right)), ..chunked }, "BadDigest"),
    ];
    for (chunked, code) in refused {
        assert_eq!(put(chunked).await.as_deref(), Some(code));
    }
    let changed = async |change: fn(&mut HeaderMap, &mut Vec<u8>)| {
        let (mut headers, mut body) = of(&client, &chunked);
        change(&mut headers, &mut body);
        sent(&client, "/photos/inbox/x", (headers, body)).await
    };
    let cut = changed(|_, body| body.truncate(50_000)).await;
    assert_eq!(cut.as_deref(), Some("IncompleteBody"));
    let frames = changed(|_, body| body[0] = b'x').await;
    assert_eq!(frames.as_deref(), Some("InvalidRequest"));
    let without = changed(|_, body| body.truncate(body.len() - CRC.len() - ":4waSgw==\r\n\r\n".len())).await;
    assert_eq!(without.as_deref(), Some("InvalidRequest"), "announced, and it did not come");
    for name in ["x-amz-decoded-content-length", "x-amz-trailer"] {
        let (mut headers, body) = of(&client, &chunked);
        headers.remove(name);
        let refused = sent(&client, "/photos/inbox/x", (headers, body)).await;
        assert_eq!(refused.as_deref(), Some("NotImplemented"), "without {name} it is no such body");
    }
    let nothing = client.refusal("GET", "/photos/inbox/x", Ask::default()).await;
    assert_eq!(nothing.as_deref(), Some("NoSuchKey"));
    assert_eq!(sent(&client, "/photos/x", of(&client, &chunked)).await.as_deref(), Some("AccessDenied"));
    assert_eq!(put(chunked).await, None);
    let asks = Ask { headers: &[("x-amz-checksum-mode", "ENABLED")], ..Ask::default() };
    let got = client.ask("GET", "/photos/inbox/x", asks).await.ok();
    assert!(got.body == data && !got.headers.contains_key("content-encoding"));
    assert_eq!(got.header(CRC), right, "verified, and kept");
}

#[tokio::test]
async fn a_stranger_s_parts_come_so_too_and_their_encoding_stays() {
    let house = House::new(6).await;
    let client = inbox(&house).await;
    let data = noise(1, 70_000);
    let sum = crc32c(&data);
    let chunked = Chunked::new(UNSIGNED_TRAILER, &data, 30_000, Some((CRC, &sum)));
    let begun = client.ask("POST", "/photos/inbox/p?uploads=", Ask::default()).await.ok();
    let text = String::from_utf8_lossy(&begun.body).into_owned();
    let id = text.split_once("<UploadId>").and_then(|(_, rest)| rest.split_once('<')).unwrap().0;
    let part = format!("/photos/inbox/p?partNumber=1&uploadId={id}");
    assert_eq!(sent(&client, &part, of(&client, &chunked)).await, None);
    let parts = client.ask("GET", &format!("/photos/inbox/p?uploadId={id}"), Ask::default()).await.ok();
    assert!(String::from_utf8_lossy(&parts.body).contains("<Size>70000</Size>"), "{parts:?}");
    let (mut headers, body) = of(&client, &chunked);
    headers.insert("content-encoding", "gzip, aws-chunked".parse().unwrap());
    assert_eq!(sent(&client, "/photos/inbox/z", (headers, body)).await, None);
    assert_eq!(client.ask("HEAD", "/photos/inbox/z", Ask::default()).await.header("content-encoding"), "gzip");
}

/// Of what somebody signs nothing is undone: a signed URL says nothing of chunks.
#[tokio::test]
async fn of_a_signed_url_nothing_is_undone() {
    let house = House::new(6).await;
    let client = inbox(&house).await;
    let sum = crc32c(b"text");
    let chunked = Chunked::new(UNSIGNED_TRAILER, b"text", 4, Some((CRC, &sum)));
    for word in ["X-Amz-Signature", "X-Amz-%53ignature"] {
        let url = client.presigned("PUT", "/photos/inbox/x").replace("X-Amz-Signature", word);
        assert!(sent(&client, &url, of(&client, &chunked)).await.is_some(), "{word}");
    }
    let nothing = client.refusal("GET", "/photos/inbox/x", Ask::default()).await;
    assert_eq!(nothing.as_deref(), Some("NoSuchKey"));
}
