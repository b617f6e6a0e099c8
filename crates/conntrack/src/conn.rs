//! A connection as the table keeps it.
//!
//! Where it sits: in the slabs of `shard.rs`; `process.rs` changes it under its shard's lock.
//!
//! The size is the point: an IPv4 connection is two cache lines. So addresses have the width of their family, the
//! reply's addresses are stored (translation makes them differ) but zone, protocol and ICMP type are shared, and the
//! protocol's machine takes what the largest needs.

use packet::{CtTuple, Now};

use crate::action::{Alg, CtAction};
use crate::entry::{Counters, Entry as DumpEntry};
use crate::icmp::IcmpState;
use crate::other::OtherState;
use crate::plain::Headers;
use crate::tcp::{Side, TcpConn};
use crate::tuple::{Tuple, opposite_icmp_type};
use crate::{NatKind, slab};

/// An address as it is stored.
pub(crate) trait Addr: Copy + PartialEq {
    const ZERO: Self;
    const IS_IPV6: bool;
    fn store(a: u128) -> Self;
    fn load(self) -> u128;
}

impl Addr for u32 {
    const ZERO: u32 = 0;
    const IS_IPV6: bool = false;
    fn store(a: u128) -> u32 {
        a as u32
    }
    fn load(self) -> u128 {
        u128::from(self)
    }
}

/// IPv6 in two halves, for an alignment of eight.
impl Addr for [u64; 2] {
    const ZERO: [u64; 2] = [0; 2];
    const IS_IPV6: bool = true;
    fn store(a: u128) -> [u64; 2] {
        [(a >> 64) as u64, a as u64]
    }
    fn load(self) -> u128 {
        u128::from(self[0]) << 64 | u128::from(self[1])
    }
}

/// Addresses and ports of one direction.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Ends<A> {
    src: A,
    dst: A,
    src_port: u16,
    dst_port: u16,
}

impl<A: Addr> Ends<A> {
    const ZERO: Ends<A> = Ends { src: A::ZERO, dst: A::ZERO, src_port: 0, dst_port: 0 };

    fn of(t: &Tuple) -> Ends<A> {
        Ends { src: A::store(t.src), dst: A::store(t.dst), src_port: t.src_port, dst_port: t.dst_port }
    }
}

/// The protocol's machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Machine {
    Tcp(TcpConn),
    Other(OtherState),
    Icmp(IcmpState),
}

/// What a connection has besides its addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Body {
    /// Monotonic milliseconds at which it ends.
    pub expires: u64,
    /// Milliseconds since 1970 UTC at which it was committed.
    pub start_ms: u64,
    label: [u64; 2],
    pub counters: [Counters; 2],
    pub machine: Machine,
    pub mark: u32,
    /// Changes whenever the entry's memory is used anew, so that old notes of it are recognised.
    pub generation: u32,
    pub zone: u16,
    pub policy: u16,
    pub proto: u8,
    icmp_type: u8,
    icmp_code: u8,
    flags: u8,
}

const IN_USE: u8 = 1;
const SNAT: u8 = 2;
const DNAT: u8 = 4;
const ALG_SHIFT: u8 = 3;
const ALG_MASK: u8 = 3 << ALG_SHIFT;
/// In the place of a helper: a connection that one announced.
const RELATED: u8 = 3 << ALG_SHIFT;
const NO_UPDATE_EVENT: u8 = 32;
const NO_DESTROY_EVENT: u8 = 64;
const NO_NEW_EVENT: u8 = 128;

/// Bits of ctnetlink's event mask.
const EVENT_NEW: u32 = 1 << 0;
const EVENT_DESTROY: u32 = 1 << 2;
const EVENT_MARK: u32 = 1 << 7;
const EVENT_LABEL: u32 = 1 << 10;

impl Body {
    const FREE: Body = Body {
        expires: 0,
        start_ms: 0,
        label: [0; 2],
        counters: [Counters { packets: 0, bytes: 0 }; 2],
        machine: Machine::Other(OtherState::First),
        mark: 0,
        generation: 0,
        zone: 0,
        policy: 0,
        proto: 0,
        icmp_type: 0,
        icmp_code: 0,
        flags: 0,
    };

    /// The label.
    pub(crate) fn label(&self) -> u128 {
        self.label.load()
    }

    /// Its upper and its lower half.
    pub(crate) const fn label_words(&self) -> [u64; 2] {
        self.label
    }

    pub(crate) fn set_label(&mut self, label: u128) {
        self.label = Addr::store(label);
    }

    /// What of the connection is translated.
    pub(crate) const fn nat(&self) -> Option<NatKind> {
        if self.flags & SNAT != 0 {
            Some(NatKind::Src)
        } else if self.flags & DNAT != 0 {
            Some(NatKind::Dst)
        } else {
            None
        }
    }

