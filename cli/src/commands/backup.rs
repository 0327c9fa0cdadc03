//! Backups of the catalog: how they stand, what there is to come back to, and asking for one.

use std::process::ExitCode;
use std::time::Duration;

use datamesh_settings::admin::{
    AskedBackup, BackupOverview, BackupPlace, BackupPoint, BackupPoints, BackupStatus, CopiesStatus,
};
use indicatif::HumanDuration;
use serde_json::json;
use tokio::time::Instant;

use crate::args::BackupCommand;
use crate::commands::Session;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::progress;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(2);
/// Where restoring is described: it is begun where the gateways are set up.
const RESTORE: &str = "to restore: gateway.restore, a time or newest, while the gateways' volumes are empty; docs/backups.md says all of it";

/// Does what is done with backups.
pub(crate) async fn run(session: &Session, command: BackupCommand) -> Result<ExitCode, Failure> {
    match command {
        BackupCommand::Status => status(session).await,
        BackupCommand::List => list(session).await,
        BackupCommand::Now { no_wait, wait_seconds } => {
            let asked = session.client.ask_for_backup().await?;
            if no_wait {
                return session
                    .show(&asked, || output::line("asked for; datamesh backup status says how far it is"));
            }
            wait(session, asked, Duration::from_secs(wait_seconds)).await
        }
    }
}

async fn status(session: &Session) -> Result<ExitCode, Failure> {
    let overview = session.client.backup().await?;
    session.show(&overview, || in_words(&overview).iter().try_for_each(|line| output::line(line)))?;
    Ok(if is_well(&overview.newest) { ExitCode::SUCCESS } else { Exit::NotWhole.into() })
}

async fn list(session: &Session) -> Result<ExitCode, Failure> {
    let points = session.client.backup_points().await?;
    session.show(&points, || {
        output::table(&rows(&points.points))?;
        notes(&points).iter().try_for_each(|line| output::line(line))
    })?;
    Ok(if points.copies_error.is_none() { ExitCode::SUCCESS } else { Exit::NotWhole.into() })
}

/// Until nodes keep a backup that leads as far as was asked for.
async fn wait(session: &Session, asked: AskedBackup, most: Duration) -> Result<ExitCode, Failure> {
    let (begun, bar) = (Instant::now(), progress::words(session.quiet));
    let newest = loop {
        let overview = session.client.backup().await?;
        if overview.newest.last_unix_ms.is_some() && overview.newest.revision >= asked.revision {
            break overview.newest;
        }
        let why = overview.newest.error.clone();
        if begun.elapsed() >= most {
            bar.finish_and_clear();
            let why = why.unwrap_or_else(|| "the gateway that makes backups has not said why".to_owned());
            return Err(Failure::NotBackedUp { seconds: most.as_secs(), why });
        }
        bar.set_message(so_far(&overview));
        tokio::time::sleep(LOOK).await;
    };
    bar.finish_and_clear();
    session.show(&json!({ "asked": AskedBackup { done: true, ..asked }, "newest": newest }), || {
        output::line(&format!("all that was acknowledged is in the mesh: {}", size(&newest)))?;
        output::line(RESTORE)
    })
}

fn so_far(overview: &BackupOverview) -> String {
    match (&overview.writing, &overview.newest.error) {
        (_, Some(error)) => output::printable(&format!("tried again: {error}")).into_owned(),
        (Some(writing), None) => format!("a snapshot is written: {} pieces", writing.pieces),
        (None, None) => "waiting for the gateway that makes backups".to_owned(),
    }
}

fn is_well(newest: &BackupStatus) -> bool {
    let copied = newest.copies.as_ref().is_none_or(|copies| copies.counts() && copies.error.is_none());
    newest.counts() && newest.error.is_none() && copied
}

fn in_words(overview: &BackupOverview) -> Vec<String> {
    let newest = &overview.newest;
    if newest.off {
        return vec!["there are none: gateway.catalogBackups is Off".to_owned()];
    }
    let mut lines = match (newest.last_unix_ms, newest.behind_seconds) {
        (Some(last), Some(behind)) => standing(overview, (last, behind)),
        _ => vec![
            "newest    none that nodes prove: names and keys are lost with the gateways' volumes".to_owned(),
        ],
    };
    if let Some(writing) = &overview.writing {
        let since = time(writing.since_unix_ms);
        lines.push(format!("snapshot  is written since {since}: {} pieces", writing.pieces));
    }
    if let Some(asked) = overview.asked.filter(|asked| !asked.done) {
        lines.push(format!(
            "asked     for another at {}: it is not in the mesh yet",
            time(asked.asked_unix_ms)
        ));
    }
    lines.extend(newest.copies.as_ref().map(copies));
    if let Some(restored) = &newest.restored {
        let held = if restored.deletion_held {
            "; nothing is deleted until datamesh fsck --confirm-restored"
        } else {
            ""
        };
        lines.push(format!(
            "restored  this catalog came back to {}, at {}{held}",
            time(restored.until_unix_ms),
            time(restored.at_unix_ms)
        ));
    }
    lines.extend(newest.error.as_ref().map(|error| format!("! {error}")));
    lines.extend(
        newest
            .copies
            .iter()
            .filter_map(|copies| Some(format!("! {}: {}", copies.place, copies.error.as_ref()?))),
    );
    lines.push(RESTORE.to_owned());
    lines
}

