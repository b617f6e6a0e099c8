//! How long the driver runs, apart from the kernel that is simulated around it.
//!
//! Where it sits: whoever calls the driver with packets says that it is [`inside`]; every function of the kernel says that it is
//! [`outside`] while it runs. Off unless a load asks for it (`load.rs`), which runs on a single processor.
//!
//! Reading the clock takes time too: what stretches of nothing take is measured, and taken off.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// When the clock was at zero.
static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

static IS_ON: AtomicBool = AtomicBool::new(false);
/// The driver runs.
static RUNS: AtomicBool = AtomicBool::new(false);
/// Nanoseconds of the clock when it was looked at last.
static SINCE: AtomicU64 = AtomicU64::new(0);
/// Nanoseconds that the driver ran, and in how many stretches.
static SPENT: AtomicU64 = AtomicU64::new(0);
static STRETCHES: AtomicU64 = AtomicU64::new(0);

/// The other side runs until this goes.
pub(crate) struct Turn;

impl Drop for Turn {
    #[inline]
    fn drop(&mut self) {
        turn();
    }
}

/// The driver runs until the guard goes.
#[inline]
pub(crate) fn inside() -> Turn {
    turn();
    Turn
}

/// The kernel runs until the guard goes.
#[inline]
pub(crate) fn outside() -> Turn {
    turn();
    Turn
}

#[inline]
fn turn() {
    if IS_ON.load(Relaxed) {
        turn_over();
    }
}

fn turn_over() {
    let now = BEGAN.elapsed().as_nanos() as u64;
    if RUNS.fetch_xor(true, Relaxed) {
        SPENT.fetch_add(now - SINCE.load(Relaxed), Relaxed);
        STRETCHES.fetch_add(1, Relaxed);
    }
    SINCE.store(now, Relaxed);
}

/// Nanoseconds that the driver runs while `f` does.
pub(crate) fn measure(f: impl FnOnce()) -> f64 {
    const EMPTY: u64 = 10_000;
    let (empty, stretches) = count(|| (0..EMPTY).for_each(|_| drop(inside())));
    let one = empty as f64 / stretches as f64;
    let (spent, stretches) = count(f);
    spent as f64 - one * stretches as f64
}

fn count(f: impl FnOnce()) -> (u64, u64) {
    SPENT.store(0, Relaxed);
    STRETCHES.store(0, Relaxed);
    IS_ON.store(true, Relaxed);
    f();
    IS_ON.store(false, Relaxed);
    (SPENT.load(Relaxed), STRETCHES.load(Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_drivers_stretches_count() {
        const MS: u64 = 1_000_000;
        let pass = |ns: u64| {
            let began = Instant::now();
            while began.elapsed().as_nanos() < u128::from(ns) {}
        };
        let began = Instant::now();
        let spent = measure(|| {
            pass(5 * MS);
            let _driver = inside();
            pass(MS);
            let _kernel = outside();
            pass(5 * MS);
        });
        let all = began.elapsed().as_nanos() as f64;
        let least = 0.9 * MS as f64;
        assert!(spent > least && spent < all - 9.9 * MS as f64, "{spent} of {all} ns");
    }
}
