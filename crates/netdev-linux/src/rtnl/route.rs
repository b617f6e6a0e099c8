//! Addresses, routes, the rules that choose among their tables, and neighbours of this network namespace, as the kernel has them.
//!
//! Where it sits: read by the daemon for native tunnels. Each call dumps anew: the tables are small and change rarely.
//!
//! Spec: rtnetlink(7); linux/rtnetlink.h, linux/neighbour.h, linux/fib_rules.h.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use netlink::{Attrs, Builder, Header, Message, flags};

use super::OnChange;
use super::link::{self, LinkEvent};
use super::message::{AF_INET, AF_INET6, ip, split};
use super::neighbour::{self, NDMSG_LEN, Neighbour, RTM_GETNEIGH};
use super::socket::RouteSocket;
use super::watch::Watch;

const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
pub(super) const RTM_GETROUTE: u16 = 26;
const RTM_NEWRULE: u16 = 32;
const RTM_GETRULE: u16 = 34;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
pub(super) const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PREFSRC: u16 = 7;
const RTA_MULTIPATH: u16 = 9;
const RTA_TABLE: u16 = 15;
pub(super) const RTA_MARK: u16 = 16;
const RTA_VIA: u16 = 18;
const FRA_SRC: u16 = 2;
const FRA_PRIORITY: u16 = 6;
const FRA_SUPPRESS_PREFIXLEN: u16 = 14;
const FRA_TABLE: u16 = 15;
const FRA_PROTOCOL: u16 = 21;
/// What a rule may say and be for no fewer packets.
const FRA_UNCONDITIONAL: [u16; 5] = [FRA_SRC, FRA_PRIORITY, FRA_SUPPRESS_PREFIXLEN, FRA_TABLE, FRA_PROTOCOL];

const RTN_UNICAST: u8 = 1;
const RTN_LOCAL: u8 = 2;

/// A rule's action: look into a table.
const FR_ACT_TO_TBL: u8 = 1;
/// A rule's flag: for all others.
const FIB_RULE_INVERT: u32 = 2;

/// Bytes of `struct ifaddrmsg`, `struct rtmsg`, `struct rtnexthop` and `struct fib_rule_hdr`.
const IFADDR_LEN: usize = 8;
pub(super) const RTMSG_LEN: usize = 12;
const NEXTHOP_LEN: usize = 8;
const RULE_LEN: usize = 12;

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

/// A rule: packets from somewhere look for their way in a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteRule {
    /// The lowest is asked first.
    pub priority: u32,
    /// The rule is of IPv6.
    pub is_ipv6: bool,
    /// It is for packets from everywhere else.
    pub invert: bool,
    /// The network that packets are from, and its bits; `None` is every one.
    pub from: Option<(IpAddr, u8)>,
    /// The routing table.
    pub table: u32,
}

/// All tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteTables {
    /// Names of links by index.
    pub links: BTreeMap<u32, String>,
    /// Addresses.
    pub addresses: Vec<Address>,
    /// Routes to single hosts and networks.
    pub routes: Vec<Route>,
    /// Rules that ask for nothing but where packets are from.
    pub rules: Vec<RouteRule>,
    /// Neighbours.
    pub neighbours: Vec<Neighbour>,
}

