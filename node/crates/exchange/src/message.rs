//! The wire messages of the bulk connection. One request, then its response, one at a time per connection; each is one
//! frame (see [`crate::frame`]): the head is what stands here, the payload is a shard's bytes and travels raw after it.
//!
//! The head is protected on every connection, the payload is not: only what proves itself may travel there. [`Request::Replica`] is
//! asked on connections that stay in TLS, and on no others.
//!
//! The postcard encoding of these types is the wire format: fields and variants are only ever appended, and a change
//! that a peer of another version could misread raises [`PROTOCOL`]. Reports, which grow, are JSON inside. Golden files hold it.

use bytes::Bytes;
use datamesh_placement::SignedLayout;
use datamesh_settings::Endpoint;
use datamesh_settings::admin::NodeReport;
use datamesh_settings::mesh::{CatalogStanding, MeshView};
use datamesh_shard::limits::{MESSAGE_BYTES_MAX, REPLICA_BYTES_MAX, SHARD_BYTES_MAX};
use datamesh_shard::{
    Epoch, Generation, Held, Incarnation, NodeName, PoolName, SegmentId, ShardIndex, ShardKey, ZoneName,
};
use serde::{Deserialize, Serialize};

use crate::anchor::AnchorId;
use crate::as_json;
use crate::digest::{Digest, Question};
use crate::survey::Tolerances;

/// First byte of every head.
pub const PROTOCOL: u8 = 1;

/// What one process asks of another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// First on every connection: who I am beyond my key. Answered by [`Response::Hello`].
    Hello {
        /// Encoded membership certificate; a member of a layout the peer already knows needs none.
        certificate: Option<Vec<u8>>,
        /// The sender's, so that an older copy of the same node is recognised.
        incarnation: Incarnation,
    },
    /// A storage node wants to be let in. Answered by [`Response::Joined`].
    Join(JoinRequest),
    /// A newer layout. Answered by [`Response::Done`].
    Layout(SignedLayout),
    /// Keep a shard; the payload is its bytes. Durable before [`Response::Done`] answers it. Idempotent.
    Put {
        /// Which shard.
        key: ShardKey,
        /// The pool it belongs to.
        pool: PoolName,
        /// The layout the sender placed it by; refused if the holder knows a newer one.
        epoch: Epoch,
        /// Kept with the shard; a delete of an older one is ignored.
        generation: Generation,
        /// The encoded segment header that proves the shard.
        header: Bytes,
    },
    /// A whole shard, as it was written; the asker proves it. Answered by [`Response::Shard`] and the payload.
    Get {
        /// Which shard.
        key: ShardKey,
    },
    /// A part of a shard, unverified: the frames in it prove themselves. Answered by [`Response::Range`] and the payload.
    GetRange {
        /// Which shard.
        key: ShardKey,
        /// First byte.
        offset: u32,
        /// Bytes wanted.
        len: u32,
    },
    /// Which shards of a segment the peer has. Answered by [`Response::Located`].
    Locate {
        /// The segment.
        segment: SegmentId,
    },
    /// Remove a shard, unless it is of a later generation. Answered by [`Response::Done`], also if there was none.
    Delete {
        /// Which shard.
        key: ShardKey,
        /// The generation that is garbage.
        generation: Generation,
    },
    /// How the peer's store is. Answered by [`Response::Report`].
    Report,
    /// What the peer has of a partition, by segment. Answered by [`Response::Inventory`].
    Inventory {
        /// Binary logarithm of the number of partitions.
        partitions_log2: u8,
        /// The partition.
        partition: u32,
        /// Only segments behind this one: the last of the page before.
        after: Option<SegmentId>,
    },
    /// Whether the peer has a shard that belongs to it, durably, and will keep it as long as the layout is this one.
    /// Answered by [`Response::Done`], or refused as not found.
    Home {
        /// Which shard.
        key: ShardKey,
        /// The layout by which it belongs to the peer.
        epoch: Epoch,
        /// The generation it must have at least.
        generation: Generation,
    },
    /// Remove all shards of a segment up to a generation, and remember that. Answered by [`Response::Done`], also if
    /// there was none.
    DeleteSegment {
        /// The segment.
        segment: SegmentId,
        /// The generation that is garbage.
        generation: Generation,
    },
    /// What the peer knows of the partitions it is steward of. Answered by [`Response::Stewardship`].
    Stewardship {
        /// Only partitions behind this one: the last of the page before.
        after: Option<u32>,
    },
    /// What the peer sees of the others of its pool. Answered by [`Response::Mesh`].
    Mesh,
    /// How the peer shall read its shards from now on, which it remembers. Answered by [`Response::Done`]; asked only of peers whose
    /// report says how their scrub is.
    Scrub {
        /// Seconds within which it reads all of them once.
        period_seconds: u64,
        /// Whether it shall not.
        paused: bool,
        /// Payload bytes a second at most.
        max_bytes_per_second: Option<u64>,
    },
    /// Shards of these segments were found missing, corrupt or away: the peer may look at their partitions before it would
    /// come by. A hint, believed no further than that. Answered by [`Response::Done`], whatever comes of it.
    Look {
        /// [`LOOK_SEGMENTS_MAX`] at most; one of each partition suffices.
        segments: Vec<SegmentId>,
    },
    /// Digests of what the peer has of some partitions. Answered by [`Response::Digests`].
    Digests(Question),
    /// What the peer has of a range of segments. Answered by [`Response::Inventory`].
    Slice {
        /// The first segment it may be.
        from: SegmentId,
        /// The first behind it, unless it goes to the end.
        to: Option<SegmentId>,
        /// Only segments behind this one: the last of the page before.
        after: Option<SegmentId>,
    },
    /// The bytes of these segments, which were deleted, shall leave the peer's log files now. Takes a while: it goes on while nobody
    /// asks, and the same question again says how far it is. Answered by [`Response::Shredding`], or refused as busy while other
    /// segments are being shredded.
    Shred {
        /// [`SHRED_SEGMENTS_MAX`] at most.
        segments: Vec<SegmentId>,
    },
    /// What the peer, a gateway, has of the catalog that it keeps with others. Answered by [`Response::Standing`].
    Standing,
    /// A question of one replica of the catalog to another, which is the payload. Not idempotent: sent once. Answered by
    /// [`Response::Replica`] and the payload. Gateways alone ask it, and the connection must be in TLS.
    Replica,
    /// Keep the anchor of a backup of the catalog, in the place of an earlier one of its chain. Durable before [`Response::Done`]
    /// answers it; [`Refusal::Superseded`] where a later catalog's is kept. Gateways alone ask this and the next two.
    KeepAnchor {
        /// Its place.
        id: AnchorId,
        /// [`crate::anchor::ANCHOR_BYTES_MAX`] at most.
        sealed: Bytes,
    },
    /// Which anchors the peer keeps. Answered by [`Response::Anchors`].
    Anchors,
    /// One of them. Answered by [`Response::Anchor`].
    Anchor {
        /// Its place.
        id: AnchorId,
    },
    /// The newest layout that the peer knows of its pool. Answered by [`Response::Layout`].
    NewestLayout,
    /// Let go of the anchors of catalogs up to this generation: there shall be no backups. Answered by [`Response::Done`], also if there was
    /// none; [`Refusal::Superseded`] where a later catalog's is kept. Gateways alone ask it.
    ForgetAnchors {
        /// That of the catalog that is.
        generation: u64,
    },
}

