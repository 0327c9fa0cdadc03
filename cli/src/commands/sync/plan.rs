//! What is to be done so that two sides agree, from what is on both and what they last agreed on. Pure: no file is looked at here.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::client::Only;
use crate::commands::put::Identity;

#[cfg(test)]
mod tests;

/// An object of the bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RemoteFile {
    pub(crate) size: u64,
    pub(crate) etag: String,
}

/// What both sides had of a file when they last agreed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Known {
    pub(crate) local: Identity,
    pub(crate) etag: String,
}

/// Which side follows which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Direction {
    /// Changes of each side go to the other
    Both,
    /// The bucket becomes like the folder
    Up,
    /// The folder becomes like the bucket
    Down,
}

/// How it is to be done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) direction: Direction,
    /// One way only: what the side that leads does not have is deleted.
    pub(crate) delete: bool,
}

/// What is there, by path below the folder and the prefix.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sides {
    pub(crate) known: BTreeMap<String, Known>,
    pub(crate) local: BTreeMap<String, Identity>,
    pub(crate) remote: BTreeMap<String, RemoteFile>,
    /// Of the [`Sides::doubtful`]: those whose bytes are the same.
    pub(crate) alike: BTreeSet<String>,
}

/// One thing to do. It says what it expects to find: where something else is found, it is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Upload {
        path: String,
        only: Only,
    },
    Download {
        path: String,
        replaces: Option<Identity>,
    },
    DeleteRemote {
        path: String,
        etag: String,
    },
    DeleteLocal {
        path: String,
        was: Identity,
    },
    /// Both were changed: the local one is renamed, and then each side gets what it lacks.
    KeepBoth {
        path: String,
        was: Identity,
        becomes: String,
    },
    /// Nothing moves: both have the same bytes.
    Remember {
        path: String,
        known: Known,
    },
    /// Nothing moves: neither has it any more, or one side alone keeps it.
    Forget {
        path: String,
    },
}

/// Bytes that move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bytes {
    /// From the folder into the bucket.
    pub(crate) up: u64,
    /// From the bucket into the folder.
    pub(crate) down: u64,
}

impl Sides {
    /// Files that both sides have, that were changed on both since they agreed, and are of one size: only their bytes
    /// can tell whether they differ.
    pub(crate) fn doubtful(&self) -> Vec<String> {
        let both = self.local.iter().filter_map(|(path, here)| Some((path, here, self.remote.get(path)?)));
        let doubtful = both.filter(|(path, here, there)| {
            here.size == there.size && self.changed(path, here, there) == (true, true)
        });
        doubtful.map(|(path, ..)| path.clone()).collect()
    }

    fn changed(&self, path: &str, here: &Identity, there: &RemoteFile) -> (bool, bool) {
        let known = self.known.get(path);
        (known.is_none_or(|known| known.local != *here), known.is_none_or(|known| known.etag != there.etag))
    }

    /// What is to be done, in order of path. `copy_of` names the copy that a conflict leaves.
    pub(crate) fn plan(&self, rules: Rules, copy_of: impl Fn(&str, u32) -> String) -> Vec<Step> {
        let paths: BTreeSet<&String> =
            self.known.keys().chain(self.local.keys()).chain(self.remote.keys()).collect();
        paths.into_iter().filter_map(|path| self.step(path, rules, &copy_of)).collect()
    }

    /// What a step of the plan is to move, by what the two sides have.
    pub(crate) fn bytes(&self, step: &Step) -> Bytes {
        let up = || self.local.get(step.path()).map_or(0, |here| here.size);
        let down = || self.remote.get(step.path()).map_or(0, |there| there.size);
        match step {
            Step::Upload { .. } => Bytes { up: up(), down: 0 },
            Step::Download { .. } => Bytes { up: 0, down: down() },
            Step::KeepBoth { .. } => Bytes { up: up(), down: down() },
            Step::DeleteRemote { .. }
            | Step::DeleteLocal { .. }
            | Step::Remember { .. }
            | Step::Forget { .. } => Bytes::default(),
        }
    }

    fn step(&self, path: &str, rules: Rules, copy_of: &impl Fn(&str, u32) -> String) -> Option<Step> {
        match (self.local.get(path), self.remote.get(path)) {
            (None, None) => Some(Step::Forget { path: path.to_owned() }),
            (Some(here), None) => self.only_here(path, *here, rules),
            (None, Some(there)) => self.only_there(path, there, rules),
            (Some(here), Some(there)) => self.on_both(path, (*here, there), rules, copy_of),
        }
    }

