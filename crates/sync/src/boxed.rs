//! A box that says when memory is short, where the language's own ends the system.
//!
//! Where it sits: whatever is too large for a kernel's stack is made in one small function and moved into such a box.

use alloc::boxed::Box;
use core::alloc::Layout;

/// `value` on the heap; `None` if memory is short.
pub fn try_box<T>(value: T) -> Option<Box<T>> {
    try_box_with(|| Some(value))
}

/// What `make` makes, on the heap; `None` if it makes nothing or memory is short. The value is on the stack once.
pub fn try_box_with<T>(make: impl FnOnce() -> Option<T>) -> Option<Box<T>> {
    let layout = Layout::new::<T>();
    if layout.size() == 0 {
        return make().map(Box::new);
    }
    // SAFETY: the layout has a size; null is handled; the place is given back, or written whole before it is a box, which
    // frees with the same allocator and layout.
    unsafe {
        let place = alloc::alloc::alloc(layout).cast::<T>();
        if place.is_null() {
            return None;
        }
        match make() {
            Some(value) => place.write(value),
            None => {
                alloc::alloc::dealloc(place.cast(), layout);
                return None;
            }
        }
        Some(Box::from_raw(place))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn values_arrive() {
        assert_eq!(super::try_box([7u64; 100]).map(|b| b.iter().sum::<u64>()), Some(700));
        assert!(super::try_box(()).is_some());
        assert!(super::try_box_with(|| None::<u32>).is_none());
    }
}
