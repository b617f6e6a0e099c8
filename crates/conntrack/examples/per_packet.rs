//! Nanoseconds per commit and per established packet, for 1k, 10k and 100k UDP connections.
//!
//! Run with `cargo run --release -p conntrack --example per_packet`. Wall time of one thread: compare runs on one machine only.

use std::time::Instant;

use conntrack::{Commit, Config, Conntrack, CtAction, CtPacket};
use packet::{L4Checksum, Now, PacketMeta};
use wire::ipv4::Ipv4;
use wire::udp::Udp;
use wire::{eth, ip};

fn frame(client: u32, reply: bool) -> [u8; 28] {
    let (mut src, mut dst) = (0x0a00_0000 + client, 0x0b00_0001);
    let (mut sport, mut dport) = (1000 + client as u16, 53);
    if reply {
        (src, dst, sport, dport) = (dst, src, dport, sport);
    }
    let mut out = [0; 28];
    let (head, tail) = out.split_at_mut(20);
    head.copy_from_slice(
        &Ipv4 { total_len: 28, ttl: 64, proto: ip::PROTO_UDP, src, dst, ..Ipv4::default() }.emit(),
    );
    tail.copy_from_slice(&Udp { src: sport, dst: dport, length: 8, checksum: 0 }.emit());
    out
}

fn pass(ct: &Conntrack, frames: &mut [[u8; 28]], action: &CtAction) -> f64 {
    let now = Now::default();
    let start = Instant::now();
    for batch in frames.chunks_mut(32) {
        for head in batch {
            let mut meta = PacketMeta::default();
            let mut p =
                CtPacket { head, len: 28, l3: 0, eth_type: eth::TYPE_IPV4, l4_checksum: L4Checksum::Good };
            std::hint::black_box(ct.process(now, &mut meta, &mut p, action));
        }
        if ct.wants_maintenance() {
            ct.maintain(now, 0);
        }
    }
    start.elapsed().as_secs_f64() * 1e9 / frames.len() as f64
}

fn main() {
    for conns in [1_000, 10_000, 100_000] {
        let Ok(ct) = Conntrack::new(&Config::with_seed([1, 2])) else { return };
        let mut there: Vec<_> = (0..conns).map(|n| frame(n, false)).collect();
        let mut back: Vec<_> = (0..conns).map(|n| frame(n, true)).collect();
        let commit = CtAction { commit: Commit::Yes, ..CtAction::default() };
        let created = pass(&ct, &mut there, &commit);
        let look = CtAction::default();
        pass(&ct, &mut back, &look);
        let best = (0..5).map(|_| pass(&ct, &mut there, &look)).fold(f64::MAX, f64::min);
        println!(
            "{conns:>7} connections: commit {created:.0} ns, established {best:.0} ns, {} in the table",
            ct.count()
        );
    }
}
