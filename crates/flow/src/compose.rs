//! A frame that has a given key: the inverse of extraction.
//!
//! Where it sits: dummy ports are fed with flows in text, `ofproto/trace` makes a packet of a flow, and tests make
//! packets of keys. Not on the packet path.
//!
//! I1  Extracting what was composed gives the key again, for keys that some frame has.
//! I2  Checksums are right. Identification, sequence numbers and windows are zero.

use alloc::vec::Vec;

use wire::checksum::{self, Sum};
use wire::{arp, bytes, eth, icmp, icmpv6, ip, ipv4, ipv6, nsh, sctp, tcp, udp};

use crate::{FlowKey, Frag};

/// More than any composed headers take.
const ROOM: usize = 256;
/// Where a composed later fragment claims to begin, in units of 8 bytes.
const LATER_AT: u16 = 100;

/// 64 bytes that count up.
#[allow(clippy::indexing_slicing, reason = "the compiler does it")]
static COUNTING: [u8; 64] = {
    let mut bytes = [0; 64];
    let mut n = 0;
    while n < bytes.len() {
        bytes[n] = n as u8;
        n += 1;
    }
    bytes
};

/// The payload of a frame whose maker chose none, as Open vSwitch has it: 64 bytes that count up in UDP, in echoes, and
/// in TCP segments that neither open nor close; nothing elsewhere.
pub fn usual_payload(key: &FlowKey) -> &'static [u8] {
    const OPENS_OR_CLOSES: u16 = tcp::SYN | tcp::FIN | tcp::RST;
    let carries = match (kind(key), key.tp_src(), key.tp_dst()) {
        (Transport::Udp, ..) => true,
        (Transport::Tcp, ..) => key.tcp_flags() & OPENS_OR_CLOSES == 0,
        (Transport::Icmp, 0 | 8, 0) | (Transport::Icmpv6, 128 | 129, 0) => true,
        _ => false,
    };
    if carries { &COUNTING } else { &[] }
}

/// A frame with the key `key` and `payload` behind its headers; `None` if memory is short or it would be too long.
pub fn compose(key: &FlowKey, payload: &[u8]) -> Option<Vec<u8>> {
    let mut frame = Vec::new();
    frame.try_reserve_exact(ROOM.checked_add(payload.len())?).ok()?;
    if key.packet_type() != 0 {
        network(key, payload, &mut frame)?;
        return Some(frame);
    }
    frame.extend_from_slice(&key.eth_dst().0);
    frame.extend_from_slice(&key.eth_src().0);
    for (tpid, tci) in [(key.vlan_tpid(), key.vlan_tci()), (key.vlan2_tpid(), key.vlan2_tci())] {
        if tci & eth::VLAN_CFI != 0 {
            let tpid = if tpid == 0 { eth::TYPE_VLAN } else { tpid };
            frame.extend_from_slice(&tpid.to_be_bytes());
            frame.extend_from_slice(&(tci & !eth::VLAN_CFI).to_be_bytes());
        }
    }
    if key.eth_type() == eth::TYPE_NONE {
        frame.extend_from_slice(&u16::try_from(payload.len()).ok()?.to_be_bytes());
        frame.extend_from_slice(payload);
        return Some(frame);
    }
    frame.extend_from_slice(&key.eth_type().to_be_bytes());
    network(key, payload, &mut frame)?;
    Some(frame)
}

/// What follows the Ethernet type.
fn network(key: &FlowKey, payload: &[u8], frame: &mut Vec<u8>) -> Option<()> {
    match key.eth_type() {
        eth::TYPE_IPV4 => ipv4(key, payload, frame)?,
        eth::TYPE_IPV6 => ipv6(key, payload, frame)?,
        eth::TYPE_ARP | eth::TYPE_RARP => frame.extend_from_slice(&arp(key)),
        eth::TYPE_NSH => {
            service(key, frame);
            frame.extend_from_slice(payload);
        }
        t if eth::is_mpls(t) => {
            labels(key, frame);
            frame.extend_from_slice(payload);
        }
        _ => frame.extend_from_slice(payload),
    }
    Some(())
}

