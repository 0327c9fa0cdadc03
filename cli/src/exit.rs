//! How a command ends, in a number that scripts can go by.

use std::process::ExitCode;

/// The exit codes there are. Their numbers never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    NotFound = 3,
    NotAllowed = 4,
    NotReached = 5,
    Precondition = 6,
    NotWhole = 7,
    Interrupted = 130,
}

impl Exit {
    /// All, in order.
    pub(crate) const ALL: &[Self] = &[
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::NotFound,
        Self::NotAllowed,
        Self::NotReached,
        Self::Precondition,
        Self::NotWhole,
        Self::Interrupted,
    ];

    /// What it says.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed; the message says why",
            Self::Usage => "wrong usage or configuration: nothing was begun",
            Self::NotFound => "not found",
            Self::NotAllowed => "not allowed: no valid token, or one that may not do this",
            Self::NotReached => "the gateway was not reached or stayed busy, or its certificate was refused",
            Self::Precondition => {
                "precondition failed: something is there already, was changed meanwhile, or is in the way"
            }
            Self::NotWhole => "done, but the cluster, the object or the replicas are not as they should be",
            Self::Interrupted => "interrupted; the same command goes on where it stopped",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The paragraph of `--help`.
pub(crate) fn paragraph() -> String {
    let lines: Vec<String> =
        Exit::ALL.iter().map(|exit| format!("  {:>3}  {}", *exit as u8, exit.meaning())).collect();
    format!("Exit codes:\n{}", lines.join("\n"))
}
