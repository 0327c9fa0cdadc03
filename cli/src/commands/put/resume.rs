//! Uploads in parts. What is being uploaded is remembered in a small file, so that the same command, run again, asks
//! the gateway which parts it has and sends only the others.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::client::{Only, Stored, Upload, WHOLE};
use crate::commands::Session;
use crate::commands::put::judged;
use crate::commands::put::source::{Identity, Source};
use crate::config::state_folder;
use crate::failure::Failure;
use crate::progress::Moving;

/// Parts of an upload at most; the gateway numbers them from 1.
const PARTS_MAX: u64 = 10_000;

/// An upload under way: valid only for the same file, unchanged.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    upload: String,
    file: Identity,
    /// Kept: a gateway that advises another size later must not make the parts it has worthless.
    part_bytes: u64,
    /// What a part's answer said that was not yet whole.
    short: Option<String>,
}

/// An upload, its note, and the sizes of the parts the gateway has, by number.
struct Transfer {
    note: Note,
    note_file: PathBuf,
    arrived: BTreeMap<u32, u64>,
}

pub(super) async fn put_parts(
    session: &Session,
    source: &Source,
    key: &str,
    only: &Only,
    bar: &Moving,
) -> Result<Stored, Failure> {
    let mut transfer = Transfer::of(session, source, key).await?;
    let parts = transfer.send_missing(session, source, bar).await?;
    if let Err(changed) = source.check().await {
        transfer.forget().await;
        return Err(changed);
    }
    let complete = || session.client.complete_upload(&transfer.note.upload, &parts, only);
    let info = session.client.patience.retried(complete).await?;
    transfer.forget().await;
    Ok(Stored { info, durability: transfer.note.short.unwrap_or_else(|| WHOLE.to_owned()) })
}

impl Transfer {
    /// Goes on with the upload that is noted for this file, or begins one.
    async fn of(session: &Session, source: &Source, key: &str) -> Result<Self, Failure> {
        let note_file = note_file(session, source.path(), key);
        if let Some(note) = read_note(&note_file).await.filter(|note| note.file == source.identity())
            && let Some(upload) = found(session.client.upload(&note.upload).await)?
            && (1..=upload.part_bytes_max).contains(&note.part_bytes)
        {
            let arrived = upload.parts.iter().map(|part| (part.number, part.size)).collect();
            return Ok(Self { note, note_file, arrived });
        }
        let upload = session.client.begin_upload(key).await?;
        let part_bytes = part_bytes(source.size(), &upload)?;
        let note = Note { upload: upload.id, file: source.identity(), part_bytes, short: None };
        write_note(&note_file, &note).await?;
        Ok(Self { note, note_file, arrived: BTreeMap::new() })
    }

    /// Sends the parts the gateway does not have; gives the numbers of all.
    async fn send_missing(
        &mut self,
        session: &Session,
        source: &Source,
        bar: &Moving,
    ) -> Result<Vec<u32>, Failure> {
        let mut numbers = Vec::new();
        let mut offset = 0;
        for number in 1.. {
            let bytes = self.note.part_bytes.min(source.size() - offset);
            if bytes == 0 {
                break;
            }
            bar.set_position(offset);
            if self.arrived.get(&number) != Some(&bytes) {
                self.send(session, source, (number, offset, bytes), bar).await?;
            }
            numbers.push(number);
            offset += bytes;
        }
        bar.set_position(offset);
        Ok(numbers)
    }

    async fn send(
        &mut self,
        session: &Session,
        source: &Source,
        (number, offset, bytes): (u32, u64, u64),
        bar: &Moving,
    ) -> Result<(), Failure> {
        let client = &session.client;
        let durability = client
            .patience
            .retried(|| async {
                bar.set_position(offset);
                let body = source.part(offset, bytes, bar.clone()).await?;
                let sent = client.put_part(&self.note.upload, number, body, bytes).await;
                judged(sent, source, client.refusal_of_part(&self.note.upload)).await
            })
            .await?;
        if durability != WHOLE && self.note.short.is_none() {
            self.note.short = Some(durability);
            write_note(&self.note_file, &self.note).await?;
        }
        Ok(())
    }

    async fn forget(&self) {
        let _ = tokio::fs::remove_file(&self.note_file).await;
    }
}

/// An upload the gateway no longer knows begins anew.
fn found(answer: Result<Upload, Failure>) -> Result<Option<Upload>, Failure> {
    match answer {
        Ok(upload) => Ok(Some(upload)),
        Err(Failure::Refused { status: 404 | 410, .. }) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Bytes of each part but the last: what the gateway advises, or as often that as keeps the parts countable.
fn part_bytes(size: u64, upload: &Upload) -> Result<u64, Failure> {
    let Upload { part_bytes: advised, part_bytes_max: most, .. } = *upload;
    if advised == 0 || most == 0 {
        return Err(Failure::Answer("parts of no bytes".into()));
    }
    let least = size.div_ceil(PARTS_MAX);
    let bytes = advised.saturating_mul(least.div_ceil(advised).max(1)).min(most);
    if bytes < least {
        let max = most.saturating_mul(PARTS_MAX);
        return Err(Failure::Usage(format!("{size} bytes are too many: the gateway takes {max} in parts")));
    }
    Ok(bytes)
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

/// Replaces the note in one step: half a note would lose the parts that were sent.
async fn write_note(file: &Path, note: &Note) -> Result<(), Failure> {
    if let Some(folder) = file.parent() {
        tokio::fs::create_dir_all(folder).await.map_err(Failure::file(folder))?;
    }
    let text = serde_json::to_vec(note).map_err(|error| Failure::Answer(error.to_string()))?;
    let new = file.with_extension("new");
    tokio::fs::write(&new, text).await.map_err(Failure::file(&new))?;
    tokio::fs::rename(&new, file).await.map_err(Failure::file(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn parts_grow_where_their_number_would_not_do() {
        let bytes = |size, advised, most| {
            let upload =
                Upload { id: "1".into(), part_bytes: advised, part_bytes_max: most, parts: Vec::new() };
            part_bytes(size, &upload).ok()
        };
        let usual = |size| bytes(size, 64 * MIB, 1024 * MIB);
        assert_eq!(usual(1), Some(64 * MIB));
        assert_eq!(usual(PARTS_MAX * 64 * MIB), Some(64 * MIB));
        assert_eq!(usual(PARTS_MAX * 64 * MIB + 1), Some(128 * MIB));
        assert_eq!(usual(5 << 40), Some(576 * MIB));
        assert_eq!(usual(PARTS_MAX * 1024 * MIB), Some(1024 * MIB));
        assert_eq!(usual(PARTS_MAX * 1024 * MIB + 1), None);
        assert_eq!(bytes(PARTS_MAX * 90, 64, 100), Some(100), "the most need not be a multiple");
        assert_eq!(bytes(1, 0, 100), None);
        for size in [1, MIB, 700 << 30, 5 << 40] {
            assert!(size.div_ceil(usual(size).unwrap()) <= PARTS_MAX);
        }
    }
}
