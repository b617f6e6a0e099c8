//! The Internet checksum: whole, over pieces, and its incremental update (RFC 1071, RFC 1624).
//!
//! Where it sits: used by header rewriting, by NAT, by hosts that must complete a partial checksum, and by tests as
//! the full recomputation that incremental updates are compared with.
//!
//! A sum here is the 32- or 64-bit accumulation of big-endian 16-bit words; `finish` folds and complements it.

use crate::ipv4;

/// An unfinished one's complement sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum(u64);

impl Sum {
    /// The empty sum.
    pub const fn new() -> Sum {
        Sum(0)
    }

    /// Adds `bytes`, which begin at an even offset of the summed data.
    ///
    /// They are summed as little-endian words; the sum's bytes are swapped once (RFC 1071, section 2B).
    #[must_use]
    #[inline]
    pub fn bytes(self, bytes: &[u8]) -> Sum {
        self.add(u64::from(Sum::as_they_lie(bytes).fold().swap_bytes()))
    }

    /// The sum of `bytes` as little-endian words.
    #[inline(always)]
    fn as_they_lie(bytes: &[u8]) -> Sum {
        let (long, short) = bytes.as_chunks::<32>();
        let mut acc = if long.is_empty() { Sum::new() } else { Sum(long_sum(long)) };
        let (words, tail) = short.as_chunks::<8>();
        for word in words {
            acc = acc.add(u64::from_le_bytes(*word));
        }
        // Fewer than eight bytes: those of a last word that begins earlier, or each by itself.
        let rest = match bytes.last_chunk::<8>() {
            _ if tail.is_empty() => 0,
            Some(last) => u64::from_le_bytes(*last) >> (64 - 8 * tail.len()),
            None => tail.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
        };
        acc.add(rest)
    }

    /// Adds one 16-bit word.
    #[must_use]
    pub const fn u16(self, word: u16) -> Sum {
        self.add(word as u64)
    }

    /// Adds a 32-bit number as two words.
    #[must_use]
    pub const fn u32(self, word: u32) -> Sum {
        self.add(word as u64)
    }

    /// Adds a 128-bit number, such as an IPv6 address.
    #[must_use]
    pub const fn u128(self, n: u128) -> Sum {
        self.add((n >> 96) as u64)
            .add((n >> 64) as u64 & 0xffff_ffff)
            .add((n >> 32) as u64 & 0xffff_ffff)
            .add(n as u64 & 0xffff_ffff)
    }

    const fn add(self, n: u64) -> Sum {
        let (sum, carry) = self.0.overflowing_add(n);
        Sum(sum.wrapping_add(carry as u64))
    }

    /// The sum folded to 16 bits, not complemented.
    pub const fn fold(self) -> u16 {
        let mut s = (self.0 >> 32) + (self.0 & 0xffff_ffff);
        s = (s >> 16) + (s & 0xffff);
        s = (s >> 16) + (s & 0xffff);
        s = (s >> 16) + (s & 0xffff);
        s as u16
    }

    /// True if [`Sum::finish`] is zero: what was summed has a right checksum in it.
    const fn is_right(self) -> bool {
        // A carry that comes round again leaves the remainder as it was.
        self.0 != 0 && self.0.is_multiple_of(0xffff)
    }

    /// The checksum to be stored: folded and complemented.
    pub const fn finish(self) -> u16 {
        !self.fold()
    }
}

/// The sum of many little-endian words: in lanes, for the vector unit.
#[inline(never)]
fn long_sum(chunks: &[[u8; 32]]) -> u64 {
    let mut lanes = [0u64; 8];
    for chunk in chunks {
        let (words, _) = chunk.as_chunks::<4>();
        for (lane, word) in lanes.iter_mut().zip(words) {
            *lane += u64::from(u32::from_le_bytes(*word));
        }
    }
    lanes.iter().fold(Sum::new(), |sum, lane| sum.add(*lane)).0
}

/// True if `header`, of IPv4 without options, has a right checksum.
#[inline(always)]
pub fn is_right(header: &[u8; ipv4::HEADER_LEN]) -> bool {
    // Right in either order of bytes.
    Sum::as_they_lie(header).is_right()
}

/// True if the checksum of `segment`, of TCP or UDP behind such a header, is right.
#[inline(always)]
pub fn is_right_v4(header: &[u8; ipv4::HEADER_LEN], segment: &[u8]) -> bool {
    let [_, _, _, _, _, _, _, _, _, proto, _, _, addresses @ ..] = *header;
    let proto_and_len = u64::from(proto) << 8 | u64::from((segment.len() as u16).swap_bytes()) << 16;
    let pseudo = Sum::new().add(u64::from_le_bytes(addresses)).add(proto_and_len);
    pseudo.add(Sum::as_they_lie(segment).0).is_right()
}

