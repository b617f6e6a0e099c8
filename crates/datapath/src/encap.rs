//! Actions that put headers on and take them off: MPLS, Ethernet, NSH, tunnels; and TTLs.
//!
//! Where it sits: beside `rewrite`, called by `execute`. After each the packet's layers are read again.
//!
//! Spec: RFC 3032, RFC 8300; ovs-actions(7).

use flow::FlowKey;
use odp::PushNsh;
use packet::{DropReason, PacketBuf};
use wire::checksum::update_u16;
use wire::{EthAddr, bytes, eth, ipv4, ipv6, mpls, nsh};

use crate::execute::Packet;

type Done = Result<(), DropReason>;

const MISFIT: DropReason = DropReason::BadEncapsulation;

/// Moves the first `keep` bytes of the frame `by` to the front, after room was made there.
fn grow<B: PacketBuf>(buf: &mut B, keep: usize, by: usize) -> Done {
    buf.push_front(by).ok_or(DropReason::NoHeadroom)?;
    let head = buf.head_mut();
    if keep + by > head.len() {
        return Err(MISFIT);
    }
    head.copy_within(by..by + keep, 0);
    Ok(())
}

/// Moves the first `keep` bytes `by` towards the end and takes what is before off.
fn shrink<B: PacketBuf>(buf: &mut B, keep: usize, by: usize) -> Done {
    let head = buf.head_mut();
    if keep + by > head.len() {
        return Err(MISFIT);
    }
    head.copy_within(..keep, by);
    if buf.pull_front(by) { Ok(()) } else { Err(MISFIT) }
}

/// Stores the type of what follows the link layer: in the frame, or as the packet's own type.
fn set_type<B: PacketBuf>(p: &mut Packet<B>, l3: usize, eth_type: u16) -> Done {
    if p.meta.packet_type != 0 {
        p.meta.packet_type = 1 << 16 | u32::from(eth_type);
        return Ok(());
    }
    let at = l3.checked_sub(2).ok_or(MISFIT)?;
    bytes::put(p.buf.head_mut(), at, &eth_type.to_be_bytes()).ok_or(MISFIT)
}

/// Pushes a label before the network header.
pub(crate) fn push_mpls<B: PacketBuf>(p: &mut Packet<B>, lse: u32, eth_type: u16) -> Done {
    let l3 = usize::from(p.layers.l3.ok_or(MISFIT)?);
    grow(p.buf, l3, mpls::LSE_LEN)?;
    bytes::put(p.buf.head_mut(), l3, &lse.to_be_bytes()).ok_or(MISFIT)?;
    set_type(p, l3, eth_type)
}

/// Pops the top label.
pub(crate) fn pop_mpls<B: PacketBuf>(p: &mut Packet<B>, key: &FlowKey, eth_type: u16) -> Done {
    let l3 = usize::from(p.layers.l3.filter(|_| eth::is_mpls(key.eth_type())).ok_or(MISFIT)?);
    shrink(p.buf, l3, mpls::LSE_LEN)?;
    set_type(p, l3, eth_type)
}

/// Pushes a label before everything: what was a frame is the label's payload.
pub(crate) fn add_mpls<B: PacketBuf>(p: &mut Packet<B>, lse: u32, eth_type: u16) -> Done {
    p.buf.push_front(mpls::LSE_LEN).ok_or(DropReason::NoHeadroom)?.copy_from_slice(&lse.to_be_bytes());
    p.meta.packet_type = 1 << 16 | u32::from(eth_type);
    Ok(())
}

/// Pushes an Ethernet header before a packet that has none.
pub(crate) fn push_eth<B: PacketBuf>(p: &mut Packet<B>, src: EthAddr, dst: EthAddr) -> Done {
    if p.meta.packet_type == 0 {
        return Err(MISFIT);
    }
    let [t, u] = (p.meta.packet_type as u16).to_be_bytes();
    let header = p.buf.push_front(eth::HEADER_LEN).ok_or(DropReason::NoHeadroom)?;
    bytes::put(header, 0, &dst.0)
        .and_then(|()| bytes::put(header, 6, &src.0))
        .and_then(|()| bytes::put(header, 12, &[t, u]))
        .ok_or(MISFIT)?;
    p.meta.packet_type = 0;
    Ok(())
}

