//! The switch's state and how it changes: bridges, ports, bundles; what readers see of it.
//!
//! Where it sits: the entry of the crate; upcalls, revalidation, requests and texts are in the files beside it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use datapath::Command;
use dpif::{Dpif, DpifError};
use odp::Ufid;
use ofproto::{Ofproto, RuleSpec};
use openflow::actions::Output;
use openflow::msg::{PortReason, Role};
use openflow::{FlowMod, FlowModCommand, FlowModFlags, Names, OfpPort};
use packet::{Now, OdpPort};
use wire::EthAddr;
use xlate::{Bundle, Frozen, Memory, Network, TunnelEntry};

use crate::Underlay;
use crate::adopt::Keep;
use crate::fdb::Fdb;
use crate::memory::RecircTable;
use crate::revalidate::Megaflow;
use crate::tunnels::{NeighbourRequest, is_taken};
use crate::upcall::PendingPacketIn;
use crate::{BridgeConfig, BundleConfig, FailMode, PortConfig, PortStatus, Takeover};

/// Most megaflows unless `other_config:flow-limit` says otherwise.
pub const FLOW_LIMIT: u64 = 200_000;

/// A connection of a controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControllerKind {
    /// A configured controller.
    Primary,
    /// A tool on the bridge's management socket.
    Service,
}

pub(crate) struct Conn {
    pub conn: openflow::conn::SwitchConn,
    pub role: Role,
    pub kind: ControllerKind,
    pub config: openflow::msg::SwitchConfig,
    pub bundles: BTreeMap<u32, crate::bundles::Bundle>,
    pub monitors: BTreeMap<u32, openflow::msg::FlowMonitorRequest>,
}

pub(crate) struct PortState {
    pub config: PortConfig,
    pub odp: Option<OdpPort>,
    pub flags: openflow::msg::PortConfig,
    pub up: bool,
    pub counters: Arc<xlate::PortCounters>,
    pub added: Now,
}

pub(crate) struct BridgeState {
    pub config: BridgeConfig,
    pub ofproto: Ofproto,
    pub ports: BTreeMap<OfpPort, PortState>,
    /// Their numbers by name.
    numbers: HashMap<String, OfpPort>,
    pub bundles: Vec<BundleConfig>,
    pub fdb: Arc<RwLock<Fdb>>,
    pub conns: BTreeMap<ConnId, Conn>,
    pub takeover: Takeover,
    /// The last number that was chosen for a port.
    pub last_number: OfpPort,
    /// The highest generation of a primary's claim.
    pub generation: Option<u64>,
}

/// What upcalls see: one immutable version.
pub(crate) struct View {
    pub network: Network,
    pub fdbs: Vec<Arc<RwLock<Fdb>>>,
}

#[derive(Default)]
pub(crate) struct State {
    pub bridges: BTreeMap<String, BridgeState>,
    /// Numbers of timeout policies by zone.
    pub timeout_policies: Arc<BTreeMap<u16, u16>>,
    pub explicit_sampled_drops: bool,
    pub next_conn: u64,
    /// Whether changes are shown to upcalls at once.
    pub publishing: Publishing,
}

/// When changes are shown to upcalls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Publishing {
    /// Each when it is made.
    #[default]
    AtOnce,
    /// Later, all together: there are none yet, or some.
    Held { changed: bool },
}

