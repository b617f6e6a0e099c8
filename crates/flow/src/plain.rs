//! Plain packets and their short key: one cache line for what nearly all packets are.
//!
//! Where it sits: the datapath's workers read it from a packet before anything else, and look flows up by it. Only for
//! other packets, and where an action or the switch asks for it, is the whole [`FlowKey`] made.
//!
//! A packet is *plain* if it is a frame with at most one tag that is parsed, with IPv4 without options or fragments, with TCP or
//! UDP, and came out of no tunnel. All of its whole key outside the short one is zero, but for the rest of its
//! connection (label and original addresses), which the short key does not have.
//!
//! Invariants
//! I1  Where [`PlainKey::read`] gives a key, it is the same as [`PlainKey::of`] the whole key, and
//!     [`PlainKey::to_key`] gives that back.
//! I2  Two keys that agree in the short key agree in every field of it: the short key loses nothing of those.

use packet::{OdpPort, PacketMeta};
use wire::{eth, ip, ipv4, tcp, udp};

use crate::slot::{self, FLOW_WORDS, Slot};
use crate::{FlowKey, Layers};

/// Words of a short key.
pub const PLAIN_WORDS: usize = 8;

/// The short key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(align(64))]
pub struct PlainKey(pub [u64; PLAIN_WORDS]);

/// Where each part of the short key lies: word, bits below it, and its slot in the whole key; `wire` where its bytes are
/// in the order that they have in the frame, so that they are read as they lie there. Other bits mean nothing and are
/// zero.
macro_rules! with_parts {
    ($then:ident) => {
        $then! {
            0, 32, host, in_port; 0, 0, host, recirc_id;
            1, 32, host, ct_mark; 1, 16, host, ct_zone; 1, 8, host, ct_state; 1, 0, host, nw_frag;
            2, 0, wire, eth_dst; 2, 48, host, vlan_tci;
            3, 0, wire, eth_src; 3, 48, wire, eth_type;
            4, 0, wire, nw_src; 4, 32, wire, nw_dst;
            5, 0, wire, tp_src; 5, 16, wire, tp_dst; 5, 32, host, tcp_flags; 5, 48, host, nw_tos;
            6, 32, host, pkt_mark; 6, 16, host, vlan_tpid; 6, 8, host, nw_proto; 6, 0, host, nw_ttl;
            7, 32, host, dp_hash; 7, 0, host, skb_priority
        }
    };
}

/// `value`, a number of `bits` bits, with its bytes in the order of the frame, if they are to be.
#[inline(always)]
const fn wire(value: u64, bits: u8) -> u64 {
    value.swap_bytes() >> (64 - bits as u32)
}

/// `value` as it is.
#[inline(always)]
const fn host(value: u64, _bits: u8) -> u64 {
    value
}

/// The bits of each word of a whole key that the short key has.
const COVERED: [u64; FLOW_WORDS] = {
    let mut words = [0; FLOW_WORDS];
    macro_rules! cover {
        ($($word:literal, $shift:literal, $order:ident, $slot:ident);+) => {
            $(if let Some(word) = words.as_mut_slice().split_at_mut(slot::$slot.word as usize).1.first_mut() {
                *word |= mask_of(slot::$slot);
            })+
        };
    }
    with_parts!(cover);
    words
};

const fn mask_of(slot: Slot) -> u64 {
    (slot.max() as u64) << slot.shift
}

/// The bits of `word`, the `index`-th of a whole key or of its wildcards, that the short key does not have.
pub fn beyond(index: usize, word: u64) -> u64 {
    word & !COVERED.get(index).copied().unwrap_or(0)
}

/// True if word `index` of a whole key holds something of a connection that plain packets may have beyond the short
/// key.
pub const fn is_connection(index: usize) -> bool {
    index >= slot::ct_state.word as usize && index <= slot::ct_tp_src.word as usize
}

impl PlainKey {
    /// The short key in which nothing is set.
    pub const ZERO: PlainKey = PlainKey([0; PLAIN_WORDS]);

