//! The one clock of a process: monotonic time that can be stopped and warped, shared by every thread.
//!
//! Where it sits: made by `daemon` at start-up and handed to everything that has timers: sessions, protocol machines, packet threads.
//! Nothing else in the project reads the system's monotonic clock for protocol time.
//!
//! ~~~text
//! running ──stop()──► stopped          (there is no way back: it serves tests)
//!    └──advance(step)────┴─► the same, later: opens a new epoch and wakes every waiter; `settle` waits until all participants saw it
//! ~~~
//! I1  Time never goes back.
//! I2  A stopped clock moves only by `advance`. `settle` returns once every participant has acknowledged the epoch, or after
//!     `SETTLE_LIMIT` of real time, so a busy participant delays a warp but cannot hang it.
//! I3  Wall-clock time is never warped, as in Open vSwitch.
//! I4  Where events are recorded or played (`replay`), both times are those of the last event. Recorded, a timer's end is an event.
//!
//! Next: `reconnect.rs`, the first user of time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};
use tokio::sync::Notify;

use crate::replay;

/// How long `settle` waits for participants, in real time.
const SETTLE_LIMIT: Duration = Duration::from_millis(200);

const NS_PER_MS: u64 = 1_000_000;

/// A handle on the process's clock; clones share the time.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    stopped: AtomicBool,
    /// Whether time is that of the last event, although waiters wait for the system's (I4).
    held: AtomicBool,
    /// What the system's clock said when this one was stopped, or at the last event.
    frozen: AtomicU64,
    /// The wall clock at the last event; 0 where there are none.
    wall: AtomicU64,
    /// Nanoseconds by which it was moved forward.
    warped: AtomicU64,
    epoch: Mutex<Epoch>,
    /// Wakes threads in `wait_until`.
    turned: Condvar,
    /// Wakes tasks in `sleep_until`.
    changed: Notify,
    /// Wakes `settle`.
    acknowledged: Notify,
}

#[derive(Debug, Default)]
struct Epoch {
    number: u64,
    participants: Vec<Weak<AtomicU64>>,
}

impl Default for Clock {
    fn default() -> Self {
        Clock::new()
    }
}

impl Clock {
    /// The running clock.
    pub fn new() -> Clock {
        Clock(Arc::new(Inner {
            stopped: AtomicBool::new(false),
            held: AtomicBool::new(false),
            frozen: AtomicU64::new(0),
            wall: AtomicU64::new(0),
            warped: AtomicU64::new(0),
            epoch: Mutex::default(),
            turned: Condvar::new(),
            changed: Notify::new(),
            acknowledged: Notify::new(),
        }))
    }

    /// A clock that stands at `ms` from the beginning, for tests.
    pub fn stopped_at(ms: u64) -> Clock {
        let clock = Clock::new();
        clock.0.frozen.store(ms * NS_PER_MS, Ordering::Release);
        clock.0.stopped.store(true, Ordering::Release);
        clock
    }

    /// A clock that stands at each event until the next, while the events are those of this moment.
    pub(crate) fn held() -> Clock {
        let clock = Clock::new();
        let (now_ns, wall_ms) = Clock::of_the_system();
        clock.0.held.store(true, Ordering::Release);
        clock.hold_at(now_ns, wall_ms);
        clock
    }

    /// Moves a clock that follows events to the next of them, and wakes every waiter.
    pub(crate) fn hold_at(&self, now_ns: u64, wall_ms: u64) {
        self.0.frozen.fetch_max(now_ns, Ordering::AcqRel);
        self.0.wall.store(wall_ms, Ordering::Release);
        self.wake();
    }

    /// The system's clocks: monotonic in nanoseconds, and the wall's in milliseconds.
    pub(crate) fn of_the_system() -> (u64, u64) {
        (system_ns(), ms_of(clock_gettime(ClockId::Realtime)))
    }

    /// Nanoseconds since an arbitrary origin.
    pub fn now_ns(&self) -> u64 {
        let stands = self.is_stopped() || self.is_held();
        let base = if stands { self.0.frozen.load(Ordering::Acquire) } else { system_ns() };
        self.warped(base)
    }

