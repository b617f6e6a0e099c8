//! The ports behind the device: what `device` asks of its host, answered by `dpif-netdev`.
//!
//! Where it sits: made by `run`; `carrier` calls the device through [`Host::env`], pumps hand upcalls to [`Upcalls`].

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use datapath::Command;
use device::{Device, Env, Errno, Handle, NetdevInfo, PortRef, Progress, Queue, Ticket, VportHost};
use dpif::{Dpif, DpifError, Upcall, UpcallHandler, Verdict};
use dpif_netdev::{Clock, DpifNetdev};
use netdev::offload::{TxCapabilities, deliver};
use netdev::{AdminState, BufferPool};
use odp::Action;
use odp::netlink::vport::{VportKind, VportStats, pairs};
use packet::{FlatPacket, L4Checksum, Now, OdpPort, PacketBuf, PacketMeta};
use rustix::event::{EventfdFlags, eventfd};

use crate::ways::Finder;

/// The datapath, its device, and who waits for it.
pub(crate) struct Host {
    pub dpif: DpifNetdev,
    pub device: Device,
    /// The ways of tunnels.
    pub ways: Arc<Finder>,
    clock: Clock,
    /// What wakes the thread of a handle's connection.
    wakers: RwLock<HashMap<Handle, Arc<OwnedFd>>>,
    /// How threads and ports were set up last, as it came.
    given: Mutex<Given>,
    /// Nothing is carried out any more; written while nothing is being carried out.
    halted: RwLock<bool>,
}

/// What clients have set things to.
#[derive(Default)]
pub(crate) struct Given {
    /// Threads: what [`VportHost::set_config`] takes.
    pub config: Vec<u8>,
    /// What [`VportHost::set_port`] takes, and the same of ports' queues.
    pub ports: BTreeMap<OdpPort, (Vec<u8>, Vec<u8>)>,
}

impl Host {
    /// Joins a datapath and a device, which gets the datapath's local port; errors are the system's.
    pub(crate) fn new(dpif: DpifNetdev, clock: Clock) -> io::Result<Arc<Host>> {
        let device = Device::try_new(device::Config::default()).ok_or(io::ErrorKind::OutOfMemory)?;
        let ways = Arc::new(Finder::new(clock.clone())?);
        for port in dpif.ports() {
            let kind = VportKind::Internal;
            let port = PortRef { number: port.number, kind, name: &port.name, tunnel_port: None };
            device.adopt_port(&port).map_err(|_| io::ErrorKind::OutOfMemory)?;
        }
        dpif.set_ways(ways.clone());
        let (wakers, halted) = (RwLock::default(), RwLock::default());
        let host = Arc::new(Host { dpif, device, ways, clock, wakers, given: Mutex::default(), halted });
        for port in host.dpif.ports() {
            host.offer_way(port.number, VportKind::Internal);
        }
        let upcalls = Upcalls { host: Arc::downgrade(&host), pool: Mutex::new(BufferPool::new()) };
        host.dpif.set_upcall_handler(Some(Arc::new(upcalls)));
        Ok(host)
    }

    /// Lets packets of tunnels go by a port, if it is the host's own.
    fn offer_way(&self, number: OdpPort, kind: VportKind) {
        if kind == VportKind::Internal
            && let Some(device) = self.dpif.netdev(number)
        {
            self.ways.add_port(number, device);
        }
    }

    /// Takes over a port that another process had open.
    pub(crate) fn adopt(&self, port: &PortRef<'_>) -> Result<(), DpifError> {
        if let Some(kind) = odp::TunnelKind::from_number(port.kind as u32) {
            let tunnel = Command::SetTunnel { port: port.number, kind: Some(kind) };
            self.dpif.apply(tunnel).map_err(DpifError::Command)?;
        }
        self.dpif.add_port(port.name, port.kind.name(), Some(port.number))?;
        self.offer_way(port.number, port.kind);
        self.device.adopt_port(port).map(|_| ()).map_err(|_| DpifError::Exists)
    }