/// What the datapath's threads share with the switch.
pub(crate) struct Shared {
    pub state: Mutex<State>,
    pub view: RwLock<Arc<View>>,
    pub megaflows: Mutex<HashMap<Ufid, Megaflow>>,
    pub recirc: Mutex<RecircTable>,
    pub packet_ins: Mutex<VecDeque<PendingPacketIn>>,
    /// Changes of rules that packets caused while the state was taken: bridge, change, time.
    pub rule_changes: Mutex<VecDeque<(String, xlate::Credit, packet::Instant)>>,
    /// Neighbours to be asked for.
    pub requests: Mutex<VecDeque<NeighbourRequest>>,
    /// What lies under tunnels.
    pub underlay: RwLock<Underlay>,
    /// The datapath finds the way of tunnels by itself.
    pub routes_tunnels: AtomicBool,
    /// The datapath has `psample`.
    pub samples_locally: bool,
    /// Packet-ins lost to a full queue.
    pub packet_ins_lost: AtomicU64,
    pub next_ufid: AtomicU64,
    /// Grows when megaflows must be translated again.
    pub generation: AtomicU64,
    pub flow_limit: AtomicU64,
    /// The datapath makes room for megaflows beyond the limit.
    pub evicts: AtomicBool,
    /// The time, in nanoseconds, at which the switch was last told it.
    pub clock: AtomicU64,
    pub paused: AtomicBool,
    /// The last pass over all megaflows.
    pub last_pass: Mutex<Pass>,
    /// Nobody will call before something happens, which then must call [`Shared::wake`].
    pub asleep: AtomicBool,
    pub waker: RwLock<Option<Waker>>,
    /// What is done with megaflows of an earlier life.
    pub keep: Mutex<Keep>,
    /// Whether upcalls are answered.
    pub answers: Mutex<Option<bool>>,
}

/// Wakes whoever calls [`Switch::run_due`]; called on any thread.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// A pass over all megaflows: when, and what it brought them up to.
#[derive(Clone, Copy, Default)]
pub(crate) struct Pass {
    pub at: packet::Instant,
    pub generation: u64,
}

/// A lock whose holder panicked is taken over: the data are counters and tables that are valid at every step.
pub(crate) fn locked<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Notes the time for what comes without one.
    pub(crate) fn tell_time(&self, now: Now) {
        self.clock.fetch_max(now.mono.0, Relaxed);
    }

    /// The time as far as the switch was told it.
    pub(crate) fn last_time(&self) -> packet::Instant {
        packet::Instant(self.clock.load(Relaxed))
    }

    /// Has [`Switch::run_due`] called soon.
    pub(crate) fn wake(&self) {
        self.asleep.store(false, Relaxed);
        if let Some(waker) = &*self.waker.read().unwrap_or_else(PoisonError::into_inner) {
            waker();
        }
    }

    /// Notes that there is a megaflow to look after.
    pub(crate) fn wake_if_asleep(&self) {
        if self.asleep.load(Relaxed) {
            self.wake();
        }
    }

    pub(crate) fn view(&self) -> Arc<View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes the state as it is visible to readers, and megaflows due for translation.
    pub(crate) fn publish(&self, state: &mut State) {
        if let Publishing::Held { changed } = &mut state.publishing {
            *changed = true;
            return;
        }
        let view = self.view_of(state);
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = view;
    }

    /// The state as it is, as readers would see it.
    pub(crate) fn view_of(&self, state: &mut State) -> Arc<View> {
        let index: HashMap<String, usize> =
            state.bridges.keys().enumerate().map(|(i, n)| (n.clone(), i)).collect();
        let peers = patch_ends(state, &index);
        let mut network =
            Network { generation: self.generation.fetch_add(1, Relaxed) + 1, ..Network::default() };
        network.timeout_policies = state.timeout_policies.clone();
        network.routes_tunnels = self.routes_tunnels.load(Relaxed);
        network.samples_locally = self.samples_locally;
        network.explicit_sampled_drops = state.explicit_sampled_drops;
        let mut fdbs = Vec::new();
        for (i, b) in state.bridges.values_mut().enumerate() {
            for (ofp, port) in &b.ports {
                match (port.odp, &port.config.tunnel) {
                    (Some(odp), Some(tunnel)) => {
                        network.tunnels.push(TunnelEntry {
                            bridge: i,
                            ofp: *ofp,
                            odp,
                            tunnel: tunnel.clone(),
                        });
                    }
                    (Some(odp), None) => {
                        network.by_odp.insert(odp, (i, *ofp));
                    }
                    (None, _) => {}
                }
            }
            fdbs.push(b.fdb.clone());
            let addresses = self.underlay_mut(|u| u.addresses_of(&b.config.name));
            network.bridges.push(Arc::new(xlate::Bridge { addresses, ..b.published(&peers) }));
        }
        Arc::new(View { network, fdbs })
    }
}

