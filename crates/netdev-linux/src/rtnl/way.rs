//! The way to an address, as the kernel knows it: the first hop of its route, the neighbour there, and word of changes.
//!
//! Where it sits: asked for tunnels whose packets the datapath itself sends on their way. One answer each, by the kernel's own
//! rules (policy, metrics, marks): no table is read.
//!
//! Spec: rtnetlink(7); linux/rtnetlink.h, linux/neighbour.h.

use std::io;
use std::net::IpAddr;

use netlink::{Builder, Header, Message, flags};
use wire::EthAddr;

use super::route::{AF_INET, AF_INET6, RTA_DST, RTA_MARK, RTM_GETROUTE, RTMSG_LEN, ip, route, split};
use super::socket::RouteSocket;
use super::watch::Watch;

const RTM_NEWNEIGH: u16 = 28;
const RTM_DELNEIGH: u16 = 29;
pub(super) const RTM_GETNEIGH: u16 = 30;

const RTA_SRC: u16 = 2;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;

/// Bytes of `struct ndmsg`.
pub(super) const NDMSG_LEN: usize = 12;

/// States in which a neighbour's address is good: reachable, stale, delay, probe, noarp and permanent.
const NUD_VALID: u16 = 0x02 | 0x04 | 0x08 | 0x10 | 0x40 | 0x80;
/// A neighbour's state: known, and not heard of for long.
const NUD_STALE: u16 = 0x04;
/// A neighbour's state: it does not answer.
const NUD_FAILED: u16 = 0x20;
/// A neighbour's flag: somebody sends there.
const NTF_USE: u8 = 1;

/// The first hop on the way to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstHop {
    /// Index of the link.
    pub link: u32,
    /// The gateway, or the address itself.
    pub neighbour: IpAddr,
    /// The address to send from.
    pub source: Option<IpAddr>,
}

/// What became of a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NeighbourState {
    /// It has this Ethernet address.
    Known {
        /// The address.
        mac: EthAddr,
        /// It was not heard of for long: the kernel asks it again if somebody sends there.
        is_stale: bool,
    },
    /// It does not answer.
    Failed,
    /// Not known, or not any more.
    Unknown,
}

/// What may change a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WayChange {
    /// Routes, rules or addresses; or nobody knows what.
    Routes,
    /// A neighbour.
    Neighbour {
        /// Index of its link.
        link: u32,
        /// Its address.
        address: IpAddr,
        /// What became of it.
        state: NeighbourState,
    },
}

/// Questions to the kernel; each blocks until it has answered, which it does at once.
pub struct WayQueries(RouteSocket);

impl WayQueries {
    /// Opens the socket.
    pub fn open() -> io::Result<WayQueries> {
        RouteSocket::for_requests().map(WayQueries)
    }

    /// The first hop on the way to an address for packets with a mark, from an address if that is set; `None` if there is no
    /// way, or it ends on this machine.
    pub fn first_hop(&mut self, to: IpAddr, from: Option<IpAddr>, mark: u32) -> Option<FirstHop> {
        let mut found = None;
        let asked = self.0.request(
            |seq| way_request(seq, to, from, mark),
            |m| {
                found = route(m).filter(|r| !r.is_local);
            },
        );
        // The kernel says with an error that there is no way.
        asked.ok()?;
        let route = found?;
        Some(FirstHop {
            link: route.link,
            neighbour: route.gateway.unwrap_or(to),
            source: from.or(route.source),
        })
    }

    /// What the kernel knows of a neighbour.
    pub fn neighbour(&mut self, link: u32, address: IpAddr) -> NeighbourState {
        let mut found = NeighbourState::Unknown;
        let asked = self.0.request(
            |seq| neighbour_request(seq, (RTM_GETNEIGH, 0), (link, address), 0),
            |m| {
                if let Some((.., state)) = neighbour_event(m) {
                    found = state;
                }
            },
        );
        // The kernel says with an error that it knows of none.
        if asked.is_ok() { found } else { NeighbourState::Unknown }
    }

    /// Has the kernel ask a neighbour for its address, as if it sent a packet there; errors are the system's.
    pub fn solicit(&mut self, link: u32, address: IpAddr) -> io::Result<()> {
        let kind = (RTM_NEWNEIGH, flags::CREATE | flags::ACK);
        self.0.request(|seq| neighbour_request(seq, kind, (link, address), NTF_USE), |_| {})
    }
}

/// Follows what may change ways.
pub struct WayWatch {
    _watch: Watch,
}

impl WayWatch {
    /// Starts to follow; `on_change` is called on a thread of its own for each change, once for all of routes that come together.
    pub fn start(mut on_change: impl FnMut(WayChange) + Send + 'static) -> io::Result<WayWatch> {
        let watch = Watch::start("ways", RouteSocket::for_routes()?, move |notifications| {
            let mut routes = false;
            let mut take = |m: &Message<'_>| match neighbour_event(m) {
                Some((link, address, state)) => on_change(WayChange::Neighbour { link, address, state }),
                None => routes = true,
            };
            let end = loop {
                if let Err(e) = notifications.read(&mut take) {
                    break e;
                }
            };
            if routes || end.kind() != io::ErrorKind::WouldBlock {
                on_change(WayChange::Routes);
            }
        })?;
        Ok(WayWatch { _watch: watch })
    }
}

fn octets(address: IpAddr) -> (u8, Vec<u8>) {
    match address {
        IpAddr::V4(a) => (AF_INET, a.octets().to_vec()),
        IpAddr::V6(a) => (AF_INET6, a.octets().to_vec()),
    }
}

