use std::path::Path;
use std::sync::Arc;

use datamesh_settings::TlsFiles;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use super::house::{House, USER, noise};
use crate::https::{Certificates, Connections, Https};
use crate::limits;

pub(crate) fn write_certificate(dir: &Path) -> (TlsFiles, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let files = TlsFiles { certificate_file: dir.join("tls.crt"), key_file: dir.join("tls.key") };
    std::fs::write(&files.certificate_file, made.cert.pem()).unwrap();
    std::fs::write(&files.key_file, made.signing_key.serialize_pem()).unwrap();
    (files, made.cert.pem())
}

pub(crate) fn client(root: &str, http2: bool) -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let root = reqwest::Certificate::from_pem(root.as_bytes()).unwrap();
    let builder = reqwest::Client::builder().tls_certs_only([root]);
    if http2 { builder } else { builder.http1_only() }.build().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_versions_of_http_and_a_replaced_certificate() {
    let house = House::new(6).await;
    let dir = tempfile::tempdir().unwrap();
    let (files, root) = write_certificate(dir.path());
    let certificates = Arc::new(Certificates::open(&files).unwrap());
    let https =
        Https::bind("127.0.0.1:0".parse().unwrap(), Arc::clone(&certificates), Connections::within(None))
            .await
            .unwrap();
    let address = https.local_addr();
    let (base, stop) =
        (format!("https://localhost:{}/api/v1/files", address.port()), CancellationToken::new());
    let serving = crate::owned::spawn(https.run(house.router(), stop.clone()));
    let text = noise(1, 5 << 20);
    for (http2, version) in [(false, reqwest::Version::HTTP_11), (true, reqwest::Version::HTTP_2)] {
        let client = client(&root, http2);
        let url = format!("{base}/x");
        let put = client.put(&url).bearer_auth(USER).body(text.clone()).send().await.unwrap();
        assert_eq!(put.version(), version);
        assert!(put.status().is_success());
        let got = client.get(&url).bearer_auth(USER).send().await.unwrap().bytes().await.unwrap();
        assert!(got == text);
        assert_eq!(client.get(&url).send().await.unwrap().status(), 401);
        // The listener counts in what it reads at a time, so somewhat more than the limit may pass.
        let huge = "x".repeat(2 * limits::HEADER_BYTES_MAX);
        let refused = client.get(&url).bearer_auth(USER).header("x-huge", huge).send().await;
        assert!(refused.is_err() || refused.unwrap().status().is_client_error());
        let many = (0..200).fold(client.get(&url).bearer_auth(USER), |r, n| r.header(format!("x-{n}"), "1"));
        let answered = many.send().await;
        assert!(http2 || answered.is_err() || answered.unwrap().status().is_client_error());
    }
    let (_, renewed) = write_certificate(dir.path());
    assert!(certificates.refresh().unwrap());
    assert!(
        client(&root, true).get(&base).bearer_auth(USER).send().await.is_err(),
        "the old root is of no use"
    );
    assert!(client(&renewed, true).get(&base).bearer_auth(USER).send().await.unwrap().status().is_success());
    stop.cancel();
    serving.await.unwrap();
}

/// Connections that may hold much memory are few; the others are still served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_when_http2_is_taken_gets_http1() {
    let (house, dir) = (House::new(6).await, tempfile::tempdir().unwrap());
    let (files, root) = write_certificate(dir.path());
    let certificates = Arc::new(Certificates::open(&files).unwrap());
    let https = Https::bind(
        "127.0.0.1:0".parse().unwrap(),
        certificates,
        Connections::of(2 * limits::HTTP2_CONNECTIONS_MAX),
    )
    .await
    .unwrap();
    let (url, stop) =
        (format!("https://localhost:{}/api/v1/files", https.local_addr().port()), CancellationToken::new());
    let serving = crate::owned::spawn(https.run(house.router(), stop.clone()));
    let version = async |client: &reqwest::Client| client.get(&url).send().await.unwrap().version();
    let mut taken = Vec::new();
    for _ in 0..limits::HTTP2_CONNECTIONS_MAX {
        let client = client(&root, true);
        assert_eq!(version(&client).await, reqwest::Version::HTTP_2);
        taken.push(client);
    }
    let late = client(&root, true);
    assert_eq!(version(&late).await, reqwest::Version::HTTP_11);
    assert_eq!(version(&taken[0]).await, reqwest::Version::HTTP_2, "it keeps what it has");
    stop.cancel();
    serving.await.unwrap();
}

#[tokio::test]
async fn half_a_certificate_keeps_the_old_one() {
    let dir = tempfile::tempdir().unwrap();
    let (files, _) = write_certificate(dir.path());
    let certificates = Certificates::open(&files).unwrap();
    let other = tempfile::tempdir().unwrap();
    let (others, _) = write_certificate(other.path());
    std::fs::copy(&others.certificate_file, &files.certificate_file).unwrap();
    assert!(certificates.refresh().is_err(), "the key is of another certificate");
    std::fs::copy(&others.key_file, &files.key_file).unwrap();
    assert!(certificates.refresh().unwrap());
}

#[tokio::test]
async fn strangers_on_plain_tcp_are_let_go() {
    let house = House::new(6).await;
    let dir = tempfile::tempdir().unwrap();
    let certificates = Arc::new(Certificates::open(&write_certificate(dir.path()).0).unwrap());
    let https =
        Https::bind("127.0.0.1:0".parse().unwrap(), certificates, Connections::within(None)).await.unwrap();
    let (address, stop) = (https.local_addr(), CancellationToken::new());
    let serving = crate::owned::spawn(https.run(house.router(), stop.clone()));
    let mut plain = tokio::net::TcpStream::connect(address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    stop.cancel();
    serving.await.unwrap();
}
