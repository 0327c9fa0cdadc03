use std::error::Error;
use std::path::PathBuf;

use serde::Deserialize;

use crate::exit::Exit;

/// Why a command did not do what it was asked. The text says what to do about it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("no gateway is known: give --server, set DATAMESH_SERVER, or write `server:` to {0}")]
    NoServer(PathBuf),
    #[error("no {0} token: sign in (datamesh login NAME), set {1} or write `{2}:` to the configuration file")]
    NoToken(&'static str, &'static str, &'static str),
    #[error("configuration {path}: {problem}")]
    Config { path: PathBuf, problem: String },
    #[error("{0}")]
    Usage(String),
    #[error("{path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("cannot reach the gateway: {}", chain(.0))]
    Http(#[from] reqwest::Error),
    #[error("{problem}")]
    Refused { status: u16, problem: Problem },
    #[error(
        "{0} was changed meanwhile, so nothing was done with it; run the command again when nothing writes to it"
    )]
    Changed(PathBuf),
    #[error("{key}: {sent} bytes were sent and {stored} are stored; put it again")]
    SizeDiffers { key: String, sent: u64, stored: u64 },
    #[error("{0} was replaced or deleted while it was written out: the output is not whole")]
    Replaced(String),
    #[error(
        "{0} is not the folder any more that it was when this began: it, or a volume in it, was moved, deleted or unmounted; nothing was \
         deleted for that. Run the command again when it is back"
    )]
    Gone(PathBuf),
    #[error("Kubernetes: {message}")]
    Kubernetes { status: u16, message: String },
    #[error("enough nodes do not keep it after {seconds} s: {why}. It is tried on: datamesh backup status")]
    NotBackedUp { seconds: u64, why: String },
    #[error("the gateway's answer is not understood: {0}")]
    Answer(String),
    #[error("interrupted; run the same command again to go on where it stopped")]
    Interrupted,
}

/// An RFC 9457 problem document.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Problem {
    /// A link that ends with what names the kind of problem.
    #[serde(default, rename = "type")]
    pub(crate) link: String,
    #[serde(default)]
    pub(crate) title: String,
    #[serde(default)]
    pub(crate) detail: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.title.is_empty(), self.detail.is_empty()) {
            (_, true) => f.write_str(&self.title),
            (true, false) => f.write_str(&self.detail),
            (false, false) => write!(f, "{}: {}", self.title, self.detail),
        }
    }
}

/// An error with its causes: reqwest's own text leaves out what went wrong below it.
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// Whether the gateway's certificate was refused: the next time it will be, too.
fn is_certificate(error: &reqwest::Error) -> bool {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(cause) = next {
        if matches!(cause.downcast_ref(), Some(rustls::Error::InvalidCertificate(_))) {
            return true;
        }
        // TLS faults travel inside I/O errors, whose own source passes over them.
        let inside = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = inside.map(|inside| inside as &(dyn Error + 'static)).or_else(|| cause.source());
    }
    false
}

impl Failure {
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::File { path: path.into(), source }
    }

    /// Whether the gateway refused with this problem, by the end of its type.
    pub(crate) fn is(&self, slug: &str) -> bool {
        matches!(self, Self::Refused { problem, .. } if problem.link.rsplit('/').next() == Some(slug))
    }

    /// Whether asking again may help: the gateway was not reached, or said that it is busy.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Http(error) => !error.is_builder() && !is_certificate(error),
            Self::Refused { status: 409, .. } => self.is("request-under-way"),
            Self::Refused { status, .. } => matches!(status, 408 | 429 | 502..=504),
            _ => false,
        }
    }

    /// How a command ends by it.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::NoServer(_) | Self::NoToken(..) | Self::Config { .. } | Self::Usage(_) => Exit::Usage,
            Self::Refused { status: 404 | 410, .. } | Self::Kubernetes { status: 404, .. } => Exit::NotFound,
            Self::Refused { status: 401 | 403, .. } | Self::Kubernetes { status: 401 | 403, .. } => {
                Exit::NotAllowed
            }
            Self::Http(_)
            | Self::Kubernetes { status: 0, .. }
            | Self::Refused { status: 408 | 429 | 502..=504, .. } => Exit::NotReached,
            Self::Refused { status: 409 | 412 | 428, .. } | Self::Replaced(_) | Self::Changed(_) => {
                Exit::Precondition
            }
            Self::Interrupted => Exit::Interrupted,
            _ => Exit::Failed,
        }
    }
}