/// `RTM_GETROUTE` for one address.
fn way_request(seq: u32, to: IpAddr, from: Option<IpAddr>, mark: u32) -> Option<Vec<u8>> {
    let (family, dst) = octets(to);
    let src = from.map(|from| octets(from).1).unwrap_or_default();
    let mut fixed = [0; RTMSG_LEN];
    [fixed[0], fixed[1], fixed[2]] = [family, dst.len() as u8 * 8, src.len() as u8 * 8];
    let mut b = Builder::new();
    b.begin(&Header { kind: RTM_GETROUTE, flags: flags::REQUEST, seq, ..Header::default() }, &fixed);
    b.put(RTA_DST, &dst);
    if !src.is_empty() {
        b.put(RTA_SRC, &src);
    }
    if mark != 0 {
        b.put_u32(RTA_MARK, mark);
    }
    b.finish()
}

/// A message about one neighbour, without a state.
fn neighbour_request(
    seq: u32,
    (kind, more): (u16, u16),
    (link, address): (u32, IpAddr),
    neighbour_flags: u8,
) -> Option<Vec<u8>> {
    let (family, dst) = octets(address);
    let mut fixed = [0; NDMSG_LEN];
    (fixed[0], fixed[10]) = (family, neighbour_flags);
    fixed[4..8].copy_from_slice(&link.to_ne_bytes());
    let mut b = Builder::new();
    b.begin(&Header { kind, flags: flags::REQUEST | more, seq, ..Header::default() }, &fixed);
    b.put(NDA_DST, &dst);
    b.finish()
}

/// Link, address and state of the neighbour that a message is about.
pub(super) fn neighbour_event(m: &Message<'_>) -> Option<(u32, IpAddr, NeighbourState)> {
    let is_gone = m.header.kind == RTM_DELNEIGH;
    let kind = if is_gone { RTM_DELNEIGH } else { RTM_NEWNEIGH };
    let (fixed, attrs) = split(m, kind, NDMSG_LEN)?;
    let link = u32::from_ne_bytes(fixed.get(4..8)?.try_into().ok()?);
    let state = u16::from_ne_bytes(fixed.get(8..10)?.try_into().ok()?);
    let address = ip(*fixed.first()?, &attrs, NDA_DST)?;
    let mac = || {
        let mac = EthAddr(attrs.find(NDA_LLADDR)?.payload.try_into().ok()?);
        (mac != EthAddr::ZERO && !mac.is_multicast()).then_some(mac)
    };
    let state = match (is_gone, state) {
        (false, NUD_FAILED) => NeighbourState::Failed,
        (false, state) if state & NUD_VALID != 0 => mac().map_or(NeighbourState::Unknown, |mac| {
            NeighbourState::Known { mac, is_stale: state & NUD_STALE != 0 }
        }),
        _ => NeighbourState::Unknown,
    };
    Some((link, address, state))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(kind: u16, state: u16, mac: &[u8]) -> Option<(u32, IpAddr, NeighbourState)> {
        let mut b = Builder::new();
        let mut fixed = [0; NDMSG_LEN];
        (fixed[0], fixed[4]) = (AF_INET, 7);
        fixed[8..10].copy_from_slice(&state.to_ne_bytes());
        b.begin(&Header { kind, ..Header::default() }, &fixed);
        b.put(NDA_DST, &[10, 0, 0, 1]);
        b.put(NDA_LLADDR, mac);
        let bytes = b.finish().unwrap();
        let m = netlink::Messages::new(&bytes).next().unwrap().unwrap();
        neighbour_event(&m)
    }

    #[test]
    fn a_neighbour_is_known_in_some_states_and_if_it_has_an_address() {
        let mac = [2, 0, 0, 0, 0, 1];
        let known = |is_stale| Some(NeighbourState::Known { mac: EthAddr(mac), is_stale });
        let state = |kind, state, mac: &[u8]| {
            told(kind, state, mac).map(|(link, address, state)| {
                assert_eq!((link, address), (7, "10.0.0.1".parse().unwrap()));
                state
            })
        };
        assert_eq!(state(RTM_NEWNEIGH, 0x02, &mac), known(false));
        assert_eq!(state(RTM_NEWNEIGH, NUD_STALE, &mac), known(true));
        assert_eq!(state(RTM_NEWNEIGH, NUD_FAILED, &mac), Some(NeighbourState::Failed));
        let unknown = Some(NeighbourState::Unknown);
        assert_eq!(state(RTM_NEWNEIGH, 0x01, &mac), unknown, "being asked");
        assert_eq!(state(RTM_DELNEIGH, 0x02, &mac), unknown);
        for none in [&[][..], &[0; 6], &[1, 0, 0, 0, 0, 1], &[2; 20]] {
            assert_eq!(state(RTM_NEWNEIGH, 0x02, none), unknown, "{none:?}");
        }
        assert_eq!(state(RTM_DELNEIGH + 1, 0x02, &mac), None);
    }

    #[test]
    fn no_way_leaves_for_an_address_of_this_machine() {
        let mut queries = WayQueries::open().unwrap();
        assert_eq!(queries.first_hop("127.0.0.1".parse().unwrap(), None, 0), None);
        assert_eq!(queries.neighbour(u32::MAX >> 1, "192.0.2.1".parse().unwrap()), NeighbourState::Unknown);
        assert!(queries.solicit(u32::MAX >> 1, "192.0.2.1".parse().unwrap()).is_err());
    }
}
