//! A run: a world made from a seed, the administrator's script, and what must hold at the end.
//!
//! Where it sits: called by tests and by `cargo xtask sim`.

mod upheaval;

use std::sync::Arc;

use ndis_sys::*;
use odp::TunnelKind;
use odp::netlink::ids::cmd;
use switch_ext::NicId;

use crate::administrator::{
    Administrator, METHOD_WRITES, create_port, delete_nic, delete_port, disconnect, has_always_been,
    nic_request, plug_in, sleep, unplug,
};
use crate::channel::Failure;
use crate::far::{Ends, Far};
use crate::fault::Fault;
use crate::filter;
use crate::guest::Guest;
use crate::kernel::in_the_driver;
use crate::netio::{self, Route};
use crate::policies;
use crate::processors::{self, wait_until};
use crate::requests;
use crate::user_space::UserSpace;
use crate::world::{self, Counts, Driver, Random, World, rule, with};

/// What to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Decides everything.
    pub seed: u64,
    /// The driver.
    pub driver: Driver,
    /// One allocation in so many fails; zero for none.
    pub fail_one_in: usize,
    /// What goes wrong between driver and kernel, if anything.
    pub fault: Option<Fault>,
    /// The tunnel that joins the host with another hypervisor at the other end of the wire, if one does.
    pub tunnel: Option<Tunnel>,
}

/// A tunnel between hypervisors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// Its protocol.
    pub kind: TunnelKind,
    /// Its ends have IPv6 addresses.
    pub is_ipv6: bool,
}

impl Plan {
    /// What a seed stands for, with the driver linked in.
    pub fn of(seed: u64) -> Plan {
        let fail_one_in = if seed.is_multiple_of(3) { 60 } else { 0 };
        let kind = match seed % 8 {
            1 => Some(TunnelKind::Vxlan),
            3 => Some(TunnelKind::Geneve),
            5 => Some(TunnelKind::Gre),
            7 => Some(TunnelKind::Stt),
            _ => None,
        };
        let tunnel = kind.map(|kind| Tunnel { kind, is_ipv6: seed / 8 % 2 == 1 });
        Plan { seed, driver: Driver::Native, fail_one_in, fault: None, tunnel }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Counts of everything.
    pub counts: Counts,
    /// The virtual time that passed, in nanoseconds.
    pub time_ns: u64,
}

/// Runs a plan to its end. What breaks a rule, and what is left in a ledger, ends the process with a line that replays it.
pub fn run(plan: &Plan) -> Report {
    live(plan, script)
}

/// The same, with a script of its own.
pub(crate) fn live(plan: &Plan, script: impl FnOnce() + Send + 'static) -> Report {
    let _only = world::is_taken();
    let mut random = Random::new(plan.seed);
    let processors = 2 + random.below(3);
    world::begin(World {
        administrator: Some(Administrator { script: Some(Box::new(script)), ..Administrator::default() }),
        far: plan.tunnel.map(far_of),
        fault: plan.fault,
        wanted_failures: plan.fail_one_in,
        ..World::new(plan.seed, random, processors, plan.driver.clone())
    });
    processors::run(processors);
    let mut world = world::end();
    let leaks = [world.ledger.leaks(), world.net.leaks()].concat();
    if !leaks.is_empty() {
        world::broken_in(plan.seed, &format!("left behind: {}", leaks.join(", ")));
    }
    if let Some(far) = world.far {
        (world.counts.tunnelled, world.counts.tunnelled_large) = (far.arrived, far.stt.large);
        world.counts.tunnelled_in_a_vlan = if world.by_policy { far.arrived } else { 0 };
    }
    Report { counts: world.counts, time_ns: world.now_ns }
}

/// What an adapter is and where it plugs in.
pub(crate) struct Place<'a> {
    pub name: &'a str,
    pub port: u32,
    pub port_kind: i32,
    pub index: u16,
    pub nic_kind: i32,
}