    pub(crate) const fn alg(&self) -> Option<Alg> {
        match (self.flags & ALG_MASK) >> ALG_SHIFT {
            1 => Some(Alg::Ftp),
            2 => Some(Alg::Tftp),
            _ => None,
        }
    }

    /// True for a connection with a helper, and for one that a helper announced.
    pub(crate) const fn is_helped(&self) -> bool {
        self.flags & ALG_MASK != 0
    }

    pub(crate) const fn is_related(&self) -> bool {
        self.flags & ALG_MASK == RELATED
    }

    /// Makes it a connection that a helper announced.
    pub(crate) fn set_related(&mut self) {
        self.flags |= RELATED;
    }

    /// The flags, to be saved.
    pub(crate) const fn saved_flags(&self) -> SavedFlags {
        SavedFlags(self.flags)
    }

    /// Gives a restored connection its flags.
    pub(crate) fn set_saved_flags(&mut self, flags: SavedFlags) {
        self.flags = flags.0 | IN_USE;
    }

    pub(crate) const fn wants_new_event(&self) -> bool {
        self.flags & NO_NEW_EVENT == 0
    }

    pub(crate) const fn wants_update_event(&self) -> bool {
        self.flags & NO_UPDATE_EVENT == 0
    }

    pub(crate) const fn wants_destroy_event(&self) -> bool {
        self.flags & NO_DESTROY_EVENT == 0
    }

    /// Counts a packet.
    pub(crate) fn count(&mut self, from: Side, bytes: usize) {
        let [orig, reply] = &mut self.counters;
        let c = if from == Side::Orig { orig } else { reply };
        c.packets = c.packets.wrapping_add(1);
        c.bytes = c.bytes.wrapping_add(bytes as u64);
    }
}

/// A connection's flags as they are saved.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SavedFlags(pub u8);

impl SavedFlags {
    /// A connection with nothing but these flags.
    pub(crate) const fn as_body(self) -> Body {
        Body { flags: self.0, ..Body::FREE }
    }
}

/// A connection: 128 bytes with IPv4 addresses, 192 with IPv6.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(crate) struct Conn<A> {
    orig: Ends<A>,
    reply: Ends<A>,
    pub body: Body,
}

/// All of a connection that is not there yet.
pub(crate) struct NewConn<'a> {
    pub orig: Tuple,
    pub reply: Tuple,
    pub machine: Machine,
    pub nat: Option<NatKind>,
    pub action: &'a CtAction,
    pub now: Now,
    pub expires: u64,
}

fn flags_of(new: &NewConn<'_>) -> u8 {
    let nat = match new.nat {
        Some(NatKind::Src) => SNAT,
        Some(NatKind::Dst) => DNAT,
        None => 0,
    };
    let alg = new.action.alg.map_or(0, |alg| (alg as u8) << ALG_SHIFT);
    let mask = new.action.event_mask.unwrap_or(u32::MAX);
    let unless = |wanted: u32, flag: u8| if mask & wanted == 0 { flag } else { 0 };
    IN_USE
        | nat
        | alg
        | unless(EVENT_NEW, NO_NEW_EVENT)
        | unless(EVENT_MARK | EVENT_LABEL, NO_UPDATE_EVENT)
        | unless(EVENT_DESTROY, NO_DESTROY_EVENT)
}

impl<A: Addr> Conn<A> {
    /// The connection, in memory whose last content was `old`.
    pub(crate) fn new(new: &NewConn<'_>, old: &Conn<A>) -> Conn<A> {
        Conn {
            orig: Ends::of(&new.orig),
            reply: Ends::of(&new.reply),
            body: Body {
                expires: new.expires,
                start_ms: new.now.wall_ms,
                machine: new.machine,
                generation: old.body.generation.wrapping_add(1),
                zone: new.orig.zone,
                policy: new.action.timeout_policy,
                proto: new.orig.proto,
                icmp_type: new.orig.icmp_type,
                icmp_code: new.orig.icmp_code,
                flags: flags_of(new),
                ..Body::FREE
            },
        }
    }

    /// Which of its directions a packet with tuple `t` is of.
    pub(crate) fn side(&self, t: &Tuple) -> Option<Side> {
        let b = &self.body;
        if (b.zone, b.proto, b.icmp_code) != (t.zone, t.proto, t.icmp_code) {
            return None;
        }
        let ends = Ends::of(t);
        if self.orig == ends && b.icmp_type == t.icmp_type {
            Some(Side::Orig)
        } else if self.reply == ends && self.reply_icmp_type() == t.icmp_type {
            Some(Side::Reply)
        } else {
            None
        }
    }

    fn reply_icmp_type(&self) -> u8 {
        let b = &self.body;
        if matches!(b.machine, Machine::Icmp(_)) { opposite_icmp_type(A::IS_IPV6, b.icmp_type) } else { 0 }
    }

