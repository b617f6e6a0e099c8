//! A device whose packets bypass the kernel's stack: types afxdp and afxdp-nonpmd.
//!
//! Where it sits: made by `device`; polled by poll-mode threads (afxdp) or by threads that wait (afxdp-nonpmd).
//!
//! The queues are opened when they are taken, in the fastest mode that the device has, and taken anew when the mode, the
//! number of queues or the device changed. Where AF_XDP is not to be had, a packet socket does the work, and
//! `Interface.status` says why.
//!
//! AF_XDP says nothing of checksums: a packet of a guest's stack may come with the pseudo header's sum alone. Such sums are
//! recognised here, and completed by the output that needs it; what we send is always complete.
//!
//! Spec: ovs-vswitchd.conf.db(5), `options:xdp-mode`, `options:n_rxq`.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use netdev::offload::{SegmentError, TxCapabilities, deliver, partial_checksum};
use netdev::{
    BufferPool, Frame, FrameBatch, NetdevError, NetdevStats, Options, Polling, QueueCounts, Queues, RxDrops,
    RxQueue, TxDrops, TxQueue,
};
use packet::{BATCH, L4Checksum, OdpPort, PacketBuf};
use rustix::process::{Resource, getrlimit};

use crate::losses::Losses;
use crate::packet_port::PacketPort;
use crate::ring_stock::RingStock;
use crate::rtnl::Links;
use crate::sys::arena::ARENA;
use crate::sys::xdp::{
    Attach, Bind, Counters, FRAME_MAX, Loss, Program, Statistics, XdpRx, XdpTx, open, release_stopped,
};

/// Receive queues of a port at most.
const MAX_QUEUES: u32 = 64;
/// How long a socket that was closed may keep its queue: half a second.
const BUSY_TRIES: u32 = 250;
const BUSY_PAUSE: Duration = Duration::from_millis(2);
/// The mode in which `Interface.status` names the fallback.
const FALLBACK: &str = "af-packet";

/// How packets get from the device to us, fastest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    NativeZeroCopy,
    Native,
    Generic,
}

impl Mode {
    const ALL: [Mode; 3] = [Mode::NativeZeroCopy, Mode::Native, Mode::Generic];

    fn name(self) -> &'static str {
        match self {
            Mode::NativeZeroCopy => "native-with-zerocopy",
            Mode::Native => "native",
            Mode::Generic => "generic",
        }
    }

    fn how(self) -> (Attach, Bind) {
        match self {
            Mode::NativeZeroCopy => (Attach::Driver, Bind::ZeroCopy),
            Mode::Native => (Attach::Driver, Bind::Copy),
            Mode::Generic => (Attach::Generic, Bind::Copy),
        }
    }
}

/// What `Interface.options` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wanted {
    /// `None` is the best there is.
    mode: Option<Mode>,
    queues: u32,
}

/// What the queues that are taken came from.
struct Taken {
    ifindex: u32,
    wanted: Wanted,
    /// The mode, or why there is none.
    mode: Result<Mode, String>,
}

struct State {
    wanted: Wanted,
    taken: Option<Taken>,
    /// Queues that still live.
    live: usize,
    /// What each queue's socket lost: those that went, and where to ask the one that lives.
    lost: BTreeMap<u32, (Statistics, Option<Counters>)>,
    /// The packet socket that does the work instead.
    fallback: Option<Arc<PacketPort>>,
}

impl State {
    /// What the sockets of a queue have lost, altogether.
    fn lost(&self, queue: u32) -> Statistics {
        self.lost.get(&queue).map_or(Statistics::default(), |(gone, live)| {
            live.as_ref().map_or(*gone, |live| gone.plus(&live.read()))
        })
    }

    /// A queue's socket goes: what it lost stays.
    fn retire(&mut self, queue: u32) {
        let all = self.lost(queue);
        self.lost.insert(queue, (all, None));
    }
}

