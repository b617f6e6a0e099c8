//! Makes the switch what the configuration wants.
//!
//! Where it sits: the daemon's main loop calls [`Engine::configure`] after every change of the database and
//! [`Engine::run`] at every tick. It opens datapaths and devices through their own crates.
//!
//! What a bridge or port needs is compared with what was set up before; only differences are carried out, so a change
//! of one port disturbs no other. A device that cannot be opened is tried again whenever the system's links change.

mod host;
mod ports;
mod system;
mod zones;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use dpif::Dpif;
use dpif_netdev::{Class, Cores, DpifNetdev, Setup};
use netdev::dummy::DummyDevices;
use netdev::{Netdev, Registry};
use netdev_linux::{LinuxDevices, RouteTables, Routes};
use openflow::OfpPort;
use ovsdb::Uuid;
use packet::{Instant, Now, OdpPort};
use switch::{BridgeConfig, BundleConfig, Switch, Waker};
use wire::EthAddr;
use xlate::{Sampling, VlanMode};

use crate::config::{Bridge, Config, FailMode, Vlan};
use crate::dpctl::{Datapaths, LimitedBy, Maker};
pub use host::Host;
use system::{Kind, System};

/// Which devices and datapaths dummies stand for (`--enable-dummy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DummyLevel {
    /// There are no dummies.
    #[default]
    None,
    /// Dummies under their own names.
    Plain,
    /// Also in place of type `system`.
    System,
    /// In place of every type but patch ports.
    Override,
}

/// A datapath with its switch.
pub struct Plane {
    /// Where the datapath runs.
    pub host: Host,
    /// The datapath.
    pub dpif: Arc<dyn Dpif>,
    /// Its bridges.
    pub switch: Switch,
}

/// What was set up for a bridge.
struct Applied {
    plane: Rc<Plane>,
    hwaddr: EthAddr,
    sampling: Sampling,
    ports: BTreeMap<String, Result<OfpPort, String>>,
}

/// What the engine is given of the machine, or what it is to pretend.
pub struct HostSetup {
    /// Which dummies there are.
    pub dummy: DummyLevel,
    /// The system's devices.
    pub linux: Option<LinuxDevices>,
    /// The processor's cores.
    pub cores: Arc<Cores>,
    /// Random.
    pub seed: u64,
    /// Where the device of a datapath in another process is, if it may be used.
    pub device: Option<PathBuf>,
}

/// Everything that is set up.
pub struct Engine {
    dummy: DummyLevel,
    registry: Arc<Registry>,
    dummies: DummyDevices,
    linux: Option<LinuxDevices>,
    clock: dpif_netdev::Clock,
    cores: Arc<Cores>,
    seed: u64,
    planes: BTreeMap<&'static str, Rc<Plane>>,
    /// Zones set up in the datapaths.
    zones: BTreeMap<&'static str, zones::Applied>,
    bridges: BTreeMap<String, Applied>,
    datapaths: Datapaths,
    links: u64,
    /// The system's routes, unless they are not to be looked at.
    routes: Option<Routes>,
    routes_seen: u64,
    waker: Waker,
    /// The datapath of type `system`.
    system: System,
    /// We were started while rules are restored, and they are not yet (`flow-restore-wait`); `None` at first.
    restoring: Option<bool>,
}

/// What a datapath of this process is made from.
fn setup(
    class: Class,
    registry: &Arc<Registry>,
    clock: &dpif_netdev::Clock,
    cores: &Arc<Cores>,
    seed: u64,
) -> Setup {
    let config = datapath::Config {
        seed,
        conntrack: conntrack::Config::with_seed([seed, seed.rotate_left(17)]),
        ..datapath::Config::default()
    };
    Setup { class, registry: registry.clone(), clock: clock.clone(), config, cores: cores.clone() }
}

