//! Who signed in: the session that `datamesh login` keeps, readable by its owner alone.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::state_folder;
use crate::failure::Failure;

/// A session, or the token that somebody gave instead. It cannot be shown for debugging.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SavedSession {
    /// The gateway it is for; it is sent to no other.
    pub(crate) server: String,
    pub(crate) token: String,
    /// It is a token, which no logout ends.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_token: bool,
}

fn path() -> PathBuf {
    state_folder().join("session.json")
}

impl SavedSession {
    /// The session of this server, if one is kept.
    pub(super) fn of(server: &str) -> Result<Option<Self>, Failure> {
        let text = match std::fs::read(path()) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(Failure::file(path()))?,
        };
        // What no longer reads is as good as none: signing in again mends it.
        let saved = serde_json::from_slice::<Self>(&text).ok();
        Ok(saved.filter(|saved| saved.server == server))
    }

    /// Keeps it, whole or not at all.
    pub(crate) fn save(&self) -> Result<(), Failure> {
        let text = serde_json::to_vec(self).map_err(|error| Failure::Answer(error.to_string()))?;
        let (path, unfinished) = (path(), path().with_extension("new"));
        let write = || {
            std::fs::create_dir_all(state_folder())?;
            // A file that is left over could have been made readable by others.
            let _ = std::fs::remove_file(&unfinished);
            let mut file =
                std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
            file.write_all(&text)?;
            std::fs::rename(&unfinished, &path)
        };
        write().map_err(Failure::file(&path))
    }

    /// Forgets whatever session is kept.
    pub(crate) fn forget() -> Result<(), Failure> {
        match std::fs::remove_file(path()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Failure::file(path())(error)),
            _ => Ok(()),
        }
    }
}
