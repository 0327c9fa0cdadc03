//! A provider that runs, and people who sign in at it.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use datamesh_settings::oidc::OidcSettings;
use tempfile::TempDir;

use super::PUBLIC_URL;

/// Names under which a cluster has it in these tests.
const NAMES: [&str; 8] = ["work", "modern", "slash", "tls", "secret", "others", "roles", "home"];

/// Where `make deps` puts the provider.
fn modules() -> PathBuf {
    let given = std::env::var_os("DATAMESH_OIDC_PROVIDER").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/datamesh/oidc");
    given.unwrap_or_else(home)
}

/// A provider that runs.
pub(crate) struct Identities {
    child: Child,
    answers: BufReader<ChildStdout>,
    /// Where it is, as its certificate says.
    host: String,
    pub(super) port: u16,
    pub(super) folder: TempDir,
}

impl Identities {
    pub(crate) fn start() -> Self {
        Self::start_at(None)
    }

    /// At an address of this machine that others reach too.
    pub(crate) fn start_at(address: Option<&str>) -> Self {
        let host = address.unwrap_or("localhost").to_owned();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(vec![host.clone()]).unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("crt", &made.cert.pem());
        write("key", &made.signing_key.serialize_pem());
        write("secret", "a secret: of the client");
        // Node looks for packages beside the file.
        write("provider.mjs", include_str!("../../../tests/oidc/provider.mjs"));
        std::os::unix::fs::symlink(modules().join("node_modules"), folder.path().join("node_modules"))
            .unwrap();
        let redirects = NAMES.map(|name| format!("{PUBLIC_URL}/api/v1/auth/oidc/{name}/callback"));
        let mut child = Command::new("node")
            .args(["provider.mjs", "crt", "key", &redirects.join(",")])
            .args(address)
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("run `make deps`");
        let mut answers = BufReader::new(child.stdout.take().unwrap());
        let mut port = String::new();
        answers.read_line(&mut port).unwrap();
        let port = port.trim().parse().expect("the provider starts: run `make deps`");
        Self { child, answers, host, port, folder }
    }

    /// Has it do something that only tests ask for.
    pub(crate) fn order(&mut self, order: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{order}").unwrap();
        let mut done = String::new();
        self.answers.read_line(&mut done).unwrap();
        assert_eq!(done, "done\n", "{order}");
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn issuer(&self) -> String {
        format!("https://{}:{}", self.host, self.port)
    }

    pub(crate) fn settings(&self, name: &str, client: &str) -> OidcSettings {
        OidcSettings {
            name: name.into(),
            issuer: self.issuer(),
            client_id: client.into(),
            client_secret_file: Some(self.file("secret")),
            ca_file: Some(self.file("crt")),
            scopes: vec!["profile".into()],
            roles: None,
            groups: None,
            devices: true,
            register: true,
        }
    }

    pub(crate) fn person(&self, account: &str) -> Person {
        let pem = std::fs::read(self.file("crt")).unwrap();
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .tls_certs_only([reqwest::Certificate::from_pem(&pem).unwrap()])
            .build()
            .unwrap();
        Person { http, base: self.issuer(), account: account.into(), cookies: BTreeMap::new() }
    }
}

impl Drop for Identities {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}

/// Somebody with a browser, as the provider sees them.
pub(crate) struct Person {
    http: reqwest::Client,
    base: String,
    account: String,
    cookies: BTreeMap<String, String>,
}

impl Person {
    /// One page; gives its text and where it sends the browser.
    async fn page(&mut self, url: &str, form: Option<String>) -> (String, Option<String>) {
        let url = if url.starts_with('/') { format!("{}{url}", self.base) } else { url.to_owned() };
        let mut request = match form {
            None => self.http.get(&url),
            Some(form) => {
                self.http.post(&url).header("content-type", "application/x-www-form-urlencoded").body(form)
            }
        };
        let cookies = self.cookies.iter().map(|(name, value)| format!("{name}={value}"));
        request = request.header("cookie", cookies.collect::<Vec<_>>().join("; "));
        let response = request.header("x-account", &self.account).send().await.unwrap();
        for set in response.headers().get_all("set-cookie") {
            let pair = set.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        let sent = response.headers().get("location").map(|to| to.to_str().unwrap().to_owned());
        (response.text().await.unwrap(), sent)
    }

    /// Follows the provider until it sends the browser back, or shows a page; gives where to, and the page.
    pub(crate) async fn follow(&mut self, mut url: String) -> (String, String) {
        loop {
            let (text, sent) = self.page(&url, None).await;
            match sent {
                Some(to) if to.starts_with(PUBLIC_URL) => return (to, text),
                Some(to) => url = to,
                None => return (url, text),
            }
        }
    }

    /// Says yes to a device.
    pub(crate) async fn allows(&mut self, page: &str) {
        let (_, text) = self.follow(page.to_owned()).await;
        let value = |name: &str| {
            let at = text.find(&format!("name=\"{name}\"")).unwrap_or_else(|| panic!("{name} in {text}"));
            let rest = &text[at..];
            let from = rest.find("value=\"").unwrap() + 7;
            rest[from..].split('"').next().unwrap().to_owned()
        };
        let form = format!("xsrf={}&user_code={}&confirm=yes", value("xsrf"), value("user_code"));
        let (_, sent) = self.page("/device", Some(form)).await;
        self.follow(sent.expect("it goes on to sign in")).await;
    }
}
