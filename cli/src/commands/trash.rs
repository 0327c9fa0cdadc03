use std::process::ExitCode;

use serde_json::json;

use crate::args::TrashCommand;
use crate::client::{Deleted, Trash};
use crate::commands::Session;
use crate::failure::Failure;
use crate::output;

/// Does what one does with a bucket's trash.
pub(crate) async fn run(session: &Session, command: TrashCommand) -> Result<ExitCode, Failure> {
    let client = &session.client;
    match command {
        TrashCommand::Show => state(session, &client.trash().await?),
        TrashCommand::Keep { days } => state(session, &client.keep_deleted(Some(days)).await?),
        TrashCommand::Off => state(session, &client.keep_deleted(None).await?),
        TrashCommand::List { prefix } => list(session, &client.deleted(&prefix.unwrap_or_default()).await?),
        TrashCommand::Restore { key, id, overwrite } => {
            let deleted = one(session, &key, id.as_deref()).await?;
            client.restore(&deleted, overwrite).await?;
            done(session, &deleted, "restored", "is there again")
        }
        TrashCommand::Purge { key, id } => {
            let deleted = one(session, &key, id.as_deref()).await?;
            client.purge(&deleted).await?;
            done(session, &deleted, "purged", "is deleted for good")
        }
        TrashCommand::Empty { prefix } => {
            let purged = client.empty_trash(&prefix.unwrap_or_default()).await?;
            session.show(&json!({ "purged": purged }), || {
                output::line(&format!("{purged} objects are deleted for good"))
            })
        }
    }
}

fn state(session: &Session, trash: &Trash) -> Result<ExitCode, Failure> {
    session.show(trash, || {
        output::line(&match (trash.days, trash.keeps) {
            (Some(days), true) => format!("what is deleted can be put back for {days} days"),
            (Some(days), false) => {
                format!("what is deleted now is gone; what was deleted before stays for {days} days")
            }
            (None, true) => "the bucket keeps versions: what is deleted can be put back".to_owned(),
            (None, false) => "what is deleted is gone".to_owned(),
        })
    })
}

fn list(session: &Session, all: &[Deleted]) -> Result<ExitCode, Failure> {
    let head = ["DELETED", "SIZE", "ID", "KEY"].map(String::from).to_vec();
    let row = |deleted: &Deleted| {
        let size = output::bytes(deleted.size);
        vec![deleted.deleted_at.clone(), size, deleted.id.clone(), deleted.key.clone()]
    };
    let rows: Vec<_> = std::iter::once(head).chain(all.iter().map(row)).collect();
    session.show(&json!({ "deleted": all }), || output::table(&rows))
}

/// What was deleted of a key, the last time or as this id says.
async fn one(session: &Session, key: &str, id: Option<&str>) -> Result<Deleted, Failure> {
    let all = session.client.deleted(key).await?;
    let is_meant = |deleted: &Deleted| deleted.key == key && id.is_none_or(|id| deleted.id == id);
    let found = all.into_iter().find(is_meant);
    found.ok_or_else(|| {
        Failure::Usage(format!("the trash has no {key}: datamesh trash list shows what it has"))
    })
}

fn done(session: &Session, deleted: &Deleted, what: &str, said: &str) -> Result<ExitCode, Failure> {
    session.show(&json!({ what: deleted }), || output::line(&format!("{} {said}", deleted.key)))
}
