//! Conversations through the tracker, in virtual time; the expected states are those that Open vSwitch 3.1's userspace datapath gave.

mod net;

use conntrack::{CtAction, EventKind, Flush};
use net::*;
use packet::L4Checksum;
use wire::tcp::{ACK, FIN, RST, SYN};

#[test]
fn udp_is_new_until_it_is_answered() {
    let net = Net::default();
    for (a, b) in [((A, 1), (B, 2)), ((A6, 1), (B6, 2))] {
        let (there, back) = (udp(a, b, b"hello"), udp(b, a, b"hello"));
        assert_eq!(net.state(&there, &LOOK), "new|trk");
        assert_eq!(net.state(&back, &LOOK), "new|trk");
        assert_eq!(net.state(&there, &COMMIT), "new|trk");
        assert_eq!(net.state(&there, &LOOK), "new|trk");
        let meta = net.send(&mut back.clone(), &LOOK);
        assert_eq!((names(meta.ct_state).as_str(), meta.ct_mark), ("est|rpl|trk", 5));
        assert_eq!(meta.ct_tuple.map(|t| (t.tp_src, t.tp_dst)), Some((1, 2)));
        assert_eq!(net.state(&there, &LOOK), "est|trk");
        let other_zone = CtAction { zone: 2, ..LOOK };
        assert_eq!(net.state(&there, &other_zone), "new|trk");
    }
    assert_eq!(net.ct.count(), 2);
}

#[test]
fn another_table_goes_on_where_the_first_ended() {
    let old = Net::default();
    let (a, b) = ((A, 3), (B, 4));
    // A handshake, one packet of each other protocol, and a translated connection.
    old.state(&tcp(a, b, SYN, 100, 0, b""), &COMMIT);
    old.state(&tcp(b, a, SYN | ACK, 500, 101, b""), &LOOK);
    old.state(&tcp(a, b, ACK, 101, 501, b""), &LOOK);
    old.state(&udp((A6, 1), (B6, 2), b"hello"), &COMMIT);
    old.state(&icmp(A, B, 8, 0, 7, b"data"), &COMMIT);
    old.state(&udp((A, 7), (B, 8), b"hello"), &snat(N, Some((40000, 40010))));
    let mut records = Vec::new();
    let mut cursor = conntrack::DumpCursor::default();
    while old.ct.save(old.now, &mut cursor, |record| records.push(*record)) {}
    assert_eq!(records.len(), 4);

    let new = Net::default();
    records.iter().for_each(|record| assert!(new.ct.restore(new.now, record)));
    // Each is there once, whole.
    records.iter().for_each(|record| assert!(!new.ct.restore(new.now, record)));
    assert_eq!(new.entries(), old.entries());
    // The window goes on: what is in it belongs, what is far out of it does not.
    assert_eq!(new.state(&tcp(a, b, ACK, 101, 501, b"data"), &LOOK), "est|trk");
    assert_eq!(new.state(&tcp(b, a, ACK, 501 + (1 << 30), 105, b"data"), &LOOK), "inv|trk");
    assert_eq!(new.state(&udp((B6, 2), (A6, 1), b"hello"), &LOOK), "est|rpl|trk");
    // What is no record is refused.
    assert!(!new.ct.restore(new.now, b"") && !new.ct.restore(new.now, &[0; conntrack::SAVED_LEN]));
    assert!(!new.ct.restore(new.now, &records[0][..100]));
    assert_eq!(new.ct.count(), 4);
}

#[test]
fn icmp_queries_pair_by_id() {
    let net = Net::default();
    for (a, b, ask, answer) in [(A, B, 8, 0), (A6, B6, 128, 129)] {
        let (ping, pong) = (icmp(a, b, ask, 0, 7, b"data"), icmp(b, a, answer, 0, 7, b"data"));
        assert_eq!(net.state(&pong, &LOOK), "inv|trk");
        assert_eq!(net.state(&ping, &COMMIT), "new|trk");
        assert_eq!(net.state(&ping, &LOOK), "new|trk");
        assert_eq!(net.state(&icmp(b, a, answer, 0, 8, b""), &LOOK), "inv|trk");
        assert_eq!(net.state(&pong, &LOOK), "est|rpl|trk");
        assert_eq!(net.state(&ping, &LOOK), "est|trk");
    }
    assert_eq!(net.state(&icmp(A, B, 5, 0, 0, b""), &COMMIT), "inv|trk");
}

