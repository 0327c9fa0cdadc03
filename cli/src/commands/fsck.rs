use std::process::ExitCode;

use datamesh_settings::admin::{FsckEvent, FsckFinding, FsckProgress, FsckStep, FsckSummary};

use crate::args::FsckArgs;
use crate::commands::Session;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::progress;

/// What is found has to be seen first.
const NOT_CONFIRMED: &str = "not confirmed, as something was found: if it is to be expected, and this is the point that is wanted, say so with \
    --confirm-restored --despite-findings";

/// Checks that catalog and nodes agree, and shows what is found as it is found.
/// What was restored may delete again after it, if that is asked for and nothing was found, or what is found was seen before.
pub(crate) async fn run(
    session: &Session,
    FsckArgs { repair, confirm_restored, despite_findings }: FsckArgs,
) -> Result<ExitCode, Failure> {
    let mut lines = session.client.fsck(repair).await?;
    let bar = progress::words(session.quiet);
    let mut end = None;
    while let Some(event) = lines.next().await? {
        if session.json {
            output::json_line(&event)?;
        }
        match event {
            FsckEvent::Progress(progress) => bar.set_message(so_far(&progress)),
            FsckEvent::Finding(finding) if !session.json => {
                bar.suspend(|| output::line(&in_words(&finding)))?;
            }
            FsckEvent::Finding(_) => {}
            FsckEvent::End(summary) => end = Some(summary),
            FsckEvent::Failed { detail } => return Err(Failure::Answer(detail)),
        }
    }
    bar.finish_and_clear();
    let summary =
        end.ok_or_else(|| Failure::Answer("it broke off before the check was over; run it again".into()))?;
    if !session.json {
        output::line(&sum(&summary, repair))?;
    }
    if confirm_restored && !summary.is_clean() && !despite_findings {
        return Err(Failure::Answer(NOT_CONFIRMED.into()));
    }
    if confirm_restored {
        session.client.confirm_restored().await?;
    }
    Ok(if summary.is_clean() { ExitCode::SUCCESS } else { Exit::NotWhole.into() })
}

fn so_far(FsckProgress { step, done, of }: &FsckProgress) -> String {
    let what = match step {
        FsckStep::Uploads => "uploads",
        FsckStep::References => "references",
        FsckStep::Objects => "objects",
        FsckStep::Partitions => "partitions of the nodes",
    };
    match of {
        Some(of) => format!("{what}: {done} of {of}"),
        None => format!("{what}: {done}"),
    }
}

fn in_words(finding: &FsckFinding) -> String {
    let mut text = match (&finding.bucket, &finding.key) {
        (Some(bucket), Some(key)) => format!("{bucket}/{key}: "),
        (None, Some(key)) => format!("{key}: "),
        _ => String::new(),
    };
    text.push_str(&finding.detail);
    if let Some(segment) = &finding.segment {
        text.push_str(&format!(" (segment {segment})"));
    }
    if finding.mended {
        text.push_str("; mended");
    }
    text
}

fn sum(summary: &FsckSummary, repair: bool) -> String {
    let FsckSummary { uploads, references, private_references, whole, short, unseen, findings, mended } =
        summary;
    let mut text = format!(
        "{uploads} uploads and {references} references looked at, {private_references} of them to segments of private buckets; of the segments {whole} are whole, {short} short, {unseen} not seen; "
    );
    text.push_str(&match (findings, findings - mended) {
        (0, _) => "nothing is wrong".to_owned(),
        (all, 0) => format!("{all} found and mended"),
        (all, left) if repair => format!("{all} found, {left} of them cannot be mended"),
        (all, _) => format!("{all} found; --repair mends what can be"),
    });
    if *short > 0 {
        text.push_str("; the nodes that rebuild short segments were told");
    }
    text
}
