//! The gateway: HTTPS with a REST API in front, the catalog beside, storage nodes behind.
//!
//! * `api`: routes, requests and answers; [`problem`] is every error a client can see.
//! * `auth`: who asks, and whether they may; `accounts`: users and what stands for them; `audit`: who did what.
//! * `objects`: what a put, get, list or delete does with catalog and pipeline.
//! * `policy`: what a bucket's policy says of a request.
//! * `notifications`: whom events of buckets are told, and in what words.
//! * `pipeline`: bytes to the nodes and back, in memory that [`pipeline::Budget`] bounds for all transfers together.
//! * `cache`: hot segments in memory, sealed.
//! * `pools`, `layouts`, `join`: which nodes there are, and how they come in.
//! * `backup`, `restore`: the catalog into the mesh, and out of it again.
//! * `group`: several gateways that keep one catalog together; `moving`: the catalog from one engine to another.
//! * `outward`: how others' servers are spoken to, and who vouches for them.
//! * `work`: what runs in the background: reports, layouts, reclaiming, renewing.
//! * `server`: [`Gateway::bind`], then [`Gateway::run`].
//! * [`embed`]: the same without listeners, for programs that bring their own net, catalog, time and randomness.
//!
//! Nothing here trusts a storage node: shards are checked against the segment's id, and frames against their keys.

mod access_keys;
mod accounts;
mod api;
mod audit;
mod auth;
mod backup;
mod book;
mod cache;
mod core;
mod cors;
pub mod embed;
mod fsck;
mod group;
mod https;
mod jobs;
mod join;
mod layouts;
mod lifecycle;
pub mod limits;
pub mod mail;
mod mesh_status;
pub mod metrics;
mod moving;
pub mod notifications;
mod objects;
pub mod oidc;
mod outward;
mod owned;
pub mod pipeline;
mod policy;
mod pools;
pub mod problem;
mod rate;
mod restore;
mod s3;
mod server;
mod status;
mod surroundings;
mod trash;
mod watched;
mod work;

#[cfg(test)]
mod tests;

pub use api::openapi::document as openapi_document;
pub use auth::{TokenError, Tokens};
pub use group::GroupError;
pub use https::BindError;
pub use layouts::LoadLayoutError;
pub use moving::MoveFault;
pub use outward::NoAuthorities;
pub use restore::RestoreError;
pub use server::{Addresses, BUFFER_BYTES_MIN, CACHE_BYTES_MIN, Gateway, GatewayError, Health, Waiting};
