//! The datapath behind the device, as the switch sees it.
//!
//! Where it sits: the crate's surface. Here is how the device is reached, and reached again; what the switch asks of it is in
//! `host/calls.rs`.

mod calls;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datapath::{CommandError, FlowInfo, MeterConfig, Reply, Stats};
use device::{Errno, counts};
use dpif::{Dpif, DpifError, Port, UpcallHandler};
use netdev::{Netdev, Registry};
use netlink::Builder;
use odp::netlink::datapath::DpAttrs;
use odp::netlink::ids::{self, cmd};
use odp::netlink::vport::{VportAttrs, VportKind};
use packet::{Now, OdpPort};

use crate::connection::{Connection, Failure, OpenError};
use crate::handle_thread::HandleThread;
use crate::listener::{self, News};
use crate::message::{self, attrs, begin, command_error, port_error, reply_attrs};
use crate::receiver;
use crate::tracking::Tracked;

/// The daemon's clock.
pub type Clock = Arc<dyn Fn() -> Now + Send + Sync>;
/// Wakes the daemon's main loop.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// Threads that answer upcalls at most.
const MAX_RECEIVERS: usize = 4;
/// Connections kept for requests.
const MAX_IDLE: usize = 8;

/// What a datapath is reached by.
pub struct Setup {
    /// The device's socket.
    pub path: PathBuf,
    /// Opens devices only to look at them: their queues are the other process's.
    pub registry: Arc<Registry>,
    /// The daemon's clock.
    pub clock: Clock,
    /// Called when the other process has gone.
    pub waker: Waker,
    /// Cores that there are.
    pub cores: usize,
}

/// A datapath in another process.
pub struct DpifDevice {
    setup: Setup,
    alive: Arc<AtomicBool>,
    /// Whether the datapath finds the way of tunnels, once it has said so: it does not while it has no switch.
    routes_tunnels: Mutex<Option<bool>>,
    /// Connections without a request under way.
    idle: Mutex<Vec<Connection>>,
    receivers: Mutex<Vec<HandleThread>>,
    /// Who hears of adapters, and what was heard.
    listener: Mutex<Option<HandleThread>>,
    news: Arc<Mutex<News>>,
    /// Who answers upcalls.
    handler: Mutex<Option<Arc<dyn UpcallHandler>>>,
    /// Devices behind ports, as far as they were asked for.
    devices: Mutex<BTreeMap<OdpPort, Arc<dyn Netdev>>>,
    /// What was put there, to be put there again when another process is there: ports by number, how threads are set up, meters,
    /// and how connections are tracked.
    ports: Mutex<BTreeMap<OdpPort, Wanted>>,
    config: Mutex<Vec<u8>>,
    tunnel_ports: Mutex<Option<(u16, u16)>>,
    /// How the queues of ports are served, by name.
    port_configs: Mutex<BTreeMap<String, Vec<u8>>>,
    meters: Mutex<BTreeMap<u32, MeterConfig>>,
    pub(crate) tracked: Mutex<Tracked>,
}

/// A port that is wanted.
#[derive(Clone)]
struct Wanted {
    name: String,
    kind: String,
    /// What its device was set to by us.
    settings: Option<Vec<u8>>,
}

/// Texts `KEY=VALUE`, each with a zero behind it; what has a zero of its own is left out.
pub(crate) fn texts_of<'a>(pairs: impl IntoIterator<Item = (&'a String, &'a String)>) -> Vec<u8> {
    let is_plain = |text: &str| !text.contains('\0');
    let plain = pairs.into_iter().filter(|(key, value)| is_plain(key) && is_plain(value));
    plain.flat_map(|(key, value)| format!("{key}={value}\0").into_bytes()).collect()
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_gone(alive: &AtomicBool, waker: &Waker) {
    if alive.swap(false, Ordering::AcqRel) {
        log::error!(target: "dpif", "lost communication with the datapath's process");
        waker();
    }
}

fn port_of(vport: &VportAttrs<'_>) -> Option<Port> {
    let kind = VportKind::from_number(vport.kind?)?;
    let config = vport.tunnel_port.map(|port| ("udp_port".to_owned(), port.to_string()));
    Some(Port {
        number: OdpPort(vport.number?),
        name: vport.name?.to_owned(),
        kind: kind.name().to_owned(),
        config: config.into_iter().collect(),
    })
}