/// A network service header; of MD type 1 with its context, of any other without more.
fn service(key: &FlowKey, frame: &mut Vec<u8>) {
    let md1 = key.nsh_mdtype() == nsh::MD_TYPE1;
    let header = nsh::NshBase {
        flags: key.nsh_flags(),
        ttl: key.nsh_ttl(),
        header_len: if md1 { nsh::MD1_LEN } else { nsh::BASE_LEN } as u8,
        md_type: key.nsh_mdtype(),
        next_proto: key.nsh_np(),
        spi: key.nsh_spi(),
        si: key.nsh_si(),
    };
    frame.extend_from_slice(&header.emit());
    if md1 {
        for word in [key.nsh_c1(), key.nsh_c2(), key.nsh_c3(), key.nsh_c4()] {
            frame.extend_from_slice(&word.to_be_bytes());
        }
    }
}

fn arp(key: &FlowKey) -> [u8; arp::HEADER_LEN] {
    arp::Arp {
        op: key.nw_proto().into(),
        sha: key.arp_sha(),
        spa: key.nw_src(),
        tha: key.arp_tha(),
        tpa: key.nw_dst(),
    }
    .emit()
}

/// The label stack, down to its bottom or three labels.
fn labels(key: &FlowKey, frame: &mut Vec<u8>) {
    const BOTTOM: u32 = 0x100;
    for lse in [key.mpls_lse0(), key.mpls_lse1(), key.mpls_lse2()] {
        frame.extend_from_slice(&lse.to_be_bytes());
        if lse & BOTTOM != 0 {
            break;
        }
    }
}

fn ipv4(key: &FlowKey, payload: &[u8], frame: &mut Vec<u8>) -> Option<()> {
    let frag = match key.nw_frag() {
        f if f & Frag::LATER != 0 => ipv4::FLAG_MF | LATER_AT,
        0 => 0,
        _ => ipv4::FLAG_MF,
    };
    let len = ipv4::HEADER_LEN + transport_len(key, payload);
    let header = ipv4::Ipv4 {
        tos: key.nw_tos(),
        total_len: u16::try_from(len).ok()?,
        id: 0,
        frag,
        ttl: key.nw_ttl(),
        proto: key.nw_proto(),
        src: key.nw_src(),
        dst: key.nw_dst(),
    };
    frame.extend_from_slice(&header.emit());
    let l4_len = u16::try_from(len - ipv4::HEADER_LEN).ok()?;
    let pseudo = checksum::pseudo_v4(key.nw_src(), key.nw_dst(), key.nw_proto(), l4_len);
    transport(key, payload, pseudo, frame)
}

fn ipv6(key: &FlowKey, payload: &[u8], frame: &mut Vec<u8>) -> Option<()> {
    let fragment = key.nw_frag() != 0;
    let l4_len = transport_len(key, payload);
    let extra = if fragment { ipv6::FRAG_HEADER_LEN } else { 0 };
    let header = ipv6::Ipv6 {
        traffic_class: key.nw_tos(),
        label: key.ipv6_label(),
        payload_len: u16::try_from(l4_len + extra).ok()?,
        next_header: if fragment { ip::EXT_FRAGMENT } else { key.nw_proto() },
        hop_limit: key.nw_ttl(),
        src: key.ipv6_src(),
        dst: key.ipv6_dst(),
    };
    frame.extend_from_slice(&header.emit());
    if fragment {
        let at = if key.nw_frag() & Frag::LATER != 0 { LATER_AT << 3 } else { 0 };
        let [a, b] = (at | ipv6::FRAG_MORE).to_be_bytes();
        frame.extend_from_slice(&[key.nw_proto(), 0, a, b, 0, 0, 0, 0]);
    }
    let l4_len = u32::try_from(l4_len).ok()?;
    let pseudo = checksum::pseudo_v6(key.ipv6_src(), key.ipv6_dst(), key.nw_proto(), l4_len);
    transport(key, payload, pseudo, frame)
}

/// What transport header the key calls for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Transport {
    Tcp,
    Udp,
    Sctp,
    Icmp,
    Icmpv6,
    Nd,
    Igmp,
    None,
}

fn kind(key: &FlowKey) -> Transport {
    if key.nw_frag() & Frag::LATER != 0 {
        return Transport::None;
    }
    let v6 = key.eth_type() == eth::TYPE_IPV6;
    match key.nw_proto() {
        ip::PROTO_TCP => Transport::Tcp,
        ip::PROTO_UDP => Transport::Udp,
        ip::PROTO_SCTP => Transport::Sctp,
        ip::PROTO_ICMP if !v6 => Transport::Icmp,
        ip::PROTO_IGMP if !v6 => Transport::Igmp,
        ip::PROTO_ICMPV6 if v6 && icmpv6::is_nd(key.tp_src() as u8, key.tp_dst() as u8) => Transport::Nd,
        ip::PROTO_ICMPV6 if v6 => Transport::Icmpv6,
        _ => Transport::None,
    }
}

