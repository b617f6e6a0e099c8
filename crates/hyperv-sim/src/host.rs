//! The switch in real time: machines behind veth pairs, a wire, and the driver's device on a socket for a real ovs-vswitchd.
//!
//! Where it sits: called by `main`; turns frames, requests and the clock into what the rest of the simulation does anyway.
//! The daemon that connects is to find what it would find on Windows.
//!
//! ~~~text
//!   namespaces of machines   hypervisors on the wire      ovs-vswitchd
//!        │ veth                   │ veth                      │ SOCK_SEQPACKET: one connection, one open file
//!        ▼                        ▼                           ▼
//!   ┌─ synthetic adapters ─ external adapter ─┬─ IOCTLs, pending and cancelled ─┐
//!   │            Hyper-V switch with ovsext.sys (or the driver linked in)       │
//!   └──────────── internal adapter ◄── the host's own address: ARP, echo ───────┘
//! ~~~
//!
//! One thread is the only processor. It sleeps until a descriptor is ready or a timer of the driver's is due.
//!
//! I1  Every queue has a bound; what does not fit is dropped and counted, or waits where it came from.
//! I2  The rules of the contract hold as in virtual time: whoever breaks one ends the process with its name.
//!
//! Next: `host/link.rs`, `host/clients.rs`, `host/commands.rs`, `host/stack.rs`.

mod clients;
mod commands;
mod link;
mod signals;
mod stack;

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use ndis_sys::*;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use switch_ext::NicId;

use crate::administrator::{Administrator, delete_port, unplug};
use crate::guest::finished;
use crate::netio::{self, Route};
use crate::packets::{Frames, OutOfBand, to_driver};
use crate::policies::{self, Change, Vlan};
use crate::processors::alone;
use crate::scenario::{self, Place, nic_of, plug};
use crate::world::{self, Counts, Driver, Job, Random, World, with};
use clients::Clients;
use commands::{Command, Commands};
use link::{Link, Links};
use stack::Stack;

/// What to serve.
#[derive(Clone, Debug)]
pub struct HostPlan {
    /// The driver.
    pub driver: Driver,
    /// Where the device's socket is to be.
    pub device: PathBuf,
    /// Machines: the names of their ports, and the devices behind which they are.
    pub machines: Vec<(String, String)>,
    /// The physical adapter, and the device that is the wire.
    pub wire: Option<(String, String)>,
    /// The host's own adapters, some with an address and the length of its network's prefix.
    pub own: Vec<(String, Option<(Ipv4Addr, u32)>)>,
    /// Commands are read from standard input.
    pub commands: bool,
}

/// Frames that wait for an adapter.
const QUEUE: usize = 1024;
/// Jobs done before others have their turn.
const JOBS: usize = 256;

/// Frames that the switch delivered, until they are written.
#[derive(Debug, Default)]
pub(crate) struct Hosted {
    queues: Vec<(NicId, VecDeque<Vec<u8>>)>,
    lost: u64,
}

impl Hosted {
    /// Frames of an adapter that has come may wait.
    fn begin(&mut self, nic: NicId) {
        self.queues.push((nic, VecDeque::new()));
    }

    /// Those of one that has gone are lost.
    fn end(&mut self, nic: NicId) {
        self.queues.retain(|(of, _)| *of != nic);
    }

    /// Takes a frame for an adapter, with the words of its checksum, its large send and its tag.
    pub fn deliver(&mut self, nic: NicId, frame: &[u8], [checksum, large_send, vlan]: [u64; 3]) {
        let Some((_, queue)) = self.queues.iter_mut().find(|(of, _)| *of == nic) else { return };
        let whole = match large_send {
            0 => vec![finished(frame, checksum, false)],
            word => crate::large_send::cut(frame, word),
        };
        for mut frame in whole {
            if queue.len() >= QUEUE {
                self.lost += 1;
                continue;
            }
            push_tag(&mut frame, vlan);
            queue.push_back(frame);
        }
    }
}

/// The word that a packet has for its tag: priority, CFI and VLAN from the lowest bit up. Puts the tag into the frame.
fn push_tag(frame: &mut Vec<u8>, word: u64) {
    if word != 0 && frame.len() >= 12 {
        let tci = (word as u16 & 7) << 13 | (word as u16 >> 3 & 1) << 12 | (word >> 4) as u16 & 0xfff;
        let [a, b] = tci.to_be_bytes();
        frame.splice(12..12, [0x81, 0, a, b]);
    }
}

