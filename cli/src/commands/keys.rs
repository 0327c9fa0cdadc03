use std::process::ExitCode;

use super::login::Secrets;
use crate::args::{KeyArgs, KeysCommand};
use crate::client::{AccessKey, NewKey};
use crate::commands::Session;
use crate::failure::Failure;
use crate::output;

/// Does what an administrator does with key pairs, and everybody with their own.
pub(crate) async fn run(session: &Session, command: KeysCommand) -> Result<ExitCode, Failure> {
    match command {
        KeysCommand::Create(wanted) => create(session, &wanted).await,
        KeysCommand::List { mine } => list(session, mine).await,
        KeysCommand::Disable { id } => disable(session, &id, true).await,
        KeysCommand::Enable { id } => disable(session, &id, false).await,
        KeysCommand::Delete { id, mine } => delete(session, &id, mine).await,
    }
}

/// Makes a key pair and shows its secret, this once.
async fn create(session: &Session, wanted: &KeyArgs) -> Result<ExitCode, Failure> {
    let KeyArgs { name, permission, buckets, owner, mine, stdin } = wanted;
    let new = NewKey { name, permission: permission.as_str(), buckets, owner: owner.as_deref() };
    let key = match mine {
        true => create_own(session, new, Secrets::of(*stdin)).await,
        false => session.client.create_key(new).await,
    }?;
    session.show(&key, || {
        output::line(&format!("AWS_ACCESS_KEY_ID={}", key.id))?;
        output::line(&format!("AWS_SECRET_ACCESS_KEY={}", key.secret.as_deref().unwrap_or_default()))?;
        output::note("the secret is not shown again");
        Ok(())
    })
}

/// Asks for the password, and for a code of the second factor where one is needed.
async fn create_own(session: &Session, new: NewKey<'_>, secrets: Secrets) -> Result<AccessKey, Failure> {
    let password = secrets.ask("Password")?;
    match session.client.create_own_key(new, (&password, None)).await {
        Err(failure) if failure.is("second-factor-required") => {
            let code = secrets.ask("Code of the second factor")?;
            session.client.create_own_key(new, (&password, Some(&code))).await
        }
        made => made,
    }
}

/// Shows all key pairs, or one's own.
async fn list(session: &Session, mine: bool) -> Result<ExitCode, Failure> {
    let keys = session.client.keys(mine).await?;
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

/// Refuses a key pair from now on, or takes it again.
async fn disable(session: &Session, id: &str, disabled: bool) -> Result<ExitCode, Failure> {
    session.client.disable_key(id, disabled).await?;
    let state = if disabled { "disabled" } else { "enabled" };
    session.show(&serde_json::json!({ "id": id, "disabled": disabled }), || {
        output::line(&format!("{id} is {state}"))
    })
}

/// Revokes a key pair.
async fn delete(session: &Session, id: &str, mine: bool) -> Result<ExitCode, Failure> {
    session.client.delete_key(id, mine).await?;
    session.show(&serde_json::json!({ "deleted": id }), || output::line(&format!("{id} is revoked")))
}
