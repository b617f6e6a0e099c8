//! Headers and buffers: what `wire` and `packet` do with bytes.
//!
//! Where it sits: called by `exercise`.

use packet::{FlatPacket, PacketBuf};

/// A frame whose every byte depends on `seed`.
pub(crate) fn frame(seed: u64) -> Option<FlatPacket> {
    let mut bytes = [0u8; 96];
    let mut state = seed;
    for byte in &mut bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *byte = (state >> 56) as u8;
    }
    FlatPacket::try_from_frame(&bytes)
}

pub(crate) fn exercise(seed: u64) -> u64 {
    let Some(packet) = frame(seed) else { return 0 };
    let sum = wire::checksum::checksum(packet.head());
    let crc = wire::sctp::crc32c(packet.head());
    let payload = wire::ipv6::walk_extensions(packet.head(), seed as u8);
    u64::from(sum) ^ u64::from(crc) << 16 ^ u64::from(payload.proto)
}
