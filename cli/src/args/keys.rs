//! Commands around S3's key pairs.

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make a key pair; its secret is shown this once
    Create(KeyArgs),
    /// Show all, without their secrets
    List {
        /// One's own
        #[arg(long)]
        mine: bool,
    },
    /// Refuse one from now on, until it is enabled (role admin needed)
    Disable {
        /// Its id
        id: String,
    },
    /// Take one again (role admin needed)
    Enable {
        /// Its id
        id: String,
    },
    /// Revoke one: it is refused from now on
    Delete {
        /// Its id
        id: String,
        /// It is one's own
        #[arg(long)]
        mine: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct KeyArgs {
    /// What to call it
    pub(crate) name: String,
    /// What it may do; more than read-write an administrator gives
    #[arg(long, value_enum, default_value_t = PermissionName::ReadWrite)]
    pub(crate) permission: PermissionName,
    /// A bucket it may touch; given several times, several; left out: all
    #[arg(long = "only-bucket", value_name = "BUCKET")]
    pub(crate) buckets: Vec<String>,
    /// The user it acts for, and who has it while they are not disabled; left out: who asks
    #[arg(long, value_name = "NAME", conflicts_with = "mine")]
    pub(crate) owner: Option<String>,
    /// One's own, which needs no administrator; asks for the password, and for a code of the second factor where you have one
    #[arg(long)]
    pub(crate) mine: bool,
    /// Read the password, and a code of the second factor, as lines from standard input
    #[arg(long, requires = "mine")]
    pub(crate) stdin: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PermissionName {
    /// Read and list
    ReadOnly,
    /// And write and delete objects
    ReadWrite,
    /// And make and delete buckets
    Admin,
}

impl PermissionName {
    /// As the API calls it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "readOnly",
            Self::ReadWrite => "readWrite",
            Self::Admin => "admin",
        }
    }
}