impl RouteTables {
    /// Reads them all.
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
        socket.request(|seq| dump(RTM_GETRULE, RULE_LEN, seq), |m| tables.rules.extend(rule(m)))?;
        socket.request(
            |seq| dump(RTM_GETNEIGH, NDMSG_LEN, seq),
            |m| tables.neighbours.extend(neighbour::known(m)),
        )?;
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

fn address(m: &Message<'_>) -> Option<Address> {
    let (fixed, attrs) = split(m, RTM_NEWADDR, IFADDR_LEN)?;
    let (family, prefix) = (*fixed.first()?, *fixed.get(1)?);
    let link = u32::from_ne_bytes(fixed.get(4..8)?.try_into().ok()?);
    // Of a point-to-point link the local end is told apart.
    let address = ip(family, &attrs, IFA_LOCAL).or_else(|| ip(family, &attrs, IFA_ADDRESS))?;
    Some(Address { link, address, prefix })
}

pub(super) fn route(m: &Message<'_>) -> Option<Route> {
    let (fixed, attrs) = split(m, RTM_NEWROUTE, RTMSG_LEN)?;
    let (family, prefix, kind) = (*fixed.first()?, *fixed.get(1)?, *fixed.get(7)?);
    if !matches!(family, AF_INET | AF_INET6) || !matches!(kind, RTN_UNICAST | RTN_LOCAL) {
        return None;
    }
    let table = attrs
        .find(RTA_TABLE)
        .and_then(|a| a.u32())
        .unwrap_or_else(|| fixed.get(4).copied().unwrap_or(0).into());
    let (link, gateway) = match attrs.find(RTA_MULTIPATH) {
        Some(hops) => first_hop(family, hops.payload)?,
        None => (attrs.find(RTA_OIF)?.u32()?, gateway(family, &attrs)),
    };
    Some(Route {
        dst: ip(family, &attrs, RTA_DST),
        is_ipv6: family == AF_INET6,
        prefix,
        link,
        gateway,
        source: ip(family, &attrs, RTA_PREFSRC),
        table,
        mark: attrs.find(RTA_MARK).and_then(|a| a.u32()).unwrap_or(0),
        is_local: kind == RTN_LOCAL,
    })
}

/// The next hop, which may be of the other family.
fn gateway(family: u8, attrs: &Attrs<'_>) -> Option<IpAddr> {
    let via = || {
        let (of, address) = attrs.find(RTA_VIA)?.payload.split_first_chunk::<2>()?;
        match u8::try_from(u16::from_ne_bytes(*of)).ok()? {
            AF_INET => Some(IpAddr::from(<[u8; 4]>::try_from(address).ok()?)),
            AF_INET6 => Some(IpAddr::from(<[u8; 16]>::try_from(address).ok()?)),
            _ => None,
        }
    };
    ip(family, attrs, RTA_GATEWAY).or_else(via)
}

/// Link and next hop of the first of several ways.
fn first_hop(family: u8, hops: &[u8]) -> Option<(u32, Option<IpAddr>)> {
    let len = u16::from_ne_bytes(*hops.first_chunk()?);
    let (fixed, attrs) = hops.get(..len.into())?.split_at_checked(NEXTHOP_LEN)?;
    let link = u32::from_ne_bytes(*fixed.last_chunk()?);
    Some((link, gateway(family, &Attrs::new(attrs))))
}

/// A rule that is for all packets, or for those from a network; `None` for one that asks for more.
fn rule(m: &Message<'_>) -> Option<RouteRule> {
    let (fixed, attrs) = split(m, RTM_NEWRULE, RULE_LEN)?;
    let [family, dst_len, src_len, tos, table, _, _, action] = *fixed.first_chunk()?;
    let of_families = matches!(family, AF_INET | AF_INET6);
    let more = dst_len != 0 || tos != 0 || action != FR_ACT_TO_TBL;
    // A prefix length of -1 suppresses none.
    let conditional = |a: netlink::Attr<'_>| {
        !FRA_UNCONDITIONAL.contains(&a.kind)
            || (a.kind == FRA_SUPPRESS_PREFIXLEN && a.u32() != Some(u32::MAX))
    };
    if !of_families || more || attrs.clone().flatten().any(conditional) {
        return None;
    }
    let number = |kind| attrs.find(kind).and_then(|a| a.u32());
    Some(RouteRule {
        priority: number(FRA_PRIORITY).unwrap_or(0),
        is_ipv6: family == AF_INET6,
        invert: u32::from_ne_bytes(*fixed.last_chunk()?) & FIB_RULE_INVERT != 0,
        from: ip(family, &attrs, FRA_SRC).map(|network| (network, src_len)),
        table: number(FRA_TABLE).unwrap_or(table.into()),
    })
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