/// Makes datapaths that no bridge is in, for commands.
fn maker(
    dummy: DummyLevel,
    registry: &Arc<Registry>,
    clock: &dpif_netdev::Clock,
    cores: &Arc<Cores>,
    seed: u64,
) -> Maker {
    let (registry, clock, cores) = (registry.clone(), clock.clone(), cores.clone());
    Arc::new(move |name| {
        let class = match (dummy, name.split_once('@').map_or("", |(kind, _)| kind)) {
            (DummyLevel::Override, _) | (DummyLevel::System, "system") => Class::Dummy,
            (DummyLevel::None, "dummy") => return Err("Address family not supported by protocol".to_owned()),
            (_, "dummy") => Class::Dummy,
            _ => Class::Netdev,
        };
        let made = DpifNetdev::open_as(setup(class, &registry, &clock, &cores, seed), name);
        made.map(|dpif| -> Arc<dyn Dpif> { Arc::new(dpif) }).map_err(|e| e.to_string())
    })
}

/// The engine, shared by the main loop and commands.
pub type Shared = Rc<RefCell<Engine>>;

impl Engine {
    /// Nothing set up yet. `waker` has [`Engine::run`] called before its time.
    pub fn new(host: HostSetup, clock: dpif_netdev::Clock, waker: Waker) -> Engine {
        let HostSetup { dummy, linux, cores, seed, device } = host;
        let of_wall = clock.clone();
        let dummies = DummyDevices::new(Arc::new(move || of_wall().wall_ms));
        let registry = Arc::new(registry(dummy, &dummies, linux.as_ref()));
        let datapaths = Datapaths::with_waker(waker.clone());
        datapaths.set_maker(maker(dummy, &registry, &clock, &cores, seed));
        Engine {
            dummy,
            registry,
            dummies,
            linux,
            clock,
            cores,
            seed,
            planes: BTreeMap::new(),
            zones: BTreeMap::new(),
            bridges: BTreeMap::new(),
            datapaths,
            links: 0,
            routes: None,
            routes_seen: 0,
            waker,
            system: System::new(device),
            restoring: None,
        }
    }

    /// Follows the system's addresses, routes and neighbours from now on.
    pub fn follow_routes(&mut self) {
        self.routes = Routes::follow(self.waker.clone())
            .inspect_err(|e| log::warn!(target: "route_table", "routes cannot be followed ({e})"))
            .ok();
    }

    /// Takes over the system's tables if they changed, or if a datapath has not seen them.
    fn update_routes(&mut self, now: Now) {
        let Some(routes) = &self.routes else { return };
        // A datapath that is new has empty tables.
        let generation = routes.generation() << 8 | self.planes.len() as u64 & 0xff;
        if generation == self.routes_seen {
            return;
        }
        self.routes_seen = generation;
        match RouteTables::read() {
            Ok(tables) => {
                self.planes.values().for_each(|p| crate::underlay::take_over(&p.switch, &tables, now))
            }
            Err(e) => log::warn!(target: "route_table", "routes cannot be read ({e})"),
        }
    }

    /// True while nobody may change rules but those who restore them.
    pub fn is_restoring(&self) -> bool {
        self.restoring == Some(true)
    }

    /// The time.
    pub fn now(&self) -> Now {
        (self.clock)()
    }

    /// Has the main loop look at everything soon.
    pub fn wake(&self) {
        (self.waker)();
    }

    /// The datapaths, for `dpctl`.
    pub fn datapaths(&self) -> &Datapaths {
        &self.datapaths
    }

    /// The dummy devices, for tests' commands.
    pub fn dummies(&self) -> &DummyDevices {
        &self.dummies
    }

    /// Types of devices that can be opened.
    pub fn interface_types(&self) -> Vec<String> {
        self.registry.types().map(str::to_owned).chain(["patch".to_owned()]).collect()
    }

    /// Types of datapaths that can be used.
    pub fn datapath_types(&self) -> Vec<String> {
        let dummy = (self.dummy != DummyLevel::None).then_some("dummy");
        dummy.into_iter().chain(["netdev", "system"]).map(str::to_owned).collect()
    }

    /// Every datapath in use.
    pub fn planes(&self) -> impl Iterator<Item = &Rc<Plane>> {
        self.planes.values()
    }

    /// The datapath of a bridge.
    pub fn plane_of(&self, bridge: &str) -> Option<&Rc<Plane>> {
        self.bridges.get(bridge).map(|b| &b.plane)
    }

    /// The address of a bridge's own port.
    pub fn hwaddr(&self, bridge: &str) -> Option<EthAddr> {
        self.bridges.get(bridge).map(|b| b.hwaddr)
    }

