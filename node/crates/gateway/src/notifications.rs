//! Events of buckets, told to webhooks.
//!
//! The catalog writes an event with the change that it tells (`catalog/notifications`); `work/notify` has it told where the catalog leads,
//! and forgets it then. `targets`: whom there is to tell. `message`: what they are told, and `webhook`: how.

mod message;
mod targets;
mod webhook;

pub(crate) use message::{Message, name_of};
pub(crate) use targets::Targets;
pub use targets::{Target, TargetError};
pub(crate) use webhook::Untold;
