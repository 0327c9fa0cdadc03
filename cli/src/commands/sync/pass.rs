//! What one look found to be done, and what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use serde_json::{Value, json};

use super::guard::Counts;
use super::plan::{Bytes, Step};
use crate::commands::Session;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;

/// What is to be done, and what came of it.
#[derive(Default)]
pub(super) struct Pass {
    pub(super) steps: Vec<Step>,
    /// What each of them is to move.
    pub(super) bytes: Vec<Bytes>,
    /// Files of both sides; `None`: only some paths were looked at.
    pub(super) counts: Option<Counts>,
    /// Left alone, and why.
    pub(super) skipped: BTreeMap<String, &'static str>,
    /// Of these: files that the other side cannot have, as it has a folder there or a file above.
    pub(super) clashes: BTreeSet<String>,
    /// Was to be done and could not: it is looked at again the next time.
    pub(super) unfinished: Vec<(String, String)>,
}

impl Pass {
    /// Whether there is anything to tell.
    pub(super) fn moves(&self) -> bool {
        self.steps.iter().any(|step| step.json().is_some()) || !self.is_whole()
    }

    /// Whether both sides have all that could be on both. What is no file was never promised to be.
    fn is_whole(&self) -> bool {
        self.unfinished.is_empty() && self.clashes.is_empty()
    }

    /// Adds what was done before.
    pub(super) fn after(self, mut done: Vec<Step>) -> Self {
        done.extend(self.steps);
        Self { steps: done, ..self }
    }

    pub(super) fn report(&self, session: &Session, dry_run: bool) -> Result<ExitCode, Failure> {
        for (path, why) in &self.skipped {
            output::note(&format!("skipped {path}: {why}"));
        }
        for (path, why) in &self.unfinished {
            output::note(&format!("not done: {path}: {why}"));
        }
        let steps: Vec<Value> = self.steps.iter().filter_map(Step::json).collect();
        if session.json {
            let skipped = self.skipped.iter().map(|(path, why)| json!({ "path": path, "why": why }));
            let unfinished = self.unfinished.iter().map(|(path, why)| json!({ "path": path, "why": why }));
            output::json_line(&json!({
                "dryRun": dry_run,
                "steps": steps,
                "skipped": skipped.collect::<Vec<_>>(),
                "unfinished": unfinished.collect::<Vec<_>>(),
            }))?;
        }
        Ok(if self.is_whole() { Exit::Done } else { Exit::NotWhole }.into())
    }
}

/// For people, as it is done.
pub(super) fn say(session: &Session, step: &Step) -> Result<(), Failure> {
    match step.words() {
        Some(words) if !session.json => output::line(&words),
        _ => Ok(()),
    }
}
