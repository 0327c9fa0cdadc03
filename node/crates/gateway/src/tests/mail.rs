//! Codes by mail, over a real SMTP server.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use datamesh_catalog::{CredentialKind, Role};
use datamesh_settings::mail::{MailSettings, MailTls};
use http::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::accounts::{PASSWORD, login, signed_in, tell};
use super::house::{ADMIN, Got, House};
use crate::auth::Address;
use crate::mail::{MailError, Mailer};

const USER: &str = "datamesh";
const SECRET: &str = "the server's password";

/// Where `make deps` puts Python's packages.
fn python() -> PathBuf {
    let given = std::env::var_os("DATAMESH_S3_VENV").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/datamesh/venv");
    given.unwrap_or_else(home).join("bin/python")
}

/// A mail server, and what it took.
pub(super) struct MailServer {
    child: Child,
    mails: BufReader<ChildStdout>,
    port: u16,
    folder: TempDir,
}

impl MailServer {
    pub(super) fn start(tls: &str, (user, password): (&str, &str)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("crt", &made.cert.pem());
        write("key", &made.signing_key.serialize_pem());
        write("user", USER);
        write("password", SECRET);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mail/smtp_server.py");
        let mut child = Command::new(python())
            .arg(script)
            .args([tls, "crt", "key", user, password, "nowhere.example"])
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("run `make deps`");
        let mut mails = BufReader::new(child.stdout.take().unwrap());
        let mut port = String::new();
        mails.read_line(&mut port).unwrap();
        Self { child, mails, port: port.trim().parse().unwrap(), folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn settings(&self, tls: MailTls) -> MailSettings {
        MailSettings {
            host: "localhost".into(),
            port: self.port,
            tls,
            ca_file: Some(self.file("crt")),
            user_file: None,
            password_file: None,
            from: "DataMesh <datamesh@example.org>".into(),
            link_base: None,
        }
    }

    fn signing_in(&self, tls: MailTls) -> MailSettings {
        let (user_file, password_file) = (Some(self.file("user")), Some(self.file("password")));
        MailSettings { user_file, password_file, ..self.settings(tls) }
    }

    /// The word of the next mail that begins so.
    pub(super) fn word(&mut self, prefix: &str) -> String {
        word_in(&self.mail(), prefix)
    }

    /// The next mail.
    fn mail(&mut self) -> Value {
        let mut line = String::new();
        self.mails.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}

/// Asks for a code; what is done behind the answer is done when this returns.
async fn ask(house: &House, name: &str) -> Got {
    let got = tell(house, None, "POST", "/auth/reset/mail", json!({ "name": name })).await;
    done(house).await;
    got
}

/// Codes of a user that count.
async fn codes(house: &House, name: &str) -> usize {
    let user = house.catalog.user_of(&name.parse().unwrap()).await.unwrap().unwrap();
    let known = house.catalog.credentials(user.id).await.unwrap();
    known.iter().filter(|known| known.credential.kind == CredentialKind::Reset).count()
}

/// All that was asked for behind answers is done.
async fn done(house: &House) {
    house.core.context.tails.close();
    house.core.context.tails.wait().await;
    house.core.context.tails.reopen();
}

async fn with_address(house: &House, name: &str, email: &str) -> String {
    let session = signed_in(house, name, Role::Member).await;
    let body = json!({ "email": email, "password": "not the password" });
    let refused = tell(house, Some(&session), "PUT", "/auth/profile", body).await;
    assert_eq!(refused.problem(), "forbidden", "an open session alone moves no address");
    tell(house, Some(ADMIN), "PUT", &format!("/admin/users/{name}"), json!({ "email": email })).await.ok();
    session
}

/// The word of a mail that begins so.
fn word_in(mail: &Value, prefix: &str) -> String {
    let text = mail["text"].as_str().unwrap();
    text.split_whitespace().find(|word| word.starts_with(prefix)).unwrap().to_owned()
}

#[tokio::test]
async fn an_address_is_ones_own_once_a_code_was_read_there() {
    let mut server = MailServer::start("implicit", ("", ""));
    let house = House::mailing(Mailer::open(server.settings(MailTls::Implicit)).unwrap()).await;
    let session = signed_in(&house, "alice", Role::Member).await;
    let put = async |email: &str| {
        let body = json!({ "email": email, "password": PASSWORD });
        let got = tell(&house, Some(&session), "PUT", "/auth/profile", body).await;
        done(&house).await;
        got
    };
    let confirm =
        async |code: &str| tell(&house, None, "POST", "/auth/profile/email", json!({ "code": code })).await;
    for wrong in ["nobody", "a@[10.0.0.1]", "a b@example.org"] {
        assert_eq!(put(wrong).await.problem(), "invalid-body", "{wrong}");
    }
    let claimed = put("alice@example.org").await;
    assert_eq!((claimed.status, &claimed.json()["email"]), (StatusCode::ACCEPTED, &Value::Null), "not yet");
    let mail = server.mail();
    assert_eq!(mail["to"], json!(["alice@example.org"]));
    ask(&house, "alice").await.ok();
    assert_eq!(codes(&house, "alice").await, 0, "nothing is mailed where nobody has read yet");
    let code = word_in(&mail, "dma_");
    assert_eq!(
        tell(&house, Some(&code), "GET", "/auth/profile", Value::Null).await.problem(),
        "unauthorized"
    );
    let chosen = json!({ "code": code, "password": "another password" });
    assert_eq!(
        tell(&house, None, "POST", "/auth/reset", chosen).await.problem(),
        "forbidden",
        "it resets nothing"
    );
    assert_eq!(confirm("dma_x").await.problem(), "forbidden");
    confirm(&code).await.ok();
    assert_eq!(confirm(&code).await.problem(), "forbidden", "once");
    let profile = tell(&house, Some(&session), "GET", "/auth/profile", Value::Null).await.ok().json();
    assert_eq!(profile["user"]["email"], json!("alice@example.org"));
    assert_eq!(put("alice@example.org").await.status, StatusCode::OK, "it is theirs");
    ask(&house, "alice").await.ok();
    code_in(&server.mail());
    let cleared = put("").await;
    assert_eq!((cleared.status, &cleared.json()["email"]), (StatusCode::OK, &Value::Null));
    assert_eq!(codes(&house, "alice").await, 0, "what was mailed there has ended");
    let audit = tell(&house, Some(ADMIN), "GET", "/admin/audit", Value::Null).await.ok().json().to_string();
    assert!(audit.contains("POST /api/v1/auth/profile/email") && !audit.contains(&code), "{audit}");
}

#[tokio::test]
async fn who_registers_proves_their_address_too() {
    let mut server = MailServer::start("implicit", ("", ""));
    let house = House::mailing(Mailer::open(server.settings(MailTls::Implicit)).unwrap()).await;
    tell(&house, Some(ADMIN), "PUT", "/admin/registration", json!({ "registration": "open" })).await.ok();
    let new = json!({ "name": "www.evil.example", "password": PASSWORD, "email": "bob@example.org" });
    let made = tell(&house, None, "POST", "/auth/register", new).await.ok();
    done(&house).await;
    assert_eq!(made.json()["email"], Value::Null);
    let mail = server.mail();
    assert!(
        !mail.to_string().contains("evil"),
        "a stranger has the cluster write nothing to another: {mail}"
    );
    let code = word_in(&mail, "dma_");
    tell(&house, None, "POST", "/auth/profile/email", json!({ "code": code })).await.ok();
    let bob =
        tell(&house, Some(ADMIN), "GET", "/admin/users/www.evil.example", Value::Null).await.ok().json();
    assert_eq!(bob["email"], json!("bob@example.org"));
}

#[tokio::test]
async fn an_address_is_an_administrator_s_to_set_where_no_mail_is_sent() {
    let house = House::without_pool(6, 64 << 20).await;
    tell(&house, Some(ADMIN), "PUT", "/admin/registration", json!({ "registration": "open" })).await.ok();
    let new = json!({ "name": "bob", "password": PASSWORD, "email": "bob@example.org" });
    assert_eq!(tell(&house, None, "POST", "/auth/register", new).await.problem(), "conflict");
    let session = signed_in(&house, "alice", Role::Member).await;
    let body = json!({ "email": "alice@example.org", "password": PASSWORD });
    assert_eq!(tell(&house, Some(&session), "PUT", "/auth/profile", body).await.problem(), "conflict");
    let set = json!({ "email": "alice@example.org" });
    let alice = tell(&house, Some(ADMIN), "PUT", "/admin/users/alice", set).await.ok().json();
    assert_eq!(alice["email"], json!("alice@example.org"));
    let wrong = tell(&house, Some(ADMIN), "PUT", "/admin/users/alice", json!({ "email": "nobody" })).await;
    assert_eq!(wrong.problem(), "invalid-body");
}

fn code_in(mail: &Value) -> String {
    let text = mail["text"].as_str().unwrap();
    text.split_whitespace().find(|word| word.starts_with("dmr_")).unwrap().to_owned()
}

#[tokio::test]
async fn a_code_comes_by_mail_and_counts_once() {
    let mut server = MailServer::start("starttls", (USER, SECRET));
    let page = Some("https://files.example.org/reset".to_owned());
    let settings = MailSettings { link_base: page, ..server.signing_in(MailTls::Starttls) };
    let house = House::mailing(Mailer::open(settings).unwrap()).await;
    let session = with_address(&house, "alice", "alice@example.org").await;
    assert_eq!(ask(&house, "Alice").await.status, StatusCode::ACCEPTED);
    let mail = server.mail();
    assert_eq!((&mail["to"], &mail["from"]), (&json!(["alice@example.org"]), &json!("datamesh@example.org")));
    assert_eq!((&mail["encrypted"], &mail["signedIn"]), (&json!(true), &json!(true)));
    let code = code_in(&mail);
    assert!(mail["text"].as_str().unwrap().contains(&format!("https://files.example.org/reset#code={code}")));
    login(&house, "alice", PASSWORD).await.ok();
    let chosen = json!({ "code": code, "password": "another password" });
    tell(&house, None, "POST", "/auth/reset", chosen.clone()).await.ok();
    assert_eq!(tell(&house, None, "POST", "/auth/reset", chosen).await.problem(), "forbidden", "once");
    login(&house, "alice", "another password").await.ok();
    let ended = tell(&house, Some(&session), "GET", "/auth/profile", Value::Null).await;
    assert_eq!(ended.problem(), "unauthorized", "all that stood for them has ended");
    let audit = tell(&house, Some(ADMIN), "GET", "/admin/audit", Value::Null).await.ok().json().to_string();
    assert!(
        audit.contains("POST /api/v1/auth/reset") && !audit.contains(&code) && !audit.contains("example.org")
    );
    assert!(audit.contains("POST /api/v1/auth/reset/mail") && audit.contains("code="));
    // Who has a code of an administrator's gets none by mail: the mailbox may be why.
    tell(&house, Some(ADMIN), "POST", "/admin/users/alice/reset", Value::Null).await.ok();
    ask(&house, "alice").await.ok();
    assert_eq!(codes(&house, "alice").await, 1);
}

#[tokio::test]
async fn nobody_learns_who_is_a_user_and_nobody_s_mailbox_is_filled() {
    let mut server = MailServer::start("implicit", ("", ""));
    let house = House::mailing(Mailer::open(server.settings(MailTls::Implicit)).unwrap()).await;
    with_address(&house, "alice", "alice@example.org").await;
    with_address(&house, "bob", "bob@nowhere.example").await;
    signed_in(&house, "carol", Role::Member).await;
    let known = ask(&house, "alice").await;
    for other in ["nobody", "bob", "carol"] {
        let got = ask(&house, other).await;
        assert_eq!((got.status, &got.body), (known.status, &known.body), "{other}");
        let names = |got: &Got| got.headers.keys().map(|name| name.to_string()).collect::<Vec<_>>();
        assert_eq!(names(&got), names(&known), "{other}");
    }
    let first = code_in(&server.mail());
    assert_eq!((codes(&house, "alice").await, codes(&house, "bob").await), (1, 0), "nobody got bob's");
    for n in 0..6 {
        let body = axum::body::Body::from(json!({ "name": "alice" }).to_string());
        let mut request = http::Request::post("/api/v1/auth/reset/mail").body(body).unwrap();
        request.extensions_mut().insert(Address(Ipv4Addr::from(0x0a00_0000 + n).into()));
        assert_eq!(house.send(request).await.status(), StatusCode::ACCEPTED);
        done(&house).await;
    }
    assert_eq!(codes(&house, "alice").await, 3, "whoever asks, from wherever");
    house.clock.move_on(Duration::from_secs(3601));
    let chosen = json!({ "code": first, "password": PASSWORD });
    assert_eq!(
        tell(&house, None, "POST", "/auth/reset", chosen).await.problem(),
        "forbidden",
        "an hour is over"
    );
    ask(&house, "alice").await.ok();
    let mailed: BTreeSet<String> = (0..3).map(|_| code_in(&server.mail())).collect();
    assert!(mailed.len() == 3 && !mailed.contains(&first));
    // Another address, by an administrator: what went to the old one has ended.
    let set = async |email: &str| {
        tell(&house, Some(ADMIN), "PUT", "/admin/users/alice", json!({ "email": email })).await.ok().json()
    };
    assert_eq!(
        (set("a@example.org").await["email"].clone(), codes(&house, "alice").await),
        (json!("a@example.org"), 0)
    );
    assert_eq!(set("").await["email"], Value::Null);
    let mut asked = 0;
    while ask(&house, "somebody").await.status == StatusCode::ACCEPTED {
        asked += 1;
    }
    assert!((1..=5).contains(&asked), "{asked}");
}

#[tokio::test]
async fn a_server_that_is_not_the_one_gets_nothing() {
    let server = MailServer::start("starttls", (USER, SECRET));
    let send = async |settings: MailSettings| {
        let text = zeroize::Zeroizing::new("text".to_owned());
        Mailer::open(settings).unwrap().send("alice@example.org", "subject", text).await
    };
    send(server.signing_in(MailTls::Starttls)).await.unwrap();
    let settings = MailSettings { ca_file: None, ..server.signing_in(MailTls::Starttls) };
    assert!(matches!(send(settings).await, Err(MailError::Server { .. })), "a certificate of nobody");
    let settings = MailSettings { host: "127.0.0.1".into(), ..server.signing_in(MailTls::Starttls) };
    assert!(matches!(send(settings).await, Err(MailError::Server { .. })), "a certificate of another");
    assert!(send(server.settings(MailTls::Starttls)).await.is_err(), "it wants a password");
    std::fs::write(server.file("password"), "another").unwrap();
    let wrong = send(server.signing_in(MailTls::Starttls)).await.unwrap_err();
    assert!(matches!(wrong, MailError::Server { code: Some(535), .. }), "{wrong}");
    std::fs::write(server.file("password"), SECRET).unwrap();
    send(server.signing_in(MailTls::Starttls)).await.unwrap();

    // One that speaks no TLS when TLS is asked for.
    let plain = MailServer::start("none", ("", ""));
    assert!(send(plain.settings(MailTls::Starttls)).await.is_err());
    send(plain.settings(MailTls::None)).await.unwrap();
    let mut text = zeroize::Zeroizing::new(String::new());
    text.push_str("text");
    let mailer = Mailer::open(plain.settings(MailTls::None)).unwrap();
    let refused = mailer.send("bob@nowhere.example", "subject", text).await.unwrap_err().to_string();
    assert!(refused.contains("550") && !refused.contains("bob"), "{refused}");
}

#[test]
fn wrong_settings_name_the_field() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| Some(folder.path().join(name));
    std::fs::write(folder.path().join("user"), "u").unwrap();
    std::fs::write(folder.path().join("password"), "p").unwrap();
    std::fs::write(folder.path().join("ca"), "no certificate").unwrap();
    let right = MailSettings {
        host: "localhost".into(),
        port: 25,
        tls: MailTls::Starttls,
        ca_file: None,
        user_file: file("user"),
        password_file: file("password"),
        from: "datamesh@example.org".into(),
        link_base: None,
    };
    Mailer::open(right.clone()).unwrap();
    let page = |page: &str| MailSettings { link_base: Some(page.into()), ..right.clone() };
    for (wrong, field) in [
        (MailSettings { from: "nobody".into(), ..right.clone() }, "mail.from"),
        (MailSettings { tls: MailTls::None, ..right.clone() }, "mail.tls"),
        (
            MailSettings {
                host: "mail.example".into(),
                tls: MailTls::None,
                user_file: None,
                password_file: None,
                ..right.clone()
            },
            "mail.host",
        ),
        (MailSettings { user_file: None, ..right.clone() }, "mail.userFile"),
        (MailSettings { password_file: file("none"), ..right.clone() }, "none"),
        (MailSettings { ca_file: file("ca"), ..right.clone() }, "mail.caFile"),
        (page("http://example.org"), "mail.linkBase"),
        (page("https://example.org/#x"), "mail.linkBase"),
    ] {
        let error = Mailer::open(wrong).unwrap_err().to_string();
        assert!(error.contains(field), "{error}");
    }
}
