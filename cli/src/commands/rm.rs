use std::process::ExitCode;

use crate::client::Erasure;
use crate::commands::Session;
use crate::failure::Failure;
use crate::output;

/// Deletes keys and says by when their shards are gone; stops at the first that cannot be deleted and says which.
pub(crate) async fn run(session: &Session, keys: Vec<String>, recursive: bool) -> Result<ExitCode, Failure> {
    let mut deleted = Vec::new();
    for key in keys {
        if recursive {
            for object in session.client.list_all(&key).await? {
                let erasure = session.client.delete(&object.key).await?;
                deleted.push((object.key, erasure));
            }
        } else {
            let erasure = session.client.delete(&key).await?;
            deleted.push((key, erasure));
        }
    }
    if session.json {
        let (keys, erasures): (Vec<String>, Vec<Option<Erasure>>) = deleted.into_iter().unzip();
        let erasures: Vec<Erasure> = erasures.into_iter().flatten().collect();
        output::json(&serde_json::json!({ "deleted": keys, "erasures": erasures }))?;
    } else {
        for (key, erasure) in &deleted {
            let said = erasure.as_ref().map(|erasure| format!("; {}", erasure.said())).unwrap_or_default();
            output::line(&format!("deleted {key}{said}"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
