//! Which nodes hold which partition: a pool's layout, signed and versioned, and the table every member computes from it
//! alike. Pure: no I/O, no clock, no floating point.

mod layout;

pub use layout::{LAYOUT_CONTEXT, Layout, LayoutError, Member, SignedLayout};
