//! The ways of tunnels: which of the host's own ports, and whose Ethernet address, a packet with a tunnel's headers goes by.
//!
//! Where it sits: pumps ask [`Finder`] as a [`FindWays`] and never wait; a thread asks the kernel. Who is about to execute
//! actions may [`Finder::prepare`] their ways, so that not even the first packet is lost.
//!
//! ~~~text
//!   packet ─► next_hop ─► Ways: known? ──────────────► by a port of type internal, through the flows
//!                          │ wanted                ▲
//!                          ▼                       │ learned
//!                   thread: route? ─► neighbour? ──┤
//!                                        │ asked   │ heard of
//!                                        └─► waiting
//! ~~~
//!
//! The kernel sends the requests for neighbours, by the port, and hears the answers there: rules must let both through, as
//! they must for any packet of the host's.
//!
//! I1  What is known serves until there is an answer, however the switch fares: tunnels work without it.
//! I2  A way by a port that is gone is forgotten before its number can be another's.
//!
//! Spec: ovs-vswitchd.conf.db(5), "Tunnel Options".

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{JoinHandle, Thread};

use datapath::{Address, End, Exit, NextHop, TunnelDst, Way, Ways};
use dpif_netdev::{Clock, FindWays};
use netdev::Netdev;
use netdev_linux::{NeighbourState, WayChange, WayQueries, WayWatch};
use odp::{Action, Header};
use packet::{Now, OdpPort};
use wire::EthAddr;

/// Ends whose neighbour is waited for; of more the oldest is asked for again by the next packet.
const WAITING: usize = 64;

/// What a way leaves by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    /// The host's own port, and its device.
    port: OdpPort,
    mac: EthAddr,
    link: u32,
    /// Who is there: the end, or a gateway.
    neighbour: IpAddr,
}

/// Questions to the kernel, and ends whose neighbour is to answer yet.
struct Asking {
    queries: WayQueries,
    waiting: VecDeque<(End, u32, IpAddr)>,
}

/// Finds ways.
pub(crate) struct Finder {
    clock: Clock,
    /// The host's own ports.
    ports: Mutex<BTreeMap<OdpPort, Arc<dyn Netdev>>>,
    ways: Ways<Place>,
    asking: Mutex<Asking>,
    thread: OnceLock<Thread>,
    ends: AtomicBool,
}

/// The threads of a [`Finder`], which end with this.
pub(crate) struct Finding {
    finder: Arc<Finder>,
    thread: Option<JoinHandle<()>>,
    _watch: WayWatch,
}

