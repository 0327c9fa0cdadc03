//! Forms that come slowly, from many addresses, do not keep the others out.

use std::net::Ipv4Addr;

use axum::body::Body;
use datamesh_catalog::Permission;
use futures::{TryStreamExt as _, stream};
use http::Request;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use super::intake::{IN_TIME, SECOND, sent, slowly};
use super::signer::{Ask, Client, HOST};
use crate::auth::Address;
use crate::s3::memory::WAIT;
use crate::tests::house::{Got, House, noise};

const MIB: usize = 1 << 20;

fn fields(key: &str, signed: &[(&str, String)]) -> Vec<u8> {
    let field = |name: &str, value: &str| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let signed: String = signed.iter().map(|(name, value)| field(name, value)).collect();
    let file = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n";
    format!("{}{signed}{file}", field("key", key)).into_bytes()
}

/// How bytes come.
type Comes = fn(&[u8]) -> Body;

/// A form whose fields and file come so.
fn form(
    address: Ipv4Addr,
    (fields, file): (&[u8], &[u8]),
    (first, then): (Comes, Comes),
) -> Request<Body> {
    let file = [file, b"\r\n--b--\r\n"].concat();
    let pieces = [first(fields), then(&file)].map(Body::into_data_stream);
    let body = Body::from_stream(stream::iter(pieces.map(Ok::<_, axum::Error>)).try_flatten());
    let request = Request::post("/photos").header("host", HOST).extension(Address(address.into()));
    let request = request.header("content-type", "multipart/form-data; boundary=b");
    request.header("content-length", fields.len() + file.len()).body(body).unwrap()
}

fn at_once(bytes: &[u8]) -> Body {
    Body::from(bytes.to_vec())
}

fn by_bytes(bytes: &[u8]) -> Body {
    slowly(bytes, 1)
}

/// More than the library has with the fields at once, and then no more than a byte at a time.
fn late(bytes: &[u8]) -> Body {
    let (first, rest) = bytes.split_at(80 << 10);
    let pieces = [at_once(first), by_bytes(rest)].map(Body::into_data_stream);
    Body::from_stream(stream::iter(pieces.map(Ok::<_, axum::Error>)).try_flatten())
}

fn in_time(bytes: &[u8]) -> Body {
    slowly(bytes, IN_TIME)
}

/// Of this many addresses.
fn address(n: usize) -> Ipv4Addr {
    Ipv4Addr::new(198, 51, 100, u8::try_from(n % 8).unwrap())
}

const HONEST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

