//! Poll-mode threads: each bound to a core, each with a worker and the receive queues that it was given.
//!
//! Where it sits: [`Control`] starts and ends them, and gives them queues, whenever ports or settings changed; the
//! texts about them are in `show`.
//!
//! ~~~text
//! busy:   queue, queue, … queue, again at once        a millisecond without packets:  epoll, until a queue's descriptor is
//!                                                     readable, queues change, or an interval of usage ends
//! ~~~
//!
//! I1  A queue moves in two steps: its old thread says that it has let go before the new one begins. So packets keep
//!     their order, and none is lost.
//! I2  There are threads only while there are ports for them.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use netdev::Polling;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};

use crate::balance::{self, Load};
use crate::config::Config;
use crate::datapath_host::Shared;
use crate::metrics::{Metrics, Suspect, Work};
use crate::pace::{GATHER, Pace, wait_exactly};
use crate::perf::Perf;
use crate::ports::{PortEntry, lock};
use crate::pump::Pump;
use crate::schedule::{self, Isolate, Plan};
use crate::sys;
use crate::usage::{INTERVAL_MS, INTERVALS, Usage};

/// How long a thread polls in vain before it waits. Being woken takes some 50 microseconds, which those who talk in turns
/// should not meet; an idle switch should use no CPU.
const POLL_IN_VAIN: Duration = Duration::from_millis(1);
/// Rounds without a packet between two looks at the clock.
const ROUNDS_BETWEEN_VAIN_LOOKS: u32 = 64;
/// Rounds of a busy thread between two looks at the clock for the sake of its statistics.
const ROUNDS_BETWEEN_LOOKS: u64 = 64;
/// How long a thread may take to let go of its queues: it may be in the middle of an upcall.
const PATIENCE: Duration = Duration::from_secs(2);
/// With fewer packets in a round a thread counts as lightly loaded, and may sleep.
const LIGHT_LOAD: usize = 16;

/// A receive queue of a port that poll-mode threads poll.
pub(crate) struct RxQueue {
    pub port: Arc<PortEntry>,
    pub queue: usize,
    pub usage: Usage,
}

/// A thread, as others see it.
pub(crate) struct Pmd {
    pub core: u32,
    pub node: u32,
    pub perf: Perf,
    /// There are some while they are collected.
    pub metrics: Mutex<Option<Box<Metrics>>>,
    /// Cycles of all kinds, and of rounds that moved packets.
    pub total: Usage,
    pub busy: Usage,
    isolated: AtomicBool,
    queues: Mutex<Vec<Arc<RxQueue>>>,
    /// Counts changes of `queues`; the thread has taken over the change `taken`.
    version: AtomicU64,
    taken: Mutex<u64>,
    took: Condvar,
    max_sleep_us: AtomicU64,
    wake: OwnedFd,
    stop: AtomicBool,
}

impl Pmd {
    fn new(core: u32, node: u32) -> std::io::Result<Pmd> {
        Ok(Pmd {
            core,
            node,
            perf: Perf::default(),
            metrics: Mutex::default(),
            total: Usage::default(),
            busy: Usage::default(),
            isolated: AtomicBool::new(false),
            queues: Mutex::default(),
            version: AtomicU64::new(0),
            taken: Mutex::default(),
            took: Condvar::new(),
            max_sleep_us: AtomicU64::new(0),
            wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            stop: AtomicBool::new(false),
        })
    }

    pub(crate) fn is_isolated(&self) -> bool {
        self.isolated.load(Ordering::Relaxed)
    }

    pub(crate) fn queues(&self) -> Vec<Arc<RxQueue>> {
        lock(&self.queues).clone()
    }

    pub(crate) fn max_sleep_us(&self) -> u64 {
        self.max_sleep_us.load(Ordering::Relaxed)
    }

