//! What the two sides last agreed on, in a small file per pair of them: it tells a deletion on one side from an addition on the other.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::plan::Known;
use crate::commands::Session;
use crate::config::state_folder;
use crate::failure::Failure;

/// The only version there is.
const VERSION: u32 = 1;

/// The file's content. Who reads it learns which sides it is about; the program goes by its name alone.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Content {
    version: u32,
    /// Fingerprint of the cluster's key: another cluster at the same address has agreed on nothing.
    cluster: String,
    bucket: String,
    prefix: String,
    folder: PathBuf,
    files: BTreeMap<String, Known>,
}

/// The state of one pair of sides; nobody else synchronises them while this is held.
pub(super) struct State {
    path: PathBuf,
    content: Content,
    _lock: File,
}

impl State {
    /// # Errors
    /// When another command synchronises the same pair, or the file is damaged.
    pub(super) async fn open(session: &Session, folder: &Path, prefix: &str) -> Result<Self, Failure> {
        let cluster = session.client.status().await?.key_fingerprint;
        let folder = folder.canonicalize().map_err(Failure::file(folder))?;
        let sides = [
            cluster.as_bytes(),
            session.bucket.as_bytes(),
            prefix.as_bytes(),
            folder.as_os_str().as_encoded_bytes(),
        ];
        let mut hasher = blake3::Hasher::new();
        for part in sides {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        let path = state_folder().join("syncs").join(format!("{}.json", &hasher.finalize().to_hex()[..32]));
        let lock = locked(&path)?;
        let empty = Content {
            version: VERSION,
            cluster,
            bucket: session.bucket.clone(),
            prefix: prefix.to_owned(),
            folder,
            files: BTreeMap::new(),
        };
        Ok(Self { content: read(&path)?.unwrap_or(empty), path, _lock: lock })
    }

    pub(super) fn files(&self) -> &BTreeMap<String, Known> {
        &self.content.files
    }

    /// Notes what is known of a file now.
    pub(super) fn note(&mut self, path: String, known: Option<Known>) {
        match known {
            Some(known) => drop(self.content.files.insert(path, known)),
            None => drop(self.content.files.remove(&path)),
        }
    }

    /// Replaces the file in one step that outlasts a crash.
    pub(super) fn save(&self) -> Result<(), Failure> {
        let text = serde_json::to_vec(&self.content).map_err(|error| Failure::Answer(error.to_string()))?;
        let new = self.path.with_extension("new");
        let write = || {
            let mut file = File::create(&new)?;
            file.write_all(&text)?;
            file.sync_all()?;
            std::fs::rename(&new, &self.path)?;
            self.path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
        };
        write().map_err(Failure::file(&self.path))
    }
}

fn locked(path: &Path) -> Result<File, Failure> {
    let lock = path.with_extension("lock");
    let open = || {
        path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        File::create(&lock)
    };
    let file = open().map_err(Failure::file(&lock))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(Failure::Usage(
            "another sync or mirror of this folder and prefix is running: let it end".into(),
        )),
        Err(std::fs::TryLockError::Error(error)) => Err(Failure::file(&lock)(error)),
    }
}

fn read(path: &Path) -> Result<Option<Content>, Failure> {
    let text = match std::fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        text => text.map_err(Failure::file(path))?,
    };
    let damaged = |why: &dyn std::fmt::Display| {
        Failure::Usage(format!(
            "{}: what was known of this folder cannot be read ({why}); remove the file, and what was deleted on one side comes back \
             from the other",
            path.display()
        ))
    };
    let content: Content = serde_json::from_slice(&text).map_err(|error| damaged(&error))?;
    if content.version != VERSION {
        return Err(damaged(&format!("version {}", content.version)));
    }
    Ok(Some(content))
}