/// What the other answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    /// The peer's side of the greeting.
    Hello {
        /// Encoded membership certificate, if the peer has one.
        certificate: Option<Vec<u8>>,
        /// The peer's incarnation.
        incarnation: Incarnation,
    },
    /// Let in.
    Joined(Joined),
    /// Done; for a put, durably.
    Done,
    /// A shard; the payload is its bytes.
    Shard {
        /// The encoded segment header that proves it.
        header: Bytes,
    },
    /// Part of a shard; the payload is exactly the bytes asked for.
    Range,
    /// The shards of a segment the peer has, possibly none.
    Located(Vec<ShardIndex>),
    /// The peer's report.
    Report(#[serde(with = "as_json")] NodeReport),
    /// Not done, and why.
    Refused(Refusal),
    /// A page of an inventory by rising segment, [`INVENTORY_ROWS_MAX`] rows if there are more.
    Inventory(Vec<Held>),
    /// What the peer knows as a steward.
    Stewardship(Stewardship),
    /// What the peer sees of the others.
    Mesh(#[serde(with = "as_json")] MeshView),
    /// One digest a range, partition after partition as they were asked for: of the first of them only, and of one at least, where
    /// there is much to read.
    Digests(Vec<Digest>),
    /// How far a shredding is.
    Shredding {
        /// Whether it is over.
        done: bool,
        /// Once it is: log files that still hold some of the bytes, for lack of room or because they are damaged.
        left: u32,
    },
    /// What the peer has of the catalog.
    Standing(#[serde(with = "as_json")] CatalogStanding),
    /// A replica's answer, which is the payload.
    Replica,
    /// The anchors that the peer keeps, [`crate::anchor::ANCHORS_MAX`] at most.
    Anchors(Vec<AnchorId>),
    /// A sealed anchor.
    Anchor(Bytes),
    /// A pool's newest layout, if the peer knows one.
    Layout(Option<SignedLayout>),
}

/// Segments named in one [`Request::Shred`] at most: 8 KiB.
pub const SHRED_SEGMENTS_MAX: usize = 256;

/// Segments named in one [`Request::Look`] at most: 8 KiB.
pub const LOOK_SEGMENTS_MAX: usize = 256;

/// Rows of one page of an inventory at most: some 200 KiB.
pub const INVENTORY_ROWS_MAX: usize = 4096;

/// Partitions of one page of a [`Stewardship`] at most: some 100 KiB.
pub const COUNTS_MAX: usize = 4096;

/// How the segments of the partitions are that a node is steward of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stewardship {
    /// The layout these counts are under, once one is known.
    pub epoch: Option<Epoch>,
    /// Counts of partitions by rising number, [`COUNTS_MAX`] if there are more.
    pub counts: Vec<PartitionCount>,
    /// Shards rebuilt since the node started.
    pub rebuilt_shards: u64,
    /// Their payload bytes.
    pub rebuilt_bytes: u64,
    /// Shards that could not be rebuilt, tries counted.
    pub failed_rebuilds: u64,
    /// Shards this node stood in for that went home since it started.
    pub sent_home: u64,
    /// Those that are still here.
    pub strays: u64,
    /// Shards read by the scrub since the node started.
    pub scrubbed_shards: u64,
    /// Those of them that were corrupt.
    pub scrubbed_corrupt: u64,
}

/// One partition, as its steward counted it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionCount {
    /// Its number.
    pub partition: u32,
    /// Seconds since it was counted.
    pub age_seconds: u32,
    /// Members of the layout that did not say what they have: what they have is not counted.
    pub silent: u16,
    /// How its segments are.
    pub tolerances: Tolerances,
}

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The peer has no such shard.
    #[error("no such shard")]
    NotFound,
    /// The peer had it, but what is on its disk is damaged. It has counted that.
    #[error("the shard is corrupt: {detail}")]
    Corrupt {
        /// Where.
        detail: String,
    },
    /// Free space is below the reserve.
    #[error("the store takes no new shards: its free space is below the reserve")]
    Full,
    /// Placed by a layout older than the peer knows.
    #[error("the layout's epoch is out of date, epoch {known} is known")]
    StaleEpoch {
        /// The newest the peer knows.
        known: Epoch,
    },
    /// The peer has a later generation of that shard.
    #[error("a later generation of the shard is stored")]
    StaleGeneration,
    /// The sender is no member, as far as the peer knows.
    #[error("the sender is not a member")]
    NotAMember,
    /// The request makes no sense; asking again will not help.
    #[error("bad request: {0}")]
    BadRequest(String),
    /// The join token is not good.
    #[error("the join token was rejected: {0}")]
    TokenRejected(String),
    /// Too much is going on; ask again later.
    #[error("busy")]
    Busy,
    /// The peer failed, for example its disk.
    #[error("the peer failed: {0}")]
    Failed(String),
    /// The anchor of a catalog of a later generation is kept: the sender's catalog was replaced by one that was restored from a
    /// backup. Believed once that anchor was asked for and has proven itself.
    #[error("it keeps the anchor of a catalog of generation {}", by.generation)]
    Superseded {
        /// The later one's.
        by: AnchorId,
    },
}