    /// Number of an interface, or why it could not be set up; `None` before it was tried.
    pub fn port(&self, bridge: &str, name: &str) -> Option<&Result<OfpPort, String>> {
        self.bridges.get(bridge)?.ports.get(name)
    }

    /// The device of an interface.
    pub fn device(&self, bridge: &str, name: &str) -> Option<Arc<dyn Netdev>> {
        let (plane, number) = self.datapath_port(bridge, name)?;
        plane.host.netdev(number)
    }

    /// Every counter of an interface, by name.
    pub fn counters(&self, bridge: &str, name: &str) -> Vec<(String, u64)> {
        self.datapath_port(bridge, name).map_or_else(Vec::new, |(plane, number)| plane.host.counters(number))
    }

    /// What the process that has opened an interface's device knows of it.
    pub fn device_status(&self, bridge: &str, name: &str) -> BTreeMap<String, String> {
        let port = self.datapath_port(bridge, name);
        port.map(|(plane, number)| plane.host.status(number)).unwrap_or_default()
    }

    /// The datapath of an interface, and its number there.
    fn datapath_port(&self, bridge: &str, name: &str) -> Option<(&Rc<Plane>, OdpPort)> {
        let plane = &self.bridges.get(bridge)?.plane;
        Some((plane, plane.switch.datapath_port(bridge, name)?))
    }

    /// True if the system's links changed since the last call: failed ports are worth another attempt.
    pub fn links_changed(&mut self) -> bool {
        let generation = self.linux.as_ref().map_or(0, LinuxDevices::generation) + self.dummies.generation();
        generation != std::mem::replace(&mut self.links, generation)
    }

    fn kind_of(&mut self, datapath_type: &str) -> Option<Kind> {
        Some(match (self.dummy, datapath_type) {
            (DummyLevel::Override, _) => Kind::InProcess(Class::Dummy),
            (DummyLevel::System, "" | "system") => Kind::InProcess(Class::Dummy),
            (DummyLevel::None, "dummy") => return None,
            (_, "dummy") => Kind::InProcess(Class::Dummy),
            (_, "" | "system") => self.system.kind(),
            (_, "netdev") => Kind::InProcess(Class::Netdev),
            _ => return None,
        })
    }

    fn plane(&mut self, kind: Kind) -> Option<Rc<Plane>> {
        if let Some(plane) = self.planes.get(kind.name()) {
            return Some(plane.clone());
        }
        let failed = |error: &dyn std::fmt::Display| {
            log::error!(target: "bridge", "failed to create datapath of type {} ({error})", kind.name());
        };
        let host = match kind {
            Kind::InProcess(class) => {
                let opened = DpifNetdev::open(self.setup(class)).inspect_err(|e| failed(e));
                Host::InProcess(Arc::new(opened.ok()?))
            }
            Kind::Device => {
                let opened = self.open_device().inspect_err(|e| failed(e));
                Host::Device(Arc::new(opened.ok()?))
            }
        };
        let dpif = host.dpif();
        self.datapaths.add(dpif.clone());
        // Answering waits until the bridges are there: half of a bridge sends packets elsewhere.
        let plane = Rc::new(Plane { switch: Switch::silent(dpif.clone()), dpif, host });
        plane.switch.set_waker(self.waker.clone());
        self.planes.insert(kind.name(), plane.clone());
        Some(plane)
    }

    fn setup(&self, class: Class) -> Setup {
        setup(class, &self.registry, &self.clock, &self.cores, self.seed)
    }

    /// Carries the configuration out.
    pub fn configure(&mut self, config: &Config) {
        self.restoring = Some(self.restoring.unwrap_or(true) && config.is_set("flow-restore-wait"));
        let mut gone: Vec<String> = self.bridges.keys().cloned().collect();
        gone.retain(|name| self.is_stale(name, config));
        for name in gone {
            if let Some(old) = self.bridges.remove(&name) {
                old.plane.switch.del_bridge(&name);
            }
        }
        for bridge in config.bridges.values() {
            self.configure_bridge(bridge, config);
        }
        self.configure_threads(config);
        self.configure_zones(config);
        self.take_up(config);
        let used: BTreeSet<&str> = self.bridges.values().map(|b| b.plane.host_name()).collect();
        let idle: Vec<&'static str> =
            self.planes.iter().filter(|(_, p)| !used.contains(p.host_name())).map(|(n, _)| *n).collect();
        for name in idle {
            if let Some(plane) = self.planes.remove(name) {
                system::empty(&plane);
                self.zones.remove(name);
                self.datapaths.remove(plane.host_name());
            }
        }
    }

