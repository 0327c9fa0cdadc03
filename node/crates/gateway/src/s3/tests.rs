//! The S3 port as clients see it, over fake nodes and a real catalog; and the documentation, held against the code.

mod access;
mod checksums;
mod chunks;
mod cors;
mod coverage;
mod customer;
mod documentation;
mod door;
mod edges;
mod encryption;
mod forms;
mod intake;
mod lifecycle;
mod locks;
mod multipart;
mod notifications;
mod policies;
mod principals;
mod rates;
mod signer;
mod stores;
mod tags;
mod unsigned;
mod uploads;
mod versions;
