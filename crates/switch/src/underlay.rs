//! What lies under tunnels: routes, addresses of the bridges' own ports, and their neighbours.
//!
//! Where it sits: translation asks for routes and neighbours; the daemon's commands and the system's tables change them.
//! A change makes every megaflow due for translation.
//!
//! Spec: ovs-appctl(8), "Native tunnelling" commands; ovs-vswitchd(8), OVS ROUTE commands.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::IpAddr;

use packet::Instant;
use wire::EthAddr;
use xlate::Route;

/// Default lifetime of a neighbour, in seconds.
const AGING: u64 = 900;

/// A row of the route table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteEntry {
    /// Network.
    pub network: IpAddr,
    /// Bits of the network.
    pub prefix: u8,
    /// Mark that packets must have; zero is none.
    pub mark: u32,
    /// Device.
    pub device: String,
    /// Next hop.
    pub gateway: Option<IpAddr>,
    /// Address to send from.
    pub source: IpAddr,
    /// Added by a user.
    pub user: bool,
    /// An address of this machine.
    pub local: bool,
}

fn bits(addr: IpAddr) -> (u128, u8) {
    match addr {
        IpAddr::V4(a) => (u128::from(a.to_bits()) << 96, 32),
        IpAddr::V6(a) => (a.to_bits(), 128),
    }
}

fn covers(network: IpAddr, prefix: u8, addr: IpAddr) -> bool {
    let ((n, width), (a, other)) = (bits(network), bits(addr));
    let mask = if prefix == 0 { 0 } else { u128::MAX << (128 - u32::from(prefix)) };
    width == other && (n ^ a) & mask == 0
}

/// An address with its host bits zeroed.
pub fn masked(addr: IpAddr, prefix: u8) -> IpAddr {
    let mask = if prefix == 0 { 0 } else { u128::MAX << (128 - u32::from(prefix)) };
    match addr {
        IpAddr::V4(a) => {
            IpAddr::V4(((u128::from(a.to_bits()) << 96 & mask) >> 96).try_into().map_or(a, u32::into))
        }
        IpAddr::V6(a) => IpAddr::V6((a.to_bits() & mask).into()),
    }
}

/// What lies under tunnels.
#[derive(Debug)]
pub struct Underlay {
    routes: Vec<RouteEntry>,
    /// Addresses of devices, with the bits of their networks.
    addresses: BTreeMap<String, Vec<(IpAddr, u8)>>,
    neighbours: BTreeMap<(IpAddr, String), (EthAddr, Instant)>,
    aging: u64,
    /// UDP source ports.
    ports: (u16, u16),
}

impl Default for Underlay {
    fn default() -> Self {
        Underlay {
            routes: Vec::new(),
            addresses: BTreeMap::new(),
            neighbours: BTreeMap::new(),
            aging: AGING,
            ports: (32768, 61000),
        }
    }
}

impl Underlay {
    /// The way to an address.
    pub fn lookup(&self, dst: IpAddr, mark: u32) -> Option<Route> {
        let fits = |r: &&RouteEntry| covers(r.network, r.prefix, dst) && (r.mark == 0 || r.mark == mark);
        let best = self.routes.iter().filter(fits).max_by_key(|r| (r.user, r.prefix, r.mark == mark))?;
        Some(Route { device: best.device.clone(), gateway: best.gateway, source: best.source })
    }

    /// Adds a user's route; false if its device has no address to send from.
    pub fn add_route(
        &mut self,
        (network, prefix): (IpAddr, u8),
        device: &str,
        gateway: Option<IpAddr>,
        (mark, source): (u32, Option<IpAddr>),
    ) -> bool {
        let toward = gateway.unwrap_or(network);
        let Some(source) = source.or_else(|| self.source_on(device, toward)) else { return false };
        let network = masked(network, prefix);
        self.routes.retain(|r| !(r.user && (r.network, r.prefix, r.mark) == (network, prefix, mark)));
        let device = device.to_owned();
        self.routes.push(RouteEntry {
            network,
            prefix,
            mark,
            device,
            gateway,
            source,
            user: true,
            local: false,
        });
        true
    }

