//! Choosing the translated tuple of a new connection.
//!
//! Where it sits: `commit.rs` walks [`Candidates`] until one is free in the table.
//!
//! ~~~text
//!   address ──► its ports, from a hash or random start, around the range ──► next address ──► … ──► exhausted
//! ~~~
//!
//! With a range of ports only those are tried; without one the connection's own port first, then those after it and
//! the ephemeral ones. Destination translation whose ports are all taken changes the source port as well. The number of tries is
//! bounded, because the packet waits.
//!
//! Spec: ovs-actions(7), "nat".

use crate::action::{Nat, NatKind, PortChoice};
use crate::hash::Seed;
use crate::tuple::Tuple;

/// Tries for one packet, over all addresses.
const MAX_TRIES: u32 = 2048;
/// Addresses tried for one packet.
const MAX_ADDRESSES: u128 = 64;
const EPHEMERAL: (u16, u16) = (1024, u16::MAX);

/// A range of ports, walked around from a start.
#[derive(Clone, Copy, Debug)]
struct Ports {
    low: u16,
    count: u32,
    first: u16,
    step: u32,
}

impl Ports {
    /// A walk around `range` from `first`, which widens the range if it is not in it.
    fn new(range: (u16, u16), first: u16) -> Ports {
        let low = range.0.min(range.1).min(first);
        let high = range.0.max(range.1).max(first);
        Ports { low, count: u32::from(high - low) + 1, first, step: 0 }
    }

    fn one(port: u16) -> Ports {
        Ports::new((port, port), port)
    }

    fn next(&mut self) -> Option<u16> {
        let n = self.step;
        self.step += 1;
        let at = u32::from(self.first - self.low) + n;
        (n < self.count).then(|| self.low.wrapping_add((at % self.count) as u16))
    }
}

/// The tuples that the packets of a new connection may get.
#[derive(Debug)]
pub(crate) struct Candidates<'a> {
    orig: &'a Tuple,
    nat: &'a Nat,
    kind: NatKind,
    hash: u64,
    address: u128,
    addresses_left: u128,
    dst_ports: Ports,
    src_ports: Ports,
    changes_src: bool,
    tries: u32,
}

impl<'a> Candidates<'a> {
    /// Candidates for the connection `orig`; `None` if `nat` translates nothing of it.
    pub(crate) fn new(orig: &'a Tuple, nat: &'a Nat, seed: Seed, random: u64) -> Option<Candidates<'a>> {
        let kind = nat.kind?;
        if nat.addr.is_some_and(|_| nat.is_ipv6 != orig.is_ipv6) {
            return None;
        }
        // A persistent choice must not depend on what changes with a restart.
        let fixed = Seed::new([0, 0]).choice(&Tuple { src_port: 0, dst_port: 0, ..*orig });
        let hash = match nat.choice {
            PortChoice::Hash => seed.choice(orig),
            PortChoice::Random => random,
        };
        let (low, count) = address_range(orig, nat, kind);
        let start = if nat.persistent { fixed } else { hash } as u128 % count;
        let mut all = Candidates {
            orig,
            nat,
            kind,
            hash,
            address: low + start,
            addresses_left: count.min(MAX_ADDRESSES),
            dst_ports: Ports::one(orig.dst_port),
            src_ports: Ports::one(orig.src_port),
            changes_src: kind == NatKind::Src,
            tries: 0,
        };
        all.begin_address();
        Some(all)
    }

    /// Sets both walks to their start.
    fn begin_address(&mut self) {
        let own = (self.orig.src_port, self.orig.dst_port);
        let chosen = |range: (u16, u16)| {
            let count = u64::from(range.1.abs_diff(range.0)) + 1;
            Ports::new(range, range.0.min(range.1) + (self.hash % count) as u16)
        };
        (self.src_ports, self.dst_ports) = match (self.orig.has_ports(), self.kind, self.nat.port) {
            (false, _, _) => (Ports::one(own.0), Ports::one(own.1)),
            (true, NatKind::Src, Some(range)) => (chosen(range), Ports::one(own.1)),
            (true, NatKind::Src, None) => (Ports::new(EPHEMERAL, own.0), Ports::one(own.1)),
            (true, NatKind::Dst, Some(range)) => (Ports::new(EPHEMERAL, own.0), chosen(range)),
            (true, NatKind::Dst, None) => (Ports::new(EPHEMERAL, own.0), Ports::one(own.1)),
        };
        self.changes_src = self.kind == NatKind::Src;
    }

    fn next_address(&mut self) -> bool {
        self.addresses_left = self.addresses_left.saturating_sub(1);
        if self.addresses_left == 0 {
            return false;
        }
        let (low, count) = address_range(self.orig, self.nat, self.kind);
        self.address = low + (self.address - low + 1) % count;
        self.begin_address();
        true
    }

    fn next_ports(&mut self) -> Option<(u16, u16)> {
        if !self.changes_src {
            if let Some(dst) = self.dst_ports.next() {
                return Some((self.orig.src_port, dst));
            }
            if !self.orig.has_ports() {
                return None;
            }
            // All of the destination's are taken: the source's are tried with the first of them.
            self.changes_src = true;
        }
        let dst = self.dst_ports.first;
        self.src_ports.next().map(|src| (src, dst))
    }
}