/// Where each patch port's packets come out: by the port's own name.
fn patch_ends(state: &State, index: &HashMap<String, usize>) -> HashMap<String, (usize, OfpPort)> {
    let mut by_name: HashMap<&str, (usize, OfpPort, Option<&str>)> = HashMap::new();
    for (bridge, b) in &state.bridges {
        let at = index.get(bridge).copied().unwrap_or(0);
        for (ofp, p) in b.ports.iter().filter(|(_, p)| p.config.kind == "patch") {
            by_name.insert(&p.config.name, (at, *ofp, p.config.peer.as_deref()));
        }
    }
    let end = |(name, (.., peer)): (&&str, &(usize, OfpPort, Option<&str>))| {
        let (at, ofp, back) = by_name.get((*peer)?)?;
        (*back == Some(*name)).then(|| ((*name).to_owned(), (*at, *ofp)))
    };
    by_name.iter().filter_map(end).collect()
}

impl BridgeState {
    fn new(config: BridgeConfig, now: Now) -> BridgeState {
        let fdb = Arc::new(RwLock::new(Fdb::new(config.mac_aging, config.mac_table_size)));
        let mut bridge = BridgeState {
            config,
            ofproto: Ofproto::new(now),
            ports: BTreeMap::new(),
            numbers: HashMap::new(),
            bundles: Vec::new(),
            fdb,
            conns: BTreeMap::new(),
            takeover: Takeover::Inactive,
            last_number: OfpPort(0),
            generation: None,
        };
        if bridge.config.debugging {
            bridge.ofproto.take_debugging();
        }
        bridge.add_default_rule(now);
        bridge
    }

    /// A standalone bridge without controllers is a learning switch.
    fn add_default_rule(&mut self, now: Now) {
        if self.config.fail_mode == FailMode::Standalone && !self.config.has_controllers {
            let normal = Output { port: OfpPort::NORMAL, max_len: 0 };
            let fm = FlowMod {
                table_id: 0,
                priority: 0,
                matcher: openflow::matches::any(),
                actions: vec![normal.into()],
                ..FlowMod::new(FlowModCommand::Add)
            };
            // A table without limit takes it.
            let _ = self.ofproto.flow_mod(&fm, now);
        }
    }

    pub(crate) fn port_by_name(&self, name: &str) -> Option<(OfpPort, &PortState)> {
        let number = *self.numbers.get(name)?;
        Some((number, self.ports.get(&number)?))
    }

    pub(crate) fn names(&self) -> Names {
        let mut names = Names::none();
        for (ofp, p) in &self.ports {
            names.ports.insert(ofp.0, &p.config.name);
        }
        names
    }

    fn published(&mut self, peers: &HashMap<String, (usize, OfpPort)>) -> xlate::Bridge {
        use openflow::msg::PortConfig as Flags;
        let bundles: Vec<Bundle> = self.bundles.iter().map(|b| bundle(b, &self.numbers)).collect();
        let mut bundle_of = HashMap::new();
        for (at, bundle) in bundles.iter().enumerate() {
            for ofp in &bundle.ports {
                bundle_of.entry(*ofp).or_insert(at);
            }
        }
        let ports = self.ports.iter().map(|(ofp, p)| {
            let port = xlate::Port {
                ofp: *ofp,
                name: p.config.name.clone(),
                odp: p.odp,
                bundle: bundle_of.get(ofp).copied(),
                no_flood: p.flags.contains(Flags::NO_FLOOD),
                no_forward: p.flags.intersects(Flags::NO_FWD | Flags::PORT_DOWN),
                no_receive: p.flags.contains(Flags::NO_RECV),
                up: p.up && !p.flags.contains(Flags::PORT_DOWN),
                peer: peers.get(&p.config.name).copied(),
                tunnel: p.config.tunnel.clone(),
                counters: p.counters.clone(),
            };
            (*ofp, port)
        });
        let ports = ports.collect();
        // Controllers before OpenFlow 1.3 get packets without a rule unless a table-miss flow says otherwise.
        let old = |c: &Conn| {
            c.kind == ControllerKind::Primary && c.conn.version().is_some_and(|v| v < openflow::Version::V13)
        };
        xlate::Bridge {
            name: self.config.name.clone(),
            rules: self.ofproto.snapshot(),
            ports,
            bundles,
            forward_bpdu: self.config.forward_bpdu,
            miss_to_controller: self.conns.values().any(old),
            hw_addr: self.config.hw_addr,
            addresses: Vec::new(),
            names: Names::none(),
            sampling: self.config.sampling.clone(),
        }
    }

