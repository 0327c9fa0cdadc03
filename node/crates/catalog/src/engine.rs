//! The engines behind the keyspace trait.

mod any;
mod changes;
mod evaluate;
mod memory;
pub mod raft;
mod rocks;

pub use any::{AnyKeyspace, AnyView};
pub use memory::{Gate, MemoryKeyspace, MemoryView};
pub use rocks::{EngineError, EngineStats, RocksKeyspace, RocksOptions, RocksView, row};
