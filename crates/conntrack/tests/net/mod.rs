//! A table, a virtual clock, and packets to send through it.
#![allow(dead_code, reason = "each test program uses its part")]

use std::time::Duration;

use conntrack::{Commit, Config, Conntrack, CtAction, CtPacket, CtVerdict, DumpCursor, Entry, Nat, NatKind};
use flow::ct_state;
use packet::{L4Checksum, Now, PacketMeta};
use wire::checksum::{Sum, pseudo_v4, pseudo_v6};
use wire::icmp::Icmp;
use wire::ipv4::Ipv4;
use wire::ipv6::Ipv6;
use wire::tcp::{self, Tcp};
use wire::udp::Udp;
use wire::{eth, ip};

/// An endpoint: address and port.
pub type End = (u128, u16);

pub const A: u128 = 0x0a01_0101;
pub const B: u128 = 0x0a01_0102;
pub const N: u128 = 0x0a01_01f0;
pub const A6: u128 = 0xfc00 << 112 | 1;
pub const B6: u128 = 0xfc00 << 112 | 2;
pub const N6: u128 = 0xfc00 << 112 | 0x240;

/// IP and what is above it: the network header is at byte 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub bytes: Vec<u8>,
    pub eth_type: u16,
    pub l4_checksum: L4Checksum,
}

pub fn is_v6(a: u128) -> bool {
    a >> 32 != 0
}

