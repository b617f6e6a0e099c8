//! Receive sockets with rings, made before they are needed: the kernel gives a socket its ring only after every processor has been in
//! user space or idle once (`synchronize_net`), some ten milliseconds in which others that ask may wait along.
//!
//! Where it sits: `packet_port` takes the sockets of new ports from here; a namespace's devices have one stock.
//!
//! ~~~text
//!   take ──► one is ready:  it, and another is made behind
//!        └─► none is:       twice as many are made at the same time, and the first is waited for
//!   what is ready and was not wanted for a while goes, down to one
//! ~~~

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use netdev::NetdevError;

use crate::ring_share::RingShare;
use crate::sys::{PacketRing, PacketSocket};

/// Sockets that are ready while no port is added.
const SPARE: usize = 1;
/// Sockets that are made at the same time, at most.
const MOST: usize = 32;
/// How long more than one may stay unwanted.
const REST: Duration = Duration::from_secs(1);
/// Stack of a thread that makes one socket.
const STACK: usize = 64 << 10;

/// A socket, bound to no device, with its ring.
pub(crate) struct RingSocket {
    pub socket: PacketSocket,
    pub ring: PacketRing,
    pub share: RingShare,
}

impl RingSocket {
    fn make(share: RingShare) -> Result<RingSocket, String> {
        let made = PacketSocket::open().and_then(|socket| {
            let ring = PacketRing::give_to(&socket)?;
            Ok(RingSocket { socket, ring, share })
        });
        made.map_err(|e| NetdevError::from(e).to_string())
    }
}

/// The stock.
#[derive(Default)]
pub(crate) struct RingStock {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    ready: Vec<RingSocket>,
    /// Threads that make one.
    making: usize,
    /// How many are to be ready or being made; zero before anybody asked.
    aim: usize,
    /// How many were taken.
    taken: u64,
    /// Why the last one that failed did.
    failed: Option<String>,
}

impl RingStock {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A socket with a ring.
    ///
    /// # Errors
    /// Why there is none, as it is to be logged.
    pub(crate) fn take(self: &Arc<Self>) -> Result<RingSocket, String> {
        let mut state = self.state();
        if state.ready.is_empty() {
            state.aim = (2 * state.aim).clamp(SPARE, MOST);
            // Of an attempt that is over.
            state.failed = None;
            self.fill(&mut state);
        }
        loop {
            if let Some(one) = state.ready.pop() {
                state.taken += 1;
                self.fill(&mut state);
                return Ok(one);
            }
            if state.making == 0 {
                let full = || "other ports have all the memory that rings may take".to_owned();
                return Err(state.failed.take().unwrap_or_else(full));
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Has as many made as are aimed at, as far as memory allows. Threads are in the namespace of the one that starts them.
    fn fill(self: &Arc<Self>, state: &mut State) {
        while state.ready.len() + state.making < state.aim {
            let Some(share) = RingShare::take() else { break };
            let stock = self.clone();
            let maker = std::thread::Builder::new().name("ring".to_owned()).stack_size(STACK);
            if maker.spawn(move || stock.make(share)).is_err() {
                break;
            }
            state.making += 1;
        }
    }

    /// Makes one, and takes one away again if nobody wants any more.
    fn make(&self, share: RingShare) {
        let made = RingSocket::make(share);
        let mut state = self.state();
        state.making -= 1;
        match made {
            Ok(one) => state.ready.push(one),
            Err(why) => state.failed = Some(why),
        }
        self.changed.notify_all();
        while state.ready.len() > SPARE {
            let taken = state.taken;
            drop(state);
            std::thread::sleep(REST);
            state = self.state();
            if state.taken == taken && state.ready.len() > SPARE {
                state.aim = SPARE;
                state.ready.pop();
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use testkit::sandboxed;

    use super::*;

    #[test]
    fn many_are_made_at_the_same_time_and_go_again_unwanted() {
        sandboxed!();
        let stock = Arc::new(RingStock::default());
        let taken: Vec<RingSocket> = (0..20).map(|_| stock.take().unwrap()).collect();
        let all = {
            let state = stock.state();
            assert!(state.aim > SPARE && state.aim <= MOST, "{}", state.aim);
            taken.len() + state.ready.len() + state.making
        };
        assert!(all <= taken.len() + MOST);
        let end = std::time::Instant::now() + Duration::from_secs(60);
        while stock.state().ready.len() != SPARE || stock.state().making != 0 {
            assert!(std::time::Instant::now() < end, "unwanted ones stay");
            std::thread::yield_now();
        }
        assert!(stock.take().is_ok());
    }

    #[test]
    fn without_memory_for_more_it_says_so() {
        sandboxed!();
        let stock = Arc::new(RingStock::default());
        let others: Vec<RingShare> = std::iter::from_fn(RingShare::take).collect();
        assert!(stock.take().is_err_and(|why| why.contains("all the memory")));
        drop(others);
        assert!(stock.take().is_ok());
    }
}