pub(crate) const PLACES: [Place<'static>; 5] = [
    Place {
        name: "vm1",
        port: 11,
        port_kind: NdisSwitchPortTypeSynthetic,
        index: 0,
        nic_kind: NdisSwitchNicTypeSynthetic,
    },
    Place {
        name: "vm2",
        port: 12,
        port_kind: NdisSwitchPortTypeEmulated,
        index: 0,
        nic_kind: NdisSwitchNicTypeEmulated,
    },
    Place {
        name: "Ethernet0",
        port: 1,
        port_kind: NdisSwitchPortTypeExternal,
        index: 1,
        nic_kind: NdisSwitchNicTypeExternal,
    },
    Place {
        name: "vEthernet (host)",
        port: 2,
        port_kind: NdisSwitchPortTypeInternal,
        index: 0,
        nic_kind: NdisSwitchNicTypeInternal,
    },
    Place {
        name: "Ethernet1",
        port: 1,
        port_kind: NdisSwitchPortTypeExternal,
        index: 2,
        nic_kind: NdisSwitchNicTypeExternal,
    },
];

/// The adapters of a run. Where a tunnel joins hypervisors there is one way out.
fn places() -> &'static [Place<'static>] {
    let away = with(|w| usize::from(w.far.is_some()));
    &PLACES[..PLACES.len() - away]
}

/// What a run's bridge does beside learning: nothing; track connections; change every packet; send it changed and as it came.
const RULES: [&[&str]; 5] = [
    &[],
    &["tcp,actions=ct(commit,zone=1,table=1)", "table=1,actions=NORMAL"],
    &["tcp,actions=dec_ttl,NORMAL"],
    &["tcp,actions=ct(zone=7,table=1)", "table=1,tcp,actions=ct(commit,zone=7),mod_nw_tos:16,NORMAL"],
    &["tcp,actions=mod_nw_tos:16,NORMAL,mod_nw_tos:0,NORMAL"],
];

/// Where the host's own adapter is, and the wire.
pub(crate) const HOST: usize = 3;
const WIRE: usize = 2;
/// A port to which no adapter connects.
const VALIDATION_PORT: u32 = 20;

/// Bytes of a packet in a network of large ones.
const JUMBO: u32 = 9000;

fn mac_of(place: usize) -> [u8; 6] {
    [2, 0, 0, 0, 0, place as u8 + 1]
}

/// The hypervisor beyond the router, as the host first sees it.
fn far_of(tunnel: Tunnel) -> Far {
    Far::new(tunnel, [2, 0, 0, 0, 1, 1], mac_of(HOST))
}

/// The host gets its address, and a way to the other hypervisor.
fn give_the_host_its_network() {
    let Some((tunnel, mac)) = with(|w| w.far.as_ref().map(|far| (far.tunnel, far.mac))) else { return };
    let (ends, port) = (Ends::of(tunnel), PLACES[HOST].port);
    let len = if tunnel.is_ipv6 { 64 } else { 24 };
    netio::change(|net| {
        net.addresses = vec![(ends.host, port)];
        net.neighbours = [(ends.router, mac)].into();
        net.routes = vec![
            Route { prefix: ends.host, len, port, gateway: None },
            Route { prefix: ends.far, len: 0, port, gateway: Some(ends.router) },
        ];
    });
}

/// The router is replaced: there is no way for a while, and then it is another.
fn replace_the_router() {
    if with(|w| w.far.is_none()) {
        return;
    }
    netio::change(|net| net.routes.clear());
    sleep(50);
    with(|w| w.far.iter_mut().for_each(|far| far.replace_next_hop(w.now_ns)));
    give_the_host_its_network();
}

pub(crate) fn nic_of(place: &Place<'_>) -> NicId {
    NicId { port: place.port, index: place.index }
}

/// Repeats what somebody may refuse until nobody does.
pub(crate) fn insist(mut f: impl FnMut() -> bool) {
    while !f() {}
}

fn plug_place(n: usize) {
    plug(&PLACES[n], mac_of(n));
}

/// Makes an adapter with its port, if that is not there. One with an index of its own is behind the switch's, beside others.
pub(crate) fn plug(place: &Place<'_>, mac: [u8; 6]) {
    let is_new = with(|w| !w.administrator.as_ref().expect("running").ports.contains_key(&place.port));
    if is_new {
        insist(|| create_port(place.port, place.port_kind, place.name));
        policies::give(place.port, place.name);
    }
    if is_new && place.index != 0 {
        let own = NicId { port: place.port, index: 0 };
        insist(|| plug_in(own, place.nic_kind, "switch", [0; 6]));
    }
    insist(|| plug_in(nic_of(place), place.nic_kind, place.name, mac));
}