    fn message(kind: u16, fixed: &[u8], fill: impl Fn(&mut Builder)) -> Vec<u8> {
        let mut b = Builder::new();
        b.begin(&Header { kind, ..Header::default() }, fixed);
        fill(&mut b);
        b.finish().unwrap()
    }

    fn read<T>(bytes: &[u8], one: impl Fn(&Message<'_>) -> Option<T>) -> Option<T> {
        one(&netlink::Messages::new(bytes).next().unwrap().unwrap())
    }

    #[test]
    fn a_route_has_the_first_of_several_ways_and_a_gateway_of_either_family() {
        let fixed = [AF_INET, 24, 0, 0, 11, 3, 0, RTN_UNICAST, 0, 0, 0, 0];
        let hop =
            |link: u8, last: u8| [&[16, 0, 0, 0, link, 0, 0, 0, 8, 0, 5, 0, 10, 0, 0][..], &[last]].concat();
        let bytes = message(RTM_NEWROUTE, &fixed, |b| b.put(RTA_MULTIPATH, &[hop(7, 1), hop(8, 2)].concat()));
        let r = read(&bytes, route).unwrap();
        assert_eq!((r.link, r.gateway, r.table), (7, Some("10.0.0.1".parse().unwrap()), 11));
        let bytes = message(RTM_NEWROUTE, &fixed, |b| {
            b.put_u32(RTA_OIF, 3);
            let via: std::net::Ipv6Addr = "fe80::1".parse().unwrap();
            b.put(RTA_VIA, &[&u16::from(AF_INET6).to_ne_bytes()[..], &via.octets()].concat());
        });
        assert_eq!(read(&bytes, route).unwrap().gateway, Some("fe80::1".parse().unwrap()));
        let cut = message(RTM_NEWROUTE, &fixed, |b| b.put(RTA_MULTIPATH, &hop(7, 1)[..12]));
        assert_eq!(read(&cut, route), None);
    }

    #[test]
    fn a_rule_is_read_unless_it_asks_for_more_than_the_origin() {
        let fixed = |src_len, action, flags: u8| [AF_INET, 0, src_len, 0, 11, 0, 0, action, flags, 0, 0, 0];
        let all = |more: &dyn Fn(&mut Builder)| {
            message(RTM_NEWRULE, &fixed(16, FR_ACT_TO_TBL, 2), |b| {
                b.put(FRA_SRC, &[10, 9, 0, 0]);
                b.put_u32(FRA_PRIORITY, 100);
                b.put_u32(FRA_TABLE, 1000);
                b.put_u32(FRA_SUPPRESS_PREFIXLEN, u32::MAX);
                more(b);
            })
        };
        let from = Some(("10.9.0.0".parse().unwrap(), 16));
        let expected = RouteRule { priority: 100, is_ipv6: false, invert: true, from, table: 1000 };
        assert_eq!(read(&all(&|_| {}), rule), Some(expected));
        assert_eq!(read(&all(&|b| b.put_u32(10, 5)), rule), None, "a mark");
        let first = message(RTM_NEWRULE, &fixed(0, FR_ACT_TO_TBL, 0), |_| {});
        let expected = RouteRule { priority: 0, is_ipv6: false, invert: false, from: None, table: 11 };
        assert_eq!(read(&first, rule), Some(expected));
        assert_eq!(read(&message(RTM_NEWRULE, &fixed(0, 6, 0), |_| {}), rule), None, "it drops");
    }

    #[test]
    fn this_machine_has_itself_as_a_route() {
        let tables = RouteTables::read().unwrap();
        for r in tables.routes.iter().filter(|r| r.is_local && !r.is_ipv6) {
            assert!(r.link != 0 && r.prefix <= 32);
        }
    }
}
