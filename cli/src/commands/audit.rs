use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use datamesh_seal::ChainCheck;
use datamesh_settings::audit::{AuditChain, AuditLine};
use futures::StreamExt as _;
use serde::Deserialize;
use serde_json::json;

use crate::args::AuditCommand;
use crate::client::{Chains, Wanted};
use crate::commands::Session;
use crate::failure::Failure;
use crate::output;

/// Bytes of one line of an export at most: eight texts, each escaped.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Shows, exports or verifies what was done.
pub(crate) async fn run(session: &Session, command: AuditCommand) -> Result<ExitCode, Failure> {
    match command {
        AuditCommand::List { filter, limit } => list(session, filter.wanted(), limit).await,
        AuditCommand::Export { filter } => export(session, filter.wanted()).await,
        AuditCommand::Verify { against } => verify(session, against.as_deref()).await,
    }
}

async fn list(session: &Session, wanted: Wanted, limit: usize) -> Result<ExitCode, Failure> {
    let lines = session.client.audit(&wanted, limit).await?;
    let answer = json!({ "entries": lines });
    let head =
        ["TIME (ms)", "ACTOR", "ACTION", "TARGET", "DETAIL", "ADDRESS", "STATUS"].map(String::from).to_vec();
    let row = |line: AuditLine| {
        let entry = line.entry;
        let (time, status) = (entry.at_unix_ms.to_string(), entry.status.to_string());
        vec![time, entry.actor, entry.action, entry.target, entry.detail, entry.address, status]
    };
    let rows: Vec<_> = std::iter::once(head).chain(lines.into_iter().map(row)).collect();
    session.show(&answer, || output::table(&rows))
}

async fn export(session: &Session, wanted: Wanted) -> Result<ExitCode, Failure> {
    let mut pieces = session.client.export_audit(&wanted).await?.bytes_stream();
    let mut out = std::io::stdout().lock();
    while let Some(piece) = pieces.next().await {
        out.write_all(&piece?)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Times that the chains are gone through when something was cut off meanwhile: what is missing then is missing rightly.
const LOOKS_MAX: usize = 3;

/// Recomputes every chain and says what is not as it was written.
async fn verify(session: &Session, against: Option<&Path>) -> Result<ExitCode, Failure> {
    let (mut chains, mut looks) = (session.client.audit_chains().await?, 0);
    loop {
        looks += 1;
        let checked = checked(session, against, &chains).await?;
        let now = session.client.audit_chains().await?;
        if checked.findings.is_empty() || now.cuts == chains.cuts || looks == LOOKS_MAX {
            return told(session, &chains, checked);
        }
        chains = now;
    }
}

/// What came of going through all chains.
struct Checked {
    entries: u64,
    findings: Vec<String>,
}

/// What is there when it begins is in it: heads that are read before cover no more.
async fn checked(session: &Session, against: Option<&Path>, chains: &Chains) -> Result<Checked, Failure> {
    let key = chains.public_key.parse().map_err(|_| Failure::Answer("the cluster's key is none".into()))?;
    let mut check = ChainCheck::new(key);
    if let Some(path) = against {
        let kept = kept(path)?;
        if kept.public_key != chains.public_key {
            return Err(Failure::Usage(format!("{}: it was kept of another cluster", path.display())));
        }
        kept.heads.iter().for_each(|head| check.passes(&head.chain, head.count, &head.link));
    }
    chains.cuts.iter().for_each(|cut| check.was_cut(&cut.chain, cut.count, (&cut.link, &cut.signature)));
    let (mut seen, mut headless) = (0_u64, BTreeSet::new());
    each_line(session, |line| {
        let Some(head) = chains.items.iter().find(|head| head.chain == line.chain) else {
            headless.insert(line.chain);
            return;
        };
        // What came since the heads were read is not theirs to prove.
        if line.number < head.count {
            seen += 1;
            check.see(&line.chain, line.number, (&line.link, line.entry.text().as_bytes()));
        }
    })
    .await?;
    let mut findings = check.end(chains.items.iter().map(as_head));
    if !headless.is_empty() {
        // A gateway may have begun its chain since.
        for head in session.client.audit_chains().await?.items {
            headless.remove(&head.chain);
        }
        findings.extend(headless.iter().map(|chain| format!("{chain}: it has no signed head")));
    }
    Ok(Checked { entries: seen, findings })
}

fn told(
    session: &Session,
    chains: &Chains,
    Checked { entries: seen, findings }: Checked,
) -> Result<ExitCode, Failure> {
    let (key, heads, cuts) = (&chains.public_key, &chains.items, &chains.cuts);
    let answer =
        json!({ "publicKey": key, "entries": seen, "heads": heads, "cuts": cuts, "findings": findings });
    session.show(&answer, || {
        findings.iter().try_for_each(|finding| output::line(finding))?;
        let said = if findings.is_empty() { "all as it was written" } else { "NOT as it was written" };
        output::line(&format!("{seen} entries of {} chains: {said}", heads.len()))
    })?;
    Ok(if findings.is_empty() { ExitCode::SUCCESS } else { crate::exit::Exit::NotWhole.into() })
}

/// What was kept of an earlier check.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    public_key: String,
    heads: Vec<AuditChain>,
}

fn kept(path: &Path) -> Result<Kept, Failure> {
    let text = std::fs::read(path).map_err(|source| Failure::File { path: path.to_owned(), source })?;
    serde_json::from_slice(&text).map_err(|error| {
        let name = path.display();
        Failure::Usage(format!("{name}: it is not what `audit verify --output json` prints: {error}"))
    })
}

fn as_head(head: &AuditChain) -> (&str, u64, &str, &str) {
    (&head.chain, head.count, &head.link, &head.signature)
}

async fn each_line(session: &Session, mut see: impl FnMut(AuditLine)) -> Result<(), Failure> {
    let mut pieces = session.client.export_audit(&Wanted::default()).await?.bytes_stream();
    let mut rest: Vec<u8> = Vec::new();
    while let Some(piece) = pieces.next().await {
        rest.extend_from_slice(&piece?);
        let mut lines = rest.split(|byte| *byte == b'\n');
        let unfinished = lines.next_back().unwrap_or_default().to_vec();
        for line in lines {
            see(serde_json::from_slice(line).map_err(|error| Failure::Answer(error.to_string()))?);
        }
        rest = unfinished;
        if rest.len() > LINE_BYTES_MAX {
            return Err(Failure::Answer("a line of the audit is too long".into()));
        }
    }
    if rest.is_empty() { Ok(()) } else { Err(Failure::Answer("the audit ends within a line".into())) }
}
