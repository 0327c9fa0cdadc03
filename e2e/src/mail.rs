//! A mail server beside the cluster, as others run it: reached over TLS, with a name and a password. What it takes is read here.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::cluster::{Cluster, root};

const SCRIPT: &str = "node/crates/gateway/tests/mail/smtp_server.py";
const USER: &str = "datamesh";
const MAIL_TIMEOUT: Duration = Duration::from_secs(60);

/// A server. It ends with this.
pub struct MailServer {
    lines: Lines<BufReader<ChildStdout>>,
    address: IpAddr,
    port: u16,
    password: String,
    /// Vouches for it.
    ca_pem: String,
    _server: Child,
    _folder: TempDir,
}

impl MailServer {
    /// Starts it where pods of the cluster reach it.
    ///
    /// # Errors
    /// Python or its packages are missing: `make deps`.
    pub async fn start(cluster: &Cluster) -> anyhow::Result<Self> {
        let address = cluster.address_for_pods().await?;
        let folder = tempfile::tempdir()?;
        let signed = rcgen::generate_simple_self_signed([address.to_string()])?;
        let (ca_pem, password) = (signed.cert.pem(), random()?);
        std::fs::write(folder.path().join("crt"), &ca_pem)?;
        std::fs::write(folder.path().join("key"), signed.signing_key.serialize_pem())?;
        let mut server = Command::new(python()?)
            .arg(root().join(SCRIPT))
            .args(["implicit", "crt", "key", USER, &password, "", &address.to_string()])
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("no mail server: run `make deps`")?;
        let mut lines = BufReader::new(server.stdout.take().context("no output")?).lines();
        let port = line(&mut lines).await?.parse()?;
        Ok(Self { lines, address, port, password, ca_pem, _server: server, _folder: folder })
    }

    /// Makes the Secret that gateways sign in with.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn make_secret(&self, cluster: &Cluster, space: &str, name: &str) -> anyhow::Result<()> {
        let secret: Secret = serde_json::from_value(json!({
            "metadata": {"name": name},
            "stringData": {"user": USER, "password": self.password, "ca.crt": self.ca_pem},
        }))?;
        cluster.api::<Secret>(space).create(&Default::default(), &secret).await?;
        Ok(())
    }

    /// `spec.gateway.mail` that names it, and that Secret.
    #[must_use]
    pub fn spec(&self, secret: &str) -> Value {
        json!({
            "host": self.address.to_string(), "port": self.port, "tls": "Implicit",
            "secretRef": {"name": secret}, "from": "DataMesh <datamesh@example.org>",
        })
    }

    /// The word that begins so in the next mail, which must be for this address.
    ///
    /// # Errors
    /// None comes in time, or it is another.
    pub async fn word(&mut self, to: &str, prefix: &str) -> anyhow::Result<String> {
        let mail: Value = serde_json::from_str(&line(&mut self.lines).await?)?;
        anyhow::ensure!(mail["to"] == json!([to]), "the mail went to {}", mail["to"]);
        let mut words = mail["text"].as_str().unwrap_or_default().split_whitespace();
        let word = words.find(|word| word.starts_with(prefix));
        Ok(word.with_context(|| format!("the mail has no {prefix}…"))?.to_owned())
    }
}

async fn line(lines: &mut Lines<BufReader<ChildStdout>>) -> anyhow::Result<String> {
    let line = tokio::time::timeout(MAIL_TIMEOUT, lines.next_line()).await.context("no mail in time")??;
    line.context("the mail server has ended")
}

fn random() -> anyhow::Result<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).context("no random bytes")?;
    Ok(hex::encode(random))
}

/// Where `make deps` puts Python's packages.
fn python() -> anyhow::Result<PathBuf> {
    let given = std::env::var_os("DATAMESH_S3_VENV").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/datamesh/venv"));
    Ok(given.or_else(home).context("HOME is not set")?.join("bin/python"))
}