    /// How threads and ports were set up last.
    pub(crate) fn given(&self) -> MutexGuard<'_, Given> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries an operation out, unless everything is being handed over.
    pub(crate) fn unless_halted<T>(&self, f: impl FnOnce() -> T) -> Option<T> {
        let halted = self.halted.read().unwrap_or_else(PoisonError::into_inner);
        (!*halted).then(f)
    }

    /// Ends all work: operations, and the ports' threads.
    pub(crate) fn halt(&self) {
        *self.halted.write().unwrap_or_else(PoisonError::into_inner) = true;
        self.dpif.halt();
    }

    /// Takes the work up again that was ended.
    pub(crate) fn resume(&self) {
        if let Err(e) = self.dpif.start() {
            log::error!(target: "ovsextd", "ports are not served any more ({e})");
        }
        self.dpif.reconfigure();
        *self.halted.write().unwrap_or_else(PoisonError::into_inner) = false;
    }

    /// What an operation on the device works on.
    pub(crate) fn env(&self) -> Env<'_, Host> {
        Env { datapath: self.dpif.datapath(), host: self, now: (self.clock)() }
    }

    /// Opens a handle, and makes what its connection is woken by.
    pub(crate) fn open(&self) -> Result<(Handle, Arc<OwnedFd>), device::Status> {
        let waker = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let waker = Arc::new(waker.map_err(|_| device::Status::NoResources)?);
        let handle = self.device.open()?;
        self.wakers.write().unwrap_or_else(PoisonError::into_inner).insert(handle, waker.clone());
        Ok((handle, waker))
    }

    /// Closes a handle.
    pub(crate) fn close(&self, handle: Handle) {
        self.wakers.write().unwrap_or_else(PoisonError::into_inner).remove(&handle);
        self.device.close(handle);
    }

    /// Handles that are open.
    pub(crate) fn handles(&self) -> usize {
        self.wakers.read().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// Texts `KEY=VALUE` as a map.
fn map_of(texts: &[u8]) -> Result<BTreeMap<String, String>, Errno> {
    let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    pairs(texts).map(|pair| pair.map(owned).ok_or(Errno::Inval)).collect()
}

fn errno(e: &DpifError) -> Errno {
    match e {
        DpifError::Busy => Errno::Busy,
        DpifError::Exists | DpifError::Duplicate => Errno::Exist,
        DpifError::NoPort => Errno::NoDev,
        DpifError::Full => Errno::FBig,
        DpifError::Local => Errno::Inval,
        DpifError::Device { errno, .. } => Errno::from_number(*errno),
        DpifError::Command(_) => Errno::Other,
    }
}

impl VportHost for Host {
    fn open_port(&self, port: &PortRef<'_>, _ticket: Ticket) -> Progress<Result<(), Errno>> {
        let added = self.dpif.add_port(port.name, port.kind.name(), Some(port.number));
        match &added {
            Ok(_) => self.offer_way(port.number, port.kind),
            Err(e) => log::warn!(target: "ovsextd", "could not open network device {} ({e})", port.name),
        }
        self.dpif.reconfigure();
        Progress::Done(added.map(|_| ()).map_err(|e| errno(&e)))
    }

    fn close_port(&self, port: &PortRef<'_>, _ticket: Ticket) -> Progress<Result<(), Errno>> {
        self.ways.del_port(port.number);
        let gone = self.dpif.del_port(port.number);
        self.given().ports.remove(&port.number);
        self.dpif.reconfigure();
        Progress::Done(gone.map_err(|e| errno(&e)))
    }

    fn set_port(&self, number: OdpPort, settings: &[u8]) -> Result<(), Errno> {
        let options = map_of(settings)?;
        let set = self.dpif.set_port_options(number, &options).map_err(|e| {
            log::warn!(target: "ovsextd", "port {number} cannot be set as asked ({e})");
            errno(&e)
        });
        if set.is_ok() {
            self.given().ports.entry(number).or_default().0 = settings.to_vec();
        }
        self.dpif.reconfigure();
        set
    }

    fn set_config(&self, number: Option<OdpPort>, config: &[u8]) -> Result<(), Errno> {
        let keys = map_of(config)?;
        match number {
            Some(number) => {
                self.dpif.set_port_config(number, &keys);
                self.given().ports.entry(number).or_default().1 = config.to_vec();
            }
            None => {
                self.dpif.set_config(&keys);
                self.given().config = config.to_vec();
            }
        }
        self.dpif.reconfigure();
        Ok(())
    }

    fn port_stats(&self, number: OdpPort) -> VportStats {
        let Ok(s) = self.dpif.port_stats(number) else { return VportStats::default() };
        let n = |counter: Option<u64>| counter.unwrap_or(0);
        VportStats {
            rx_packets: n(s.rx_packets),
            tx_packets: n(s.tx_packets),
            rx_bytes: n(s.rx_bytes),
            tx_bytes: n(s.tx_bytes),
            rx_errors: n(s.rx_errors),
            tx_errors: n(s.tx_errors),
            rx_dropped: n(s.rx_dropped),
            tx_dropped: n(s.tx_dropped),
        }
    }

    fn for_each_counter(&self, number: OdpPort, each: &mut dyn FnMut(&str, u64)) {
        let Some(Ok(stats)) = self.dpif.netdev(number).map(|device| device.stats()) else { return };
        stats.iter().for_each(|(name, n)| each(name, n));
    }

    fn for_each_status(&self, number: OdpPort, each: &mut dyn FnMut(&str, &str)) {
        let Some(device) = self.dpif.netdev(number) else { return };
        device.status().iter().for_each(|(key, value)| each(key, value));
    }

    fn netdev(&self, name: &str) -> Option<NetdevInfo> {
        let port = self.dpif.port_by_name(name)?;
        let device = self.dpif.netdev(port.number)?;
        Some(NetdevInfo {
            mac: device.mac().ok()?,
            mtu: device.mtu().unwrap_or(0),
            up: device.admin_state().is_ok_and(|s| s == AdminState::Up) && device.carrier(),
            promiscuous: true,
        })
    }

    fn execute(&self, meta: &PacketMeta, frame: &[u8], actions: &[Action]) -> Result<(), Errno> {
        let frame = FlatPacket::try_from_frame(frame).ok_or(Errno::NoMem)?;
        self.ways.prepare(meta.skb_mark, actions);
        self.dpif.execute(*meta, frame, actions).map_err(|_| Errno::Inval)
    }

    fn routes_tunnels(&self) -> bool {
        true
    }

    fn wake(&self, handle: Handle, _queue: Queue) {
        let waker = self.wakers.read().unwrap_or_else(PoisonError::into_inner).get(&handle).cloned();
        if let Some(waker) = waker {
            // An eventfd that takes no more is readable as it is.
            let _ = rustix::io::write(&*waker, &1u64.to_ne_bytes());
        }
    }
}

/// Queues the datapath's upcalls at the device.
struct Upcalls {
    host: Weak<Host>,
    /// For packets whose checksum or segmentation is still to be done: a message has no words for that.
    pool: Mutex<BufferPool>,
}

impl UpcallHandler for Upcalls {
    fn handle(&self, _upcall: &Upcall, _now: Now) -> Verdict {
        Verdict::default()
    }

    fn take(&self, upcall: &Upcall) -> bool {
        let Some(host) = self.host.upgrade() else { return false };
        let offload = upcall.packet.offload();
        let whole = offload.segment.is_none() && !matches!(offload.l4, L4Checksum::Partial { .. });
        if whole {
            self.queue(&host, upcall);
            return true;
        }
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(copy) = pool.clone_of(&upcall.packet) else {
            host.dpif.datapath().count_lost(1);
            return true;
        };
        let done = deliver(copy, TxCapabilities::default(), &mut pool, |packet, pool| {
            let one = Upcall { kind: upcall.kind.clone(), key: upcall.key, meta: upcall.meta, packet };
            self.queue(&host, &one);
            pool.give(one.packet);
        });
        if done.is_err() {
            host.dpif.datapath().count_lost(1);
        }
        true
    }
}

impl Upcalls {
    fn queue(&self, host: &Host, upcall: &Upcall) {
        if !host.device.upcall(host, upcall) {
            host.dpif.datapath().count_lost(1);
        }
    }
}
