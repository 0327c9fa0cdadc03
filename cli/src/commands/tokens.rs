use std::process::ExitCode;

use super::login::Secrets;
use crate::args::{ScopeName, SessionsCommand, TokensCommand};
use crate::commands::Session;
use crate::failure::Failure;
use crate::output;

/// Does what one does with tokens.
pub(crate) async fn run(session: &Session, command: TokensCommand) -> Result<ExitCode, Failure> {
    match command {
        TokensCommand::Create { name, scopes, days, stdin } => {
            create(session, &name, (&scopes, days), Secrets::of(stdin)).await
        }
        TokensCommand::List => list(session, "tokens").await,
        TokensCommand::Delete { id } => delete(session, "tokens", &id).await,
    }
}

/// Does what one does with sessions.
pub(crate) async fn of_sessions(session: &Session, command: SessionsCommand) -> Result<ExitCode, Failure> {
    match command {
        SessionsCommand::List => list(session, "sessions").await,
        SessionsCommand::End { id } => delete(session, "sessions", &id).await,
    }
}

/// Makes a token and shows it, this once; asks for the password, and for a code of the second factor where one is needed.
async fn create(
    session: &Session,
    name: &str,
    (scopes, days): (&[ScopeName], u64),
    secrets: Secrets,
) -> Result<ExitCode, Failure> {
    let scopes: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
    let make = async |password: &str, code: Option<&str>| {
        session.client.make_token(name, &scopes, days, (password, code)).await
    };
    let password = secrets.ask("Password")?;
    let made = match make(&password, None).await {
        Err(failure) if failure.is("second-factor-required") => {
            make(&password, Some(&secrets.ask("Code of the second factor")?)).await
        }
        made => made,
    }?;
    session.show(&made, || {
        output::line(made.token.as_deref().unwrap_or_default())?;
        output::note("the token is not shown again");
        Ok(())
    })
}

/// Shows all `sessions` or `tokens`.
async fn list(session: &Session, which: &str) -> Result<ExitCode, Failure> {
    let all = session.client.credentials(which).await?;
    let answer = serde_json::json!({ which: all });
    let head = ["ID", "NAME", "SCOPES", "ADDRESS", "LAST USED", "EXPIRES", ""].map(String::from).to_vec();
    let row = |credential: crate::client::Credential| {
        vec![
            credential.id,
            credential.name.or(credential.device).unwrap_or_default(),
            credential.scopes.unwrap_or_default().join(","),
            credential.address,
            credential.last_used_at,
            credential.expires_at,
            if credential.current { "this one".to_owned() } else { String::new() },
        ]
    };
    let rows: Vec<_> = std::iter::once(head).chain(all.into_iter().map(row)).collect();
    session.show(&answer, || output::table(&rows))
}

/// Ends one.
async fn delete(session: &Session, which: &str, id: &str) -> Result<ExitCode, Failure> {
    session.client.end_credential(which, id).await?;
    session.show(&serde_json::json!({ "deleted": id }), || output::line(&format!("{id} has ended")))
}
