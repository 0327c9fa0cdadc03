use std::process::ExitCode;

use crate::args::InvitesCommand;
use crate::client::{Invite, Invited};
use crate::commands::Session;
use crate::failure::Failure;
use crate::output;

/// Does what an administrator does with invitations.
pub(crate) async fn run(session: &Session, command: InvitesCommand) -> Result<ExitCode, Failure> {
    let client = &session.client;
    match command {
        InvitesCommand::Create { role } => made(session, &client.invite(role.as_str()).await?)?,
        InvitesCommand::List => list(session, client.invites().await?)?,
        InvitesCommand::Revoke { id } => {
            client.revoke_invite(&id).await?;
            if session.json {
                output::json(&serde_json::json!({ "revoked": id }))?;
            } else {
                output::line(&format!("{id} is revoked"))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn made(session: &Session, made: &Invited) -> Result<(), Failure> {
    if session.json {
        return output::json(made);
    }
    output::line(&made.code)?;
    output::note(&format!(
        "whoever has this becomes a user, once, until {}: datamesh register NAME --invite",
        made.expires_at
    ));
    Ok(())
}

fn list(session: &Session, all: Vec<Invite>) -> Result<(), Failure> {
    if session.json {
        return output::json(&serde_json::json!({ "invites": all }));
    }
    let head = ["ID", "ROLE", "BY", "CREATED", "EXPIRES"].map(String::from).to_vec();
    let row = |invite: Invite| {
        let by = invite.by.unwrap_or_else(|| "(admin token)".into());
        vec![invite.id, invite.role, by, invite.created_at, invite.expires_at]
    };
    let rows: Vec<_> = std::iter::once(head).chain(all.into_iter().map(row)).collect();
    output::table(&rows)
}
