//! Uploads: small files in one request, large ones in parts that a later run of the same command need not send again.

mod folder;
mod resume;
mod source;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use futures::{StreamExt as _, TryStreamExt as _};
use serde_json::json;
use tokio_util::io::ReaderStream;

use crate::client::{Only, Stored, WHOLE};
use crate::commands::Session;
use crate::commands::put::folder::{Contents, File};
use crate::commands::put::source::Source;
use crate::failure::Failure;
use crate::output;
use crate::progress::{self, Moving, Whole};

pub(crate) use folder::describe;
pub(crate) use source::Identity;

/// Files above this go in parts: sending them twice after an interruption would hurt.
const SINGLE_REQUEST_BYTES_MAX: u64 = 64 << 20;
/// Bytes read from a file at a time; small reads cost more than they save.
const READ_BYTES: usize = 256 << 10;
/// Files of a folder under way at once: small ones wait for a disk, not for this machine.
pub(super) const PARALLEL_FILES: usize = 8;

/// What `put` was asked.
pub(crate) struct Put {
    pub(crate) source: PathBuf,
    pub(crate) key: Option<String>,
    pub(crate) recursive: bool,
    pub(crate) no_clobber: bool,
}

pub(crate) async fn run(session: &Session, put: Put) -> Result<ExitCode, Failure> {
    if put.source == Path::new("-") {
        let stored = put_stdin(session, put).await?;
        return report(session, &[stored], 0);
    }
    let found = if put.recursive { contents(&put)? } else { alone(single(&put)?) };
    for (path, what) in &found.skipped {
        output::note(&format!("skipped {}: {what}", path.display()));
    }
    let (whole, only) = (whole(session, &put, &found), Only::if_absent(put.no_clobber));
    let bar = |key: &str, bytes| match &whole {
        Some(whole) => whole.part(bytes),
        None => Moving::alone(key, session.quiet),
    };
    let puts = found
        .files
        .iter()
        .map(|file| put_file(session, (&file.path, &file.key), &only, bar(&file.key, file.bytes)));
    let stored: Vec<_> = futures::stream::iter(puts).buffered(PARALLEL_FILES).try_collect().await?;
    drop(whole);
    report(session, &stored, found.skipped.len())
}

/// Sent once: what was read cannot be read again.
async fn put_stdin(session: &Session, put: Put) -> Result<Stored, Failure> {
    let key =
        put.key.ok_or_else(|| Failure::Usage("standard input needs a key: datamesh put - KEY".into()))?;
    let bar = Moving::Alone(progress::bar(&key, None, session.quiet));
    let body = body(tokio::io::stdin(), bar.clone());
    let sent = session.client.put(&key, body, None, &Only::if_absent(put.no_clobber)).await;
    if let Err(Failure::Http(_)) = &sent {
        session.client.refusal(&key).await?;
    }
    bar.finish();
    sent
}

fn alone((path, key): (PathBuf, String)) -> Contents {
    Contents { files: vec![File { path, key, bytes: 0 }], skipped: Vec::new() }
}

/// The bar of all files of a folder.
fn whole(session: &Session, put: &Put, found: &Contents) -> Option<Whole> {
    let bytes = || found.files.iter().map(|file| file.bytes).sum();
    put.recursive.then(|| Whole::of(&put.source.to_string_lossy(), bytes(), session.quiet))
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

/// A folder's files: below its name or the given prefix.
fn contents(put: &Put) -> Result<Contents, Failure> {
    let prefix = match &put.key {
        Some(key) => key.trim_end_matches('/').to_owned(),
        None => file_name(&put.source)?,
    };
    folder::contents(&put.source, &prefix)
}

/// Stores one file, in parts where it is large.
pub(super) async fn put_file(
    session: &Session,
    (path, key): (&Path, &str),
    only: &Only,
    bar: Moving,
) -> Result<Stored, Failure> {
    let source = Source::of(path).await?;
    bar.set_length(source.size());
    let stored = if source.size() > SINGLE_REQUEST_BYTES_MAX {
        resume::put_parts(session, &source, key, only, &bar).await?
    } else {
        put_whole(session, &source, key, only, &bar).await?
    };
    bar.finish();
    if stored.info.size != source.size() {
        return Err(Failure::SizeDiffers { key: key.into(), sent: source.size(), stored: stored.info.size });
    }
    Ok(stored)
}

async fn put_whole(
    session: &Session,
    source: &Source,
    key: &str,
    only: &Only,
    bar: &Moving,
) -> Result<Stored, Failure> {
    let attempt = || async {
        bar.set_position(0);
        let body = source.whole(bar.clone()).await?;
        let sent = session.client.put(key, body, Some(source.size()), only).await;
        judged(sent, source, session.client.refusal(key)).await
    };
    session.client.patience.retried(attempt).await
}

/// The outcome of sending some of a file, or what explains a broken request better: the file or the gateway.
async fn judged<T>(
    sent: Result<T, Failure>,
    source: &Source,
    refusal: impl Future<Output = Result<(), Failure>>,
) -> Result<T, Failure> {
    if let Err(Failure::Http(_)) = &sent {
        source.check().await?;
        refusal.await?;
    }
    sent
}

/// A request body that reads as it is sent and moves the bar.
fn body(reader: impl tokio::io::AsyncRead + Send + Unpin + 'static, bar: Moving) -> reqwest::Body {
    let chunks = ReaderStream::with_capacity(reader, READ_BYTES);
    reqwest::Body::wrap_stream(chunks.inspect_ok(move |chunk| bar.inc(chunk.len() as u64)))
}

fn report(session: &Session, stored: &[Stored], skipped: usize) -> Result<ExitCode, Failure> {
    let object = |one: &Stored| json!({ "object": one.info, "durability": one.durability });
    let objects: Vec<_> = stored.iter().map(object).collect();
    let words = |one: &Stored| {
        let note = if is_whole(one) { String::new() } else { format!("  NOT YET WHOLE: {}", one.durability) };
        output::line(&format!("stored {} ({}){note}", one.info.key, output::bytes(one.info.size)))
    };
    let answer = json!({ "stored": objects, "skipped": skipped });
    session.show(&answer, || stored.iter().try_for_each(words))?;
    let whole = stored.iter().all(is_whole);
    Ok(if whole { ExitCode::SUCCESS } else { crate::exit::Exit::NotWhole.into() })
}

fn is_whole(stored: &Stored) -> bool {
    stored.durability == WHOLE
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
        let keys = |k| {
            let files = contents(&put(&top, k, true)).unwrap().files;
            files.into_iter().map(|file| file.key).collect::<Vec<_>>()
        };
        assert_eq!(keys(None), ["top/a", "top/sub/b"]);
        assert_eq!(keys(Some("x/")), ["x/a", "x/sub/b"]);
        assert!(single(&put(&top, None, false)).is_err());
    }
}
