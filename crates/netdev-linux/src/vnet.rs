//! The virtio-net header before each frame, and what it says in our terms.
//!
//! Where it sits: between the kernel's ports and `packet::Offload`, both ways.
//!
//! ~~~text
//!  0     1         2          4          6            8
//! | flags| gso type| hdr len  | gso size | csum start | csum offset |   in the machine's byte order
//! ~~~
//!
//! A frame and its header travel in one piece, the header in the frame's headroom: the kernel looks at each piece of a packet apart.
//!
//! Spec: virtio 1.1 §5.1.6 (without the number of buffers).

use netdev::Frame;
use packet::{L4Checksum, Offload, PacketBuf, Segmentation, SegmentationKind};

use crate::sys::VNET_LEN;

const NEEDS_CSUM: u8 = 1;
const DATA_VALID: u8 = 2;
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_UDP_L4: u8 = 5;
const GSO_ECN: u8 = 0x80;

/// The header asks for something that we do not know: the packet cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnknownOffload;

fn u16_at(h: &[u8; VNET_LEN], at: usize) -> u16 {
    u16::from_ne_bytes([h[at], h[at + 1]])
}

/// What a received packet's header says.
pub(crate) fn decode(h: &[u8; VNET_LEN]) -> Result<Offload, UnknownOffload> {
    let l4 = if h[0] & NEEDS_CSUM != 0 {
        L4Checksum::Partial { start: u16_at(h, 6), offset: u16_at(h, 8) }
    } else if h[0] & DATA_VALID != 0 {
        L4Checksum::Good
    } else {
        L4Checksum::Unknown
    };
    let kind = match h[1] & !GSO_ECN {
        GSO_NONE => return Ok(Offload { l4, ..Offload::default() }),
        GSO_TCPV4 => SegmentationKind::TcpV4,
        GSO_TCPV6 => SegmentationKind::TcpV6,
        GSO_UDP_L4 => SegmentationKind::Udp,
        _ => return Err(UnknownOffload),
    };
    let size = u16_at(h, 4);
    if size == 0 {
        return Err(UnknownOffload);
    }
    Ok(Offload {
        l4,
        segment: Some(Segmentation { kind, size, ecn: h[1] & GSO_ECN != 0 }),
        ..Offload::default()
    })
}

/// The header that tells a frame's offload state to the kernel.
pub(crate) fn encode(frame: &Frame) -> [u8; VNET_LEN] {
    let mut h = [0; VNET_LEN];
    let offload = frame.offload();
    if let L4Checksum::Partial { start, offset } = offload.l4 {
        h[0] = NEEDS_CSUM;
        h[6..8].copy_from_slice(&start.to_ne_bytes());
        h[8..10].copy_from_slice(&offset.to_ne_bytes());
    }
    if let Some(s) = offload.segment {
        h[1] = match s.kind {
            SegmentationKind::TcpV4 => GSO_TCPV4,
            SegmentationKind::TcpV6 => GSO_TCPV6,
            SegmentationKind::Udp => GSO_UDP_L4,
        } | if s.ecn { GSO_ECN } else { 0 };
        h[2..4].copy_from_slice(&header_len(frame, offload).to_ne_bytes());
        h[4..6].copy_from_slice(&s.size.to_ne_bytes());
    }
    h
}

/// The memory of `slot` for a header and a frame behind it; what is written there is taken in by [`received`].
pub(crate) fn room(slot: &mut Frame) -> &mut [u8] {
    slot.reset(Frame::HEADROOM - VNET_LEN);
    slot.spare()
}

/// Takes in `n` bytes that were written to [`room`], none if nothing was: `slot` is the frame, with its usual headroom; its
/// header is the result, `None` if there is no frame.
pub(crate) fn received(slot: &mut Frame, n: usize) -> Option<[u8; VNET_LEN]> {
    slot.extend(n);
    let mut header = [0; VNET_LEN];
    slot.copy_out(0, &mut header);
    if n > VNET_LEN && slot.pull_front(VNET_LEN) {
        return Some(header);
    }
    slot.reset(Frame::HEADROOM);
    None
}

/// Writes a frame's header before it; false, and no change, if it has no headroom for that.
pub(crate) fn put_on(frame: &mut Frame) -> bool {
    let header = encode(frame);
    frame.push_front(VNET_LEN).map(|room| room.copy_from_slice(&header)).is_some()
}

