//! What goes on in the cluster for longer than a request.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use datamesh_settings::admin::{Job, JobKind, JobProgress, JobState, JobUnit};
use indicatif::HumanDuration;
use serde_json::json;

use crate::args::JobsCommand;
use crate::commands::Session;
use crate::failure::{Failure, Problem};
use crate::output;
use crate::progress;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(2);

/// Does what is done with jobs.
pub(crate) async fn run(session: &Session, command: JobsCommand) -> Result<ExitCode, Failure> {
    match command {
        JobsCommand::List => list(session).await,
        JobsCommand::Show { id } => {
            let job = one(session, &id).await?;
            session.show(&job, || details(&job, now()).iter().try_for_each(|line| output::line(line)))
        }
        JobsCommand::Watch { id } => watch(session, id.as_deref()).await,
        JobsCommand::Cancel { id } => cancel(session, &one(session, &id).await?).await,
    }
}

/// Milliseconds since 1970 by this clock.
fn now() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0)
}

async fn list(session: &Session) -> Result<ExitCode, Failure> {
    let jobs = session.client.jobs().await?;
    session.show(&jobs, || {
        if jobs.items.is_empty() {
            return output::line("nothing is waiting or running");
        }
        output::table(&rows(&jobs.items, now()))?;
        waiting(&jobs.items).iter().try_for_each(|line| output::line(line))
    })
}

/// The job, or that there is none, which is so too once it is over.
async fn one(session: &Session, id: &str) -> Result<Job, Failure> {
    let jobs = session.client.jobs().await?;
    let found = jobs.items.into_iter().find(|job| job.id == id);
    found.ok_or_else(|| {
        refusal(404, format!("no job {id} is waiting or running: datamesh jobs list shows those that are"))
    })
}

fn refusal(status: u16, detail: String) -> Failure {
    Failure::Refused { status, problem: Problem { detail, ..Problem::default() } }
}

/// Until those that were there, or came meanwhile, are over.
async fn watch(session: &Session, id: Option<&str>) -> Result<ExitCode, Failure> {
    if let Some(id) = id {
        one(session, id).await?;
    }
    let bar = progress::words(session.quiet);
    let (mut seen, mut told) = (BTreeSet::new(), None);
    loop {
        let jobs = session.client.jobs().await?.items;
        let jobs: Vec<Job> = jobs.into_iter().filter(|job| is_watched(job, id)).collect();
        let ids: BTreeSet<String> = jobs.iter().map(|job| job.id.clone()).collect();
        if session.json && told.as_ref() != Some(&jobs) {
            output::json_line(&json!({ "jobs": jobs }))?;
        }
        if !session.json {
            let over: Vec<&String> = seen.difference(&ids).collect();
            bar.suspend(|| over.into_iter().try_for_each(|id| output::line(&format!("{id} is over"))))?;
        }
        if jobs.is_empty() {
            break;
        }
        bar.set_message(drawn(&jobs));
        (seen, told) = (ids, Some(jobs));
        tokio::time::sleep(LOOK).await;
    }
    bar.finish_and_clear();
    if session.json || !seen.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    output::line("nothing is waiting or running that ends").map(|()| ExitCode::SUCCESS)
}

fn is_watched(job: &Job, id: Option<&str>) -> bool {
    id.map_or(job.kind.ends(), |id| job.id == id)
}

fn drawn(jobs: &[Job]) -> String {
    let row = |job: &Job| {
        let said = [job.id.clone(), state(job.state).to_owned(), progress(job.progress.as_ref()), eta(job)];
        said.into_iter().filter(|cell| cell != "-").collect::<Vec<_>>().join("  ")
    };
    output::printable(&jobs.iter().map(row).collect::<Vec<_>>().join("; ")).into_owned()
}

async fn cancel(session: &Session, job: &Job) -> Result<ExitCode, Failure> {
    let refused = || refusal(409, format!("{} is not called off by this command: {}", job.id, job.cancel));
    if !job.can_be_cancelled {
        return Err(refused());
    }
    match (job.kind, &job.of.pool, &job.of.node) {
        (JobKind::Drain, Some(pool), Some(node)) => drop(session.client.undrain(pool, node).await?),
        (JobKind::Shred, ..) => {
            let id = job.id.strip_prefix("shred:").ok_or_else(refused)?;
            session.client.forget_shredding(id).await?;
        }
        // Of a gateway that can more.
        _ => return Err(refused()),
    }
    session.show(&json!({ "cancelled": job.id }), || output::line(&format!("{} is called off", job.id)))
}

fn rows(jobs: &[Job], now: u64) -> Vec<Vec<String>> {
    let head = ["ID", "OF", "STATE", "PROGRESS", "FOR", "LEFT"].map(String::from).to_vec();
    let row = |job: &Job| {
        let state = state(job.state).to_owned();
        vec![job.id.clone(), of(job), state, progress(job.progress.as_ref()), age(job, now), eta(job)]
    };
    std::iter::once(head).chain(jobs.iter().map(row)).collect()
}

fn waiting(jobs: &[Job]) -> Vec<String> {
    let of = |job: &Job| -> Vec<String> {
        job.waits_for.iter().map(|reason| format!("! {}: {reason}", job.id)).collect()
    };
    jobs.iter().flat_map(of).collect()
}

