//! Partial transport checksums: completed, and recognised.
//!
//! Where it sits: see the parent module. What is summed is said at [`packet::L4Checksum::complete`].

use packet::{L4Checksum, PacketBuf};
use wire::bytes;
use wire::checksum::{pseudo_v4, pseudo_v6};
use wire::eth;

use crate::Frame;

/// Completes the transport checksum of `frame` if it is partial.
pub fn complete_checksum(frame: &mut Frame) {
    let l4 = frame.offload().l4;
    frame.offload_mut().l4 = l4.complete(frame.head_mut());
}

const IPPROTO_TCP: u8 = 6;
const IPPROTO_UDP: u8 = 17;
/// Where UDP has its checksum, from its header.
const UDP_CHECKSUM_OFFSET: u16 = 6;
/// IPv4's flag "more fragments" and its offset.
const FRAGMENT: u16 = 0x3fff;

/// The partial checksum of a frame whose device does not tell: the checksum of TCP or UDP, not of a fragment, is that of
/// the pseudo header alone. One packet in 65,536 has a whole checksum that looks the same; it is made again, and comes out
/// the same if the packet was right.
pub fn partial_checksum(frame: &[u8]) -> Option<L4Checksum> {
    let mut l3 = eth::HEADER_LEN;
    while eth::is_vlan(bytes::u16_at(frame, l3 - 2)?) {
        l3 += eth::VLAN_LEN;
    }
    let (start, proto, pseudo) = match bytes::u16_at(frame, l3 - 2)? {
        eth::TYPE_IPV4 if bytes::u16_at(frame, l3 + 6)? & FRAGMENT == 0 => {
            let header = u16::from(bytes::u8_at(frame, l3)? & 0xf) * 4;
            let proto = bytes::u8_at(frame, l3 + 9)?;
            let len = bytes::u16_at(frame, l3 + 2)?.checked_sub(header)?;
            let (src, dst) = (bytes::u32_at(frame, l3 + 12)?, bytes::u32_at(frame, l3 + 16)?);
            (l3 + usize::from(header), proto, pseudo_v4(src, dst, proto, len))
        }
        eth::TYPE_IPV6 => {
            let proto = bytes::u8_at(frame, l3 + 6)?;
            let (src, dst) = (bytes::u128_at(frame, l3 + 8)?, bytes::u128_at(frame, l3 + 24)?);
            (l3 + 40, proto, pseudo_v6(src, dst, proto, bytes::u16_at(frame, l3 + 4)?.into()))
        }
        _ => return None,
    };
    let offset: u16 = match proto {
        IPPROTO_TCP => 16,
        IPPROTO_UDP => UDP_CHECKSUM_OFFSET,
        _ => return None,
    };
    let sum = bytes::u16_at(frame, start + usize::from(offset))?;
    (sum == pseudo.fold()).then_some(L4Checksum::Partial { start: start as u16, offset })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A frame of UDP or TCP over IPv4 or IPv6, its checksum that of the pseudo header.
    fn partial(v6: bool, proto: u8, tags: usize, payload: &[u8]) -> (Vec<u8>, usize) {
        let l4_len = if proto == IPPROTO_TCP { 20 } else { 8 } + payload.len() as u16;
        let mut f = vec![2; 12];
        (0..tags).for_each(|_| f.extend([0x81, 0, 0, 5]));
        let pseudo = if v6 {
            f.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            f.extend(l4_len.to_be_bytes());
            f.extend([proto, 64]);
            f.extend([0xfd; 16]);
            f.extend([0xfe; 16]);
            pseudo_v6(u128::from_be_bytes([0xfd; 16]), u128::from_be_bytes([0xfe; 16]), proto, l4_len.into())
        } else {
            f.extend([8, 0, 0x45, 0]);
            f.extend((20 + l4_len).to_be_bytes());
            f.extend([0, 1, 0x40, 0, 64, proto, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
            pseudo_v4(0x0a00_0001, 0x0a00_0002, proto, l4_len)
        };
        let start = f.len();
        f.resize(start + usize::from(l4_len) - payload.len(), 0);
        f.extend(payload);
        let at = start + if proto == IPPROTO_TCP { 16 } else { 6 };
        f[at..at + 2].copy_from_slice(&pseudo.fold().to_be_bytes());
        (f, start)
    }

    proptest! {
        #[test]
        fn a_partial_sum_is_recognised_and_a_whole_one_is_not(
            v6: bool, tcp: bool, tags in 0usize..3, payload in prop::collection::vec(any::<u8>(), 1..64),
        ) {
            let (f, start) = partial(v6, if tcp { IPPROTO_TCP } else { IPPROTO_UDP }, tags, &payload);
            let offset = if tcp { 16 } else { UDP_CHECKSUM_OFFSET };
            let expected = L4Checksum::Partial { start: start as u16, offset };
            prop_assert_eq!(partial_checksum(&f), Some(expected));
            let mut frame = Frame::try_from_frame(&f).unwrap();
            frame.offload_mut().l4 = expected;
            complete_checksum(&mut frame);
            let whole = frame.frame().to_vec();
            if whole != f {
                prop_assert_eq!(partial_checksum(&whole), None);
            }
            for end in 0..f.len() - payload.len() {
                // Whatever was cut off.
                let _ = partial_checksum(&f[..end]);
            }
        }

        #[test]
        fn any_frame_is_looked_at(f in prop::collection::vec(any::<u8>(), 0..128)) {
            let _ = partial_checksum(&f);
        }
    }
}
