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
fn put<const N: usize, const W: usize>(
    bytes: &mut [u8; N],
    at: usize,
    f: impl FnOnce([u8; W]) -> [u8; W],
) {
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
