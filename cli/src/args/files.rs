//! Commands around files.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::commands::{Age, Direction, Size};

#[derive(Debug, Subcommand)]
pub(crate) enum FilesCommand {
    /// Store a file or, from `-`, standard input
    ///
    /// An interrupted upload of a large file goes on where it stopped when the command is run again.
    Put {
        /// File or, with --recursive, folder; `-` reads standard input
        source: PathBuf,
        /// Key to store it under; ends with `/` or is left out: the file's name is used
        key: Option<String>,
        /// Store all files of a folder
        #[arg(long, short)]
        recursive: bool,
        /// Fail if the key exists
        #[arg(long)]
        no_clobber: bool,
    },
    /// Fetch a file
    ///
    /// An interrupted download goes on where it stopped when the command is run again.
    Get {
        /// Key, or, with --recursive, prefix
        key: String,
        /// File or folder to write; `-` writes to standard output; left out: the key's last part
        target: Option<PathBuf>,
        /// Fetch all keys that begin with the prefix
        #[arg(long, short)]
        recursive: bool,
        /// Fetch this version of it, as `datamesh versions list` shows it
        #[arg(long, value_name = "ID", conflicts_with = "recursive")]
        version: Option<String>,
    },
    /// Fetch a folder as a zip
    Zip {
        /// The folder, with `/` at its end; `/` alone is the whole bucket
        folder: String,
        /// File to write; `-` writes to standard output; left out: the folder's name
        target: Option<PathBuf>,
    },
    /// List keys
    Ls {
        /// Only keys that begin with this
        #[arg(default_value = "")]
        prefix: String,
        /// All keys instead of one level up to the next `/`
        #[arg(long, short, short_alias = 'R')]
        recursive: bool,
    },
    /// Delete keys
    Rm {
        /// Keys, or, with --recursive, prefixes
        #[arg(required = true)]
        keys: Vec<String>,
        /// Delete all keys that begin with each prefix
        #[arg(long, short)]
        recursive: bool,
        /// Also take what was stored out of the nodes' files, and the keys to it out of the catalog's, at once, and wait for
        /// that; reads under way end. Says what stays. Interrupting the command does not interrupt it: `datamesh shreds`
        #[arg(long)]
        shred: bool,
        /// With --shred: do not wait
        #[arg(long, requires = "shred")]
        no_wait: bool,
    },
    /// What a bucket keeps of objects that were replaced or deleted
    Versions {
        #[command(subcommand)]
        command: VersionsCommand,
    },
    /// Copy an object to another key or bucket
    Cp(CopyArgs),
    /// Move an object to another key or bucket
    ///
    /// It is copied, and what was copied is deleted, unless it was changed meanwhile.
    Mv(CopyArgs),
    /// Show the keys that fit all that is asked for
    Find {
        /// Only keys that begin with this
        #[arg(default_value = "")]
        prefix: String,
        /// Only keys whose last part fits this pattern: `*`, `?`, `[a-z]`, `[!a]`
        #[arg(long, value_name = "PATTERN")]
        name: Option<glob::Pattern>,
        /// Only objects of more bytes: 500, 10K, 5M, 2GiB (powers of 1024)
        #[arg(long, value_name = "SIZE")]
        larger: Option<Size>,
        /// Only objects of fewer bytes
        #[arg(long, value_name = "SIZE")]
        smaller: Option<Size>,
        /// Only what was stored after this: an age (90m, 12h, 7d) or a time (2026-11-29T04:00:00Z)
        #[arg(long, value_name = "WHEN")]
        newer: Option<Age>,
        /// Only what was stored before this
        #[arg(long, value_name = "WHEN")]
        older: Option<Age>,
    },
    /// Show how many bytes the objects of each folder have
    Du {
        /// Only keys that begin with this
        #[arg(default_value = "")]
        prefix: String,
        /// Levels of folders below the prefix that get a line; 0: the sum alone
        #[arg(long, short, default_value_t = 1)]
        depth: usize,
    },
    /// Make a folder and the keys below a prefix the same, both ways
    ///
    /// Changes of each side go to the other; where both were changed, both versions are kept. docs/cli.md says more.
    Sync(SyncArgs),
    /// Make the keys below a prefix like a folder, once or for as long as it changes
    Mirror(MirrorArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SyncArgs {
    /// Folder
    pub(crate) folder: PathBuf,
    /// Prefix of the keys, without or with a `/` at its end; an empty one: the whole bucket
    pub(crate) prefix: String,
    /// Which side follows which
    #[arg(long, value_enum, default_value_t = Direction::Both)]
    pub(crate) direction: Direction,
    /// One way: delete what the side that leads does not have
    #[arg(long)]
    pub(crate) delete: bool,
    /// Go on although one side is empty, or more than half of what the other has would be deleted
    #[arg(long)]
    pub(crate) mass_delete: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct MirrorArgs {
    /// Folder
    pub(crate) folder: PathBuf,
    /// Prefix of the keys, without or with a `/` at its end; an empty one: the whole bucket
    pub(crate) prefix: String,
    /// Delete what the folder does not have
    #[arg(long)]
    pub(crate) delete: bool,
    /// With --delete: go on although the folder is empty, or more than half of what the bucket has would be deleted
    #[arg(long, requires = "delete")]
    pub(crate) mass_delete: bool,
    /// Go on whenever something changes in the folder, until interrupted
    #[arg(long)]
    pub(crate) watch: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CopyArgs {
    /// Key, or, with --recursive, prefix
    pub(crate) source: String,
    /// Key; one that ends with `/` takes the last part of the source. With --recursive: what takes the place of the prefix
    pub(crate) target: String,
    /// Bucket of the target; left out: the same
    #[arg(long, value_name = "BUCKET")]
    pub(crate) to_bucket: Option<String>,
    /// All keys that begin with the source
    #[arg(long, short)]
    pub(crate) recursive: bool,
    /// Fail if the target exists
    #[arg(long)]
    pub(crate) no_clobber: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum VersionsCommand {
    /// Show the versions of keys, of each key the newest first
    List {
        /// Keys, or, with --recursive, prefixes
        #[arg(required = true)]
        keys: Vec<String>,
        /// Of all keys that begin with each prefix
        #[arg(long, short)]
        recursive: bool,
    },
    /// Put a copy of a version in front of what its key has
    Restore {
        /// Its key
        key: String,
        /// Which version
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TrashCommand {
    /// Say for how long what is deleted is kept
    Show,
    /// Keep what is deleted from now on
    Keep {
        /// For so many days
        #[arg(long, default_value_t = 30)]
        days: u32,
    },
    /// Keep nothing of what is deleted from now on; what is in the trash stays until its days are over
    Off,
    /// Show what can be put back
    List {
        /// Only keys that begin with this
        prefix: Option<String>,
    },
    /// Put an object back
    Restore {
        /// Its key
        key: String,
        /// Which of several that were deleted; left out: the last one
        #[arg(long)]
        id: Option<String>,
        /// Also where there is another object of this key by now, which is kept as a version then
        #[arg(long)]
        overwrite: bool,
    },
    /// Delete an object for good that was deleted
    Purge {
        /// Its key
        key: String,
        /// Which of several that were deleted; left out: the last one
        #[arg(long)]
        id: Option<String>,
    },
    /// Delete all for good that was deleted
    Empty {
        /// Only keys that begin with this
        prefix: Option<String>,
    },
}