/// Undoes [`put_on`].
pub(crate) fn take_off(frame: &mut Frame) {
    // It is there.
    let _ = frame.pull_front(VNET_LEN);
}

/// Bytes of all headers: what the kernel keeps in one piece.
fn header_len(frame: &Frame, offload: &Offload) -> u16 {
    let (L4Checksum::Partial { start, .. }, Some(s)) = (offload.l4, offload.segment) else { return 0 };
    let l4 = match s.kind {
        SegmentationKind::Udp => 8,
        _ => {
            let offset = wire::bytes::u8_at(frame.frame(), usize::from(start) + 12).unwrap_or(0x50) >> 4;
            u16::from(offset) * 4
        }
    };
    start.saturating_add(l4).min(u16::try_from(frame.len()).unwrap_or(u16::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn offload() -> impl Strategy<Value = Offload> {
        let l4 = prop_oneof![
            Just(L4Checksum::Unknown),
            (14u16..200, 0u16..40).prop_map(|(start, offset)| L4Checksum::Partial { start, offset }),
        ];
        let kind = prop_oneof![
            Just(SegmentationKind::TcpV4),
            Just(SegmentationKind::TcpV6),
            Just(SegmentationKind::Udp)
        ];
        let segment = prop::option::of((kind, 1u16.., any::<bool>()))
            .prop_map(|s| s.map(|(kind, size, ecn)| Segmentation { kind, size, ecn }));
        (l4, segment).prop_map(|(l4, segment)| Offload { l4, segment, ..Offload::default() })
    }

    proptest! {
        #[test]
        fn what_is_sent_is_what_was_received(offload in offload(), len in 0usize..400) {
            let mut frame = Frame::try_from_frame(&vec![0x50; len]).unwrap();
            *frame.offload_mut() = offload;
            let header = encode(&frame);
            prop_assert_eq!(decode(&header), Ok(offload));
            prop_assert!(usize::from(u16_at(&header, 2)) <= len);
        }

        #[test]
        fn any_header_is_read(h: [u8; VNET_LEN]) {
            if let Ok(offload) = decode(&h) {
                prop_assert!(offload.segment.is_none_or(|s| s.size != 0));
            }
        }
    }

    #[test]
    fn a_frame_travels_behind_its_header() {
        let mut slot = Frame::try_with_capacity(100, Frame::HEADROOM).unwrap();
        let mut sent = Frame::try_from_frame(&[7; 60]).unwrap();
        sent.offload_mut().l4 = L4Checksum::Partial { start: 34, offset: 6 };
        let before = sent.clone();
        assert!(put_on(&mut sent) && sent.len() == VNET_LEN + 60);
        room(&mut slot)[..VNET_LEN + 60].copy_from_slice(sent.frame());
        let header = received(&mut slot, VNET_LEN + 60).unwrap();
        assert_eq!((decode(&header), slot.frame()), (Ok(*before.offload()), before.frame()));
        take_off(&mut sent);
        assert_eq!((sent.frame(), sent.offload()), (before.frame(), before.offload()));
        // A header alone is no frame, and the slot is as it was.
        for n in [VNET_LEN, 3, 0] {
            room(&mut slot);
            assert_eq!((received(&mut slot, n), slot.len()), (None, 0));
        }
        assert!(slot.push_front(Frame::HEADROOM).is_some(), "with its headroom");
        assert!(put_on(&mut slot), "and, as the frame moves, without");
    }

    #[test]
    fn the_headers_of_a_super_packet_are_counted() {
        let mut frame = Frame::try_from_frame(&[0x80; 3000]).unwrap();
        frame.offload_mut().l4 = L4Checksum::Partial { start: 34, offset: 16 };
        frame.offload_mut().segment =
            Some(Segmentation { kind: SegmentationKind::TcpV4, size: 1448, ecn: false });
        let h = encode(&frame);
        assert_eq!((h[0], h[1]), (1, 1));
        assert_eq!((u16_at(&h, 2), u16_at(&h, 4), u16_at(&h, 6), u16_at(&h, 8)), (34 + 32, 1448, 34, 16));
    }
}