    /// The number for a new port: the wanted one if it is free, else the next free one after the last that was chosen,
    /// so that the number of a port that went is not soon another's.
    fn free_number(&mut self, config: &PortConfig) -> Option<OfpPort> {
        if config.name == self.config.name {
            return Some(OfpPort::LOCAL);
        }
        let free = |p: &OfpPort| p.is_ordinary() && p.0 != 0 && !self.ports.contains_key(p);
        let wanted = config.wanted.filter(free);
        if wanted.is_some() {
            return wanted;
        }
        let after = self.last_number.0 + 1..OfpPort::MAX.0;
        let next = after.chain(1..=self.last_number.0).map(OfpPort).find(free)?;
        self.last_number = next;
        Some(next)
    }
}

/// A bundle of those ports that are there.
fn bundle(b: &BundleConfig, numbers: &HashMap<String, OfpPort>) -> Bundle {
    Bundle {
        name: b.name.clone(),
        mode: b.mode,
        tag: b.tag,
        trunks: b.trunks.clone(),
        priority_tags: b.priority_tags,
        protected: b.protected,
        ports: b.ports.iter().filter_map(|name| numbers.get(name).copied()).collect(),
    }
}

/// The rule of a bridge that has taken over: above all that controllers can make.
fn fail_open_rule() -> RuleSpec {
    const PRIORITY: u32 = 0x00f0_f0f0;
    let normal = Output { port: OfpPort::NORMAL, max_len: 0 };
    RuleSpec {
        table: 0,
        priority: PRIORITY,
        matcher: openflow::matches::any(),
        cookie: 0,
        flags: FlowModFlags::empty(),
        importance: 0,
        actions: vec![normal.into()].into(),
    }
}

/// One running switch over one datapath.
pub struct Switch {
    pub(crate) dpif: Arc<dyn Dpif>,
    pub(crate) shared: Arc<Shared>,
}

impl Switch {
    /// A switch without bridges, which answers the datapath's upcalls from now on.
    pub fn new(dpif: Arc<dyn Dpif>) -> Switch {
        let switch = Switch::silent(dpif);
        switch.set_answering(true);
        switch
    }

