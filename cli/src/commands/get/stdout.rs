//! Downloads to standard output: what is written cannot be taken back, so only the rest of the same version may follow.

use tokio::io::AsyncWrite;

use crate::client::{Which, etag};
use crate::commands::Session;
use crate::commands::get::copy;
use crate::failure::Failure;

/// How far the output is, and of which version.
#[derive(Default)]
struct Written {
    bytes: u64,
    tag: Option<String>,
}

pub(super) async fn write(session: &Session, which: Which<'_>) -> Result<(), Failure> {
    let mut out = tokio::io::stdout();
    let mut written = Written::default();
    let mut pauses = session.client.patience.pauses();
    loop {
        let before = written.bytes;
        match attempt(session, which, &mut written, &mut out).await {
            Ok(()) => return Ok(()),
            Err(Failure::Refused { status: 404 | 412 | 416, .. }) if written.bytes > 0 => {
                return Err(Failure::Replaced(which.key.into()));
            }
            Err(failure) => {
                if written.bytes > before {
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
    written: &mut Written,
    out: &mut (impl AsyncWrite + Unpin),
) -> Result<(), Failure> {
    let offset = written.bytes;
    let tag = written.tag.as_deref().filter(|_| offset > 0);
    let response = session.client.get(which, offset, tag).await?;
    if offset > 0 && response.status().as_u16() != 206 {
        return Err(Failure::Answer("the whole object where its rest was asked for".into()));
    }
    written.tag = Some(etag(&response).ok_or_else(|| Failure::Answer("no ETag".into()))?);
    copy(response, out, |bytes| written.bytes += bytes).await
}
