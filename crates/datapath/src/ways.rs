//! Ways to the ends of tunnels, and the host's own addresses: what the host said of them.
//!
//! Where it sits: for hosts that answer [`crate::Host::next_hop`] from a table. Packets look here and never wait; what is not
//! known is noted, and found out where the host may wait for a neighbour's answer: at PASSIVE_LEVEL, or in a thread of its own.
//!
//! ~~~text
//!            find              want                       learn
//!   packet ───────► known? ──────────► wanted ──► host ──────────► known
//!                                        ▲         │
//!                                        └─────────┘ memory is short
//! ~~~
//!
//! I1  Everything is bounded: of known ways the oldest makes way, and what is wanted beyond the bound is wanted again by
//!     the next packet.
//! I2  What is in doubt, because it is old or the host changed, serves until there is an answer.

use alloc::vec::Vec;

use packet::Instant;
use sync::RwSpin;
use wire::EthAddr;

use crate::TunnelDst;

/// Ways that are remembered.
const KNOWN: usize = 1024;
/// Ways that are waited for.
const WANTED: usize = 64;
/// How long a way is trusted, and how long one that does not exist is not looked for.
const TRUST_NS: u64 = 10_000_000_000;
const PATIENCE_NS: u64 = 1_000_000_000;

/// An IP address; of IPv4 in the low 32 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// Its bits.
    pub bits: u128,
    /// It is IPv6.
    pub is_ipv6: bool,
}

impl Address {
    /// The one of two that a tunnel's fields have.
    pub fn of_ends(v4: u32, v6: u128) -> Address {
        if v6 != 0 {
            Address { bits: v6, is_ipv6: true }
        } else {
            Address { bits: v4.into(), is_ipv6: false }
        }
    }
}

/// The ends of a tunnel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct End {
    /// The other one.
    pub to: Address,
    /// This one; zero if the host chooses.
    pub from: Address,
    /// The packet's mark, by which routes may be chosen.
    pub mark: u32,
}

impl End {
    /// What a tunnel's fields, and the packet's mark, say.
    pub fn of(dst: &TunnelDst<'_>) -> End {
        let key = dst.key;
        let (to, from) = (Address::of_ends(key.dst, key.ipv6_dst), Address::of_ends(key.src, key.ipv6_src));
        End { to, from, mark: dst.mark }
    }
}

/// A way: by what of the host's (an adapter, a port), to whom, and from which address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way<P> {
    /// The host's name for what it sends by.
    pub by: P,
    /// The neighbour's address.
    pub eth_dst: EthAddr,
    /// The address to send from (IPv4 in the low 32 bits).
    pub from: u128,
}

#[derive(Debug)]
struct Known<P> {
    end: End,
    way: Option<Way<P>>,
    at: Instant,
    in_doubt: bool,
}

/// How far the host's own addresses are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    Known,
    Doubted,
    /// The host is being asked.
    Asked,
}

#[derive(Debug)]
struct Table<P> {
    /// Sorted by end.
    known: Vec<Known<P>>,
    wanted: Vec<End>,
    own: Vec<Address>,
    own_is: Trust,
    /// How often the host changed.
    changes: u64,
}

/// All of it.
pub struct Ways<P>(RwSpin<Table<P>>);

impl<P: Copy> Ways<P> {
    /// Nothing known; `None` if memory is short.
    pub fn try_new() -> Option<Ways<P>> {
        let (mut known, mut wanted) = (Vec::new(), Vec::new());
        known.try_reserve_exact(KNOWN).ok()?;
        wanted.try_reserve_exact(WANTED).ok()?;
        Some(Ways(RwSpin::new(Table { known, wanted, own: Vec::new(), own_is: Trust::Doubted, changes: 0 })))
    }

    /// What is known of a way (`Some(None)`: there is none), and whether the host should be asked.
    pub fn find(&self, end: &End, now: Instant) -> (Option<Option<Way<P>>>, bool) {
        let table = self.0.read();
        if table.own_is == Trust::Known && table.own.is_empty() {
            // A host without an address here has no way anywhere.
            return (Some(None), false);
        }
        let found = table.known.binary_search_by_key(end, |k| k.end).ok().and_then(|at| table.known.get(at));
        let Some(known) = found else { return (None, true) };
        let trusted = if known.way.is_some() { TRUST_NS } else { PATIENCE_NS };
        (Some(known.way), known.in_doubt || now.0.saturating_sub(known.at.0) > trusted)
    }

