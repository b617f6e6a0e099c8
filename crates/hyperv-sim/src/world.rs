//! The world: everything simulated, behind one lock, and the seed that decides.
//!
//! Where it sits: reached by the simulated functions through [`with`]; never locked while the driver is called.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use switch_ext::NicId;

use crate::administrator::Administrator;
use crate::far::Far;
use crate::fault::Fault;
use crate::filter::Module;
use crate::guest::Guest;
use crate::host::Hosted;
use crate::kernel::TimerRecord;
use crate::ledger::Ledger;
use crate::netio::Net;
use crate::user_space::UserSpace;

/// How the driver is run.
#[derive(Clone, Debug)]
pub enum Driver {
    /// Linked in.
    Native,
    /// The image in this file, loaded.
    Image(std::path::PathBuf),
}

/// A generator of numbers: xorshift64*, enough to explore.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    /// True once in `n` times.
    pub fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// Something for a processor to do.
pub(crate) enum Job {
    /// A guest's stack is polled, and what it sends goes to the driver.
    Guest(usize),
    /// Packets that the driver sent on arrive.
    Deliver,
    /// Packets that arrived are given back to the driver.
    GiveBack,
    /// A timer fires.
    Timer(usize),
    /// User space answers a packet.
    Answer,
    /// The switch answers a request.
    AnswerRequest,
    /// The administrator works through the script.
    Administer,
    /// The switch in user space looks after its flows.
    Revalidate,
    /// A work item runs.
    Work(usize),
}

impl Job {
    pub fn run(self) {
        match self {
            Job::Guest(n) => crate::guest::poll(n),
            Job::Deliver => crate::packets::deliver(),
            Job::GiveBack => crate::packets::give_back(),
            Job::Timer(handle) => crate::kernel::fire(handle),
            Job::Answer => crate::user_space::answer(),
            Job::AnswerRequest => {
                crate::filter::answer_one();
            }
            Job::Administer => crate::administrator::step(),
            Job::Revalidate => crate::user_space::revalidate(),
            Job::Work(item) => crate::netio::work(item),
        }
    }

    /// What it is about may have waited for who knows how long.
    pub fn is_late(&self) -> bool {
        matches!(self, Job::Answer)
    }

    /// May run where a processor is at DISPATCH_LEVEL anyway.
    fn at_dispatch(&self) -> bool {
        matches!(self, Job::Guest(_) | Job::Deliver | Job::GiveBack | Job::Timer(_) | Job::AnswerRequest)
    }
}

/// Everything.
pub(crate) struct World {
    pub seed: u64,
    pub random: Random,
    pub processors: usize,
    /// One allocation in so many fails; zero for none.
    pub fail_one_in: usize,
    pub now_ns: u64,
    /// What the system's time was when the clock was at zero: units of 100 ns since 1601.
    pub epoch: u64,
    pub ledger: Ledger,
    pub module: Module,
    pub guests: Vec<Guest>,
    pub administrator: Option<Administrator>,
    /// The administrator is in the middle of a step.
    pub administering: bool,
    pub user_space: Option<std::sync::Arc<UserSpace>>,
    pub answering: bool,
    /// Packets that the driver sent on, and when the job began in which it did.
    pub sent: VecDeque<(usize, u64)>,
    /// Packets to be given back to it.
    pub done: VecDeque<usize>,
    /// Requests that the switch has not answered yet.
    pub requests: VecDeque<usize>,
    pub counts: Counts,
    /// The host's network.
    pub net: Net,
    /// The hypervisor at the other end of the wire, if a tunnel joins them.
    pub far: Option<Far>,
    /// What serves adapters and user space in real time, if anything does.
    pub hosted: Option<Hosted>,
    /// Bytes of each conversation.
    pub transfer_size: usize,
    pub driver: Driver,
    /// The VLAN in which everybody talks; on the wire it is a tag.
    pub vlan: Option<u16>,
    /// Bytes of the largest packet that adapters take.
    pub mtu: u32,
    /// Policies of ports say in which VLAN machines are, not the bridge.
    pub by_policy: bool,
    /// Policies of ports say that machines may have their own addresses only.
    pub is_guarded: bool,
    /// Packets are made in the plainest way, not in the most awkward, and nothing comes in between.
    pub is_plain: bool,
    /// Frames arrive with their tags in them, whatever VLAN they are of.
    pub shows_tags: bool,
    /// What goes wrong, if anything.
    pub fault: Option<Fault>,
    /// What `fail_one_in` is while guests talk.
    pub wanted_failures: usize,
}