    fn warped(&self, base: u64) -> u64 {
        base.saturating_add(self.0.warped.load(Ordering::Acquire))
    }

    fn is_held(&self) -> bool {
        self.0.held.load(Ordering::Acquire)
    }

    /// Milliseconds since an arbitrary origin.
    pub fn now_ms(&self) -> u64 {
        self.now_ns() / NS_PER_MS
    }

    /// Milliseconds since 1970.
    pub fn wall_ms(&self) -> u64 {
        self.wall_of_event().unwrap_or_else(|| ms_of(clock_gettime(ClockId::Realtime)))
    }

    /// The same as it was at the system's last tick, for a fraction of the cost.
    pub fn coarse_wall_ms(&self) -> u64 {
        self.wall_of_event().unwrap_or_else(|| ms_of(clock_gettime(ClockId::RealtimeCoarse)))
    }

    fn wall_of_event(&self) -> Option<u64> {
        Some(self.0.wall.load(Ordering::Acquire)).filter(|ms| *ms > 0)
    }

    /// Whether the clock was stopped.
    pub fn is_stopped(&self) -> bool {
        self.0.stopped.load(Ordering::Acquire)
    }

    /// Stops the clock where it is.
    pub fn stop(&self) {
        let _epoch = self.lock();
        if !self.is_stopped() {
            self.0.frozen.store(system_ns(), Ordering::Release);
            self.0.stopped.store(true, Ordering::Release);
        }
        self.wake();
    }

    /// Moves the clock forward by `ms`, opening a new epoch, and wakes every waiter.
    pub fn advance(&self, ms: u64) {
        self.0.warped.fetch_add(ms.saturating_mul(NS_PER_MS), Ordering::AcqRel);
        self.lock().number += 1;
        self.wake();
    }

    /// Waits until the tasks of this thread have had their turn and every participant has acknowledged the epoch (I2).
    pub async fn settle(&self) {
        // Each turn of the scheduler runs what the previous one made ready; a chain of messages needs a few.
        for _ in 0..16 {
            tokio::task::yield_now().await;
        }
        let _ = real_timeout(SETTLE_LIMIT, async {
            loop {
                let acknowledged = self.0.acknowledged.notified();
                if self.all_acknowledged() {
                    break;
                }
                acknowledged.await;
            }
        })
        .await;
    }

