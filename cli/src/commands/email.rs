use std::process::ExitCode;

use serde_json::json;

use crate::commands::Session;
use crate::commands::login::Secrets;
use crate::failure::Failure;
use crate::output;

/// Says where mail reaches who is signed in; empty: nowhere.
pub(crate) async fn change(session: &Session, address: &str, secrets: Secrets) -> Result<ExitCode, Failure> {
    let password = secrets.ask("Password")?;
    let mailed = session.client.change_email(address, &password).await?;
    if mailed {
        output::note("a code is on its way there: datamesh email --confirm");
    }
    session.show(&json!({ "codeMailed": mailed }), || Ok(()))
}

/// Confirms an address by the code that was mailed there.
pub(crate) async fn confirm(session: &Session, secrets: Secrets) -> Result<ExitCode, Failure> {
    session.client.confirm_email(secrets.ask("Code")?.trim()).await?;
    session.show(&json!({ "confirmed": true }), || output::line("the address is yours"))
}
