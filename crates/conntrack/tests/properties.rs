//! Random packets through the tracker: against a simple model, with translation, and with bytes of any kind.

mod net;

use std::collections::HashMap;

use conntrack::{Commit, CtAction, CtPacket, CtVerdict, DumpCursor, Entry, Headers, Nat};
use net::*;
use packet::{L4Checksum, PacketMeta};
use proptest::prelude::*;
use wire::eth;

/// What the model knows of a UDP connection.
#[derive(Clone, Copy)]
struct Known {
    answered: bool,
    mark: u32,
    ends_at: u64,
}

/// A table of UDP connections, as simple as can be.
#[derive(Default)]
struct Model(HashMap<(u16, End, End), Known>);

impl Model {
    fn send(&mut self, now: u64, src: End, dst: End, a: &CtAction) -> (String, u32) {
        let (there, back) = ((a.zone, src, dst), (a.zone, dst, src));
        self.0.retain(|_, k| k.ends_at > now);
        if a.commit == Commit::Force && !self.0.contains_key(&there) {
            self.0.remove(&back);
        }
        let (known, reply) = match (self.0.get_mut(&there), src == dst) {
            (Some(k), _) => (Some(k), false),
            (None, _) => (self.0.get_mut(&back), true),
        };
        let Some(k) = known else {
            let mark = if a.commit == Commit::No { 0 } else { a.mark.map_or(0, |(v, m)| v & m) };
            if a.commit != Commit::No {
                self.0.insert(there, Known { answered: false, mark, ends_at: now + 60 });
            }
            return ("new|trk".into(), mark);
        };
        k.answered |= reply;
        k.ends_at = now + if k.answered { 30 } else { 60 };
        if let Some((value, mask)) = a.mark {
            k.mark = value & mask | k.mark & !mask;
        }
        let state = match (k.answered, reply) {
            (true, true) => "est|rpl|trk",
            (true, false) => "est|trk",
            (false, _) => "new|trk",
        };
        (state.into(), k.mark)
    }
}

fn end() -> impl Strategy<Value = End> {
    (prop_oneof![Just(A), Just(B)], 1u16..3)
}

fn action() -> impl Strategy<Value = CtAction> {
    let commit = prop_oneof![2 => Just(Commit::No), 2 => Just(Commit::Yes), 1 => Just(Commit::Force)];
    (1u16..3, commit, prop::option::of((any::<u32>(), any::<u32>()))).prop_map(|(zone, commit, mark)| {
        // Translation to exec() without commit is refused long before.
        CtAction { zone, commit, mark: mark.filter(|_| commit != Commit::No), ..LOOK }
    })
}