    /// The address of a device to send from: one in the same network if there is one.
    fn source_on(&self, device: &str, toward: IpAddr) -> Option<IpAddr> {
        let list = self.addresses.get(device)?;
        let near = list.iter().find(|(a, prefix)| covers(*a, *prefix, toward));
        near.or_else(|| list.iter().find(|(a, _)| a.is_ipv4() == toward.is_ipv4())).map(|(a, _)| *a)
    }

    /// Removes a user's route; false if there is none.
    pub fn del_route(&mut self, network: IpAddr, prefix: u8, mark: u32) -> bool {
        let network = masked(network, prefix);
        let before = self.routes.len();
        self.routes.retain(|r| !(r.user && (r.network, r.prefix, r.mark) == (network, prefix, mark)));
        self.routes.len() != before
    }

    /// `ovs/route/show`.
    pub fn show_routes(&self) -> String {
        let mut rows: Vec<&RouteEntry> = self.routes.iter().collect();
        rows.sort_by_key(|r| (r.user, r.network, r.prefix, r.mark));
        let mut out = String::from("Route Table:\n");
        for r in rows {
            let who = if r.user { "User" } else { "Cached" };
            // Writing to a string cannot fail.
            let _ = write!(out, "{who}: {}/{}", r.network, r.prefix);
            if r.mark != 0 {
                let _ = write!(out, " MARK {}", r.mark);
            }
            let _ = write!(out, " dev {}", r.device);
            if let Some(gateway) = r.gateway {
                let _ = write!(out, " GW {gateway}");
            }
            let _ = write!(out, " SRC {}", r.source);
            out += if r.local { " local\n" } else { "\n" };
        }
        out
    }

    /// Gives a device one more address, and routes to its network and itself.
    pub fn add_address(&mut self, device: &str, addr: IpAddr, prefix: u8) {
        self.addresses.entry(device.to_owned()).or_default().push((addr, prefix));
        let (_, width) = bits(addr);
        for (length, local) in [(prefix, false), (width, true)] {
            let network = masked(addr, length);
            let device = device.to_owned();
            let route = RouteEntry {
                network,
                prefix: length,
                mark: 0,
                device,
                gateway: None,
                source: addr,
                user: false,
                local,
            };
            self.routes.retain(|r| r.user || (r.network, r.prefix) != (network, length));
            self.routes.push(route);
        }
    }

    /// Takes over the system's addresses and routes; true if anything differs.
    pub fn set_system(
        &mut self,
        addresses: BTreeMap<String, Vec<(IpAddr, u8)>>,
        routes: Vec<RouteEntry>,
    ) -> bool {
        let same = self.addresses == addresses && self.routes.iter().filter(|r| !r.user).eq(&routes);
        if same {
            return false;
        }
        self.addresses = addresses;
        self.routes.retain(|r| r.user);
        self.routes.extend(routes);
        true
    }

    /// Addresses of a device.
    pub fn addresses_of(&self, device: &str) -> Vec<IpAddr> {
        self.addresses.get(device).into_iter().flatten().map(|(a, _)| *a).collect()
    }

    /// A neighbour's address.
    pub fn neighbour(&self, bridge: &str, address: IpAddr) -> Option<EthAddr> {
        self.neighbours.get(&(address, bridge.to_owned())).map(|(mac, _)| *mac)
    }

    /// Notes a neighbour's address; true if it is new.
    pub fn learn(&mut self, bridge: &str, address: IpAddr, mac: EthAddr, now: Instant) -> bool {
        let expires = now + std::time::Duration::from_secs(self.aging);
        let old = self.neighbours.insert((address, bridge.to_owned()), (mac, expires));
        old.is_none_or(|(known, _)| known != mac)
    }

    /// Forgets neighbours that were not heard of for too long; true if there were any.
    pub fn expire(&mut self, now: Instant) -> bool {
        let before = self.neighbours.len();
        self.neighbours.retain(|_, (_, expires)| *expires > now);
        self.neighbours.len() != before
    }