/// Options of neighbour discovery: the link-layer addresses that are not zero.
fn nd_options(key: &FlowKey) -> impl Iterator<Item = [u8; icmpv6::LINK_ADDR_OPT_LEN]> {
    let options =
        [(icmpv6::OPT_SOURCE_LINK_ADDR, key.arp_sha()), (icmpv6::OPT_TARGET_LINK_ADDR, key.arp_tha())];
    options.into_iter().filter(|(_, addr)| *addr != wire::EthAddr::ZERO).map(|(option, addr)| {
        let [a, b, c, d, e, f] = addr.0;
        [option, 1, a, b, c, d, e, f]
    })
}

/// Bytes of transport header and payload.
fn transport_len(key: &FlowKey, payload: &[u8]) -> usize {
    let header = match kind(key) {
        Transport::Tcp => tcp::HEADER_LEN,
        Transport::Udp => udp::HEADER_LEN,
        Transport::Sctp => sctp::HEADER_LEN,
        // A type, a code, a checksum and four bytes more.
        Transport::Icmp | Transport::Icmpv6 | Transport::Igmp => icmp::HEADER_LEN,
        Transport::Nd => icmpv6::ND_HEADER_LEN + nd_options(key).count() * icmpv6::LINK_ADDR_OPT_LEN,
        Transport::None => 0,
    };
    header + payload.len()
}

fn transport(key: &FlowKey, payload: &[u8], pseudo: Sum, frame: &mut Vec<u8>) -> Option<()> {
    let start = frame.len();
    let (src, dst) = (key.tp_src(), key.tp_dst());
    match kind(key) {
        Transport::Tcp => {
            let header = tcp::Tcp { src, dst, flags: key.tcp_flags(), ..tcp::Tcp::default() };
            frame.extend_from_slice(&header.emit());
        }
        Transport::Udp => {
            let length = u16::try_from(transport_len(key, payload)).ok()?;
            frame.extend_from_slice(&udp::Udp { src, dst, length, checksum: 0 }.emit());
        }
        Transport::Sctp => {
            frame.extend_from_slice(&sctp::Sctp { src, dst, vtag: 0, checksum: 0 }.emit());
        }
        Transport::Icmp | Transport::Icmpv6 | Transport::Igmp => {
            let header = icmp::Icmp { icmp_type: src as u8, code: dst as u8, checksum: 0, id: 0, seq: 0 };
            frame.extend_from_slice(&header.emit());
        }
        Transport::Nd => {
            let header =
                icmp::Icmp { icmp_type: src as u8, code: dst as u8, checksum: 0, id: 0, seq: 0 }.emit();
            frame.extend_from_slice(&header);
            frame.extend_from_slice(&key.nd_target().to_be_bytes());
            nd_options(key).for_each(|option| frame.extend_from_slice(&option));
            bytes::put(frame, start + icmpv6::OFF_ND_RESERVED, &key.nd_reserved().to_be_bytes())?;
        }
        Transport::None => {}
    }
    frame.extend_from_slice(payload);
    fill_checksum(kind(key), pseudo, frame.get_mut(start..)?)
}

/// Stores the transport checksum; the segment has zero in its place.
fn fill_checksum(transport: Transport, pseudo: Sum, segment: &mut [u8]) -> Option<()> {
    let sum = pseudo.bytes(segment).finish();
    match transport {
        Transport::Tcp => bytes::put(segment, tcp::OFF_CHECKSUM, &sum.to_be_bytes()),
        Transport::Udp => {
            let sum = if sum == 0 { 0xffff } else { sum };
            bytes::put(segment, udp::OFF_CHECKSUM, &sum.to_be_bytes())
        }
        Transport::Icmp | Transport::Igmp => {
            let sum = checksum::checksum(segment);
            bytes::put(segment, icmp::OFF_CHECKSUM, &sum.to_be_bytes())
        }
        Transport::Icmpv6 | Transport::Nd => bytes::put(segment, icmp::OFF_CHECKSUM, &sum.to_be_bytes()),
        Transport::Sctp => {
            let crc = sctp::crc32c(segment);
            bytes::put(segment, sctp::OFF_CHECKSUM, &crc.to_le_bytes())
        }
        Transport::None => Some(()),
    }
}

#[cfg(test)]
mod tests;
