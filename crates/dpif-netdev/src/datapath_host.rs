//! The datapath in process: its ports, its commands, its polling thread.
//!
//! Where it sits: the crate's surface.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

use conntrack::Conntrack;
use datapath::{Command, CommandError, Datapath, FlowPut, Reply};
use dpif::{Dpif, DpifError, Port, PortStats, UpcallHandler};
use flow::Match;
use netdev::{Frame, Netdev, NetdevError, Registry};
use odp::Action;
use odp::text::{ActionList, FlowText};
use packet::{Instant, Now, OdpPort, PacketMeta};
use wire::EthAddr;

use crate::poller::{self, Poller};
use crate::ports::{PortEntry, Ports, choose_number, lock};
use crate::pump::Pump;

/// The type of a datapath.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// `netdev`: real devices; shown as `netdev@ovs-netdev`.
    Netdev,
    /// `dummy`: for tests; shown as `dummy@ovs-dummy`.
    Dummy,
}

impl Class {
    /// Its name as `Bridge.datapath_type` has it.
    pub fn name(self) -> &'static str {
        match self {
            Class::Netdev => "netdev",
            Class::Dummy => "dummy",
        }
    }

    /// The local port's device, which has the datapath's name.
    fn local(self) -> &'static str {
        match self {
            Class::Netdev => "ovs-netdev",
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

type Devices = BTreeMap<OdpPort, Arc<dyn Netdev>>;

/// What pumps and calls share.
pub(crate) struct Shared {
    class: Class,
    name: String,
    registry: Arc<Registry>,
    clock: Clock,
    seed: u64,
    pub datapath: Datapath,
    pub ports: Ports,
    pub poller: Poller,
    handler: RwLock<Option<Arc<dyn UpcallHandler>>>,
    /// Pumps for calls from outside; one is made when all are in use.
    idle: Mutex<Vec<Pump>>,
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

    /// Installs a megaflow; returns what it matches.
    pub(crate) fn put_flow(&self, put: &mut FlowPut) -> Result<Match, CommandError> {
        let matched = put.matched;
        if log::log_enabled!(target: "dpif_netdev", log::Level::Debug) {
            let FlowPut { ufid, matched, actions, .. } = &*put;
            log::debug!(
                target: "dpif_netdev",
                "flow_add: ufid:{ufid} {}, actions:{}", FlowText(matched), ActionList(actions)
            );
        }
        self.datapath.apply(Command::PutFlow(put)).map(|_| matched)
    }

    /// Lends a pump to `f`; false if memory is too short for one.
    fn with_pump(&self, f: impl FnOnce(&mut Pump)) -> bool {
        let idle = lock(&self.idle).pop();
        let Some(mut pump) = idle.or_else(|| Pump::try_new(self.seed)) else { return false };
        f(&mut pump);
        lock(&self.idle).push(pump);
        true
    }
}

/// Housekeeping is due this often.
const HOUSEKEEPING: std::time::Duration = std::time::Duration::from_secs(1);
/// Connections looked at in one part of a sweep, and parts of one turn.
const SWEEP_PART: usize = 1024;
const SWEEP_PARTS: usize = 64;

/// A datapath in this process.
pub struct DpifNetdev {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl DpifNetdev {
    /// Makes a datapath with its local port, and starts its thread.
    pub fn open(setup: Setup) -> Result<DpifNetdev, OpenError> {
        let Setup { class, registry, clock, config } = setup;
        let shared = Arc::new(Shared {
            class,
            name: format!("{}@{}", class.name(), class.local()),
            registry,
            clock,
            seed: config.seed,
            datapath: Datapath::try_new(&config).ok_or(OpenError::NoMemory)?,
            ports: Ports::default(),
            poller: Poller::new()?,
            handler: RwLock::default(),
            idle: Mutex::default(),
            devices: Mutex::default(),
            housekeeping: Mutex::default(),
        });
        let pump = Pump::try_new(config.seed).ok_or(OpenError::NoMemory)?;
        let of_thread = shared.clone();
        let thread = std::thread::Builder::new()
            .name("pmd".to_owned())
            .spawn(move || poller::run(&of_thread, pump))?;
        let dpif = DpifNetdev { shared, thread: Some(thread) };
        // Bridges work without it; only what talks to the datapath's own device misses it.
        if let Err(e) = dpif.add_port(class.local(), "internal", Some(OdpPort::LOCAL)) {
            log::warn!(target: "dpif_netdev", "could not open network device {} ({e})", class.local());
        }
        Ok(dpif)
    }

    /// The device of a port.
    pub fn netdev(&self, number: OdpPort) -> Option<Arc<dyn Netdev>> {
        lock(&self.shared.devices).get(&number).cloned()
    }

    /// Pumps the ports that have no descriptor until they are dry: every packet fed to a dummy before this call has
    /// left, or is counted as dropped, when it returns.
    pub fn poll_ports(&self) {
        self.shared.with_pump(|pump| {
            loop {
                let table = pump.table(&self.shared);
                let in_memory = table.values().filter(|p| !p.has_fd);
                if in_memory.map(|port| pump.poll(&self.shared, port)).sum::<usize>() == 0 {
                    break;
                }
            }
        });
    }

    /// Looks at every device again: to be called when links changed.
    pub fn links_changed(&self) {
        self.shared.poller.wake();
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
        }
        *due
    }

    /// Closes every port, then ends the thread.
    fn shut_down(&mut self) {
        for port in self.shared.ports.snapshot().values() {
            port.close();
        }
        self.shared.ports.change(BTreeMap::clear);
        lock(&self.shared.devices).clear();
        self.shared.poller.stop();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked is ended as well.
            let _ = thread.join();
        }
    }
}