fn unplug_place(n: usize) {
    let place = &PLACES[n];
    unplug(nic_of(place));
    let left = with(|w| w.administrator.as_ref().expect("running").ports[&place.port].nics.len());
    if place.index != 0 && left == 1 {
        unplug(NicId { port: place.port, index: 0 });
    }
    if place.index == 0 || left == 1 {
        delete_port(place.port);
    }
}

/// How the first machine's adapter may go while the driver asks what there is: it stays; it is disconnected, deleted, or deleted
/// with its port.
const LEAVE: [Option<fn()>; 4] = [
    None,
    Some(|| disconnect(nic_of(&PLACES[0]))),
    Some(|| unplug(nic_of(&PLACES[0]))),
    Some(|| unplug_place(0)),
];

/// The adapters that are connected, of the run's.
fn connected() -> Vec<usize> {
    let is_connected =
        |n: &usize| with(|w| w.administrator.as_ref().expect("running").is_connected(nic_of(&PLACES[*n])));
    (0..places().len()).filter(is_connected).collect()
}

/// What went while the driver asked comes back.
fn come_back(user_space: &UserSpace) {
    let away: Vec<usize> = (0..places().len()).filter(|n| !connected().contains(n)).collect();
    for n in away {
        let nic = nic_of(&PLACES[n]);
        let ports = |w: &World| w.administrator.as_ref().expect("running").ports.get(&nic.port).cloned();
        if with(|w| ports(w)).is_some_and(|port| port.nics.contains_key(&nic.index)) {
            delete_nic(nic);
        }
        plug_place(n);
        let told = user_space.events();
        let is_told = told.iter().map(|(c, n)| (*c, n.as_str())).eq([(cmd::NEW, PLACES[n].name)]);
        rule(is_told, "an adapter that went while the driver asked does not come back");
    }
}

/// All guests have done what they wanted, or the time is over.
fn traffic(from: usize, to: usize) {
    // The host is not in the network of the machines that a tunnel joins: it is the second machine's turn.
    let joined = with(|w| w.far.is_some());
    let [from, to] = [from, to].map(|place| if joined && place == HOST { 1 } else { place });
    with(|w| w.guests[from].transfer(to as u8 + 1));
    sleep(30);
}

fn wait_for_guests() {
    /// Seconds.
    const PATIENCE: u64 = 1200;
    for _ in 0..PATIENCE {
        if with(|w| w.guests.iter().all(Guest::is_content)) {
            return;
        }
        sleep(1000);
    }
    with(|w| w.guests.iter().for_each(|g| eprintln!("  {}", g.state())));
    let left: Vec<String> =
        with(|w| w.guests.iter().filter(|g| !g.is_content()).map(|g| g.name.clone()).collect());
    world::broken(&format!("guests do not get through: {left:?}"));
}

/// The administrator's script.
fn script() {
    let driver = load();
    attach_until_it_works();
    // Half of the ports are there before the switch is active and the driver knows; the others come later.
    let (early, found) = with(|w| (w.random.once_in(2), w.random.once_in(2)));
    with(|w| {
        w.vlan = w.random.once_in(2).then_some(policies::HOME);
        w.mtu = [1500, 1500, 1500, JUMBO][w.random.below(4)];
        (w.by_policy, w.is_guarded) = (w.vlan.is_some() && w.random.once_in(2), w.random.once_in(2));
    });
    if early {
        with(|w| w.administrator.as_mut().expect("running").active = true);
    }
    if found {
        // They were there before the extension, which nobody told of them.
        (0..2).for_each(|n| has_always_been(&PLACES[n], mac_of(n)));
        with(|w| {
            let leave = LEAVE[w.random.below(LEAVE.len())];
            w.administrator.as_mut().expect("running").leaving = leave;
        });
    }
    insist(filter::restart);
    if !found {
        (0..2).for_each(plug_place);
    }
    filter::activate();
    with(|w| w.administrator.as_mut().expect("running").leaving = None);
    for n in 2..places().len() {
        plug_place(n);
    }
    converse();
    upheaval::wait_for_traffic(0, 1, |_| true);
    finish(driver);
}

