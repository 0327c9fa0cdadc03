//! The gateway against a real catalog on disk and an in-memory FAKE of the storage nodes (`fake`), which can be told
//! to fail. In `deterministic` the catalog is in memory and time is virtual; what runs over real sockets is in `https`;
//! real nodes are met end to end, elsewhere.

pub(crate) mod accounts;
mod archive;
mod audit;
mod auth;
mod avoidance;
mod backups;
mod blindness;
mod budget;
mod caching;
mod described;
mod deterministic;
mod erasure;
mod failures;
mod fake;
mod fsck;
pub(crate) mod house;
pub(crate) mod https;
mod idempotency;
mod listing;
mod mail;
mod metadata;
mod monitoring;
mod oidc;
mod pools;
mod ranges;
mod reclaim;
mod recode;
mod retention;
mod round_trips;
mod scrub;
mod second_factor;
mod shares;
mod shreds;
mod trash;
mod uploads;