#[test]
fn tcp_lives_and_dies() {
    let mut net = Net::default();
    let (a, b) = ((A, 3), (B, 4));
    let states = |net: &Net| {
        net.entries().first().map(|e| {
            (e.tcp.unwrap().state_orig.name(), e.tcp.unwrap().state_reply.name(), e.timeout.as_secs())
        })
    };
    assert_eq!(net.state(&tcp(b, a, SYN | ACK, 0, 1, b""), &COMMIT), "inv|trk");
    assert_eq!(net.state(&tcp(a, b, SYN, 0, 0, b""), &COMMIT), "new|trk");
    assert_eq!(states(&net), Some(("SYN_SENT", "CLOSED", 30)));
    assert_eq!(net.state(&tcp(a, b, SYN, 0, 0, b""), &LOOK), "new|trk");
    assert_eq!(net.state(&tcp(b, a, SYN | ACK, 0, 1, b""), &LOOK), "est|rpl|trk");
    assert_eq!(states(&net), Some(("ESTABLISHED", "SYN_SENT", 30)));
    assert_eq!(net.state(&tcp(a, b, ACK, 1, 1, b""), &LOOK), "est|trk");
    assert_eq!(states(&net), Some(("ESTABLISHED", "ESTABLISHED", 86400)));
    assert_eq!(net.state(&tcp(a, b, ACK, 500_000, 1, b"far"), &LOOK), "inv|trk");
    assert_eq!(net.state(&tcp(a, b, RST, 5000, 0, b""), &LOOK), "inv|trk");
    assert_eq!(net.state(&tcp(a, b, ACK, 1, 1, b"data"), &LOOK), "est|trk");
    assert_eq!(net.state(&tcp(a, b, ACK | FIN, 5, 1, b""), &LOOK), "est|trk");
    assert_eq!(states(&net), Some(("CLOSING", "ESTABLISHED", 900)));
    assert_eq!(net.state(&tcp(b, a, ACK | FIN, 1, 6, b""), &LOOK), "est|rpl|trk");
    assert_eq!(states(&net), Some(("FIN_WAIT_2", "CLOSING", 45)));
    assert_eq!(net.state(&tcp(a, b, ACK, 6, 2, b""), &LOOK), "est|trk");
    assert_eq!(states(&net), Some(("FIN_WAIT_2", "FIN_WAIT_2", 30)));
    // A SYN begins anew; without commit, nothing is entered.
    assert_eq!(net.state(&tcp(a, b, SYN, 900, 0, b""), &LOOK), "new|trk");
    assert_eq!(states(&net), None);
    net.wait(1);
    assert_eq!(net.ct.count(), 0);
}

#[test]
fn sequence_checks_can_be_switched_off() {
    let net = Net::default();
    let (a, b) = ((A, 3), (B, 4));
    net.state(&tcp(a, b, SYN, 0, 0, b""), &COMMIT);
    net.state(&tcp(b, a, SYN | ACK, 0, 1, b""), &LOOK);
    let far = tcp(a, b, ACK, 500_000, 1, b"far");
    assert_eq!(net.state(&far, &LOOK), "inv|trk");
    net.ct.set_tcp_seq_check(false);
    assert_eq!(net.state(&far, &LOOK), "est|trk");
}

