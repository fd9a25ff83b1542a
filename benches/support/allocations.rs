//! A counting allocator: how often did this thread ask for memory?
//!
//! ```text
//!   alloc, realloc ─► this thread's counter ─► the system's allocator
//! ```
//!
//! Rules: counting is a plain addition, no atomic one, so that the timed rows are not rows about counting.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// How often this thread has made or moved a block so far.
pub(crate) fn so_far() -> u64 {
    ALLOCATIONS.get()
}

/// The allocator; a bench that wants counts names it as its `#[global_allocator]`.
#[derive(Debug)]
pub(crate) struct Counting;

/// Allocations made while a thread ends are not counted: its counter may be gone.
fn count() {
    let _ = ALLOCATIONS.try_with(|n| n.set(n.get() + 1));
}

// SAFETY: every call is handed on to the system's allocator as it came. Counting allocates nothing (the counter is
// `const` and has no destructor) and cannot unwind.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's obligations (a layout of more than 0 bytes) are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: `block` came from the system's allocator with this layout, because every method here asks there.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: `block` came from the system's allocator with this layout, because every method here asks there.
        unsafe { System.dealloc(block, layout) }
    }
}