/// Takes the tag out of a frame, as an adapter does; the word that says it.
fn pop_tag(frame: &mut Vec<u8>) -> u64 {
    if frame.len() < 18 || frame[12..14] != [0x81, 0] {
        return 0;
    }
    let tci = u64::from(u16::from_be_bytes([frame[14], frame[15]]));
    frame.drain(12..16);
    tci >> 13 | (tci >> 12 & 1) << 3 | (tci & 0xfff) << 4
}

/// Loads the driver and serves until SIGTERM or SIGINT; then everything ends in its order, and must leave nothing behind.
pub fn serve(plan: &HostPlan) -> Result<Counts, String> {
    let _only = world::is_taken();
    let stop = signals::watch().map_err(|e| format!("signals cannot be waited for ({e})"))?;
    let mut clients = Clients::listen(&plan.device)
        .map_err(|e| format!("{}: cannot listen ({e})", plan.device.display()))?;
    let links = Links::follow().map_err(|e| format!("links cannot be followed ({e})"))?;
    let mut adapters = Vec::new();
    for (place, wanted) in places(plan) {
        let what = format!("{}: cannot be opened", place.name);
        let end = wanted.open(&links, place.port).map_err(|e| format!("{what} ({e})"))?;
        adapters.push((place, end));
    }
    world::begin(World {
        hosted: Some(Hosted::default()),
        administrator: Some(Administrator { started: true, ..Administrator::default() }),
        now_ns: now_ns(),
        epoch: epoch(),
        ..World::new(world::IN_REAL_TIME, Random::new(1), 1, plan.driver.clone())
    });
    alone(|| {
        let image = scenario::begin();
        let mut host = Host::begin(links, adapters, plan.commands);
        println!("ready");
        while host.turn(&mut clients, stop.as_fd())? {}
        clients.leave();
        end(image);
        Ok::<(), String>(())
    })?;
    let world = world::end();
    let leaks = [world.ledger.leaks(), world.net.leaks()].concat();
    if leaks.is_empty() { Ok(world.counts) } else { Err(format!("left behind: {}", leaks.join(", "))) }
}

/// What is to be at an adapter.
enum Wanted<'a> {
    Device(&'a str),
    Own(Option<(Ipv4Addr, u32)>),
}

/// The address of the adapter at a port. Machines send from others: to the switch that is all one.
fn mac_of(port: u32) -> [u8; 6] {
    [0, 0x15, 0x5d, 0, 0, port as u8]
}

impl Wanted<'_> {
    fn open(&self, links: &Links, port: u32) -> Result<End, String> {
        Ok(match self {
            Wanted::Device(name) => End::Link(Box::new(links.open(name)?)),
            Wanted::Own(address) => {
                End::Own(address.map(|(address, len)| Stack::new(address, len, mac_of(port))))
            }
        })
    }
}

const FIRST_OWN: u32 = 2;
const FIRST_MACHINE: u32 = 100;

/// The place of a machine's adapter.
fn machine(name: &str, port: u32) -> Place<'_> {
    let (port_kind, nic_kind) = (NdisSwitchPortTypeSynthetic, NdisSwitchNicTypeSynthetic);
    Place { name, port, port_kind, index: 0, nic_kind }
}

/// Where everything plugs in.
fn places(plan: &HostPlan) -> Vec<(Place<'_>, Wanted<'_>)> {
    let wire = plan.wire.iter().map(|(name, device)| {
        let (port_kind, nic_kind) = (NdisSwitchPortTypeExternal, NdisSwitchNicTypeExternal);
        (Place { name, port: 1, port_kind, index: 1, nic_kind }, Wanted::Device(device))
    });
    let own = (FIRST_OWN..FIRST_MACHINE).zip(&plan.own).map(|(port, (name, address))| {
        let (port_kind, nic_kind) = (NdisSwitchPortTypeInternal, NdisSwitchNicTypeInternal);
        (Place { name, port, port_kind, index: 0, nic_kind }, Wanted::Own(*address))
    });
    let machines = (FIRST_MACHINE..)
        .zip(&plan.machines)
        .map(|(port, (name, device))| (machine(name, port), Wanted::Device(device)));
    wire.chain(own).chain(machines).collect()
}

/// The switch goes, then the driver.
fn end(image: Option<crate::Image>) {
    scenario::detach_under_way();
    scenario::unload(image);
}

/// What is at an adapter.
enum End {
    Link(Box<Link>),
    Own(Option<Stack>),
}

/// An adapter with what is at it.
struct Adapter {
    name: String,
    nic: NicId,
    end: End,
}

