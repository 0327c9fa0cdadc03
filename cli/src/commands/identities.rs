use std::process::ExitCode;

use serde_json::json;

use crate::args::IdentitiesCommand;
use crate::client::{Identity, Profile};
use crate::commands::Session;
use crate::failure::Failure;
use crate::output;

/// Does what one does with who one is at providers, and an administrator with who others are.
pub(crate) async fn run(session: &Session, command: IdentitiesCommand) -> Result<ExitCode, Failure> {
    match command {
        IdentitiesCommand::List { of } => list(session, of.as_deref()).await,
        IdentitiesCommand::Unbind { provider, of } => {
            session.client.unbind(&provider, of.as_deref()).await?;
            session.show(&json!({ "unbound": provider }), || {
                output::line(&format!("{provider} signs in as another from now on, or as nobody"))
            })
        }
    }
}

async fn list(session: &Session, of: Option<&str>) -> Result<ExitCode, Failure> {
    let all = session.client.identities(of).await?;
    let answer = json!({ "identities": all });
    let head = ["PROVIDER", "ISSUER", "SUBJECT", ""].map(String::from).to_vec();
    let row = |identity: Identity| {
        let ended = if identity.ended { "has ended" } else { "" }.to_owned();
        vec![identity.provider.unwrap_or_default(), identity.issuer, identity.subject, ended]
    };
    let rows: Vec<_> = std::iter::once(head).chain(all.into_iter().map(row)).collect();
    session.show(&answer, || output::table(&rows))
}

/// Whom a profile is of, in words.
pub(super) fn described(profile: &Profile) -> String {
    let name = profile.user.as_ref().map_or("nobody, by a token of the cluster", |user| &user.name);
    let only = profile.scopes.as_ref().map(|scopes| format!(", for {}", scopes.join(" and ")));
    let groups = match profile.groups.as_slice() {
        [] => String::new(),
        groups => format!(", of {}", groups.join(", ")),
    };
    let all = format!("{name} ({}){}{groups}", profile.role, only.unwrap_or_default());
    output::printable(&all).into_owned()
}

/// Shows who one is to the gateway.
pub(crate) async fn whoami(session: &Session) -> Result<ExitCode, Failure> {
    let profile = session.client.profile().await?;
    session.show(&profile, || output::line(&described(&profile)))
}
