//! What of a fragment's headers matters for reassembly.
//!
//! Where it sits: made by the datapath of a packet whose key says that it is a fragment; read by `store.rs`.

use wire::ipv4::{self, Ipv4Ref};
use wire::ipv6::{self, Ipv6Ref};

use super::store::Name;

/// A fragment: where its parts are, and of which datagram it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentRef {
    pub(super) src: u128,
    pub(super) dst: u128,
    pub(super) id: u32,
    pub(super) proto: u8,
    pub(super) is_ipv6: bool,
    /// Where the IP header is in the frame.
    pub(super) l3: u16,
    /// Where the payload is.
    pub(super) payload: u16,
    /// Bytes of payload.
    pub(super) len: u16,
    /// Where they belong in the datagram's payload.
    pub(super) offset: u16,
    /// Others follow.
    pub(super) more: bool,
    /// Bytes from the IP header on.
    pub(super) size: usize,
}

impl FragmentRef {
    /// Reads the fragment in a frame of `len` bytes that begins with `head` and has its IP header at `l3`. `None` for what is
    /// none, and for one that cannot be part of a datagram.
    pub fn parse(head: &[u8], l3: usize, is_ipv6: bool, len: usize) -> Option<FragmentRef> {
        let ip = head.get(l3..)?;
        let mut f = if is_ipv6 { parse_v6(ip)? } else { parse_v4(ip)? };
        let payload = l3.checked_add(usize::from(f.payload))?;
        let end = l3.checked_add(f.size)?;
        f.len = u16::try_from(end.checked_sub(payload)?).ok()?;
        f.l3 = u16::try_from(l3).ok()?;
        f.payload = u16::try_from(payload).ok()?;
        let last = u32::from(f.offset) + u32::from(f.len) + u32::from(f.payload - f.l3);
        let whole = last <= u32::from(u16::MAX) && f.len != 0 && (f.len % 8 == 0 || !f.more);
        ((f.more || f.offset != 0) && end <= len && payload <= head.len() && whole).then_some(f)
    }

    pub(super) fn name(&self) -> Name {
        let FragmentRef { src, dst, id, proto, is_ipv6, .. } = *self;
        Name { src, dst, id, proto, is_ipv6, zone: 0, recirc_id: 0 }
    }
}

fn parse_v4(ip: &[u8]) -> Option<FragmentRef> {
    let h = Ipv4Ref::parse(ip).filter(|h| h.version() == 4 && h.checksum_ok())?;
    Some(FragmentRef {
        src: h.src().into(),
        dst: h.dst().into(),
        id: h.id().into(),
        proto: h.proto(),
        is_ipv6: false,
        l3: 0,
        payload: u16::try_from(h.header()?.len()).ok()?,
        len: 0,
        offset: (h.frag() & ipv4::FRAG_OFFSET_MASK).checked_mul(8)?,
        more: h.frag() & ipv4::FLAG_MF != 0,
        size: h.total_len().into(),
    })
}

fn parse_v6(ip: &[u8]) -> Option<FragmentRef> {
    let h = Ipv6Ref::parse(ip).filter(|h| h.version() == 6)?;
    let f = ipv6::walk_extensions(ip, h.next_header()).frag.filter(|f| f.is_fragment())?;
    Some(FragmentRef {
        src: h.src(),
        dst: h.dst(),
        id: f.id,
        // Fragments may have other next headers than the first, which alone counts.
        proto: 0,
        is_ipv6: true,
        l3: 0,
        payload: u16::try_from(f.at.checked_add(ipv6::FRAG_HEADER_LEN)?).ok()?,
        len: 0,
        offset: f.word & ipv6::FRAG_OFFSET_MASK,
        more: f.word & ipv6::FRAG_MORE != 0,
        size: ipv6::HEADER_LEN + usize::from(h.payload_len()),
    })
}
