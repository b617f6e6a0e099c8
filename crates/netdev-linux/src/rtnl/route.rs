//! Addresses, routes and neighbours of this network namespace, as the kernel has them.
//!
//! Where it sits: read by the daemon for native tunnels. Each call dumps anew: the tables are small and change rarely.
//!
//! Spec: rtnetlink(7); linux/rtnetlink.h, linux/neighbour.h.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use netlink::{Attrs, Builder, Header, Message, flags};
use wire::EthAddr;

use super::OnChange;
use super::link::{self, LinkEvent};
use super::socket::RouteSocket;
use super::watch::Watch;

const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const RTM_NEWNEIGH: u16 = 28;
const RTM_GETNEIGH: u16 = 30;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PREFSRC: u16 = 7;
const RTA_TABLE: u16 = 15;
const RTA_MARK: u16 = 16;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;

const RTN_UNICAST: u8 = 1;
const RTN_LOCAL: u8 = 2;

/// Bytes of `struct ifaddrmsg`, `struct rtmsg` and `struct ndmsg`.
const IFADDR_LEN: usize = 8;
const RTMSG_LEN: usize = 12;
const NDMSG_LEN: usize = 12;

/// States in which a neighbour's address is good: reachable, stale, delay, probe, noarp and permanent.
const NUD_VALID: u16 = 0x02 | 0x04 | 0x08 | 0x10 | 0x40 | 0x80;

/// An address of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Index of the link.
    pub link: u32,
    /// The address.
    pub address: IpAddr,
    /// Bits of its network.
    pub prefix: u8,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where to; `None` is everywhere.
    pub dst: Option<IpAddr>,
    /// The route is of IPv6.
    pub is_ipv6: bool,
    /// Bits of the network.
    pub prefix: u8,
    /// Index of the link.
    pub link: u32,
    /// Next hop.
    pub gateway: Option<IpAddr>,
    /// Address to send from.
    pub source: Option<IpAddr>,
    /// The routing table: 255 local, 254 main, 253 default.
    pub table: u32,
    /// Mark that packets must have; zero is none.
    pub mark: u32,
    /// It leads to this machine itself.
    pub is_local: bool,
}

/// A neighbour whose Ethernet address is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Index of the link.
    pub link: u32,
    /// Its address.
    pub address: IpAddr,
    /// Its Ethernet address.
    pub mac: EthAddr,
}

/// The three tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteTables {
    /// Names of links by index.
    pub links: BTreeMap<u32, String>,
    /// Addresses.
    pub addresses: Vec<Address>,
    /// Routes to single hosts and networks.
    pub routes: Vec<Route>,
    /// Neighbours.
    pub neighbours: Vec<Neighbour>,
}

impl RouteTables {
    /// Reads all three.
    pub fn read() -> io::Result<RouteTables> {
        let mut socket = RouteSocket::for_requests()?;
        let mut tables = RouteTables::default();
        socket.request(link::dump, |m| {
            if let Some(LinkEvent::Is(info)) = link::event(m) {
                tables.links.insert(info.index, info.name);
            }
        })?;
        socket.request(|seq| dump(RTM_GETADDR, IFADDR_LEN, seq), |m| tables.addresses.extend(address(m)))?;
        socket.request(|seq| dump(RTM_GETROUTE, RTMSG_LEN, seq), |m| tables.routes.extend(route(m)))?;
        socket
            .request(|seq| dump(RTM_GETNEIGH, NDMSG_LEN, seq), |m| tables.neighbours.extend(neighbour(m)))?;
        Ok(tables)
    }
}

/// Says when the tables changed.
pub struct Routes {
    generation: Arc<AtomicU64>,
    _watch: Watch,
}

impl Routes {
    /// Starts to follow the tables; `on_change` is called on a thread of its own after each change.
    pub fn follow(on_change: OnChange) -> io::Result<Routes> {
        let generation = Arc::new(AtomicU64::new(1));
        let counter = generation.clone();
        let watch = Watch::start("routes", RouteSocket::for_routes()?, move |notifications| {
            // What was said does not matter: the tables are read anew. An error tells that messages were lost.
            while notifications.read(|_| {}).is_ok() {}
            counter.fetch_add(1, Ordering::Release);
            on_change();
        })?;
        Ok(Routes { generation, _watch: watch })
    }

    /// Grows with each change; never zero.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }
}

fn dump(kind: u16, family_len: usize, seq: u32) -> Option<Vec<u8>> {
    let mut b = Builder::new();
    let header = Header { kind, flags: flags::REQUEST | flags::DUMP, seq, ..Header::default() };
    b.begin(&header, &[0; 12][..family_len]);
    b.finish()
}