    /// The short key of a whole one, or the short mask of wildcards.
    pub fn of(key: &FlowKey) -> PlainKey {
        let (mut out, from) = (PlainKey::ZERO, key.words());
        macro_rules! pack {
            ($($word:literal, $shift:literal, $order:ident, $slot:ident);+) => {
                $({
                    const SLOT: Slot = slot::$slot;
                    if let (Some(from), Some(to)) = (from.get(SLOT.word as usize), out.0.get_mut::<usize>($word)) {
                        *to |= $order(from >> SLOT.shift & SLOT.max() as u64, SLOT.bits) << $shift;
                    }
                })+
            };
        }
        with_parts!(pack);
        out
    }

    /// Sets the fields of `key` that the short key has.
    #[inline]
    pub fn store(&self, key: &mut FlowKey) {
        let to = key.words_mut();
        macro_rules! unpack {
            ($($word:literal, $shift:literal, $order:ident, $slot:ident);+) => {
                $({
                    const SLOT: Slot = slot::$slot;
                    if let (Some(from), Some(to)) = (self.0.get::<usize>($word), to.get_mut(SLOT.word as usize)) {
                        let part = $order(from >> $shift & SLOT.max() as u64, SLOT.bits) << SLOT.shift;
                        *to = *to & !mask_of(SLOT) | part;
                    }
                })+
            };
        }
        with_parts!(unpack);
    }

    /// The whole key of a plain packet, perhaps out of a tunnel, with these metadata.
    #[inline(never)]
    pub fn to_key(&self, meta: &PacketMeta, key: &mut FlowKey) {
        *key = FlowKey::ZERO;
        if meta.ct_state != 0 {
            crate::extract::connection(meta, key);
        }
        if meta.tunnel.is_set() {
            crate::extract::tunnel(meta, key);
        }
        self.store(key);
    }

    /// Reads a plain packet; `None` for others. `head` is the contiguous start of the frame, `len` the length of all
    /// of it; at most `vlan_limit` tags are taken as such.
    #[inline(always)]
    pub fn read(meta: &PacketMeta, head: &[u8], len: usize, vlan_limit: u8) -> Option<(PlainKey, Layers)> {
        if meta.packet_type | meta.tunnel.dst | u32::from(meta.tunnel.ipv6_dst != 0) != 0 {
            return None;
        }
        PlainKey::read_inner(meta, head, len, vlan_limit)
    }

    /// The same of a frame that may have come out of a tunnel, as which it is plain: what its whole key has beyond the
    /// short one is in the metadata ([`PlainKey::to_key`]).
    #[inline]
    pub fn read_inner(
        meta: &PacketMeta,
        head: &[u8],
        len: usize,
        vlan_limit: u8,
    ) -> Option<(PlainKey, Layers)> {
        let (key, layers) = PlainKey::read_fresh(meta.in_port, head, len, vlan_limit)?;
        let [port, _, dst, src, addresses, transport, outer, _] = key.0;
        let known = PlainKey([
            port | u64::from(meta.recirc_id),
            connection_word(meta.ct_state, meta.ct_zone, meta.ct_mark),
            dst,
            src,
            addresses,
            transport,
            outer | u64::from(meta.skb_mark) << 32,
            u64::from(meta.dp_hash) << 32 | u64::from(meta.skb_priority),
        ]);
        Some((known, layers))
    }

    /// The same of a packet of which nothing is known but the port that it came in by.
    #[inline(always)]
    pub fn read_fresh(
        in_port: OdpPort,
        head: &[u8],
        len: usize,
        vlan_limit: u8,
    ) -> Option<(PlainKey, Layers)> {
        let untagged = head.first_chunk().and_then(|frame| PlainKey::read_untagged(in_port, frame, len));
        untagged.or_else(|| PlainKey::read_step_by_step(in_port, head, len, vlan_limit))
    }

