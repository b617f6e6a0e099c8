//! The datapath in process: its ports, its commands, its polling thread.
//!
//! Where it sits: the crate's surface.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use conntrack::Conntrack;
use datapath::{Command, CommandError, Datapath, DropCounts, End, FlowPut, NextHop, Reply};
use dpif::{Dpif, DpifError, Port, PortStats, UpcallHandler};
use flow::Match;
use netdev::{Frame, Netdev, NetdevError, Polling, Registry};
use odp::Action;
use odp::text::{ActionList, FlowText};
use packet::{Instant, Now, OdpPort, PacketMeta};
use wire::EthAddr;

use crate::cores::Cores;
use crate::metrics::Watch;
use crate::perf::Perf;
use crate::pmd::Control;
use crate::poller::{self, Poller};
use crate::ports::{PortEntry, Ports, Settings, Steering, choose_number, lock};
use crate::pump::Pump;

/// The type of a datapath.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// `netdev`: real devices; shown as `netdev@ovs-netdev`.
    Netdev,
    /// `system`: real devices, in a process that outlives the switch; shown as `system@ovs-system`.
    System,
    /// `dummy`: for tests; shown as `dummy@ovs-dummy`.
    Dummy,
}

impl Class {
    /// Its name as `Bridge.datapath_type` has it.
    pub fn name(self) -> &'static str {
        match self {
            Class::Netdev => "netdev",
            Class::System => "system",
            Class::Dummy => "dummy",
        }
    }

    /// The local port's device, which has the datapath's name.
    fn local(self) -> &'static str {
        match self {
            Class::Netdev => "ovs-netdev",
            Class::System => "ovs-system",
            Class::Dummy => "ovs-dummy",
        }
    }

    /// The type of device behind a port of a type.
    fn device_kind(self, kind: &str) -> &str {
        match (self, kind) {
            (Class::Netdev, "internal") => "tap",
            (Class::Dummy, "internal") => "dummy-internal",
            (_, other) => other,
        }
    }
}

/// Finds the ways of tunnels, where the datapath itself does that.
pub trait FindWays: Send + Sync {
    /// The next hop towards a tunnel's end point, as far as it is known: a packet waits for no answer.
    fn next_hop(&self, end: &End, now: Now) -> NextHop;
}

/// The daemon's clock.
pub type Clock = Arc<dyn Fn() -> Now + Send + Sync>;

/// What a datapath is made from.
pub struct Setup {
    /// Its type.
    pub class: Class,
    /// The devices it can open.
    pub registry: Arc<Registry>,
    /// The daemon's clock.
    pub clock: Clock,
    /// Seeds and limits.
    pub config: datapath::Config,
    /// The processor's cores: poll-mode threads are bound to them.
    pub cores: Arc<Cores>,
}

