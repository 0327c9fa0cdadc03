//! Copies and moves: what the gateway gives is sent back to it, piece by piece, under the other key.

use std::collections::HashSet;
use std::process::ExitCode;

use futures::{StreamExt as _, TryStreamExt as _};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName};
use serde_json::json;

use crate::args::CopyArgs;
use crate::client::{Client, ObjectInfo, Only, Stored, WHOLE, etag};
use crate::commands::Session;
use crate::commands::put::PARALLEL_FILES;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::progress::{Moving, Whole};

/// Begins the headers of a user's own metadata.
const META: &str = "x-datamesh-meta-";

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
    /// As listed: for how long all will take, and nothing else.
    bytes: u64,
}

/// What was done to one.
struct Copied<'a> {
    pair: &'a Pair,
    stored: Stored,
    /// Whether the source is deleted.
    goes: bool,
}

/// Copies or moves one object or all below a prefix. The first that fails ends it; those done before stay done.
pub(crate) async fn run(session: &Session, args: CopyArgs, source: Source) -> Result<ExitCode, Failure> {
    let target = match &args.to_bucket {
        Some(bucket) => session.client.of_bucket(bucket)?,
        None => session.client.clone(),
    };
    let only = Only::if_absent(args.no_clobber);
    let pairs = pairs(session, &args).await?;
    // Before anything is begun.
    for pair in &pairs {
        session.client.can_name(&pair.from)?;
        target.can_name(&pair.to)?;
    }
    if args.to_bucket.as_ref().is_none_or(|bucket| *bucket == session.bucket) {
        apart(&pairs)?;
    }
    let (target, only) = (&target, &only);
    let bytes = || pairs.iter().map(|pair| pair.bytes).sum();
    let whole = args.recursive.then(|| Whole::of(&args.source, bytes(), session.quiet));
    let bar = |pair: &Pair| match &whole {
        Some(whole) => whole.part(pair.bytes),
        None => Moving::alone(&pair.to, session.quiet),
    };
    let copies = pairs.iter().map(|pair| (pair, bar(pair))).map(|(pair, bar)| async move {
        let (stored, tag) = copy((session, target), pair, only, bar).await?;
        // As long as the copy may be lost more easily than what it was made of, that stays.
        let goes = source == Source::Goes && is_whole(&stored);
        if goes {
            // What was put there since the copy was made stays.
            session.client.delete_version(&pair.from, &tag).await?;
        }
        Ok::<_, Failure>(Copied { pair, stored, goes })
    });
    let done: Vec<_> = futures::stream::iter(copies).buffered(PARALLEL_FILES).try_collect().await?;
    drop(whole);
    report(session, &done, source)
}

async fn pairs(session: &Session, args: &CopyArgs) -> Result<Vec<Pair>, Failure> {
    if !args.recursive {
        let to = named(&args.source, &args.target);
        return Ok(vec![Pair { from: args.source.clone(), to, bytes: 0 }]);
    }
    let objects = session.client.list_all(&args.source).await?;
    let pair = |object: ObjectInfo| {
        let (from, bytes) = (object.key, object.size);
        let to = format!("{}{}", args.target, from.strip_prefix(&args.source).unwrap_or(&from));
        Pair { from, to, bytes }
    };
    Ok(objects.into_iter().map(pair).collect())
}

/// The key that `target` means for this source.
fn named(source: &str, target: &str) -> String {
    let last = source.rsplit('/').next().unwrap_or_default();
    if target.ends_with('/') { format!("{target}{last}") } else { target.to_owned() }
}

/// Pairs are copied at the same time: what one writes to must not be what another one reads from.
fn apart(pairs: &[Pair]) -> Result<(), Failure> {
    let sources: HashSet<&str> = pairs.iter().map(|pair| pair.from.as_str()).collect();
    match pairs.iter().find(|pair| sources.contains(pair.to.as_str())) {
        None => Ok(()),
        Some(Pair { from, to, .. }) if from == to => {
            Err(Failure::Usage(format!("{from} would be copied onto itself: name another key or bucket")))
        }
        Some(Pair { from, to, .. }) => Err(Failure::Usage(format!(
            "{from} would be copied onto {to}, which is to be copied itself: name a prefix outside of the source"
        ))),
    }
}

