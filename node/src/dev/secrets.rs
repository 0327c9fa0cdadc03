//! Keys, tokens and the certificate of a development cluster: made once, kept in its folder.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use datamesh_seal::ClusterSecret;

use crate::args::Dev;
use crate::dev::private_folder;

/// Bytes of a bearer token.
const TOKEN_BYTES: usize = 32;

/// Where everything secret lies.
pub(super) struct Secrets {
    pub(super) cluster: ClusterSecret,
    pub(super) cluster_file: PathBuf,
    pub(super) token: PathBuf,
    pub(super) admin_token: PathBuf,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    pub(super) cli_config: PathBuf,
    /// As the clients of S3 read it.
    pub(super) s3_credentials: PathBuf,
    folder: PathBuf,
}

impl Secrets {
    /// Finds the secrets or makes them.
    ///
    /// # Errors
    /// When the folder cannot be written or a file in it is damaged.
    pub(super) fn ensure(dev: &Dev) -> anyhow::Result<Self> {
        let folder = std::path::absolute(dev.data.join("secrets"))?;
        private_folder(&folder)?;
        let cluster_file = folder.join("cluster-secret");
        if !cluster_file.exists() {
            write_private(&cluster_file, ClusterSecret::generate().to_hex().as_bytes())?;
        }
        let cluster = ClusterSecret::from_hex(&datamesh_settings::read_secret(&cluster_file)?)
            .with_context(|| format!("cluster secret {}", cluster_file.display()))?;
        let secrets = Self {
            cluster,
            cluster_file,
            token: folder.join("token"),
            admin_token: folder.join("admin-token"),
            certificate: folder.join("ca.crt"),
            key: folder.join("tls.key"),
            cli_config: folder.join("cli.yaml"),
            s3_credentials: folder.join("aws-credentials"),
            folder,
        };
        for token in [&secrets.token, &secrets.admin_token] {
            if !token.exists() {
                write_private(token, random_hex::<TOKEN_BYTES>()?.as_bytes())?;
            }
        }
        secrets.ensure_certificate(dev)?;
        secrets.write_cli_config(dev)?;
        Ok(secrets)
    }

    /// Keeps a key pair for S3.
    pub(super) fn write_s3_credentials(&self, id: &str, secret: &str) -> anyhow::Result<()> {
        let text = format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n");
        write_private(&self.s3_credentials, text.as_bytes())
    }

    /// The file of a node's join token, made once: the gateway binds its nonce to the node's key.
    pub(super) fn join_token(
        &self,
        node: &datamesh_shard::NodeName,
        pool: &datamesh_shard::PoolName,
    ) -> anyhow::Result<PathBuf> {
        let path = self.folder.join(format!("join-{node}"));
        if !path.exists() {
            let mut nonce = [0; 16];
            getrandom::fill(&mut nonce)?;
            let token = self.cluster.mint_join_token(node, pool, nonce);
            write_private(&path, token.as_str().as_bytes())?;
        }
        Ok(path)
    }

    fn ensure_certificate(&self, dev: &Dev) -> anyhow::Result<()> {
        if self.certificate.exists() && self.key.exists() {
            return Ok(());
        }
        let mut names = vec!["localhost".into(), "127.0.0.1".into(), dev.address.to_string()];
        names.extend(dev.s3_domain.iter().flat_map(|domain| [domain.clone(), format!("*.{domain}")]));
        let made = rcgen::generate_simple_self_signed(names)?;
        write_private(&self.key, made.signing_key.serialize_pem().as_bytes())?;
        write_private(&self.certificate, made.cert.pem().as_bytes())
    }

    fn write_cli_config(&self, dev: &Dev) -> anyhow::Result<()> {
        let config = serde_json::json!({
            "server": format!("https://{}", std::net::SocketAddr::new(dev.address, dev.https_port)),
            "caFile": self.certificate,
            "tokenFile": self.token,
            "adminTokenFile": self.admin_token,
        });
        write_private(&self.cli_config, serde_yaml::to_string(&config)?.as_bytes())
    }
}

fn random_hex<const N: usize>() -> anyhow::Result<String> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(hex::encode(bytes))
}

/// Writes a file only its owner may read; whole or not at all, and on the disk, name and all, when this returns: without
/// the cluster secret nothing that was stored can be read again.
fn write_private(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let write = || -> std::io::Result<()> {
        let temporary = path.with_extension("new");
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        path.parent().map_or(Ok(()), |folder| std::fs::File::open(folder)?.sync_all())
    };
    write().with_context(|| path.display().to_string())
}
