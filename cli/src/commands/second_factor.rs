use std::process::ExitCode;

use serde_json::json;

use super::login::Secrets;
use crate::args::SecondFactorCommand;
use crate::commands::Session;
use crate::failure::Failure;
use crate::output;

/// Shows, adds or removes one's own second factor.
pub(crate) async fn run(session: &Session, command: SecondFactorCommand) -> Result<ExitCode, Failure> {
    match command {
        SecondFactorCommand::Status => status(session).await?,
        SecondFactorCommand::Enable { stdin } => enable(session, Secrets::of(stdin)).await?,
        SecondFactorCommand::Disable { stdin } => {
            let secrets = Secrets::of(stdin);
            let (password, code) = (secrets.ask("Password")?, secrets.ask("Code")?);
            session.client.remove_second_factor(&password, &code).await?;
            if session.json {
                output::json(&json!({ "enabled": false }))?;
            }
            output::note("the password alone signs you in now");
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn status(session: &Session) -> Result<(), Failure> {
    let state = session.client.second_factor().await?;
    if session.json {
        return output::json(&state);
    }
    output::line(&match state.since {
        Some(since) => format!("on since {since}, {} recovery codes left", state.recovery_codes_left),
        None => "off".into(),
    })
}

/// The secret goes out before the code is asked for: with standard input, a program reads the one and writes the other.
async fn enable(session: &Session, secrets: Secrets) -> Result<(), Failure> {
    let offer = session.client.offer_second_factor(&secrets.ask("Password")?).await?;
    if session.json {
        output::json(&offer)?;
    } else {
        output::line(&format!(
            "Add this to a program that makes codes:\n  {}\n  {}",
            offer.uri, offer.secret
        ))?;
    }
    let codes = session.client.confirm_second_factor(&secrets.ask("Code")?).await?;
    if session.json {
        return output::json(&json!({ "recoveryCodes": codes }));
    }
    output::line("Keep these recovery codes; each signs you in once without the program:")?;
    codes.iter().try_for_each(|code| output::line(&format!("  {code}")))?;
    output::note(
        "the second factor is on; your other sessions, tokens and invitations have ended; the codes are not shown again",
    );
    Ok(())
}
