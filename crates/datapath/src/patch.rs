//! Rewriting plain packets by values and masks that were worked out when the flow was installed.
//!
//! Where it sits: beside `rewrite.rs`, which does the same for every packet and one action at a time. A [`Patch`] is what
//! several set actions in a row come to.
//!
//! I1  A packet is changed byte for byte as the actions would change it, or not at all.
//!
//! Next: `plan.rs`.

use odp::{Action, Header};
use packet::L4Checksum;
use wire::{EthAddr, ip, ipv4, tcp, udp};

/// Bits to be written: those of `mask`, both in the order of the frame's bytes. Nothing is turned round for a packet:
/// sums do not mind (RFC 1071, section 2B).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bits<T> {
    value: T,
    mask: T,
}

macro_rules! bits {
    ($($ty:ident),+) => {$(
        impl Bits<$ty> {
            /// Writes `mask`'s bits of `value`, which are numbers, after what is written already.
            const fn then(&mut self, value: $ty, mask: $ty) {
                let (value, mask) = (value.to_be(), mask.to_be());
                self.value = self.value & !mask | value & mask;
                self.mask |= mask;
            }

            const fn over(&self, old: $ty) -> $ty {
                old & !self.mask | self.value
            }
        }
    )+};
}
bits!(u32, u64);

/// What is written of an IPv4 header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Network {
    /// The first word, which has the TOS.
    first: Bits<u32>,
    /// The third, which has the TTL.
    third: Bits<u32>,
    src: Bits<u32>,
    dst: Bits<u32>,
}

/// What a list of set actions does to a plain packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Patch {
    /// The first eight bytes of the frame, and the next four: both addresses.
    macs: Option<(Bits<u64>, Bits<u32>)>,
    network: Option<Network>,
    /// Both ports, of this protocol alone.
    ports: Option<(u8, Bits<u32>)>,
}

/// The mask of a field that is set whole.
const ALL: EthAddr = EthAddr::BROADCAST;

impl Patch {
    /// Adds what `action` does; false, and no change, if it does something else.
    pub fn add(&mut self, action: &Action) -> bool {
        match action {
            Action::Set(value) => self.add_header(value, None),
            Action::SetMasked { value, mask } => self.add_header(value, Some(mask)),
            _ => false,
        }
    }

    fn add_header(&mut self, value: &Header, mask: Option<&Header>) -> bool {
        match (value, mask) {
            (Header::Ethernet { src, dst }, None) => self.add_macs((*src, *dst), (ALL, ALL)),
            (Header::Ethernet { src, dst }, Some(Header::Ethernet { src: ms, dst: md })) => {
                self.add_macs((*src, *dst), (*ms, *md));
            }
            (Header::Ipv4 { src, dst, tos, ttl, .. }, mask) => {
                let (ms, md, mtos, mttl) = match mask {
                    None => (u32::MAX, u32::MAX, 0xff, 0xff),
                    Some(Header::Ipv4 { src, dst, tos, ttl, .. }) => (*src, *dst, *tos, *ttl),
                    Some(_) => return false,
                };
                let network = self.network.get_or_insert_default();
                network.first.then(u32::from(*tos) << 16, u32::from(mtos) << 16);
                network.third.then(u32::from(*ttl) << 24, u32::from(mttl) << 24);
                network.src.then(*src, ms);
                network.dst.then(*dst, md);
            }
            (Header::Tcp { src, dst }, None) => {
                return self.add_ports(ip::PROTO_TCP, (*src, *dst), (0xffff, 0xffff));
            }
            (Header::Tcp { src, dst }, Some(Header::Tcp { src: ms, dst: md })) => {
                return self.add_ports(ip::PROTO_TCP, (*src, *dst), (*ms, *md));
            }
            (Header::Udp { src, dst }, None) => {
                return self.add_ports(ip::PROTO_UDP, (*src, *dst), (0xffff, 0xffff));
            }
            (Header::Udp { src, dst }, Some(Header::Udp { src: ms, dst: md })) => {
                return self.add_ports(ip::PROTO_UDP, (*src, *dst), (*ms, *md));
            }
            _ => return false,
        }
        true
    }

