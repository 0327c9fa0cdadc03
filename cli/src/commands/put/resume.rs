//! Uploads in parts. What is being uploaded is remembered in a small file, so that the same command, run again, asks
//! the gateway which parts it has and sends only the others.

use std::io::SeekFrom;
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use crate::client::{Stored, Upload};
use crate::commands::Session;
use crate::commands::put::{body, retried};
use crate::config::state_folder;
use crate::failure::Failure;

/// An upload under way: valid only for the same file, unchanged.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    upload: String,
    size: u64,
    modified_ns: u128,
}

pub(super) async fn put_parts(
    session: &Session,
    path: &Path,
    key: &str,
    no_clobber: bool,
    bar: &ProgressBar,
) -> Result<Stored, Failure> {
    let (size, modified_ns) = identity(path).await?;
    let note_file = note_file(session, path, key);
    let upload = match read_note(&note_file).await.filter(|n| n.size == size && n.modified_ns == modified_ns)
    {
        Some(note) => found(session.client.upload(&note.upload).await)?,
        None => None,
    };
    let upload = match upload {
        Some(upload) => upload,
        None => retried(|| session.client.begin_upload(key)).await?,
    };
    write_note(&note_file, &Note { upload: upload.id.clone(), size, modified_ns }).await?;
    send_missing(session, path, size, &upload, bar).await?;
    if identity(path).await? != (size, modified_ns) {
        let _ = tokio::fs::remove_file(&note_file).await;
        return Err(Failure::Usage(format!(
            "{} changed while it was uploaded; nothing was stored",
            path.display()
        )));
    }
    let stored = retried(|| session.client.complete_upload(&upload.id, no_clobber)).await?;
    let _ = tokio::fs::remove_file(&note_file).await;
    Ok(stored)
}

/// An upload the gateway no longer knows begins anew.
fn found(answer: Result<Upload, Failure>) -> Result<Option<Upload>, Failure> {
    match answer {
        Ok(upload) => Ok(Some(upload)),
        Err(Failure::Refused { status: 404 | 410, .. }) => Ok(None),
        Err(failure) => Err(failure),
    }
}

async fn send_missing(
    session: &Session,
    path: &Path,
    size: u64,
    upload: &Upload,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    let parts = size.div_ceil(upload.part_bytes);
    for index in 0..parts {
        let number =
            u32::try_from(index).map_err(|_| Failure::Usage(format!("{} is too large", path.display())))?;
        let offset = index * upload.part_bytes;
        let bytes = upload.part_bytes.min(size - offset);
        if !upload.parts.iter().any(|part| part.number == number && part.size == bytes) {
            retried(|| async {
                bar.set_position(offset);
                let mut file = File::open(path).await.map_err(Failure::file(path))?;
                file.seek(SeekFrom::Start(offset)).await?;
                session.client.put_part(&upload.id, number, body(file.take(bytes), bar.clone()), bytes).await
            })
            .await?;
        }
        bar.set_position(offset + bytes);
    }
    Ok(())
}

async fn identity(path: &Path) -> Result<(u64, u128), Failure> {
    let meta = tokio::fs::metadata(path).await.map_err(Failure::file(path))?;
    let modified = meta.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    Ok((meta.len(), modified.map_or(0, |time| time.as_nanos())))
}

/// One note for each (gateway, bucket, key, file).
fn note_file(session: &Session, path: &Path, key: &str) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.into());
    let mut hasher = blake3::Hasher::new();
    for part in [
        session.server.as_bytes(),
        session.bucket.as_bytes(),
        key.as_bytes(),
        path.as_os_str().as_encoded_bytes(),
    ] {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    state_folder().join("uploads").join(format!("{}.json", &hasher.finalize().to_hex()[..32]))
}

async fn read_note(file: &Path) -> Option<Note> {
    serde_json::from_slice(&tokio::fs::read(file).await.ok()?).ok()
}

async fn write_note(file: &Path, note: &Note) -> Result<(), Failure> {
    if let Some(folder) = file.parent() {
        tokio::fs::create_dir_all(folder).await.map_err(Failure::file(folder))?;
    }
    let text = serde_json::to_vec(note).map_err(|error| Failure::Answer(error.to_string()))?;
    tokio::fs::write(file, text).await.map_err(Failure::file(file))
}