    /// The same of a frame of `len` bytes without a tag, read where its headers lie; `None` for any other.
    #[inline(always)]
    pub fn read_untagged(
        in_port: OdpPort,
        frame: &[u8; HEAD_BYTES],
        len: usize,
    ) -> Option<(PlainKey, Layers)> {
        const L4: usize = eth::HEADER_LEN + ipv4::HEADER_LEN;
        // IPv4, version 4, five words of header; then neither an offset nor more fragments.
        let (kind, rest) = (as_is(frame, 12), as_is(frame, 16));
        if kind & 0xff_ffff != 0x45_0008 || rest & 0xff3f_0000_0000 != 0 {
            return None;
        }
        let end = eth::HEADER_LEN + usize::from((rest as u16).swap_bytes());
        let flags = match (rest >> 56) as u8 {
            ip::PROTO_UDP if end >= L4 + udp::HEADER_LEN => 0,
            ip::PROTO_TCP if end >= L4 + tcp::HEADER_LEN => {
                u16_of(frame, L4 + tcp::OFF_FLAGS) & tcp::FLAGS_MASK
            }
            _ => return None,
        };
        let key = PlainKey([
            u64::from(in_port.0) << 32,
            0,
            as_is(frame, 0) & MACS,
            as_is(frame, 6),
            as_is(frame, 26),
            as_is(frame, L4) & PORTS | u64::from(flags) << 32 | (kind & 0xff00_0000) << 24,
            rest >> 48,
            0,
        ]);
        let layers = Layers { l3: Some(eth::HEADER_LEN as u16), l4: Some(L4 as u16), end: end as u16 };
        (end <= len && end <= usize::from(u16::MAX)).then_some((key, layers))
    }

    /// The same of any plain packet.
    #[inline(never)]
    fn read_step_by_step(
        in_port: OdpPort,
        head: &[u8],
        len: usize,
        vlan_limit: u8,
    ) -> Option<(PlainKey, Layers)> {
        // Both headers behind a frame's of the shortest packet, in one check; the longer TCP header below.
        let untagged = head.first_chunk::<{ eth::HEADER_LEN + LEAST }>()?;
        let (dst, mut src) = (as_is(untagged, 0) & MACS, as_is(untagged, 6));
        let (mut l3, mut tag, mut tpid) = (eth::HEADER_LEN, 0, 0);
        let mut packet = untagged.last_chunk::<LEAST>()?;
        let mut eth_type = u16_of(untagged, 12);
        if eth_type == eth::TYPE_VLAN && vlan_limit > 0 {
            let tagged = head.first_chunk::<{ eth::HEADER_LEN + eth::VLAN_LEN + LEAST }>()?;
            tag = u64::from(u16_of(tagged, 14) | eth::VLAN_CFI);
            tpid = u64::from(eth::TYPE_VLAN) << 16;
            eth_type = u16_of(tagged, 16);
            src = src & MACS | u64::from(eth_type.swap_bytes()) << 48;
            packet = tagged.last_chunk::<LEAST>()?;
            l3 += eth::VLAN_LEN;
        }
        let (a, b) = (as_is(packet, 0), as_is(packet, 8));
        // Version 4, five words of header; neither an offset nor more fragments.
        let usual = a & 0xff3f_0000_0000_00ff == 0x45;
        let total = usize::from(((a >> 16) as u16).swap_bytes());
        if eth_type != eth::TYPE_IPV4 || !usual || l3 + total > len {
            return None;
        }
        let proto = b >> 8 & 0xff;
        let flags = match proto as u8 {
            ip::PROTO_UDP if total >= ipv4::HEADER_LEN + udp::HEADER_LEN => 0,
            ip::PROTO_TCP if total >= ipv4::HEADER_LEN + tcp::HEADER_LEN => {
                let tcp = head.get(l3 + ipv4::HEADER_LEN..)?.first_chunk::<{ tcp::HEADER_LEN }>()?;
                u64::from(u16_of(tcp, tcp::OFF_FLAGS) & tcp::FLAGS_MASK)
            }
            _ => return None,
        };
        let ports = as_is(packet, 20) & PORTS;
        let key = PlainKey([
            u64::from(in_port.0) << 32,
            0,
            dst | tag << 48,
            src,
            as_is(packet, 12),
            ports | flags << 32 | (a & 0xff00) << 40,
            tpid | b & 0xffff,
            0,
        ]);
        let end = u16::try_from(l3 + total).ok()?;
        let l4 = (l3 + ipv4::HEADER_LEN) as u16;
        Some((key, Layers { l3: Some(l3 as u16), l4: Some(l4), end }))
    }

