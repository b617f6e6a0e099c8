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

/// A route as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRoute {
    /// Network; bits of hosts are ignored.
    pub network: IpAddr,
    /// Bits of the network.
    pub prefix: u8,
    /// Mark that packets must have; zero is none.
    pub mark: u32,
    /// Device.
    pub device: String,
    /// Next hop.
    pub gateway: Option<IpAddr>,
    /// Address to send from; without one, one of the device's.
    pub source: Option<IpAddr>,
}

/// Addresses of devices, with the bits of their networks.
pub type Addresses = BTreeMap<String, Vec<(IpAddr, u8)>>;

/// The address of a device to send from: one in the same network if there is one.
fn source_on(addresses: &Addresses, device: &str, toward: IpAddr) -> Option<IpAddr> {
    let list = addresses.get(device)?;
    let near = list.iter().find(|(a, prefix)| covers(*a, *prefix, toward));
    near.or_else(|| list.iter().find(|(a, _)| a.is_ipv4() == toward.is_ipv4())).map(|(a, _)| *a)
}

impl NewRoute {
    /// The table's row; none if the device has no address to send from.
    fn row(self, addresses: &Addresses) -> Option<RouteEntry> {
        let NewRoute { network, prefix, mark, device, gateway, source } = self;
        let source = source.or_else(|| source_on(addresses, &device, gateway.unwrap_or(network)))?;
        let network = masked(network, prefix);
        Some(RouteEntry { network, prefix, mark, device, gateway, source, user: false, local: false })
    }
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
    addresses: Addresses,
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
    pub fn add_route(&mut self, new: NewRoute) -> bool {
        let Some(row) = new.row(&self.addresses) else { return false };
        self.del_route(row.network, row.prefix, row.mark);
        self.routes.push(RouteEntry { user: true, ..row });
        true
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
        for (prefix, local) in [(prefix, false), (width, true)] {
            let (device, source) = (device.to_owned(), Some(addr));
            let new = NewRoute { network: addr, prefix, mark: 0, device, gateway: None, source };
            if let Some(row) = new.row(&self.addresses) {
                self.routes.retain(|r| r.user || (r.network, r.prefix) != (row.network, row.prefix));
                self.routes.push(RouteEntry { local, ..row });
            }
        }
    }

    /// Takes over the system's addresses and routes, those of `local` to addresses of this machine; true if anything
    /// differs.
    pub fn set_system(&mut self, addresses: Addresses, routes: Vec<NewRoute>, local: Vec<NewRoute>) -> bool {
        let row = |new: NewRoute| new.row(&addresses);
        let own = local.into_iter().filter_map(row).map(|row| RouteEntry { local: true, ..row });
        let rows: Vec<RouteEntry> = routes.into_iter().filter_map(row).chain(own).collect();
        let same = self.addresses == addresses && self.routes.iter().filter(|r| !r.user).eq(&rows);
        if same {
            return false;
        }
        self.addresses = addresses;
        self.routes.retain(|r| r.user);
        self.routes.extend(rows);
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

    fn to(network: &str, prefix: u8, device: &str, gateway: Option<&str>, mark: u32) -> NewRoute {
        let device = device.to_owned();
        NewRoute { network: ip(network), prefix, mark, device, gateway: gateway.map(ip), source: None }
    }

    #[test]
    fn the_longest_prefix_leads_and_users_come_first() {
        let mut u = Underlay::default();
        u.add_address("br0", ip("1.1.2.88"), 24);
        u.add_address("br0", ip("2001:cafe::88"), 24);
        assert!(!u.add_route(to("9.0.0.0", 8, "nope", None, 0)));
        assert!(u.add_route(to("10.1.0.0", 8, "br0", Some("1.1.2.1"), 0)));
        assert!(u.add_route(to("10.0.0.0", 8, "br0", Some("1.1.2.2"), 5)));
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
    fn the_systems_routes_leave_from_an_address_of_their_network() {
        let mut u = Underlay::default();
        let list = vec![(ip("10.9.0.1"), 16), (ip("1.1.2.88"), 24), (ip("2001:cafe::88"), 64)];
        let addresses = Addresses::from([("br0".to_owned(), list)]);
        let routes = vec![
            to("0.0.0.0", 0, "br0", Some("1.1.2.1"), 0),
            to("::", 0, "br0", None, 0),
            to("3.0.0.0", 8, "none", None, 0),
        ];
        let local = vec![to("1.1.2.88", 32, "br0", None, 0)];
        assert!(u.set_system(addresses.clone(), routes.clone(), local.clone()));
        assert!(!u.set_system(addresses, routes, local), "nothing new");
        assert_eq!(u.lookup(ip("8.8.8.8"), 0).unwrap().source, ip("1.1.2.88"));
        assert_eq!(u.lookup(ip("2002::1"), 0).unwrap().source, ip("2001:cafe::88"));
        assert_eq!(u.show_routes().matches(" local").count(), 1);
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
