//! Hashes of a packet, bit for bit those of Open vSwitch, so that a packet takes the same way through either switch.
//!
//! Where it sits: select groups, `multipath` and `bundle` choose by them.
//!
//! Two mixers: MurmurHash3's 32-bit one over words ([`Words`]), and Jenkins's lookup3 over bytes ([`jenkins`]). Words are
//! read from packets' bytes in little-endian order.
//!
//! Invariant: what a hash looked at is significant afterwards (I1 of the crate).

use flow::{FlowKey, Wildcards, slot};
use openflow::actions::HashFields;
use wire::eth::{self, VLAN_CFI, VLAN_VID_MASK};

const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;

/// MurmurHash3 over 32-bit words.
#[derive(Clone, Copy)]
pub struct Words(u32);

impl Words {
    /// Begins with a basis.
    pub const fn new(basis: u32) -> Words {
        Words(basis)
    }

    /// Mixes a word in.
    pub const fn add(self, word: u32) -> Words {
        let word = word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
        Words((self.0 ^ word).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64))
    }

    /// Mixes two words in, the low one first.
    pub const fn add64(self, words: u64) -> Words {
        self.add(words as u32).add((words >> 32) as u32)
    }

    /// The hash.
    pub const fn finish(self, last: u32) -> u32 {
        let mut h = self.0 ^ last;
        h = (h ^ h >> 16).wrapping_mul(0x85eb_ca6b);
        h = (h ^ h >> 13).wrapping_mul(0xc2b2_ae35);
        h ^ h >> 16
    }
}

/// Of two words.
pub const fn of_two(a: u32, b: u32) -> u32 {
    Words::new(a).add(0).add(b).finish(8)
}

/// Of a 64-bit number.
pub const fn of_u64(n: u64) -> u32 {
    Words::new(0).add64(n).finish(8)
}

/// Of bytes.
pub fn of_bytes(bytes: &[u8], basis: u32) -> u32 {
    let mixed = bytes.chunks(4).fold(Words::new(basis), |h, chunk| h.add(little_endian(chunk)));
    mixed.finish(bytes.len() as u32)
}

/// At most four bytes as a number.
fn little_endian(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |n, b| n << 8 | u32::from(*b))
}

/// Jenkins's lookup3.
pub fn jenkins(bytes: &[u8], basis: u32) -> u32 {
    let start = 0xdead_beef_u32.wrapping_add(bytes.len() as u32).wrapping_add(basis);
    let mut state = [start; 3];
    let mut rest = bytes;
    while let Some((block, more)) = rest.split_at_checked(12) {
        absorb(&mut state, block);
        mix(&mut state);
        rest = more;
    }
    if !rest.is_empty() {
        absorb(&mut state, rest);
        finish(&mut state);
    }
    state[2]
}

fn absorb(state: &mut [u32; 3], block: &[u8]) {
    for (word, bytes) in state.iter_mut().zip(block.chunks(4)) {
        *word = word.wrapping_add(little_endian(bytes));
    }
}

fn mix([a, b, c]: &mut [u32; 3]) {
    let step = |x: &mut u32, y: &mut u32, z: &mut u32, by| {
        *x = x.wrapping_sub(*z) ^ z.rotate_left(by);
        *z = z.wrapping_add(*y);
    };
    step(a, b, c, 4);
    step(b, c, a, 6);
    step(c, a, b, 8);
    step(a, b, c, 16);
    step(b, c, a, 19);
    step(c, a, b, 4);
}

fn finish([a, b, c]: &mut [u32; 3]) {
    let step = |x: &mut u32, y: u32, by| *x = (*x ^ y).wrapping_sub(y.rotate_left(by));
    step(c, *b, 14);
    step(a, *c, 11);
    step(b, *a, 25);
    step(c, *b, 16);
    step(a, *c, 4);
    step(b, *a, 14);
    step(c, *b, 24);
}

/// The hash that an action asks for; what it looks at becomes significant in `wc`.
pub fn of_flow(key: &FlowKey, wc: &mut Wildcards, fields: HashFields, basis: u16) -> u32 {
    let basis = u32::from(basis);
    match fields {
        HashFields::EthSrc => {
            wc.unwildcard(slot::eth_src);
            jenkins(&key.eth_src().0, basis)
        }
        HashFields::SymmetricL4 => symmetric_l4(key, wc, basis),
        HashFields::SymmetricL3L4 => symmetric_l3l4(key, wc, basis, &[TCP, SCTP]),
        HashFields::SymmetricL3L4Udp => symmetric_l3l4(key, wc, basis, &[TCP, SCTP, UDP]),
        HashFields::NwSrc => of_address(key, wc, basis, slot::nw_src, slot::ipv6_src),
        HashFields::NwDst => of_address(key, wc, basis, slot::nw_dst, slot::ipv6_dst),
        HashFields::SymmetricL3 => symmetric_l3(key, wc, basis),
    }
}

fn of_address(key: &FlowKey, wc: &mut Wildcards, basis: u32, v4: flow::Slot, v6: flow::Slot) -> u32 {
    match key.eth_type() {
        eth::TYPE_IPV4 => {
            wc.unwildcard(v4);
            jenkins(&(key.get(v4) as u32).to_be_bytes(), basis)
        }
        eth::TYPE_IPV6 => {
            wc.unwildcard(v6);
            jenkins(&key.get(v6).to_be_bytes(), basis)
        }
        _ => basis,
    }
}

