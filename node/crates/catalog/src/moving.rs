//! Moves a catalog from one engine to another while it is served
//! ([ADR 54](../../../../docs/adr/0054-the-catalog-moves-while-it-is-served.md)).
//!
//! * `standing`: what a keyspace says of itself, and what follows from two of them; decided without I/O.
//! * `plan`: what a move does next, likewise; `differences`: two pages side by side, likewise.
//! * `left`: a part in a group, as what is left of a catalog that has moved.
//! * `mover`: carries it out, a small step at a time; `reading` copies and compares, `closing` has the rows that close and open.
//! * `own`: the rows of a move itself, which no copy has.

mod closing;
mod differences;
mod errors;
mod left;
mod mover;
mod own;
mod plan;
mod reading;
mod standing;

pub use closing::{has_gone, say_ready, say_ready_elsewhere, take_back, withdraw};
pub use errors::{MoveError, Refusal};
pub use left::is_left_of;
pub use mover::{Begun, Mover, Moves};
pub use plan::{Facts, Progress, Step};
pub use standing::{Course, Standing, came_from, course, look};

use crate::keyspace::Revision;

/// Commits of the source while it is copied, at most: those of three years, at 10,000 each second.
const COMMITS_MAX: u64 = 1 << 40;

/// Where a target begins to count its commits: above all of the source's, so that no version of the one is ever one of the other.
#[must_use]
pub const fn begins_above(source: Revision) -> Revision {
    Revision(source.0.saturating_add(COMMITS_MAX))
}