    fn wake(&self) {
        // An eventfd that takes no more is readable as it is.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    /// Gives the thread these queues, and waits until it has no others.
    fn give(&self, queues: Vec<Arc<RxQueue>>) {
        let version = {
            let mut own = lock(&self.queues);
            *own = queues;
            self.version.fetch_add(1, Ordering::AcqRel) + 1
        };
        self.wake();
        let waits = |taken: &mut u64| *taken < version && !self.stop.load(Ordering::Relaxed);
        // A thread that is stuck keeps its queues longer; the queue's own lock keeps the two apart.
        drop(self.took.wait_timeout_while(lock(&self.taken), PATIENCE, waits));
    }
}

/// The threads and what they were made from; locked while they change.
#[derive(Default)]
pub(crate) struct Control {
    pub config: Config,
    /// The configuration was read once.
    read: bool,
    pub pmds: BTreeMap<u32, (Arc<Pmd>, Option<JoinHandle<()>>)>,
    queues: Vec<Arc<RxQueue>>,
    /// Ports or settings changed since queues were given out.
    dirty: bool,
    /// When the balance is looked at next, in milliseconds.
    balance_due: u64,
}

impl Control {
    /// Ports or their settings changed.
    pub(crate) fn mark(&mut self) {
        self.dirty = true;
    }

    /// Takes over what the database says.
    pub(crate) fn configure(&mut self, keys: &BTreeMap<String, String>) {
        let new = Config::read(keys);
        new.log(self.read.then_some(&self.config));
        let of_threads = |c: &Config| (c.cpu_mask.clone(), c.algorithm, c.isolate);
        self.dirty |= !self.read || of_threads(&new) != of_threads(&self.config);
        self.read = true;
        self.config = new;
        for (pmd, _) in self.pmds.values() {
            self.set_sleep(pmd);
        }
    }

    fn set_sleep(&self, pmd: &Pmd) {
        let us = self.config.sleep_of(pmd.core);
        if pmd.max_sleep_us.swap(us, Ordering::Relaxed) != us {
            log::info!(
                target: "dpif_netdev",
                "PMD thread on numa_id: {}, core id: {:>2}, max sleep: {us:>4} us.", pmd.node, pmd.core
            );
        }
    }

    /// Makes threads and queues what ports and settings ask for, if those changed.
    pub(crate) fn carry_out(&mut self, shared: &Arc<Shared>) {
        if !std::mem::take(&mut self.dirty) {
            return;
        }
        let ports: Vec<Arc<PortEntry>> =
            shared.ports.snapshot().values().filter(|p| p.polling == Polling::Dedicated).cloned().collect();
        self.adjust_threads(shared, !ports.is_empty());
        let old = std::mem::take(&mut self.queues);
        for port in &ports {
            for queue in 0..port.counts().rx as usize {
                let same = |q: &&Arc<RxQueue>| Arc::ptr_eq(&q.port, port) && q.queue == queue;
                let fresh = || Arc::new(RxQueue { port: port.clone(), queue, usage: Usage::default() });
                self.queues.push(old.iter().find(same).cloned().unwrap_or_else(fresh));
            }
        }
        let plan = self.plan();
        for (level, text) in &plan.log {
            log::log!(target: "dpif_netdev", *level, "{text}");
        }
        self.hand_out(&plan);
    }

    fn plan(&self) -> Plan {
        let threads: Vec<schedule::Thread> =
            self.pmds.values().map(|(pmd, _)| schedule::Thread { core: pmd.core, node: pmd.node }).collect();
        let queue = |q: &Arc<RxQueue>| schedule::Queue {
            port: q.port.name.to_string(),
            number: q.queue as u32,
            node: q.port.numa_id,
            cycles: q.usage.past(INTERVALS),
            pinned: q.port.settings().affinity.get(&(q.queue as u32)).copied(),
        };
        let queues: Vec<schedule::Queue> = self.queues.iter().map(queue).collect();
        let isolate = if self.config.isolate { Isolate::Yes } else { Isolate::No };
        schedule::plan(self.config.algorithm, isolate, &threads, &queues)
    }

    fn hand_out(&self, plan: &Plan) {
        let lists: Vec<Vec<Arc<RxQueue>>> = (0..self.pmds.len())
            .map(|at| {
                let own = self.queues.iter().zip(&plan.thread_of).filter(|(_, t)| **t == Some(at));
                own.map(|(q, _)| q.clone()).collect()
            })
            .collect();
        let keeps = |old: &Arc<RxQueue>, list: &[Arc<RxQueue>]| list.iter().any(|q| Arc::ptr_eq(q, old));
        // First everybody lets go, then everybody takes.
        for ((pmd, _), list) in self.pmds.values().zip(&lists) {
            let old = pmd.queues();
            let kept: Vec<_> = old.iter().filter(|q| keeps(q, list)).cloned().collect();
            if kept.len() != old.len() {
                pmd.give(kept);
            }
        }
        for (((pmd, _), list), isolated) in self.pmds.values().zip(lists).zip(&plan.isolated) {
            pmd.isolated.store(*isolated, Ordering::Relaxed);
            let old = pmd.queues();
            if old.len() != list.len() || !old.iter().all(|q| keeps(q, &list)) {
                pmd.give(list);
            }
        }
    }