/// Splits a message of `kind` into its fixed part and its attributes.
fn split<'a>(m: &Message<'a>, kind: u16, len: usize) -> Option<(&'a [u8], Attrs<'a>)> {
    (m.header.kind == kind).then_some(())?;
    let (fixed, rest) = m.payload.split_at_checked(len)?;
    Some((fixed, Attrs::new(rest)))
}

fn ip(family: u8, attrs: &Attrs<'_>, kind: u16) -> Option<IpAddr> {
    let attr = attrs.find(kind)?;
    match family {
        AF_INET => Some(IpAddr::V4(attr.be32()?.into())),
        AF_INET6 => Some(IpAddr::V6(attr.be128()?.into())),
        _ => None,
    }
}

fn address(m: &Message<'_>) -> Option<Address> {
    let (fixed, attrs) = split(m, RTM_NEWADDR, IFADDR_LEN)?;
    let (family, prefix) = (*fixed.first()?, *fixed.get(1)?);
    let link = u32::from_ne_bytes(fixed.get(4..8)?.try_into().ok()?);
    // Of a point-to-point link the local end is told apart.
    let address = ip(family, &attrs, IFA_LOCAL).or_else(|| ip(family, &attrs, IFA_ADDRESS))?;
    Some(Address { link, address, prefix })
}

fn route(m: &Message<'_>) -> Option<Route> {
    let (fixed, attrs) = split(m, RTM_NEWROUTE, RTMSG_LEN)?;
    let (family, prefix, kind) = (*fixed.first()?, *fixed.get(1)?, *fixed.get(7)?);
    if !matches!(family, AF_INET | AF_INET6) || !matches!(kind, RTN_UNICAST | RTN_LOCAL) {
        return None;
    }
    let table = attrs
        .find(RTA_TABLE)
        .and_then(|a| a.u32())
        .unwrap_or_else(|| fixed.get(4).copied().unwrap_or(0).into());
    Some(Route {
        dst: ip(family, &attrs, RTA_DST),
        is_ipv6: family == AF_INET6,
        prefix,
        link: attrs.find(RTA_OIF)?.u32()?,
        gateway: ip(family, &attrs, RTA_GATEWAY),
        source: ip(family, &attrs, RTA_PREFSRC),
        table,
        mark: attrs.find(RTA_MARK).and_then(|a| a.u32()).unwrap_or(0),
        is_local: kind == RTN_LOCAL,
    })
}

fn neighbour(m: &Message<'_>) -> Option<Neighbour> {
    let (fixed, attrs) = split(m, RTM_NEWNEIGH, NDMSG_LEN)?;
    let family = *fixed.first()?;
    let link = u32::from_ne_bytes(fixed.get(4..8)?.try_into().ok()?);
    let state = u16::from_ne_bytes(fixed.get(8..10)?.try_into().ok()?);
    (state & NUD_VALID != 0).then_some(())?;
    let mac = EthAddr(attrs.find(NDA_LLADDR)?.payload.try_into().ok()?);
    let address = ip(family, &attrs, NDA_DST)?;
    (mac != EthAddr::ZERO && !mac.is_multicast()).then_some(Neighbour { link, address, mac })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_message_is_read() {
        let mut b = Builder::new();
        let header = Header { kind: RTM_NEWROUTE, ..Header::default() };
        b.begin(&header, &[AF_INET, 24, 0, 0, 254, 3, 0, RTN_UNICAST, 0, 0, 0, 0]);
        b.put_u32(RTA_TABLE, 254);
        b.put(RTA_DST, &[10, 1, 0, 0]);
        b.put_u32(RTA_OIF, 7);
        b.put(RTA_GATEWAY, &[10, 0, 0, 1]);
        let bytes = b.finish().unwrap();
        let m = netlink::Messages::new(&bytes).next().unwrap().unwrap();
        let r = route(&m).unwrap();
        assert_eq!((r.dst, r.prefix, r.link), (Some("10.1.0.0".parse().unwrap()), 24, 7));
        assert_eq!((r.gateway, r.table, r.is_local), (Some("10.0.0.1".parse().unwrap()), 254, false));
    }

    #[test]
    fn this_machine_has_itself_as_a_route() {
        let tables = RouteTables::read().unwrap();
        for r in tables.routes.iter().filter(|r| r.is_local && !r.is_ipv6) {
            assert!(r.link != 0 && r.prefix <= 32);
        }
    }
}