/// A packet with a right checksum at `csum` of its transport.
pub fn packet(src: u128, dst: u128, proto: u8, mut l4: Vec<u8>, csum: Option<usize>) -> Frame {
    if let Some(at) = csum {
        let sum = l4_sum(src, dst, proto, &l4).finish();
        let sum = if sum == 0 && proto == ip::PROTO_UDP { 0xffff } else { sum };
        l4[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    }
    let (mut bytes, eth_type) = if is_v6(src) {
        let h = Ipv6 {
            payload_len: l4.len() as u16,
            next_header: proto,
            hop_limit: 64,
            src,
            dst,
            ..Ipv6::default()
        };
        (h.emit().to_vec(), eth::TYPE_IPV6)
    } else {
        let len = 20 + l4.len() as u16;
        let h = Ipv4 { total_len: len, ttl: 64, proto, src: src as u32, dst: dst as u32, ..Ipv4::default() };
        (h.emit().to_vec(), eth::TYPE_IPV4)
    };
    bytes.extend(l4);
    Frame { bytes, eth_type, l4_checksum: L4Checksum::Unknown }
}

fn l4_sum(src: u128, dst: u128, proto: u8, l4: &[u8]) -> Sum {
    let pseudo = match (is_v6(src), proto) {
        (true, _) => pseudo_v6(src, dst, proto, l4.len() as u32),
        (false, ip::PROTO_ICMP) => Sum::new(),
        _ => pseudo_v4(src as u32, dst as u32, proto, l4.len() as u16),
    };
    pseudo.bytes(l4)
}

pub fn udp(src: End, dst: End, data: &[u8]) -> Frame {
    let length = 8 + data.len() as u16;
    let mut l4 = Udp { src: src.1, dst: dst.1, length, checksum: 0 }.emit().to_vec();
    l4.extend(data);
    packet(src.0, dst.0, ip::PROTO_UDP, l4, Some(6))
}

pub fn tcp(src: End, dst: End, flags: u16, seq: u32, ack: u32, data: &[u8]) -> Frame {
    let mut l4 = Tcp { src: src.1, dst: dst.1, seq, ack, flags, window: 65535, checksum: 0 }.emit().to_vec();
    l4.extend(data);
    packet(src.0, dst.0, ip::PROTO_TCP, l4, Some(tcp::OFF_CHECKSUM))
}

pub fn icmp(src: u128, dst: u128, icmp_type: u8, code: u8, id: u16, data: &[u8]) -> Frame {
    let mut l4 = Icmp { icmp_type, code, id, ..Icmp::default() }.emit().to_vec();
    l4.extend(data);
    let proto = if is_v6(src) { ip::PROTO_ICMPV6 } else { ip::PROTO_ICMP };
    packet(src, dst, proto, l4, Some(2))
}

/// An error about `quoted`: port unreachable.
pub fn error(src: u128, dst: u128, quoted: &Frame) -> Frame {
    let (icmp_type, code) = if is_v6(src) { (1, 4) } else { (3, 3) };
    let cut = quoted.bytes.len().min(if is_v6(src) { 1200 } else { 28 });
    icmp(src, dst, icmp_type, code, 0, &quoted.bytes[..cut])
}

/// Addresses and ports as they now are in the packet.
pub fn ends(f: &Frame) -> (End, End) {
    let b = &f.bytes;
    let at = |i: usize| u16::from_be_bytes([b[i], b[i + 1]]);
    if f.eth_type == eth::TYPE_IPV6 {
        let h = wire::ipv6::Ipv6Ref::parse(b).unwrap();
        ((h.src(), at(40)), (h.dst(), at(42)))
    } else {
        let h = wire::ipv4::Ipv4Ref::parse(b).unwrap();
        ((h.src().into(), at(20)), (h.dst().into(), at(22)))
    }
}

/// True if every checksum of the packet is right.
pub fn checksums_ok(f: &Frame) -> bool {
    let b = &f.bytes;
    if f.eth_type == eth::TYPE_IPV6 {
        let h = wire::ipv6::Ipv6Ref::parse(b).unwrap();
        l4_sum(h.src(), h.dst(), h.next_header(), &b[40..]).finish() == 0
    } else {
        let h = wire::ipv4::Ipv4Ref::parse(b).unwrap();
        let none = h.proto() == ip::PROTO_UDP && b[26..28] == [0, 0];
        h.checksum_ok() && (none || l4_sum(h.src().into(), h.dst().into(), h.proto(), &b[20..]).finish() == 0)
    }
}

pub struct Net {
    pub ct: Conntrack,
    pub now: Now,
}

impl Default for Net {
    fn default() -> Net {
        let config = Config { max_events: 1000, ..Config::with_seed([1, 2]) };
        Net {
            ct: Conntrack::new(&config).unwrap(),
            now: Now { mono: packet::Instant::from_millis(1000), wall_ms: 1_000_000 },
        }
    }
}

impl Net {
    pub fn wait(&mut self, seconds: u64) {
        self.now.mono = self.now.mono + Duration::from_secs(seconds);
        self.now.wall_ms += seconds * 1000;
    }

    /// Sends a packet that was not tracked yet.
    pub fn send(&self, f: &mut Frame, action: &CtAction) -> PacketMeta {
        let mut meta = PacketMeta::default();
        self.again(f, &mut meta, action);
        meta
    }

    pub fn again(&self, f: &mut Frame, meta: &mut PacketMeta, action: &CtAction) {
        let len = f.bytes.len();
        let (eth_type, l4_checksum) = (f.eth_type, f.l4_checksum);
        let mut p = CtPacket { head: &mut f.bytes, len, l3: 0, eth_type, l4_checksum };
        let verdict = self.ct.process(self.now, meta, &mut p, action);
        assert!(matches!(verdict, CtVerdict::Pass(_)), "{verdict:?}");
    }

    /// Sends a copy and tells the state as flows print it.
    pub fn state(&self, f: &Frame, action: &CtAction) -> String {
        names(self.send(&mut f.clone(), action).ct_state)
    }

    pub fn entries(&self) -> Vec<Entry> {
        let mut all = Vec::new();
        let mut cursor = DumpCursor::default();
        let mut part = [Entry::default(); 3];
        loop {
            let n = self.ct.dump(self.now, &mut cursor, None, &mut part);
            if n == 0 {
                return all;
            }
            all.extend_from_slice(&part[..n]);
        }
    }
}

pub fn names(state: u8) -> String {
    let set = ct_state::NAMES.iter().enumerate().filter(|(i, _)| state >> i & 1 != 0);
    set.map(|(_, n)| *n).collect::<Vec<_>>().join("|")
}

pub const LOOK: CtAction = CtAction {
    zone: 1,
    commit: Commit::No,
    mark: None,
    label: None,
    nat: None,
    alg: None,
    timeout_policy: 0,
    event_mask: None,
};
pub const COMMIT: CtAction = CtAction { commit: Commit::Yes, mark: Some((5, 255)), ..LOOK };
pub const FORCE: CtAction = CtAction { commit: Commit::Force, ..LOOK };
pub const UNNAT: CtAction = CtAction { nat: Some(NO_RANGE), ..LOOK };
pub const NO_RANGE: Nat = Nat {
    kind: None,
    addr: None,
    is_ipv6: false,
    port: None,
    choice: conntrack::PortChoice::Hash,
    persistent: false,
};

pub fn snat(addr: u128, port: Option<(u16, u16)>) -> CtAction {
    nat(NatKind::Src, addr, port)
}

pub fn dnat(addr: u128, port: Option<(u16, u16)>) -> CtAction {
    nat(NatKind::Dst, addr, port)
}

fn nat(kind: NatKind, addr: u128, port: Option<(u16, u16)>) -> CtAction {
    let nat = Nat { kind: Some(kind), addr: Some((addr, addr)), is_ipv6: is_v6(addr), port, ..NO_RANGE };
    CtAction { nat: Some(nat), commit: Commit::Yes, ..LOOK }
}