    /// Starts and ends threads: one for each core that is asked for, while there are ports for them.
    fn adjust_threads(&mut self, shared: &Arc<Shared>, needed: bool) {
        let mut wanted = BTreeMap::new();
        if needed {
            wanted = match &self.config.cpu_mask {
                None => shared.cores.first_of_each(),
                Some(mask) => shared.cores.masked(mask).unwrap_or_else(|why| {
                    log::warn!(target: "ovs_numa", "{why}");
                    BTreeMap::new()
                }),
            };
        }
        let before: Vec<u32> = self.pmds.keys().copied().collect();
        let gone: Vec<u32> = before.iter().filter(|core| !wanted.contains_key(*core)).copied().collect();
        for core in gone {
            self.end(core);
        }
        for (core, node) in &wanted {
            if !self.pmds.contains_key(core) {
                self.start(shared, *core, *node);
            }
        }
        if self.pmds.keys().copied().ne(before) {
            let mut by_node: BTreeMap<u32, usize> = BTreeMap::new();
            self.pmds.values().for_each(|(pmd, _)| *by_node.entry(pmd.node).or_default() += 1);
            for (node, n) in by_node {
                log::info!(target: "dpif_netdev", "There are {n} pmd threads on numa node {node}");
            }
        }
    }

    fn start(&mut self, shared: &Arc<Shared>, core: u32, node: u32) {
        let what = format!("PMD thread on numa_id: {node}, core id: {core:>2}");
        let made = Pmd::new(core, node).and_then(|pmd| {
            let pmd = Arc::new(pmd);
            let pump = Pump::try_new(shared, core as usize + 1).ok_or(std::io::ErrorKind::OutOfMemory)?;
            let (shared, of_thread) = (shared.clone(), pmd.clone());
            let name = format!("pmd-c{core:02}");
            let thread =
                std::thread::Builder::new().name(name).spawn(move || run(&shared, &of_thread, pump))?;
            Ok((pmd, thread))
        });
        match made {
            Ok((pmd, thread)) => {
                log::info!(target: "dpif_netdev", "{what} created.");
                pmd.perf.clear(&shared.datapath, shared.now().mono.as_millis());
                self.set_sleep(&pmd);
                self.pmds.insert(core, (pmd, Some(thread)));
            }
            Err(e) => log::error!(target: "dpif_netdev", "{what} could not be created ({e})"),
        }
    }

    fn end(&mut self, core: u32) {
        let Some((pmd, thread)) = self.pmds.remove(&core) else { return };
        pmd.stop.store(true, Ordering::Release);
        pmd.wake();
        // A thread that panicked is ended as well.
        drop(thread.map(JoinHandle::join));
        let (node, core) = (pmd.node, pmd.core);
        log::info!(target: "dpif_netdev", "PMD thread on numa_id: {node}, core id: {core:>2} destroyed.");
    }

    /// Ends all threads.
    pub(crate) fn end_all(&mut self) {
        let cores: Vec<u32> = self.pmds.keys().copied().collect();
        cores.into_iter().for_each(|core| self.end(core));
        self.queues.clear();
    }

    /// Moves queues if that is wanted, due, and worth it.
    pub(crate) fn balance(&mut self, shared: &Arc<Shared>) {
        let now = shared.now().mono.as_millis();
        if !self.config.balances() || now < self.balance_due {
            return;
        }
        let first = self.balance_due == 0;
        let b = self.config.balance;
        self.balance_due = now + b.interval_min * 60_000;
        if first {
            return;
        }
        let load = |pmd: &Pmd| Load {
            isolated: pmd.is_isolated(),
            queues: lock(&pmd.queues).len(),
            busy: pmd.busy.past(INTERVALS),
            total: pmd.total.past(INTERVALS),
        };
        let loads: Vec<Load> = self.pmds.values().map(|(pmd, _)| load(pmd)).collect();
        if !balance::is_called_for(&loads, &b) {
            return;
        }
        log::debug!(target: "dpif_netdev", "PMD auto load balance performing dry run.");
        let plan = self.plan();
        if plan.crosses_nodes {
            log::debug!(
                target: "dpif_netdev",
                "PMD auto load balance detected cross-numa polling with multiple numa nodes. Unable to accurately estimate."
            );
            return;
        }
        let (now, planned) = self.loads_by(&plan);
        if balance::improvement(&now, &planned) >= b.improvement {
            log::info!(target: "dpif_netdev", "PMD auto load balance dry run. Requesting datapath reconfigure.");
            self.dirty = true;
            self.carry_out(shared);
        }
    }