async fn photos(house: &House) -> (Client, Vec<u8>) {
    let client = Client::new(house, Permission::Admin, &[]).await;
    assert_eq!(client.refusal("PUT", "/photos", Ask::default()).await, None);
    let signed = client.form_fields(r#"{"bucket": "photos"}, ["starts-with", "$key", ""]"#);
    (client, fields("x", &signed))
}

/// Forms whose fields drip, whose files nobody signed, and whose signed files drip.
struct Crowd {
    fields: Vec<AbortOnDropHandle<Got>>,
    unsigned: Vec<AbortOnDropHandle<Got>>,
    files: Vec<AbortOnDropHandle<Got>>,
}

impl Crowd {
    fn new(client: &Client, signed: &[u8], file: &[u8]) -> Self {
        let unsigned = fields("x", &[]);
        let forms = |fields: &[u8], comes: (Comes, Comes)| {
            (0..40).map(|n| sent(client, form(address(n), (fields, file), comes))).collect()
        };
        Self {
            fields: forms(signed, (by_bytes, at_once)),
            files: forms(signed, (at_once, late)),
            unsigned: forms(&unsigned, (at_once, late)),
        }
    }
}

#[tokio::test]
async fn forms_that_drip_keep_no_other_out() {
    let house = House::new(6).await;
    let (client, signed) = photos(&house).await;
    let file = noise(1, 2 * MIB);
    let crowd = Crowd::new(&client, &signed, &file);
    for denied in crowd.unsigned {
        assert_eq!(denied.await.unwrap().code().as_deref(), Some("AccessDenied"));
    }
    let began = std::time::Instant::now();
    let got = client.send(form(HONEST, (&signed, &file), (at_once, at_once))).await;
    assert_eq!(got.code(), None);
    assert!(began.elapsed() < WAIT, "it waited for others: {:?}", began.elapsed());
    let drips = crowd.fields.iter().chain(&crowd.files).filter(|form| !form.is_finished()).count();
    assert!(drips > 40, "they dripped all the while: {drips}");
    assert!(client.ask("GET", "/photos/x", Ask::default()).await.ok().body == file);
}

#[tokio::test(start_paused = true)]
async fn forms_that_drip_have_an_end() {
    let house = House::new(6).await;
    let (client, signed) = photos(&house).await;
    let crowd = Crowd::new(&client, &signed, &noise(1, 2 * MIB));
    for (forms, right) in [
        (crowd.fields, &["RequestTimeout"][..]),
        (crowd.files, &["RequestTimeout", "SlowDown"]),
        (crowd.unsigned, &["AccessDenied"]),
    ] {
        for form in forms {
            let code = form.await.unwrap().code();
            assert!(right.contains(&code.as_deref().unwrap()), "{code:?}: {right:?}");
        }
    }
}

/// The other side of it: what comes in time has its memory, and then one address has no more of it, and all have an end.
#[tokio::test(start_paused = true)]
async fn an_address_has_its_part_of_the_memory_of_forms() {
    let house = House::new(6).await;
    let (client, signed) = photos(&house).await;
    let (large, small) = (noise(1, 10 * MIB), noise(2, MIB));
    let slow = |n| sent(&client, form(address(n), (&signed, &large), (at_once, in_time)));
    let holding = [slow(0), slow(1)];
    // The first pieces come with the fields.
    sleep(5 * SECOND).await;
    let got = client.send(form(address(0), (&signed, &large), (at_once, at_once))).await;
    assert_eq!((got.status.as_u16(), got.code().as_deref()), (503, Some("SlowDown")));
    assert_eq!(got.header("retry-after"), "10");
    for (address, file) in [(address(0), &small), (HONEST, &large)] {
        let got = client.send(form(address, (&signed, file), (at_once, at_once))).await;
        assert_eq!(got.code(), None, "{address}");
    }
    for held in holding {
        assert_eq!(held.await.unwrap().code().as_deref(), Some("RequestTimeout"), "a minute is enough");
    }
}

#[tokio::test]
async fn a_stranger_s_file_is_read_where_a_policy_lets_them_put_it() {
    let house = House::new(6).await;
    let (client, _) = photos(&house).await;
    let file = noise(1, MIB);
    let put = async |key: &str| {
        client.send(form(HONEST, (&fields(key, &[]), &file), (at_once, at_once))).await.code()
    };
    assert_eq!(put("inbox/a").await.as_deref(), Some("AccessDenied"));
    let policy = br#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*",
        "Action": "s3:PutObject", "Resource": "arn:aws:s3:::photos/inbox/*"}]}"#;
    let ask = Ask { body: policy, ..Ask::default() };
    assert_eq!(client.refusal("PUT", "/photos?policy=", ask).await, None);
    assert_eq!(put("inbox/a").await, None);
    assert_eq!(put("outbox/a").await.as_deref(), Some("AccessDenied"));
    assert!(client.ask("GET", "/photos/inbox/a", Ask::default()).await.ok().body == file);
}

#[tokio::test]
async fn fields_have_an_end() {
    let house = House::new(6).await;
    let (client, _) = photos(&house).await;
    let signed = client.form_fields(r#"{"bucket": "photos"}, ["starts-with", "$key", ""]"#);
    for (bytes, code) in [(1000, None), (70_000, Some("MalformedPOSTRequest"))] {
        let field = [("x-ignore-this", "a".repeat(bytes))];
        let all: Vec<_> = signed.iter().cloned().chain(field).collect();
        let got = client.send(form(HONEST, (&fields("x", &all), b"file"), (at_once, at_once))).await;
        assert_eq!(got.code().as_deref(), code, "{bytes}");
    }
}

#[tokio::test]
async fn however_a_form_is_cut_it_is_the_same() {
    let house = House::new(6).await;
    let (client, signed) = photos(&house).await;
    let file = [&noise(1, 100 << 10)[..], b"\r\n--", &noise(2, 70 << 10), b"\r\r\n--cb"].concat();
    for piece in [7, 1 << 10, (64 << 10) - 1, 64 << 10, 200 << 10] {
        let mut request = form(HONEST, (&signed, &file), (at_once, at_once));
        let whole = axum::body::to_bytes(std::mem::take(request.body_mut()), usize::MAX).await.unwrap();
        let pieces: Vec<_> = whole.chunks(piece).map(|piece| Ok::<_, axum::Error>(piece.to_vec())).collect();
        *request.body_mut() = Body::from_stream(stream::iter(pieces));
        assert_eq!(client.send(request).await.code(), None, "{piece}");
        assert!(client.ask("GET", "/photos/x", Ask::default()).await.ok().body == file, "{piece}");
    }
}