impl DpifDevice {
    /// Opens the device. Its ports and flows are as they were left.
    pub fn open(setup: Setup) -> Result<DpifDevice, OpenError> {
        let first = Connection::open(&setup.path)?;
        let device = DpifDevice {
            setup,
            routes_tunnels: Mutex::default(),
            alive: Arc::new(AtomicBool::new(true)),
            idle: Mutex::new(vec![first]),
            receivers: Mutex::default(),
            listener: Mutex::default(),
            news: Arc::default(),
            handler: Mutex::default(),
            devices: Mutex::default(),
            ports: Mutex::default(),
            config: Mutex::default(),
            tunnel_ports: Mutex::default(),
            port_configs: Mutex::default(),
            meters: Mutex::default(),
            tracked: Mutex::default(),
        };
        device.listen();
        Ok(device)
    }

    /// False once the other process has gone, until [`DpifDevice::revive`].
    pub fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Acquire)
    }

    /// Looks whether a process is there again, and gives it the ports, meters and settings that were there; true if so. One that took
    /// over from the last has them, and the flows; another has none of those.
    pub fn revive(&self) -> bool {
        let Ok(first) = Connection::open(&self.setup.path) else { return false };
        *lock(&self.idle) = vec![first];
        *lock(&self.routes_tunnels) = None;
        self.alive.store(true, Ordering::Release);
        let ports = lock(&self.ports).clone();
        for (number, Wanted { name, kind, settings }) in ports {
            let again = match self.add_port(&name, &kind, Some(number)) {
                Ok(_) | Err(DpifError::Exists) => settings.map_or(Ok(()), |s| self.set_port(number, s)),
                Err(e) => Err(e),
            };
            if let Some(config) = lock(&self.port_configs).get(&name) {
                self.configure_port(number, config);
            }
            if let Err(e) = again {
                log::warn!(target: "dpif", "{name}: port {number} cannot be made again as it was ({e})");
            }
        }
        let config = std::mem::take(&mut *lock(&self.config));
        self.configure(config);
        if let Some(ports) = *lock(&self.tunnel_ports)
            && let Err(e) = self.ask(|ids| message::set_tunnel_ports(ports, ids), |_| ())
        {
            log::warn!(target: "dpif", "source ports of tunnels cannot be set again ({e:?})");
        }
        let meters = lock(&self.meters).clone();
        for (id, config) in &meters {
            if self.one_meter(|ids| message::one_meter(message::meter_cmd::GET, *id, ids)).is_err()
                && let Err(e) = self.ask(|ids| message::set_meter(*id, config, ids), |_| ())
            {
                log::warn!(target: "dpif", "meter {id} cannot be set again ({e:?})");
            }
        }
        self.track_again();
        self.listen();
        self.start_receivers();
        if self.is_alive() {
            log::info!(target: "dpif", "the datapath's process is there again");
        }
        self.is_alive()
    }

    /// For whoever notices that the other process has gone.
    fn when_gone(&self) -> Waker {
        let (alive, waker) = (self.alive.clone(), self.setup.waker.clone());
        Arc::new(move || is_gone(&alive, &waker))
    }

    /// Starts to hear of adapters.
    fn listen(&self) {
        let mut listener = lock(&self.listener);
        *listener = None;
        let (news, waker) = (self.news.clone(), self.setup.waker.clone());
        match listener::start(&self.setup.path, news, waker, self.when_gone()) {
            Ok(thread) => *listener = Some(thread),
            Err(e) => log::error!(target: "dpif", "events about ports cannot be received ({e})"),
        }
    }

    /// True if adapters that are no ports came, went or changed since the last call.
    pub fn take_changed(&self) -> bool {
        std::mem::take(&mut lock(&self.news).is_new)
    }

    /// Adapters of virtual machines that came and that nobody has bound, each told once.
    pub fn take_unbound(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.news).unbound).into_iter().collect()
    }

    /// Starts as many receivers as there is work for; ports' upcalls go to them.
    fn start_receivers(&self) {
        // The old receivers end before they are replaced: a packet is answered by one of them or lost, and counted.
        lock(&self.receivers).clear();
        if let Some(handler) = lock(&self.handler).clone() {
            for _ in 0..(self.setup.cores / 2).clamp(1, MAX_RECEIVERS) {
                let (handler, clock) = (handler.clone(), self.setup.clock.clone());
                match receiver::start(&self.setup.path, handler, clock, self.when_gone()) {
                    Ok(receiver) => lock(&self.receivers).push(receiver),
                    Err(e) => log::error!(target: "dpif", "upcalls cannot be received ({e})"),
                }
            }
        }
        self.direct_upcalls();
    }

    /// Lends a connection to `f`.
    fn with<T>(&self, f: impl FnOnce(&mut Connection) -> Result<T, Failure>) -> Result<T, Failure> {
        let idle = lock(&self.idle).pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => Connection::open(&self.setup.path).map_err(|e| match e {
                OpenError::Refused(status) => Failure::Status(status),
                OpenError::Os(_) => Failure::Gone,
            })?,
        };
        let result = f(&mut connection);
        if matches!(result, Err(Failure::Gone)) {
            is_gone(&self.alive, &self.setup.waker);
            return result;
        }
        let mut idle = lock(&self.idle);
        if idle.len() < MAX_IDLE {
            idle.push(connection);
        }
        result
    }

    /// Carries out the request that `make` makes and reads its reply.
    pub(crate) fn ask<T>(
        &self,
        make: impl FnOnce((u32, u32)) -> Builder,
        read: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, Failure> {
        self.with(|c| {
            let request = make(c.next_ids());
            c.transact(request).map(read)
        })
    }

    pub(crate) fn dump(
        &self,
        make: impl FnOnce((u32, u32)) -> Builder,
        mut each: impl FnMut(netlink::Attrs<'_>),
    ) -> Result<(), Failure> {
        self.with(|c| {
            let request = make(c.next_ids());
            c.dump(request, |m| each(attrs(m.payload)))
        })
    }

    /// What the datapath says it has dropped, and a port's counters by their names in `Interface.statistics`; of all ports
    /// drops alone.
    fn counts<T>(
        &self,
        number: Option<OdpPort>,
        read: impl FnOnce(netlink::Attrs<'_>) -> T,
    ) -> Result<T, Failure> {
        let make = |ids| {
            let mut b = begin(ids::COUNTS, cmd::GET, 0, ids);
            number.into_iter().for_each(|number| counts::put_port(&mut b, number));
            b
        };
        self.ask(make, |reply| read(reply_attrs(reply)))
    }

    /// Every counter of a port's device, by its name in `Interface.statistics`: what its queues lose is known to the process
    /// that has them. None of a datapath that does not tell.
    pub fn port_counters(&self, number: OdpPort) -> Vec<(String, u64)> {
        let read = |attrs: netlink::Attrs<'_>| {
            counts::counters(attrs).map(|(name, n)| (name.to_owned(), n)).collect::<Vec<_>>()
        };
        self.counts(Some(number), read).unwrap_or_default()
    }

    /// What the process that has a port's device knows of it, by keys of `Interface.status`.
    pub fn port_status(&self, number: OdpPort) -> BTreeMap<String, String> {
        let owned = |(key, text): (&str, &str)| (key.to_owned(), text.to_owned());
        self.counts(Some(number), |attrs| counts::status(attrs).map(owned).collect()).unwrap_or_default()
    }

    /// Sets threads up as these keys of `Open_vSwitch.other_config` say, also those of a process that comes after. Datapaths whose
    /// host has no such threads refuse it, and that is that.
    pub fn set_config<'a>(&self, keys: impl IntoIterator<Item = (&'a String, &'a String)>) {
        self.configure(texts_of(keys));
    }

    fn configure(&self, config: Vec<u8>) {
        if *lock(&self.config) == config {
            return;
        }
        let make = |ids| message::configure(&config, ids);
        if let Err(e) = self.ask(make, |_| ()) {
            log::debug!(target: "dpif", "threads cannot be set up ({e:?})");
        }
        *lock(&self.config) = config;
    }

    /// The same of the queues of the port of that name, by keys of `Interface.other_config`.
    pub fn set_port_config<'a>(&self, name: &str, keys: impl IntoIterator<Item = (&'a String, &'a String)>) {
        let config = texts_of(keys);
        let mut configs = lock(&self.port_configs);
        if configs.get(name).map_or(config.is_empty(), |old| *old == config) {
            return;
        }
        let number = lock(&self.ports).iter().find(|(_, port)| port.name == name).map(|(number, _)| *number);
        if let Some(number) = number {
            self.configure_port(number, &config);
        }
        if config.is_empty() {
            configs.remove(name);
        } else {
            configs.insert(name.to_owned(), config);
        }
    }

    fn configure_port(&self, number: OdpPort, config: &[u8]) {
        let number = Some(number.0);
        let asked = VportAttrs { number, other_config: Some(config), ..VportAttrs::default() };
        if let Err(e) = self.change_port(asked) {
            log::debug!(target: "dpif", "the queues of port {number:?} cannot be set up ({e:?})");
        }
    }

    /// Carries out a change of a port.
    fn change_port(&self, asked: VportAttrs<'_>) -> Result<(), Failure> {
        let make = |ids| {
            let mut b = begin(ids::VPORT, cmd::SET, 0, ids);
            asked.encode(&mut b);
            b
        };
        self.ask(make, |_| ())
    }

    /// The device of a port, to be looked at.
    pub fn netdev(&self, number: OdpPort) -> Option<Arc<dyn Netdev>> {
        if let Some(device) = lock(&self.devices).get(&number) {
            return Some(device.clone());
        }
        let port = self.vport(VportAttrs { number: Some(number.0), ..VportAttrs::default() })?;
        let device = self.setup.registry.open(&port.name, &port.kind).ok()?;
        lock(&self.devices).insert(number, device.clone());
        Some(device)
    }

    fn vport(&self, asked: VportAttrs<'_>) -> Option<Port> {
        let make = |ids| {
            let mut b = begin(ids::VPORT, cmd::GET, 0, ids);
            asked.encode(&mut b);
            b
        };
        self.ask(make, |reply| port_of(&VportAttrs::decode(reply_attrs(reply)).ok()?)).ok()?
    }

    /// Sets a port's device, and does so again for another process.
    fn set_port(&self, number: OdpPort, settings: Vec<u8>) -> Result<(), DpifError> {
        let asked = VportAttrs { number: Some(number.0), settings: Some(&settings), ..VportAttrs::default() };
        let done = self.change_port(asked);
        // A refusal will be the same the next time.
        if !matches!(done, Err(Failure::Gone))
            && let Some(port) = lock(&self.ports).get_mut(&number)
        {
            port.settings = Some(settings);
        }
        done.map_err(|failure| match failure {
            Failure::Errno(Errno::NotSup) => DpifError::Command(CommandError::NotSupported),
            failure => port_error(failure),
        })
    }

    /// The numbers of all receivers in a row; zero while there is none.
    fn pids(&self) -> Vec<u8> {
        let receivers = lock(&self.receivers);
        let pids: Vec<u8> = receivers.iter().flat_map(|r| r.pid.to_ne_bytes()).collect();
        if pids.is_empty() { vec![0; 4] } else { pids }
    }

    /// Has every port's upcalls go to the receivers.
    fn direct_upcalls(&self) {
        let pids = self.pids();
        for port in self.ports() {
            let asked =
                VportAttrs { number: Some(port.number.0), pids: Some(&pids), ..VportAttrs::default() };
            if let Err(e) = self.change_port(asked) {
                log::warn!(target: "dpif", "{}: upcalls cannot be received ({e:?})", port.name);
            }
        }
    }

    fn one_flow(&self, make: impl FnOnce((u32, u32)) -> Builder) -> Result<Reply, CommandError> {
        let found = self.ask(make, |reply| device::flows::take(reply_attrs(reply)));
        let flow = found.map_err(|e| command_error(e, &[]))?.ok_or(CommandError::NotFound)?;
        Ok(Reply::Flows { flows: vec![flow], next: None })
    }

    fn one_meter(&self, make: impl FnOnce((u32, u32)) -> Builder) -> Result<Reply, CommandError> {
        let found = self.ask(make, |reply| message::meter_info(reply_attrs(reply)));
        found.map_err(|e| command_error(e, &[]))?.map(Reply::Meter).ok_or(CommandError::NotFound)
    }

    fn totals(&self) -> Result<Stats, Failure> {
        self.ask(
            |ids| begin(ids::DATAPATH, cmd::GET, 0, ids),
            |reply| {
                let dp = DpAttrs::decode(reply_attrs(reply)).unwrap_or_default();
                let (s, m) = (dp.stats.unwrap_or_default(), dp.megaflow_stats.unwrap_or_default());
                Stats {
                    hits: s.hit,
                    misses: s.missed,
                    lost: s.lost,
                    flows: s.flows,
                    masks: m.masks.into(),
                    masks_searched: m.mask_hit,
                    cache_hits: m.cache_hits,
                    ..Stats::default()
                }
            },
        )
    }

    fn flows(&self, mut each: impl FnMut(FlowInfo)) -> Result<(), Failure> {
        self.dump(
            |ids| begin(ids::FLOW, cmd::GET, netlink::flags::DUMP, ids),
            |attrs| device::flows::take(attrs).into_iter().for_each(&mut each),
        )
    }
}

