//! The connection table alone, in this process: `library CASE BATCHES`.
//!
//! Where it sits: run by `cargo xtask bench datapath` (row P6), under callgrind and by itself.
//!
//! `established` sends packets of one connection whose headers are known, in batches of 32, as `ovstest test-conntrack
//! benchmark` does; `established-1k` packets of a thousand; `commit` makes 10,000 connections in each of 100 zones, as
//! `benchmark-zones` does, as often as it takes for so many batches; `bytes` prints bytes of memory for each of 100,000
//! connections, index included. Times are CPU ns a packet.

use std::process::ExitCode;

use conntrack::{Commit, Config, Conntrack, CtAction, CtPacket, Flush, Headers, PlainFrame};
use packet::{Instant, L4Checksum, Now, PacketMeta};
use testkit::cost::{resident, timed};
use wire::ipv4::Ipv4;
use wire::udp::Udp;
use wire::{checksum, eth, ip};

const NOW: Now = Now { mono: Instant::from_millis(5000), wall_ms: 0 };

/// A datagram of a client or to it, with right checksums, and what a key would tell of it.
fn datagram(client: u32, reply: bool) -> ([u8; 46], Headers) {
    let here = (0x0a00_0000 + client, 1000 + (client % 50_000) as u16);
    let ((src, src_port), (dst, dst_port)) =
        if reply { ((0x0b00_0001, 53), here) } else { (here, (0x0b00_0001, 53)) };
    let mut out = [0x5a; 46];
    let (head, tail) = out.split_at_mut(20);
    head.copy_from_slice(
        &Ipv4 { total_len: 46, ttl: 64, proto: ip::PROTO_UDP, src, dst, ..Ipv4::default() }.emit(),
    );
    tail[..8].copy_from_slice(&Udp { src: src_port, dst: dst_port, length: 26, checksum: 0 }.emit());
    let sum = checksum::pseudo_v4(src, dst, ip::PROTO_UDP, 26).bytes(tail).finish();
    tail[6..8].copy_from_slice(&sum.to_be_bytes());
    (out, Headers { src, dst, src_port, dst_port, proto: ip::PROTO_UDP, l4: 20, end: 46 })
}

struct Table(Conntrack);

impl Table {
    fn new() -> Option<Table> {
        Conntrack::new(&Config::with_seed([1, 2])).ok().map(Table)
    }

    /// Looks a datagram up as the datapath does; its connection's state.
    fn look(&self, (bytes, headers): &([u8; 46], Headers)) -> u8 {
        let frame = PlainFrame { head: bytes, len: 46, l4_checksum: L4Checksum::Unknown, headers };
        std::hint::black_box(self.0.track_plain(NOW, &frame, 0)).map_or(0, |tracked| tracked.state)
    }

    /// Sends a datagram; its connection's state.
    fn send(&self, (bytes, headers): &mut ([u8; 46], Headers), action: &CtAction) -> u8 {
        let mut meta = PacketMeta::default();
        let mut packet = CtPacket {
            head: bytes,
            len: 46,
            l3: 0,
            eth_type: eth::TYPE_IPV4,
            l4_checksum: L4Checksum::Unknown,
        };
        std::hint::black_box(self.0.process_plain(NOW, &mut meta, &mut packet, headers, action));
        meta.ct_state
    }

    /// Makes connections that have been answered, and gives their packets.
    fn established(&self, n: u32) -> Vec<([u8; 46], Headers)> {
        let commit = CtAction { commit: Commit::Yes, ..CtAction::default() };
        for client in 0..n {
            self.send(&mut datagram(client, false), &commit);
            self.send(&mut datagram(client, true), &CtAction::default());
            self.0.maintain(NOW, 0);
        }
        (0..n).map(|client| datagram(client, false)).collect()
    }
}

const ZONES: u16 = 100;
const PER_ZONE: u32 = 10_000;

fn main() -> ExitCode {
    // cargo adds arguments of its own
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let [case, batches] = args.as_slice() else {
        eprintln!("usage: library established|established-1k|commit|bytes|floor BATCHES");
        return ExitCode::SUCCESS;
    };
    let (Ok(batches), Some(table)) = (batches.parse::<u64>(), Table::new()) else {
        eprintln!("no number of batches, or no memory");
        return ExitCode::FAILURE;
    };
    let measured = match case.as_str() {
        "established" => established(&table, 1, batches),
        "established-1k" => established(&table, 1000, batches),
        "commit" => Some(commit(&table, batches)),
        "bytes" => Some(bytes(&table)),
        "floor" => {
            let mut packets = table.established(1000);
            Some(timed(batches, || {
                for n in 0..batches * 32 {
                    let at = n as usize % packets.len();
                    std::hint::black_box(packets.get_mut(at));
                }
            }))
        }
        _ => None,
    };
    let Some(measured) = measured else {
        eprintln!("no such case, or a packet of an established connection was not told to be");
        return ExitCode::FAILURE;
    };
    println!("{measured:.2}");
    ExitCode::SUCCESS
}

fn established(table: &Table, conns: u32, batches: u64) -> Option<f64> {
    const ESTABLISHED: u8 = flow::ct_state::TRK | flow::ct_state::EST;
    let packets = table.established(conns);
    let mut others = 0u64;
    let took = timed(batches, || {
        for n in 0..batches * 32 {
            let at = n as usize % packets.len();
            if let Some(packet) = packets.get(at) {
                others += u64::from(table.look(packet) != ESTABLISHED);
            }
        }
    });
    (others == 0).then_some(took)
}

fn commit(table: &Table, batches: u64) -> f64 {
    let mut left = batches * 32;
    let mut ns = 0.0;
    table.0.set_max_conns(u32::MAX);
    while left > 0 {
        let n = left.min(u64::from(ZONES) * u64::from(PER_ZONE));
        let all = n.div_ceil(32);
        ns += timed(all, || {
            for i in 0..n {
                let zone = (i % u64::from(ZONES)) as u16 + 1;
                let action = CtAction { zone, commit: Commit::Yes, ..CtAction::default() };
                table.send(&mut datagram((i / u64::from(ZONES)) as u32, false), &action);
                if i % 32 == 31 && table.0.wants_maintenance() {
                    table.0.maintain(NOW, 0);
                }
            }
        }) * (all * 32) as f64;
        table.0.flush(NOW, &Flush::default());
        left -= n;
    }
    ns / (batches * 32).max(1) as f64
}

/// Memory of many connections, beyond that of an empty table.
fn bytes(table: &Table) -> f64 {
    const CONNS: u32 = 100_000;
    let before = resident();
    let commit = CtAction { commit: Commit::Yes, ..CtAction::default() };
    for client in 0..CONNS {
        table.send(&mut datagram(client, false), &commit);
        if table.0.wants_maintenance() {
            table.0.maintain(NOW, 0);
        }
    }
    (resident() - before) as f64 / f64::from(table.0.count().max(1))
}