/// The lowest address and how many there are.
fn address_range(orig: &Tuple, nat: &Nat, kind: NatKind) -> (u128, u128) {
    let own = if kind == NatKind::Src { orig.src } else { orig.dst };
    match nat.addr {
        // All zeros: the own address, translated only in its port, and only when that is taken.
        None | Some((0, _)) => (own, 1),
        Some((low, high)) => (low, high.saturating_sub(low).saturating_add(1)),
    }
}

impl Iterator for Candidates<'_> {
    /// What packets of the original direction become.
    type Item = Tuple;

    fn next(&mut self) -> Option<Tuple> {
        self.tries += 1;
        if self.tries > MAX_TRIES {
            return None;
        }
        loop {
            let ports = self.next_ports();
            if let Some((src_port, dst_port)) = ports {
                let mut to = Tuple { src_port, dst_port, ..*self.orig };
                match self.kind {
                    NatKind::Src => to.src = self.address,
                    NatKind::Dst => to.dst = self.address,
                }
                return Some(to);
            }
            if !self.next_address() {
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    const ORIG: Tuple = Tuple {
        src: 1,
        dst: 2,
        src_port: 5,
        dst_port: 80,
        zone: 0,
        proto: 17,
        is_ipv6: false,
        icmp_type: 0,
        icmp_code: 0,
    };

    fn all(nat: &Nat) -> Vec<(u128, u16, u128, u16)> {
        let seed = Seed::new([3, 4]);
        Candidates::new(&ORIG, nat, seed, 9)
            .unwrap()
            .map(|t| (t.src, t.src_port, t.dst, t.dst_port))
            .collect()
    }

    #[test]
    fn a_range_of_ports_is_tried_once_each_and_nothing_else() {
        let nat =
            Nat { kind: Some(NatKind::Src), addr: Some((100, 101)), port: Some((30, 34)), ..Nat::default() };
        let mut got = all(&nat);
        assert_eq!(got.len(), 10);
        got.sort();
        let want: Vec<_> = (100..102).flat_map(|a| (30..35).map(move |p| (a, p, 2, 80))).collect();
        assert_eq!(got, want);
    }

    #[test]
    fn without_a_range_the_own_port_comes_first_and_then_ephemeral_ones() {
        let nat = Nat { kind: Some(NatKind::Src), addr: Some((100, 100)), ..Nat::default() };
        let got = all(&nat);
        assert_eq!(&got[..3], [(100, 5, 2, 80), (100, 6, 2, 80), (100, 7, 2, 80)]);
        assert_eq!(got.len(), MAX_TRIES as usize);
    }

    #[test]
    fn destination_ports_run_out_before_source_ports_change() {
        let nat =
            Nat { kind: Some(NatKind::Dst), addr: Some((100, 100)), port: Some((7, 7)), ..Nat::default() };
        assert_eq!(&all(&nat)[..3], [(1, 5, 100, 7), (1, 5, 100, 7), (1, 6, 100, 7)]);
    }

    #[test]
    fn zeros_keep_the_address() {
        let nat = Nat { kind: Some(NatKind::Src), addr: Some((0, 0)), ..Nat::default() };
        assert_eq!(all(&nat)[0], (1, 5, 2, 80));
    }

    #[test]
    fn other_protocols_have_addresses_only() {
        let ping = Tuple { proto: 1, icmp_type: 8, src_port: 7, dst_port: 7, ..ORIG };
        let nat =
            Nat { kind: Some(NatKind::Src), addr: Some((100, 102)), port: Some((1, 9)), ..Nat::default() };
        let got: Vec<_> = Candidates::new(&ping, &nat, Seed::new([1, 1]), 0).unwrap().collect();
        assert_eq!(got.len(), 3);
        assert!(got.iter().all(|t| t.src_port == 7 && t.dst_port == 7));
    }
}