    /// A switch without bridges, which answers no upcalls yet ([`Switch::set_answering`]).
    pub fn silent(dpif: Arc<dyn Dpif>) -> Switch {
        let view = View { network: Network::default(), fdbs: Vec::new() };
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            view: RwLock::new(Arc::new(view)),
            megaflows: Mutex::default(),
            recirc: Mutex::default(),
            packet_ins: Mutex::default(),
            rule_changes: Mutex::default(),
            requests: Mutex::default(),
            underlay: RwLock::default(),
            routes_tunnels: AtomicBool::new(false),
            samples_locally: dpif.samples_locally(),
            packet_ins_lost: AtomicU64::new(0),
            next_ufid: AtomicU64::new(1),
            generation: AtomicU64::new(0),
            flow_limit: AtomicU64::new(FLOW_LIMIT),
            evicts: AtomicBool::new(false),
            clock: AtomicU64::new(0),
            paused: AtomicBool::new(false),
            last_pass: Mutex::default(),
            asleep: AtomicBool::new(false),
            waker: RwLock::new(None),
            keep: Mutex::default(),
            answers: Mutex::default(),
        });
        Switch { dpif, shared }
    }

    /// Sets whom to wake when [`Switch::run_due`] should be called before its time.
    pub fn set_waker(&self, waker: Waker) {
        *self.shared.waker.write().unwrap_or_else(PoisonError::into_inner) = Some(waker);
    }

    /// The datapath.
    pub fn dpif(&self) -> &Arc<dyn Dpif> {
        &self.dpif
    }

    /// Shows upcalls what `f` changes when all of it is done: a change of one port costs the more the more ports there are.
    pub fn all_at_once<R>(&self, f: impl FnOnce() -> R) -> R {
        locked(&self.shared.state).publishing = Publishing::Held { changed: false };
        let result = f();
        let mut state = locked(&self.shared.state);
        if std::mem::take(&mut state.publishing) == (Publishing::Held { changed: true }) {
            self.shared.publish(&mut state);
        }
        result
    }

    /// Names of the bridges.
    pub fn bridges(&self) -> Vec<String> {
        locked(&self.shared.state).bridges.keys().cloned().collect()
    }

    /// Adds a bridge, or gives it another configuration. Its ports are added one by one.
    pub fn set_bridge(&self, config: BridgeConfig, now: Now) {
        let mut state = locked(&self.shared.state);
        match state.bridges.get_mut(&config.name) {
            Some(bridge) if bridge.config == config => return,
            Some(bridge) => {
                let in_charge = |c: &BridgeConfig| (c.has_controllers, c.fail_mode);
                let had = in_charge(&bridge.config);
                if let Ok(mut fdb) = bridge.fdb.write() {
                    (fdb.aging, fdb.capacity) = (config.mac_aging, config.mac_table_size);
                }
                bridge.config = config;
                // Who has the rules changes: the old ones go.
                if had != in_charge(&bridge.config) {
                    bridge.ofproto.flush();
                    bridge.add_default_rule(now);
                }
            }
            None => {
                state.bridges.insert(config.name.clone(), BridgeState::new(config, now));
            }
        }
        self.shared.publish(&mut state);
    }

    /// Takes the rules over from controllers that cannot be reached, or gives them back. Rules that controllers made go,
    /// and the bridge is a learning switch meanwhile.
    pub fn set_takeover(&self, bridge: &str, takeover: Takeover, now: Now) {
        let mut state = locked(&self.shared.state);
        let Some(b) = state.bridges.get_mut(bridge) else { return };
        if b.takeover == takeover {
            return;
        }
        b.takeover = takeover;
        let rule = fail_open_rule();
        match takeover {
            Takeover::Active => {
                b.ofproto.flush();
                b.ofproto.add_hidden(rule, now);
            }
            Takeover::Inactive => b.ofproto.remove_hidden(&rule),
        }
        self.shared.publish(&mut state);
    }

    /// Whether the rules are taken over.
    pub fn takeover(&self, bridge: &str) -> Takeover {
        locked(&self.shared.state).bridges.get(bridge).map(|b| b.takeover).unwrap_or_default()
    }

    /// Removes a bridge and its ports.
    pub fn del_bridge(&self, name: &str) {
        let mut state = locked(&self.shared.state);
        if let Some(bridge) = state.bridges.remove(name) {
            for odp in bridge.ports.values().filter_map(|p| p.odp) {
                self.release(&state, odp);
            }
        }
        self.shared.publish(&mut state);
    }

    /// Adds a port: opens its device, unless it is a patch. A port that exists only gets its new peer.
    pub fn add_port(&self, bridge: &str, config: PortConfig, now: Now) -> Result<OfpPort, DpifError> {
        let mut state = locked(&self.shared.state);
        if config.tunnel.as_ref().is_some_and(|t| is_taken(&state, t, &config.name)) {
            return Err(DpifError::Duplicate);
        }
        let b = state.bridges.get_mut(bridge).ok_or(DpifError::NoPort)?;
        if let Some((ofp, old)) = b.port_by_name(&config.name) {
            if old.config.kind != config.kind {
                return Err(DpifError::Exists);
            }
            let (was, config) = (old.odp, PortConfig { hw_addr: old.config.hw_addr, ..config });
            let odp = match &config.tunnel {
                Some(t) => Some(self.tunnel_port(t)?),
                None => was,
            };
            if odp == was && old.config == config {
                return Ok(ofp);
            }
            if let Some(p) = b.ports.get_mut(&ofp) {
                p.config = config;
                p.odp = odp;
            }
            was.filter(|was| Some(*was) != odp).into_iter().for_each(|odp| self.release(&state, odp));
            self.shared.publish(&mut state);
            return Ok(ofp);
        }
        let odp = match (config.kind.as_str(), &config.tunnel) {
            ("patch", _) => None,
            (_, Some(tunnel)) => Some(self.tunnel_port(tunnel)?),
            (kind, None) => match self.dpif.port_by_name(&config.name) {
                Some(port) => Some(port.number),
                None => Some(self.dpif.add_port(&config.name, kind, None)?),
            },
        };
        // A number is spent only on a port whose device could be opened.
        let Some(ofp) = b.free_number(&config) else {
            if config.tunnel.is_none() {
                odp.into_iter().for_each(|odp| drop(self.dpif.del_port(odp)));
            }
            return Err(DpifError::Full);
        };
        let device = odp.filter(|_| config.tunnel.is_none());
        let hw_addr = device.map_or(config.hw_addr, |odp| self.dpif.port_hw_addr(odp));
        let port = PortState {
            config: PortConfig { hw_addr, ..config },
            odp,
            flags: openflow::msg::PortConfig::empty(),
            up: true,
            counters: Arc::default(),
            added: now,
        };
        b.numbers.insert(port.config.name.clone(), ofp);
        b.ports.insert(ofp, port);
        b.tell_port(ofp, PortReason::Add);
        self.shared.publish(&mut state);
        Ok(ofp)
    }

    /// Removes a port; its device is closed.
    pub fn del_port(&self, bridge: &str, name: &str) {
        let mut state = locked(&self.shared.state);
        if let Some(b) = state.bridges.get_mut(bridge)
            && let Some((ofp, _)) = b.port_by_name(name)
        {
            b.tell_port(ofp, PortReason::Delete);
            b.numbers.remove(name);
            let gone = b.ports.remove(&ofp).and_then(|p| p.odp);
            if let Ok(mut fdb) = b.fdb.write() {
                fdb.forget_port(ofp);
            }
            gone.into_iter().for_each(|odp| self.release(&state, odp));
        }
        self.shared.publish(&mut state);
    }

    /// Sets a bridge's bundles.
    pub fn set_bundles(&self, bridge: &str, bundles: Vec<BundleConfig>) {
        let mut state = locked(&self.shared.state);
        if let Some(b) = state.bridges.get_mut(bridge)
            && b.bundles != bundles
        {
            b.bundles = bundles;
            self.shared.publish(&mut state);
        }
    }

    /// Notes whether a port has a carrier.
    pub fn set_link(&self, bridge: &str, name: &str, up: bool) {
        let mut state = locked(&self.shared.state);
        let Some(b) = state.bridges.get_mut(bridge) else { return };
        let Some((ofp, port)) = b.port_by_name(name) else { return };
        if port.up != up {
            if let Some(p) = b.ports.get_mut(&ofp) {
                p.up = up;
            }
            b.tell_port(ofp, PortReason::Modify);
            self.shared.publish(&mut state);
        }
    }

    /// Notes the address that a port's device has.
    pub fn set_hw_addr(&self, bridge: &str, name: &str, hw_addr: EthAddr) {
        let mut state = locked(&self.shared.state);
        let Some(b) = state.bridges.get_mut(bridge) else { return };
        let Some((ofp, old)) = b.port_by_name(name) else { return };
        if old.config.hw_addr == hw_addr {
            return;
        }
        if let Some(p) = b.ports.get_mut(&ofp) {
            p.config.hw_addr = hw_addr;
        }
        b.tell_port(ofp, PortReason::Modify);
    }

    /// A bridge's ports.
    pub fn ports(&self, bridge: &str) -> Vec<PortStatus> {
        let state = locked(&self.shared.state);
        let ports = state.bridges.get(bridge).into_iter().flat_map(|b| &b.ports);
        let status = ports.map(|(ofp, p)| PortStatus {
            name: p.config.name.clone(),
            kind: p.config.kind.clone(),
            ofp: *ofp,
            odp: p.odp,
            up: p.up,
        });
        status.collect()
    }

    /// The number that a bridge's port has in the datapath, while it has one.
    pub fn datapath_port(&self, bridge: &str, name: &str) -> Option<OdpPort> {
        let state = locked(&self.shared.state);
        state.bridges.get(bridge)?.port_by_name(name)?.1.odp
    }

    /// The datapath id of a bridge.
    pub fn datapath_id(&self, bridge: &str) -> Option<u64> {
        locked(&self.shared.state).bridges.get(bridge).map(|b| b.config.datapath_id)
    }

    /// The address of a bridge's own port.
    pub fn hw_addr(&self, bridge: &str) -> Option<EthAddr> {
        locked(&self.shared.state).bridges.get(bridge).map(|b| b.config.hw_addr)
    }

    /// Names for texts about a bridge.
    pub fn names(&self, bridge: &str) -> Names {
        locked(&self.shared.state).bridges.get(bridge).map(BridgeState::names).unwrap_or_default()
    }

    /// Sets which timeout policy, by its number in the datapath, the connections of a zone have.
    pub fn set_timeout_policies(&self, policies: BTreeMap<u16, u16>) {
        let mut state = locked(&self.shared.state);
        if *state.timeout_policies != policies {
            state.timeout_policies = Arc::new(policies);
            self.shared.publish(&mut state);
        }
    }

    /// Sets whether megaflows that do nothing but sample end in a drop (`other_config:explicit-sampled-drops`).
    pub fn set_explicit_sampled_drops(&self, explicit: bool) {
        let mut state = locked(&self.shared.state);
        if std::mem::replace(&mut state.explicit_sampled_drops, explicit) != explicit {
            self.shared.publish(&mut state);
        }
    }

    /// Sets the most megaflows (`other_config:flow-limit`). Where the datapath can, one that has not been used for long makes
    /// way for another then.
    pub fn set_flow_limit(&self, limit: u64) {
        if self.shared.flow_limit.swap(limit, Relaxed) == limit && self.shared.evicts.load(Relaxed) {
            return;
        }
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        self.shared.evicts.store(self.dpif.apply(Command::SetFlowLimit(most)).is_ok(), Relaxed);
    }
}

/// Memory of translations on behalf of one view.
pub(crate) struct ViewMemory<'a> {
    pub shared: &'a Shared,
    pub view: &'a View,
}

impl Memory for ViewMemory<'_> {
    fn mac(&self, bridge: usize, vlan: u16, mac: EthAddr) -> Option<OfpPort> {
        self.view.fdbs.get(bridge)?.read().ok()?.lookup(vlan, mac)
    }

    fn freeze(&self, state: Frozen) -> Option<u32> {
        locked(&self.shared.recirc).freeze(state)
    }

    fn route(&self, dst: IpAddr, mark: u32, source: Option<IpAddr>) -> Option<xlate::Route> {
        self.shared.underlay_mut(|u| u.lookup(dst, mark, source))
    }

    fn neighbour(&self, bridge: &str, address: IpAddr) -> Option<EthAddr> {
        self.shared.underlay_mut(|u| u.neighbour(bridge, address))
    }

    fn thaw(&self, id: u32) -> Option<Arc<Frozen>> {
        locked(&self.shared.recirc).thaw(id)
    }
}
