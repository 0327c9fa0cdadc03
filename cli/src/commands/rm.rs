use std::process::ExitCode;

use crate::commands::Session;
use crate::failure::Failure;
use crate::output;

/// Deletes keys; stops at the first that cannot be deleted and says which.
pub(crate) async fn run(session: &Session, keys: Vec<String>, recursive: bool) -> Result<ExitCode, Failure> {
    let mut deleted = Vec::new();
    for key in keys {
        if recursive {
            for object in session.client.list_all(&key).await? {
                session.client.delete(&object.key).await?;
                deleted.push(object.key);
            }
        } else {
            session.client.delete(&key).await?;
            deleted.push(key);
        }
    }
    if session.json {
        output::json(&serde_json::json!({ "deleted": deleted }))?;
    } else {
        for key in &deleted {
            output::line(&format!("deleted {key}"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
