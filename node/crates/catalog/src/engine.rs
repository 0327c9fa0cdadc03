//! The engines behind the keyspace trait.

mod changes;
mod memory;
mod rocks;

pub use memory::{MemoryKeyspace, MemoryView};
pub use rocks::{EngineError, EngineStats, RocksKeyspace, RocksOptions, RocksView, row};
