//! A counting allocator: how much memory did this thread ask for?
//!
//! ```text
//!   alloc, realloc, dealloc ─► this thread's counters ─► the system's allocator
//! ```
//!
//! Rules: counting is a few plain additions, no atomic ones, so that the timed rows are not rows about counting.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static USE: Cell<Use> = const { Cell::new(Use { allocations: 0, bytes: 0, live: 0, peak: 0 }) };
}

/// What a thread has asked for so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Use {
    /// Calls that made or moved a block.
    pub(crate) allocations: u64,
    /// Bytes they asked for, given back or not.
    pub(crate) bytes: u64,
    /// Bytes now in use.
    pub(crate) live: i64,
    /// The most that was in use since [`forget_peak`].
    pub(crate) peak: i64,
}

/// This thread's counters.
pub(crate) fn so_far() -> Use {
    USE.get()
}

/// Starts the peak anew from what is in use now.
pub(crate) fn forget_peak() {
    USE.set(Use { peak: USE.get().live, ..USE.get() });
}

/// The allocator; a bench that wants counts names it as its `#[global_allocator]`.
#[derive(Debug)]
pub(crate) struct Counting;

/// Allocations made while a thread ends are not counted: its counters may be gone.
fn grew(bytes: usize) {
    let _ = USE.try_with(|counters| {
        let mut now = counters.get();
        now.allocations += 1;
        now.bytes += bytes as u64;
        now.live += bytes as i64;
        now.peak = now.peak.max(now.live);
        counters.set(now);
    });
}

fn shrank(bytes: usize) {
    let _ = USE.try_with(|counters| {
        counters.set(Use { live: counters.get().live - bytes as i64, ..counters.get() });
    });
}

// SAFETY: every call is handed on to the system's allocator as it came. Counting allocates nothing (the counters are
// `const` and have no destructor) and cannot unwind.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grew(layout.size());
        // SAFETY: the caller's obligations (a layout of more than 0 bytes) are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grew(layout.size());
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        shrank(layout.size());
        grew(size);
        // SAFETY: `block` came from the system's allocator with this layout, because every method here asks there.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        shrank(layout.size());
        // SAFETY: `block` came from the system's allocator with this layout, because every method here asks there.
        unsafe { System.dealloc(block, layout) }
    }
}
