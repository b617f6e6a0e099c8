//! The packet path takes no memory: in the steady state of every case that is measured, nothing is allocated.

#[path = "../benches/cases/mod.rs"]
mod cases;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use cases::{CASES, Case};

/// The system's allocator, and how often this thread asked it.
struct Counting;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // A thread that ends has no counter any more, and none of its packets left.
    let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
}

// SAFETY: every call goes to the system's allocator unchanged.
#[allow(unsafe_code, reason = "an allocator cannot be written without")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises about the layout are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count();
        // SAFETY: the place came from the system's allocator with this layout.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as in `dealloc`, and the caller's promises about the size are passed on.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_steady_state_allocates_nothing() {
    let before = CALLS.get();
    drop(Box::new([0u8; 64]));
    assert_eq!(CALLS.get() - before, 2, "what is allocated is seen");
    for (name, _) in CASES {
        let mut case = Case::of(name).expect("every case can be made");
        case.run(64);
        case.sent = 0;
        let before = CALLS.get();
        case.run_floor(1);
        case.run(256);
        assert_eq!(CALLS.get() - before, 0, "{name}");
        assert_eq!(case.sent, 256 * 32, "{name}");
    }
}