    fn add_macs(&mut self, (src, dst): (EthAddr, EthAddr), (ms, md): (EthAddr, EthAddr)) {
        let (first, rest) = self.macs.get_or_insert_default();
        let high = |dst: EthAddr, src: EthAddr| dst.to_u64() << 16 | src.to_u64() >> 32;
        first.then(high(dst, src), high(md, ms));
        rest.then(src.to_u64() as u32, ms.to_u64() as u32);
    }

    fn add_ports(&mut self, proto: u8, (src, dst): (u16, u16), (ms, md): (u16, u16)) -> bool {
        let (of, ports) = self.ports.get_or_insert((proto, Bits::default()));
        if *of == proto {
            let both = |src: u16, dst: u16| u32::from(src) << 16 | u32::from(dst);
            ports.then(both(src, dst), both(ms, md));
        }
        *of == proto
    }

    /// Writes to a frame whose IPv4 header of twenty bytes is at `l3`, with a whole TCP or UDP header behind it; `None`,
    /// and no change, where that is left to `rewrite.rs`.
    #[inline]
    pub fn apply(&self, head: &mut [u8], l3: usize, proto: u8, l4: L4Checksum) -> Option<()> {
        let partial = match l4 {
            L4Checksum::Partial { start, .. } if usize::from(start) == l3 + ipv4::HEADER_LEN => true,
            L4Checksum::Partial { .. } => return None,
            _ => false,
        };
        if self.ports.is_some_and(|(of, _)| of != proto) {
            return None;
        }
        let sum_at = match proto {
            ip::PROTO_TCP => tcp::OFF_CHECKSUM,
            ip::PROTO_UDP => udp::OFF_CHECKSUM,
            _ => return None,
        };
        let (frame, packet) = head.split_at_mut_checked(l3)?;
        let macs: &mut [u8; 12] = frame.first_chunk_mut()?;
        let (network, segment) = packet.split_first_chunk_mut::<{ ipv4::HEADER_LEN }>()?;
        let (ports, rest) = segment.split_first_chunk_mut::<4>()?;
        let sum: &mut [u8; 2] = rest.get_mut(sum_at - 4..)?.first_chunk_mut()?;
        if let Some((first, rest)) = &self.macs {
            put(macs, 0, |old| first.over(u64::from_ne_bytes(old)).to_ne_bytes());
            put(macs, 8, |old| rest.over(u32::from_ne_bytes(old)).to_ne_bytes());
        }
        // What the transport's sum changes by: for its pseudo header, and for itself.
        let (mut pseudo, mut own) = (None, None);
        if let Some(n) = &self.network {
            let addresses = change(network, 12, &n.src).and(change(network, 16, &n.dst));
            let others = change(network, 0, &n.first).and(change(network, 8, &n.third));
            let stored = u16::from_ne_bytes([network[10], network[11]]);
            [network[10], network[11]] = others.and(addresses).after(stored).to_ne_bytes();
            pseudo = (n.src.mask | n.dst.mask != 0).then_some(addresses);
        }
        if let Some((_, bits)) = &self.ports {
            own = Some(change(ports, 0, bits));
        }
        let stored = u16::from_ne_bytes(*sum);
        if partial {
            // The stored sum is of the pseudo header alone, and not complemented.
            if let Some(delta) = pseudo {
                *sum = (!delta.after(!stored)).to_ne_bytes();
            }
            return Some(());
        }
        let is_udp = proto == ip::PROTO_UDP;
        // UDP's zero: none was computed.
        if is_udp && stored == 0 {
            return Some(());
        }
        let delta = match (pseudo, own) {
            (Some(pseudo), Some(own)) => pseudo.and(own),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => return Some(()),
        };
        let new = match delta.after(stored) {
            0 if is_udp => 0xffff,
            new => new,
        };
        *sum = new.to_ne_bytes();
        Some(())
    }
}

/// What sums over some words change by (RFC 1624, equation 3), folded only when it is used.
#[derive(Clone, Copy)]
struct Delta(u64);

impl Delta {
    /// Both changes. Each is below 2^33, and there are few.
    const fn and(self, other: Delta) -> Delta {
        Delta(self.0 + other.0)
    }