    /// What the queues of each thread that is not isolated cost, as they are and as they would be by `plan`.
    fn loads_by(&self, plan: &Plan) -> (Vec<u64>, Vec<u64>) {
        let cost = |q: &Arc<RxQueue>| q.usage.past(INTERVALS);
        let movable =
            self.pmds.values().zip(&plan.isolated).enumerate().filter(|(_, (_, isolated))| !**isolated);
        movable
            .map(|(at, ((pmd, _), _))| {
                let planned = self.queues.iter().zip(&plan.thread_of).filter(|(_, t)| **t == Some(at));
                (pmd.queues().iter().map(cost).sum::<u64>(), planned.map(|(q, _)| cost(q)).sum::<u64>())
            })
            .unzip()
    }
}

/// What the thread keeps to itself.
struct Loop<'a> {
    shared: &'a Arc<Shared>,
    me: &'a Pmd,
    pump: Pump,
    queues: Vec<Arc<RxQueue>>,
    version: u64,
    /// When the current interval of usage ends, in milliseconds.
    interval_ends: u64,
    mark: u64,
    rounds: u64,
    sleep_us: u64,
    pace: Pace,
    /// [`Perf::marks`] after the last round, while single rounds are measured.
    marks: Option<[u64; 3]>,
}

fn run(shared: &Arc<Shared>, me: &Arc<Pmd>, pump: Pump) {
    if !shared.cores.are_pretended() && !sys::bind_to_core(me.core) {
        log::warn!(target: "dpif_netdev", "pmd thread could not be bound to core {}", me.core);
    }
    me.perf.set_slot(pump.slot());
    let interval_ends = shared.now().mono.as_millis() + INTERVAL_MS;
    let mut l = Loop {
        shared,
        me,
        pump,
        queues: Vec::new(),
        version: 0,
        interval_ends,
        mark: sys::cycles(),
        rounds: 0,
        sleep_us: 0,
        pace: Pace::new(Instant::now()),
        marks: None,
    };
    wait_exactly();
    l.take_over();
    let mut vain = Vain::default();
    while !me.stop.load(Ordering::Acquire) {
        if me.version.load(Ordering::Acquire) != l.version {
            l.take_over();
        }
        let packets = l.round();
        if vain.is_long(packets) || l.queues.is_empty() {
            l.wait();
            vain = Vain::default();
        } else {
            l.sleep(packets);
        }
    }
    l.pump.end(shared, &me.perf);
    *lock(&me.taken) = u64::MAX;
    me.took.notify_all();
}

/// Rounds without a packet, one after the other.
#[derive(Default)]
struct Vain {
    rounds: u32,
    since: Option<Instant>,
}

impl Vain {
    /// Counts a round; true if there has been no packet for long. By real time: a clock that a test stops would never say so.
    fn is_long(&mut self, packets: usize) -> bool {
        if packets != 0 {
            *self = Vain::default();
            return false;
        }
        self.rounds += 1;
        if !self.rounds.is_multiple_of(ROUNDS_BETWEEN_VAIN_LOOKS) {
            return false;
        }
        self.since.get_or_insert_with(Instant::now).elapsed() >= POLL_IN_VAIN
    }
}

