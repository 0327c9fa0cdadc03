//! What all targets share: no decoder may ask for much memory at once, whatever the bytes say.

use std::alloc::{GlobalAlloc, Layout, System};

/// Bytes of one allocation at most. Inputs have 64 KiB; the largest honest answer to them is a segment of 4 MiB that
/// unpacks, and lists grow by doubling.
const ALLOCATION_BYTES_MAX: usize = 16 << 20;

struct Bounded;

// SAFETY: hands everything on to the system's allocator, or ends the process.
unsafe impl GlobalAlloc for Bounded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        check(layout.size());
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above; `alloc` and `realloc` gave what the system's allocator did.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        check(bytes);
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, bytes) }
    }
}

fn check(bytes: usize) {
    // A panic would allocate; an abort leaves the input behind all the same.
    if bytes > ALLOCATION_BYTES_MAX {
        std::process::abort();
    }
}

#[global_allocator]
static BOUNDED: Bounded = Bounded;
