//! The S3 port as clients see it, over fake nodes and a real catalog; and the documentation, held against the code.

mod access;
mod checksums;
mod chunks;
mod cors;
mod customer;
mod documentation;
mod door;
mod edges;
mod encryption;
mod lifecycle;
mod locks;
mod multipart;
mod notifications;
mod owners;
mod policies;
mod principals;
mod rates;
mod signer;
mod stores;
mod tags;
mod versions;
