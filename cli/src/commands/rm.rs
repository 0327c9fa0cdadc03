use std::process::ExitCode;

use crate::client::{Erasure, Only};
use crate::commands::Session;
use crate::failure::Failure;
use crate::output;

/// Deletes keys and says by when their shards are gone; stops at the first that cannot be deleted and says which. What was
/// deleted before is said all the same: nobody can ask for those times again.
pub(crate) async fn run(session: &Session, keys: Vec<String>, recursive: bool) -> Result<ExitCode, Failure> {
    let mut deleted = Vec::new();
    let done = delete(session, keys, recursive, &mut deleted).await;
    if session.json {
        let (keys, erasures): (Vec<String>, Vec<Option<Erasure>>) = deleted.into_iter().unzip();
        let erasures: Vec<Erasure> = erasures.into_iter().flatten().collect();
        output::json(&serde_json::json!({ "deleted": keys, "erasures": erasures }))?;
    }
    done.map(|()| ExitCode::SUCCESS)
}

async fn delete(
    session: &Session,
    keys: Vec<String>,
    recursive: bool,
    deleted: &mut Vec<(String, Option<Erasure>)>,
) -> Result<(), Failure> {
    for key in keys {
        for key in keys_of(session, vec![key], recursive).await? {
            let erasure = session.client.delete(&key, &Only::Always).await?;
            if !session.json {
                let said =
                    erasure.as_ref().map(|erasure| format!("; {}", erasure.said())).unwrap_or_default();
                output::line(&format!("deleted {key}{said}"))?;
            }
            deleted.push((key, erasure));
        }
    }
    Ok(())
}

/// The keys that are meant: these, or all that begin with them.
pub(crate) async fn keys_of(
    session: &Session,
    keys: Vec<String>,
    recursive: bool,
) -> Result<Vec<String>, Failure> {
    if !recursive {
        return Ok(keys);
    }
    let mut all = Vec::new();
    for prefix in keys {
        all.extend(session.client.list_all(&prefix).await?.into_iter().map(|object| object.key));
    }
    Ok(all)
}
