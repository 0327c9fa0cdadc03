//! Commands about what a cluster does by itself, and about buckets as a whole.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum JobsCommand {
    /// Show all that is waiting or running, how far it is and how it is called off
    List,
    /// Show one
    Show {
        /// Its id
        id: String,
    },
    /// Show how far they are until they are over: one, or all that end some day
    ///
    /// On a terminal they are drawn anew; else each that is over gets a line, and with --output json each change a JSON document.
    Watch {
        /// Only this one
        id: Option<String>,
    },
    /// Call one off: a drain or a shredding. What cannot be says why, or how else
    Cancel {
        /// Its id
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum BackupCommand {
    /// Say how new the newest backup of the catalog is, what would be lost, and how its copies stand; exit code 7 if that is not as it should be
    Status,
    /// Show what the catalog can come back to, in the mesh and in copies elsewhere
    List,
    /// Back up all that is acknowledged by now, and wait until enough nodes keep it
    ///
    /// It is a snapshot, or what changed since the last one while another may not begin yet. Interrupting the command does not
    /// interrupt it.
    Now {
        /// Do not wait
        #[arg(long)]
        no_wait: bool,
        /// Wait for so long at most, then end with 1
        #[arg(long, value_name = "SECONDS", default_value_t = 900, conflicts_with = "no_wait")]
        wait_seconds: u64,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum BucketsCommand {
    /// Show all
    List,
    /// Make one
    Create {
        /// Its name: 3 to 63 of a-z 0-9 - .
        name: String,
        /// One whose clients seal by themselves: nobody else can read it, this program neither
        #[arg(long)]
        private: bool,
    },
    /// Show one: what is set of it and what it has
    Show {
        /// Its name
        name: String,
    },
    /// Remove one that is empty
    Remove {
        /// Its name
        name: String,
    },
}