    /// The port that the packet came in by.
    pub const fn in_port(&self) -> OdpPort {
        OdpPort((self.0[0] >> 32) as u32)
    }

    /// Ethernet type of the payload.
    pub const fn eth_type(&self) -> u16 {
        ((self.0[3] >> 48) as u16).swap_bytes()
    }

    /// True if the packet has a tag that was parsed.
    pub const fn is_tagged(&self) -> bool {
        self.0[2] >> 48 != 0
    }

    /// TCP flags; zero of other packets.
    pub const fn tcp_flags(&self) -> u16 {
        (self.0[5] >> 32) as u16
    }

    /// IPv4 source and destination.
    pub const fn addresses(&self) -> (u32, u32) {
        ((self.0[4] as u32).swap_bytes(), ((self.0[4] >> 32) as u32).swap_bytes())
    }

    /// Source and destination port.
    pub const fn ports(&self) -> (u16, u16) {
        ((self.0[5] as u16).swap_bytes(), ((self.0[5] >> 16) as u16).swap_bytes())
    }

    /// IP protocol.
    pub const fn nw_proto(&self) -> u8 {
        (self.0[6] >> 8) as u8
    }

    /// The id under which the packet was sent round again, or zero.
    pub const fn recirc_id(&self) -> u32 {
        self.0[0] as u32
    }

    /// The key of the same packet once its connection is known, by its state, zone and mark, and it is sent round again.
    #[must_use]
    #[inline]
    pub fn tracked(&self, (state, zone, mark): (u8, u16, u32), recirc_id: u32) -> PlainKey {
        let [port, _, rest @ ..] = self.0;
        let [dst, src, addresses, transport, outer, dp] = rest;
        let port = port & !0xffff_ffff | u64::from(recirc_id);
        PlainKey([port, connection_word(state, zone, mark), dst, src, addresses, transport, outer, dp])
    }

    /// True if this satisfies a match of `rule` under `mask`.
    #[inline]
    pub fn matches(&self, rule: &[u64; PLAIN_WORDS], mask: &[u64; PLAIN_WORDS]) -> bool {
        let words = self.0.iter().zip(rule).zip(mask);
        words.fold(0, |diff, ((a, b), m)| diff | (a ^ b) & m) == 0
    }

    /// A hash of what tells flows apart: all but TTL, TOS, TCP flags and marks.
    #[inline]
    pub fn hash(&self, seed: u64) -> u64 {
        const PROTO: u64 = 0xff00;
        let [port, ct, dst, src, addresses, transport, outer, dp] = self.0;
        let a = fold(
            addresses ^ seed,
            (transport & PORTS) ^ (outer & PROTO) << 32 ^ port.rotate_left(20) ^ 0x9e37_79b9_7f4a_7c15,
        );
        fold(a ^ ct ^ dp ^ 0xa076_1d64_78bd_642f, dst ^ src.rotate_left(29) ^ a.rotate_left(32) ^ seed)
    }
}

/// An Ethernet address, of eight bytes.
const MACS: u64 = 0xffff_ffff_ffff;
/// Both ports, of eight bytes.
const PORTS: u64 = 0xffff_ffff;

/// Bytes of an untagged frame that hold all of its short key.
pub const HEAD_BYTES: usize = eth::HEADER_LEN + ipv4::HEADER_LEN + tcp::HEADER_LEN;

