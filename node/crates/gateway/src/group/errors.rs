use std::path::PathBuf;

use datamesh_catalog::engine::raft::{ImportError, MembersError, OpenError, ReplicaId};
use datamesh_shard::NodeName;

/// Why a gateway takes no part in the group that keeps the catalog.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// So many cannot keep one.
    #[error(
        "catalogMembers names {0} gateways: name 3 or 5, or leave it empty for a gateway that keeps the catalog alone; while others \
         leave, as catalogLeaving names them, it may be 1"
    )]
    Number(usize),
    /// All leave.
    #[error("catalogLeaving names {0}, but catalogMembers is empty: name those that stay there, 1, 3 or 5")]
    NobodyStays(NodeName),
    /// One of them twice.
    #[error("catalogMembers and catalogLeaving name {0} twice: give each gateway a `node` of its own")]
    Twice(NodeName),
    /// All but this one.
    #[error(
        "catalogMembers does not name {0}, which is this gateway's `node`: name it there too, or in catalogLeaving"
    )]
    NotNamed(NodeName),
    /// Two places for one catalog.
    #[error(
        "catalogMembers and catalogDatabase are both set: the catalog is either with the gateways or in the database"
    )]
    Database,
    /// It was a member of a group, and shall not be one any more.
    #[error(
        "{0} says that this gateway keeps its catalog with others, but catalogMembers is empty: name the gateways there again"
    )]
    NotAlone(PathBuf),
    /// Others have not left yet.
    #[error(
        "this gateway's replica of the catalog is not the only one with a vote ({0} have one), but catalogMembers is empty: name those that \
         stay there, and in catalogLeaving those that are to leave"
    )]
    NotLast(usize),
    /// Both kinds of catalog on one volume.
    #[error(
        "the data folder holds a replica and, in {0}, a catalog of one gateway: move away the one that is not wanted, which is as a \
         rule the latter"
    )]
    TwoHere(PathBuf),
    /// It was cut off while it became one of several.
    #[error(
        "{taken} is this gateway's catalog, which was being taken over by a group of several: name the gateways in catalogMembers again, \
         and that goes on; or, for one gateway as before, rename it to {single}"
    )]
    Taken {
        /// What it was renamed to.
        taken: PathBuf,
        /// What it was.
        single: PathBuf,
    },
    /// A catalog was begun while an earlier one was being taken over.
    #[error("{single} and {taken} are both catalogs of one gateway: move away the one that is not wanted")]
    TwoAlone {
        /// The one.
        single: PathBuf,
        /// The other, which is as a rule the older.
        taken: PathBuf,
    },
    /// Two gateways with a catalog each.
    #[error(
        "{other} has a catalog too, which is not the one on this gateway's volume: two catalogs do not become one. Start the gateway \
         whose catalog is not wanted with an empty volume"
    )]
    TwoCatalogs {
        /// The other gateway.
        other: NodeName,
    },
    /// The mark is another replica's.
    #[error(
        "{path} is of replica {found}, but this gateway's key makes it replica {own}: put back the `identity` it was written with"
    )]
    OtherReplica {
        /// The mark.
        path: PathBuf,
        /// Whose it is.
        found: ReplicaId,
        /// Whose it should be.
        own: ReplicaId,
    },
    /// The volume is another gateway's, or a copy of it.
    #[error(
        "{path} was written by gateway {found}, and this is {own}: two gateways on copies of one volume would be the same replica. Start \
         this one with an empty volume, or with the one it had"
    )]
    OtherGateway {
        /// The mark.
        path: PathBuf,
        /// Whose it is.
        found: NodeName,
        /// Who read it.
        own: NodeName,
    },
    /// The replica does nothing any more.
    #[error(
        "the catalog's replica on this gateway's volume has stopped, and the log says why: give the volume room if it is full, or \
         replace it, and start again"
    )]
    Stopped,
    /// A file of the data folder.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// What is in it.
    #[error("{path}: {source}: put back what was there, or start with an empty volume")]
    Unread {
        /// Which.
        path: PathBuf,
        /// The format's reason.
        source: serde_json::Error,
    },
    /// The replica.
    #[error(transparent)]
    Replica(#[from] OpenError),
    /// The catalog of a single gateway is not taken over.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The group is not formed.
    #[error(transparent)]
    Form(#[from] MembersError),
}
