//! Routes: tables by number, and the rules that say which table a packet's address of origin is looked up in.
//!
//! Where it sits: part of what lies under tunnels ([`crate::Underlay`]). Rows are the system's ("cached") or a user's; a
//! user's leads before the system's of the same table.
//!
//! A lookup asks the tables of those rules that fit, in the order of their priorities, until one has a way; in a table the
//! longest prefix leads, and of routes of one prefix that for the packet's mark.
//!
//! Spec: ovs-vswitchd(8), OVS ROUTE commands; ip-rule(8).

use std::collections::BTreeMap;
use std::net::IpAddr;

/// The table of this machine's own addresses.
pub const TABLE_LOCAL: u32 = 255;
/// The table that is meant unless another is named.
pub const TABLE_MAIN: u32 = 254;
/// The last table.
pub const TABLE_DEFAULT: u32 = 253;

/// A row of a route table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteEntry {
    /// Its table.
    pub table: u32,
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
}

impl RouteEntry {
    /// True for the system's route to an address of this machine.
    pub fn is_local(&self) -> bool {
        self.table == TABLE_LOCAL && !self.user
    }
}

/// A rule: packets from somewhere look for their way in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteRule {
    /// The lowest is asked first.
    pub priority: u32,
    /// It is of IPv6.
    pub is_ipv6: bool,
    /// It is for packets from everywhere else.
    pub invert: bool,
    /// The network that packets are from, and its bits; `None` is every one.
    pub from: Option<(IpAddr, u8)>,
    /// The table.
    pub table: u32,
    /// Added by a user.
    pub user: bool,
}

impl RouteRule {
    const fn built_in(is_ipv6: bool, priority: u32, table: u32) -> RouteRule {
        RouteRule { priority, is_ipv6, invert: false, from: None, table, user: false }
    }

    /// A packet without an address of origin is from nowhere in particular.
    fn fits(&self, source: Option<IpAddr>) -> bool {
        let from = |(network, prefix)| source.is_some_and(|source| covers(network, prefix, source));
        self.from.is_none_or(from) != self.invert
    }
}

/// Rules that are always there.
const BUILT_IN: [RouteRule; 5] = [
    RouteRule::built_in(false, 0, TABLE_LOCAL),
    RouteRule::built_in(false, 32766, TABLE_MAIN),
    RouteRule::built_in(false, 32767, TABLE_DEFAULT),
    RouteRule::built_in(true, 0, TABLE_LOCAL),
    RouteRule::built_in(true, 32766, TABLE_MAIN),
];

/// Table, bits, network, mark.
type Key = (u32, u8, IpAddr, u32);

/// Tables and rules.
#[derive(Debug)]
pub(crate) struct Routes {
    user: BTreeMap<Key, RouteEntry>,
    system: BTreeMap<Key, RouteEntry>,
    /// By priority; of the same priority the first that came leads.
    rules: Vec<RouteRule>,
}

impl Default for Routes {
    fn default() -> Self {
        let mut routes = Routes { user: BTreeMap::new(), system: BTreeMap::new(), rules: Vec::new() };
        BUILT_IN.into_iter().for_each(|rule| routes.add_rule(rule));
        routes
    }
}

fn key(row: &RouteEntry) -> Key {
    (row.table, row.prefix, row.network, row.mark)
}

fn bits(addr: IpAddr) -> (u128, u8) {
    match addr {
        IpAddr::V4(a) => (u128::from(a.to_bits()) << 96, 32),
        IpAddr::V6(a) => (a.to_bits(), 128),
    }
}

/// Bits of a whole address.
pub(crate) fn width(addr: IpAddr) -> u8 {
    bits(addr).1
}

fn mask(prefix: u8) -> u128 {
    if prefix == 0 { 0 } else { u128::MAX << (128 - u32::from(prefix)) }
}

/// True if an address is in a network.
pub(crate) fn covers(network: IpAddr, prefix: u8, addr: IpAddr) -> bool {
    let ((n, width), (a, other)) = (bits(network), bits(addr));
    width == other && (n ^ a) & mask(prefix) == 0
}

/// An address with its host bits zeroed.
pub fn masked(addr: IpAddr, prefix: u8) -> IpAddr {
    match addr {
        IpAddr::V4(a) => {
            IpAddr::V4(((u128::from(a.to_bits()) << 96 & mask(prefix)) >> 96).try_into().map_or(a, u32::into))
        }
        IpAddr::V6(a) => IpAddr::V6((a.to_bits() & mask(prefix)).into()),
    }
}

