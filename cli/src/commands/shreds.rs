use std::process::ExitCode;
use std::time::Duration;

use crate::client::Shredding;
use crate::commands::Session;
use crate::commands::rm::keys_of;
use crate::failure::Failure;
use crate::output;
use crate::progress;

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(1);

/// Deletes keys and has them shredded; stops at the first that cannot be deleted. Waits for all of them together.
pub(crate) async fn delete(
    session: &Session,
    keys: Vec<String>,
    recursive: bool,
    wait: bool,
) -> Result<ExitCode, Failure> {
    let mut begun = Vec::new();
    let done = begin(session, keys, recursive, &mut begun).await;
    // What began is told, whatever came of the rest.
    if wait {
        for (key, shredding) in &mut begun {
            if let Some(going) = shredding.take() {
                *shredding = Some(to_the_end(session, key, going).await?);
            }
        }
    }
    if session.json {
        let (keys, shreds): (Vec<String>, Vec<Option<Shredding>>) = begun.iter().cloned().unzip();
        let shreds: Vec<Shredding> = shreds.into_iter().flatten().collect();
        output::json(&serde_json::json!({ "deleted": keys, "shreds": shreds }))?;
    } else if let Some(shredding) = begun.iter().find_map(|(_, shredding)| shredding.as_ref()) {
        output::line(&format!("what stays: {}", shredding.stays.join("; ")))?;
    }
    done?;
    let partly =
        begun.iter().flat_map(|(_, shredding)| shredding).any(|shredding| !shredding.partly.is_empty());
    Ok(if partly { crate::exit::Exit::NotWhole.into() } else { ExitCode::SUCCESS })
}

async fn begin(
    session: &Session,
    keys: Vec<String>,
    recursive: bool,
    begun: &mut Vec<(String, Option<Shredding>)>,
) -> Result<(), Failure> {
    for key in keys_of(session, keys, recursive).await? {
        let shredding = session.client.shred(&key).await?;
        if !session.json {
            let under =
                shredding.as_ref().map(|it| format!("; shredding it as {}", it.id)).unwrap_or_default();
            output::line(&format!("deleted {key}{under}"))?;
        }
        begun.push((key, shredding));
    }
    Ok(())
}

async fn to_the_end(session: &Session, key: &str, mut now: Shredding) -> Result<Shredding, Failure> {
    let bar = progress::words(session.quiet);
    while !now.is_over() {
        bar.set_message(format!("{key}: {}", now.said()));
        tokio::time::sleep(PERIOD).await;
        now = session.client.shredding(&now.id).await?;
    }
    bar.finish_and_clear();
    if !session.json {
        output::line(&format!("{key}: {}", now.said()))?;
    }
    Ok(now)
}

/// Shows all, or one.
pub(crate) async fn show(session: &Session, id: Option<String>) -> Result<ExitCode, Failure> {
    let all = match id {
        Some(id) => vec![session.client.shredding(&id).await?],
        None => session.client.shreddings().await?,
    };
    let words = |shredding: &Shredding| {
        let key = shredding.key.as_deref().map(|key| format!(" {key}")).unwrap_or_default();
        output::line(&format!("{}{key}, since {}: {}", shredding.id, shredding.begun, shredding.said()))
    };
    session.show(&serde_json::json!({ "shreds": all }), || all.iter().try_for_each(words))
}

/// Calls one off, or forgets it.
pub(crate) async fn forget(session: &Session, id: &str) -> Result<ExitCode, Failure> {
    session.client.forget_shredding(id).await?;
    let said = format!("{id} is called off, or forgotten if it was over; what was deleted stays deleted");
    session.show(&serde_json::json!({ "forgotten": id }), || output::line(&said))
}