#[test]
fn what_is_silent_expires_and_is_swept() {
    let mut net = Net::default();
    net.state(&udp((A, 1), (B, 2), b"x"), &COMMIT);
    net.wait(59);
    assert_eq!(net.entries().len(), 1);
    net.wait(1);
    assert_eq!(net.entries().len(), 0);
    assert_eq!(net.state(&udp((B, 2), (A, 1), b"x"), &LOOK), "new|trk");
    assert_eq!((net.ct.count(), net.ct.stats().expired), (0, 1));
    net.state(&udp((A, 1), (B, 2), b"x"), &COMMIT);
    net.ct.maintain(net.now, 1 << 20);
    net.wait(80);
    assert!(!net.ct.maintain(net.now, 1 << 20));
    assert_eq!((net.ct.count(), net.ct.stats().expired), (0, 2));
}

#[test]
fn force_turns_a_connection_round() {
    let net = Net::default();
    let (there, back) = (udp((A, 1), (B, 2), b"x"), udp((B, 2), (A, 1), b"x"));
    net.state(&there, &COMMIT);
    assert_eq!(net.state(&there, &FORCE), "new|trk");
    assert_eq!(net.entries()[0].orig.src, A);
    let meta = net.send(&mut back.clone(), &FORCE);
    assert_eq!((names(meta.ct_state).as_str(), meta.ct_mark), ("new|trk", 0));
    assert_eq!(net.entries()[0].orig.src, B);
    assert_eq!(net.state(&there, &LOOK), "est|rpl|trk");
}

#[test]
fn errors_are_related_to_what_they_quote() {
    let net = Net::default();
    for (a, b, router) in [(A, B, 0x0a09_0909), (A6, B6, 0xfc00 << 112 | 0x99)] {
        let there = udp((a, 1), (b, 2), b"hello");
        net.state(&there, &COMMIT);
        assert_eq!(net.state(&error(b, a, &there), &LOOK), "rel|rpl|trk");
        assert_eq!(net.state(&error(router, a, &there), &LOOK), "rel|rpl|trk");
        let back = udp((b, 2), (a, 1), b"hello");
        assert_eq!(net.state(&error(a, b, &back), &LOOK), "rel|trk");
        assert_eq!(net.state(&error(a, b, &udp((b, 3), (a, 1), b"")), &LOOK), "inv|trk");
        assert_eq!(net.state(&error(a, router, &back), &LOOK), "inv|trk");
    }
}

#[test]
fn source_translation_and_back() {
    let net = Net::default();
    for (a, b, n) in [(A, B, N), (A6, B6, N6)] {
        let action = snat(n, None);
        let mut there = udp((a, 1), (b, 2), b"hello");
        assert_eq!(names(net.send(&mut there, &action).ct_state), "new|trk|snat");
        assert_eq!(ends(&there), ((n, 1), (b, 2)));
        assert!(checksums_ok(&there));
        let unknown = udp((b, 2), (a, 1), b"hello");
        assert_eq!(net.state(&unknown, &UNNAT), "new|trk");
        let mut back = udp((b, 2), (n, 1), b"hello");
        assert_eq!(net.state(&back, &LOOK), "est|rpl|trk");
        assert_eq!(names(net.send(&mut back, &UNNAT).ct_state), "est|rpl|trk|dnat");
        assert_eq!(ends(&back), ((b, 2), (a, 1)));
        assert!(checksums_ok(&back));
        // Once translated, a packet is not translated by the same zone again, and its state stands.
        let mut once = udp((a, 1), (b, 2), b"hello");
        let mut meta = net.send(&mut once, &UNNAT);
        net.again(&mut once, &mut meta, &UNNAT);
        assert_eq!((names(meta.ct_state).as_str(), ends(&once)), ("est|trk|snat", ((n, 1), (b, 2))));
        // Also when the note of its connection is lost.
        meta.ct_conn = 0;
        net.again(&mut once, &mut meta, &LOOK);
        assert_eq!(names(meta.ct_state & !0xc0), "est|trk");
        // A second client gets the next port.
        let mut second = udp((a + 7, 1), (b, 2), b"hello");
        net.send(&mut second, &action);
        assert_eq!(ends(&second), ((n, 2), (b, 2)));
    }
}