/// Why a datapath could not be made.
#[derive(Debug)]
pub enum OpenError {
    /// Memory is short.
    NoMemory,
    /// The system refused.
    Os(io::Error),
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            OpenError::NoMemory => f.write_str("Cannot allocate memory"),
            OpenError::Os(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for OpenError {}

impl From<io::Error> for OpenError {
    fn from(e: io::Error) -> OpenError {
        OpenError::Os(e)
    }
}

impl From<rustix::io::Errno> for OpenError {
    fn from(e: rustix::io::Errno) -> OpenError {
        OpenError::Os(e.into())
    }
}

/// The devices of the ports.
#[derive(Default)]
struct Devices {
    by_number: BTreeMap<OdpPort, Arc<dyn Netdev>>,
    numbers: HashMap<String, OdpPort>,
}

impl Devices {
    fn get(&self, number: OdpPort) -> Option<&Arc<dyn Netdev>> {
        self.by_number.get(&number)
    }

    fn insert(&mut self, number: OdpPort, device: Arc<dyn Netdev>) {
        self.numbers.insert(device.name().to_owned(), number);
        self.by_number.insert(number, device);
    }

    fn remove(&mut self, number: OdpPort) {
        if let Some(device) = self.by_number.remove(&number) {
            self.numbers.remove(device.name());
        }
    }

    /// What is told of a port.
    fn port(&self, number: OdpPort) -> Option<Port> {
        let device = self.get(number)?;
        Some(Port {
            number,
            name: device.name().to_owned(),
            kind: device.kind().to_owned(),
            config: device.config().into_iter().collect(),
        })
    }
}

/// What pumps and calls share.
pub(crate) struct Shared {
    class: Class,
    name: String,
    registry: Arc<Registry>,
    clock: Clock,
    pub seed: u64,
    pub cores: Arc<Cores>,
    /// Threads measure each of their rounds.
    pub metrics: AtomicBool,
    /// Which of those are suspicious.
    pub watch: Watch,
    pub datapath: Datapath,
    pub ports: Ports,
    /// Threads that wait, each for its share of the ports.
    pollers: Vec<(Arc<Poller>, Arc<Perf>)>,
    /// Poll-mode threads.
    pub control: Mutex<Control>,
    /// Nanoseconds that a packet may wait for company on its way out.
    patience: AtomicU64,
    handler: RwLock<Option<Arc<dyn UpcallHandler>>>,
    ways: OnceLock<Arc<dyn FindWays>>,
    /// Pumps for calls from outside; one is made when all are in use.
    idle: Mutex<Vec<(Pump, Arc<Perf>)>>,
    /// What all of those have done.
    callers: Mutex<Vec<Arc<Perf>>>,
    /// Every port's device; locked while ports are added and removed.
    devices: Mutex<Devices>,
    housekeeping: Mutex<Instant>,
}

impl Shared {
    pub(crate) fn now(&self) -> Now {
        (self.clock)()
    }

    pub(crate) fn handler(&self) -> Option<Arc<dyn UpcallHandler>> {
        self.handler.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Who finds the ways of tunnels, if anybody does.
    pub(crate) fn find_ways(&self) -> Option<&dyn FindWays> {
        self.ways.get().map(|ways| &**ways)
    }

    /// Has a port's packets waited for, if it is one that waits.
    fn wait_for(&self, port: &PortEntry) -> io::Result<()> {
        let queues = if port.has_fd { port.counts().rx as usize } else { 0 };
        (0..queues).try_for_each(|queue| self.poller_of(port.number, queue).add(port, queue))
    }

    /// Has nobody wait for a port's packets any more.
    fn leave(&self, port: &PortEntry) {
        (0..port.counts().rx as usize)
            .for_each(|queue| self.poller_of(port.number, queue).remove(port, queue));
    }

    /// Installs a megaflow; returns what it matches. The handler is told of one that made way for it.
    pub(crate) fn put_flow(&self, put: &mut FlowPut) -> Result<Match, CommandError> {
        let matched = put.matched;
        if log::log_enabled!(target: "dpif_netdev", log::Level::Debug) {
            let FlowPut { ufid, matched, actions, .. } = &*put;
            log::debug!(
                target: "dpif_netdev",
                "flow_add: ufid:{ufid} {}, actions:{}", FlowText(matched), ActionList(actions)
            );
        }
        if let Some(gone) = self.datapath.apply(Command::PutFlow(put))?.into_flow()
            && let Some(handler) = self.handler()
        {
            handler.evicted(&gone);
        }
        Ok(matched)
    }

    /// How long a packet may wait for company on its way out.
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_nanos(self.patience.load(Ordering::Relaxed))
    }

    /// The thread that waits for the packets of a port's queue.
    pub(crate) fn poller_of(&self, port: OdpPort, queue: usize) -> &Poller {
        &self.pollers[(port.0 as usize + queue) % self.pollers.len()].0
    }

    /// The counters of everybody but poll-mode threads.
    pub(crate) fn others(&self) -> Vec<Arc<Perf>> {
        let pollers = self.pollers.iter().map(|(_, perf)| perf.clone());
        pollers.chain(lock(&self.callers).iter().cloned()).collect()
    }

    /// Lends a pump to `f`; false if memory is too short for one.
    fn with_pump(&self, f: impl FnOnce(&mut Pump, &Perf)) -> bool {
        let make = || {
            let pump = Pump::try_new(self, 0)?;
            let perf = Arc::new(Perf::default());
            perf.set_slot(pump.slot());
            lock(&self.callers).push(perf.clone());
            Some((pump, perf))
        };
        let idle = lock(&self.idle).pop();
        let Some((mut pump, perf)) = idle.or_else(make) else { return false };
        f(&mut pump, &perf);
        lock(&self.idle).push((pump, perf));
        true
    }
}

/// Threads that wait for ports at most.
const MAX_POLLERS: usize = 4;
/// Housekeeping is due this often.
const HOUSEKEEPING: Duration = Duration::from_secs(1);
/// Connections looked at in one part of a sweep, and parts of one turn.
const SWEEP_PART: usize = 1024;
const SWEEP_PARTS: usize = 64;

/// A datapath in this process.
pub struct DpifNetdev {
    pub(crate) shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl DpifNetdev {
    /// Makes a datapath with its local port, and starts its threads.
    pub fn open(setup: Setup) -> Result<DpifNetdev, OpenError> {
        let class = setup.class;
        let dpif = DpifNetdev::without_ports(setup)?;
        // Bridges work without it; only what talks to the datapath's own device misses it.
        if let Err(e) = dpif.add_port(class.local(), "internal", Some(OdpPort::LOCAL)) {
            log::warn!(target: "dpif_netdev", "could not open network device {} ({e})", class.local());
        }
        dpif.start()?;
        Ok(dpif)
    }

    /// Makes a datapath under a name of its own, `TYPE@DEVICE`; the device is its local port.
    pub fn open_as(setup: Setup, name: &str) -> Result<DpifNetdev, OpenError> {
        let dpif = DpifNetdev::named(setup, name.to_owned())?;
        let local = name.split_once('@').map_or(name, |(_, device)| device);
        dpif.add_port(local, "internal", Some(OdpPort::LOCAL)).map_err(|e| match e {
            DpifError::Device { errno, .. } => OpenError::Os(io::Error::from_raw_os_error(errno)),
            _ => OpenError::Os(io::ErrorKind::AlreadyExists.into()),
        })?;
        dpif.start()?;
        Ok(dpif)
    }

    /// Makes a datapath that is to take over the ports of another, the local one among them; [`DpifNetdev::start`] has it
    /// look at them.
    pub fn without_ports(setup: Setup) -> Result<DpifNetdev, OpenError> {
        let name = format!("{}@{}", setup.class.name(), setup.class.local());
        DpifNetdev::named(setup, name)
    }

    fn named(setup: Setup, name: String) -> Result<DpifNetdev, OpenError> {
        let Setup { class, registry, clock, config, cores } = setup;
        // Half of the cores: guests and applications, whose packets these are, need the others.
        let pollers = (cores.count() / 2).clamp(1, MAX_POLLERS);
        let pollers = (0..pollers).map(|_| Ok((Arc::new(Poller::new()?), Arc::default())));
        let shared = Arc::new(Shared {
            class,
            name,
            registry,
            clock,
            seed: config.seed,
            datapath: Datapath::try_new(&config).ok_or(OpenError::NoMemory)?,
            ports: Ports::default(),
            pollers: pollers.collect::<io::Result<_>>()?,
            control: Mutex::default(),
            metrics: AtomicBool::new(false),
            watch: Watch::default(),
            patience: AtomicU64::new(0),
            callers: Mutex::default(),
            cores,
            handler: RwLock::default(),
            ways: OnceLock::new(),
            idle: Mutex::default(),
            devices: Mutex::default(),
            housekeeping: Mutex::default(),
        });
        let dpif = DpifNetdev { shared, threads: Mutex::default() };
        Ok(dpif)
    }

    /// The core, for those who command it by messages.
    pub fn datapath(&self) -> &Datapath {
        &self.shared.datapath
    }

    /// Has the ways of tunnels found by `ways`, from the first that is given on.
    pub fn set_ways(&self, ways: Arc<dyn FindWays>) {
        // The first stays.
        let _ = self.shared.ways.set(ways);
    }

    /// The device of a port.
    pub fn netdev(&self, number: OdpPort) -> Option<Arc<dyn Netdev>> {
        lock(&self.shared.devices).get(number).cloned()
    }

    /// Pumps the ports that have no descriptor until they are dry: every packet fed to a dummy before this call has
    /// left, or is counted as dropped, when it returns.
    pub fn poll_ports(&self) {
        let in_memory = |port: &&Arc<PortEntry>| port.polling == Polling::Waiting && !port.has_fd;
        if !self.shared.ports.snapshot().values().any(|port| in_memory(&port)) {
            return;
        }
        self.shared.with_pump(|pump, perf| {
            loop {
                let table = pump.table(&self.shared).clone();
                let mut moved = 0;
                for port in table.values().filter(in_memory) {
                    for queue in 0..port.counts().rx as usize {
                        moved += pump.poll(&self.shared, port, queue, perf);
                    }
                }
                if moved == 0 {
                    pump.flush(&self.shared, perf);
                    break;
                }
            }
        });
    }

    /// Looks at every device again: to be called when links changed.
    pub fn links_changed(&self) {
        self.shared.pollers.iter().for_each(|(poller, _)| poller.wake());
    }

    /// Takes over `Open_vSwitch.other_config`, as far as threads are concerned; [`DpifNetdev::reconfigure`] carries it
    /// out.
    pub fn set_config(&self, keys: &BTreeMap<String, String>) {
        let mut control = lock(&self.shared.control);
        control.configure(keys);
        self.shared.patience.store(control.config.flush_us * 1000, Ordering::Relaxed);
        self.shared.metrics.store(control.config.metrics, Ordering::Relaxed);
    }

    /// Takes over `Interface.other_config` of a port, as far as its queues are concerned.
    pub fn set_port_config(&self, number: OdpPort, keys: &BTreeMap<String, String>) {
        let Some(port) = self.shared.ports.snapshot().get(&number).cloned() else { return };
        let old = port.settings();
        let mut new = Settings { steering: old.steering, ..Settings::default() };
        match keys.get("pmd-rxq-affinity").map(|text| affinity(text)) {
            Some(Some(affinity)) if port.polling == Polling::Dedicated => new.affinity = affinity,
            Some(None) => {
                let name = Dpif::name(self);
                log::warn!(target: "dpif", "{name}: port_set_config failed (Invalid argument)");
                new.affinity.clone_from(&old.affinity);
            }
            _ => {}
        }
        new.steering = match keys.get("tx-steering").map(String::as_str) {
            Some("hash") => Steering::Hash,
            _ => Steering::Thread,
        };
        if new.steering != old.steering {
            let word = if new.steering == Steering::Hash { "hash" } else { "thread" };
            log::info!(target: "dpif_netdev", "{}: Tx packet steering mode has been set to '{word}'.", port.name);
        }
        if new != old {
            port.set(new);
            lock(&self.shared.control).mark();
        }
    }

    /// Makes queues and threads what devices, settings and configuration ask for; does nothing if nothing changed.
    pub fn reconfigure(&self) {
        let devices = lock(&self.shared.devices);
        for (number, port) in self.shared.ports.snapshot().iter() {
            let Some(device) = devices.get(*number) else { continue };
            port.follow_mtu(&**device);
            let (wanted, have) = (device.wanted_queues(), port.counts());
            let dedicated = port.polling == Polling::Dedicated;
            if !device.queues_are_stale()
                && have.rx == wanted.rx
                && (!dedicated || (have.tx == wanted.tx && port.numa_id == device.numa_id()))
            {
                continue;
            }
            self.shared.leave(port);
            port.close();
            self.reopen(port, &**device);
        }
        drop(devices);
        lock(&self.shared.control).carry_out(&self.shared);
    }

    /// Opens a port's queues, which are closed; while that fails it stays as it is.
    fn reopen(&self, port: &PortEntry, device: &dyn Netdev) {
        let Some(fresh) = PortEntry::new(port.number, device, port.settings()).map(Arc::new) else { return };
        if let Err(e) = self.shared.wait_for(&fresh) {
            log::warn!(target: "dpif_netdev", "{}: its queues cannot be waited for ({e})", port.name);
        }
        self.shared.ports.change(|table| drop(table.insert(port.number, fresh)));
        lock(&self.shared.control).mark();
    }

    /// Closes the queues of a port, so that another process can open the device. To be called after [`DpifNetdev::halt`].
    pub fn release_port(&self, number: OdpPort) {
        if let Some(port) = self.shared.ports.snapshot().get(&number) {
            self.shared.leave(port);
            port.close();
        }
    }

    /// Opens the queues of a port again that [`DpifNetdev::release_port`] has closed.
    pub fn retake_port(&self, number: OdpPort) {
        let port = self.shared.ports.snapshot().get(&number).cloned();
        let devices = lock(&self.shared.devices);
        if let Some((port, device)) = port.zip(devices.get(number)) {
            self.reopen(&port, &**device);
        }
    }

    /// Does what is due by the clock (expired connections, order of masks); returns when to call again.
    pub fn housekeep(&self) -> Instant {
        let now = self.shared.now();
        let mut due = lock(&self.shared.housekeeping);
        if now.mono >= *due {
            *due = now.mono + HOUSEKEEPING;
            let ct = self.shared.datapath.conntrack();
            for _ in 0..SWEEP_PARTS {
                if !ct.maintain(now, SWEEP_PART) {
                    break;
                }
            }
            // Cannot fail.
            let _ = self.shared.datapath.apply(Command::SortMasks);
            lock(&self.shared.control).balance(&self.shared);
        }
        *due
    }

    /// Starts the threads that wait for ports' packets, unless they run; those that poll come with [`DpifNetdev::reconfigure`].
    pub fn start(&self) -> Result<(), OpenError> {
        let shared = &self.shared;
        lock(&shared.control).mark();
        let mut threads = lock(&self.threads);
        for (number, (poller, perf)) in shared.pollers.iter().cloned().enumerate().skip(threads.len()) {
            let pump = Pump::try_new(shared, number).ok_or(OpenError::NoMemory)?;
            poller.go();
            let shared = shared.clone();
            let thread = std::thread::Builder::new().name("ports".to_owned());
            let run = move || poller::run(&shared, &poller, pump, &perf);
            threads.push(thread.spawn(run)?);
        }
        Ok(())
    }

    /// Ends every thread: from now on packets wait in their devices, for whoever has the same descriptors.
    pub fn halt(&self) {
        lock(&self.shared.control).end_all();
        self.shared.pollers.iter().for_each(|(poller, _)| poller.stop());
        for thread in lock(&self.threads).drain(..) {
            // A thread that panicked is ended as well.
            let _ = thread.join();
        }
    }

    /// Copies of the descriptors by which a port's device is open, one for each receive queue; none of one that has none.
    pub fn port_fds(&self, number: OdpPort) -> io::Result<Vec<OwnedFd>> {
        let Some(port) = self.shared.ports.snapshot().get(&number).cloned() else { return Ok(Vec::new()) };
        let queues = 0..port.counts().rx as usize;
        queues.filter_map(|queue| port.with_fd(queue, |fd| fd.try_clone_to_owned())).collect()
    }

    /// Closes every port, then ends the threads.
    fn shut_down(&self) {
        for port in self.shared.ports.snapshot().values() {
            port.close();
        }
        self.shared.ports.change(BTreeMap::clear);
        *lock(&self.shared.devices) = Devices::default();
        self.halt();
    }
}

impl Drop for DpifNetdev {
    fn drop(&mut self) {
        self.shut_down();
    }
}

/// The core of each queue that `pmd-rxq-affinity` names, `QUEUE:CORE,…`; `None` if it does not read so.
fn affinity(text: &str) -> Option<BTreeMap<u32, u32>> {
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (queue, core) = pair.split_once(':')?;
            Some((queue.trim().parse().ok()?, core.trim().parse().ok()?))
        })
        .collect()
}

fn device_error(e: &NetdevError) -> DpifError {
    DpifError::Device { errno: e.errno(), text: e.to_string() }
}

impl Dpif for DpifNetdev {
    fn name(&self) -> &str {
        &self.shared.name
    }