    fn only_here(&self, path: &str, here: Identity, rules: Rules) -> Option<Step> {
        let upload = || Step::Upload { path: path.to_owned(), only: Only::IfAbsent };
        let delete = || Step::DeleteLocal { path: path.to_owned(), was: here };
        match rules.direction {
            // Deleted there; a change here since then weighs more.
            Direction::Both if self.known.get(path).is_some_and(|known| known.local == here) => {
                Some(delete())
            }
            Direction::Both | Direction::Up => Some(upload()),
            Direction::Down if rules.delete => Some(delete()),
            Direction::Down => self.forgotten(path),
        }
    }

    fn only_there(&self, path: &str, there: &RemoteFile, rules: Rules) -> Option<Step> {
        let download = || Step::Download { path: path.to_owned(), replaces: None };
        let delete = || Step::DeleteRemote { path: path.to_owned(), etag: there.etag.clone() };
        match rules.direction {
            Direction::Both if self.known.get(path).is_some_and(|known| known.etag == there.etag) => {
                Some(delete())
            }
            Direction::Both | Direction::Down => Some(download()),
            Direction::Up if rules.delete => Some(delete()),
            Direction::Up => self.forgotten(path),
        }
    }

    /// What one side alone has, and may keep, is not agreed on any more: else it would count as deleted the next time both ways.
    fn forgotten(&self, path: &str) -> Option<Step> {
        self.known.contains_key(path).then(|| Step::Forget { path: path.to_owned() })
    }

    fn on_both(
        &self,
        path: &str,
        (here, there): (Identity, &RemoteFile),
        rules: Rules,
        copy_of: &impl Fn(&str, u32) -> String,
    ) -> Option<Step> {
        let owned = || path.to_owned();
        let changed = self.changed(path, &here, there);
        if changed == (false, false) {
            return None;
        }
        if self.alike.contains(path) {
            let known = Known { local: here, etag: there.etag.clone() };
            return Some(Step::Remember { path: owned(), known });
        }
        Some(match (rules.direction, changed) {
            (Direction::Up, _) | (Direction::Both, (true, false)) => {
                Step::Upload { path: owned(), only: Only::IfMatch(there.etag.clone()) }
            }
            (Direction::Down, _) | (Direction::Both, (false, _)) => {
                Step::Download { path: owned(), replaces: Some(here) }
            }
            (Direction::Both, (true, true)) => {
                let is_free =
                    |name: &String| !self.local.contains_key(name) && !self.remote.contains_key(name);
                let becomes = (1..).map(|number| copy_of(path, number)).find(is_free).unwrap_or_default();
                Step::KeepBoth { path: owned(), was: here, becomes }
            }
        })
    }
}

impl Step {
    pub(crate) fn path(&self) -> &str {
        match self {
            Self::Upload { path, .. }
            | Self::Download { path, .. }
            | Self::DeleteRemote { path, .. }
            | Self::DeleteLocal { path, .. }
            | Self::KeepBoth { path, .. }
            | Self::Remember { path, .. }
            | Self::Forget { path } => path,
        }
    }

    fn verb(&self) -> Option<&'static str> {
        match self {
            Self::Upload { .. } => Some("upload"),
            Self::Download { .. } => Some("download"),
            Self::DeleteRemote { .. } => Some("deleteRemote"),
            Self::DeleteLocal { .. } => Some("deleteLocal"),
            Self::KeepBoth { .. } => Some("keepBoth"),
            Self::Remember { .. } | Self::Forget { .. } => None,
        }
    }

    /// For programs; `None` where nothing moves.
    pub(crate) fn json(&self) -> Option<Value> {
        let verb = self.verb()?;
        Some(match self {
            Self::KeepBoth { path, becomes, .. } => json!({ "do": verb, "path": path, "becomes": becomes }),
            step => json!({ "do": verb, "path": step.path() }),
        })
    }

    /// For people; `None` where nothing moves.
    pub(crate) fn words(&self) -> Option<String> {
        let path = self.path();
        match self {
            Self::Upload { .. } => Some(format!("upload    {path}")),
            Self::Download { .. } => Some(format!("download  {path}")),
            Self::DeleteRemote { .. } => Some(format!("delete    {path} (in the bucket)")),
            Self::DeleteLocal { .. } => Some(format!("delete    {path} (in the folder)")),
            Self::KeepBoth { becomes, .. } => {
                Some(format!("keep both {path}; the folder's becomes {becomes}"))
            }
            Self::Remember { .. } | Self::Forget { .. } => None,
        }
    }
}