fn make_guests() {
    let places = places();
    with(|w| {
        for (n, place) in places.iter().enumerate() {
            let external = place.nic_kind == NdisSwitchNicTypeExternal;
            let mut guest = Guest::new(n as u8 + 1, place.name, nic_of(place), external, w.mtu);
            guest.is_connected = true;
            w.guests.push(guest);
        }
        w.fail_one_in = w.wanted_failures;
    });
}

/// Guests talk while ports come and go and the extension is paused.
fn converse() {
    let user_space = Arc::new(UserSpace::new(with(|w| w.far.as_ref().map(|far| far.tunnel))));
    // Whoever begins to listen hears of the adapters that are there: only machines' are new ports.
    let is_machine =
        |p: &Place<'_>| [NdisSwitchNicTypeSynthetic, NdisSwitchNicTypeEmulated].contains(&p.nic_kind);
    let unbound = connected().into_iter().map(|n| &PLACES[n]);
    let unbound = unbound.map(|p| (if is_machine(p) { cmd::NEW } else { cmd::SET }, p.name));
    let (mut told, mut there) = (user_space.events(), unbound.collect::<Vec<_>>());
    told.sort();
    there.sort();
    rule(
        told.iter().map(|(c, n)| (*c, n.as_str())).eq(there),
        "adapters that are there are not told, or others are (rule 33)",
    );
    come_back(&user_space);
    let vlan = with(|w| w.vlan);
    for place in places() {
        rule(user_space.add_port(place.name, vlan), "an adapter that is there cannot be added to the bridge");
    }
    let named: Vec<(u8, &str)> = places().iter().map(|p| (cmd::NEW, p.name)).collect();
    let told = user_space.events();
    rule(told.iter().map(|(c, n)| (*c, n.as_str())).eq(named), "new ports are not told as they came");
    rule(user_space.add_tunnel(vlan), "a tunnel's port is refused");
    let tunnels = with(|w| usize::from(w.far.is_some()));
    rule(user_space.events().len() == tunnels, "a tunnel's port is not told");
    rule(!user_space.add_port("nobody", vlan), "an adapter that is not there was added to the bridge");
    for rule in with(|w| RULES[w.random.below(RULES.len())]) {
        user_space.add_flow(rule);
    }
    // User space is one thread: it begins to answer when it is set up.
    with(|w| w.user_space = Some(user_space.clone()));
    give_the_host_its_network();
    make_guests();
    with(|w| w.transfer_size = 2000 + w.random.below(30_000));
    const ALLOCATE_VF: u32 = 0x0001_0245;
    const STATISTICS: u32 = 0x0002_0106;
    rule(nic_request(ALLOCATE_VF).0 != NDIS_STATUS_SUCCESS, "packets may pass by the extension (VF)");
    rule(
        nic_request(STATISTICS) == (NDIS_STATUS_SUCCESS, METHOD_WRITES),
        "a method's answer is not copied back (rule 16)",
    );
    traffic(0, 1);
    traffic(2, 0);
    traffic(3, 2);
    traffic(0, places().len() - 1);
    wait_for_guests();
    let reached = with(|w| w.counts.tcp_bytes);
    rule(reached > 0, "nothing was carried");
    for _ in 0..2 {
        traffic(1, WIRE);
        traffic(0, 2);
        crate::harass::harass(40);
        requests::odd(nic_of(&PLACES[0]));
        requests::try_policies(VALIDATION_PORT, PLACES[0].name);
        let told = user_space.events();
        rule(told.is_empty(), &format!("user space is told of what is not so (rules 21, 37): {told:?}"));
        upheaval::stir(&user_space);
        traffic(2, 0);
    }
    wait_for_guests();
    lose_the_switch(&user_space);
}