    /// The checksum that was `sum`.
    const fn after(self, sum: u16) -> u16 {
        let sum = self.0 + !sum as u64;
        let sum = (sum >> 32) + (sum & 0xffff_ffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        !((sum >> 16) + (sum & 0xffff)) as u16
    }
}

#[inline(always)]
fn put<const N: usize, const W: usize>(bytes: &mut [u8; N], at: usize, f: impl FnOnce([u8; W]) -> [u8; W]) {
    if let Some(place) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<W>()) {
        *place = f(*place);
    }
}

/// Writes to the word at `at`.
#[inline(always)]
fn change<const N: usize>(bytes: &mut [u8; N], at: usize, bits: &Bits<u32>) -> Delta {
    let mut delta = 0;
    put(bytes, at, |old| {
        let old = u32::from_ne_bytes(old);
        let new = bits.over(old);
        delta = u64::from(!old) + u64::from(new);
        new.to_ne_bytes()
    });
    Delta(delta)
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use flow::{FlowKey, Layers, PlainKey};
    use packet::{FlatPacket, PacketBuf, PacketMeta};
    use proptest::prelude::*;
    use wire::checksum::{Sum, pseudo_v4};
    use wire::eth;

    use super::*;
    use crate::execute::Packet;
    use crate::rewrite;

    fn frame(proto: u8, tagged: bool, addresses: (u32, u32), ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
        let mut f = Vec::from([2, 0, 0, 0, 0, 1, 4, 0, 0, 0, 0, 2]);
        if tagged {
            f.extend([0x81, 0, 0x20, 5]);
        }
        let transport = if proto == ip::PROTO_TCP { 20 } else { 8 };
        let len = transport + payload.len();
        f.extend([8, 0, 0x45, 7, 0, 20 + len as u8, 0, 1, 0x40, 0, 64, proto, 0, 0]);
        f.extend(addresses.0.to_be_bytes());
        f.extend(addresses.1.to_be_bytes());
        f.extend(ports.0.to_be_bytes());
        f.extend(ports.1.to_be_bytes());
        match proto {
            ip::PROTO_TCP => f.extend([0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 1, 0, 0, 0, 0, 0]),
            _ => f.extend([0, len as u8, 0, 0]),
        }
        f.extend(payload);
        f
    }

    /// Where the network header is, where the transport's checksum is, and what both sums should be.
    fn sums(f: &[u8]) -> (usize, usize, [u16; 2]) {
        let l3 = if f[12] == 0x81 { 18 } else { 14 };
        let l4 = l3 + 20;
        let n = |at: usize| u32::from_be_bytes([f[at], f[at + 1], f[at + 2], f[at + 3]]);
        let at = l4 + if f[l3 + 9] == ip::PROTO_TCP { tcp::OFF_CHECKSUM } else { udp::OFF_CHECKSUM };
        let network = Sum::new().bytes(&f[l3..l3 + 10]).bytes(&f[l3 + 12..l4]).finish();
        let pseudo = pseudo_v4(n(l3 + 12), n(l3 + 16), f[l3 + 9], (f.len() - l4) as u16);
        (l3, at, [network, pseudo.bytes(&f[l4..at]).bytes(&f[at + 2..]).finish()])
    }

    fn mac() -> impl Strategy<Value = EthAddr> {
        prop::sample::select(alloc::vec![0, 0xffff_ffff_ffff, 0x0606_0606_0606, 0x00ff_f00f_0000])
            .prop_map(EthAddr::from_u64)
    }

    fn header() -> impl Strategy<Value = (Header, Header)> {
        let word = prop::sample::select(alloc::vec![0u32, u32::MAX, 0x0b00_0001, 0x0a00_0001, 0xffff_0000]);
        let byte = prop::sample::select(alloc::vec![0u8, 255, 63, 64, 7]);
        prop_oneof![
            [mac(), mac(), mac(), mac()].prop_map(|[src, dst, ms, md]| {
                (Header::Ethernet { src, dst }, Header::Ethernet { src: ms, dst: md })
            }),
            (
                [word.clone(), word.clone(), word.clone(), word],
                [byte.clone(), byte.clone(), byte.clone(), byte]
            )
                .prop_map(|([src, dst, ms, md], [tos, ttl, mtos, mttl])| {
                    let ip = |src, dst, tos, ttl| Header::Ipv4 { src, dst, proto: 0, tos, ttl, frag: 0 };
                    (ip(src, dst, tos, ttl), ip(ms, md, mtos, mttl))
                }),
            (
                any::<[u16; 2]>(),
                prop::sample::select(alloc::vec![[0u16, 0xffff], [0xffff, 0xff], [0, 0]]),
                any::<bool>()
            )
                .prop_map(|([src, dst], [ms, md], is_tcp)| match is_tcp {
                    true => (Header::Tcp { src, dst }, Header::Tcp { src: ms, dst: md }),
                    false => (Header::Udp { src, dst }, Header::Udp { src: ms, dst: md }),
                }),
        ]
    }

    proptest! {
        /// I1: as one action after the other; and sums that were right are right.
        #[test]
        fn a_patch_is_its_actions(
            (is_tcp, tagged) in (any::<bool>(), any::<bool>()),
            addresses in (prop::sample::select(alloc::vec![0u32, u32::MAX, 0x0a00_0001]), any::<u32>()),
            ports in any::<(u16, u16)>(),
            payload in prop::collection::vec(any::<u8>(), 0..30),
            headers in prop::collection::vec((header(), any::<bool>()), 1..4),
            stored in prop::sample::select(alloc::vec![None, Some(0u16), Some(0xffff), Some(0x1234)]),
            partial in prop::option::of(any::<bool>()),
        ) {
            let proto = if is_tcp { ip::PROTO_TCP } else { ip::PROTO_UDP };
            let mut f = frame(proto, tagged, addresses, ports, &payload);
            let (l3, at, [network, transport]) = sums(&f);
            f[l3 + 10..l3 + 12].copy_from_slice(&stored.unwrap_or(network).to_be_bytes());
            let transport = if transport == 0 && !is_tcp { 0xffff } else { transport };
            f[at..at + 2].copy_from_slice(&stored.unwrap_or(transport).to_be_bytes());
            let l4 = match partial {
                None => L4Checksum::Unknown,
                Some(here) => L4Checksum::Partial { start: (l3 + if here { 20 } else { 0 }) as u16, offset: 6 },
            };
            let mut meta = PacketMeta::default();
            let (short, layers): (PlainKey, Layers) = PlainKey::read(&meta, &f, f.len(), 1).unwrap();
            let mut key = FlowKey::ZERO;
            short.to_key(&meta, &mut key);
            let (mut patch, mut buf) = (Patch::default(), FlatPacket::try_from_frame(&f).unwrap());
            buf.offload_mut().l4 = l4;
            let mut all_done = true;
            for ((value, mask), whole) in &headers {
                let mask = (!whole).then(|| mask.clone());
                let action = match mask.clone() {
                    Some(mask) => Action::SetMasked { value: value.clone(), mask },
                    None => Action::Set(value.clone()),
                };
                if !patch.add(&action) { break; }
                let mut p = Packet { meta: &mut meta, buf: &mut buf, layers };
                all_done &= rewrite::set(&mut p, &key, value, mask.as_ref()).is_ok();
            }
            let before = f.clone();
            let applied = patch.apply(&mut f, usize::from(layers.l3.unwrap()), proto, l4);
            if applied.is_none() {
                prop_assert_eq!(&f, &before);
                prop_assert!(!all_done || partial == Some(false));
                return Ok(());
            }
            prop_assert!(all_done);
            prop_assert_eq!(&f[..], buf.frame());
            let (.., [network, transport]) = sums(&f);
            if stored.is_none() && partial.is_none() {
                let got = |at: usize| u16::from_be_bytes([f[at], f[at + 1]]);
                prop_assert_eq!(got(l3 + 10) % 0xffff, network % 0xffff);
                prop_assert_eq!(got(at) % 0xffff, transport % 0xffff);
            }
            prop_assert_eq!(eth::TYPE_IPV4, short.eth_type());
        }
    }
}