fn standing(overview: &BackupOverview, (last, behind): (u64, u64)) -> Vec<String> {
    let old = if overview.newest.counts() { "" } else { ", TOO OLD" };
    vec![
        format!("newest    {} ({} ago{old}): {}", time(last), spoken(behind), size(&overview.newest)),
        format!(
            "lost      with all gateways' volumes now: what was acknowledged in the last {}",
            spoken(behind)
        ),
        format!(
            "back to   that moment, and any up to {} before it that datamesh backup list shows",
            spoken(overview.reach_seconds)
        ),
    ]
}

fn copies(copies: &CopiesStatus) -> String {
    let newest = match (copies.last_unix_ms, copies.behind_seconds) {
        (Some(last), Some(behind)) => {
            let old = if copies.counts() { "" } else { ", TOO OLD" };
            format!("{} ({} ago{old}), {}", time(last), spoken(behind), output::bytes(copies.bytes))
        }
        _ => "none yet".to_owned(),
    };
    format!("copies    {}: {newest}", copies.place)
}

fn size(newest: &BackupStatus) -> String {
    format!("{} in {} segments, revision {}", output::bytes(newest.bytes), newest.segments, newest.revision)
}

fn rows(points: &[BackupPoint]) -> Vec<Vec<String>> {
    let head = ["ID", "WHERE", "FROM", "UNTIL", "SIZE", "NODES"].map(String::from).to_vec();
    let none = || "-".to_owned();
    let row = |point: &BackupPoint| {
        let place = match point.place {
            BackupPlace::Mesh => "mesh",
            BackupPlace::Copies => "copies",
        };
        vec![
            point.id.clone(),
            place.to_owned(),
            point.from_unix_ms.map_or_else(none, time),
            time(point.until_unix_ms),
            point.bytes.map_or_else(none, output::bytes),
            point.nodes.map_or_else(none, |nodes| nodes.to_string()),
        ]
    };
    std::iter::once(head).chain(points.iter().map(row)).collect()
}

fn notes(points: &BackupPoints) -> Vec<String> {
    let silent = (points.silent_nodes > 0)
        .then(|| format!("! {} nodes did not say what they keep: there may be more", points.silent_nodes));
    let copies = points.copies_error.as_ref().map(|error| format!("! copies: {error}"));
    silent.into_iter().chain(copies).chain([RESTORE.to_owned()]).collect()
}

/// As restoring takes it.
fn time(unix_ms: u64) -> String {
    let time = i64::try_from(unix_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    time.map_or_else(|| unix_ms.to_string(), |time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

fn spoken(seconds: u64) -> String {
    HumanDuration(Duration::from_secs(seconds)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overview(behind: u64, error: Option<&str>) -> BackupOverview {
        let copies = CopiesStatus {
            place: "s3.example.org/copies".into(),
            last_unix_ms: Some(1_800_000_000_000),
            behind_seconds: Some(60),
            bytes: 2048,
            error: error.map(Into::into),
        };
        BackupOverview {
            gateway: "g".parse().unwrap(),
            newest: BackupStatus {
                last_unix_ms: Some(1_800_000_000_000),
                behind_seconds: Some(behind),
                revision: 7,
                bytes: 2048,
                segments: 3,
                copies: Some(copies),
                ..BackupStatus::default()
            },
            reach_seconds: 3600,
            asked: Some(AskedBackup { revision: 9, asked_unix_ms: 1_800_000_001_000, done: false }),
            writing: None,
            next_snapshot_seconds: None,
        }
    }

    #[test]
    fn a_status_says_what_would_be_lost_and_what_is_wrong() {
        let well = overview(12, None);
        let said = in_words(&well).join("\n");
        for words in [
            "newest    2027-01-15T08:00:00Z (12 seconds ago): 2.00 KiB in 3 segments, revision 7",
            "in the last 12 seconds",
            "up to 60 minutes before",
            "asked     for another at 2027-01-15T08:00:01Z",
            "copies    s3.example.org/copies: 2027",
            "docs/backups.md",
        ] {
            assert!(said.contains(words), "{words}: {said}");
        }
        assert!(is_well(&well.newest) && !said.contains('!'), "{said}");
        let ill = overview(500, Some("it answers 403"));
        let said = in_words(&ill).join("\n");
        assert!(
            said.contains("TOO OLD") && said.contains("! s3.example.org/copies: it answers 403"),
            "{said}"
        );
        assert!(!is_well(&ill.newest) && !is_well(&overview(500, None).newest));
        assert!(!is_well(&BackupStatus::default()), "none is not well");
    }

    #[test]
    fn points_are_rows_in_the_words_that_restoring_takes() {
        let mesh = BackupPoint {
            id: "0-12".into(),
            place: BackupPlace::Mesh,
            from_unix_ms: Some(1_800_000_000_000),
            until_unix_ms: 1_800_000_060_000,
            revision: 40,
            bytes: Some(2048),
            segments: Some(3),
            nodes: Some(6),
        };
        let copy = BackupPoint {
            place: BackupPlace::Copies,
            from_unix_ms: None,
            bytes: None,
            nodes: None,
            ..mesh.clone()
        };
        let rows = rows(&[mesh, copy]);
        assert_eq!(
            rows[1],
            ["0-12", "mesh", "2027-01-15T08:00:00Z", "2027-01-15T08:01:00Z", "2.00 KiB", "6"]
        );
        assert_eq!(rows[2], ["0-12", "copies", "-", "2027-01-15T08:01:00Z", "-", "-"]);
        let points = BackupPoints { points: Vec::new(), silent_nodes: 2, copies_error: Some("late".into()) };
        assert_eq!(notes(&points).len(), 3);
    }
}
