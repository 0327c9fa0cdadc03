//! Uploads: small files in one request, large ones in parts that a later run of the same command need not send again.

mod resume;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use futures::{StreamExt as _, TryStreamExt as _};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;

use crate::client::Stored;
use crate::commands::Session;
use crate::failure::Failure;
use crate::{output, progress};

/// Files above this go in parts: sending them twice after an interruption would hurt.
const SINGLE_REQUEST_BYTES_MAX: u64 = 64 << 20;
/// Bytes read from a file at a time; small reads cost more than they save.
const READ_BYTES: usize = 256 << 10;
/// Files of a folder under way at once: small ones wait for a disk, not for this machine.
pub(super) const PARALLEL_FILES: usize = 8;
/// Times a request that failed in passing is sent again.
const RETRIES_MAX: u32 = 5;

/// What `put` was asked.
pub(crate) struct Put {
    pub(crate) source: PathBuf,
    pub(crate) key: Option<String>,
    pub(crate) recursive: bool,
    pub(crate) no_clobber: bool,
}

pub(crate) async fn run(session: &Session, put: Put) -> Result<ExitCode, Failure> {
    let mut stored = Vec::new();
    if put.source == Path::new("-") {
        let key =
            put.key.ok_or_else(|| Failure::Usage("standard input needs a key: datamesh put - KEY".into()))?;
        let bar = progress::bar(&key, None, session.quiet);
        let body = body(tokio::io::stdin(), bar.clone());
        stored.push(session.client.put(&key, body, None, put.no_clobber).await?);
        bar.finish_and_clear();
    } else {
        let files = if put.recursive { files_below(&put)? } else { vec![single(&put)?] };
        let puts = files.iter().map(|(path, key)| put_file(session, path, key, put.no_clobber));
        stored = futures::stream::iter(puts).buffered(PARALLEL_FILES).try_collect().await?;
    }
    report(session, &stored)
}

fn single(put: &Put) -> Result<(PathBuf, String), Failure> {
    if put.source.is_dir() {
        return Err(Failure::Usage(format!("{} is a folder: add --recursive", put.source.display())));
    }
    let name = file_name(&put.source)?;
    let key = match &put.key {
        None => name,
        Some(folder) if folder.ends_with('/') => format!("{folder}{name}"),
        Some(key) => key.clone(),
    };
    Ok((put.source.clone(), key))
}

fn file_name(path: &Path) -> Result<String, Failure> {
    let name = path.file_name().and_then(|name| name.to_str());
    let problem = || Failure::Usage(format!("{} has no name in UTF-8: give a key", path.display()));
    name.map(Into::into).ok_or_else(problem)
}

/// All regular files below a folder with their keys, in order of path.
fn files_below(put: &Put) -> Result<Vec<(PathBuf, String)>, Failure> {
    let prefix = match &put.key {
        Some(key) => key.trim_end_matches('/').to_owned(),
        None => file_name(&put.source)?,
    };
    let mut files = Vec::new();
    let mut folders = vec![put.source.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(Failure::file(&folder))? {
            let entry = entry.map_err(Failure::file(&folder))?;
            let kind = entry.file_type().map_err(Failure::file(entry.path()))?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                let path = entry.path();
                let below = path.strip_prefix(&put.source).unwrap_or(&path);
                let below = below
                    .to_str()
                    .ok_or_else(|| Failure::Usage(format!("{} is not UTF-8", path.display())))?;
                files.push((path.clone(), format!("{prefix}/{below}").trim_start_matches('/').to_owned()));
            }
        }
    }
    files.sort();
    Ok(files)
}

async fn put_file(session: &Session, path: &Path, key: &str, no_clobber: bool) -> Result<Stored, Failure> {
    let size = tokio::fs::metadata(path).await.map_err(Failure::file(path))?.len();
    let bar = progress::bar(key, Some(size), session.quiet);
    let stored = if size > SINGLE_REQUEST_BYTES_MAX {
        resume::put_parts(session, path, key, no_clobber, &bar).await?
    } else {
        retried(|| async {
            bar.set_position(0);
            let file = File::open(path).await.map_err(Failure::file(path))?;
            session.client.put(key, body(file.take(size), bar.clone()), Some(size), no_clobber).await
        })
        .await?
    };
    bar.finish_and_clear();
    Ok(stored)
}

/// Runs `attempt` again while it fails in passing.
async fn retried<T, F: Future<Output = Result<T, Failure>>>(attempt: impl Fn() -> F) -> Result<T, Failure> {
    let mut retries = 0;
    loop {
        match attempt().await {
            Err(failure) if failure.is_passing() && retries < RETRIES_MAX => {
                retries += 1;
                tokio::time::sleep(std::time::Duration::from_millis(200 << retries)).await;
            }
            outcome => return outcome,
        }
    }
}

/// A request body that reads as it is sent and moves the bar.
fn body(
    reader: impl tokio::io::AsyncRead + Send + Unpin + 'static,
    bar: indicatif::ProgressBar,
) -> reqwest::Body {
    let chunks = ReaderStream::with_capacity(reader, READ_BYTES);
    reqwest::Body::wrap_stream(chunks.inspect_ok(move |chunk| bar.inc(chunk.len() as u64)))
}

fn report(session: &Session, stored: &[Stored]) -> Result<ExitCode, Failure> {
    if session.json {
        let objects: Vec<_> = stored
            .iter()
            .map(|s| serde_json::json!({ "object": s.info, "durability": s.durability }))
            .collect();
        output::json(&serde_json::json!({ "stored": objects }))?;
    } else {
        for one in stored {
            let note =
                if is_whole(one) { String::new() } else { format!("  NOT YET WHOLE: {}", one.durability) };
            output::line(&format!("stored {} ({}){note}", one.info.key, output::bytes(one.info.size)))?;
        }
    }
    let whole = stored.iter().all(is_whole);
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::from(crate::failure::NOT_WHOLE) })
}

fn is_whole(stored: &Stored) -> bool {
    stored.durability == "whole"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(source: &Path, key: Option<&str>, recursive: bool) -> Put {
        Put { source: source.into(), key: key.map(Into::into), recursive, no_clobber: false }
    }

    #[test]
    fn a_key_that_ends_with_a_slash_takes_the_files_name() {
        let key = |k| single(&put(Path::new("/nowhere/big.iso"), k, false)).unwrap().1;
        assert_eq!(key(None), "big.iso");
        assert_eq!(key(Some("isos/")), "isos/big.iso");
        assert_eq!(key(Some("other")), "other");
    }

    #[test]
    fn a_folder_is_stored_below_its_name_or_the_given_prefix() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().join("top");
        std::fs::create_dir_all(top.join("sub")).unwrap();
        std::fs::write(top.join("a"), "").unwrap();
        std::fs::write(top.join("sub/b"), "").unwrap();
        let keys =
            |k| files_below(&put(&top, k, true)).unwrap().into_iter().map(|(_, key)| key).collect::<Vec<_>>();
        assert_eq!(keys(None), ["top/a", "top/sub/b"]);
        assert_eq!(keys(Some("x/")), ["x/a", "x/sub/b"]);
        assert!(single(&put(&top, None, false)).is_err());
    }
}
