//! Where the gateway is and who asks: options, then environment, then the configuration file.

mod session;

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::args::Global;
use crate::failure::Failure;

pub(crate) use session::SavedSession;

/// The configuration file. It holds tokens, so it cannot be shown for debugging.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    server: Option<String>,
    server_name: Option<String>,
    ca_file: Option<PathBuf>,
    token: Option<String>,
    token_file: Option<PathBuf>,
    admin_token: Option<String>,
    admin_token_file: Option<PathBuf>,
}

/// What a command needs to reach the gateway.
#[derive(Clone)]
pub(crate) struct Config {
    /// `https://host:port`, without a trailing slash.
    pub(crate) server: String,
    /// The name the certificate must be for, where it is not the server's host.
    pub(crate) server_name: Option<String>,
    /// PEM of the certificate authority; the system's own where absent.
    pub(crate) ca_file: Option<PathBuf>,
    token: Option<Secret>,
    admin_token: Option<Secret>,
    /// Of who signed in: where no token is configured.
    kept: Option<Kept>,
}

/// A token; never printed.
#[derive(Clone)]
struct Secret(String);

/// What `datamesh login` keeps.
#[derive(Clone)]
enum Kept {
    Session(Secret),
    Token(Secret),
}

impl Kept {
    fn of(saved: SavedSession) -> Self {
        if saved.is_token { Self::Token(Secret(saved.token)) } else { Self::Session(Secret(saved.token)) }
    }

    fn secret(&self) -> &Secret {
        let (Self::Session(secret) | Self::Token(secret)) = self;
        secret
    }
}

impl Config {
    /// Of this gateway, without anything to show.
    #[cfg(test)]
    pub(crate) fn of(server: String) -> Self {
        Self { server, server_name: None, ca_file: None, token: None, admin_token: None, kept: None }
    }

    /// Gathers the configuration; tokens are only demanded where they are used.
    pub(crate) fn load(global: &Global) -> Result<Self, Failure> {
        let path = global.config.clone().unwrap_or_else(default_path);
        let file = File::load(&path, global.config.is_some())?;
        // A path inside the file is relative to the file, so that the folder can be moved.
        let beside = |name: PathBuf| path.parent().unwrap_or(Path::new(".")).join(name);
        let server = global.server.clone().or(file.server).ok_or(Failure::NoServer(path.clone()))?;
        if !server.starts_with("https://") {
            return Err(Failure::Usage(format!(
                "server {server:?}: write https://HOST:PORT; plain HTTP is not spoken"
            )));
        }
        let server = server.trim_end_matches('/').to_owned();
        let kept = SavedSession::of(&server)?.map(Kept::of);
        Ok(Self {
            kept,
            server,
            server_name: file.server_name,
            ca_file: global.ca_file.clone().or(file.ca_file.map(beside)),
            token: secret("DATAMESH_TOKEN", file.token, file.token_file.map(beside))?,
            admin_token: secret("DATAMESH_ADMIN_TOKEN", file.admin_token, file.admin_token_file.map(beside))?,
        })
    }

    /// The bearer token of users, or who signed in.
    pub(crate) fn token(&self) -> Result<&str, Failure> {
        let missing = Failure::NoToken("user", "DATAMESH_TOKEN", "token");
        self.token.as_ref().or(self.kept()).map(|t| t.0.as_str()).ok_or(missing)
    }

    /// Who signed in, and nobody else: what is one's own.
    pub(crate) fn own_token(&self) -> Result<&str, Failure> {
        match &self.kept {
            Some(Kept::Session(secret)) => Ok(&secret.0),
            Some(Kept::Token(_)) => Err(Failure::Usage(
                "a token is kept for this gateway, and this takes who signed in: datamesh login NAME".into(),
            )),
            None => Err(Failure::Usage("nobody is signed in at this gateway: datamesh login NAME".into())),
        }
    }

    /// Whether a token is kept instead of a session.
    pub(crate) fn keeps_a_token(&self) -> bool {
        matches!(self.kept, Some(Kept::Token(_)))
    }

    fn kept(&self) -> Option<&Secret> {
        self.kept.as_ref().map(Kept::secret)
    }

    /// The bearer token of administrators, or who signed in.
    pub(crate) fn admin_token(&self) -> Result<&str, Failure> {
        let missing = Failure::NoToken("admin", "DATAMESH_ADMIN_TOKEN", "adminToken");
        self.admin_token.as_ref().or(self.kept()).map(|t| t.0.as_str()).ok_or(missing)
    }
}

impl File {
    fn load(path: &Path, must_exist: bool) -> Result<Self, Failure> {
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_exist => {
                return Ok(Self::default());
            }
            text => text.map_err(Failure::file(path))?,
        };
        serde_yaml::from_str(&text)
            .map_err(|error| Failure::Config { path: path.into(), problem: error.to_string() })
    }
}

fn secret(variable: &str, text: Option<String>, file: Option<PathBuf>) -> Result<Option<Secret>, Failure> {
    if let Ok(value) = std::env::var(variable) {
        return Ok(Some(Secret(value.trim().into())));
    }
    if let Some(text) = text {
        return Ok(Some(Secret(text)));
    }
    let Some(path) = file else { return Ok(None) };
    let text = std::fs::read_to_string(&path).map_err(Failure::file(path))?;
    Ok(Some(Secret(text.trim().into())))
}

/// `$XDG_CONFIG_HOME/datamesh/config.yaml`, by default in `~/.config`.
fn default_path() -> PathBuf {
    home_folder("XDG_CONFIG_HOME", ".config").join("config.yaml")
}

/// Where interrupted transfers are remembered: `$XDG_STATE_HOME/datamesh`, by default in `~/.local/state`.
pub(crate) fn state_folder() -> PathBuf {
    home_folder("XDG_STATE_HOME", ".local/state")
}

fn home_folder(variable: &str, below_home: &str) -> PathBuf {
    let base = std::env::var_os(variable).map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| ".".into())).join(below_home);
    base.unwrap_or_else(home).join("datamesh")
}
