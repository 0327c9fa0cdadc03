//! How nodes talk and how segments travel, without any I/O: the wire messages and their frames, and a put and a get of
//! one segment as state machines to which the time is passed in. The mesh and the gateway drive them.

pub mod frame;
pub mod message;
