//! Progress bars with rate and time left, on standard error, only where a person looks.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output;

const KNOWN: &str =
    "{msg:32!} {bar:24} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta} left";
const UNKNOWN: &str = "{msg:32!} {spinner} {binary_bytes} {binary_bytes_per_sec}";
/// How often a bar is drawn though nothing moves, so that rate and time left are not those of before.
const TICK: Duration = Duration::from_millis(250);

/// A bar for one transfer; hidden when quiet or not on a terminal.
pub(crate) fn bar(name: &str, total: Option<u64>, quiet: bool) -> ProgressBar {
    let bar = drawn(name, total, target(quiet));
    bar.enable_steady_tick(TICK);
    bar
}

fn target(quiet: bool) -> ProgressDrawTarget {
    if quiet || !std::io::stderr().is_terminal() {
        ProgressDrawTarget::hidden()
    } else {
        ProgressDrawTarget::stderr()
    }
}

fn drawn(name: &str, total: Option<u64>, target: ProgressDrawTarget) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(total, target).with_message(output::printable(name).into_owned());
    let template = if total.is_some() { KNOWN } else { UNKNOWN };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
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

/// One bar for several transfers: several at once would be drawn over each other, and none would say when all is done.
pub(crate) struct Whole(ProgressBar);

impl Whole {
    /// Of so many bytes; nothing is drawn where there are none.
    pub(crate) fn of(name: &str, bytes: u64, quiet: bool) -> Self {
        Self(bar(name, Some(bytes), quiet || bytes == 0))
    }

    /// The share of one transfer, of which so many bytes are expected.
    pub(crate) fn part(&self, bytes: u64) -> Moving {
        Moving::Part(Arc::new(Part { whole: self.0.clone(), length: bytes.into(), position: 0.into() }))
    }

    /// Takes the bar away while something else is printed.
    pub(crate) fn suspend<T>(&self, prints: impl FnOnce() -> T) -> T {
        self.0.suspend(prints)
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// How far one transfer is.
#[derive(Clone)]
pub(crate) enum Moving {
    /// It has a bar of its own.
    Alone(ProgressBar),
    /// It is a part of what a bar shows.
    Part(Arc<Part>),
}

/// What one transfer has of the bar of all.
pub(crate) struct Part {
    whole: ProgressBar,
    length: AtomicU64,
    position: AtomicU64,
}

impl Moving {
    /// With a bar of its own, hidden when quiet or not on a terminal; how long it is is said later.
    pub(crate) fn alone(name: &str, quiet: bool) -> Self {
        Self::Alone(bar(name, Some(0), quiet))
    }

    /// So many bytes more were moved.
    pub(crate) fn inc(&self, bytes: u64) {
        match self {
            Self::Alone(bar) => bar.inc(bytes),
            Self::Part(part) => {
                part.position.fetch_add(bytes, Ordering::Relaxed);
                part.whole.inc(bytes);
            }
        }
    }

    /// So many were moved in all: more than was said, or fewer where it began again.
    pub(crate) fn set_position(&self, bytes: u64) {
        match self {
            Self::Alone(bar) => bar.set_position(bytes),
            Self::Part(part) => match part.position.swap(bytes, Ordering::Relaxed) {
                before if before > bytes => part.whole.dec(before - bytes),
                before => part.whole.inc(bytes - before),
            },
        }
    }

    /// So many are to be moved.
    pub(crate) fn set_length(&self, bytes: u64) {
        match self {
            Self::Alone(bar) => bar.set_length(bytes),
            Self::Part(part) => part.set_length(bytes),
        }
    }

    /// The transfer is over.
    pub(crate) fn finish(&self) {
        if let Self::Alone(bar) = self {
            bar.finish_and_clear();
        }
    }
}

impl Part {
    fn set_length(&self, bytes: u64) {
        match self.length.swap(bytes, Ordering::Relaxed) {
            before if before > bytes => self.whole.dec_length(before - bytes),
            before => self.whole.inc_length(bytes - before),
        }
    }
}

/// What did not move, as it failed or was not needed, is nothing to wait for.
impl Drop for Part {
    fn drop(&mut self) {
        self.set_length(self.position.load(Ordering::Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use indicatif::InMemoryTerm;

    use super::*;

    /// A bar as a person sees it, and the screen that it is on.
    fn seen(name: &str, total: Option<u64>) -> (ProgressBar, InMemoryTerm) {
        let screen = InMemoryTerm::new(4, 120);
        let target = ProgressDrawTarget::term_like(Box::new(screen.clone()));
        (drawn(name, total, target), screen)
    }

    /// So much that hours are left however fast this machine goes from one line to the next.
    const MUCH: u64 = 1 << 60;

    #[test]
    fn a_bar_tells_how_much_how_fast_and_how_long() {
        let (bar, screen) = seen("photos/a.jpg", Some(MUCH));
        bar.inc(3 << 20);
        bar.tick();
        let told = screen.contents();
        assert!(told.starts_with("photos/a.jpg ") && told.contains(" 3.00 MiB/1.00 EiB "), "{told}");
        let words: Vec<_> = told.split_whitespace().collect();
        let [.., rate, unit, time, "left"] = words[..] else { panic!("{told}") };
        assert!(unit.ends_with("B/s") && rate.parse::<f64>().unwrap() > 0.0, "{told}");
        assert!(time.starts_with(|c: char| ('1'..='9').contains(&c)), "{told}");
    }

    #[test]
    fn without_a_total_there_is_a_rate_and_no_time_left() {
        let (bar, screen) = seen("stdin", None);
        bar.inc(3 << 20);
        bar.tick();
        let told = screen.contents();
        assert!(told.contains(" 3.00 MiB ") && told.contains("B/s") && !told.contains("left"), "{told}");
    }

    #[test]
    fn a_whole_moves_with_each_of_its_parts_and_ends_where_all_are_over() {
        let (bar, screen) = seen("sync", Some(300));
        let whole = Whole(bar);
        let (one, two, three) = (whole.part(100), whole.part(100), whole.part(100));
        let stands = || (whole.0.position(), whole.0.length().unwrap());
        one.inc(40);
        // What is read of the one is counted where its body is, and once.
        one.clone().inc(20);
        two.set_position(70);
        assert_eq!(stands(), (130, 300));
        one.set_position(0);
        assert_eq!(stands(), (70, 300), "it began again");
        two.set_length(150);
        assert_eq!(stands(), (70, 350), "it is longer than was known");
        drop(three);
        assert_eq!(stands(), (70, 250), "it failed, and nobody waits for it");
        one.set_position(100);
        two.set_position(150);
        drop((one, two));
        assert_eq!(stands(), (250, 250));
        whole.0.tick();
        assert!(screen.contents().contains("250 B/250 B"), "{}", screen.contents());
        drop(whole);
        assert_eq!(screen.contents(), "");
    }
}