/// What happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames that reached a guest or the wire.
    pub delivered: u64,
    /// Packets that guests and the wire sent.
    pub sent: u64,
    /// Large sends that hardware had to cut.
    pub large_sends: u64,
    /// Packets that the driver made.
    pub made: u64,
    /// Those of them that share a received packet's data.
    pub shared: u64,
    /// Packets that the driver passed on as they were.
    pub passed: u64,
    /// Packets that it ended.
    pub ended: u64,
    /// Allocations that were made to fail.
    pub failed_allocations: u64,
    /// Times that another processor took over inside a call.
    pub switches: u64,
    /// Bytes that guests' TCP connections carried whole.
    pub tcp_bytes: u64,
    /// Frames that guests sent though a policy forbids it.
    pub forbidden: u64,
    /// Frames from addresses that are not their senders', which nothing forbade and which arrived.
    pub strangers: u64,
    /// Frames that came out of a tunnel at the other end of the wire.
    pub tunnelled: u64,
    /// Large sends that went through a tunnel whole.
    pub tunnelled_large: u64,
    /// Frames that came out of a tunnel whose end here is in a VLAN by a policy.
    pub tunnelled_in_a_vlan: u64,
    /// Packets of a tunnel that came in a VLAN in which its end is not.
    pub astray: u64,
}

static WORLD: Mutex<Option<World>> = Mutex::new(None);
/// The seed of a world that no seed decides about: it cannot be replayed.
pub(crate) const IN_REAL_TIME: u64 = u64::MAX;
/// The seed of the run, for those who hold the world when a rule breaks.
static SEED: AtomicU64 = AtomicU64::new(0);
static TAKEN: Mutex<()> = Mutex::new(());

fn lock() -> MutexGuard<'static, Option<World>> {
    WORLD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Holds the one world that a process can have.
pub fn is_taken() -> MutexGuard<'static, ()> {
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks at the world or changes it.
pub(crate) fn with<R>(f: impl FnOnce(&mut World) -> R) -> R {
    f(lock().as_mut().expect("a run has a world"))
}

/// Makes a world.
pub(crate) fn begin(world: World) {
    SEED.store(world.seed, Ordering::Relaxed);
    *lock() = Some(world);
}

/// Takes the world away.
pub(crate) fn end() -> World {
    lock().take().expect("a run has a world")
}

/// Ends everything: the driver broke `rule`. Callers may be inside the driver, through whose frames nothing unwinds.
pub(crate) fn broken(rule: &str) -> ! {
    broken_in(SEED.load(Ordering::Relaxed), rule)
}

/// Ends everything because of `rule` in a run that is over.
pub(crate) fn broken_in(seed: u64, rule: &str) -> ! {
    match seed {
        IN_REAL_TIME => eprintln!("hyperv-sim: {rule}"),
        _ => eprintln!("hyperv-sim: seed {seed}: {rule}; replay: cargo xtask sim --seed {seed}"),
    }
    std::process::exit(101)
}

/// Ends everything unless `holds`.
pub(crate) fn rule(holds: bool, rule: &str) {
    if !holds {
        broken(rule);
    }
}

impl World {
    /// A world in which nothing is yet.
    pub fn new(seed: u64, random: Random, processors: usize, driver: Driver) -> World {
        /// A day in 2026.
        const START: u64 = 134_100_000_000_000_000;
        World {
            seed,
            random,
            processors,
            fail_one_in: 0,
            now_ns: 1_000_000_000,
            epoch: START,
            ledger: Ledger::default(),
            module: Module::default(),
            guests: Vec::new(),
            administrator: Some(Administrator::default()),
            administering: false,
            user_space: None,
            answering: false,
            sent: VecDeque::new(),
            done: VecDeque::new(),
            requests: VecDeque::new(),
            counts: Counts::default(),
            net: Net::default(),
            far: None,
            hosted: None,
            transfer_size: 0,
            driver,
            vlan: None,
            mtu: 1500,
            by_policy: false,
            is_guarded: false,
            is_plain: false,
            shows_tags: false,
            fault: None,
            wanted_failures: 0,
        }
    }

