//! Rules and packets of the shapes that ClassBench has made known, from a seed: access lists, firewalls, chains.
//!
//! Where it sits: shared by the measurements of `classifier` and `datapath`. A generator of our own: no seed files. Rules
//! are of addresses, ports and protocol, as ClassBench's; a range of ports is one or several prefixes, as in a flow table.
//! Packets of a trace each match one rule, and repeat as flows do.
#![allow(dead_code, reason = "each measurement uses its part")]

use flow::{FlowKey, Match, slot};

/// A generator of numbers (splitmix64).
pub struct Numbers(pub u64);

impl Numbers {
    /// The next.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ x >> 31
    }

    /// One below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    /// One of a list, by its weight.
    fn pick<T: Copy>(&mut self, list: &[(u64, T)]) -> T {
        let mut at = self.below(list.iter().map(|(weight, _)| weight).sum());
        for (weight, value) in list {
            match at.checked_sub(*weight) {
                Some(left) => at = left,
                None => return *value,
            }
        }
        list[0].1
    }
}

/// A shape of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// An access list: sources in networks, destinations mostly whole, known ports.
    Acl,
    /// A firewall: many wildcards, ranges of ports.
    Fw,
    /// A chain of both.
    Ipc,
}

/// Lengths of prefixes with their weights: source and destination.
type Lengths = (&'static [(u64, u32)], &'static [(u64, u32)]);

impl Shape {
    fn lengths(self) -> Lengths {
        match self {
            Shape::Acl => {
                (&[(5, 0), (10, 16), (25, 24), (20, 28), (40, 32)], &[(5, 16), (20, 24), (15, 27), (60, 32)])
            }
            Shape::Fw => {
                (&[(45, 0), (10, 8), (10, 16), (15, 24), (20, 32)], &[(25, 0), (10, 16), (20, 24), (45, 32)])
            }
            Shape::Ipc => {
                (&[(10, 0), (15, 16), (20, 20), (20, 24), (35, 32)], &[(10, 0), (15, 16), (25, 24), (50, 32)])
            }
        }
    }

    /// Weights of a source and a destination port that are any, one, or a range.
    fn ports(self) -> [[(u64, u8); 3]; 2] {
        match self {
            Shape::Acl => [[(99, 0), (1, 1), (0, 2)], [(20, 0), (65, 1), (15, 2)]],
            Shape::Fw => [[(60, 0), (20, 1), (20, 2)], [(30, 0), (35, 1), (35, 2)]],
            Shape::Ipc => [[(60, 0), (30, 1), (10, 2)], [(40, 0), (45, 1), (15, 2)]],
        }
    }
}

/// A rule: its match and priority.
#[derive(Clone)]
pub struct Rule {
    /// What it matches.
    pub matched: Match,
    /// Higher wins.
    pub priority: u32,
}

/// Value and mask of a port: any, one of the well known, or a prefix of some range.
fn port(numbers: &mut Numbers, kinds: &[(u64, u8)]) -> (u16, u16) {
    match numbers.pick(kinds) {
        0 => (0, 0),
        1 => {
            (numbers.pick(&[(5, 80), (4, 443), (3, 53), (2, 22), (2, 25), (1, 8080), (3, 0)]) as u16, 0xffff)
        }
        _ => {
            // 1024 to 65535 is six prefixes; others are shorter ranges.
            let bits = numbers.pick(&[(4, 1), (4, 2), (4, 3), (4, 6), (2, 10), (2, 13)]);
            let mask = u16::MAX << (16 - bits);
            ((numbers.below(0x1_0000) as u16) & mask, mask)
        }
    }
}

/// `n` rules of a shape, the first with the highest priority. Networks come from few pools, as those of one site do.
pub fn rules(shape: Shape, n: usize, seed: u64) -> Vec<Rule> {
    let mut numbers = Numbers(seed);
    let pools: Vec<u32> = (0..n / 20 + 8).map(|_| numbers.next() as u32).collect();
    let (src, dst) = shape.lengths();
    let [src_ports, dst_ports] = shape.ports();
    let address = |numbers: &mut Numbers, lengths: &[(u64, u32)]| {
        let len = numbers.pick(lengths);
        let mask = u32::MAX.checked_shl(32 - len).unwrap_or(0);
        let pool = pools[numbers.below(pools.len() as u64) as usize];
        ((pool ^ numbers.below(1 << 12) as u32) & mask, mask)
    };
    (0..n)
        .map(|i| {
            let mut m = Match::ANY;
            m.set_exact(slot::eth_type, 0x800);
            let (value, mask) = address(&mut numbers, src);
            m.set_masked(slot::nw_src, value.into(), mask.into());
            let (value, mask) = address(&mut numbers, dst);
            m.set_masked(slot::nw_dst, value.into(), mask.into());
            let proto = numbers.pick(&[(70, 6u8), (25, 17), (5, 0)]);
            if proto != 0 {
                m.set_exact(slot::nw_proto, proto.into());
                let (value, mask) = port(&mut numbers, &src_ports);
                m.set_masked(slot::tp_src, value.into(), mask.into());
                let (value, mask) = port(&mut numbers, &dst_ports);
                m.set_masked(slot::tp_dst, value.into(), mask.into());
            }
            Rule { matched: m, priority: (n - i) as u32 }
        })
        .collect()
}

/// `n` rules spread over `tables` masks evenly, with priorities of no order, as Open vSwitch's own benchmark has them.
pub fn spread(n: usize, tables: usize, seed: u64) -> Vec<Rule> {
    let mut numbers = Numbers(seed);
    (0..n)
        .map(|i| {
            let (table, mut m) = ((i % tables) as u32, Match::ANY);
            m.set_exact(slot::eth_type, 0x800);
            m.set_exact(slot::nw_proto, 6);
            let mask = u32::MAX << (table % 16);
            m.set_masked(slot::nw_src, (numbers.next() as u32 & mask).into(), mask.into());
            if table >= 16 {
                let mask = u32::MAX << (table / 16 * 2);
                m.set_masked(slot::nw_dst, (numbers.next() as u32 & mask).into(), mask.into());
            }
            Rule { matched: m, priority: 1 + numbers.below(1000) as u32 }
        })
        .collect()
}

/// `n` keys of TCP and UDP packets over IPv4, each of which some rule matches.
pub fn trace(rules: &[Rule], n: usize, seed: u64) -> Vec<FlowKey> {
    let mut numbers = Numbers(seed ^ 0x5eed);
    (0..n)
        .map(|_| {
            let rule = &rules[numbers.below(rules.len() as u64) as usize].matched;
            let mut key = FlowKey::ZERO;
            let fill = |slot, noise: u64| {
                let mask = rule.wc.get(slot);
                (rule.key.get(slot) & mask) | (u128::from(noise) & slot.max() & !mask)
            };
            let fields = [slot::nw_src, slot::nw_dst, slot::tp_src, slot::tp_dst];
            let values = fields.map(|slot| fill(slot, numbers.next()));
            for (slot, value) in fields.into_iter().zip(values) {
                key.set(slot, value);
            }
            let proto = if rule.wc.nw_proto() == 0 { 17 } else { rule.key.nw_proto() };
            key.set_nw_proto(proto);
            key.set_eth_type(0x800);
            key.set_nw_ttl(64);
            key
        })
        .collect()
}
