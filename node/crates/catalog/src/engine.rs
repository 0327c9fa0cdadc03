//! The engines behind the keyspace trait.

mod any;
mod changes;
mod evaluate;
mod memory;
mod moving;
mod postgres;
pub mod raft;
mod rocks;

pub use any::{AnyKeyspace, AnyView};
pub use memory::{Gate, MemoryKeyspace, MemoryView};
pub use moving::MovingKeyspace;
pub use postgres::{PostgresError, PostgresKeyspace, PostgresOptions, PostgresView};
pub use rocks::{EngineError, EngineStats, RocksKeyspace, RocksOptions, RocksView, row};