    /// Resolves when the clock has reached `ms`.
    pub async fn sleep_until(&self, ms: u64) {
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            // From here on no change is lost, although it is awaited later.
            changed.as_mut().enable();
            let now = self.now_ns();
            let deadline = ms.saturating_mul(NS_PER_MS);
            if now >= deadline {
                return;
            }
            if self.is_stopped() {
                changed.await;
                continue;
            }
            let now = self.warped(system_ns());
            if now < deadline {
                let _ = real_timeout(Duration::from_nanos(deadline - now), changed).await;
            } else {
                replay::note_timer(self, deadline).await;
            }
        }
    }

    /// Like `sleep_until`; `None` never comes.
    pub async fn sleep_until_some(&self, ms: Option<u64>) {
        match ms {
            Some(ms) => self.sleep_until(ms).await,
            None => std::future::pending().await,
        }
    }

    /// Blocks this thread until the clock has reached `ms`, a new epoch begins, or `at_most` of real time has passed.
    pub fn wait_until(&self, ms: u64, at_most: Duration) {
        let epoch = self.lock();
        let now = self.now_ns();
        let deadline = ms.saturating_mul(NS_PER_MS);
        if now >= deadline {
            return;
        }
        let limit =
            if self.is_stopped() { at_most } else { at_most.min(Duration::from_nanos(deadline - now)) };
        drop(self.0.turned.wait_timeout(epoch, limit));
    }

    /// Enters a thread or main loop whose acknowledgement `settle` waits for, until it drops the `Participant`.
    pub fn participant(&self) -> Participant {
        let mut epoch = self.lock();
        let seen = Arc::new(AtomicU64::new(epoch.number));
        epoch.participants.retain(|p| p.strong_count() > 0);
        epoch.participants.push(Arc::downgrade(&seen));
        Participant { clock: self.clone(), seen }
    }

    fn all_acknowledged(&self) -> bool {
        let epoch = self.lock();
        let number = epoch.number;
        epoch.participants.iter().filter_map(Weak::upgrade).all(|seen| seen.load(Ordering::Acquire) >= number)
    }

    fn wake(&self) {
        self.0.turned.notify_all();
        self.0.changed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, Epoch> {
        self.0.epoch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ms_of(t: Timespec) -> u64 {
    t.tv_sec as u64 * 1000 + t.tv_nsec as u64 / NS_PER_MS
}

fn system_ns() -> u64 {
    let t = clock_gettime(ClockId::Monotonic);
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

/// A thread or loop that does timed work and says when it has done it.
///
/// A turn of the loop is: `begin`, the work that is due at `Clock::now_*`, `acknowledge` with what `begin` returned.
#[derive(Debug)]
pub struct Participant {
    clock: Clock,
    seen: Arc<AtomicU64>,
}

impl Participant {
    /// The epoch in which the work that follows is done.
    pub fn begin(&self) -> u64 {
        self.clock.lock().number
    }

    /// All work due in `epoch` is done.
    pub fn acknowledge(&self, epoch: u64) {
        if self.seen.swap(epoch, Ordering::AcqRel) != epoch {
            self.clock.0.acknowledged.notify_waiters();
        }
    }
}

impl Drop for Participant {
    fn drop(&mut self) {
        self.seen.store(u64::MAX, Ordering::Release);
        self.clock.0.acknowledged.notify_waiters();
    }
}

/// The one place where the runtime's own timer is used: everything else asks `Clock`.
async fn real_timeout<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    tokio::time::timeout(limit, future).await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
    }

    #[test]
    fn a_stopped_clock_moves_only_by_advance() {
        let clock = Clock::stopped_at(1000);
        assert_eq!(clock.now_ms(), 1000);
        clock.advance(250);
        assert_eq!((clock.now_ms(), clock.now_ns()), (1250, 1_250_000_000));
        let running = Clock::new();
        running.stop();
        let at = running.now_ns();
        assert_eq!(running.now_ns(), at);
    }

    #[test]
    fn sleepers_wake_at_their_deadline_and_not_before() {
        block_on(async {
            let clock = Clock::stopped_at(0);
            let log = Arc::new(Mutex::new(Vec::new()));
            let local = tokio::task::LocalSet::new();
            for at in [10, 20, 30] {
                let (clock, log) = (clock.clone(), log.clone());
                local.spawn_local(async move {
                    clock.sleep_until(at).await;
                    log.lock().unwrap().push((at, clock.now_ms()));
                });
            }
            local
                .run_until(async {
                    for _ in 0..7 {
                        clock.advance(5);
                        clock.settle().await;
                    }
                })
                .await;
            assert_eq!(*log.lock().unwrap(), [(10, 10), (20, 20), (30, 30)]);
        });
    }

    #[test]
    fn settle_waits_for_a_thread_to_acknowledge() {
        block_on(async {
            let clock = Clock::stopped_at(0);
            let participant = clock.participant();
            let seen = Arc::new(AtomicU64::new(0));
            let thread = std::thread::spawn({
                let (clock, seen) = (clock.clone(), seen.clone());
                move || {
                    while clock.now_ms() < 5 {
                        let epoch = participant.begin();
                        seen.store(clock.now_ms(), Ordering::Release);
                        participant.acknowledge(epoch);
                        clock.wait_until(clock.now_ms() + 1, Duration::from_millis(1));
                    }
                }
            });
            for step in 1..5 {
                clock.advance(1);
                clock.settle().await;
                assert_eq!(seen.load(Ordering::Acquire), step);
            }
            clock.advance(1);
            clock.settle().await;
            thread.join().unwrap();
        });
    }
}