fn details(job: &Job, now: u64) -> Vec<String> {
    let mut lines = vec![
        format!("{}: {} {}", job.id, job.kind.as_str(), state(job.state)),
        format!("of        {}", of(job)),
        format!("progress  {}", progress(job.progress.as_ref())),
        format!("for       {}", age(job, now)),
        format!("left      {}", eta(job)),
    ];
    lines.extend(job.waits_for.iter().map(|reason| format!("! {reason}")));
    let cancel = if job.can_be_cancelled {
        format!("datamesh jobs cancel {}, or {}", job.id, job.cancel)
    } else {
        job.cancel.clone()
    };
    lines.push(format!("cancel    {cancel}"));
    lines
}

/// What it is of.
fn of(job: &Job) -> String {
    let of = &job.of;
    let object = match (&of.bucket, &of.name) {
        (Some(bucket), Some(name)) => Some(format!("{bucket}/{name}")),
        (bucket, name) => bucket.as_ref().map(ToString::to_string).or_else(|| name.clone()),
    };
    let gateway = of.gateway.as_ref().map(|gateway| format!("gateway {gateway}"));
    let node = of.node.as_ref().map(|node| format!("node {node}"));
    let pool = of.pool.as_ref().map(|pool| format!("pool {pool}"));
    let all: Vec<String> = [object, gateway, node, pool].into_iter().flatten().collect();
    if all.is_empty() { "-".to_owned() } else { all.join(", ") }
}

fn state(state: JobState) -> &'static str {
    match state {
        JobState::Waiting => "waiting",
        JobState::Running => "running",
        JobState::Stalled => "STALLED",
    }
}

fn progress(progress: Option<&JobProgress>) -> String {
    let Some(JobProgress { unit, done, total, left }) = progress else { return "-".to_owned() };
    let count = |count: u64| match unit {
        JobUnit::Bytes => output::bytes(count),
        _ => count.to_string(),
    };
    let unit = if *unit == JobUnit::Bytes { String::new() } else { format!(" {}", unit.as_str()) };
    match (done, total, left) {
        (Some(done), Some(1000), _) if unit == " permille" => format!("{}.{} %", done / 10, done % 10),
        (Some(done), Some(total), _) => format!("{} of {}{unit}", count(*done), count(*total)),
        (Some(done), None, Some(left)) => format!("{}{unit} done, {} left", count(*done), count(*left)),
        (Some(done), None, None) => format!("{}{unit} done", count(*done)),
        (None, _, Some(left)) => format!("{}{unit} left", count(*left)),
        (None, ..) => "-".to_owned(),
    }
}

fn age(job: &Job, now: u64) -> String {
    let age = |since: u64| HumanDuration(Duration::from_millis(now.saturating_sub(since))).to_string();
    job.since_unix_ms.map_or_else(|| "-".to_owned(), age)
}

fn eta(job: &Job) -> String {
    let left = |seconds| HumanDuration(Duration::from_secs(seconds)).to_string();
    job.eta_seconds.map_or_else(|| "-".to_owned(), left)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(text: &str) -> Job {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_job_is_a_row_and_says_what_it_waits_for_and_how_it_is_called_off() {
        let drain = job(
            r#"{"id": "drain:main:n1", "kind": "drain", "pool": "main", "node": "n1", "state": "stalled",
                "progress": {"unit": "bytes", "done": 1024, "total": 4096, "left": 3072}, "sinceUnixMs": 1000, "etaSeconds": 60,
                "waitsFor": ["n2 is full."], "canBeCancelled": true, "cancel": "datamesh node undrain n1"}"#,
        );
        let rows = rows(std::slice::from_ref(&drain), 61_000);
        let expected = [
            "drain:main:n1",
            "node n1, pool main",
            "STALLED",
            "1.00 KiB of 4.00 KiB",
            "60 seconds",
            "60 seconds",
        ];
        assert_eq!(rows[1], expected);
        assert_eq!(waiting(std::slice::from_ref(&drain)), ["! drain:main:n1: n2 is full."]);
        let said = details(&drain, 61_000).join("\n");
        assert!(
            said.contains("cancel    datamesh jobs cancel drain:main:n1, or datamesh node undrain n1"),
            "{said}"
        );
    }

    #[test]
    fn what_nobody_counts_is_not_made_up() {
        let said = |text: &str| progress(Some(&serde_json::from_str(text).unwrap()));
        assert_eq!(progress(None), "-");
        assert_eq!(said(r#"{"unit": "permille", "done": 352, "total": 1000, "left": 648}"#), "35.2 %");
        assert_eq!(said(r#"{"unit": "segments", "left": 3}"#), "3 segments left");
        assert_eq!(said(r#"{"unit": "pieces", "done": 3}"#), "3 pieces done");
        assert_eq!(said(r#"{"unit": "rows", "done": 3, "left": 1}"#), "3 rows done, 1 left");
        assert_eq!(said(r#"{"unit": "nodes", "done": 2, "total": 6, "left": 4}"#), "2 of 6 nodes");
    }

    #[test]
    fn all_are_watched_that_end_or_the_one_that_is_named() {
        let scrub = job(
            r#"{"id": "scrub:main", "kind": "scrub", "pool": "main", "state": "running", "canBeCancelled": false, "cancel": "no"}"#,
        );
        assert!(!is_watched(&scrub, None) && is_watched(&scrub, Some("scrub:main")));
        assert!(!is_watched(&scrub, Some("scrub:other")));
        let rebuild = Job { kind: JobKind::Rebuild, ..scrub };
        assert!(is_watched(&rebuild, None));
    }
}