/// The VLAN ids of both tags, mixed, and the Ethernet addresses, equal for both directions.
fn l2(key: &FlowKey, wc: &mut Wildcards) -> (u16, [u8; 6]) {
    for s in [slot::eth_src, slot::eth_dst] {
        wc.unwildcard(s);
    }
    let mut vlan = 0;
    for s in [slot::vlan_tci, slot::vlan2_tci] {
        let looked_at = wc.get(s) | u128::from(VLAN_VID_MASK | VLAN_CFI);
        wc.set(s, looked_at);
        vlan ^= key.get(s) as u16 & VLAN_VID_MASK;
    }
    let mut mac = key.eth_src().0;
    mac.iter_mut().zip(key.eth_dst().0).for_each(|(a, b)| *a ^= b);
    (vlan, mac)
}

fn symmetric_l2(key: &FlowKey, wc: &mut Wildcards, basis: u32) -> u32 {
    let (vlan, mac) = l2(key, wc);
    let mut bytes = [0; 12];
    bytes[..2].copy_from_slice(&key.eth_type().to_be_bytes());
    bytes[2..4].copy_from_slice(&vlan.to_be_bytes());
    bytes[4..10].copy_from_slice(&mac);
    bytes.chunks(4).fold(Words::new(basis), |h, word| h.add(little_endian(word))).finish(basis)
}

/// The IP addresses, mixed; `None` for what is not IP.
fn symmetric_addresses(key: &FlowKey, wc: &mut Wildcards, basis: u32) -> Option<Words> {
    match key.eth_type() {
        eth::TYPE_IPV4 => {
            wc.unwildcard(slot::nw_src);
            wc.unwildcard(slot::nw_dst);
            Some(Words::new(basis).add((key.nw_src() ^ key.nw_dst()).swap_bytes()))
        }
        eth::TYPE_IPV6 => {
            wc.unwildcard(slot::ipv6_src);
            wc.unwildcard(slot::ipv6_dst);
            let mixed = (key.ipv6_src() ^ key.ipv6_dst()).swap_bytes();
            Some(Words::new(basis).add64(mixed as u64).add64((mixed >> 64) as u64))
        }
        _ => None,
    }
}

fn symmetric_l3(key: &FlowKey, wc: &mut Wildcards, basis: u32) -> u32 {
    let mut bytes = [0; 20];
    if symmetric_addresses(key, wc, 0).is_some() {
        put_addresses(key, &mut bytes);
    }
    bytes[16..18].copy_from_slice(&key.eth_type().to_be_bytes());
    jenkins(&bytes, basis)
}

/// Writes both IP addresses, mixed.
fn put_addresses(key: &FlowKey, bytes: &mut [u8]) {
    if key.eth_type() == eth::TYPE_IPV4 {
        bytes[..4].copy_from_slice(&(key.nw_src() ^ key.nw_dst()).to_be_bytes());
    } else {
        bytes[..16].copy_from_slice(&(key.ipv6_src() ^ key.ipv6_dst()).to_be_bytes());
    }
}

/// Both ports, mixed, for protocols among `with_ports`.
fn symmetric_ports(key: &FlowKey, wc: &mut Wildcards, with_ports: &[u8]) -> Option<u16> {
    wc.unwildcard(slot::nw_proto);
    with_ports.contains(&key.nw_proto()).then(|| {
        wc.unwildcard(slot::tp_src);
        wc.unwildcard(slot::tp_dst);
        key.tp_src() ^ key.tp_dst()
    })
}

fn symmetric_l3l4(key: &FlowKey, wc: &mut Wildcards, basis: u32, with_ports: &[u8]) -> u32 {
    let Some(h) = symmetric_addresses(key, wc, basis) else { return symmetric_l2(key, wc, basis) };
    let ports = symmetric_ports(key, wc, with_ports);
    let h = h.add(u32::from(key.nw_proto()));
    ports.map_or(h, |ports| h.add(u32::from(ports.swap_bytes()))).finish(basis)
}

/// Of addresses from Ethernet to ports, equal for both directions. UDP's ports are left out: those of a question and
/// of its answer need not be the same pair.
pub fn symmetric_l4(key: &FlowKey, wc: &mut Wildcards, basis: u32) -> u32 {
    let (vlan, mac) = l2(key, wc);
    let mut bytes = [0; 32];
    let mut proto = 0;
    let mut ports = 0;
    if symmetric_addresses(key, wc, 0).is_some() {
        put_addresses(key, &mut bytes);
        proto = key.nw_proto();
        ports = symmetric_ports(key, wc, &[TCP, SCTP]).unwrap_or(0);
    }
    bytes[16..18].copy_from_slice(&key.eth_type().to_be_bytes());
    bytes[18..20].copy_from_slice(&vlan.to_be_bytes());
    bytes[20..22].copy_from_slice(&ports.to_be_bytes());
    bytes[22..28].copy_from_slice(&mac);
    bytes[28] = proto;
    jenkins(&bytes, basis)
}