    fn tuple(&self, ends: &Ends<A>, icmp_type: u8) -> Tuple {
        Tuple {
            src: ends.src.load(),
            dst: ends.dst.load(),
            src_port: ends.src_port,
            dst_port: ends.dst_port,
            zone: self.body.zone,
            proto: self.body.proto,
            is_ipv6: A::IS_IPV6,
            icmp_type,
            icmp_code: self.body.icmp_code,
        }
    }

    /// What packets of the original direction have.
    pub(crate) fn orig(&self) -> Tuple {
        self.tuple(&self.orig, self.body.icmp_type)
    }

    /// What packets of the reply direction have.
    pub(crate) fn reply(&self) -> Tuple {
        self.tuple(&self.reply, self.reply_icmp_type())
    }

    /// A copy for dumps and events.
    pub(crate) fn entry(&self, now: Now) -> DumpEntry {
        let b = &self.body;
        DumpEntry {
            orig: self.orig(),
            reply: self.reply(),
            mark: b.mark,
            label: b.label(),
            timeout: core::time::Duration::from_millis(b.expires.saturating_sub(now.mono.as_millis())),
            orig_counters: b.counters[0],
            reply_counters: b.counters[1],
            start_ms: b.start_ms,
            stop_ms: 0,
            tcp: if let Machine::Tcp(tcp) = &b.machine { Some(tcp.info()) } else { None },
            alg: b.alg(),
            parent: None,
        }
    }
}

impl<A: Addr> slab::Entry for Conn<A> {
    const FREE: Conn<A> = Conn { orig: Ends::ZERO, reply: Ends::ZERO, body: Body::FREE };

    fn is_used(&self) -> bool {
        self.body.flags & IN_USE != 0
    }

    fn link(&self) -> u32 {
        self.body.mark
    }

    fn set_free(&mut self, link: u32) {
        // The generation stays: it tells this entry from the next in its place.
        self.body.flags = 0;
        self.body.mark = link;
    }
}

impl Conn4 {
    /// Which of its directions a plain packet is of.
    #[inline]
    pub(crate) fn side_v4(&self, h: &Headers, zone: u16) -> Option<Side> {
        let ends = Ends { src: h.src, dst: h.dst, src_port: h.src_port, dst_port: h.dst_port };
        if (self.body.zone, self.body.proto) != (zone, h.proto) {
            None
        } else if self.orig == ends {
            Some(Side::Orig)
        } else if self.reply == ends {
            Some(Side::Reply)
        } else {
            None
        }
    }
}

impl Conn<u32> {
    /// What packets of the original direction have, of a connection of TCP or UDP.
    pub(crate) const fn orig_v4(&self) -> Orig {
        Orig { ends: self.orig, proto: self.body.proto }
    }
}

/// The original direction of a connection of TCP or UDP over IPv4.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Orig {
    ends: Ends<u32>,
    proto: u8,
}

impl Orig {
    /// As a packet's metadata have it.
    pub(crate) fn to_ct_tuple(self) -> CtTuple {
        let Ends { src, dst, src_port, dst_port } = self.ends;
        let tuple = Tuple {
            src: src.into(),
            dst: dst.into(),
            src_port,
            dst_port,
            proto: self.proto,
            ..Tuple::default()
        };
        tuple.to_ct_tuple()
    }
}

/// Connections over IPv4.
pub(crate) type Conn4 = Conn<u32>;
/// Connections over IPv6.
pub(crate) type Conn6 = Conn<[u64; 2]>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_two_or_three_cache_lines() {
        assert_eq!(size_of::<Conn4>(), 128);
        assert_eq!(size_of::<Conn6>(), 192);
    }

    #[test]
    fn what_is_stored_is_read_back() {
        let orig = Tuple {
            src: 1 << 100,
            dst: 2,
            src_port: 3,
            dst_port: 3,
            zone: 4,
            proto: 58,
            is_ipv6: true,
            icmp_type: 128,
            icmp_code: 0,
        };
        let reply = Tuple { dst: 9, ..orig.reversed() };
        let action =
            CtAction { alg: Some(Alg::Tftp), event_mask: Some(1), timeout_policy: 7, ..CtAction::default() };
        let new = NewConn {
            orig,
            reply,
            machine: Machine::Icmp(IcmpState::First),
            nat: Some(NatKind::Src),
            action: &action,
            now: Now::default(),
            expires: 5,
        };
        let c = Conn6::new(&new, &slab::Entry::FREE);
        assert_eq!((c.orig(), c.reply()), (orig, reply));
        assert_eq!(
            (c.side(&orig), c.side(&reply), c.side(&orig.reversed())),
            (Some(Side::Orig), Some(Side::Reply), None)
        );
        assert_eq!((c.body.alg(), c.body.nat()), (Some(Alg::Tftp), Some(NatKind::Src)));
        assert!(c.body.wants_new_event() && !c.body.wants_update_event() && !c.body.wants_destroy_event());
    }
}
