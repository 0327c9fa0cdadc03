//! Commands around accounts.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::client::Wanted;
use crate::commands::Size;

#[derive(Debug, Subcommand)]
pub(crate) enum SessionsCommand {
    /// Show all
    List,
    /// End one: it is refused from now on
    End {
        /// Its id
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokensCommand {
    /// Make a token; it is shown this once
    Create {
        /// What to call it
        name: String,
        /// What it is for; given several times, several
        #[arg(long = "scope", value_enum, default_values_t = [ScopeName::Read, ScopeName::Write])]
        scopes: Vec<ScopeName>,
        /// For how many days it counts, 366 at most
        #[arg(long, default_value_t = 90)]
        days: u64,
        /// Read the password, and a code of the second factor, as lines from standard input
        #[arg(long)]
        stdin: bool,
    },
    /// Show all, without what makes them tokens
    List,
    /// End one: it is refused from now on
    Delete {
        /// Its id
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SharesCommand {
    /// Make a link; it is shown this once
    Create(ShareArgs),
    /// Show those that count, without their secrets
    List {
        /// Those of this user (role admin needed)
        #[arg(long, value_name = "NAME")]
        of: Option<String>,
    },
    /// End one: it is refused from now on
    End {
        /// Its id
        id: String,
        /// It is this user's (role admin needed)
        #[arg(long, value_name = "NAME")]
        of: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ShareArgs {
    /// The object, or with `/` at its end the folder; `/` alone is the whole bucket
    pub(crate) key: String,
    /// A drop box in that folder: others put files there and see nothing
    #[arg(long = "drop", conflicts_with = "downloads")]
    pub(crate) is_drop: bool,
    /// Files that a drop box takes at most
    #[arg(long, requires = "is_drop", default_value_t = 100)]
    pub(crate) files: u32,
    /// Bytes of all of them at most: 500, 10K, 5M, 2GiB (powers of 1024)
    #[arg(long, value_name = "SIZE", requires = "is_drop", default_value = "10G")]
    pub(crate) bytes: Size,
    /// For how many days it counts, 366 at most
    #[arg(long, default_value_t = 7)]
    pub(crate) days: u64,
    /// Downloads at most; left out: as many as anybody likes
    #[arg(long)]
    pub(crate) downloads: Option<u32>,
    /// Ask for a password that others must know besides
    #[arg(long)]
    pub(crate) password: bool,
    /// Read the password as a line of standard input
    #[arg(long, requires = "password")]
    pub(crate) stdin: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScopeName {
    /// Read files, lists and the status
    Read,
    /// Write and delete files and buckets
    Write,
    /// What needs more than the role member
    Administer,
}

impl ScopeName {
    /// As the API calls it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Administer => "administer",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleName {
    /// Files and buckets
    Member,
    /// And see who did what
    Auditor,
    /// And change pools and nodes
    Operator,
    /// And everything else
    Admin,
}

impl RoleName {
    /// As the API calls it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Auditor => "auditor",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

/// What a group gives its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GroupRoleName {
    /// Nothing besides what policies of buckets let it
    None,
    /// Files and buckets
    Member,
    /// And see who did what
    Auditor,
    /// And change pools and nodes
    Operator,
    /// And everything else
    Admin,
}

impl GroupRoleName {
    /// As the API calls it.
    pub(crate) fn as_str(self) -> Option<&'static str> {
        let role = match self {
            Self::None => return None,
            Self::Member => RoleName::Member,
            Self::Auditor => RoleName::Auditor,
            Self::Operator => RoleName::Operator,
            Self::Admin => RoleName::Admin,
        };
        Some(role.as_str())
    }
}

/// Who may become a user by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RegistrationName {
    /// Nobody: administrators make users
    Closed,
    /// Whoever has an invitation
    Invite,
    /// Anybody who reaches the gateway
    Open,
}

impl RegistrationName {
    /// As the API calls it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Invite => "invite",
            Self::Open => "open",
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum InvitesCommand {
    /// Make an invitation; its code is shown this once, and counts once, for a week
    Create {
        /// What who comes with it may do
        #[arg(long, value_enum, default_value_t = RoleName::Member)]
        role: RoleName,
    },
    /// Show those that count, without their codes
    List,
    /// Take one back: its code is refused from now on
    Revoke {
        /// Its id
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SecondFactorCommand {
    /// Show whether it is on
    Status,
    /// Turn it on: shows a secret for a program that makes codes (TOTP), asks for a code, and shows recovery codes
    Enable {
        /// Read the password and the code as lines of standard input
        #[arg(long)]
        stdin: bool,
    },
    /// Turn it off
    Disable {
        /// Read the password and the code as lines of standard input
        #[arg(long)]
        stdin: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum IdentitiesCommand {
    /// Show all; one is bound by a browser that is signed in
    List {
        /// Those of this user (role admin needed)
        #[arg(long, value_name = "NAME")]
        of: Option<String>,
    },
    /// Sign in by it no more; other sessions end
    Unbind {
        /// The provider
        provider: String,
        /// It is this user's, all of whose sessions end (role admin needed)
        #[arg(long, value_name = "NAME")]
        of: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum UsersCommand {
    /// Show all
    List,
    /// Make a user; shows the code by which they choose their password
    Create {
        /// What they are called
        name: String,
        /// What they may do
        #[arg(long, value_enum, default_value_t = RoleName::Member)]
        role: RoleName,
        /// Where mail reaches them
        #[arg(long)]
        email: Option<String>,
    },
    /// Change what a user may do, from their next request on
    Role {
        /// Who
        name: String,
        /// What they may do
        #[arg(value_enum)]
        role: RoleName,
    },
    /// Say where mail reaches a user; codes that were mailed to them end
    Email {
        /// Who
        name: String,
        /// The address
        #[arg(required_unless_present = "none")]
        address: Option<String>,
        /// Mail reaches them nowhere
        #[arg(long, conflicts_with = "address")]
        none: bool,
    },
    /// Refuse a user from now on, and disable their S3 keys
    Disable {
        /// Who
        name: String,
    },
    /// Take a user again; their S3 keys stay disabled until each is enabled
    Enable {
        /// Who
        name: String,
    },
    /// Take a user's password, sessions and tokens, and disable their S3 keys; shows the code by which they choose another
    Reset {
        /// Who
        name: String,
    },
    /// Take the second factor of a user who lost it; the password alone signs them in then
    ClearSecondFactor {
        /// Who; not yourself
        name: String,
    },
    /// Show or say who may become a user by themselves
    Registration {
        /// Who; left out: shows it
        #[arg(value_enum)]
        who: Option<RegistrationName>,
    },
    /// End all sessions of a user
    SignOut {
        /// Who
        name: String,
    },
    /// Delete a user and their S3 keys; what they stored stays
    Delete {
        /// Who
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum GroupsCommand {
    /// Show all
    List,
    /// Show one and its members
    Show {
        /// Which
        name: String,
    },
    /// Make a group without members
    Create {
        /// What it is called
        name: String,
        /// What its members may do at least; left out: nothing besides what policies of buckets let it
        #[arg(long, value_enum)]
        role: Option<RoleName>,
    },
    /// Change what members of a group may do at least, from their next request on
    Role {
        /// Which
        name: String,
        /// What they may do
        #[arg(value_enum)]
        role: GroupRoleName,
    },
    /// Make a user a member
    Add {
        /// Which
        name: String,
        /// Who
        user: String,
    },
    /// Take a user out: what policies deny the group they do not deny them any more
    Remove {
        /// Which
        name: String,
        /// Who
        user: String,
    },
    /// Delete a group; its members stay users, and what policies deny it they deny nobody any more
    Delete {
        /// Which
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Show entries in the order of time
    List {
        #[command(flatten)]
        filter: Filter,
        /// How many at most
        #[arg(long, default_value_t = 1000)]
        limit: usize,
    },
    /// Print entries, a line of JSON each
    Export {
        #[command(flatten)]
        filter: Filter,
    },
    /// Recompute all chains: whether anything was changed, removed, moved or cut off (exit code 7)
    Verify {
        /// What `audit verify --output json` said before, kept elsewhere: finds what was put back to an earlier state since
        #[arg(long, value_name = "FILE")]
        against: Option<PathBuf>,
    },
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Filter {
    /// Only what this one did: `operator`, `user:NAME`, `key:ID`, …
    #[arg(long)]
    actor: Option<String>,
    /// Only actions that begin with this: `PUT /api/v1/files`, `s3:DeleteBucket`, …
    #[arg(long)]
    action: Option<String>,
    /// Only what was answered so: a status like `403`, a class like `4xx`, or `0` where the client hung up
    #[arg(long)]
    status: Option<String>,
    /// Only targets that begin with this: `/api/v1/admin/users/`, `/bucket/key` for S3, …
    #[arg(long, value_name = "PREFIX")]
    target: Option<String>,
    /// Only from this time on (RFC 3339)
    #[arg(long)]
    since: Option<String>,
    /// Only before this time (RFC 3339)
    #[arg(long)]
    until: Option<String>,
}

impl Filter {
    pub(crate) fn wanted(self) -> Wanted {
        let Self { actor, action, status, target, since, until } = self;
        Wanted { actor, action, status, target, since, until }
    }
}
