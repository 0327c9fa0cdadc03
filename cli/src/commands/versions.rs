use std::process::ExitCode;

use serde_json::json;

use crate::args::VersionsCommand;
use crate::client::Version;
use crate::commands::Session;
use crate::failure::Failure;
use crate::output;

/// Shows versions, and puts them back.
pub(crate) async fn run(session: &Session, command: VersionsCommand) -> Result<ExitCode, Failure> {
    match command {
        VersionsCommand::List { keys, recursive } => {
            let mut all = Vec::new();
            for key in keys {
                all.extend(session.client.versions(&key, recursive).await?);
            }
            list(session, &all)
        }
        VersionsCommand::Restore { key, id } => {
            let restored = session.client.restore_version(&key, &id).await?;
            session.show(&json!({ "restored": restored }), || {
                output::line(&format!("{key} is what it was as {id}"))
            })
        }
    }
}

fn list(session: &Session, all: &[Version]) -> Result<ExitCode, Failure> {
    let head = ["PUT", "SIZE", "VERSION", "KEY"].map(String::from).to_vec();
    let row = |version: &Version| {
        let size = version.size.map_or_else(|| "deleted".to_owned(), output::bytes);
        let newest = if version.is_latest { " (newest)" } else { "" };
        let id = format!("{}{newest}", version.version);
        vec![version.last_modified.clone(), size, id, version.key.clone()]
    };
    let rows: Vec<_> = std::iter::once(head).chain(all.iter().map(row)).collect();
    session.show(&json!({ "versions": all }), || output::table(&rows))
}