/// Pops the Ethernet header of an untagged frame.
pub(crate) fn pop_eth<B: PacketBuf>(p: &mut Packet<B>, key: &FlowKey) -> Done {
    if p.meta.packet_type != 0 || key.vlan_tci() != 0 || p.layers.l3 != Some(eth::HEADER_LEN as u16) {
        return Err(MISFIT);
    }
    if !p.buf.pull_front(eth::HEADER_LEN) {
        return Err(MISFIT);
    }
    p.meta.packet_type = 1 << 16 | u32::from(key.eth_type());
    Ok(())
}

/// Pushes a service header before the whole packet.
pub(crate) fn push_nsh<B: PacketBuf>(p: &mut Packet<B>, push: &PushNsh) -> Done {
    let next_proto = match (p.meta.packet_type >> 16, p.meta.packet_type as u16) {
        (0, _) => nsh::NP_ETHERNET,
        (1, eth::TYPE_IPV4) => nsh::NP_IPV4,
        (1, eth::TYPE_IPV6) => nsh::NP_IPV6,
        (1, eth::TYPE_NSH) => nsh::NP_NSH,
        _ => return Err(MISFIT),
    };
    let f = &push.header;
    let md1 = f.md_type == nsh::MD_TYPE1;
    let len = nsh::BASE_LEN + if md1 { 16 } else { push.md2.len() };
    let base = nsh::NshBase {
        flags: f.flags,
        ttl: f.ttl,
        header_len: len as u8,
        md_type: f.md_type,
        next_proto,
        spi: f.spi,
        si: f.si,
    };
    let header = p.buf.push_front(len).ok_or(DropReason::NoHeadroom)?;
    bytes::put(header, 0, &base.emit()).ok_or(MISFIT)?;
    if md1 {
        for (i, word) in f.context.iter().enumerate() {
            bytes::put(header, nsh::BASE_LEN + 4 * i, &word.to_be_bytes()).ok_or(MISFIT)?;
        }
    } else {
        bytes::put(header, nsh::BASE_LEN, &push.md2).ok_or(MISFIT)?;
    }
    p.meta.packet_type = 1 << 16 | u32::from(eth::TYPE_NSH);
    Ok(())
}

/// Pops the service header of a packet that begins with one.
pub(crate) fn pop_nsh<B: PacketBuf>(p: &mut Packet<B>) -> Done {
    if p.meta.packet_type != 1 << 16 | u32::from(eth::TYPE_NSH) {
        return Err(MISFIT);
    }
    let h = nsh::NshRef::parse(p.buf.head()).ok_or(MISFIT)?;
    let (len, inside) = (h.header_len(), h.next_proto());
    p.meta.packet_type = match inside {
        nsh::NP_ETHERNET => 0,
        nsh::NP_IPV4 => 1 << 16 | u32::from(eth::TYPE_IPV4),
        nsh::NP_IPV6 => 1 << 16 | u32::from(eth::TYPE_IPV6),
        nsh::NP_NSH => 1 << 16 | u32::from(eth::TYPE_NSH),
        _ => return Err(MISFIT),
    };
    if p.buf.pull_front(len) { Ok(()) } else { Err(MISFIT) }
}

/// What `dec_ttl` found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ttl {
    Decremented,
    Expired,
}

/// Decrements the TTL or hop limit; packets without one pass.
pub(crate) fn dec_ttl<B: PacketBuf>(p: &mut Packet<B>, key: &FlowKey) -> Option<Ttl> {
    let l3 = usize::from(p.layers.l3?);
    let head = p.buf.head_mut();
    let at = match key.eth_type() {
        eth::TYPE_IPV4 => l3 + ipv4::OFF_TTL,
        eth::TYPE_IPV6 => l3 + ipv6::OFF_HOP_LIMIT,
        _ => return Some(Ttl::Decremented),
    };
    let ttl = bytes::u8_at(head, at)?;
    if ttl <= 1 {
        return Some(Ttl::Expired);
    }
    bytes::put(head, at, &[ttl - 1])?;
    if key.eth_type() == eth::TYPE_IPV4 {
        let (sum_at, rest) = (l3 + ipv4::OFF_CHECKSUM, u16::from(bytes::u8_at(head, at + 1)?));
        let (old, new) = (u16::from(ttl) << 8 | rest, u16::from(ttl - 1) << 8 | rest);
        let sum = update_u16(bytes::u16_at(head, sum_at)?, old, new);
        bytes::put(head, sum_at, &sum.to_be_bytes())?;
    }
    Some(Ttl::Decremented)
}