proptest! {
    #[test]
    fn udp_behaves_as_the_model(steps in prop::collection::vec((end(), end(), action(), 0u64..40), 1..80)) {
        let mut net = Net::default();
        let mut model = Model::default();
        let mut now = 0;
        for (src, dst, action, wait) in steps {
            // Mostly bursts, with pauses that let some connections expire.
            let wait = if wait < 30 { 0 } else { wait };
            net.wait(wait);
            now += wait;
            let meta = net.send(&mut udp(src, dst, b"x"), &action);
            let want = model.send(now, src, dst, &action);
            prop_assert_eq!((names(meta.ct_state), meta.ct_mark), want);
            if now % 3 == 0 {
                net.ct.maintain(net.now, 10_000);
            }
        }
        model.0.retain(|_, k| k.ends_at > now);
        prop_assert_eq!(net.entries().len(), model.0.len());
    }

    #[test]
    fn translation_goes_there_and_back_with_right_checksums(
        v6 in any::<bool>(),
        use_tcp in any::<bool>(),
        source in any::<bool>(),
        clients in prop::collection::vec((0u128..20, 1u16..2000), 1..20),
        port in prop::option::of((1000u16..1010, 1010u16..1020)),
        data in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let net = Net::default();
        let (a, b, n) = if v6 { (A6, B6, N6) } else { (A, B, N) };
        let action = if source { snat(n, port) } else { dnat(n, port) };
        let build = |s: End, d: End, flags, data: &[u8]| {
            if use_tcp { tcp(s, d, flags, 0, u32::from(flags & 16 != 0), data) } else { udp(s, d, data) }
        };
        let mut seen = Vec::new();
        for (host, src_port) in clients {
            let (client, server) = ((a + 1000 + host, src_port), (b, 80));
            let mut there = build(client, server, 2, b"");
            let meta = net.send(&mut there, &action);
            prop_assert!(checksums_ok(&there));
            let translated = meta.ct_state & 0xc0 != 0;
            let now = ends(&there);
            if !translated {
                prop_assert_eq!(now, (client, server));
                continue;
            }
            let mut back = build(now.1, now.0, 0x12, &data);
            let meta = net.send(&mut back, &UNNAT);
            prop_assert!(meta.ct_state & 0xc0 != 0 && meta.ct_state & 8 != 0, "{}", names(meta.ct_state));
            prop_assert!(checksums_ok(&back));
            prop_assert_eq!(ends(&back), (server, client));
            // No two connections look alike behind the translation.
            if !seen.contains(&(client, now)) {
                prop_assert!(seen.iter().all(|&(c, e)| e != now || c == client));
                seen.push((client, now));
            }
        }
    }

    #[test]
    fn any_bytes_are_survived(
        bytes in prop::collection::vec(any::<u8>(), 0..120),
        l3 in 0usize..30,
        len in 0usize..200,
        eth_type in prop_oneof![Just(eth::TYPE_IPV4), Just(eth::TYPE_IPV6), any::<u16>()],
        nat in any::<bool>(),
    ) {
        let net = Net::default();
        hostile(&net, bytes, l3, len, eth_type, nat);
    }

    #[test]
    fn damaged_packets_are_survived(
        which in 0usize..8,
        cut in 0usize..120,
        flips in prop::collection::vec((0usize..120, any::<u8>()), 0..4),
        nat in any::<bool>(),
    ) {
        let net = Net::default();
        let u = udp((A, 1), (B, 2), b"hello");
        let u6 = udp((A6, 1), (B6, 2), b"hello");
        net.send(&mut u.clone(), &snat(N, None));
        net.send(&mut u6.clone(), &snat(N6, None));
        let all = [
            error(B, N, &udp((N, 1), (B, 2), b"hello")),
            error(B6, N6, &udp((N6, 1), (B6, 2), b"hello")),
            tcp((A, 1), (B, 2), 2, 0, 0, b"x"), tcp((A6, 1), (B6, 2), 2, 0, 0, b"x"),
            icmp(A, B, 8, 0, 1, b"x"), icmp(A6, B6, 128, 0, 1, b"x"), u, u6,
        ];
        let mut f = all[which].clone();
        for (at, value) in flips {
            if let Some(b) = f.bytes.get_mut(at) { *b = value; }
        }
        let len = f.bytes.len();
        f.bytes.truncate(len.saturating_sub(cut).max(20));
        hostile(&net, f.bytes, 0, len, f.eth_type, nat);
    }
}

/// A packet of TCP or UDP over IPv4, which the datapath reads by its short key: perhaps damaged behind the addresses.
fn plain_frame() -> impl Strategy<Value = Frame> {
    let flags = prop::sample::select(vec![0x02u16, 0x12, 0x10, 0x18, 0x11, 0x04, 0x14, 0x00, 0x06]);
    let damage = prop::option::weighted(0.2, (24usize..40, any::<u8>()));
    let trust = prop::sample::select(vec![
        L4Checksum::Unknown,
        L4Checksum::Unknown,
        L4Checksum::Good,
        L4Checksum::Bad,
        L4Checksum::Partial { start: 20, offset: 6 },
    ]);
    let ports = (end(), end(), any::<bool>(), prop::bool::weighted(0.1));
    (ports, flags, (0u32..3, 0u32..3), damage, trust).prop_map(
        |((src, dst, is_tcp, bad_header), flags, (seq, ack), damage, trust)| {
            let mut f =
                if is_tcp { tcp(src, dst, flags, seq, ack, b"data") } else { udp(src, dst, b"hello") };
            if let Some((at, value)) = damage
                && let Some(byte) = f.bytes.get_mut(at)
            {
                *byte = value;
            }
            f.bytes[10] ^= u8::from(bad_header);
            Frame { l4_checksum: trust, ..f }
        },
    )
}

