//! Bodies in signed chunks, sent over the real listener: what is not whole, or not what was signed, is no object and no part.

use std::convert::identity;
use std::fmt::Write as _;

use datamesh_catalog::Permission;

use super::door::Door;
use super::signer::{Ask, Chain, Client};
use crate::s3::chunks::SIGNED_CHUNK_BYTES_MAX;
use crate::tests::house::{House, noise};

pub(super) const SIGNED: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
pub(super) const SIGNED_TRAILER: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";
pub(super) const UNSIGNED_TRAILER: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
const CRC: &str = "x-amz-checksum-crc32c";

/// A body that is to be sent in chunks.
#[derive(Clone, Copy)]
pub(super) struct Chunked<'a> {
    pub(super) mode: &'a str,
    pub(super) data: &'a [u8],
    /// Bytes of each chunk but the last.
    pub(super) chunk: usize,
    /// What follows the body.
    pub(super) trailer: Option<(&'a str, &'a str)>,
    /// What it says of its length: `x-amz-decoded-content-length`.
    pub(super) decoded: usize,
}

impl<'a> Chunked<'a> {
    pub(super) fn new(
        mode: &'a str,
        data: &'a [u8],
        chunk: usize,
        trailer: Option<(&'a str, &'a str)>,
    ) -> Self {
        Self { mode, data, chunk, trailer, decoded: data.len() }
    }

    /// With what is said of it, for a client to sign.
    pub(super) fn sign(&self, client: &Client, host: &str, target: &str) -> (http::HeaderMap, Vec<u8>) {
        let decoded = self.decoded.to_string();
        let mut headers =
            vec![("x-amz-content-sha256", self.mode), ("x-amz-decoded-content-length", &decoded)];
        headers.push(("content-encoding", "aws-chunked"));
        headers.extend(self.trailer.map(|(name, _)| ("x-amz-trailer", name)));
        let (headers, chain) = client.sign(host, "PUT", target, &Ask { headers: &headers, ..Ask::default() });
        (headers, self.frames(chain))
    }

    fn frames(&self, mut chain: Chain) -> Vec<u8> {
        let (signed, mut body) = (self.mode != UNSIGNED_TRAILER, Vec::new());
        for data in self.data.chunks(self.chunk).chain([&[][..]]) {
            let signature =
                signed.then(|| format!(";chunk-signature={}", chain.chunk(data))).unwrap_or_default();
            body.extend_from_slice(format!("{:x}{signature}\r\n", data.len()).as_bytes());
            body.extend_from_slice(data);
            let end: &[u8] = if data.is_empty() { b"" } else { b"\r\n" };
            body.extend_from_slice(end);
        }
        let mut end = String::new();
        if let Some((name, value)) = self.trailer {
            let _ = write!(end, "{name}:{value}\r\n");
            if signed {
                let signature = chain.trailer(&format!("{name}:{value}\n"));
                let _ = write!(end, "x-amz-trailer-signature:{signature}\r\n");
            }
        }
        body.extend_from_slice(end.as_bytes());
        body.extend_from_slice(b"\r\n");
        body
    }
}

/// What happens to a body between its client and the port.
type Change = fn(Vec<u8>) -> Vec<u8>;

fn find(body: &[u8], text: &[u8], from: usize) -> usize {
    from + body[from..].windows(text.len()).position(|window| window == text).unwrap()
}

fn last(body: &[u8], text: &[u8]) -> usize {
    body.windows(text.len()).rposition(|window| window == text).unwrap()
}

/// Another digit in the place of one.
fn change_digit(body: &mut [u8], at: usize) {
    body[at] = if body[at] == b'0' { b'1' } else { b'0' };
}

fn second_signature(mut body: Vec<u8>) -> Vec<u8> {
    let first = find(&body, b"chunk-signature=", 0);
    let second = find(&body, b"chunk-signature=", first + 1) + 20;
    change_digit(&mut body, second);
    body
}

fn a_byte_of_data(mut body: Vec<u8>) -> Vec<u8> {
    let at = find(&body, b"\r\n", 0) + 5;
    body[at] ^= 1;
    body
}

fn last_signature(mut body: Vec<u8>) -> Vec<u8> {
    let at = last(&body, b"chunk-signature=") + 16;
    change_digit(&mut body, at);
    body
}

fn without_the_last_chunk(mut body: Vec<u8>) -> Vec<u8> {
    body.truncate(last(&body, b"0;chunk-signature="));
    body
}

fn without_a_middle_chunk(mut body: Vec<u8>) -> Vec<u8> {
    let first = find(&body, b"chunk-signature=", 0);
    let second = find(&body, b"chunk-signature=", first + 1);
    let third = find(&body, b"chunk-signature=", second + 1);
    // The two are of the same length.
    body.drain(second..third);
    body
}

fn without_a_signature(mut body: Vec<u8>) -> Vec<u8> {
    let at = find(&body, b";chunk-signature=", 0);
    body.drain(at..at + 81);
    body
}

fn cut_in_a_chunk(mut body: Vec<u8>) -> Vec<u8> {
    body.truncate(body.len() / 2);
    body
}

fn trailing_signature(mut body: Vec<u8>) -> Vec<u8> {
    let at = last(&body, b"x-amz-trailer-signature:") + 30;
    change_digit(&mut body, at);
    body
}

fn trailing_value(mut body: Vec<u8>) -> Vec<u8> {
    let at = last(&body, b"x-amz-checksum-crc32c:") + 23;
    body[at] = if body[at] == b'A' { b'B' } else { b'A' };
    body
}

fn without_trailing_signature(mut body: Vec<u8>) -> Vec<u8> {
    body.truncate(last(&body, b"x-amz-trailer-signature:"));
    body.extend_from_slice(b"\r\n");
    body
}