    /// Limits zones, and sets the timeouts of their connections.
    fn configure_zones(&mut self, config: &Config) {
        let none = crate::config::Zones::default();
        for (name, plane) in &self.planes {
            let wanted = config.zones.get(*name).unwrap_or(&none);
            let by = if wanted.has_limits() { LimitedBy::Database } else { LimitedBy::Commands };
            self.datapaths.set_limited(plane.host_name(), by);
            let Some(table) = plane.dpif.tracking() else { continue };
            match self.zones.entry(name).or_default().configure(table, wanted) {
                Ok(Some(policies)) => plane.switch.set_timeout_policies(policies),
                Ok(None) => {}
                Err(e) => log::warn!(target: "ct_zones", "{name}: zones cannot be set up ({e})"),
            }
        }
    }

    /// Gives every receive queue to a thread, as the rows want.
    fn configure_threads(&self, config: &Config) {
        for plane in self.planes.values() {
            plane.host.set_config(&config.other_config);
            let limit = config.other_config.get("flow-limit").and_then(|text| text.parse().ok());
            plane.switch.set_flow_limit(limit.unwrap_or(switch::FLOW_LIMIT));
            plane.switch.set_explicit_sampled_drops(config.is_set("explicit-sampled-drops"));
        }
        for bridge in config.bridges.values() {
            let Some(host) = self.plane_of(&bridge.name).map(|plane| &plane.host) else { continue };
            for iface in bridge.ports.values().flat_map(|port| &port.interfaces) {
                host.set_port_config(&iface.name, &iface.other_config);
            }
        }
        self.planes.values().for_each(|plane| plane.host.reconfigure());
    }

    /// True for a bridge that is no longer wanted, or wanted in another datapath.
    fn is_stale(&mut self, name: &str, config: &Config) -> bool {
        let Some(wanted) = config.bridges.get(name) else { return true };
        let kind = self.kind_of(&wanted.datapath_type).map(Kind::name);
        let current =
            self.planes.iter().find(|(_, p)| self.plane_of(name).is_some_and(|own| Rc::ptr_eq(own, p)));
        kind != current.map(|(n, _)| *n)
    }

    fn configure_bridge(&mut self, wanted: &Bridge, config: &Config) {
        let name = &wanted.name;
        let Some(kind) = self.kind_of(&wanted.datapath_type) else {
            let kind = &wanted.datapath_type;
            log::warn!(target: "ofproto", "unknown datapath type {kind}");
            log::warn!(target: "ofproto", "could not create datapath {name} of unknown type {kind}");
            log::error!(target: "bridge", "failed to create bridge {name}: Address family not supported by protocol");
            return;
        };
        let now = self.now();
        if !self.bridges.contains_key(name) {
            let Some(plane) = self.plane_for(kind, config) else { return };
            let hwaddr = wanted.hwaddr.unwrap_or(EthAddr::ZERO);
            plane.switch.set_bridge(self.bridge_config(wanted, hwaddr), now);
            let sampling = Sampling::default();
            self.bridges.insert(name.clone(), Applied { plane, hwaddr, sampling, ports: BTreeMap::new() });
        }
        let Some(mut applied) = self.bridges.remove(name) else { return };
        let plane = applied.plane.clone();
        plane.switch.all_at_once(|| ports::configure(wanted, &mut applied, now));
        let hwaddr = wanted.hwaddr.unwrap_or_else(|| choose_hwaddr(wanted, &applied));
        applied.hwaddr = hwaddr;
        set_local_address(name, &applied);
        let new = self.bridge_config(wanted, hwaddr);
        log_datapath_id(&applied, &new);
        applied.take_sampling(&new);
        applied.plane.switch.set_bridge(new, now);
        applied.plane.switch.set_bundles(name, bundles(wanted));
        self.bridges.insert(name.clone(), applied);
    }

