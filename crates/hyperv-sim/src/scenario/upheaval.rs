//! What happens to adapters and to the extension while packets of theirs are under way.
//!
//! Where it sits: steps of a life's script (`scenario.rs`). Each begins at an instant at which packets are in flight, and
//! nobody stops sending for it: what must hold is checked by the ledgers, by the switch's functions, and by guests that have
//! to get through in the end.

use odp::netlink::ids::cmd;
use switch_ext::NicId;

use super::{
    HOST, PLACES, WIRE, detach_under_way, insist, mac_of, nic_of, plug_place, replace_the_router,
    unplug_place,
};
use crate::administrator::{plug_in, sleep, unplug};
use crate::filter;
use crate::guest::Guest;
use crate::ledger::{Owner, PacketRecord};
use crate::processors::wait_until;
use crate::user_space::UserSpace;
use crate::world::{rule, with};

/// Places of virtual machines.
const MACHINES: [usize; 2] = [0, 1];

/// What may happen.
#[derive(Clone, Copy)]
enum Upheaval {
    /// The extension is paused for a while.
    Pause,
    /// A machine is removed with its port, and comes back.
    Remove,
    /// A machine is started anew: its adapter goes and comes, its port stays.
    Reboot,
    /// The way to the other hypervisor changes.
    Reroute,
}

/// Everything that may happen happens, in an order of the seed's.
pub(super) fn stir(user_space: &UserSpace) {
    let mut left = vec![Upheaval::Pause, Upheaval::Remove, Upheaval::Reboot, Upheaval::Reroute];
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
                hot_remove(machine);
                sleep(50);
                plug_place(machine);
                check_events(user_space, machine);
            }
            Upheaval::Reboot => {
                reboot(machine);
                check_events(user_space, machine);
            }
            Upheaval::Reroute => replace_the_router(),
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

fn hot_remove(machine: usize) {
    wait_for_traffic(machine, peer_of(machine), concerns(nic_of(&PLACES[machine])));
    unplug_place(machine);
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
