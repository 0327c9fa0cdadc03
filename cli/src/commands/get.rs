//! Downloads: to a file beside the target that becomes the target when it is whole, so that an interrupted one goes
//! on where it stopped and a half file is never taken for a whole one.

mod partial;
mod stdout;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use futures::{StreamExt as _, TryStreamExt as _};
use reqwest::Response;
use serde_json::json;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use crate::client::{Which, etag};
use crate::commands::Session;
use crate::commands::put::PARALLEL_FILES;
use crate::failure::Failure;
use crate::output;
use crate::progress::{Moving, Whole};

pub(super) use partial::{Partial, is_unfinished};

/// Times an object may be replaced while it is fetched before the command gives up.
const REPLACED_MAX: u32 = 5;

/// Fetches an object, or a version of it, into a file or to standard output.
pub(super) async fn one(
    session: &Session,
    which: Which<'_>,
    target: Option<PathBuf>,
) -> Result<ExitCode, Failure> {
    if target.as_deref() == Some(Path::new("-")) {
        stdout::write(session, which).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let path = target_file(which.key, target)?;
    let bar = Moving::alone(which.key, session.quiet);
    let bytes = get_file(session, which, (&path, Partial::of(&path)), bar).await?;
    report(session, &[(which.key.to_owned(), path, bytes)])
}

/// Fetches all keys of a prefix into a folder; keys that would leave the folder are refused.
pub(super) async fn all(
    session: &Session,
    prefix: &str,
    target: Option<PathBuf>,
) -> Result<ExitCode, Failure> {
    let folder = &target.unwrap_or_else(|| ".".into());
    let objects = session.client.list_all(prefix).await?;
    // Before anything is begun.
    objects.iter().try_for_each(|object| inside(&object.key).map(drop))?;
    let whole = Whole::of(prefix, objects.iter().map(|object| object.size).sum(), session.quiet);
    let gets = objects.iter().map(|object| get_below(session, &object.key, folder, whole.part(object.size)));
    let fetched: Vec<_> = futures::stream::iter(gets).buffered(PARALLEL_FILES).try_collect().await?;
    drop(whole);
    report(session, &fetched)
}

async fn get_below(
    session: &Session,
    key: &str,
    folder: &Path,
    bar: Moving,
) -> Result<(String, PathBuf, u64), Failure> {
    let path = folder.join(inside(key)?);
    if let Some(parent) = path.parent() {
        tokio::fs::create_dir_all(parent).await.map_err(Failure::file(parent))?;
    }
    let bytes = get_file(session, key.into(), (&path, Partial::among_others(&path)), bar).await?;
    Ok((key.to_owned(), path, bytes))
}

/// A key as a path below a folder. No two keys are the same path.
fn inside(key: &str) -> Result<&Path, Failure> {
    if key.split('/').all(|part| !matches!(part, "" | "." | "..")) {
        return Ok(Path::new(key));
    }
    Err(Failure::Usage(format!(
        "key {key:?} is no path below a folder; fetch it by name into a file of your choice"
    )))
}

fn target_file(key: &str, target: Option<PathBuf>) -> Result<PathBuf, Failure> {
    let name = key.rsplit('/').find(|part| !part.is_empty() && *part != ".." && *part != ".");
    let named =
        || name.ok_or_else(|| Failure::Usage(format!("key {key:?} has no last part: name a file to write")));
    match target {
        None => Ok(named()?.into()),
        Some(folder) if folder.is_dir() => Ok(folder.join(named()?)),
        Some(file) => Ok(file),
    }
}

async fn get_file(
    session: &Session,
    which: Which<'_>,
    (target, partial): (&Path, Partial),
    bar: Moving,
) -> Result<u64, Failure> {
    let fetched = fetch(session, which, &partial, bar).await?;
    partial.finish(target).await?;
    Ok(fetched.bytes)
}

/// What was fetched.
pub(super) struct Fetched {
    pub(super) bytes: u64,
    pub(super) etag: String,
}

/// Fetches what an object has beside the file that it is to become.
pub(super) async fn fetch(
    session: &Session,
    which: impl Into<Which<'_>>,
    partial: &Partial,
    bar: Moving,
) -> Result<Fetched, Failure> {
    let which = which.into();
    let mut pauses = session.client.patience.pauses();
    let (mut furthest, mut replaced) = (partial.bytes().await, 0);
    loop {
        match attempt(session, which, partial, &bar).await {
            Ok(fetched) => {
                bar.finish();
                return Ok(fetched);
            }
            // The object was replaced since the first half was fetched: begin again with the new one.
            Err(Failure::Refused { status: 412 | 416, .. }) if replaced < REPLACED_MAX => {
                replaced += 1;
                furthest = 0;
                partial.discard().await;
            }
            Err(failure) => {
                let bytes = partial.bytes().await;
                if bytes > furthest {
                    furthest = bytes;
                    pauses.progress();
                }
                pauses.wait(failure).await?;
            }
        }
    }
}

async fn attempt(
    session: &Session,
    which: Which<'_>,
    partial: &Partial,
    bar: &Moving,
) -> Result<Fetched, Failure> {
    let (offset, tag) = partial.resume_point().await;
    let response = session.client.get(which, offset, tag.as_deref()).await?;
    let offset = if response.status().as_u16() == 206 { offset } else { 0 };
    let tag = etag(&response).ok_or_else(|| Failure::Answer("no ETag".into()))?;
    let total = response.content_length().map(|rest| offset + rest);
    bar.set_length(total.unwrap_or(0));
    bar.set_position(offset);
    let mut file = partial.open(offset, &tag).await?;
    let mut end = offset;
    let copied = copy(response, &mut file, |bytes| {
        end += bytes;
        bar.inc(bytes);
    });
    let copied = copied.await;
    // What arrived is kept even when the rest did not, to go on from there.
    file.flush().await?;
    file.sync_all().await?;
    copied.map(|()| Fetched { bytes: end, etag: tag })
}

/// Writes the body of an answer; tells of every piece that was written.
pub(super) async fn copy(
    response: Response,
    out: &mut (impl AsyncWrite + Unpin),
    mut written: impl FnMut(u64),
) -> Result<(), Failure> {
    let mut body = response.bytes_stream();
    while let Some(chunk) = body.next().await {
        let chunk = chunk?;
        out.write_all(&chunk).await?;
        written(chunk.len() as u64);
    }
    out.flush().await?;
    Ok(())
}

fn report(session: &Session, fetched: &[(String, PathBuf, u64)]) -> Result<ExitCode, Failure> {
    let file = |(key, path, size): &(String, PathBuf, u64)| json!({ "key": key, "path": path, "size": size });
    let files: Vec<_> = fetched.iter().map(file).collect();
    let words = |(key, path, bytes): &(String, PathBuf, u64)| {
        output::line(&format!("{key} -> {} ({})", path.display(), output::bytes(*bytes)))
    };
    session.show(&json!({ "fetched": files }), || fetched.iter().try_for_each(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_leave_the_folder_are_refused() {
        for bad in ["../x", "/etc/passwd", "a/../../x", "a/", "..", "", "a//b", "a/./b"] {
            assert!(inside(bad).is_err(), "{bad}");
        }
        assert_eq!(inside("a/b.txt").unwrap(), Path::new("a/b.txt"));
    }

    #[test]
    fn a_file_is_named_after_the_last_part_of_its_key() {
        assert_eq!(target_file("a/b.txt", None).unwrap(), Path::new("b.txt"));
        assert_eq!(target_file("a/b.txt", Some("c".into())).unwrap(), Path::new("c"));
        assert!(target_file("..", None).is_err());
    }
}