    fn bridge_config(&self, wanted: &Bridge, hwaddr: EthAddr) -> BridgeConfig {
        // As in Open vSwitch, who asks for dummies is debugging.
        BridgeConfig { debugging: self.dummy != DummyLevel::None, ..bridge_config(wanted, hwaddr) }
    }

    /// Sets right what was done to ports by hand: bridges lose those that are gone, and datapaths those of no bridge.
    fn follow_ports(&mut self) {
        for (name, applied) in &mut self.bridges {
            ports::forget_lost(name, applied);
        }
        self.planes.values().for_each(|plane| ports::drop_strangers(plane));
    }

    /// Everything that is due; returns when to call again at the latest.
    pub fn run(&mut self) -> Instant {
        let now = self.now();
        let revived = self.look_for_device(now);
        self.update_routes(now);
        if self.datapaths.ports_changed() {
            self.follow_ports();
        }
        let due = |plane: &Rc<Plane>| {
            let housekeeping = plane.host.housekeep();
            plane.switch.run_due(now).map_or(housekeeping, |due| due.min(housekeeping))
        };
        self.planes.values().map(due).chain(revived).min().unwrap_or(Instant(u64::MAX))
    }
}

impl Applied {
    /// Notes where samples go, and tells of groups of listeners that the datapath has not.
    fn take_sampling(&mut self, config: &BridgeConfig) {
        let new = &config.sampling;
        if self.sampling.local != new.local && !new.local.is_empty() && !self.plane.dpif.samples_locally() {
            let (name, dpif) = (&config.name, self.plane.dpif.name());
            log::warn!(target: "bridge", "bridge {name}: ignoring local_group_id: {dpif} has no psample action");
        }
        self.sampling = new.clone();
    }
}

impl Plane {
    fn host_name(&self) -> &str {
        self.dpif.name()
    }

    /// Tells the switch which links are up.
    pub(crate) fn follow_links(&self) {
        for bridge in self.switch.bridges() {
            for port in self.switch.ports(&bridge) {
                let device = port.odp.and_then(|odp| self.host.netdev(odp));
                if let Some(up) = device.map(|d| d.carrier()).filter(|up| *up != port.up) {
                    self.switch.set_link(&bridge, &port.name, up);
                }
            }
        }
    }
}

fn registry(level: DummyLevel, dummies: &DummyDevices, linux: Option<&LinuxDevices>) -> Registry {
    let mut registry = Registry::new();
    if let Some(linux) = linux {
        registry.register("system", linux.system());
        registry.register("internal", linux.internal());
        registry.register("tap", linux.tap());
        registry.register("afxdp", linux.afxdp());
        registry.register("afxdp-nonpmd", linux.afxdp_nonpmd());
    }
    for kind in odp::TunnelKind::ALL {
        registry.register(kind.name(), netdev::vport_opener(kind.name()));
    }
    registry.register("null", netdev::NullNetdev::opener());
    registry.register("pcap", netdev::PcapNetdev::opener());
    if level != DummyLevel::None {
        for kind in ["dummy", "dummy-internal", "dummy-pmd"] {
            registry.register(kind, dummies.opener(kind));
        }
    }
    let replaced: &[&str] = match level {
        DummyLevel::None | DummyLevel::Plain => &[],
        DummyLevel::System => &["system"],
        DummyLevel::Override => &["system", "internal", "tap"],
    };
    replaced.iter().for_each(|kind| registry.register(kind, dummies.opener(kind)));
    registry
}

/// The lowest global address of the bridge's other devices (internal ones made theirs up), or one that its row stands for: it stays the same whenever
/// the switch is started.
fn choose_hwaddr(wanted: &Bridge, applied: &Applied) -> EthAddr {
    let ports = applied.plane.switch.ports(&wanted.name);
    let others = ports.iter().filter(|p| p.name != wanted.name && p.kind != "internal");
    let macs = others.filter_map(|p| applied.plane.host.netdev(p.odp?)?.mac().ok());
    let global = macs.filter(|m| *m != EthAddr::ZERO && !m.is_multicast() && !m.is_local());
    global.min().unwrap_or_else(|| address_of_row(wanted.uuid))
}

