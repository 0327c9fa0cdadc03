use std::process::ExitCode;

use super::login::Secrets;
use crate::args::{ShareArgs, SharesCommand};
use crate::client::{Bounds, NewShare, Share};
use crate::commands::Session;
use crate::failure::Failure;
use crate::output;

/// Does what one does with links.
pub(crate) async fn run(session: &Session, command: SharesCommand) -> Result<ExitCode, Failure> {
    match command {
        SharesCommand::Create(wanted) => create(session, wanted).await,
        SharesCommand::List { of } => list(session, of.as_deref()).await,
        SharesCommand::End { id, of } => {
            session.client.end_share(&id, of.as_deref()).await?;
            session
                .show(&serde_json::json!({ "ended": id }), || output::line(&format!("link {id} has ended")))
        }
    }
}

async fn create(session: &Session, wanted: ShareArgs) -> Result<ExitCode, Failure> {
    let folder = wanted.key.ends_with('/').then_some(match wanted.key.as_str() {
        "/" => "",
        folder => folder,
    });
    if wanted.is_drop && folder.is_none() {
        return Err(Failure::Usage("a drop box is in a folder: write its name with `/` at the end".into()));
    }
    let password = if wanted.password { Some(Secrets::of(wanted.stdin).ask_new()?) } else { None };
    let bounds = Bounds { files: wanted.files, bytes: wanted.bytes.0 };
    let wanted = NewShare {
        bucket: &session.bucket,
        key: folder.is_none().then_some(&wanted.key),
        prefix: folder,
        upload: wanted.is_drop.then_some(bounds),
        days: wanted.days,
        password,
        downloads: wanted.downloads,
    };
    let made = session.client.make_share(&wanted).await?;
    session.show(&made, || {
        output::line(made.link.as_deref().unwrap_or_default())?;
        output::note(&format!(
            "whoever has this link may use it until {}; it is not shown again. To end it: datamesh shares end {}",
            made.expires_at, made.id
        ));
        Ok(())
    })
}

async fn list(session: &Session, of: Option<&str>) -> Result<ExitCode, Failure> {
    let all = session.client.shares(of).await?;
    let answer = serde_json::json!({ "shares": all });
    let head = ["ID", "BUCKET", "OF", "PASSWORD", "USED", "EXPIRES"].map(String::from).to_vec();
    let rows: Vec<_> = std::iter::once(head).chain(all.iter().map(row)).collect();
    session.show(&answer, || output::table(&rows))
}

fn row(share: &Share) -> Vec<String> {
    let of = match (&share.key, &share.prefix) {
        (Some(key), _) => key.clone(),
        (None, prefix) => format!("{}*", prefix.as_deref().unwrap_or_default()),
    };
    let used = match (&share.upload, share.downloads) {
        (Some(bounds), _) => format!("{} of {} files", share.used.files, bounds.files),
        (None, Some(max)) => format!("{} of {max} downloads", share.used.downloads),
        (None, None) => String::new(),
    };
    let password = if share.password { "yes" } else { "no" };
    vec![share.id.clone(), share.bucket.clone(), of, password.to_owned(), used, share.expires_at.clone()]
}