/// A device by AF_XDP.
pub(crate) struct XdpPort {
    name: String,
    polling: Polling,
    links: Arc<Links>,
    stock: Arc<RingStock>,
    state: Mutex<State>,
    losses: Arc<Losses>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl XdpPort {
    pub(crate) fn new(
        name: &str,
        polling: Polling,
        (links, stock): (Arc<Links>, Arc<RingStock>),
    ) -> Arc<XdpPort> {
        let wanted = Wanted { mode: None, queues: 1 };
        let state = State { wanted, taken: None, live: 0, lost: BTreeMap::new(), fallback: None };
        let (state, losses) = (Mutex::new(state), Arc::default());
        Arc::new(XdpPort { name: name.to_owned(), polling, links, stock, state, losses })
    }

    pub(crate) fn polling(&self) -> Polling {
        self.polling
    }

    pub(crate) fn counts(&self) -> QueueCounts {
        let state = lock(&self.state);
        match &state.taken {
            // The packet socket has queues of its own number.
            Some(Taken { mode: Err(_), wanted, .. }) if *wanted == state.wanted => PacketPort::COUNTS,
            _ => QueueCounts { rx: state.wanted.queues, tx: state.wanted.queues },
        }
    }

    /// True if other queues would serve better than those that were taken.
    pub(crate) fn is_stale(&self) -> bool {
        let now = self.links.find(&self.name).map(|l| l.info.index);
        let state = lock(&self.state);
        let Some(taken) = &state.taken else { return false };
        taken.wanted != state.wanted || now.is_some_and(|index| index != taken.ifindex)
    }

    /// The device's counters with what was lost at our end, and in the rings between.
    pub(crate) fn added_to(&self, stats: NetdevStats) -> NetdevStats {
        release_stopped();
        let state = lock(&self.state);
        if let Some(port) = &state.fallback {
            port.count_missed();
        }
        let mut stats = self.losses.added_to(stats);
        for queue in state.lost.keys() {
            let lost = state.lost(*queue);
            // What an empty fill ring lost is in rx_dropped as well.
            stats.rx_missed_errors = stats.rx_missed_errors.map(|n| n + lost.rx_dropped + lost.rx_ring_full);
            stats.tx_dropped = stats.tx_dropped.map(|n| n + lost.tx_invalid_descs);
            let each = [
                ("rx_dropped", lost.rx_dropped + lost.rx_ring_full),
                ("rx_invalid_descs", lost.rx_invalid_descs),
                ("tx_invalid_descs", lost.tx_invalid_descs),
            ];
            stats.custom.extend(each.map(|(name, n)| (format!("xsk_queue_{queue}_{name}"), n)));
        }
        stats
    }

    pub(crate) fn set_options(&self, options: &Options) -> Result<(), NetdevError> {
        let mode = match options.get("xdp-mode").map(String::as_str) {
            None | Some("best-effort") => None,
            Some(name) => match Mode::ALL.into_iter().find(|mode| mode.name() == name) {
                Some(mode) => Some(mode),
                None => {
                    log::warn!(target: "netdev_afxdp", "{}: Incorrect xdp-mode ({name}).", self.name);
                    return Err(NetdevError::Os(libc::EINVAL));
                }
            },
        };
        let queues = options.get("n_rxq").and_then(|n| n.parse::<u32>().ok()).unwrap_or(1).max(1);
        if queues > MAX_QUEUES {
            log::warn!(target: "netdev_afxdp", "{}: Too big 'n_rxq' ({queues} > {MAX_QUEUES}).", self.name);
            return Err(NetdevError::Os(libc::EINVAL));
        }
        lock(&self.state).wanted = Wanted { mode, queues };
        Ok(())
    }

    pub(crate) fn config(&self) -> Options {
        let wanted = lock(&self.state).wanted;
        let mode = wanted.mode.map_or("best-effort", Mode::name);
        Options::from([
            ("n_rxq".to_owned(), wanted.queues.to_string()),
            ("xdp-mode".to_owned(), mode.to_owned()),
        ])
    }

    /// Adds what is in use to `Interface.status`.
    pub(crate) fn add_status(&self, status: &mut Options) {
        let state = lock(&self.state);
        let Some(taken) = &state.taken else { return };
        let mode = match &taken.mode {
            Ok(mode) => mode.name(),
            Err(why) => {
                status.insert("xdp-error".to_owned(), why.clone());
                FALLBACK
            }
        };
        status.insert("xdp-mode".to_owned(), mode.to_owned());
    }

    /// Opens the queues; `None` while somebody has them, or if there is no device.
    pub(crate) fn queues(self: &Arc<Self>) -> Option<Queues> {
        let mut state = lock(&self.state);
        if state.live != 0 {
            return None;
        }
        let ifindex = self.links.find(&self.name)?.info.index;
        let wanted = state.wanted;
        // What it missed is counted before it goes.
        if let Some(port) = state.fallback.take() {
            port.count_missed();
        }
        let (queues, mode) = match self.open(ifindex, wanted, &mut state) {
            Ok((mode, queues)) => {
                log::info!(target: "netdev_afxdp", "{}: {} mode, {} queues", self.name, mode.name(), wanted.queues);
                state.live = 2 * wanted.queues as usize;
                (queues, Ok(mode))
            }
            Err(why) => {
                log::warn!(target: "netdev_afxdp", "{}: AF_XDP cannot be used ({why}), using AF_PACKET", self.name);
                let (sources, losses) = ((self.links.clone(), &self.stock), self.losses.clone());
                let port = PacketPort::counting(&self.name, ifindex, sources, None, losses).ok()?;
                let queues = port.queues()?;
                state.fallback = Some(port);
                (queues, Err(why))
            }
        };
        state.taken = Some(Taken { ifindex, wanted, mode });
        Some(queues)
    }

    /// Opens the queues in the mode that is wanted, or the best.
    fn open(
        self: &Arc<Self>,
        ifindex: u32,
        wanted: Wanted,
        state: &mut State,
    ) -> Result<(Mode, Queues), String> {
        let modes = Mode::ALL.into_iter().filter(|mode| wanted.mode.is_none_or(|only| only == *mode));
        let mut errors = Vec::new();
        for mode in modes {
            match self.open_in(mode, ifindex, wanted.queues, state) {
                Ok(queues) => return Ok((mode, queues)),
                Err(e) => errors.push(format!("{}: {}", mode.name(), reason(e))),
            }
        }
        Err(errors.join(", "))
    }

    fn open_in(self: &Arc<Self>, mode: Mode, ifindex: u32, n: u32, state: &mut State) -> io::Result<Queues> {
        let (attach, bind) = mode.how();
        let program = Arc::new(Program::attach(ifindex, n, attach)?);
        let mut halves = Vec::new();
        for queue in 0..n {
            let (receive, send) = open_idle(ifindex, queue, bind)?;
            program.steer(queue, receive.as_fd())?;
            if receive.has_joined() {
                log::debug!(target: "netdev_afxdp", "{}: queue {queue} shares the packet memory of others", self.name);
            }
            halves.push((receive, send));
        }
        // Only now, as each of these counts as live.
        let mut queues = Queues { rx: Vec::new(), tx: Vec::new() };
        for (queue, (receive, send)) in (0..).zip(halves) {
            state.lost.entry(queue).or_default().1 = Some(receive.counters());
            let (port, program) = (self.clone(), program.clone());
            queues.rx.push(Box::new(Rx {
                socket: receive,
                _program: program,
                port,
                queue,
                drops: RxDrops::default(),
            }));
            queues.tx.push(Box::new(Tx { socket: send, port: self.clone() }));
        }
        Ok(queues)
    }

    /// A queue has gone.
    fn release(&self) {
        let mut state = lock(&self.state);
        state.live = state.live.saturating_sub(1);
    }
}

/// Why there are no queues. Of all limits that of locked memory is the one whose error says least.
fn reason(e: io::Error) -> String {
    let (errno, why) = (e.raw_os_error(), NetdevError::from(e));
    let limit = getrlimit(Resource::Memlock).current;
    match (errno, limit) {
        (Some(libc::ENOBUFS), Some(bytes)) => format!(
            "{why}: the {} kB that packets of all ports lie in are locked, and RLIMIT_MEMLOCK allows {} kB",
            ARENA >> 10,
            bytes >> 10
        ),
        _ => why.to_string(),
    }
}

/// Opens a socket on a receive queue. One that was closed just now keeps the queue until the kernel has cleared it away, which
/// nothing tells of: this waits for it a while.
fn open_idle(ifindex: u32, queue: u32, bind: Bind) -> io::Result<(XdpRx, XdpTx)> {
    let mut tries = 0;
    loop {
        match open(ifindex, queue, bind) {
            Err(e) if e.raw_os_error() == Some(libc::EBUSY) && tries < BUSY_TRIES => tries += 1,
            done => return done,
        }
        std::thread::sleep(BUSY_PAUSE);
    }
}

struct Rx {
    socket: XdpRx,
    _program: Arc<Program>,
    port: Arc<XdpPort>,
    queue: u32,
    /// What was lost since somebody asked.
    drops: RxDrops,
}

impl Drop for Rx {
    fn drop(&mut self) {
        lock(&self.port.state).retire(self.queue);
        self.port.release();
    }
}

impl RxQueue for Rx {
    fn receive(&mut self, pool: &mut BufferPool, out: &mut FrameBatch) -> usize {
        let (mut pushed, mut drops) = (0, RxDrops::default());
        self.socket.receive(BATCH - out.len(), pool, |frame| {
            let mut frame = match frame {
                Ok(frame) => frame,
                Err(Loss::NoMemory) => return drops.memory += 1,
                Err(Loss::TooLong) => return drops.truncated += 1,
            };
            frame.offload_mut().l4 = partial_checksum(frame.frame()).unwrap_or(L4Checksum::Unknown);
            pushed += usize::from(out.push_from(OdpPort::NONE, frame).is_ok());
        });
        self.port.losses.received(&drops);
        self.drops.add(&drops);
        pushed
    }