/// The checksum of `bytes`.
pub fn checksum(bytes: &[u8]) -> u16 {
    Sum::new().bytes(bytes).finish()
}

/// The pseudo header of TCP, UDP and ICMPv6 over IPv4 (RFC 793) to be summed before the segment.
pub fn pseudo_v4(src: u32, dst: u32, proto: u8, len: u16) -> Sum {
    Sum::new().u32(src).u32(dst).u16(u16::from(proto)).u16(len)
}

/// The pseudo header over IPv6 (RFC 8200 §8.1).
pub fn pseudo_v6(src: u128, dst: u128, proto: u8, len: u32) -> Sum {
    Sum::new().u128(src).u128(dst).u32(len).u16(u16::from(proto))
}

/// The checksum after a 16-bit word under it changed from `old` to `new` (RFC 1624, equation 3).
pub const fn update_u16(sum: u16, old: u16, new: u16) -> u16 {
    Sum::new().u16(!sum).u16(!old).u16(new).finish()
}

/// The checksum after a 32-bit number under it changed.
pub const fn update_u32(sum: u16, old: u32, new: u32) -> u16 {
    Sum::new().u16(!sum).u32(!old).u32(new).finish()
}

/// The checksum after a 128-bit number under it changed.
pub const fn update_u128(sum: u16, old: u128, new: u128) -> u16 {
    Sum::new().u16(!sum).u128(!old).u128(new).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc1071_example() {
        assert_eq!(Sum::new().bytes(&[0, 1, 0xf2, 3, 0xf4, 0xf5, 0xf6, 0xf7]).fold(), 0xddf2);
        assert_eq!(checksum(&[0xff]), !0xff00);
    }

    #[test]
    fn every_length_is_summed_word_by_word() {
        let data: [u8; 200] = core::array::from_fn(|n| ((n * n) >> 3) as u8 ^ 0xa5);
        for (from, to) in (0..80).flat_map(|from| (from..data.len()).map(move |to| (from, to))) {
            let bytes = &data[from..to];
            let plain = bytes.chunks(2).fold(0u64, |sum, pair| {
                sum + (u64::from(pair[0]) << 8) + pair.get(1).map_or(0, |low| u64::from(*low))
            });
            assert_eq!(Sum::new().bytes(bytes).fold(), Sum(plain).fold(), "{from} to {to}");
        }
        assert_eq!(Sum::new().bytes(&[0xff; 4000]).fold(), 0xffff);
        assert_eq!(Sum::new().bytes(&[0; 4001]).fold(), 0);
    }

    #[test]
    fn what_is_right_finishes_to_zero() {
        let mut header = [0x45u8, 7, 0, 0, 1, 2, 3, 4, 64, 17, 0, 0, 10, 200, 0, 1, 10, 0, 255, 2];
        let mut data: [u8; 80] = core::array::from_fn(|n| (n * n) as u8 ^ 0xa5);
        for len in 8..80 {
            let segment = &mut data[..usize::from(len)];
            (header[3], header[10], header[11]) = (20 + len, 0, 0);
            (segment[6], segment[7]) = (0, 0);
            let pseudo = pseudo_v4(0x0ac8_0001, 0x0a00_ff02, 17, len.into());
            let [own, of_segment] = [checksum(&header), pseudo.bytes(segment).finish()].map(u16::to_be_bytes);
            header[10..12].copy_from_slice(&own);
            segment[6..8].copy_from_slice(&of_segment);
            assert!(is_right(&header) && is_right_v4(&header, segment), "{len}");
            for at in 0..segment.len() {
                segment[at] ^= 0x10;
                assert!(!is_right_v4(&header, segment), "{len}, {at}");
                segment[at] ^= 0x10;
            }
            for at in 0..header.len() {
                let mut broken = header;
                broken[at] ^= 0x10;
                let in_pseudo = (12..20).contains(&at) || at == 9;
                assert_eq!((is_right(&broken), is_right_v4(&broken, segment)), (false, !in_pseudo), "{at}");
            }
        }
        assert!(!is_right(&[0; 20]));
    }

    #[test]
    fn an_update_equals_a_recomputation() {
        let mut data = [0x45u8, 0, 0, 40, 1, 2, 3, 4, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        let before = checksum(&data);
        data[12..16].copy_from_slice(&[192, 168, 7, 9]);
        assert_eq!(update_u32(before, 0x0a00_0001, 0xc0a8_0709), checksum(&data));
    }
}