impl Drop for DpifDevice {
    fn drop(&mut self) {
        lock(&self.receivers).clear();
        *lock(&self.listener) = None;
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::path::Path;

    use device::Status;
    use device::carrier::{Operation, SUCCESS, split_request};
    use rustix::net::{
        AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept, bind, listen,
        recv, send, socket_with,
    };

    use super::*;

    /// A driver that is without a switch until it has one.
    fn serve(path: &Path, has_switch: &Arc<AtomicBool>) {
        let kind = SocketType::SEQPACKET;
        let listener = socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).unwrap();
        bind(&listener, &SocketAddrUnix::new(path).unwrap()).unwrap();
        listen(&listener, 8).unwrap();
        let has_switch = has_switch.clone();
        std::thread::spawn(move || {
            while let Ok(client) = accept(&listener) {
                let has_switch = has_switch.clone();
                std::thread::spawn(move || answer(&client, &has_switch));
            }
        });
    }

    fn answer(client: &OwnedFd, has_switch: &AtomicBool) {
        let say = |status: u32, what: &[u8]| {
            // Who has gone needs no answer.
            let _ = send(client, &[&status.to_ne_bytes(), what].concat(), SendFlags::NOSIGNAL);
        };
        say(SUCCESS, &[]);
        let mut buffer = [0; 4096];
        while let Ok((_, n @ 1..)) = recv(client, &mut buffer, RecvFlags::empty()) {
            match split_request(&buffer[..n]).and_then(|(code, ..)| Operation::from_code(code)) {
                Some(Operation::GetPid) => say(SUCCESS, &1u32.to_ne_bytes()),
                Some(Operation::Transact) if has_switch.load(Ordering::Acquire) => say(SUCCESS, &[]),
                Some(Operation::Write) => say(SUCCESS, &[]),
                Some(Operation::Transact) => say(Status::NotReady.ntstatus(), &[]),
                // Waits for something that does not come.
                _ => {}
            }
        }
    }

    #[test]
    fn a_driver_without_a_switch_is_asked_again_for_the_way_of_tunnels() {
        let path = std::env::temp_dir().join(format!("oxvs-{}.dev", std::process::id()));
        let has_switch = Arc::new(AtomicBool::new(false));
        serve(&path, &has_switch);
        let (clock, waker): (Clock, Waker) = (Arc::new(Now::default), Arc::new(|| ()));
        let registry = Arc::new(Registry::new());
        let device =
            DpifDevice::open(Setup { path: path.clone(), registry, clock, waker, cores: 1 }).unwrap();
        assert!(!device.routes_tunnels(), "it cannot say yet");
        has_switch.store(true, Ordering::Release);
        assert!(device.routes_tunnels(), "now it can");
        has_switch.store(false, Ordering::Release);
        assert!(device.routes_tunnels(), "it has said so");
        std::fs::remove_file(&path).unwrap();
    }
}