    fn set_upcall_handler(&self, handler: Option<Arc<dyn UpcallHandler>>) {
        *self.shared.handler.write().unwrap_or_else(PoisonError::into_inner) = handler;
    }

    fn add_port(&self, name: &str, kind: &str, wanted: Option<OdpPort>) -> Result<OdpPort, DpifError> {
        let shared = &self.shared;
        let mut devices = lock(&shared.devices);
        let table = shared.ports.snapshot();
        let number = match wanted {
            Some(number) if table.contains_key(&number) => return Err(DpifError::Busy),
            Some(number) => number,
            None => choose_number(shared.class, name, &table).ok_or(DpifError::Full)?,
        };
        if devices.numbers.contains_key(name) {
            return Err(DpifError::Exists);
        }
        let kind = shared.class.device_kind(kind);
        let netdev = shared.registry.open(name, kind).map_err(|e| device_error(&e))?;
        let port = PortEntry::new(number, &*netdev, Settings::default()).ok_or(DpifError::Busy)?;
        let port = Arc::new(port);
        shared.ports.change(|table| {
            table.insert(number, port.clone());
        });
        if let Err(e) = shared.wait_for(&port) {
            shared.ports.change(|table| {
                table.remove(&number);
            });
            return Err(device_error(&e.into()));
        }
        devices.insert(number, netdev);
        if port.polling == Polling::Dedicated {
            lock(&shared.control).mark();
        }
        Ok(number)
    }

