//! A text in a TCP segment becomes another, of another length perhaps.
//!
//! Where it sits: called by `execute` when connection tracking has translated an address that the payload announces. What
//! the text is to be, and what its length does to sequence numbers, is `conntrack`'s business (`alg.rs`).
//!
//! A packet grows at its front: the bytes before the text move there.

use conntrack::Edit;
use packet::{DropReason, L4Checksum, PacketBuf};
use wire::checksum::{Sum, checksum, pseudo_v4, pseudo_v6};
use wire::{bytes, ip, ipv4, ipv6, tcp};

/// Changes the text, lengths and checksums.
// apart from `execute`, whose frame must stay small
#[inline(never)]
pub(crate) fn apply<B: PacketBuf>(buf: &mut B, edit: &Edit) -> Result<(), DropReason> {
    let (text, len) = edit.text().ok_or(DropReason::InvalidAction)?;
    let text = text.get(..len).ok_or(DropReason::InvalidAction)?;
    let by = resize(buf, usize::from(edit.at), usize::from(edit.len), len)?;
    let partial = matches!(buf.offload().l4, L4Checksum::Partial { .. });
    finish(buf.head_mut(), edit, text, (by, partial)).ok_or(DropReason::InvalidAction)
}

/// Gives the `old` bytes at `at` room for `new`; by how much the packet grew.
fn resize<B: PacketBuf>(buf: &mut B, at: usize, old: usize, new: usize) -> Result<i32, DropReason> {
    let offload = *buf.offload();
    if new > old {
        let more = new - old;
        let end = at.checked_add(more).ok_or(DropReason::InvalidAction)?;
        if buf.push_front(more).is_none() {
            return Err(DropReason::NoHeadroom);
        }
        let head = buf.head_mut();
        if head.len() < end {
            return Err(DropReason::InvalidAction);
        }
        head.copy_within(more..end, 0);
    } else if new < old {
        let head = buf.head_mut();
        if head.len() < at.saturating_add(old) {
            return Err(DropReason::InvalidAction);
        }
        head.copy_within(..at, old - new);
        if !buf.pull_front(old - new) {
            return Err(DropReason::InvalidAction);
        }
    }
    // The headers are where they were, seen from the frame's first byte.
    *buf.offload_mut() = offload;
    Ok(new as i32 - old as i32)
}

/// Writes the text, and what the headers say of it.
fn finish(head: &mut [u8], edit: &Edit, text: &[u8], (by, partial): (i32, bool)) -> Option<()> {
    let (l3, l4) = (usize::from(edit.l3), usize::from(edit.l4));
    bytes::put(head, usize::from(edit.at), text)?;
    let is_ipv6 = bytes::u8_at(head, l3)? >> 4 == 6;
    let off = if is_ipv6 { ipv6::OFF_PAYLOAD_LEN } else { ipv4::OFF_TOTAL_LEN };
    let len = i32::from(bytes::u16_at(head, l3 + off)?).checked_add(by)?;
    let len = u16::try_from(len).ok()?;
    bytes::put(head, l3 + off, &len.to_be_bytes())?;
    let end = l3 + usize::from(len) + if is_ipv6 { ipv6::HEADER_LEN } else { 0 };
    let size = end.checked_sub(l4)?;
    let pseudo = if is_ipv6 {
        let (src, dst) =
            (bytes::u128_at(head, l3 + ipv6::OFF_SRC)?, bytes::u128_at(head, l3 + ipv6::OFF_DST)?);
        pseudo_v6(src, dst, ip::PROTO_TCP, size as u32)
    } else {
        bytes::put(head, l3 + ipv4::OFF_CHECKSUM, &[0, 0])?;
        let sum = checksum(head.get(l3..l4)?);
        bytes::put(head, l3 + ipv4::OFF_CHECKSUM, &sum.to_be_bytes())?;
        let (src, dst) = (bytes::u32_at(head, l3 + ipv4::OFF_SRC)?, bytes::u32_at(head, l3 + ipv4::OFF_DST)?);
        pseudo_v4(src, dst, ip::PROTO_TCP, u16::try_from(size).ok()?)
    };
    store_sum(head, (l4, end), pseudo, partial)
}

/// Stores TCP's checksum: of the segment, or only of the pseudo header if the rest is to be summed later.
fn store_sum(head: &mut [u8], (l4, end): (usize, usize), pseudo: Sum, partial: bool) -> Option<()> {
    let at = l4 + tcp::OFF_CHECKSUM;
    if partial {
        return bytes::put(head, at, &pseudo.fold().to_be_bytes());
    }
    bytes::put(head, at, &[0, 0])?;
    let sum = pseudo.bytes(head.get(l4..end)?).finish();
    bytes::put(head, at, &sum.to_be_bytes())
}
