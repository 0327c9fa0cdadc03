//! `audit verify` where a gateway tells another audit than was written.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::store::User;

/// What it makes of the audit's lines, and of what is said of its chains.
#[derive(Clone, Copy)]
struct Forgery {
    lines: fn(&mut Vec<Value>),
    chains: fn(&mut Value),
}

const TRUE: Forgery = Forgery { lines: |_| {}, chains: |_| {} };

/// The store's gateway, except for that. It takes one request of each connection.
struct Forger {
    store: String,
    http: reqwest::Client,
    runtime: tokio::runtime::Runtime,
    tls: Arc<ServerConfig>,
    forgery: Forgery,
}

impl Forger {
    /// Gives its address.
    fn start(user: &User, forgery: Forgery) -> String {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let certificate = std::fs::read(user.store.secret("ca.crt")).unwrap();
        let key = std::fs::read(user.store.secret("tls.key")).unwrap();
        let tls = ServerConfig::builder().with_no_client_auth().with_single_cert(
            vec![CertificateDer::from_pem_slice(&certificate).unwrap()],
            PrivateKeyDer::from_pem_slice(&key).unwrap(),
        );
        let authority = reqwest::Certificate::from_pem(&certificate).unwrap();
        let forger = Self {
            store: user.store.url(),
            http: reqwest::Client::builder().tls_certs_only([authority]).build().unwrap(),
            runtime: tokio::runtime::Runtime::new().unwrap(),
            tls: Arc::new(tls.unwrap()),
            forgery,
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("https://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || listener.incoming().for_each(|client| forger.serve(client.unwrap())));
        address
    }

    fn serve(&self, client: TcpStream) {
        let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(&self.tls)).unwrap(), client);
        let head: Vec<String> = BufReader::new(Read::by_ref(&mut stream))
            .lines()
            .map_while(Result::ok)
            .take_while(|line| !line.is_empty())
            .collect();
        let Some(path) = head.first().and_then(|line| line.split(' ').nth(1)) else { return };
        let bearer = head.iter().find_map(|line| line.strip_prefix("authorization: ")).unwrap();
        let asked = self.http.get(format!("{}{path}", self.store)).header("authorization", bearer);
        let body = self.runtime.block_on(async { asked.send().await.unwrap().bytes().await.unwrap() });
        let body = self.forged(path, &body);
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len())
            .unwrap();
        stream.write_all(&body).unwrap();
        stream.conn.send_close_notify();
        let _ = stream.flush();
    }

    fn forged(&self, path: &str, body: &[u8]) -> Vec<u8> {
        if path.contains("/audit/export") {
            let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            let mut lines = lines.map(|line| serde_json::from_slice(line).unwrap()).collect();
            (self.forgery.lines)(&mut lines);
            return lines.iter().map(|line| format!("{line}\n")).collect::<String>().into_bytes();
        }
        let mut chains = serde_json::from_slice(body).unwrap();
        (self.forgery.chains)(&mut chains);
        chains.to_string().into_bytes()
    }
}

/// Exit code and findings.
fn verified(user: &User, forgery: Forgery) -> (i32, Vec<String>) {
    let mut command = user.command(&["audit", "verify", "-o", "json"]);
    let output = command.env("DATAMESH_SERVER", Forger::start(user, forgery)).output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().unwrap(), serde_json::from_value(told["findings"].clone()).unwrap())
}

#[test]
fn an_audit_that_is_not_as_it_was_written_is_told() {
    let user = User::new();
    for _ in 0..3 {
        user.run(&["users", "create", "audited"]);
        user.run(&["users", "delete", "audited"]);
    }
    assert_eq!(verified(&user, TRUE), (0, vec![]), "as it was written");
    let lines = |lines| Forgery { lines, ..TRUE };
    let chains = |chains| Forgery { chains, ..TRUE };
    let said_to_be_cut = Forgery {
        lines: |lines| drop(lines.remove(0)),
        chains: |chains| {
            let mut cut = chains["items"][0].clone();
            cut["count"] = json!(1);
            chains["cuts"] = json!([cut]);
        },
    };
    for (what, forgery) in [
        ("an entry is another", lines(|lines| lines[1]["entry"]["actor"] = json!("user:mallory"))),
        ("an entry is gone", lines(|lines| drop(lines.remove(1)))),
        ("two entries are in each other's place", lines(|lines| lines.swap(1, 2))),
        ("the first is gone", lines(|lines| drop(lines.remove(0)))),
        ("the end is cut off", lines(|lines| lines.retain(|line| line["number"].as_u64() < Some(2)))),
        ("all is gone", lines(Vec::clear)),
        ("its head is gone", chains(|chains| chains["items"] = json!([]))),
        ("its head is another's", chains(|chains| chains["items"][0]["signature"] = json!("00".repeat(64)))),
        ("it says to have been cut off", said_to_be_cut),
    ] {
        let (exit, findings) = verified(&user, forgery);
        assert!(exit == 7 && !findings.is_empty(), "{what}: {exit} {findings:?}");
    }
}