/// A local address of the first six bytes of a row's identifier, as Open vSwitch on a little-endian machine lays it out.
fn address_of_row(row: Uuid) -> EthAddr {
    const MULTICAST: u8 = 1;
    const LOCAL: u8 = 2;
    let [a, b, c, d, _, _, e, f, ..] = row.0.to_be_bytes();
    EthAddr([d & !MULTICAST | LOCAL, c, b, a, f, e])
}

/// Gives the local port's device the bridge's address.
fn set_local_address(name: &str, applied: &Applied) {
    let Some(port) = applied.plane.dpif.port_by_name(name) else { return };
    let Some(device) = applied.plane.host.netdev(port.number) else { return };
    if device.mac().is_ok_and(|mac| mac == applied.hwaddr) {
        return;
    }
    match device.set_mac(applied.hwaddr) {
        Ok(()) => applied.plane.switch.set_hw_addr(name, name, applied.hwaddr),
        Err(error) => {
            log::error!(target: "bridge", "bridge {name}: failed to set bridge Ethernet address: {error}");
        }
    }
}

fn log_datapath_id(applied: &Applied, new: &BridgeConfig) {
    let old = applied.plane.switch.datapath_id(&new.name);
    match old {
        Some(0) | None => {
            log::info!(target: "bridge", "bridge {}: using datapath ID {:016x}", new.name, new.datapath_id)
        }
        Some(old) if old != new.datapath_id => {
            log::info!(target: "bridge", "bridge {}: using datapath ID {:016x}", new.name, new.datapath_id);
        }
        Some(_) => {}
    }
}

fn bridge_config(wanted: &Bridge, hwaddr: EthAddr) -> BridgeConfig {
    let other = |key: &str| wanted.other_config.get(key);
    let seconds = other("mac-aging-time").and_then(|t| t.parse().ok()).unwrap_or(300u64).clamp(15, 3600);
    let size = other("mac-table-size").and_then(|t| t.parse().ok()).unwrap_or(8192usize).clamp(10, 1_000_000);
    BridgeConfig {
        datapath_id: wanted.datapath_id.unwrap_or(hwaddr.to_u64()),
        fail_mode: match wanted.fail_mode {
            FailMode::Standalone => switch::FailMode::Standalone,
            FailMode::Secure => switch::FailMode::Secure,
        },
        // Those that call us are served, and are not who is in charge.
        has_controllers: wanted.controllers.keys().any(|target| !stream::name::is_passive(target)),
        versions: crate::openflow_io::versions(&wanted.protocols),
        forward_bpdu: other("forward-bpdu").is_some_and(|v| v == "true"),
        mac_aging: std::time::Duration::from_secs(seconds),
        mac_table_size: size,
        dp_desc: other("dp-desc").cloned().unwrap_or_else(|| "None".to_owned()),
        dp_sn: other("dp-sn").cloned().unwrap_or_else(|| "None".to_owned()),
        sampling: wanted.sampling.clone(),
        ..BridgeConfig::new(&wanted.name, hwaddr)
    }
}

fn bundles(wanted: &Bridge) -> Vec<BundleConfig> {
    let list =
        |trunks: &BTreeSet<u16>| (!trunks.is_empty()).then(|| trunks.iter().copied().collect::<Vec<u16>>());
    let bundle = |port: &crate::config::Port| {
        let (mode, tag, trunks) = match &port.vlan {
            Vlan::Access(tag) => (VlanMode::Access, *tag, None),
            Vlan::Trunk(trunks) => (VlanMode::Trunk, 0, list(trunks)),
            Vlan::NativeTagged(tag, trunks) => (VlanMode::NativeTagged, *tag, list(trunks)),
            Vlan::NativeUntagged(tag, trunks) => (VlanMode::NativeUntagged, *tag, list(trunks)),
            Vlan::Dot1qTunnel(tag, _) => (VlanMode::Access, *tag, None),
        };
        BundleConfig {
            name: port.name.clone(),
            mode,
            tag,
            trunks,
            priority_tags: port.other_config.get("priority-tags").is_some_and(|v| v != "no" && v != "false"),
            protected: port.protected,
            ports: port.interfaces.iter().map(|i| i.name.clone()).collect(),
        }
    };
    wanted.ports.values().map(bundle).collect()
}
