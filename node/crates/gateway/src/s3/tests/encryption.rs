//! `x-amz-server-side-encryption`: every answer about an object says that it is sealed, and nothing else is taken than that.

use datamesh_catalog::Permission;

use super::signer::{Ask, Client};
use crate::tests::house::{Got, House};

const SSE: &str = "x-amz-server-side-encryption";
const BLOCK: &[u8] = &[7; 5 << 20];

async fn photos(house: &House) -> Client {
    let client = Client::new(house, Permission::Admin, &[]).await;
    assert_eq!(client.refusal("PUT", "/photos", Ask::default()).await, None);
    client
}

fn sealed(got: Got) -> Got {
    let got = got.ok();
    assert_eq!((got.header(SSE), got.headers.get_all(SSE).iter().count()), ("AES256", 1));
    got
}

#[tokio::test]
async fn every_answer_about_an_object_says_that_it_is_sealed() {
    let house = House::new(6).await;
    let client = photos(&house).await;
    let asks = [(SSE, "AES256")];
    for headers in [&asks[..], &[]] {
        let ask = |body| Ask { headers, body, ..Ask::default() };
        let copy = [headers, &[("x-amz-copy-source", "/photos/a")]].concat();
        let copies = || Ask { headers: &copy, ..Ask::default() };
        sealed(client.ask("PUT", "/photos/a", ask(b"text")).await);
        sealed(client.ask("GET", "/photos/a", ask(b"")).await);
        sealed(client.ask("HEAD", "/photos/a", ask(b"")).await);
        sealed(client.ask("PUT", "/photos/b", copies()).await);
        let begun = sealed(client.ask("POST", "/photos/c?uploads=", ask(b"")).await);
        let text = String::from_utf8_lossy(&begun.body).into_owned();
        let id = text.split_once("<UploadId>").and_then(|(_, rest)| rest.split_once('<')).unwrap().0;
        let part = |number: u8| format!("/photos/c?partNumber={number}&uploadId={id}");
        let first = sealed(client.ask("PUT", &part(1), ask(BLOCK)).await).header("etag").to_owned();
        let second = sealed(client.ask("PUT", &part(2), copies()).await);
        let text = String::from_utf8_lossy(&second.body).into_owned();
        let second = text.split_once("<ETag>").and_then(|(_, rest)| rest.split_once('<')).unwrap().0;
        let document = format!(
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{first}</ETag></Part>\
             <Part><PartNumber>2</PartNumber><ETag>{second}</ETag></Part></CompleteMultipartUpload>"
        );
        let target = format!("/photos/c?uploadId={id}");
        sealed(client.ask("POST", &target, ask(document.as_bytes())).await);
        assert_eq!(client.ask("GET", "/photos/c", ask(b"")).await.ok().body.len(), BLOCK.len() + 4);
    }
}

/// Whoever asks for another key than the cluster's is told so, in whatever way they say it.
#[tokio::test]
async fn what_else_is_to_seal_is_refused() {
    let house = House::new(6).await;
    let client = photos(&house).await;
    let put = Ask { body: b"text", ..Ask::default() };
    assert_eq!(client.refusal("PUT", "/photos/a", put).await, None);
    let of_kms = [
        (SSE, "aws:kms"),
        (SSE, "aws:kms:dsse"),
        (SSE, "aes256"),
        ("x-amz-server-side-encryption-aws-kms-key-id", "arn:aws:kms:::key/1"),
        ("x-amz-server-side-encryption-context", "e30="),
        ("x-amz-server-side-encryption-bucket-key-enabled", "true"),
    ];
    for said in of_kms {
        let both = [said, ("x-amz-copy-source", "/photos/a")];
        for (method, target, many) in
            [("PUT", "/photos/b", 1), ("PUT", "/photos/b", 2), ("POST", "/photos/b?uploads=", 1)]
        {
            let headers = &both[..many];
            let refused = client.refusal(method, target, Ask { headers, ..Ask::default() }).await;
            assert_eq!(refused.as_deref(), Some("NotImplemented"), "{method} {target} {said:?}");
        }
    }
    let headers = &[(SSE, "aws:kms")];
    for (method, target) in [("GET", "/photos/a"), ("PUT", "/photos/a?partNumber=1&uploadId=0")] {
        let refused = client.refusal(method, target, Ask { headers, ..Ask::default() }).await;
        assert_eq!(refused.as_deref(), Some("NotImplemented"), "{method} {target}");
    }
    assert_eq!(client.refusal("GET", "/photos/b", Ask::default()).await.as_deref(), Some("NoSuchKey"));
}

fn configuration(inside: &str) -> String {
    format!("<ServerSideEncryptionConfiguration>{inside}</ServerSideEncryptionConfiguration>")
}

fn rule(by_default: &str) -> String {
    let by_default =
        format!("<ApplyServerSideEncryptionByDefault>{by_default}</ApplyServerSideEncryptionByDefault>");
    format!("<Rule>{by_default}</Rule>")
}

#[tokio::test]
async fn a_bucket_says_what_seals_it_and_is_told_nothing_else() {
    const TARGET: &str = "/photos?encryption=";
    let house = House::new(6).await;
    let client = photos(&house).await;
    let aes = rule("<SSEAlgorithm>AES256</SSEAlgorithm>");
    let put = async |inside: String| {
        client.ask("PUT", TARGET, Ask { body: configuration(&inside).as_bytes(), ..Ask::default() }).await
    };
    for change in ["", "PUT", "DELETE"] {
        match change {
            "PUT" => drop(put(aes.clone()).await.ok()),
            "DELETE" => assert_eq!(client.ask("DELETE", TARGET, Ask::default()).await.status, 204),
            _ => {}
        }
        let got = client.ask("GET", TARGET, Ask::default()).await.ok();
        let text = String::from_utf8_lossy(&got.body).into_owned();
        assert!(text.contains("<SSEAlgorithm>AES256</SSEAlgorithm>"), "{change}: {text}");
        assert!(text.contains("<BucketKeyEnabled>false</BucketKeyEnabled>"), "{change}: {text}");
        assert_eq!(text.matches("<Rule>").count(), 1, "{change}: {text}");
    }
    let kms = "<SSEAlgorithm>aws:kms</SSEAlgorithm>";
    let key = "<SSEAlgorithm>AES256</SSEAlgorithm><KMSMasterKeyID>a</KMSMasterKeyID>";
    let wrong = [
        (rule(kms), "NotImplemented"),
        (rule("<SSEAlgorithm>aws:kms:dsse</SSEAlgorithm>"), "NotImplemented"),
        (rule(key), "NotImplemented"),
        (aes.replace("</Rule>", "<BucketKeyEnabled>true</BucketKeyEnabled></Rule>"), "NotImplemented"),
        (format!("{aes}{aes}"), "MalformedXML"),
        ("<Rule></Rule>".to_owned(), "MalformedXML"),
        (String::new(), "MalformedXML"),
    ];
    for (inside, code) in wrong {
        assert_eq!(put(inside.clone()).await.code().as_deref(), Some(code), "{inside}");
    }
    for (method, body) in [("GET", String::new()), ("PUT", configuration(&aes)), ("DELETE", String::new())] {
        let ask = Ask { body: body.as_bytes(), ..Ask::default() };
        let refused = client.refusal(method, "/nothing?encryption=", ask).await;
        assert_eq!(refused.as_deref(), Some("NoSuchBucket"), "{method}");
    }
}
