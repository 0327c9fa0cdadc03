//! Whoever was given a signed URL makes nothing else of it, however they write it and whatever they send along.

use datamesh_catalog::Permission;
use http::{HeaderValue, Request};

use super::signer::{Ask, Client, HOST};
use crate::tests::house::House;

/// The code of the refusal of a put by URL with these headers.
async fn put(client: &Client, target: &str, headers: &[(&'static str, &str)]) -> Option<String> {
    let mut request = Request::put(target).header("host", HOST).header("content-length", 4);
    for (name, value) in headers {
        request = request.header(*name, HeaderValue::from_str(value).unwrap());
    }
    client.send(request.body("text".into()).unwrap()).await.code()
}

#[tokio::test]
async fn a_signed_url_does_what_was_signed_however_it_is_written() {
    let house = House::new(6).await;
    let client = Client::new(&house, Permission::Admin, &[]).await;
    assert_eq!(client.refusal("PUT", "/photos", Ask::default()).await, None);
    let secret = Ask { body: b"not theirs", ..Ask::default() };
    assert_eq!(client.refusal("PUT", "/photos/secret", secret).await, None);
    let url = client.presigned("PUT", "/photos/x");
    let copy = ("x-amz-copy-source", "/photos/secret");
    let lies = "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host;x-amz-copy-source, Signature=0";
    let denied = Some("AccessDenied".to_owned());
    assert_eq!(put(&client, &url, &[copy]).await, denied);
    assert_eq!(put(&client, &url, &[copy, ("authorization", lies)]).await, denied);
    for (word, written) in [("X-Amz-SignedHeaders", "X-Amz-SignedHeader%73"), ("X-Amz-Sign", "X%2DAmz-Sign")] {
        let url = url.replace(word, written);
        assert_eq!(put(&client, &url, &[copy]).await, denied, "{url}");
        assert_eq!(put(&client, &url, &[]).await, None, "the signature itself is right: {url}");
    }
    let got = client.ask("GET", "/photos/x", Ask::default()).await.ok();
    assert_eq!(&got.body[..], b"text");
}