/// The extension is disabled and enabled again: user space keeps its files, and its ports come back by themselves.
fn lose_the_switch(user_space: &UserSpace) {
    with(|w| w.fail_one_in = 0);
    let ports = user_space.ports();
    let tunnels = with(|w| usize::from(w.far.is_some()));
    rule(ports.len() == places().len() + tunnels, &format!("ports are missing: {ports:?}"));
    upheaval::detach_under_traffic();
    filter::attach_elsewhere();
    let answer = user_space.ask_for_the_datapath();
    rule(
        answer == Err(Failure::Status(STATUS_DEVICE_NOT_READY)),
        "the device does not say that there is no switch",
    );
    enable();
    rule(user_space.ports() == ports, "ports did not outlive the switch");
    traffic(1, 0);
    traffic(0, HOST);
    traffic(0, WIRE);
    wait_for_guests();
}

/// The extension is paused and detached, whatever is in flight: the pause waits for it. What guests send from then on is lost.
pub(crate) fn detach_under_way() {
    filter::pause();
    with(|w| w.module.closing = true);
    wait_until(|| with(|w| w.module.inside == 0 && w.sent.is_empty() && w.done.is_empty()));
    filter::detach();
}

/// The driver is loaded, and enabled on a switch that is active. Its image, if it has one.
pub(crate) fn begin() -> Option<crate::Image> {
    let image = load();
    enable();
    filter::activate();
    image
}

/// The extension is attached and restarted, and packets come to it.
pub(crate) fn enable() {
    attach_until_it_works();
    insist(filter::restart);
    with(|w| w.module.closing = false);
}

fn attach_until_it_works() {
    with(|w| w.fail_one_in = w.wanted_failures);
    // Each allocation of an attachment fails at some time; it fails whole, or succeeds.
    const ATTEMPTS: usize = 4;
    for _ in 0..ATTEMPTS {
        if filter::attach() {
            with(|w| w.fail_one_in = 0);
            return;
        }
        let left = with(|w| {
            w.ledger.mdls.len() + w.ledger.pools.len() + w.ledger.timers.len() + w.net.leaks().len()
        });
        rule(left == 0, "a failed attachment leaves something behind");
    }
    with(|w| w.fail_one_in = 0);
    rule(filter::attach(), "FilterAttach fails though nothing is short");
}

fn load() -> Option<crate::Image> {
    let driver = with(|w| w.driver.clone());
    // SAFETY: zeros are a valid value.
    let object: &'static mut DRIVER_OBJECT = Box::leak(Box::new(unsafe { std::mem::zeroed() }));
    let object = std::ptr::from_mut(object);
    let (image, status) = match driver {
        // SAFETY: one driver object for each load, at PASSIVE_LEVEL.
        Driver::Native => (None, in_the_driver(|| unsafe { ovsext::driver_entry(object) })),
        Driver::Image(path) => {
            let image = crate::Image::load(&path).unwrap_or_else(|e| world::broken(&e));
            let status = in_the_driver(|| image.start(object));
            (Some(image), status)
        }
    };
    rule(status == NDIS_STATUS_SUCCESS, "DriverEntry failed");
    image
}

pub(crate) fn finish(image: Option<crate::Image>) {
    with(|w| w.fail_one_in = 0);
    let user_space = with(|w| w.user_space.take());
    wait_until(|| with(|w| !w.answering));
    // User space ends before the switch, or after it.
    let late = with(|w| w.random.once_in(2));
    let user_space = user_space.filter(|u| {
        if !late {
            u.end();
        }
        late
    });
    // The driver is unloaded when its module is gone; or it takes the module with it.
    if late || with(|w| w.random.once_in(2)) {
        detach_under_way();
    }
    if let Some(user_space) = user_space {
        user_space.end();
    }
    unload(image);
}

/// Unloads the driver. Of its device no file is open.
pub(crate) fn unload(image: Option<crate::Image>) {
    let unload = with(|w| w.module.unload);
    // SAFETY: the driver gave it; a module that is still attached is detached on the way.
    in_the_driver(|| unsafe {
        unload.expect("a driver without DriverUnload cannot be unloaded")(std::ptr::null_mut());
    });
    rule(with(|w| w.module.driver_handle == 0), "DriverUnload left the driver registered");
    drop(image);
}