    /// Forgets every neighbour.
    pub fn flush_neighbours(&mut self) {
        self.neighbours.clear();
    }

    /// `tnl/neigh/show`.
    pub fn show_neighbours(&self) -> String {
        let mut out = format!("{:45} {:19} Bridge\n{}\n", "IP", "MAC", "=".repeat(74));
        for ((address, bridge), (mac, _)) in &self.neighbours {
            let _ = writeln!(out, "{:45} {:19} {bridge}", address.to_string(), mac.to_string());
        }
        out
    }

    /// Lifetime of a neighbour, in seconds.
    pub fn aging(&self) -> u64 {
        self.aging
    }

    /// Sets the lifetime of a neighbour; false if it is out of range.
    pub fn set_aging(&mut self, seconds: u64) -> bool {
        let fits = (1..=3600).contains(&seconds);
        if fits {
            self.aging = seconds;
        }
        fits
    }

    /// Range of UDP source ports.
    pub fn ports(&self) -> (u16, u16) {
        self.ports
    }

    /// Sets the range of UDP source ports.
    pub fn set_ports(&mut self, low: u16, high: u16) {
        self.ports = (low, high);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_longest_prefix_leads_and_users_come_first() {
        let mut u = Underlay::default();
        u.add_address("br0", ip("1.1.2.88"), 24);
        u.add_address("br0", ip("2001:cafe::88"), 24);
        assert!(!u.add_route((ip("9.0.0.0"), 8), "nope", None, (0, None)));
        assert!(u.add_route((ip("10.1.0.0"), 8), "br0", Some(ip("1.1.2.1")), (0, None)));
        assert!(u.add_route((ip("10.0.0.0"), 8), "br0", Some(ip("1.1.2.2")), (5, None)));
        assert_eq!(u.lookup(ip("10.2.2.2"), 0).unwrap().gateway, Some(ip("1.1.2.1")));
        assert_eq!(u.lookup(ip("10.2.2.2"), 5).unwrap().gateway, Some(ip("1.1.2.2")));
        assert_eq!(u.lookup(ip("1.1.2.92"), 0).unwrap().source, ip("1.1.2.88"));
        assert_eq!(u.lookup(ip("99.1.1.1"), 0), None);
        assert_eq!(
            u.show_routes(),
            "Route Table:\nCached: 1.1.2.0/24 dev br0 SRC 1.1.2.88\nCached: 1.1.2.88/32 dev br0 SRC 1.1.2.88 local\n\
             Cached: 2001:ca00::/24 dev br0 SRC 2001:cafe::88\n\
             Cached: 2001:cafe::88/128 dev br0 SRC 2001:cafe::88 local\n\
             User: 10.0.0.0/8 dev br0 GW 1.1.2.1 SRC 1.1.2.88\nUser: 10.0.0.0/8 MARK 5 dev br0 GW 1.1.2.2 SRC 1.1.2.88\n"
        );
        assert!(u.del_route(ip("10.0.0.0"), 8, 0) && !u.del_route(ip("10.0.0.0"), 8, 0));
    }

    #[test]
    fn neighbours_age() {
        let mut u = Underlay::default();
        let mac: EthAddr = "f8:bc:12:44:34:b6".parse().unwrap();
        assert!(u.learn("br0", ip("1.1.2.92"), mac, Instant::from_millis(0)));
        assert!(!u.learn("br0", ip("1.1.2.92"), mac, Instant::from_millis(1)));
        assert_eq!(
            u.show_neighbours(),
            "IP                                            MAC                 Bridge\n\
             ==========================================================================\n\
             1.1.2.92                                      f8:bc:12:44:34:b6   br0\n"
        );
        assert_eq!(u.neighbour("br1", ip("1.1.2.92")), None);
        assert!(!u.expire(Instant::from_millis(899_000)) && u.expire(Instant::from_millis(900_002)));
        assert_eq!(u.neighbour("br0", ip("1.1.2.92")), None);
    }
}