    /// Notes that a way is wanted, unless it is noted already, or too much is; true if it was noted now.
    pub fn want(&self, end: &End) -> bool {
        let mut table = self.0.write();
        let is_new = table.wanted.len() < WANTED && !table.wanted.contains(end);
        if is_new {
            table.wanted.push(*end);
        }
        is_new
    }

    /// Takes one of the wanted ways, and how often the host had changed when it was asked for it.
    pub fn next_wanted(&self) -> Option<(End, u64)> {
        let mut table = self.0.write();
        let changes = table.changes;
        table.wanted.pop().map(|end| (end, changes))
    }

    /// How often the host has changed: to be asked before the host is, for a way that was not taken from those wanted.
    pub fn changes(&self) -> u64 {
        self.0.read().changes
    }

    /// Remembers what the host said. What changed since it was asked is in doubt at once.
    pub fn learn(&self, (end, asked): (End, u64), way: Option<Way<P>>, at: Instant) {
        let mut table = self.0.write();
        let new = Known { end, way, at, in_doubt: asked != table.changes };
        let known = &mut table.known;
        if let Ok(at) = known.binary_search_by_key(&end, |k| k.end)
            && let Some(old) = known.get_mut(at)
        {
            *old = new;
            return;
        }
        if known.len() >= KNOWN
            && let Some((oldest, _)) = known.iter().enumerate().min_by_key(|(_, k)| k.at)
        {
            known.remove(oldest);
        }
        let at = known.partition_point(|k| k.end < end);
        known.insert(at, new);
    }

    /// Nothing is sure any more.
    pub fn distrust(&self) {
        let mut table = self.0.write();
        table.known.iter_mut().for_each(|k| k.in_doubt = true);
        table.own_is = Trust::Doubted;
        table.changes = table.changes.wrapping_add(1);
    }

    /// What hangs on ways like this is not sure any more.
    pub fn doubt(&self, mut is_like: impl FnMut(&Way<P>) -> bool) {
        let mut table = self.0.write();
        table.known.iter_mut().for_each(|k| k.in_doubt |= k.way.as_ref().is_some_and(&mut is_like));
        table.changes = table.changes.wrapping_add(1);
    }

    /// Forgets ways like this.
    pub fn forget(&self, mut is_like: impl FnMut(&Way<P>) -> bool) {
        let mut table = self.0.write();
        table.known.retain(|k| !k.way.as_ref().is_some_and(&mut is_like));
        table.changes = table.changes.wrapping_add(1);
    }

    /// Calls `f` with each end to which there is a way, and the way.
    pub fn for_each(&self, mut f: impl FnMut(&End, &Way<P>)) {
        let table = self.0.read();
        table.known.iter().filter_map(|k| Some((&k.end, k.way.as_ref()?))).for_each(|(end, way)| f(end, way));
    }

    /// True if there is something to ask the host for.
    pub fn want_answers(&self) -> bool {
        let table = self.0.read();
        table.own_is == Trust::Doubted || !table.wanted.is_empty()
    }

    /// Begins to ask for the host's own addresses; false if they are known.
    pub fn begin_own(&self) -> bool {
        let mut table = self.0.write();
        core::mem::replace(&mut table.own_is, Trust::Asked) != Trust::Known || {
            table.own_is = Trust::Known;
            false
        }
    }

    /// Takes the answer over, or that there was none; returns what it replaces, to be freed. What changed meanwhile is still
    /// in doubt.
    pub fn end_own(&self, own: Option<Vec<Address>>) -> Option<Vec<Address>> {
        let mut table = self.0.write();
        let Some(own) = own else {
            table.own_is = Trust::Doubted;
            return None;
        };
        if table.own_is == Trust::Asked {
            table.own_is = Trust::Known;
        }
        Some(core::mem::replace(&mut table.own, own))
    }

