//! Multipart uploads: what they become is what their client named.

use std::sync::Arc;

use datamesh_catalog::{Condition, Permission};

use super::signer::{Ask, Client};
use crate::objects::Completion;
use crate::problem::Kind;
use crate::tests::house::House;

const MD5_OF_A: &str = "DMF1ucDxtqgxw5niaXcmYQ==";
const MD5_OF_B: &str = "kutf/uauL+w61xx3dTFXjw==";

/// An upload to `/photos/a`, and its client.
struct Begun {
    house: House,
    client: Client,
    id: String,
}

impl Begun {
    async fn new(headers: &[(&str, &str)]) -> Self {
        let house = House::new(6).await;
        let client = Client::new(&house, Permission::Admin, &[]).await;
        assert_eq!(client.refusal("PUT", "/photos", Ask::default()).await, None);
        let begun = client.ask("POST", "/photos/a?uploads=", Ask { headers, ..Ask::default() }).await.ok();
        let text = String::from_utf8_lossy(&begun.body).into_owned();
        let id =
            text.split_once("<UploadId>").and_then(|(_, rest)| rest.split_once('<')).unwrap().0.to_owned();
        Self { house, client, id }
    }

    /// Puts part 1; gives its tag.
    async fn part(&self, body: &[u8], headers: &[(&str, &str)]) -> String {
        let target = format!("/photos/a?partNumber=1&uploadId={}", self.id);
        let put = self.client.ask("PUT", &target, Ask { headers, body, ..Ask::default() }).await.ok();
        put.header("etag").trim_matches('"').to_owned()
    }

    /// Completes with part 1 of this tag, and what more is said of it.
    async fn complete(&self, etag: &str, more: &str, headers: &[(&str, &str)]) -> Option<String> {
        let named = format!("<Part><PartNumber>1</PartNumber><ETag>\"{etag}\"</ETag>{more}</Part>");
        let body = format!("<CompleteMultipartUpload>{named}</CompleteMultipartUpload>");
        let target = format!("/photos/a?uploadId={}", self.id);
        self.client.refusal("POST", &target, Ask { headers, body: body.as_bytes(), ..Ask::default() }).await
    }
}

#[tokio::test]
async fn a_part_that_is_put_while_it_is_looked_at_is_not_taken_for_the_one_named() {
    let begun = Begun::new(&[]).await;
    let objects = &begun.house.core.app.objects;
    let one = begun.part(b"a", &[("content-md5", MD5_OF_A)]).await;
    let upload = objects.open_upload(begun.id.parse().unwrap()).await.unwrap().unwrap();
    let seen = objects.uploaded_parts(&upload, None).await.unwrap().seen;
    let two = begun.part(b"b", &[("content-md5", MD5_OF_B)]).await;
    assert_ne!(one, two);
    // As a completion does that looked before the second put.
    let completion =
        Completion { parts: vec![1], etag: Some(one.clone()), seen: Some(seen), ..Completion::default() };
    let refused = objects.complete_as(upload, completion, Condition::None, &Arc::default()).await;
    assert_eq!(refused.map(|_| ()).unwrap_err().kind(), Kind::Changed);
    assert_eq!(begun.complete(&one, "", &[]).await.as_deref(), Some("InvalidPart"));
    assert_eq!(begun.complete(&two, "", &[]).await, None);
    assert_eq!(&begun.client.ask("GET", "/photos/a", Ask::default()).await.ok().body[..], b"b");
}

#[tokio::test]
async fn a_checksum_that_nothing_can_be_held_against_is_refused() {
    const CRC_OF_A: &str = "6Le+Qw==";
    let crc = [("x-amz-checksum-crc32", CRC_OF_A)];
    let named = format!("<ChecksumCRC32>{CRC_OF_A}</ChecksumCRC32>");
    let invalid = Some("InvalidRequest");
    let without = Begun::new(&[]).await;
    let etag = without.part(b"a", &[]).await;
    assert_eq!(without.complete(&etag, "", &crc).await.as_deref(), invalid, "none was chosen");
    assert_eq!(without.complete(&etag, &named, &[]).await.as_deref(), invalid, "the part has none");
    let chosen = [("x-amz-checksum-algorithm", "CRC32"), ("x-amz-checksum-type", "FULL_OBJECT")];
    let with = Begun::new(&chosen).await;
    let etag = with.part(b"a", &[]).await;
    let other = [("x-amz-checksum-crc32c", "wdBDMA==")];
    assert_eq!(with.complete(&etag, "", &other).await.as_deref(), invalid, "another one was chosen");
    let etag = with.part(b"a", &other).await;
    assert_eq!(with.complete(&etag, "", &crc).await.as_deref(), invalid, "the part came with another");
    let etag = with.part(b"a", &crc).await;
    let wrong = [("x-amz-checksum-crc32", "AAAAAA==")];
    assert_eq!(with.complete(&etag, "", &wrong).await.as_deref(), Some("BadDigest"));
    assert_eq!(with.complete(&etag, &named, &crc).await, None);
}

#[tokio::test]
async fn a_list_of_no_parts_is_at_its_end() {
    let begun = Begun::new(&[]).await;
    begun.part(b"a", &[]).await;
    let target = format!("/photos/a?max-parts=0&uploadId={}", begun.id);
    let listed = begun.client.ask("GET", &target, Ask::default()).await.ok();
    let text = String::from_utf8_lossy(&listed.body).into_owned();
    assert!(text.contains("<IsTruncated>false</IsTruncated>") && !text.contains("<Part>"), "{text}");
}