impl Drop for DpifNetdev {
    fn drop(&mut self) {
        self.shut_down();
    }
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
        if devices.values().any(|device| device.name() == name) {
            return Err(DpifError::Exists);
        }
        let number = match wanted {
            Some(number) if table.contains_key(&number) => return Err(DpifError::Busy),
            Some(number) => number,
            None => choose_number(shared.class, name, &table).ok_or(DpifError::Full)?,
        };
        let kind = shared.class.device_kind(kind);
        let netdev = shared.registry.open(name, kind).map_err(|e| device_error(&e))?;
        let port = Arc::new(PortEntry::new(number, &*netdev).ok_or(DpifError::Busy)?);
        shared.ports.change(|table| {
            table.insert(number, port.clone());
        });
        if let Err(e) = shared.poller.add(&port) {
            shared.ports.change(|table| {
                table.remove(&number);
            });
            return Err(device_error(&e.into()));
        }
        devices.insert(number, netdev);
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
        self.shared.poller.remove(&port);
        port.close();
        devices.remove(&number);
        Ok(())
    }

    fn ports(&self) -> Vec<Port> {
        let port = |(number, device): (&OdpPort, &Arc<dyn Netdev>)| Port {
            number: *number,
            name: device.name().to_owned(),
            kind: device.kind().to_owned(),
        };
        lock(&self.shared.devices).iter().map(port).collect()
    }

    fn port_hw_addr(&self, number: OdpPort) -> EthAddr {
        self.netdev(number).and_then(|d| d.mac().ok()).unwrap_or_default()
    }

    fn port_stats(&self, number: OdpPort) -> Result<PortStats, DpifError> {
        let s = self.netdev(number).ok_or(DpifError::NoPort)?.stats().map_err(|e| device_error(&e))?;
        Ok(PortStats {
            rx_packets: s.rx_packets,
            rx_errors: s.rx_errors,
            rx_dropped: s.rx_dropped,
            rx_over_err: s.rx_over_err,
            rx_frame_err: s.rx_frame_err,
            tx_packets: s.tx_packets,
            tx_errors: s.tx_errors,
            tx_dropped: s.tx_dropped,
            collisions: s.collisions,
            rx_bytes: s.rx_bytes,
            tx_bytes: s.tx_bytes,
        })
    }

    fn apply(&self, command: Command<'_>) -> Result<Reply, CommandError> {
        match command {
            Command::PutFlow(put) => self.shared.put_flow(put).map(|_| Reply::Done),
            other => self.shared.datapath.apply(other),
        }
    }

    fn execute(&self, meta: PacketMeta, packet: Frame, actions: &[Action]) -> Result<(), CommandError> {
        odp::validate(actions).map_err(CommandError::InvalidActions)?;
        if self.shared.with_pump(|pump| pump.execute(&self.shared, (meta, packet), actions)) {
            Ok(())
        } else {
            Err(CommandError::NoMemory)
        }
    }

    fn conntrack(&self) -> &Conntrack {
        self.shared.datapath.conntrack()
    }
}