/// A storage node's application for membership.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinRequest {
    /// The one-use token for this node and pool.
    pub token: String,
    /// Its name.
    pub node: NodeName,
    /// The pool it wants to serve.
    pub pool: PoolName,
    /// Where it stands, as its settings say.
    pub zone: ZoneName,
    /// Bytes it may use.
    pub capacity_bytes: u64,
    /// Where others reach it.
    pub endpoint: Endpoint,
    /// Its store's incarnation.
    pub incarnation: Incarnation,
}

impl std::fmt::Debug for JoinRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Everything but the token, which is a secret.
        f.debug_struct("JoinRequest")
            .field("node", &self.node)
            .field("pool", &self.pool)
            .field("zone", &self.zone)
            .field("capacity_bytes", &self.capacity_bytes)
            .field("endpoint", &self.endpoint)
            .field("incarnation", &self.incarnation)
            .finish_non_exhaustive()
    }
}

/// What a node gets when it is let in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// Its encoded membership certificate.
    pub certificate: Vec<u8>,
    /// The newest layout of each pool that has one.
    pub layouts: Vec<SignedLayout>,
    /// Gateways, for the next time.
    pub gateways: Vec<Endpoint>,
}

impl Request {
    /// Payload bytes that may follow this request at most: asked before a buffer is taken for them.
    #[must_use]
    pub const fn payload_bytes_max(&self) -> usize {
        match self {
            Self::Put { .. } => SHARD_BYTES_MAX,
            Self::Replica => REPLICA_BYTES_MAX,
            _ => 0,
        }
    }
}

impl Response {
    /// Payload bytes that may follow this response at most: asked before a buffer is taken for them.
    #[must_use]
    pub const fn payload_bytes_max(&self) -> usize {
        match self {
            Self::Shard { .. } | Self::Range => SHARD_BYTES_MAX,
            Self::Replica => MESSAGE_BYTES_MAX,
            _ => 0,
        }
    }
}
