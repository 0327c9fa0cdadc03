use std::process::ExitCode;

use serde_json::json;

use crate::args::BucketsCommand;
use crate::client::{Bucket, Retention, WholeBucket};
use crate::commands::Session;
use crate::failure::Failure;
use crate::output;

/// Does what is done with buckets as a whole.
pub(crate) async fn run(session: &Session, command: BucketsCommand) -> Result<ExitCode, Failure> {
    let client = &session.client;
    match command {
        BucketsCommand::List => list(session, &client.buckets().await?),
        BucketsCommand::Create { name, private } => {
            let kind = if private { "private" } else { "managed" };
            let bucket = client.create_bucket(&name, kind).await?;
            session.show(&bucket, || {
                output::line(&format!("bucket {name} is there: {}, in pool {}", bucket.kind, bucket.pool))
            })
        }
        BucketsCommand::Show { name } => show(session, &client.bucket(&name).await?),
        BucketsCommand::Remove { name } => {
            client.remove_bucket(&name).await?;
            session.show(&json!({ "removed": name }), || output::line(&format!("bucket {name} is removed")))
        }
    }
}

fn list(session: &Session, buckets: &[Bucket]) -> Result<ExitCode, Failure> {
    let head = ["NAME", "KIND", "POOL", "CREATED"].map(String::from).to_vec();
    let row = |bucket: &Bucket| {
        vec![bucket.name.clone(), bucket.kind.clone(), bucket.pool.clone(), bucket.created_at.clone()]
    };
    let rows: Vec<_> = std::iter::once(head).chain(buckets.iter().map(row)).collect();
    session.show(&json!({ "buckets": buckets }), || output::table(&rows))
}

fn show(session: &Session, whole: &WholeBucket) -> Result<ExitCode, Failure> {
    session.show(whole, || in_words(whole).iter().try_for_each(|line| output::line(line)))
}

fn in_words(whole: &WholeBucket) -> Vec<String> {
    let WholeBucket { bucket, objects, bytes, versions, version_bytes, .. } = whole;
    let sealed = match bucket.kind.as_str() {
        "private" => "private: its clients seal what they put",
        _ => "managed: the gateway seals what is put",
    };
    let versioning = match whole.versioning.as_str() {
        "enabled" => "kept",
        "suspended" => "kept no more; those that are there stay",
        _ => "not kept",
    };
    let trash = match whole.trash_days {
        Some(days) => format!("what is deleted can be put back for {days} days"),
        None => "none".to_owned(),
    };
    vec![
        format!("{}, {sealed}; in pool {}, since {}", bucket.name, bucket.pool, bucket.created_at),
        format!(
            "has       {objects} objects, {}; {versions} versions beside them, {}",
            output::bytes(*bytes),
            output::bytes(*version_bytes)
        ),
        format!("versions  {versioning}"),
        format!("trash     {trash}"),
        format!("locks     {}", locks(whole.locks, whole.default_retention.as_ref())),
    ]
}

fn locks(may_be: bool, default: Option<&Retention>) -> String {
    let Some(Retention { mode, days, years }) = default else {
        return if may_be { "versions may be locked" } else { "none" }.to_owned();
    };
    let time = match (days, years) {
        (Some(days), _) => format!("{days} days"),
        (None, years) => format!("{} years", years.unwrap_or_default()),
    };
    format!("versions are locked for {time} in mode {mode}, unless who puts one says otherwise")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_says_what_is_set_of_it() {
        let text = r#"{"name": "logs", "kind": "managed", "pool": "main", "createdAt": "2026-11-29T04:00:00Z",
            "versioning": "enabled", "trashDays": 7, "locks": true, "defaultRetention": {"mode": "compliance", "days": 30},
            "objects": 2, "bytes": 2048, "versions": 1, "versionBytes": 5}"#;
        let said = in_words(&serde_json::from_str(text).unwrap()).join("\n");
        for words in [
            "logs, managed:",
            "2 objects, 2.00 KiB; 1 versions",
            "versions  kept",
            "for 7 days",
            "locked for 30 days in mode compliance",
        ] {
            assert!(said.contains(words), "{words}: {said}");
        }
        assert_eq!((locks(true, None), locks(false, None)), ("versions may be locked".into(), "none".into()));
    }

    #[test]
    fn an_earlier_gateway_s_buckets_are_read() {
        let old = r#"{"name": "a", "pool": "main", "createdAt": "t"}"#;
        assert_eq!(serde_json::from_str::<Bucket>(old).unwrap().kind, "managed");
    }
}