    /// When the next timer fires.
    pub fn next_timer(&self) -> Option<u64> {
        self.ledger.timers.values().filter_map(TimerRecord::due_ns).min()
    }

    /// The next processor to run.
    pub fn pick(&mut self, count: usize) -> usize {
        self.random.below(count)
    }

    /// Which processor goes on at a point inside a call of `me`.
    pub fn reschedule(&mut self, me: usize) -> usize {
        const ONE_IN: usize = 12;
        if !self.random.once_in(ONE_IN) {
            return me;
        }
        self.counts.switches += 1;
        self.random.below(self.processors)
    }

    /// Something at DISPATCH_LEVEL that interrupts a call below it.
    pub fn interruption(&mut self) -> Option<Job> {
        const ONE_IN: usize = 20;
        if self.is_plain || !self.random.once_in(ONE_IN) {
            return None;
        }
        self.jobs().into_iter().find(Job::at_dispatch)
    }

    /// Something for a processor that waits. The only one that there is also does what another would do meanwhile.
    pub fn work_while_waiting(&mut self, level: u8) -> Option<Job> {
        let alone = self.processors == 1 && level == ndis_sys::PASSIVE_LEVEL;
        let mut jobs = self.jobs();
        jobs.retain(|job| job.at_dispatch() || alone && matches!(job, Job::Work(_)));
        let at = self.random.below(jobs.len());
        (!jobs.is_empty()).then(|| jobs.swap_remove(at))
    }

    /// One of the things that can be done.
    pub fn next_job(&mut self) -> Option<Job> {
        let mut jobs = self.jobs();
        if jobs.is_empty() {
            return None;
        }
        let at = self.random.below(jobs.len());
        Some(jobs.swap_remove(at))
    }

    fn jobs(&mut self) -> Vec<Job> {
        let mut jobs = Vec::new();
        let now = self.now_ns;
        let due = |g: &Guest| g.is_due(now);
        jobs.extend((0..self.guests.len()).filter(|n| self.guests.get(*n).is_some_and(due)).map(Job::Guest));
        if !self.sent.is_empty() {
            jobs.push(Job::Deliver);
        }
        if !self.done.is_empty() {
            jobs.push(Job::GiveBack);
        }
        if !self.requests.is_empty() {
            jobs.push(Job::AnswerRequest);
        }
        let fires = |(handle, t): (&usize, &TimerRecord)| t.is_due(now).then_some(Job::Timer(*handle));
        jobs.extend(self.ledger.timers.iter().filter_map(fires));
        jobs.extend(self.net.due().map(Job::Work));
        if let Some(user_space) = self.user_space.as_ref().filter(|_| !self.answering) {
            // A request that waits says when there is something to read.
            let over = |r: &crate::files::IrpRecord| r.is_completed();
            if self.ledger.irps.get(&user_space.waits_at()).is_none_or(over) {
                jobs.push(Job::Answer);
            }
            if self.random.once_in(50) {
                jobs.push(Job::Revalidate);
            }
        }
        if !self.administering && self.administrator.as_ref().is_some_and(|a| a.is_due(now)) {
            jobs.push(Job::Administer);
        }
        jobs
    }

    /// Moves on to when something is due; false if nothing ever will be.
    pub fn let_time_pass(&mut self) -> bool {
        let over = self.administrator.as_ref().is_some_and(Administrator::is_over);
        if over {
            return false;
        }
        if self.administrator.as_ref().is_some_and(|a| a.keeps_time) {
            return true;
        }
        if self.net.is_working() {
            // It waits for an answer that is on its way.
            return true;
        }
        let guests = self.guests.iter().filter_map(Guest::due_ns);
        let timers = self.ledger.timers.values().filter_map(TimerRecord::due_ns);
        let administrator = self.administrator.iter().filter_map(Administrator::due_ns);
        let next = guests.chain(timers).chain(administrator).filter(|t| *t > self.now_ns).min();
        if let Some(next) = next {
            self.now_ns = next;
        }
        next.is_some() || self.administering
    }

    /// True if an allocation is to fail now.
    pub fn fails(&mut self) -> bool {
        let fails = self.fail_one_in != 0 && self.random.once_in(self.fail_one_in);
        self.counts.failed_allocations += u64::from(fails);
        fails
    }

    /// The index of the guest at an adapter.
    pub fn guest_at(&self, nic: NicId) -> Option<usize> {
        self.guests.iter().position(|g| g.nic == nic)
    }
}
