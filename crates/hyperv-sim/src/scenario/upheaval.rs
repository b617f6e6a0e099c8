//! What happens to adapters and to the extension while packets of theirs are under way.
//!
//! Where it sits: steps of a life's script (`scenario.rs`). Each begins at an instant at which packets are in flight, and
//! nobody stops sending for it: what must hold is checked by the ledgers, by the switch's functions, and by guests that have
//! to get through in the end.

use odp::netlink::ids::cmd;
use switch_ext::NicId;

use super::{
    HOST, PLACES, WIRE, detach_under_way, give_the_host_its_network, insist, mac_of, nic_of, places,
    plug_place, replace_the_router, unplug_place,
};
use crate::administrator::{plug_in, sleep, unplug};
use crate::filter;
use crate::guest::Guest;
use crate::ledger::{Owner, PacketRecord};
use crate::netio;
use crate::policies;
use crate::processors::wait_until;
use crate::requests;
use crate::user_space::UserSpace;
use crate::world::{rule, with};

/// Places of virtual machines.
const MACHINES: [usize; 2] = [0, 1];

/// What may happen.
#[derive(Clone, Copy)]
enum Upheaval {
    /// The extension is paused for a while.
    Pause,
    /// An adapter is removed, with its port if it is the last there, and comes back: a machine's, a physical one or the
    /// host's.
    Remove,
    /// A machine is saved, leaves, and comes back as one that was migrated.
    Migrate,
    /// A machine is started anew: its adapter goes and comes, its port stays.
    Reboot,
    /// The way to the other hypervisor changes.
    Reroute,
    /// A machine is put into another VLAN for a while, and may, or may not, have the addresses that it could not, or could; so
    /// is the host where it is the end of a tunnel.
    Police,
}

/// Everything that may happen happens, in an order of the seed's.
pub(super) fn stir(user_space: &UserSpace) {
    let mut left = vec![
        Upheaval::Pause,
        Upheaval::Remove,
        Upheaval::Migrate,
        Upheaval::Reboot,
        Upheaval::Reroute,
        Upheaval::Police,
    ];
    while !left.is_empty() {
        let (next, machine) = with(|w| {
            let next = left.swap_remove(w.random.below(left.len()));
            (next, MACHINES[w.random.below(MACHINES.len())])
        });
        match next {
            Upheaval::Pause => {
                wait_for_traffic(1, 0, is_sent_on);
                filter::pause();
                sleep(50);
                insist(filter::restart);
            }
            Upheaval::Remove => {
                let place = with(|w| w.random.next() as usize) % places().len();
                hot_remove(place);
                sleep(50);
                plug_again(place);
                check_events(user_space, place);
            }
            Upheaval::Migrate => {
                let saved = requests::save(nic_of(&PLACES[machine]));
                hot_remove(machine);
                sleep(50);
                requests::restore(&saved);
                plug_again(machine);
                check_events(user_space, machine);
            }
            Upheaval::Reboot => {
                reboot(machine);
                check_events(user_space, machine);
            }
            Upheaval::Reroute => replace_the_router(),
            Upheaval::Police => {
                let place = &PLACES[machine];
                wait_for_traffic(machine, peer_of(machine), concerns(nic_of(place)));
                policies::disturb(place.port, place.name);
                if with(|w| w.far.is_some()) {
                    wait_for_traffic(machine, WIRE, concerns(nic_of(&PLACES[WIRE])));
                    policies::disturb(PLACES[HOST].port, PLACES[HOST].name);
                }
            }
        }
    }
}

/// The driver sent it on, and does not have it back.
fn is_sent_on(packet: &PacketRecord) -> bool {
    packet.owner == Owner::Switch
}

/// It is on its way to an adapter, or comes from there.
fn concerns(nic: NicId) -> impl Fn(&PacketRecord) -> bool {
    move |packet| packet.to.contains(&nic) || packet.source == nic && !packet.made_by_driver
}

/// Has two guests talk to each other until a packet is in flight, at this very moment.
pub(super) fn wait_for_traffic(a: usize, b: usize, is_meant: impl Fn(&PacketRecord) -> bool) {
    let in_flight = || with(|w| w.ledger.packets.values().any(&is_meant));
    // They may have said all before a packet is seen.
    while !in_flight() {
        with(|w| {
            w.guests[a].transfer(b as u8 + 1);
            w.guests[b].transfer(a as u8 + 1);
        });
        wait_until(|| in_flight() || with(|w| w.guests.iter().all(Guest::is_content)));
    }
}

/// Whom a machine talks to. The host is not in the network of machines that a tunnel joins.
fn peer_of(machine: usize) -> usize {
    with(|w| {
        let host = if w.far.is_some() { WIRE } else { HOST };
        [1 - machine, WIRE, host][w.random.below(3)]
    })
}

fn hot_remove(place: usize) {
    let (a, b, through) = match place {
        // What machines of two hypervisors say goes through both, and only on the wire can it be seen.
        HOST | WIRE if with(|w| w.far.is_some()) => (0, WIRE, WIRE),
        HOST | WIRE => (place, 0, place),
        _ if MACHINES.contains(&place) => (place, peer_of(place), place),
        _ => (place, 1, place),
    };
    wait_for_traffic(a, b, concerns(nic_of(&PLACES[through])));
    unplug_place(place);
    if place == HOST {
        // With its adapter the host's addresses and routes are gone.
        netio::change(|net| (net.addresses, net.routes) = (Vec::new(), Vec::new()));
    }
}

fn plug_again(place: usize) {
    plug_place(place);
    if place == HOST {
        give_the_host_its_network();
    }
}

fn reboot(machine: usize) {
    let place = &PLACES[machine];
    wait_for_traffic(machine, peer_of(machine), concerns(nic_of(place)));
    unplug(nic_of(place));
    with(|w| w.guests[machine].reboot());
    sleep(20);
    insist(|| plug_in(nic_of(place), place.nic_kind, place.name, mac_of(machine)));
}

/// User space was told that a port went and came.
fn check_events(user_space: &UserSpace, machine: usize) {
    let told = user_space.events();
    let mut wanted = vec![(cmd::DEL, PLACES[machine].name), (cmd::NEW, PLACES[machine].name)];
    if with(|w| w.fail_one_in != 0) {
        // For want of memory an event is lost, and only that one.
        wanted.retain(|(c, _)| told.iter().any(|(told, _)| told == c));
    }
    rule(told.iter().map(|(c, n)| (*c, n.as_str())).eq(wanted), "a port that goes and comes is not told");
}

/// The extension is taken off the switch while packets are in flight.
pub(super) fn detach_under_traffic() {
    wait_for_traffic(0, 1, is_sent_on);
    detach_under_way();
}
