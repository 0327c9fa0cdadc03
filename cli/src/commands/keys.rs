use std::process::ExitCode;

use crate::args::PermissionName;
use crate::commands::Session;
use crate::failure::Failure;
use crate::output;

/// Makes a key pair and shows its secret, this once.
pub(crate) async fn create(
    session: &Session,
    name: &str,
    permission: PermissionName,
    buckets: &[String],
) -> Result<ExitCode, Failure> {
    let key = session.client.create_key(name, permission.as_str(), buckets).await?;
    if session.json {
        output::json(&key)?;
        return Ok(ExitCode::SUCCESS);
    }
    output::line(&format!("AWS_ACCESS_KEY_ID={}", key.id))?;
    output::line(&format!("AWS_SECRET_ACCESS_KEY={}", key.secret.unwrap_or_default()))?;
    output::note("the secret is not shown again");
    Ok(ExitCode::SUCCESS)
}

/// Shows all key pairs.
pub(crate) async fn list(session: &Session) -> Result<ExitCode, Failure> {
    let keys = session.client.keys().await?;
    if session.json {
        output::json(&serde_json::json!({ "keys": keys }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows =
        vec![["ID", "NAME", "OWNER", "PERMISSION", "BUCKETS", "CREATED", ""].map(String::from).to_vec()];
    for key in keys {
        let buckets = if key.buckets.is_empty() { "all".to_owned() } else { key.buckets.join(",") };
        let disabled = if key.disabled { "disabled" } else { "" };
        rows.push(vec![
            key.id,
            key.name,
            key.owner,
            key.permission,
            buckets,
            key.created_at,
            disabled.to_owned(),
        ]);
    }
    output::table(&rows)?;
    Ok(ExitCode::SUCCESS)
}

/// Revokes a key pair.
pub(crate) async fn delete(session: &Session, id: &str) -> Result<ExitCode, Failure> {
    session.client.delete_key(id).await?;
    if session.json {
        output::json(&serde_json::json!({ "deleted": id }))?;
    } else {
        output::line(&format!("{id} is revoked"))?;
    }
    Ok(ExitCode::SUCCESS)
}