    fn take_drops(&mut self) -> RxDrops {
        std::mem::take(&mut self.drops)
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket.as_fd())
    }
}

struct Tx {
    socket: XdpTx,
    port: Arc<XdpPort>,
}

impl Drop for Tx {
    fn drop(&mut self) {
        // The last chance of what stands in line; the rest is lost with the queue.
        let _ = self.socket.flush(&mut BufferPool::new());
        self.port.losses.sent(&TxDrops { failed: self.socket.waiting(), ..TxDrops::default() });
        self.port.release();
    }
}

impl TxQueue for Tx {
    fn transmit(&mut self, pool: &mut BufferPool, batch: &mut FrameBatch) -> TxDrops {
        let mut drops = TxDrops::default();
        for (_, frame) in batch.drain() {
            let sent = deliver(frame, TxCapabilities::default(), pool, |frame: Frame, pool| {
                if frame.len() > FRAME_MAX {
                    drops.mtu += 1;
                    pool.give(frame);
                } else if let Err(frame) = self.socket.push(frame, pool) {
                    drops.failed += 1;
                    pool.give(frame);
                }
            });
            match sent {
                Ok(()) => {}
                Err(SegmentError::Malformed) => drops.failed += 1,
                Err(SegmentError::NoMemory) => drops.memory += 1,
            }
        }
        // What stands in line while the device is down leaves when it is up, or is lost with its queue, and counted then.
        let _ = self.socket.flush(pool);
        self.port.losses.sent(&drops);
        drops
    }
}