/// What describes an object beside its bytes, as the gateway gives and takes it.
fn described(headers: &HeaderMap) -> HeaderMap {
    let is_kept = |name: &HeaderName| name == CONTENT_TYPE || name.as_str().starts_with(META);
    headers
        .iter()
        .filter(|(name, _)| is_kept(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Gives what was stored and the entity tag of what it was copied from.
async fn copy(
    (session, target): (&Session, &Client),
    Pair { from, to, .. }: &Pair,
    only: &Only,
    bar: Moving,
) -> Result<(Stored, String), Failure> {
    let attempt = || async {
        let response = session.client.get(from, 0, None).await?;
        let missing = |what: &str| Failure::Answer(format!("{from}: no {what}"));
        let (size, tag) = (response.content_length(), etag(&response).ok_or_else(|| missing("ETag"))?);
        let size = size.ok_or_else(|| missing("size"))?;
        bar.set_length(size);
        bar.set_position(0);
        let (counted, headers) = (bar.clone(), described(response.headers()));
        let bytes = response.bytes_stream().inspect_ok(move |piece| counted.inc(piece.len() as u64));
        let body = reqwest::Body::wrap_stream(bytes);
        let stored = target.put_as(to, body, Some(size), only, headers).await;
        if let Err(Failure::Http(_)) = &stored {
            target.refusal(to).await?;
        }
        let stored = stored?;
        if stored.info.size != size {
            return Err(Failure::SizeDiffers { key: to.clone(), sent: size, stored: stored.info.size });
        }
        Ok((stored, tag))
    };
    let copied = session.client.patience.retried(attempt).await?;
    bar.finish();
    Ok(copied)
}

fn is_whole(stored: &Stored) -> bool {
    stored.durability == WHOLE
}

fn report(session: &Session, done: &[Copied<'_>], source: Source) -> Result<ExitCode, Failure> {
    let field = if source == Source::Goes { "moved" } else { "copied" };
    let one = |Copied { pair, stored, goes }: &Copied<'_>| json!({ "from": pair.from, "object": stored.info, "durability": stored.durability, "sourceStays": !goes });
    let words = |Copied { pair, stored, goes }: &Copied<'_>| {
        let (from, to, bytes) = (&pair.from, &pair.to, output::bytes(stored.info.size));
        let (verb, note) = match (source, goes) {
            (Source::Goes, true) => ("moved", String::new()),
            (Source::Goes, false) => {
                ("copied", format!("  NOT YET WHOLE: {}; the source stays: move it again", stored.durability))
            }
            (Source::Stays, _) if is_whole(stored) => ("copied", String::new()),
            (Source::Stays, _) => ("copied", format!("  NOT YET WHOLE: {}", stored.durability)),
        };
        output::line(&format!("{verb} {from} -> {to} ({bytes}){note}"))
    };
    session.show(&json!({ field: done.iter().map(one).collect::<Vec<_>>() }), || {
        done.iter().try_for_each(words)
    })?;
    let whole = done.iter().all(|copied| is_whole(&copied.stored));
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
    }

    #[test]
    fn what_is_read_is_not_written_to_meanwhile() {
        let refused = |pairs: &[(&str, &str)]| {
            let pair = |(from, to): &(&str, &str)| Pair { from: (*from).into(), to: (*to).into(), bytes: 0 };
            apart(&pairs.iter().map(pair).collect::<Vec<_>>()).err().map(|failure| failure.to_string())
        };
        assert!(refused(&[("a", "a")]).is_some_and(|text| text.contains("onto itself")));
        let overlapping = [("logs/app", "logs/old/app"), ("logs/old/app", "logs/old/old/app")];
        assert!(refused(&overlapping).is_some_and(|text| text.contains("to be copied itself")));
        assert_eq!(refused(&[("logs/app", "logs/old/app"), ("logs/b", "logs/old/b")]), None);
    }

    #[test]
    fn what_describes_an_object_goes_with_it() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("content-type", "text/html"), ("x-datamesh-meta-a", "b"), ("etag", "\"1\"")] {
            headers.insert(HeaderName::from_static(name), value.parse().unwrap());
        }
        let kept = described(&headers);
        assert_eq!(
            (kept.len(), &kept["content-type"], &kept["x-datamesh-meta-a"]),
            (2, &headers["content-type"], &headers["x-datamesh-meta-a"])
        );
    }
}
