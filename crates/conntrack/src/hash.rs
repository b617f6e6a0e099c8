//! The keyed hash of a tuple, the same for both directions.
//!
//! Where it sits: says in which shard, and where in its index, a connection is found.
//!
//! The two endpoints are hashed alone and added, so that a packet and its reply find the same slot: a connection
//! without translation needs one entry in one index. The seed keeps others from choosing colliding tuples.

use crate::Tuple;

/// The table's secret.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seed {
    a: u64,
    b: u64,
}

/// The 128-bit product, folded: every bit of the result depends on every bit of both numbers.
const fn fold(x: u64, y: u64) -> u64 {
    let product = x as u128 * y as u128;
    (product >> 64) as u64 ^ product as u64
}

impl Seed {
    pub(crate) const fn new([a, b]: [u64; 2]) -> Seed {
        // A seed of zeros must still mix.
        Seed { a: a ^ 0x9e37_79b9_7f4a_7c15, b: b ^ 0xd1b5_4a32_d192_ed03 }
    }

    fn endpoint(self, addr: u128, port: u16) -> u64 {
        let x = fold((addr >> 64) as u64 ^ self.a, addr as u64 ^ self.b);
        fold(x ^ 0xa076_1d64_78bd_642f, self.a ^ (port as u64) << 17 ^ 0xe703_7ed1_a0b4_28db)
    }

    /// The same over IPv4: one product, for address and port fit a word.
    const fn endpoint_v4(self, addr: u32, port: u16) -> u64 {
        fold((addr as u64) << 16 ^ port as u64 ^ self.a, self.b)
    }

    /// The hash of a connection's tuples.
    pub(crate) fn tuple(self, t: &Tuple) -> u64 {
        if !t.is_ipv6 {
            return self.v4((t.src as u32, t.src_port), (t.dst as u32, t.dst_port), t.proto, t.zone);
        }
        let ends = self.endpoint(t.src, t.src_port).wrapping_add(self.endpoint(t.dst, t.dst_port));
        self.whole(ends, t.proto, t.zone, true)
    }

    /// The same of a connection over IPv4, by its endpoints.
    #[inline]
    pub(crate) const fn v4(self, a: (u32, u16), b: (u32, u16), proto: u8, zone: u16) -> u64 {
        let ends = self.endpoint_v4(a.0, a.1).wrapping_add(self.endpoint_v4(b.0, b.1));
        self.whole(ends, proto, zone, false)
    }

    const fn whole(self, ends: u64, proto: u8, zone: u16, is_ipv6: bool) -> u64 {
        let rest = (zone as u64) << 16 | (proto as u64) << 8 | is_ipv6 as u64;
        fold(ends ^ self.b, rest ^ self.a)
    }

    /// Another hash, of one direction: for choosing addresses and ports.
    pub(crate) fn choice(self, t: &Tuple) -> u64 {
        let to = self.endpoint(t.dst, t.dst_port).rotate_left(31);
        fold(self.endpoint(t.src, t.src_port) ^ to, u64::from(t.zone) << 8 ^ u64::from(t.proto) ^ self.b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_hash_alike_and_others_do_not() {
        let seed = Seed::new([0, 0]);
        let t = Tuple {
            src: 0x0a01_0101,
            dst: 0x0a01_0102,
            src_port: 1,
            dst_port: 2,
            proto: 6,
            ..Tuple::default()
        };
        assert_eq!(seed.tuple(&t), seed.tuple(&t.reversed()));
        assert_ne!(seed.tuple(&t), seed.tuple(&Tuple { zone: 1, ..t }));
        assert_ne!(seed.tuple(&t), seed.tuple(&Tuple { src_port: 2, dst_port: 1, ..t }));
    }

    #[test]
    fn many_clients_spread() {
        let seed = Seed::new([1, 2]);
        let mut shards = [0u32; 256];
        for i in 0..25_600u32 {
            let t = Tuple {
                src: 0x0a00_0000 + u128::from(i),
                dst: 1,
                src_port: i as u16,
                dst_port: 80,
                proto: 6,
                ..Tuple::default()
            };
            shards[(seed.tuple(&t) >> 56) as usize] += 1;
        }
        assert!(shards.iter().all(|&n| (50..=160).contains(&n)), "{shards:?}");
    }
}
