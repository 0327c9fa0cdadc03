use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;

use super::get::{Partial, copy};
use crate::commands::Session;
use crate::failure::Failure;
use crate::{output, progress};

/// Fetches a folder as a zip. One that breaks off leaves no file: it cannot go on.
pub(crate) async fn run(
    session: &Session,
    folder: &str,
    target: Option<PathBuf>,
) -> Result<ExitCode, Failure> {
    let prefix = if folder == "/" { "" } else { folder };
    if !prefix.is_empty() && !prefix.ends_with('/') {
        return Err(Failure::Usage(format!("a folder ends with `/`: {folder}/")));
    }
    let target = target.unwrap_or_else(|| named(prefix, &session.bucket));
    if target == Path::new("-") {
        let response = session.client.archive(prefix).await?;
        copy(response, &mut tokio::io::stdout(), |_| {}).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let partial = Partial::of(&target);
    let written = write(session, prefix, &partial).await;
    let bytes = match written {
        Ok(bytes) => bytes,
        Err(failure) => {
            partial.discard().await;
            return Err(failure);
        }
    };
    partial.finish(&target).await?;
    let path = target.display().to_string();
    session.show(&serde_json::json!({ "file": path, "bytes": bytes }), || {
        output::line(&format!("{path}: {}", output::bytes(bytes)))
    })
}

/// `in.zip` of `a/in/`.
fn named(prefix: &str, bucket: &str) -> PathBuf {
    let last = prefix.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let name = if matches!(last, "" | "." | "..") { bucket } else { last };
    PathBuf::from(format!("{name}.zip"))
}

async fn write(session: &Session, prefix: &str, partial: &Partial) -> Result<u64, Failure> {
    let response = session.client.archive(prefix).await?;
    let mut file = File::create(partial.data()).await.map_err(Failure::file(partial.data()))?;
    let bar = progress::bar(prefix, None, session.quiet);
    let mut written = 0;
    let copied = copy(response, &mut file, |bytes| {
        written += bytes;
        bar.inc(bytes);
    })
    .await;
    bar.finish_and_clear();
    copied?;
    file.flush().await?;
    file.sync_all().await?;
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zip_is_called_like_its_folder() {
        for (prefix, expected) in
            [("a/in/", "in.zip"), ("in/", "in.zip"), ("", "photos.zip"), ("../", "photos.zip")]
        {
            assert_eq!(named(prefix, "photos"), Path::new(expected), "{prefix}");
        }
    }
}