fn ip(address: Address) -> IpAddr {
    if address.is_ipv6 { IpAddr::V6(address.bits.into()) } else { IpAddr::V4((address.bits as u32).into()) }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => a.to_bits().into(),
        IpAddr::V6(a) => a.to_bits(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Calls `f` with the end of each tunnel that actions lead a packet with a mark into.
fn for_each_end(mut mark: u32, actions: &[Action], f: &mut dyn FnMut(End)) {
    for action in actions {
        match action {
            Action::Set(Header::Mark(set)) => mark = *set,
            Action::SetMasked { value: Header::Mark(set), mask: Header::Mark(bits) } => {
                mark = mark & !bits | set;
            }
            Action::Set(Header::Tunnel(key)) => f(End::of(&TunnelDst { key, mark })),
            other => other.lists().iter().for_each(|list| for_each_end(mark, list, f)),
        }
    }
}

impl Finder {
    /// Notes that a way is wanted, and wakes the thread if it may not know.
    fn want(&self, end: &End) {
        if self.ways.want(end)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    /// The host's own port that is a link, and its address.
    fn port_of(&self, link: u32) -> Option<(OdpPort, EthAddr)> {
        let ports = lock(&self.ports);
        let (number, device) = ports.iter().find(|(_, device)| device.ifindex() == link)?;
        Some((*number, device.mac().ok()?))
    }

    /// Asks the kernel for a way.
    fn ask(&self, (end, asked): (End, u64)) {
        let mut asking = lock(&self.asking);
        let Asking { queries, waiting } = &mut *asking;
        let from = Some(end.from).filter(|from| from.bits != 0).map(ip);
        let place = queries.first_hop(ip(end.to), from, end.mark).and_then(|hop| {
            let (port, mac) = self.port_of(hop.link)?;
            let place = Place { port, mac, link: hop.link, neighbour: hop.neighbour };
            Some((place, hop.source?))
        });
        let now = (self.clock)().mono;
        let Some((place, source)) = place else { return self.ways.learn((end, asked), None, now) };
        let state = queries.neighbour(place.link, place.neighbour);
        if let NeighbourState::Known { mac, .. } = state {
            let way = Way { by: place, eth_dst: mac, from: bits(source) };
            self.ways.learn((end, asked), Some(way), now);
        } else {
            waiting.retain(|(other, ..)| *other != end);
            if waiting.len() >= WAITING {
                waiting.pop_front();
            }
            waiting.push_back((end, place.link, place.neighbour));
        }
        if !matches!(state, NeighbourState::Known { is_stale: false, .. })
            && let Err(e) = queries.solicit(place.link, place.neighbour)
        {
            log::warn!(target: "ovsextd", "the kernel does not look for {} ({e})", place.neighbour);
        }
    }

    /// Takes in what became of routes and neighbours.
    fn changed(&self, change: WayChange) {
        let WayChange::Neighbour { link, address, state } = change else { return self.ways.distrust() };
        let is_there = |way: &Way<Place>| way.by.link == link && way.by.neighbour == address;
        match state {
            NeighbourState::Failed => self.ways.forget(is_there),
            NeighbourState::Unknown => self.ways.doubt(is_there),
            NeighbourState::Known { mac, .. } => {
                self.ways.doubt(|way| is_there(way) && way.eth_dst != mac);
                let mut asking = lock(&self.asking);
                let waiting = std::mem::take(&mut asking.waiting);
                let (here, elsewhere) =
                    waiting.into_iter().partition(|(_, l, a)| (*l, *a) == (link, address));
                asking.waiting = elsewhere;
                drop(asking);
                VecDeque::<(End, u32, IpAddr)>::iter(&here).for_each(|(end, ..)| self.want(end));
            }
        }
    }

    fn run(&self) {
        while !self.ends.load(Ordering::Acquire) {
            match self.ways.next_wanted() {
                Some(wanted) => self.ask(wanted),
                None => std::thread::park(),
            }
        }
    }
}

impl Finder {
    /// Knows no way; [`Finding::start`] has it look for those that are wanted. Errors are the system's.
    pub(crate) fn new(clock: Clock) -> io::Result<Finder> {
        let asking = Mutex::new(Asking { queries: WayQueries::open()?, waiting: VecDeque::new() });
        let ways = Ways::try_new().ok_or(io::ErrorKind::OutOfMemory)?;
        let (thread, ends) = (OnceLock::new(), AtomicBool::new(false));
        Ok(Finder { clock, ports: Mutex::default(), ways, asking, thread, ends })
    }

    /// Finds the ways that actions will ask for, of a packet with a mark, as far as that takes no waiting.
    pub(crate) fn prepare(&self, mark: u32, actions: &[Action]) {
        let now = (self.clock)().mono;
        for_each_end(mark, actions, &mut |end| {
            if let (None, _) = self.ways.find(&end, now) {
                self.ask((end, self.ways.changes()));
            }
        });
    }

    /// Links changed.
    pub(crate) fn distrust(&self) {
        self.ways.distrust();
    }

    /// A port of the host's own has come.
    pub(crate) fn add_port(&self, number: OdpPort, device: Arc<dyn Netdev>) {
        lock(&self.ports).insert(number, device);
        self.ways.distrust();
    }

    /// A port goes.
    pub(crate) fn del_port(&self, number: OdpPort) {
        lock(&self.ports).remove(&number);
        self.ways.forget(|way| way.by.port == number);
    }

    /// The ways that are known, a line each.
    pub(crate) fn show(&self) -> String {
        let mut lines = Vec::new();
        self.ways.for_each(|end, way| {
            let Place { port, neighbour, .. } = way.by;
            let mut line = format!("{}", ip(end.to));
            // Writing to a string cannot fail.
            if end.mark != 0 {
                let _ = write!(line, " mark {:#x}", end.mark);
            }
            let from = Address { bits: way.from, is_ipv6: end.to.is_ipv6 };
            let _ = writeln!(line, " from {} by port {port} to {} ({neighbour})", ip(from), way.eth_dst);
            lines.push(line);
        });
        lines.concat()
    }
}

impl FindWays for Finder {
    fn next_hop(&self, end: &End, now: Now) -> NextHop {
        let (found, ask) = self.ways.find(end, now.mono);
        if ask {
            self.want(end);
        }
        match found {
            None => NextHop::Resolving,
            Some(None) => NextHop::NoRoute,
            Some(Some(Way { by, eth_dst, from })) => {
                let exit = Exit::Enters { tag: None };
                NextHop::Via { port: by.port, exit, eth_src: by.mac, eth_dst, src: from }
            }
        }
    }
}

impl Finding {
    /// Starts the threads; errors are the system's.
    pub(crate) fn start(finder: &Arc<Finder>) -> io::Result<Finding> {
        let (of_watch, of_thread) = (finder.clone(), finder.clone());
        let watch = WayWatch::start(move |change| of_watch.changed(change))?;
        let thread =
            std::thread::Builder::new().name("find-ways".to_owned()).spawn(move || of_thread.run())?;
        // Nobody else sets it.
        let _ = finder.thread.set(thread.thread().clone());
        // What was wanted before.
        thread.thread().unpark();
        Ok(Finding { finder: finder.clone(), thread: Some(thread), _watch: watch })
    }
}

impl Drop for Finding {
    fn drop(&mut self) {
        self.finder.ends.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // One that panicked has ended as well.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use packet::TunnelKey;

    use super::*;

    #[test]
    fn ends_have_the_mark_that_the_packet_will_have() {
        let to = |dst| Action::Set(Header::Tunnel(Box::new(TunnelKey { dst, ..TunnelKey::default() })));
        let some_bits = Action::SetMasked { value: Header::Mark(0x20), mask: Header::Mark(0xf0) };
        let inside = vec![to(2), Action::Set(Header::Mark(9)), to(3)];
        let list = [to(1), some_bits, Action::Clone(inside), to(4)];
        let mut ends = Vec::new();
        for_each_end(0x15, &list, &mut |end| ends.push((end.to.bits, end.mark)));
        assert_eq!(ends, [(1, 0x15), (2, 0x25), (3, 9), (4, 0x25)], "a list inside changes a copy");
    }
}
