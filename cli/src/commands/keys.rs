use std::process::ExitCode;

use crate::args::{KeysCommand, PermissionName};
use crate::client::AccessKey;
use crate::commands::Session;
use crate::failure::Failure;
use crate::output;

/// Does what an administrator does with key pairs.
pub(crate) async fn run(session: &Session, command: KeysCommand) -> Result<ExitCode, Failure> {
    match command {
        KeysCommand::Create { name, permission, buckets } => {
            create(session, &name, permission, &buckets).await
        }
        KeysCommand::List => list(session).await,
        KeysCommand::Delete { id } => delete(session, &id).await,
    }
}

/// Makes a key pair and shows its secret, this once.
async fn create(
    session: &Session,
    name: &str,
    permission: PermissionName,
    buckets: &[String],
) -> Result<ExitCode, Failure> {
    let key = session.client.create_key(name, permission.as_str(), buckets).await?;
    session.show(&key, || {
        output::line(&format!("AWS_ACCESS_KEY_ID={}", key.id))?;
        output::line(&format!("AWS_SECRET_ACCESS_KEY={}", key.secret.as_deref().unwrap_or_default()))?;
        output::note("the secret is not shown again");
        Ok(())
    })
}

/// Shows all key pairs.
async fn list(session: &Session) -> Result<ExitCode, Failure> {
    let keys = session.client.keys().await?;
    let answer = serde_json::json!({ "keys": keys });
    let head = ["ID", "NAME", "OWNER", "PERMISSION", "BUCKETS", "CREATED", ""].map(String::from).to_vec();
    let row = |key: AccessKey| {
        let buckets = if key.buckets.is_empty() { "all".to_owned() } else { key.buckets.join(",") };
        let disabled = if key.disabled { "disabled" } else { "" }.to_owned();
        vec![key.id, key.name, key.owner, key.permission, buckets, key.created_at, disabled]
    };
    session.show(&answer, || {
        output::table(&std::iter::once(head).chain(keys.into_iter().map(row)).collect::<Vec<_>>())
    })
}

/// Revokes a key pair.
async fn delete(session: &Session, id: &str) -> Result<ExitCode, Failure> {
    session.client.delete_key(id).await?;
    session.show(&serde_json::json!({ "deleted": id }), || output::line(&format!("{id} is revoked")))
}