/// True if a frame that begins with `head` has the short key of a plain and untagged one of the same length, from the
/// same port, that begins with `last`. Packets of one flow come in trains; the next is told by this for a fraction of
/// what reading costs.
#[inline(always)]
pub fn is_repeated(last: &[u8; HEAD_BYTES], head: &[u8; HEAD_BYTES]) -> bool {
    const L3: usize = eth::HEADER_LEN;
    const L4: usize = L3 + ipv4::HEADER_LEN;
    let differ = |at: usize| as_is(last, at) ^ as_is(head, at);
    // The addresses: enough to tell most packets of other flows.
    if differ(L3 + 12) != 0 {
        return false;
    }
    // Not in the key: IPv4's identification and checksum, and what is behind the ports.
    const NO_ID: u64 = !0xffff_0000;
    let rest = differ(0) | differ(8) | differ(16) & NO_ID | differ(L4) & PORTS;
    // Of TCP the flags are.
    let flags = |head| u16_of(head, L4 + tcp::OFF_FLAGS) & tcp::FLAGS_MASK;
    rest == 0 && (last.get(L3 + 9) != Some(&ip::PROTO_TCP) || flags(last) == flags(head))
}

/// Bytes of the shortest headers behind a frame's: IPv4 and UDP.
const LEAST: usize = ipv4::HEADER_LEN + udp::HEADER_LEN;

/// Eight bytes as they lie, the first lowest.
#[inline(always)]
fn as_is<const N: usize>(headers: &[u8; N], at: usize) -> u64 {
    headers.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |b| u64::from_le_bytes(*b))
}

/// The number of two bytes.
#[inline(always)]
fn u16_of<const N: usize>(headers: &[u8; N], at: usize) -> u16 {
    headers.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |b| u16::from_be_bytes(*b))
}

/// The word of the short key that tells a packet's connection.
const fn connection_word(state: u8, zone: u16, mark: u32) -> u64 {
    if state == 0 {
        return 0;
    }
    (mark as u64) << 32 | (zone as u64) << 16 | (state as u64) << 8
}