    /// True for an address of the host's.
    pub fn is_own(&self, address: Address) -> bool {
        self.0.read().own.contains(&address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(n: u32) -> End {
        End { to: Address::of_ends(n, 0), from: Address::default(), mark: 0 }
    }

    fn way(n: u8) -> Option<Way<u8>> {
        Some(Way { by: n, eth_dst: EthAddr([2, 0, 0, 0, 0, n]), from: 1 })
    }

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn what_is_in_doubt_serves_until_there_is_an_answer() {
        let ways = Ways::<u8>::try_new().unwrap();
        let now = Instant(SECOND);
        assert_eq!(ways.find(&end(7), now), (None, true));
        ways.want(&end(7));
        ways.want(&end(7));
        assert_eq!((ways.next_wanted(), ways.next_wanted()), (Some((end(7), 0)), None));
        ways.learn((end(7), 0), way(1), now);
        assert_eq!(ways.find(&end(7), now), (Some(way(1)), false));
        assert_eq!(ways.find(&end(7), Instant(12 * SECOND)), (Some(way(1)), true), "old");
        ways.distrust();
        assert_eq!(ways.find(&end(7), now), (Some(way(1)), true));
        ways.learn((end(7), 0), way(2), now);
        assert_eq!(ways.find(&end(7), now), (Some(way(2)), true), "asked before the change");
        ways.learn((end(7), 1), None, now);
        assert_eq!(ways.find(&end(7), now), (Some(None), false), "no way, for a while");
        assert_eq!(ways.find(&end(7), Instant(3 * SECOND)), (Some(None), true));
    }

    #[test]
    fn some_ways_are_doubted_or_forgotten_and_answers_under_way_with_them() {
        let ways = Ways::<u8>::try_new().unwrap();
        let now = Instant(SECOND);
        for n in 1..=3 {
            ways.learn((end(n), ways.changes()), way(n as u8), now);
        }
        let asked = ways.changes();
        ways.doubt(|way| way.by == 1);
        ways.forget(|way| way.by == 2);
        let found: Vec<_> = (1..=3).map(|n| ways.find(&end(n), now)).collect();
        assert_eq!(found, [(Some(way(1)), true), (None, true), (Some(way(3)), false)]);
        ways.learn((end(2), asked), way(2), now);
        assert_eq!(ways.find(&end(2), now), (Some(way(2)), true), "asked before");
        let mut left = Vec::new();
        ways.for_each(|end, way| left.push((end.to.bits, way.by)));
        assert_eq!(left, [(1, 1), (2, 2), (3, 3)]);
    }

    #[test]
    fn everything_is_bounded_and_the_oldest_makes_way() {
        let ways = Ways::<u8>::try_new().unwrap();
        let noted = (0..2 * WANTED as u32).filter(|n| ways.want(&end(*n))).count();
        assert_eq!(noted, WANTED);
        assert_eq!(core::iter::from_fn(|| ways.next_wanted()).count(), WANTED);
        for n in 0..KNOWN as u32 + 5 {
            ways.learn((end(n ^ 1), 0), way(1), Instant(n.into()));
        }
        let gone: Vec<u32> =
            (0..KNOWN as u32 + 6).filter(|n| ways.find(&end(*n), Instant(0)).0.is_none()).collect();
        assert_eq!(gone, [0, 1, 2, 3, 5, 1028], "the five first that were learned, and one that never was");
    }

    #[test]
    fn what_is_open_is_asked_again() {
        let ways = Ways::<u8>::try_new().unwrap();
        assert!(ways.want_answers() && ways.begin_own());
        ways.distrust();
        ways.end_own(Some(alloc::vec![Address::of_ends(9, 0)]));
        assert!(ways.is_own(Address::of_ends(9, 0)) && ways.want_answers());
        assert!(ways.begin_own());
        ways.end_own(Some(alloc::vec![]));
        assert!(!ways.is_own(Address::of_ends(9, 0)) && !ways.want_answers() && !ways.begin_own());
        ways.want(&end(7));
        assert!(ways.want_answers(), "also without another packet");
    }
}