impl Loop<'_> {
    /// Takes over the queues that were given.
    fn take_over(&mut self) {
        self.pump.flush(self.shared, &self.me.perf);
        let version = {
            let own = lock(&self.me.queues);
            self.queues.clone_from(&own);
            self.me.version.load(Ordering::Acquire)
        };
        self.version = version;
        *lock(&self.me.taken) = version;
        self.me.took.notify_all();
    }

    /// Polls each queue once; returns how many packets that were.
    fn round(&mut self) -> usize {
        let mut packets = 0;
        for q in &self.queues {
            let before = sys::cycles();
            let n = self.pump.poll(self.shared, &q.port, q.queue, &self.me.perf);
            if n != 0 {
                q.usage.add(sys::cycles().wrapping_sub(before));
                packets += n;
            }
        }
        self.pump.flush_due(self.shared, &self.me.perf);
        self.account(packets);
        self.rounds += 1;
        if self.rounds.is_multiple_of(ROUNDS_BETWEEN_LOOKS) {
            self.turn();
        }
        packets
    }

    fn account(&mut self, packets: usize) {
        let now = sys::cycles();
        let cycles = now.wrapping_sub(std::mem::replace(&mut self.mark, now));
        self.me.perf.iteration(cycles, packets);
        self.me.total.add(cycles);
        if packets != 0 {
            self.me.busy.add(cycles);
        }
        if self.shared.metrics.load(Ordering::Relaxed) {
            self.measure(cycles, packets);
        } else {
            self.marks = None;
        }
    }

    /// Remembers how the round went.
    fn measure(&mut self, cycles: u64, packets: usize) {
        let marks = self.me.perf.marks();
        let Some(before) = self.marks.replace(marks) else { return };
        let [batches, upcalls, upcall_cycles] = std::array::from_fn(|i| marks[i].wrapping_sub(before[i]));
        let work = Work { cycles, packets: packets as u64, batches, upcalls, upcall_cycles };
        let (now, watch) = (self.shared.now(), &self.shared.watch);
        let suspect = lock(&self.me.metrics).get_or_insert_default().iteration(work, now, watch);
        if let Some(Suspect { what, around }) = suspect {
            log::warn!(target: "pmd_perf", "{what}");
            log::warn!(target: "pmd_perf", "{around}");
        }
    }

    /// Ends intervals of usage that are over.
    fn turn(&mut self) {
        let now = self.shared.now().mono.as_millis();
        if let Some(over) = now.checked_sub(self.interval_ends) {
            let n = over / INTERVAL_MS + 1;
            self.interval_ends += n * INTERVAL_MS;
            self.me.total.turn(n);
            self.me.busy.turn(n);
            self.queues.iter().for_each(|q| q.usage.turn(n));
        }
    }

    /// What becomes readable when there is something to do. It lives no longer than one wait: as long as a set watches a
    /// queue, the kernel looks for somebody to wake with each packet that comes or has left.
    fn watch(&self) -> rustix::io::Result<OwnedFd> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let add = |fd: BorrowedFd<'_>| epoll::add(&epoll, fd, EventData::new_u64(0), EventFlags::IN);
        add(self.me.wake.as_fd())?;
        self.queues.iter().try_for_each(|q| q.port.with_fd(q.queue, add).unwrap_or(Ok(())))?;
        Ok(epoll)
    }

    /// Waits until there is something to do.
    fn wait(&mut self) {
        self.turn();
        let mut timeout = Duration::from_millis(INTERVAL_MS);
        if let Some(due) = self.pump.flush_in(self.shared) {
            timeout = timeout.min(due);
        }
        let timeout = Timespec { tv_sec: timeout.as_secs() as _, tv_nsec: timeout.subsec_nanos() as _ };
        match self.watch() {
            Ok(epoll) => {
                let mut events = Vec::with_capacity(16);
                // Whatever it says, the queues are looked at next.
                let _ = epoll::wait(epoll.as_fd(), spare_capacity(&mut events), Some(&timeout));
            }
            Err(e) => {
                log::warn!(target: "dpif_netdev", "a receive queue cannot be waited for ({e})");
                std::thread::sleep(POLL_IN_VAIN);
            }
        }
        let _ = rustix::io::read(&self.me.wake, &mut [0; 8]);
        self.account(0);
    }

    /// Sleeps a moment after a round: if packets come faster than it is worth to run for each, or if it is allowed and there is
    /// little to do, then longer with every such round.
    fn sleep(&mut self, packets: usize) {
        let max = self.me.max_sleep_us();
        let light = max != 0 && packets < LIGHT_LOAD;
        self.sleep_us = if light { (self.sleep_us + 1).min(max) } else { 0 };
        let gathering = self.pace.turn(packets, Instant::now).then_some(GATHER);
        let time = gathering.max(light.then_some(Duration::from_micros(self.sleep_us)));
        if let Some(time) = time {
            self.turn();
            std::thread::sleep(time);
            self.account_sleep(time);
        }
    }

    /// Time slept is time without work, whatever the round before and the one after have.
    fn account_sleep(&mut self, time: Duration) {
        let now = sys::cycles();
        let cycles = now.wrapping_sub(std::mem::replace(&mut self.mark, now));
        self.me.perf.slept(time.as_micros() as u64, cycles);
        self.me.total.add(cycles);
    }
}
