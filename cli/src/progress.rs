//! Progress bars with rate and time left, on standard error, only where a person looks.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output;

const KNOWN: &str =
    "{msg:32!} {bar:24} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta} left";
const UNKNOWN: &str = "{msg:32!} {spinner} {binary_bytes} {binary_bytes_per_sec}";

/// A bar for one transfer; hidden when quiet or not on a terminal.
pub(crate) fn bar(name: &str, total: Option<u64>, quiet: bool) -> ProgressBar {
    let target = if quiet || !std::io::stderr().is_terminal() {
        ProgressDrawTarget::hidden()
    } else {
        ProgressDrawTarget::stderr()
    };
    let bar = ProgressBar::with_draw_target(total, target).with_message(output::printable(name).into_owned());
    let template = if total.is_some() { KNOWN } else { UNKNOWN };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

/// Words that change, for what has no bytes to count; hidden as a bar is.
pub(crate) fn words(quiet: bool) -> ProgressBar {
    let bar = bar("", None, quiet);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
        bar.set_style(style);
    }
    bar
}
