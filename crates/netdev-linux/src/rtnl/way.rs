//! The way to an address, as the kernel knows it: the first hop of its route, the neighbour there, and word of changes.
//!
//! Where it sits: asked for tunnels whose packets the datapath itself sends on their way. One answer each, by the kernel's own
//! rules (policy, metrics, marks): no table is read.
//!
//! Spec: rtnetlink(7); linux/rtnetlink.h.

use std::io;
use std::net::IpAddr;

use netlink::{Builder, Header, Message, flags};

use super::message::octets;
use super::neighbour::{self, NeighbourState};
use super::route::{RTA_DST, RTA_MARK, RTM_GETROUTE, RTMSG_LEN, route};
use super::socket::RouteSocket;
use super::watch::Watch;

const RTA_SRC: u16 = 2;
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
            |seq| neighbour::get(seq, link, address),
            |m| {
                if let Some((.., state)) = neighbour::event(m) {
                    found = state;
                }
            },
        );
        // The kernel says with an error that it knows of none.
        if asked.is_ok() { found } else { NeighbourState::Unknown }
    }

    /// Has the kernel ask a neighbour for its address, as if it sent a packet there; errors are the system's.
    pub fn solicit(&mut self, link: u32, address: IpAddr) -> io::Result<()> {
        self.0.request(|seq| neighbour::solicit(seq, link, address), |_| {})
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
            let mut take = |m: &Message<'_>| match neighbour::event(m) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_way_leaves_for_an_address_of_this_machine() {
        let mut queries = WayQueries::open().unwrap();
        assert_eq!(queries.first_hop("127.0.0.1".parse().unwrap(), None, 0), None);
        assert_eq!(queries.neighbour(u32::MAX >> 1, "192.0.2.1".parse().unwrap()), NeighbourState::Unknown);
        assert!(queries.solicit(u32::MAX >> 1, "192.0.2.1".parse().unwrap()).is_err());
    }
}