fn without_trailer(mut body: Vec<u8>) -> Vec<u8> {
    body.truncate(last(&body, b"x-amz-checksum-crc32c:"));
    body.extend_from_slice(b"\r\n");
    body
}

const DIFFERS: &str = "SignatureDoesNotMatch";
const INCOMPLETE: &str = "IncompleteBody";
const INVALID: &str = "InvalidRequest";
/// What is changed, and what both modes answer.
const OF_ALL: [(Change, &str); 7] = [
    (second_signature, DIFFERS),
    (a_byte_of_data, DIFFERS),
    (last_signature, DIFFERS),
    (without_the_last_chunk, INCOMPLETE),
    (without_a_middle_chunk, DIFFERS),
    (without_a_signature, INVALID),
    (cut_in_a_chunk, INCOMPLETE),
];
const OF_TRAILERS: [(Change, &str); 4] = [
    (trailing_signature, DIFFERS),
    (trailing_value, DIFFERS),
    (without_trailing_signature, INVALID),
    (without_trailer, INVALID),
];

pub(super) fn crc32c(data: &[u8]) -> String {
    use base64::Engine as _;
    let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, data);
    base64::engine::general_purpose::STANDARD.encode(u32::try_from(sum).unwrap().to_be_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signed_chunks_are_what_was_signed_or_nothing() {
    let house = House::new(6).await;
    let client = Client::new(&house, Permission::Admin, &[]).await;
    assert_eq!(client.refusal("PUT", "/photos", Ask::default()).await, None);
    let begun = client.ask("POST", "/photos/parts?uploads=", Ask::default()).await.ok();
    let text = String::from_utf8_lossy(&begun.body).into_owned();
    let id = text.split_once("<UploadId>").and_then(|(_, rest)| rest.split_once('<')).unwrap().0;
    let part = format!("/photos/parts?partNumber=1&uploadId={id}");
    for (http2, bytes, chunk) in [(false, 1000, 256), (true, (5 << 20) + 7, 64 << 10)] {
        let door = Door::open(&client, http2).await;
        let (data, other) = (noise(3, bytes), noise(4, bytes));
        let (right, wrong) = (crc32c(&data), crc32c(&other));
        let sends = async |chunked: Chunked<'_>, target: &str, change: Change| {
            let (mut headers, body) = chunked.sign(&client, &door.host, target);
            if http2 {
                headers.remove("host");
            }
            door.put(target, headers, change(body)).await
        };
        for (mode, sum) in [(SIGNED, None), (SIGNED_TRAILER, Some((CRC, right.as_str())))] {
            let chunked = Chunked::new(mode, &data, chunk, sum);
            let of_trailers: &[_] = if sum.is_some() { &OF_TRAILERS } else { &[] };
            for (n, (change, code)) in OF_ALL.iter().chain(of_trailers).enumerate() {
                for target in ["/photos/x", part.as_str()] {
                    let (status, refused) = sends(chunked, target, *change).await;
                    assert!(
                        (400..500).contains(&status) && refused == *code,
                        "{mode} {n} {target}: {status} {refused}"
                    );
                }
            }
            for decoded in [bytes - 1, bytes + 1, 0] {
                let (_, refused) = sends(Chunked { decoded, ..chunked }, "/photos/x", identity).await;
                assert_eq!(refused, INCOMPLETE, "{mode}: {decoded} in place of {bytes}");
            }
        }
        let summed = Chunked::new(SIGNED_TRAILER, &data, chunk, Some((CRC, &wrong)));
        assert_eq!(sends(summed, "/photos/x", identity).await.1, "BadDigest", "signed, and of another body");
        let nothing_there = client.refusal("GET", "/photos/x", Ask::default()).await;
        assert_eq!(nothing_there.as_deref(), Some("NoSuchKey"));
        let parts = client.ask("GET", &format!("/photos/parts?uploadId={id}"), Ask::default()).await.ok();
        assert!(http2 || !String::from_utf8_lossy(&parts.body).contains("<Part>"), "{parts:?}");
        house.has_its_buffers_back().await;
        for (mode, sum) in [(SIGNED, None), (SIGNED_TRAILER, Some((CRC, right.as_str())))] {
            for target in ["/photos/x", part.as_str()] {
                let answer = sends(Chunked::new(mode, &data, chunk, sum), target, identity).await;
                assert_eq!(answer, (200, String::new()), "{mode} {target}");
            }
            let got = client.ask("GET", "/photos/x", Ask::default()).await.ok();
            assert!(got.body == data && !got.headers.contains_key("content-encoding"), "{mode}");
            client.ask("DELETE", "/photos/x", Ask::default()).await.ok();
        }
    }
}

/// It would lie in memory until its signature could be compared.
#[tokio::test]
async fn a_signed_chunk_that_is_too_long_is_refused_where_it_begins() {
    let house = House::new(6).await;
    let client = Client::new(&house, Permission::Admin, &[]).await;
    assert_eq!(client.refusal("PUT", "/photos", Ask::default()).await, None);
    let chunk = usize::try_from(SIGNED_CHUNK_BYTES_MAX).unwrap();
    let data = noise(5, chunk + 1);
    for (chunk, refused) in [(chunk + 1, Some("EntityTooLarge")), (chunk, None)] {
        let chunked = Chunked::new(SIGNED, &data, chunk, None);
        let (headers, mut body) = chunked.sign(&client, super::signer::HOST, "/photos/x");
        if refused.is_some() {
            body.truncate(200);
        }
        let mut request = http::Request::put("/photos/x").body(body.into()).unwrap();
        *request.headers_mut() = headers;
        assert_eq!(client.send(request).await.code().as_deref(), refused);
    }
}
