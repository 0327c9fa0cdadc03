//! How nodes talk and how segments travel, without any I/O: the wire messages and their frames, and a put and a get of
//! one segment as state machines to which the time is passed in. The mesh and the gateway drive them.
//!
//! Time is a [`std::time::Duration`] since a start that the driver chooses and keeps to. Nodes are the member indexes
//! of the layout the driver works with. [`net`] is what the drivers send through.

pub mod anchor;
mod as_json;
pub mod digest;
pub mod frame;
pub mod get;
pub mod inventory;
pub mod message;
pub mod net;
pub mod put;
pub mod survey;

pub use get::{Doubt, GetAction, GetBudget, GetFailure, GetMachine};
pub use put::{Ack, PutAction, PutDeadlines, PutFailure, PutMachine, PutPlan, SendFailure};