impl Routes {
    /// The row that leads to an address, from `source` if that is known already.
    pub fn lookup(&self, dst: IpAddr, mark: u32, source: Option<IpAddr>) -> Option<&RouteEntry> {
        let rules = self.rules.iter().filter(|rule| rule.is_ipv6 == dst.is_ipv6() && rule.fits(source));
        rules.map(|rule| rule.table).find_map(|table| {
            let of = |rows| longest(rows, table, dst, mark);
            of(&self.user).or_else(|| of(&self.system))
        })
    }

    /// Adds a user's row, in place of one for the same packets.
    pub fn add(&mut self, row: RouteEntry) {
        self.user.insert(key(&row), row);
    }

    /// Adds a row of the system's, unless there is one for the same packets: that has the lower metric.
    pub fn add_system(&mut self, row: RouteEntry) {
        self.system.entry(key(&row)).or_insert(row);
    }

    /// Removes a user's row; false if there is none.
    pub fn del(&mut self, table: u32, network: IpAddr, prefix: u8, mark: u32) -> bool {
        self.user.remove(&(table, prefix, masked(network, prefix), mark)).is_some()
    }

    /// Takes over the system's rows and rules; true if any differs.
    pub fn set_system(&mut self, rows: impl Iterator<Item = RouteEntry>, rules: &[RouteRule]) -> bool {
        let before = (std::mem::take(&mut self.system), self.rules.clone());
        rows.for_each(|row| self.add_system(row));
        self.rules.retain(|rule| rule.user || BUILT_IN.contains(rule));
        let other = rules.iter().filter(|rule| !BUILT_IN.contains(rule));
        other.for_each(|rule| self.add_rule(*rule));
        before != (self.system.clone(), self.rules.clone())
    }

    /// Adds a rule behind those of its priority.
    pub fn add_rule(&mut self, rule: RouteRule) {
        let at = self.rules.partition_point(|known| known.priority <= rule.priority);
        self.rules.insert(at, rule);
    }

    /// Removes a user's first rule that is like `rule`, whatever its priority if `rule` has none; false if there is none.
    pub fn del_rule(&mut self, wanted: &RouteRule, priority: Option<u32>) -> bool {
        let like = |rule: &RouteRule| {
            rule.user && RouteRule { priority: rule.priority, user: true, ..*wanted } == *rule
        };
        let fits = |rule: &RouteRule| like(rule) && priority.is_none_or(|p| p == rule.priority);
        let at = self.rules.iter().position(fits);
        at.map(|at| self.rules.remove(at)).is_some()
    }

    /// A priority that is asked before those that there are, but for the first.
    pub fn free_priority(&self, is_ipv6: bool) -> u32 {
        let own = self.rules.iter().filter(|rule| rule.is_ipv6 == is_ipv6 && rule.priority != 0);
        own.map(|rule| rule.priority).min().map_or(0, |lowest| lowest - 1)
    }

    /// Every row, those of the local table first, then main, default, and others by number.
    pub fn rows(&self) -> Vec<&RouteEntry> {
        let mut rows: Vec<&RouteEntry> = self.system.values().chain(self.user.values()).collect();
        let rank = |table: u32| match table {
            TABLE_LOCAL | TABLE_MAIN | TABLE_DEFAULT => (0, TABLE_LOCAL - table),
            other => (1, other),
        };
        rows.sort_by_key(|r| (rank(r.table), r.user, r.network, r.prefix, r.mark));
        rows
    }

    /// Every rule, in order.
    pub fn rules(&self) -> &[RouteRule] {
        &self.rules
    }
}

