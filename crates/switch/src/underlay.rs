//! What lies under tunnels: routes, addresses of the bridges' own ports, and their neighbours.
//!
//! Where it sits: translation asks for routes and neighbours; the daemon's commands and the system's tables change them.
//! A change makes every megaflow due for translation.
//!
//! Spec: ovs-appctl(8), "Native tunnelling" commands. Next: `routes.rs`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::IpAddr;

use packet::Instant;
use wire::EthAddr;
use xlate::Route;

use crate::routes::{RouteEntry, RouteRule, Routes, TABLE_LOCAL, TABLE_MAIN, covers, masked, width};

/// Default lifetime of a neighbour, in seconds.
const AGING: u64 = 900;

/// A route as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRoute {
    /// Its table.
    pub table: u32,
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
    fn row(self, addresses: &Addresses, user: bool) -> Option<RouteEntry> {
        let NewRoute { table, network, prefix, mark, device, gateway, source } = self;
        let toward = gateway.filter(|gateway| gateway.is_ipv4() == network.is_ipv4()).unwrap_or(network);
        let source = source.or_else(|| source_on(addresses, &device, toward))?;
        let network = masked(network, prefix);
        Some(RouteEntry { table, network, prefix, mark, device, gateway, source, user })
    }
}

/// What lies under tunnels.
#[derive(Debug)]
pub struct Underlay {
    routes: Routes,
    addresses: Addresses,
    neighbours: BTreeMap<(IpAddr, String), (EthAddr, Instant)>,
    aging: u64,
    /// UDP source ports.
    ports: (u16, u16),
}

impl Default for Underlay {
    fn default() -> Self {
        Underlay {
            routes: Routes::default(),
            addresses: BTreeMap::new(),
            neighbours: BTreeMap::new(),
            aging: AGING,
            ports: (32768, 61000),
        }
    }
}

impl Underlay {
    /// The way to an address, from `source` if that is known already.
    pub fn lookup(&self, dst: IpAddr, mark: u32, source: Option<IpAddr>) -> Option<Route> {
        let best = self.routes.lookup(dst, mark, source)?;
        Some(Route { device: best.device.clone(), gateway: best.gateway, source: best.source })
    }

    /// Adds a user's route; false if its device has no address to send from.
    pub fn add_route(&mut self, new: NewRoute) -> bool {
        let row = new.row(&self.addresses, true);
        row.map(|row| self.routes.add(row)).is_some()
    }

    /// Removes a user's route; false if there is none.
    pub fn del_route(&mut self, table: u32, network: IpAddr, prefix: u8, mark: u32) -> bool {
        self.routes.del(table, network, prefix, mark)
    }

    /// Every route: those of the tables local, main and default first.
    pub fn routes(&self) -> Vec<&RouteEntry> {
        self.routes.rows()
    }

    /// Every rule, as they are asked.
    pub fn rules(&self) -> &[RouteRule] {
        self.routes.rules()
    }

    /// Adds a rule; without a priority it is asked before those that there are, but for the first.
    pub fn add_rule(&mut self, rule: RouteRule, priority: Option<u32>) {
        let priority = priority.unwrap_or_else(|| self.routes.free_priority(rule.is_ipv6));
        self.routes.add_rule(RouteRule { priority, ..rule });
    }

    /// Removes a user's first rule that is like `rule`, of any priority if none is given; false if there is none.
    pub fn del_rule(&mut self, rule: &RouteRule, priority: Option<u32>) -> bool {
        self.routes.del_rule(rule, priority)
    }

    /// Gives a device one more address, and routes to its network and itself.
    pub fn add_address(&mut self, device: &str, addr: IpAddr, prefix: u8) {
        self.addresses.entry(device.to_owned()).or_default().push((addr, prefix));
        for (prefix, table) in [(prefix, TABLE_MAIN), (width(addr), TABLE_LOCAL)] {
            let (device, source) = (device.to_owned(), Some(addr));
            let new = NewRoute { table, network: addr, prefix, mark: 0, device, gateway: None, source };
            if let Some(row) = new.row(&self.addresses, false) {
                self.routes.add_system(row);
            }
        }
    }

    /// Takes over the system's addresses, routes and rules; true if anything differs.
    pub fn set_system(&mut self, addresses: Addresses, routes: Vec<NewRoute>, rules: &[RouteRule]) -> bool {
        let rows = routes.into_iter().filter_map(|new| new.row(&addresses, false));
        let differs = self.routes.set_system(rows, rules) | (self.addresses != addresses);
        self.addresses = addresses;
        differs
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
        let (device, gateway) = (device.to_owned(), gateway.map(ip));
        NewRoute { table: TABLE_MAIN, network: ip(network), prefix, mark, device, gateway, source: None }
    }

    #[test]
    fn the_longest_prefix_leads_and_users_come_first() {
        let mut u = Underlay::default();
        u.add_address("br0", ip("1.1.2.88"), 24);
        u.add_address("br0", ip("2001:cafe::88"), 24);
        assert!(!u.add_route(to("9.0.0.0", 8, "nope", None, 0)));
        assert!(u.add_route(to("10.1.0.0", 8, "br0", Some("1.1.2.1"), 0)));
        assert!(u.add_route(to("10.0.0.0", 8, "br0", Some("1.1.2.2"), 5)));
        assert_eq!(u.lookup(ip("10.2.2.2"), 0, None).unwrap().gateway, Some(ip("1.1.2.1")));
        assert_eq!(u.lookup(ip("10.2.2.2"), 5, None).unwrap().gateway, Some(ip("1.1.2.2")));
        assert_eq!(u.lookup(ip("1.1.2.92"), 0, None).unwrap().source, ip("1.1.2.88"));
        assert_eq!(u.lookup(ip("99.1.1.1"), 0, None), None);
        let shown: Vec<String> =
            u.routes().iter().map(|r| format!("{}/{} {}", r.network, r.prefix, r.mark)).collect();
        let expected = [
            "1.1.2.88/32 0",
            "2001:cafe::88/128 0",
            "1.1.2.0/24 0",
            "2001:ca00::/24 0",
            "10.0.0.0/8 0",
            "10.0.0.0/8 5",
        ];
        assert_eq!(shown, expected);
        assert!(
            u.del_route(TABLE_MAIN, ip("10.0.0.0"), 8, 0) && !u.del_route(TABLE_MAIN, ip("10.0.0.0"), 8, 0)
        );
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
            to("4.0.0.0", 8, "br0", Some("fe80::1"), 0),
            NewRoute { table: TABLE_LOCAL, ..to("1.1.2.88", 32, "br0", None, 0) },
        ];
        assert!(u.set_system(addresses.clone(), routes.clone(), &[]));
        assert!(!u.set_system(addresses, routes, &[]), "nothing new");
        assert_eq!(u.lookup(ip("8.8.8.8"), 0, None).unwrap().source, ip("1.1.2.88"));
        assert_eq!(u.lookup(ip("2002::1"), 0, None).unwrap().source, ip("2001:cafe::88"));
        assert!(
            u.lookup(ip("4.1.1.1"), 0, None).unwrap().source.is_ipv4(),
            "by a gateway of the other family"
        );
        assert_eq!(u.routes().iter().filter(|r| r.is_local()).count(), 1);
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