impl Adapter {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.end {
            End::Link(link) => link.fd(),
            End::Own(_) => None,
        }
    }
}

/// Everything that runs.
struct Host {
    adapters: Vec<Adapter>,
    links: Links,
    commands: Commands,
    /// The port of the next machine.
    next_machine: u32,
    /// Frames that devices did not take.
    refused: u64,
}

/// The machine's own clock: user space compares the driver's times with it.
fn now_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// The system's time when that clock was at zero, as Windows has it.
fn epoch() -> u64 {
    /// 1970, in units of 100 ns since 1601.
    const UNIX: u64 = 116_444_736_000_000_000;
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    UNIX + (since.as_nanos() / 100) as u64 - now_ns() / 100
}

impl Host {
    fn begin(links: Links, places: Vec<(Place<'_>, End)>, has_commands: bool) -> Host {
        let next_machine = places.iter().map(|(place, _)| place.port + 1).fold(FIRST_MACHINE, u32::max);
        let commands = Commands::new(has_commands);
        let mut host = Host { adapters: Vec::new(), links, commands, next_machine, refused: 0 };
        for (place, end) in places {
            if let End::Own(Some(stack)) = &end {
                let (address, len) = stack.network();
                let address = IpAddr::from(Ipv4Addr::from_bits(address));
                netio::change(|net| {
                    net.addresses.push((address, place.port));
                    net.routes.push(Route { prefix: address, len, port: place.port, gateway: None });
                });
            }
            host.plug(&place, end);
        }
        host
    }

    /// An adapter comes.
    fn plug(&mut self, place: &Place<'_>, end: End) {
        let nic = nic_of(place);
        with(|w| w.hosted.as_mut().expect("made with the world").begin(nic));
        plug(place, mac_of(place.port));
        self.adapters.push(Adapter { name: place.name.to_owned(), nic, end });
    }

    /// Carries out what an administrator says.
    fn command(&mut self, command: &Command) -> Result<(), String> {
        match command {
            Command::Plug(name, device) => {
                if self.adapters.iter().any(|a| a.name == *name) {
                    return Err(format!("{name}: there is one of this name"));
                }
                let what = |e| format!("{device}: cannot be opened ({e})");
                let end = End::Link(Box::new(self.links.open(device).map_err(what)?));
                self.plug(&machine(name, self.next_machine), end);
                self.next_machine += 1;
            }
            Command::Unplug(name) => {
                let (at, nic) = self.machine(name)?;
                unplug(nic);
                delete_port(nic.port);
                with(|w| w.hosted.as_mut().expect("made with the world").end(nic));
                self.adapters.remove(at);
            }
            Command::Access(name, vlan) => {
                let (_, nic) = self.machine(name)?;
                policies::change(nic.port, Change::Vlan(Some(*vlan).filter(|v| *v != 0).map(Vlan::Access)));
            }
        }
        Ok(())
    }

    /// A machine's adapter, and where the list has it.
    fn machine(&self, name: &str) -> Result<(usize, NicId), String> {
        let found = self.adapters.iter().position(|a| a.name == name && a.nic.port >= FIRST_MACHINE);
        let at = found.ok_or_else(|| format!("{name}: there is no such machine"))?;
        Ok((at, self.adapters[at].nic))
    }

    /// Carries out what has been said, and says what came of it.
    fn obey(&mut self) {
        for command in self.commands.read() {
            match command.and_then(|command| self.command(&command)) {
                Ok(()) => println!("done"),
                Err(why) => println!("cannot: {why}"),
            }
        }
    }

    /// Does what is to be done, and waits for more; false when it is told to stop.
    fn turn(&mut self, clients: &mut Clients, stop: BorrowedFd<'_>) -> Result<bool, String> {
        let now = now_ns();
        let more = self.work(now);
        clients.settle();
        let wait = match with(|w| w.next_timer()) {
            _ if more => 0,
            Some(due) => due.saturating_sub(now),
            None => u64::MAX >> 1,
        };
        let wait = Timespec { tv_sec: (wait / 1_000_000_000) as i64, tv_nsec: (wait % 1_000_000_000) as i64 };
        let here = [stop, self.links.as_fd()].into_iter().chain(self.adapters.iter().filter_map(Adapter::fd));
        let mut fds: Vec<PollFd<'_>> = here.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        let first_client = fds.len();
        fds.extend(clients.poll_fds());
        let commands = fds.len();
        fds.extend(self.commands.fd().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        match poll(&mut fds, Some(&wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(format!("poll: {e}")),
        }
        let ready: Vec<PollFlags> = fds.iter().map(PollFd::revents).collect();
        drop(fds);
        // After a change each link is looked at, for it may be another.
        let all = !ready[1].is_empty();
        if all {
            self.links.settle();
        }
        let links = self.adapters.iter_mut().filter(|a| a.fd().is_some());
        links.zip(&ready[2..]).filter(|(_, r)| all || !r.is_empty()).for_each(|(a, _)| a.receive());
        clients.serve(&ready[first_client..commands]);
        if ready.get(commands).is_some_and(|ready| !ready.is_empty()) {
            self.obey();
        }
        Ok(ready[0].is_empty())
    }

    /// Runs the driver and carries what comes out of it; true if there may be more.
    fn work(&mut self, now: u64) -> bool {
        const ROUNDS: usize = 8;
        with(|w| w.now_ns = w.now_ns.max(now));
        for _ in 0..ROUNDS {
            let mut jobs = (0..JOBS).map_while(|_| with(World::next_job).map(Job::run));
            let moved = jobs.by_ref().count() + self.emit();
            if moved == 0 {
                return false;
            }
        }
        true
    }

    /// Writes what was delivered, and has the host answer what was for it; returns how many frames moved.
    fn emit(&mut self) -> usize {
        let mut moved = 0;
        for adapter in &mut self.adapters {
            let frames = with(|w| {
                let queues = &mut w.hosted.as_mut().expect("made with the world").queues;
                let queue = queues.iter_mut().find(|(nic, _)| *nic == adapter.nic);
                queue.map(|(_, queue)| Vec::from(std::mem::take(queue))).unwrap_or_default()
            });
            moved += frames.len();
            match &mut adapter.end {
                End::Link(link) => self.refused += link.transmit(&frames),
                End::Own(stack) => {
                    let answer = |f: &Vec<u8>| stack.as_ref()?.answer(f);
                    let answers: Vec<Vec<u8>> = frames.iter().filter_map(answer).collect();
                    send(adapter.nic, answers);
                }
            }
        }
        let sought = with(|w| std::mem::take(&mut w.net.sought));
        for neighbour in sought {
            // Adapters of the host's own have addresses of IPv4.
            let IpAddr::V4(neighbour) = neighbour else { continue };
            let neighbour = neighbour.to_bits();
            let on_link = |a: &&Adapter| matches!(&a.end, End::Own(Some(stack)) if stack.is_near(neighbour));
            if let Some(Adapter { nic, end: End::Own(Some(stack)), .. }) = self.adapters.iter().find(on_link)
            {
                send(*nic, vec![stack.ask(neighbour)]);
                moved += 1;
            }
        }
        moved
    }
}

impl Adapter {
    /// Takes frames that came, a batch at most: others may be waiting.
    fn receive(&mut self) {
        if let End::Link(link) = &mut self.end {
            send(self.nic, link.receive());
        }
    }
}

/// Gives frames of an adapter to the driver.
fn send(nic: NicId, frames: Vec<Vec<u8>>) {
    let packet = |mut frame: Vec<u8>| -> (NicId, Frames, OutOfBand) {
        let vlan = pop_tag(&mut frame);
        (nic, vec![frame], OutOfBand { vlan, ..OutOfBand::default() })
    };
    to_driver(&frames.into_iter().map(packet).collect::<Vec<_>>());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_in_the_frame_or_beside_it() {
        let tagged = [&[2; 12][..], &[0x81, 0, 0xb0, 10], &[8, 0, 1, 2]].concat();
        let mut frame = tagged.clone();
        let word = pop_tag(&mut frame);
        assert_eq!((word, frame.len()), (5 | 1 << 3 | 10 << 4, 16));
        push_tag(&mut frame, word);
        assert_eq!(frame, tagged);
        let mut plain = vec![3; 60];
        assert_eq!(pop_tag(&mut plain), 0);
        push_tag(&mut plain, 0);
        assert_eq!(plain, [3; 60]);
    }

    #[test]
    fn what_nobody_takes_is_dropped_and_counted() {
        let nic = NicId { port: 11, index: 0 };
        let mut hosted = Hosted { queues: vec![(nic, VecDeque::new())], lost: 0 };
        (0..QUEUE + 3).for_each(|_| hosted.deliver(nic, &[0; 60], [0; 3]));
        hosted.deliver(NicId { port: 12, index: 0 }, &[0; 60], [0; 3]);
        assert_eq!((hosted.queues[0].1.len(), hosted.lost), (QUEUE, 3));
    }
}