/// The 128-bit product, folded.
#[inline]
const fn fold(x: u64, y: u64) -> u64 {
    let product = x as u128 * y as u128;
    (product >> 64) as u64 ^ product as u64
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use packet::CtTuple;
    use proptest::prelude::*;

    use super::*;

    fn frame(proto: u8, tagged: bool, payload: usize) -> Vec<u8> {
        let mut f = vec![2, 0, 0, 0, 0, 1, 4, 0, 0, 0, 0, 2];
        if tagged {
            f.extend([0x81, 0, 0x20, 5]);
        }
        f.extend([8, 0, 0x45, 7, 0, 20 + payload as u8, 0, 1, 0x40, 0, 64, proto, 0, 0]);
        f.extend([10, 0, 0, 1, 10, 0, 0, 2]);
        f.extend((1..=payload as u8).map(|n| n.wrapping_mul(37)));
        f
    }

    proptest! {
        /// I1, over packets that are nearly plain: single bytes changed, ends cut off.
        #[test]
        fn short_and_whole_keys_agree(
            proto in prop::sample::select(vec![6u8, 17, 1, 132]),
            tagged in any::<bool>(),
            payload in 0usize..40,
            edits in prop::collection::vec((0usize..60, any::<u8>()), 0..4),
            cut in prop::option::of(0usize..80),
            (vlan_limit, ct_state, in_port) in (0u8..3, 0u8..3, any::<u32>()),
            (mark, hash, tunnel) in (any::<u32>(), any::<u32>(), 0u32..8),
        ) {
            let mut f = frame(proto, tagged, payload);
            for (at, value) in edits {
                if let Some(byte) = f.get_mut(at) { *byte = value; }
            }
            f.truncate(cut.unwrap_or(usize::MAX));
            let tuple = CtTuple { src: 1, dst: 2, tp_src: 3, tp_dst: 4, proto: 17, is_ipv6: false };
            let mut meta = PacketMeta {
                in_port: OdpPort(in_port), recirc_id: 5, dp_hash: hash, skb_mark: mark, skb_priority: 6,
                ct_state: ct_state * 0x21, ct_zone: 7, ct_mark: 8, ct_label: 9, ct_tuple: Some(tuple),
                ..PacketMeta::default()
            };
            meta.tunnel.dst = u32::from(tunnel == 0);
            (meta.tunnel.id, meta.tunnel.ttl) = (u64::from(tunnel == 0) * 77, u8::from(tunnel == 0));
            let mut whole = FlowKey::ZERO;
            let layers = crate::extract(&meta, &f, f.len(), vlan_limit, &mut whole);
            let plain = PlainKey::read(&meta, &f, f.len(), vlan_limit);
            if let Some((short, where_)) = plain {
                prop_assert_eq!(where_, layers);
                prop_assert_eq!(short, PlainKey::of(&whole));
                let mut back = FlowKey::ZERO;
                short.to_key(&meta, &mut back);
                prop_assert_eq!(back, whole);
                prop_assert_eq!((short.addresses(), short.ports()), (
                    (whole.nw_src(), whole.nw_dst()), (whole.tp_src(), whole.tp_dst())));
                let fresh = PacketMeta { ct_state: 0, recirc_id: 77, ..meta };
                let (untracked, _) = PlainKey::read(&fresh, &f, f.len(), vlan_limit).unwrap();
                prop_assert_eq!(untracked.tracked((meta.ct_state, meta.ct_zone, meta.ct_mark), meta.recirc_id), short);
                for (i, word) in whole.words().iter().enumerate() {
                    prop_assert!(is_connection(i) || beyond(i, *word) == 0, "word {}", i);
                }
            } else if let Some((short, where_)) = PlainKey::read_inner(&meta, &f, f.len(), vlan_limit) {
                prop_assert!(tunnel == 0);
                let mut back = FlowKey::ZERO;
                short.to_key(&meta, &mut back);
                prop_assert_eq!((where_, short, back), (layers, PlainKey::of(&whole), whole));
            } else {
                let plain_proto = matches!(whole.nw_proto(), 6 | 17);
                let odd = !plain_proto || whole.eth_type() != 0x800 || whole.nw_frag() != 0 || layers.l4.is_none()
                    || whole.vlan_tpid() == 0x88a8 || whole.vlan2_tpid() != 0
                    || f[usize::from(layers.l3.unwrap_or(0))] != 0x45;
                prop_assert!(odd, "a plain packet was not read");
            }
        }

        /// What is told by the last packet is what would have been read.
        #[test]
        fn a_repeated_head_has_the_same_key(
            proto in prop::sample::select(vec![6u8, 17]),
            edits in prop::collection::vec((0usize..HEAD_BYTES, any::<u8>()), 0..3),
        ) {
            let first = frame(proto, false, 30);
            let mut next = first.clone();
            for (at, value) in &edits { next[*at] = *value; }
            let meta = PacketMeta::default();
            let read = |f: &[u8]| PlainKey::read(&meta, f, f.len(), 1);
            let repeated = is_repeated(first.first_chunk().unwrap(), next.first_chunk().unwrap());
            prop_assert!(read(&first).is_some());
            if repeated {
                prop_assert_eq!(read(&first), read(&next));
            } else {
                let silent = edits.iter().all(|(at, v)| first[*at] == *v || matches!(at, 18 | 19 | 24 | 25));
                prop_assert!(!silent, "only what no key shows was changed");
            }
        }

        /// I2.
        #[test]
        fn the_short_key_loses_nothing_of_its_fields(words in prop::array::uniform8(any::<u64>())) {
            let mut key = FlowKey::ZERO;
            PlainKey(words).store(&mut key);
            let short = PlainKey::of(&key);
            let mut bits = [0; PLAIN_WORDS];
            macro_rules! count {
                ($($word:literal, $shift:literal, $order:ident, $slot:ident);+) => {
                    $({
                        let mask = (slot::$slot.max() as u64) << $shift;
                        prop_assert_eq!(bits[$word] & mask, 0);
                        bits[$word] |= mask;
                    })+
                };
            }
            with_parts!(count);
            for ((word, given), bits) in short.0.iter().zip(words).zip(bits) {
                prop_assert_eq!(*word, given & bits);
            }
            prop_assert!(key.words().iter().enumerate().all(|(i, word)| beyond(i, *word) == 0));
        }
    }
}