#[test]
fn destination_translation_and_back() {
    let net = Net::default();
    let action = dnat(N, Some((80, 80)));
    let mut there = tcp((A, 5), (B, 2), SYN, 0, 0, b"");
    assert_eq!(names(net.send(&mut there, &action).ct_state), "new|trk|dnat");
    assert_eq!(ends(&there), ((A, 5), (N, 80)));
    let mut back = tcp((N, 80), (A, 5), SYN | ACK, 0, 1, b"");
    assert_eq!(names(net.send(&mut back, &UNNAT).ct_state), "est|rpl|trk|snat");
    assert_eq!(ends(&back), ((B, 2), (A, 5)));
    assert!(checksums_ok(&there) && checksums_ok(&back));
    // The only port is taken: the source's changes.
    let mut second = tcp((A, 5), (B + 9, 2), SYN, 0, 0, b"");
    net.send(&mut second, &action);
    assert_eq!(ends(&second), ((A, 6), (N, 80)));
}

#[test]
fn errors_about_translated_packets_are_translated_inside() {
    let net = Net::default();
    for (a, b, n) in [(A, B, N), (A6, B6, N6)] {
        let mut there = udp((a, 1), (b, 2), b"hello");
        net.send(&mut there, &snat(n, None));
        let mut err = error(b, n, &there);
        assert_eq!(names(net.send(&mut err, &UNNAT).ct_state), "rel|rpl|trk|dnat");
        assert_eq!(err, error(b, a, &udp((a, 1), (b, 2), b"hello")));
        let mut err = error(a, b, &udp((b, 2), (a, 1), b"hello"));
        assert_eq!(names(net.send(&mut err, &UNNAT).ct_state), "rel|trk|snat");
        assert_eq!(err, error(n, b, &udp((b, 2), (n, 1), b"hello")));
    }
}

#[test]
fn exhausted_translation_leaves_the_packet_new_and_whole() {
    let net = Net::default();
    let action = snat(N, Some((34567, 34568)));
    for port in 1..=2 {
        assert_eq!(net.state(&udp((A, port), (B, 2), b"x"), &action), "new|trk|snat");
    }
    let mut third = udp((A, 3), (B, 2), b"x");
    assert_eq!(names(net.send(&mut third, &action).ct_state), "new|trk");
    assert_eq!((ends(&third).0, net.ct.count(), net.ct.stats().nat_exhausted), ((A, 3), 2, 1));
    // Another server is another matter.
    assert_eq!(net.state(&udp((A, 3), (B + 1, 2), b"x"), &action), "new|trk|snat");
    net.ct.flush(net.now, &Flush::default());
    assert_eq!(net.state(&udp((A, 3), (B, 2), b"x"), &action), "new|trk|snat");
}

#[test]
fn limits_refuse_and_the_packet_passes() {
    let net = Net::default();
    net.ct.set_zone_limit(1, Some(1));
    assert_eq!(net.state(&udp((A, 1), (B, 2), b"x"), &COMMIT), "new|trk");
    let meta = net.send(&mut udp((A, 5), (B, 6), b"x"), &COMMIT);
    assert_eq!((names(meta.ct_state).as_str(), meta.ct_mark), ("new|trk", 0));
    net.ct.set_zone_limit(1, None);
    net.ct.set_max_conns(1);
    net.state(&udp((A, 5), (B, 6), b"x"), &COMMIT);
    let stats = net.ct.stats();
    assert_eq!((stats.conns, stats.zone_full, stats.full), (1, 1, 1));
}

#[test]
fn broken_packets_are_invalid() {
    let net = Net::default();
    let good = udp((A, 1), (B, 2), b"hello");
    let broken = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut f = good.clone();
        change(&mut f.bytes);
        net.state(&f, &COMMIT)
    };
    assert_eq!(broken(&|b| b[30] ^= 1), "inv|trk");
    assert_eq!(broken(&|b| b[8] ^= 1), "inv|trk");
    assert_eq!(broken(&|b| b.truncate(26)), "inv|trk");
    // Without a checksum, as UDP over IPv4 may be.
    assert_eq!(broken(&|b| b[26..28].fill(0)), "new|trk");
    let mut trusted = good.clone();
    trusted.bytes[30] ^= 1;
    trusted.l4_checksum = L4Checksum::Good;
    assert_eq!(net.state(&trusted, &LOOK), "new|trk");
    trusted.l4_checksum = L4Checksum::Bad;
    assert_eq!(net.state(&trusted, &LOOK), "inv|trk");
}