/// The row of a table with the longest prefix for an address.
fn longest(rows: &BTreeMap<Key, RouteEntry>, table: u32, dst: IpAddr, mark: u32) -> Option<&RouteEntry> {
    let of_table = (table, 0, IpAddr::V4(0.into()), 0)..;
    rows.range(of_table).next().filter(|((first, ..), _)| *first == table)?;
    (0..=width(dst)).rev().find_map(|prefix| {
        let of = |mark| rows.get(&(table, prefix, masked(dst, prefix), mark));
        of(mark).or_else(|| of(0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn row(table: u32, network: &str, prefix: u8, device: &str) -> RouteEntry {
        let (device, source) = (device.to_owned(), ip("192.0.2.1"));
        let network = masked(ip(network), prefix);
        RouteEntry { table, network, prefix, mark: 0, device, gateway: None, source, user: true }
    }

    fn rule(priority: u32, from: &str, prefix: u8, table: u32) -> RouteRule {
        let from = Some((ip(from), prefix));
        RouteRule { priority, is_ipv6: false, invert: false, from, table, user: true }
    }

    #[test]
    fn rules_choose_the_table() {
        let mut r = Routes::default();
        let via = |r: &Routes, source: Option<&str>| {
            r.lookup(ip("10.1.2.3"), 0, source.map(ip)).map(|row| row.device.clone())
        };
        r.add(row(TABLE_MAIN, "10.0.0.0", 8, "main"));
        r.add(row(11, "10.1.0.0", 16, "eleven"));
        r.add(row(12, "10.1.2.0", 24, "twelve"));
        assert_eq!(via(&r, Some("9.0.0.1")).as_deref(), Some("main"), "no rule names the others");
        r.add_rule(rule(100, "9.0.0.0", 8, 11));
        assert_eq!(via(&r, Some("9.0.0.1")).as_deref(), Some("eleven"));
        assert_eq!(via(&r, Some("8.0.0.1")).as_deref(), Some("main"));
        assert_eq!(via(&r, None).as_deref(), Some("main"));
        r.add_rule(RouteRule { invert: true, ..rule(99, "9.0.0.0", 8, 12) });
        assert_eq!(via(&r, Some("8.0.0.1")).as_deref(), Some("twelve"));
        assert_eq!(via(&r, None).as_deref(), Some("twelve"), "from nowhere is not from 9.0.0.0/8");
        // A table without a way leaves it to the next rule.
        assert!(r.del(12, ip("10.1.2.9"), 24, 0) && !r.del(12, ip("10.1.2.9"), 24, 0));
        assert_eq!(via(&r, Some("8.0.0.1")).as_deref(), Some("main"));
        assert!(
            r.del_rule(&rule(0, "9.0.0.0", 8, 11), None) && !r.del_rule(&rule(0, "9.0.0.0", 8, 11), None)
        );
        assert_eq!(via(&r, Some("9.0.0.1")).as_deref(), Some("main"));
    }

    #[test]
    fn priorities_are_given_out_downwards() {
        let mut r = Routes::default();
        assert_eq!(r.free_priority(false), 32765);
        r.add_rule(rule(32765, "9.0.0.0", 8, 11));
        assert_eq!((r.free_priority(false), r.free_priority(true)), (32764, 32765));
        assert!(!r.del_rule(&rule(0, "9.0.0.0", 8, 11), Some(5)));
        assert!(r.del_rule(&rule(0, "9.0.0.0", 8, 11), Some(32765)));
        assert!(!r.del_rule(&RouteRule::built_in(false, 0, TABLE_LOCAL), None), "it stays");
    }

    #[test]
    fn the_systems_rows_and_rules_are_replaced_and_users_stay() {
        let mut r = Routes::default();
        let cached = |table, network: &str, device: &str| RouteEntry {
            user: false,
            ..row(table, network, 24, device)
        };
        r.add(row(TABLE_MAIN, "10.0.0.0", 8, "user"));
        r.add_rule(rule(7, "9.0.0.0", 8, 11));
        let systems = RouteRule { user: false, ..rule(8, "7.0.0.0", 8, 12) };
        let rows = || [cached(12, "10.1.1.0", "near"), cached(12, "10.1.1.0", "far")].into_iter();
        let of_kernel = [BUILT_IN[0], systems, BUILT_IN[1]];
        assert!(r.set_system(rows(), &of_kernel) && !r.set_system(rows(), &of_kernel));
        let from_seven = Some(ip("7.1.1.1"));
        let found = |r: &Routes| r.lookup(ip("10.1.1.1"), 0, from_seven).map(|row| row.device.clone());
        assert_eq!(found(&r).as_deref(), Some("near"), "of the same prefix the first that the kernel lists");
        assert_eq!(r.rules().len(), BUILT_IN.len() + 2);
        assert!(r.set_system([].into_iter(), &[]));
        assert_eq!(found(&r).as_deref(), Some("user"));
        assert_eq!(r.rules().len(), BUILT_IN.len() + 1);
    }
}
