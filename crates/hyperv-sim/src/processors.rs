//! Processors: threads of which one runs at a time, in an order that the seed decides.
//!
//! Where it sits: under everything; each call of the driver into the simulated kernel may hand over to another processor.
//!
//! I1  State of the world changes only in the thread whose turn it is.
//! I2  Below DISPATCH_LEVEL a call may also be interrupted by work at DISPATCH_LEVEL on the same processor.

use std::cell::Cell;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use ndis_sys::{DISPATCH_LEVEL, PASSIVE_LEVEL};

use crate::world::{Job, World, with};

thread_local! {
    static ME: Cell<usize> = const { Cell::new(usize::MAX) };
    static LEVEL: Cell<u8> = const { Cell::new(PASSIVE_LEVEL) };
    /// Calls of the driver that this thread is in, to bound interruptions.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// When the job that this thread runs began.
    static BEGAN: Cell<u64> = const { Cell::new(0) };
}

struct Turn {
    of: usize,
    /// Nobody runs any more.
    over: bool,
}

static TURN: Mutex<Turn> = Mutex::new(Turn { of: usize::MAX, over: false });
static CHANGED: Condvar = Condvar::new();

fn turn() -> MutexGuard<'static, Turn> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The processor that this thread is; `None` outside a run.
pub(crate) fn me() -> Option<usize> {
    let me = ME.get();
    (me != usize::MAX).then_some(me)
}

/// The level of this processor.
pub(crate) fn level() -> u8 {
    LEVEL.get()
}

/// Sets this processor's level and returns the old one.
pub(crate) fn set_level(level: u8) -> u8 {
    LEVEL.replace(level)
}

/// When the job that this processor runs began: nothing that it does rests on what was known before. Zero if it may.
pub(crate) fn began() -> u64 {
    BEGAN.get()
}

/// Runs a job, maybe in the middle of another.
fn carry_out(job: Job) {
    let interrupted = BEGAN.replace(if job.is_late() { 0 } else { with(|w| w.now_ns) });
    job.run();
    BEGAN.set(interrupted);
}

/// Runs a job in the middle of another.
fn interrupt(job: Job) {
    DEPTH.set(DEPTH.get() + 1);
    carry_out(job);
    DEPTH.set(DEPTH.get() - 1);
}

/// Runs `count` processors until the world is at rest.
pub(crate) fn run(count: usize) {
    *turn() = Turn { of: 0, over: false };
    std::thread::scope(|scope| {
        for n in 0..count {
            let thread = std::thread::Builder::new().name(format!("cpu{n}")).stack_size(4 << 20);
            thread.spawn_scoped(scope, move || processor(n, count)).expect("threads can be started");
        }
    });
}

/// Ends the run when a processor panics, so that the others do not wait for it.
struct EndOnPanic;

impl Drop for EndOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            turn().over = true;
            CHANGED.notify_all();
        }
    }
}

/// Runs `f` as the only processor of a world that has one.
pub(crate) fn alone<R>(f: impl FnOnce() -> R) -> R {
    ME.set(0);
    f()
}

fn processor(n: usize, count: usize) {
    let _end = EndOnPanic;
    ME.set(n);
    let mut idle = 0;
    while wait_for(n) {
        let job = with(World::next_job);
        match job {
            Some(job) => {
                idle = 0;
                carry_out(job);
                assert_eq!(level(), PASSIVE_LEVEL, "a job left the processor at a raised level");
            }
            None => {
                idle += 1;
                if idle > count && !with(World::let_time_pass) {
                    turn().over = true;
                    CHANGED.notify_all();
                    return;
                }
            }
        }
        hand_over(n, with(|w| w.pick(count)));
    }
}

fn hand_over(from: usize, to: usize) {
    if from != to {
        turn().of = to;
        CHANGED.notify_all();
    }
}

/// Waits for the turn; false when the run is over.
fn wait_for(n: usize) -> bool {
    let mut turn = turn();
    while turn.of != n && !turn.over {
        turn = CHANGED.wait(turn).unwrap_or_else(PoisonError::into_inner);
    }
    !turn.over
}

/// A point at which another processor may go on, or an interruption come.
pub(crate) fn reschedule() {
    const NESTED: u32 = 2;
    let Some(me) = me() else { return };
    let (to, interruption) = with(|w| {
        let to = w.reschedule(me);
        let may = level() < DISPATCH_LEVEL && DEPTH.get() < NESTED;
        (to, if may { w.interruption() } else { None })
    });
    if let Some(job) = interruption {
        interrupt(job);
    }
    if to != me {
        hand_over(me, to);
        wait_for(me);
    }
}

/// Lets the others go on until `ready`.
pub(crate) fn wait_until(mut ready: impl FnMut() -> bool) {
    const PATIENCE: u32 = 200_000;
    for n in 0.. {
        if ready() {
            return;
        }
        if n > PATIENCE {
            crate::world::broken("a wait does not end (deadlock)");
        }
        let Some(me) = me() else { crate::world::broken("a wait outside a processor") };
        // A waiting processor is free for other work, as a kernel's would be.
        if DEPTH.get() < 8
            && let Some(job) = with(|w| w.work_while_waiting(level()))
        {
            interrupt(job);
        }
        let to = with(|w| w.pick(w.processors));
        if to != me {
            hand_over(me, to);
            wait_for(me);
        }
    }
}
