//! Memory for what passes through: buffers that begin at a page and are used again and again, and places in them that are
//! filled each by somebody else and put together without a copy.
//!
//! Memory touched for the first time is dear on virtual machines, and copies from the kernel into large vectors as the
//! allocator hands them out (16 bytes into a page) are slow on common processors (docs/adr/0003-bulk-transport.md). Reads that
//! pass the page cache by need whole pages besides (docs/adr/0022-large-shards-pass-the-page-cache.md).

mod places;
mod pool;

pub use places::{Payload, Place, Places};
pub use pool::{Buffer, PAGE_BYTES, Pool};