    fn del_port(&self, number: OdpPort) -> Result<(), DpifError> {
        if number == OdpPort::LOCAL {
            return Err(DpifError::Local);
        }
        let mut devices = lock(&self.shared.devices);
        let port = self.shared.ports.snapshot().get(&number).cloned().ok_or(DpifError::NoPort)?;
        self.shared.ports.change(|table| {
            table.remove(&number);
        });
        self.shared.leave(&port);
        port.close();
        if port.polling == Polling::Dedicated {
            lock(&self.shared.control).mark();
        }
        devices.remove(number);
        self.shared.datapath.forget_port(number);
        Ok(())
    }

    fn ports(&self) -> Vec<Port> {
        let devices = lock(&self.shared.devices);
        devices.by_number.keys().filter_map(|number| devices.port(*number)).collect()
    }

    fn port_by_name(&self, name: &str) -> Option<Port> {
        let devices = lock(&self.shared.devices);
        devices.port(*devices.numbers.get(name)?)
    }

    fn set_port_options(&self, number: OdpPort, options: &BTreeMap<String, String>) -> Result<(), DpifError> {
        let device = self.netdev(number).ok_or(DpifError::NoPort)?;
        device.set_options(options).map_err(|e| device_error(&e))
    }

    fn port_hw_addr(&self, number: OdpPort) -> EthAddr {
        self.netdev(number).and_then(|d| d.mac().ok()).unwrap_or_default()
    }

    fn port_stats(&self, number: OdpPort) -> Result<PortStats, DpifError> {
        let s = self.netdev(number).ok_or(DpifError::NoPort)?.stats().map_err(|e| device_error(&e))?;
        Ok(PortStats::named(|name| s.iter().find(|(n, _)| *n == name).map(|(_, n)| n)))
    }

    fn port_drops(&self, number: OdpPort) -> DropCounts {
        self.shared.datapath.port_drops(number)
    }

    fn apply(&self, command: Command<'_>) -> Result<Reply, CommandError> {
        match command {
            Command::PutFlow(put) => self.shared.put_flow(put).map(|_| Reply::Done),
            other => self.shared.datapath.apply(other),
        }
    }

    fn execute(&self, meta: PacketMeta, packet: Frame, actions: &[Action]) -> Result<(), CommandError> {
        odp::validate(actions).map_err(CommandError::InvalidActions)?;
        if self.shared.with_pump(|pump, perf| pump.execute(&self.shared, (meta, packet), actions, perf)) {
            Ok(())
        } else {
            Err(CommandError::NoMemory)
        }
    }

    fn conntrack(&self) -> Option<&Conntrack> {
        Some(self.shared.datapath.conntrack())
    }
}
