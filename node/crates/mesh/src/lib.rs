//! How nodes reach each other: their identity, the bulk transport for shards, whom they trust, and discovery.
//!
//! * [`Identity`]: one Ed25519 key is a node's name on every transport.
//! * [`BulkServer`] and [`Peers`]: requests and shards over TLS 1.3 with raw public keys, one at a time per connection.
//! * [`Gateways`]: other gateways, by their names.
//! * [`Trust`]: what the cluster's key signed, membership certificates and layouts.
//! * [`alarms`]: damage on its way to the steward that mends it.
//! * [`keeper`]: what a storage node does with its shards, without sockets or files.
//! * [`StorageNode`]: a storage node whole: serves its store, joins, stays in.
//! * [`Swarm`]: libp2p with Kademlia for small signed records.
//!
//! Everything that listens is bound first and run after: `bind(…)` returns once it listens, `run(stop)` ends when told.

pub mod alarms;
mod backoff;
#[cfg(test)]
mod decoders;
mod dial;
#[cfg(test)]
#[path = "../../shard/tests/support/dice.rs"]
mod dice;
mod encoding;
mod gateways;
#[cfg(test)]
mod golden;
mod identity;
pub mod keeper;
mod node;
mod offload;
mod peers;
pub mod planted;
mod resolve;
mod server;
mod swarm;
mod tls;
mod trust;
mod wire;
pub mod worker;

pub use dial::DialError;
pub use gateways::{AskError, Gateways, Told};
pub use identity::{Identity, IdentityError, peer_id_of, peer_of_id};
pub use keeper::Pace;
pub use node::{NodeError, Readiness, StorageNode};
pub use offload::offload;
pub use peers::{CONNECTIONS_PER_PEER, Latency, PeerError, PeerStatus, Peers};
pub use server::{
    BulkServer, CONNECTIONS_MAX, Handler, INBOUND_BYTES_MAX, STRANGERS_MAX, STRANGERS_PER_SOURCE_MAX,
    ServerError,
};
pub use swarm::{
    ConnectedPeer, LayoutPointer, MemoryRecords, NodeDescriptor, RECORD_BYTES_MAX, RECORDS_MAX, RecordBytes,
    RecordBytesError, RecordPair, RecordRefused, Swarm, SwarmBindError, SwarmConfig, SwarmError, SwarmHandle,
    layout_key, node_key,
};
pub use trust::{Caller, KeepLayout, LayoutRefused, Learned, NotTrusted, Trust, now_unix};
pub use wire::{NotSealed, WireError};
