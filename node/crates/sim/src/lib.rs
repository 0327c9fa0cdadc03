//! A whole cluster in one thread, from one seed: the production code of storage nodes, of the gateway's core and of the
//! catalog, over a simulated net, simulated disks and a simulated clock. All that can break breaks, within what the
//! cluster promises to bear; whatever it says and gives back is held against what is.
//!
//! * [`run()`] runs one seed, [`run_aloud`] tells what happens.
//! * `net`, `disk`, `node`, `gateway`: the world; `faults`: what happens to it; `client`, `again`: what is asked of it.
//! * `disaster`: the catalog is lost, and restored from its backup.
//! * `history`, `promise`, `truth`, `watcher`, `settle`: what must hold.
//! * [`Bug`]: planted faults, to see that they are found.

mod again;
mod bugs;
mod change;
mod client;
mod dice;
mod disaster;
mod disk;
mod faults;
mod gateway;
mod history;
mod life;
mod net;
mod node;
mod promise;
mod records;
mod run;
mod settle;
mod totals;
mod truth;
mod watcher;

pub use bugs::Bug;
pub use dice::Dice;
pub use run::{Options, Report, run, run_aloud};
pub use totals::Counts;
