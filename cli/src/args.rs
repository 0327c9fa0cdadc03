mod accounts;
mod files;
mod keys;
mod operations;

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use datamesh_shard::{NodeName, PoolName};

pub(crate) use accounts::{
    AuditCommand, GroupsCommand, IdentitiesCommand, InvitesCommand, RegistrationName, ScopeName,
    SecondFactorCommand, SessionsCommand, ShareArgs, SharesCommand, TokensCommand, UsersCommand,
};
pub(crate) use files::{CopyArgs, FilesCommand, MirrorArgs, SyncArgs, TrashCommand, VersionsCommand};
pub(crate) use keys::{KeyArgs, KeysCommand};
pub(crate) use operations::{BackupCommand, BucketsCommand, JobsCommand};

/// Files in a DataMesh cluster: encrypted, erasure-coded, kept safe through lost nodes.
///
/// Settings come from options, then the environment (DATAMESH_SERVER, DATAMESH_TOKEN, DATAMESH_CA_FILE,
/// DATAMESH_ADMIN_TOKEN), then the file DATAMESH_CONFIG names (default ~/.config/datamesh/config.yaml).
#[derive(Debug, Parser)]
#[command(name = "datamesh", version, max_term_width = 110, after_long_help = crate::exit::paragraph())]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Clone, Debug, ClapArgs)]
#[command(next_help_heading = "Every command takes")]
pub(crate) struct Global {
    /// The gateway's address, https://HOST:PORT
    #[arg(long, global = true, env = "DATAMESH_SERVER")]
    pub(crate) server: Option<String>,
    /// Certificate authority (PEM) the gateway's certificate must come from
    #[arg(long, global = true, env = "DATAMESH_CA_FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Configuration file
    #[arg(long, global = true, env = "DATAMESH_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Bucket the keys are in
    #[arg(long, short, global = true, default_value = "default", env = "DATAMESH_BUCKET")]
    pub(crate) bucket: String,
    /// Seconds of pauses in which a command tries again while the gateway cannot be reached or is busy
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 60, env = "DATAMESH_RETRY_SECONDS")]
    pub(crate) retry_seconds: u64,
    /// How results are printed
    #[arg(long, short, global = true, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
    /// No progress bars
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// For programs: one JSON document
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Files(FilesCommand),
    /// Show what is being shredded, and was in the last week
    Shreds {
        /// Only this one
        id: Option<String>,
        /// Call it off, or forget it once it is over; what was deleted stays deleted
        #[arg(long, requires = "id")]
        forget: bool,
    },
    /// What was deleted of a bucket, and for how long it can be put back
    Trash {
        #[command(subcommand)]
        command: TrashCommand,
    },
    /// Buckets: which there are, what is set of them, making and removing them
    Buckets {
        #[command(subcommand)]
        command: BucketsCommand,
    },
    /// How safe the data is: pools, nodes, and what is wrong
    Status,
    /// What goes on for longer than a request; alone it lists all (role auditor needed)
    Jobs {
        #[command(subcommand)]
        command: Option<JobsCommand>,
    },
    /// Backups of the catalog (role auditor needed, to ask for one operator)
    Backup {
        #[command(subcommand)]
        command: BackupCommand,
    },
    /// Storage nodes: how they are, and taking one out of service
    Node {
        #[command(subcommand)]
        command: NodeCommand,
    },
    /// Who sees whom, and what is wrong (admin token needed)
    Mesh {
        #[command(subcommand)]
        command: MeshCommand,
    },
    /// Check that the catalog agrees with itself and with the nodes, while all goes on (admin token needed)
    ///
    /// Interrupting it stops it. With --output json each line is a JSON value. Exit code 7: something is not as it should be.
    Fsck(FsckArgs),
    /// Key pairs of S3: with --mine one's own, else everybody's (role admin needed)
    Keys {
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Sign in; the session is kept for the commands after it. Asks for a code of the second factor where you have one
    Login {
        /// Who
        #[arg(required_unless_present_any = ["oidc", "token"])]
        name: Option<String>,
        /// Sign in at this provider of OpenID Connect instead: shows a page and a code for it, and waits
        #[arg(long, value_name = "PROVIDER", conflicts_with_all = ["name", "code", "stdin", "token"])]
        oidc: Option<String>,
        /// Keep a personal access token for the commands after it, instead of a session: it is asked for
        #[arg(long, conflicts_with_all = ["name", "code"])]
        token: bool,
        /// Choose a password first, by a code that an administrator gave
        #[arg(long)]
        code: bool,
        /// Read what is asked for as lines of standard input: with --code that code, the password, and the code of a second factor; with
        /// --token that token
        #[arg(long)]
        stdin: bool,
    },
    /// Become a user, where the cluster lets you, and sign in
    Register {
        /// What you want to be called
        name: String,
        /// Come by an invitation: its code is asked for
        #[arg(long)]
        invite: bool,
        /// Where mail reaches you
        #[arg(long)]
        email: Option<String>,
        /// Read the invitation's code and the password as lines of standard input
        #[arg(long)]
        stdin: bool,
    },
    /// Say where mail reaches you: a code is mailed there, which you then confirm. Asks for the password
    Email {
        /// The address
        #[arg(required_unless_present_any = ["none", "confirm"])]
        address: Option<String>,
        /// Mail reaches you nowhere
        #[arg(long, conflicts_with = "address")]
        none: bool,
        /// Confirm an address by the code that was mailed there, which is asked for instead of the password
        #[arg(long, conflicts_with_all = ["address", "none"])]
        confirm: bool,
        /// Read what is asked for as a line of standard input
        #[arg(long)]
        stdin: bool,
    },
    /// End the session
    Logout,
    /// Show who you are to the gateway, and what you may do
    Whoami,
    /// Who you are at providers of OpenID Connect, by which you sign in
    Identities {
        #[command(subcommand)]
        command: IdentitiesCommand,
    },
    /// Choose another password; the other sessions end
    Password {
        /// Have a code mailed to this user's address, with which `login NAME --code` chooses a password
        #[arg(long, value_name = "NAME")]
        forgotten: Option<String>,
        /// Read the old and the new one as lines of standard input
        #[arg(long)]
        stdin: bool,
    },
    /// Codes that sign-in asks for besides the password
    SecondFactor {
        #[command(subcommand)]
        command: SecondFactorCommand,
    },
    /// Where you are signed in
    Sessions {
        #[command(subcommand)]
        command: SessionsCommand,
    },
    /// Tokens for programs that act for you
    Tokens {
        #[command(subcommand)]
        command: TokensCommand,
    },
    /// Links by which others have an object or a folder, or put files; who makes them is signed in
    Shares {
        #[command(subcommand)]
        command: SharesCommand,
    },
    /// Who may sign in (role admin needed)
    Users {
        #[command(subcommand)]
        command: UsersCommand,
    },
    /// Users together: they have a role, and policies of buckets name them (role admin needed)
    Groups {
        #[command(subcommand)]
        command: GroupsCommand,
    },
    /// Codes by which people become users (role admin needed)
    Invites {
        #[command(subcommand)]
        command: InvitesCommand,
    },
    /// Who did what (role auditor needed)
    Audit {
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// For administrators (admin token needed)
    Admin {
        #[command(subcommand)]
        command: AdminCommand,
    },
    /// Print the manual page of `datamesh`, or write those of all commands into a folder
    #[command(after_help = "To install them: datamesh man ~/.local/share/man/man1, then: man datamesh-put")]
    Man {
        /// Folder to write all pages into; it is made where it is missing
        folder: Option<PathBuf>,
    },
    /// Print a completion script for a shell
    #[command(after_help = "To install it:
  bash  datamesh completion bash > ~/.local/share/bash-completion/completions/datamesh
  zsh   datamesh completion zsh > ~/.zfunc/_datamesh      (with fpath+=~/.zfunc before compinit)
  fish  datamesh completion fish > ~/.config/fish/completions/datamesh.fish")]
    Completion {
        /// Which shell
        shell: Shell,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// Show all nodes or one, and how far a drain is
    Status {
        /// Only this node
        node: Option<NodeName>,
        /// Only nodes of this pool
        #[arg(long)]
        pool: Option<PoolName>,
    },
    /// Move all shards of a node to the others (admin token needed)
    ///
    /// Once it is drained, its pod and its volume may go; reads and writes go on meanwhile. Interrupting the command does not interrupt
    /// the drain.
    Drain {
        /// The node
        node: NodeName,
        /// Its pool; needed where two pools have a node of this name
        #[arg(long)]
        pool: Option<PoolName>,
        /// Do not wait until it is drained
        #[arg(long)]
        no_wait: bool,
    },
    /// Give the volume of a node up that is lost for good (admin token needed)
    ///
    /// The node can join again with an empty one. Refused while it answers.
    Replace {
        /// The node
        node: NodeName,
        /// Its pool; needed where two pools have a node of this name
        #[arg(long)]
        pool: Option<PoolName>,
        /// Say that what is on its volume is lost
        #[arg(long)]
        volume_is_lost: bool,
    },
    /// Call a drain off, at any point: the node takes shards again (admin token needed)
    Undrain {
        /// The node
        node: NodeName,
        /// Its pool; needed where two pools have a node of this name
        #[arg(long)]
        pool: Option<PoolName>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum MeshCommand {
    /// Ask every node what it sees of the others: versions, clocks, latency, and how safe each pool's data is
    Status,
    /// Say what is not as it should be and what will clear it, worst first
    Diagnose,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AdminCommand {
    /// The cluster's master key
    Key {
        #[command(subcommand)]
        command: KeyCommand,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Write the key as a Kubernetes Secret that `kubectl apply -f` restores. Keep it where the cluster is not:
    /// without it nothing stored can be read again, and with it everything can.
    Export {
        /// File to write, readable by its owner only; left out: standard output
        file: Option<PathBuf>,
    },
}

/// How a check is done.
#[derive(Clone, Copy, Debug, ClapArgs)]
pub(crate) struct FsckArgs {
    /// Mend what can be: rows that follow from others, shards that nothing needs
    #[arg(long)]
    pub(crate) repair: bool,
    /// Once it is over and nothing was found: a catalog that came out of copies may delete again
    #[arg(long)]
    pub(crate) confirm_restored: bool,
    /// The same whatever is found: it was seen before
    #[arg(long, requires = "confirm_restored")]
    pub(crate) despite_findings: bool,
}