#[test]
fn partial_checksums_follow_addresses_and_not_ports() {
    let net = Net::default();
    let partial = |src: End, dst: End| {
        let mut f = udp(src, dst, b"hello");
        let pseudo = wire::checksum::pseudo_v4(src.0 as u32, dst.0 as u32, 17, 13).fold();
        f.bytes[26..28].copy_from_slice(&pseudo.to_be_bytes());
        f.l4_checksum = L4Checksum::Partial { start: 20, offset: 6 };
        f
    };
    let mut f = partial((A, 1), (B, 2));
    net.send(&mut f, &snat(N, Some((777, 777))));
    assert_eq!(f, {
        let mut want = partial((N, 777), (B, 2));
        want.bytes[10..12].copy_from_slice(&f.bytes[10..12]);
        want
    });
}

#[test]
fn other_protocols_are_tracked_by_address() {
    let net = Net::default();
    let gre = |s, d| packet(s, d, 47, vec![1; 30], None);
    assert_eq!(net.state(&gre(A, B), &COMMIT), "new|trk");
    assert_eq!(net.state(&gre(B, A), &LOOK), "est|rpl|trk");
    let sctp = |s: End, d: End| {
        let mut l4 = wire::sctp::Sctp { src: s.1, dst: d.1, vtag: 7, checksum: 0 }.emit().to_vec();
        l4.extend([9; 20]);
        let crc = wire::sctp::crc32c(&l4);
        l4[8..12].copy_from_slice(&crc.to_le_bytes());
        packet(s.0, d.0, 132, l4, None)
    };
    let mut there = sctp((A, 1), (B, 2));
    assert_eq!(names(net.send(&mut there, &snat(N, Some((99, 99)))).ct_state), "new|trk|snat");
    assert_eq!(there.bytes[20..], sctp((N, 99), (B, 2)).bytes[20..]);
    assert_eq!(net.state(&sctp((B, 2), (N, 99)), &UNNAT), "est|rpl|trk|dnat");
}

#[test]
fn events_tell_of_beginnings_and_ends() {
    let net = Net::default();
    net.state(&udp((A, 1), (B, 2), b"x"), &COMMIT);
    net.state(&udp((A, 1), (B, 2), b"x"), &CtAction { mark: Some((6, 255)), ..COMMIT });
    net.ct.flush(net.now, &Flush::default());
    let kinds: Vec<_> = std::iter::from_fn(|| net.ct.poll_event()).map(|e| (e.kind, e.entry.mark)).collect();
    assert_eq!(kinds, [(EventKind::New, 5), (EventKind::Update, 6), (EventKind::Destroy, 6)]);
}

#[test]
fn many_connections_are_found_and_counted() {
    let net = Net::default();
    for i in 0..20_000u32 {
        let f = udp((A + u128::from(i / 100), (i % 100) as u16), (B, 53), b"x");
        assert_eq!(net.state(&f, &COMMIT), "new|trk");
        if net.ct.wants_maintenance() {
            net.ct.maintain(net.now, 0);
        }
    }
    assert_eq!((net.ct.count(), net.ct.stats().no_memory, net.ct.is_large()), (20_000, 0, true));
    let mut seen: Vec<_> = net.entries().iter().map(|e| (e.orig.src, e.orig.src_port)).collect();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 20_000);
    assert_eq!(net.state(&udp((B, 53), (A + 150, 42), b"x"), &LOOK), "est|rpl|trk");
    assert_eq!(net.ct.flush(net.now, &Flush { zone: Some(2), orig: None }), 0);
    assert_eq!(net.ct.flush(net.now, &Flush { zone: Some(1), orig: None }), 20_000);
    assert_eq!(net.ct.count(), 0);
}
