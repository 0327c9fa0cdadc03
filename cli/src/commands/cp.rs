//! Copies and moves: what the gateway gives is sent back to it, piece by piece, under the other key.

use std::process::ExitCode;

use futures::{StreamExt as _, TryStreamExt as _};
use serde_json::json;

use crate::args::CopyArgs;
use crate::client::{Client, Only, Stored, WHOLE, etag};
use crate::commands::Session;
use crate::commands::put::PARALLEL_FILES;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{output, progress};

/// What becomes of what was copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Stays,
    Goes,
}

/// What goes where.
#[derive(Debug, PartialEq, Eq)]
struct Pair {
    from: String,
    to: String,
}

/// Copies or moves one object or all below a prefix. The first that fails ends it; those done before stay done.
pub(crate) async fn run(session: &Session, args: CopyArgs, source: Source) -> Result<ExitCode, Failure> {
    let target = match &args.to_bucket {
        Some(bucket) => session.client.of_bucket(bucket)?,
        None => session.client.clone(),
    };
    let only = Only::if_absent(args.no_clobber);
    let pairs = pairs(session, &args).await?;
    if args.to_bucket.as_ref().is_none_or(|bucket| *bucket == session.bucket) {
        pairs.iter().try_for_each(apart)?;
    }
    let (target, only) = (&target, &only);
    let copies = pairs.iter().map(|pair| async move {
        let (stored, tag) = copy(session, target, pair, only).await?;
        if source == Source::Goes {
            // What was put there since the copy was made stays.
            session.client.delete(&pair.from, &Only::IfMatch(tag)).await?;
        }
        Ok::<_, Failure>((pair, stored))
    });
    let done: Vec<_> = futures::stream::iter(copies).buffered(PARALLEL_FILES).try_collect().await?;
    report(session, &done, source)
}

async fn pairs(session: &Session, args: &CopyArgs) -> Result<Vec<Pair>, Failure> {
    if !args.recursive {
        return Ok(vec![Pair { from: args.source.clone(), to: named(&args.source, &args.target) }]);
    }
    let objects = session.client.list_all(&args.source).await?;
    let pair = |from: String| {
        let to = format!("{}{}", args.target, from.strip_prefix(&args.source).unwrap_or(&from));
        Pair { from, to }
    };
    Ok(objects.into_iter().map(|object| pair(object.key)).collect())
}

/// The key that `target` means for this source.
fn named(source: &str, target: &str) -> String {
    let last = source.rsplit('/').next().unwrap_or_default();
    if target.ends_with('/') { format!("{target}{last}") } else { target.to_owned() }
}

fn apart(Pair { from, to }: &Pair) -> Result<(), Failure> {
    if from == to {
        return Err(Failure::Usage(format!(
            "{from} would be copied onto itself: name another key or bucket"
        )));
    }
    Ok(())
}

/// Gives what was stored and the entity tag of what it was copied from.
async fn copy(
    session: &Session,
    target: &Client,
    Pair { from, to }: &Pair,
    only: &Only,
) -> Result<(Stored, String), Failure> {
    let bar = progress::bar(to, Some(0), session.quiet);
    let attempt = || async {
        let response = session.client.get(from, 0, None).await?;
        let missing = |what: &str| Failure::Answer(format!("{from}: no {what}"));
        let (size, tag) = (response.content_length(), etag(&response).ok_or_else(|| missing("ETag"))?);
        let size = size.ok_or_else(|| missing("size"))?;
        bar.set_length(size);
        bar.set_position(0);
        let counted = bar.clone();
        let bytes = response.bytes_stream().inspect_ok(move |piece| counted.inc(piece.len() as u64));
        let body = reqwest::Body::wrap_stream(bytes);
        let stored = target.put(to, body, Some(size), only).await;
        if let Err(Failure::Http(_)) = &stored {
            target.refusal(to).await?;
        }
        Ok((stored?, tag))
    };
    let copied = session.client.patience.retried(attempt).await?;
    bar.finish_and_clear();
    Ok(copied)
}

fn report(session: &Session, done: &[(&Pair, Stored)], source: Source) -> Result<ExitCode, Failure> {
    let (field, verb) = match source {
        Source::Stays => ("copied", "copied"),
        Source::Goes => ("moved", "moved"),
    };
    let one = |(pair, stored): &(&Pair, Stored)| json!({ "from": pair.from, "object": stored.info, "durability": stored.durability });
    session.show(&json!({ field: done.iter().map(one).collect::<Vec<_>>() }), || {
        done.iter().try_for_each(|(pair, stored)| {
            let (from, to, bytes) = (&pair.from, &pair.to, output::bytes(stored.info.size));
            output::line(&format!("{verb} {from} -> {to} ({bytes})"))
        })
    })?;
    let whole = done.iter().all(|(_, stored)| stored.durability == WHOLE);
    Ok(if whole { Exit::Done } else { Exit::NotWhole }.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_that_ends_with_a_slash_takes_the_last_part() {
        assert_eq!(named("a/b.txt", "c/"), "c/b.txt");
        assert_eq!(named("a/b.txt", "c"), "c");
        assert_eq!(named("b.txt", "a/b/"), "a/b/b.txt");
        assert!(apart(&Pair { from: "a".into(), to: named("a", "a") }).is_err());
    }
}
