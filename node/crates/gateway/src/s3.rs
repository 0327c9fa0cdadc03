//! S3 on a port of its own: the protocol is the library's (`s3s`: signatures, chunked bodies, XML), what it stands for is
//! done by the same [`crate::objects`] as the REST API's.
//!
//! * `front`: which operations there are, one line each; `docs/s3.md` says why the others are not.
//! * `access`: who may do what; `standing`: what key and policy say together; `actions`: what policies call it.
//! * `coverage`: what a signature must cover.
//! * `rates`: how many requests may come.
//! * `refusals`: every problem in S3's words.
//! * `browser`: what pages of others may do from a browser, and are told.
//! * `locks`: object lock, of buckets and versions.
//! * `customer`: keys that customers bring with their requests (SSE-C).
//! * `checksums`: what a body is held against, and what is kept of it; `chunks` and `forms`: what of its way here the
//!   library does not look at.
//! * `intake`: how a body comes to the library; `memory`: how much of such bodies there is at once.

mod access;
mod actions;
mod body;
mod browser;
mod buckets;
mod checksums;
mod chunks;
mod copy;
mod cors;
mod coverage;
mod customer;
mod fields;
mod forms;
mod front;
mod host;
mod intake;
mod lifecycle;
mod listing;
mod locks;
mod memory;
mod multipart;
mod names;
mod notifications;
mod objects;
mod policies;
mod rates;
mod reads;
mod refusals;
mod standing;
mod tags;
mod trace;
mod unsigned;
mod uploads;
mod versions;

#[cfg(test)]
mod tests;

pub(crate) use trace::router;