proptest! {
    /// What a key tells makes no difference, nor that memory is asked for: verdict, metadata, table, counters and events are the
    /// same.
    #[test]
    fn plain_packets_are_tracked_alike(
        steps in prop::collection::vec((plain_frame(), action(), 0u64..40, any::<bool>(), 0usize..4), 1..60),
    ) {
        let (whole, plain) = (Net::default(), Net::default());
        let mut now = whole.now;
        for (frame, action, wait, seq_check, cut) in steps {
            now.mono = now.mono + std::time::Duration::from_secs(if wait < 30 { 0 } else { wait });
            let (src, dst) = ends(&frame);
            let len = frame.bytes.len();
            let headers = Headers {
                src: src.0 as u32, dst: dst.0 as u32, src_port: src.1, dst_port: dst.1,
                proto: frame.bytes[9], l4: 20, end: len,
            };
            let mut outcomes = Vec::new();
            for net in [&whole, &plain] {
                net.ct.set_tcp_seq_check(seq_check);
                let (mut bytes, mut meta) = (frame.bytes.clone(), PacketMeta::default());
                // The last bytes may lie elsewhere.
                if cut == 3 { bytes.truncate(len - 2); }
                let mut p = CtPacket {
                    head: &mut bytes, len, l3: 0, eth_type: frame.eth_type, l4_checksum: frame.l4_checksum,
                };
                let verdict = if std::ptr::eq(net, &whole) {
                    net.ct.process(now, &mut meta, &mut p, &action)
                } else {
                    net.ct.prefetch_connection(net.ct.prefetch_index(&headers, action.zone));
                    net.ct.process_plain(now, &mut meta, &mut p, &headers, &action)
                };
                net.ct.maintain(now, 0);
                let mut entries = [Entry::default(); 32];
                let n = net.ct.dump(now, &mut DumpCursor::default(), None, &mut entries);
                let event = net.ct.poll_event();
                outcomes.push((verdict, meta, bytes, entries[..n].to_vec(), net.ct.stats(), event));
            }
            prop_assert_eq!(&outcomes[0], &outcomes[1]);
        }
    }
}

/// Sends bytes with every kind of trust in their checksum; nothing outside the packet changes, and no panic.
fn hostile(net: &Net, bytes: Vec<u8>, l3: usize, len: usize, eth_type: u16, nat: bool) {
    for l4_checksum in [L4Checksum::Unknown, L4Checksum::Good, L4Checksum::Partial { start: 20, offset: 6 }] {
        let mut head = bytes.clone();
        let mut meta = PacketMeta::default();
        let mut p = CtPacket { head: &mut head, len, l3, eth_type, l4_checksum };
        let action = if nat {
            CtAction { nat: Some(Nat { port: None, ..snat(N, None).nat.unwrap() }), ..COMMIT }
        } else {
            COMMIT
        };
        let verdict = net.ct.process(net.now, &mut meta, &mut p, &action);
        assert_eq!(head.len(), bytes.len());
        if matches!(verdict, CtVerdict::Pass(_)) {
            assert!(meta.ct_state & 0x20 != 0);
            assert!(meta.ct_state & 0x10 == 0 || meta.ct_state & 0x0f == 0, "{}", names(meta.ct_state));
        }
    }
}
