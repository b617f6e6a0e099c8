//! Packets through a worker: verdicts, bytes and counters.

use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::{Command, Config, FlowInfo, FlowPut, PlainHost, PutMode, Reply};
use flow::{Match, slot};
use odp::{Header, Ufid};
use packet::{FlatPacket, Instant, OdpPort};

struct Bench {
    dp: Datapath,
    worker: Worker<FlatPacket>,
}

const NOW: Now = Now { mono: Instant::from_millis(5000), wall_ms: 0 };

/// Ethernet and IPv4 with a UDP header and four bytes of data; checksums right.
fn udp_frame() -> Vec<u8> {
    let mut f = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    f.extend([0x45, 0, 0, 32, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    f.extend([0x10, 0, 0, 53, 0, 12, 0, 0, 1, 2, 3, 4]);
    let ip = wire::checksum::checksum(&f[14..34]);
    f[24..26].copy_from_slice(&ip.to_be_bytes());
    let udp = udp_checksum(&f);
    f[40..42].copy_from_slice(&udp.to_be_bytes());
    f
}

fn udp_checksum(f: &[u8]) -> u16 {
    let n = |at: usize| wire::bytes::u32_at(f, at).unwrap();
    let mut segment = f[34..46].to_vec();
    segment[6..8].fill(0);
    wire::checksum::pseudo_v4(n(26), n(30), 17, 12).bytes(&segment).finish()
}

impl Bench {
    fn new() -> Bench {
        Bench { dp: Datapath::try_new(&Config::default()).unwrap(), worker: Worker::try_new(1).unwrap() }
    }

    fn flow(&self, id: u128, matched: Match, actions: Vec<Action>) {
        let mut put = FlowPut { ufid: Ufid(id), matched, actions, mode: PutMode::Create };
        self.dp.apply(Command::PutFlow(&mut put)).unwrap();
    }

    fn get(&self, id: u128) -> FlowInfo {
        self.dp.apply(Command::GetFlow(Ufid(id))).unwrap().into_flow().unwrap()
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        let Ok(Reply::Stats(stats)) = self.dp.apply(Command::Stats) else { panic!("no statistics") };
        stats.drops.get(reason)
    }

    fn send(&mut self, port: u32, frames: &[Vec<u8>]) -> Vec<(u32, Vec<u8>)> {
        let mut batch = Batch::default();
        for f in frames {
            let meta = PacketMeta { in_port: OdpPort(port), ..Default::default() };
            batch.push(meta, FlatPacket::try_from_frame(f).unwrap()).unwrap();
        }
        self.worker.process(&self.dp, &mut PlainHost::without_routes(), NOW, &mut batch);
        self.worker.egress().transmits().map(|(port, p)| (port.0, p.frame().to_vec())).collect()
    }
}

fn on_port(port: u32, recirc: u32) -> Match {
    let mut m = Match::ANY;
    m.set_exact(slot::in_port, port.into());
    m.set_exact(slot::recirc_id, recirc.into());
    m
}

fn out(port: u32) -> Action {
    Action::Output(OdpPort(port))
}

#[test]
fn a_miss_goes_up_and_a_hit_goes_out() {
    let mut b = Bench::new();
    assert_eq!(b.send(1, &[udp_frame()]), []);
    let up: Vec<_> = b.worker.egress().upcalls().collect();
    assert_eq!((up.len(), &up[0].kind, up[0].key.tp_dst()), (1, &UpcallKind::Miss, 53));
    b.flow(7, on_port(1, 0), vec![out(2), out(3)]);
    for _ in 0..2 {
        assert_eq!(b.send(1, &[udp_frame(), udp_frame()]).len(), 4);
    }
    let stats = b.get(7).stats;
    assert_eq!((stats.packets, stats.bytes, stats.used_ms), (4, 4 * 46, 5000));
    let Ok(Reply::Stats(s)) = b.dp.apply(Command::Stats) else { panic!() };
    assert_eq!((s.hits, s.misses, s.cache_hits, s.flows, s.masks), (4, 1, 3, 1, 1));
}

#[test]
fn a_changed_flow_is_not_served_from_the_cache() {
    let mut b = Bench::new();
    b.flow(7, on_port(1, 0), vec![out(2)]);
    assert_eq!(b.send(1, &[udp_frame()])[0].0, 2);
    let mut put =
        FlowPut { ufid: Ufid(7), matched: on_port(1, 0), actions: vec![out(4)], mode: PutMode::Modify };
    b.dp.apply(Command::PutFlow(&mut put)).unwrap();
    assert_eq!(b.send(1, &[udp_frame()])[0].0, 4);
    b.dp.apply(Command::DelFlow(Ufid(7))).unwrap();
    assert_eq!(b.send(1, &[udp_frame()]), []);
}

#[test]
fn nested_lists_run_in_order_and_their_changes_stay_inside() {
    let mut b = Bench::new();
    let tag = Action::PushVlan { tpid: 0x8100, tci: 0x1005 };
    let inner = vec![tag, out(2), Action::Clone(vec![Action::PopVlan, out(3)]), out(4)];
    b.flow(1, on_port(1, 0), vec![out(1), Action::Clone(inner), out(5)]);
    let sent = b.send(1, &[udp_frame()]);
    let lens: Vec<_> = sent.iter().map(|(port, f)| (*port, f.len())).collect();
    assert_eq!(lens, [(1, 46), (2, 50), (3, 46), (4, 50), (5, 46)]);
    assert_eq!(sent[1].1[12..16], [0x81, 0, 0, 5]);
    assert_eq!((&sent[2].1, &sent[4].1), (&udp_frame(), &udp_frame()));
}

#[test]
fn recirculation_looks_up_again_and_ends_at_the_limit() {
    let mut b = Bench::new();
    b.flow(1, on_port(1, 0), vec![Action::Recirc(9)]);
    b.flow(2, on_port(1, 9), vec![out(2)]);
    assert_eq!(b.send(1, &[udp_frame()]).len(), 1);
    b.flow(3, on_port(2, 0), vec![Action::Recirc(5)]);
    b.flow(4, on_port(2, 5), vec![Action::Recirc(5)]);
    assert_eq!(b.send(2, &[udp_frame()]), []);
    assert_eq!(b.dropped(DropReason::RecircLimit), 1);
}

#[test]
fn rewriting_keeps_checksums_right() {
    let mut b = Bench::new();
    let ip = |src, tos, ttl| Header::Ipv4 { src, dst: 0, proto: 0, tos, ttl, frag: 0 };
    let set_ip = Action::SetMasked { value: ip(0xc0a80707, 0x10, 9), mask: ip(u32::MAX, 0xfc, 0xff) };
    let ports = |src| Header::Udp { src, dst: 0 };
    let set_port = Action::SetMasked { value: ports(777), mask: ports(0xffff) };
    b.flow(1, on_port(1, 0), vec![set_ip, set_port, out(2)]);
    let f = b.send(1, &[udp_frame()]).remove(0).1;
    assert_eq!(f[26..30], [192, 168, 7, 7]);
    assert_eq!((f[15], f[22], &f[34..36]), (0x10, 9, &777u16.to_be_bytes()[..]));
    assert_eq!(wire::checksum::checksum(&f[14..34]), 0);
    assert_eq!(f[40..42], udp_checksum(&f).to_be_bytes());
}

#[test]
fn actions_that_do_not_fit_and_empty_lists_are_counted() {
    let mut b = Bench::new();
    let arp = Header::Arp { sip: 1, tip: 0, op: 1, sha: Default::default(), tha: Default::default() };
    b.flow(1, on_port(1, 0), vec![Action::Set(arp), out(2)]);
    b.flow(2, on_port(2, 0), vec![]);
    assert_eq!(b.send(1, &[udp_frame()]), []);
    assert_eq!(b.send(2, &[udp_frame()]), []);
    assert_eq!(b.send(2, &[vec![1; 13]]), []);
    let counts = [DropReason::InvalidAction, DropReason::Policy, DropReason::RuntFrame].map(|r| b.dropped(r));
    assert_eq!(counts, [1, 1, 1]);
}

#[test]
fn a_tunnel_carries_a_frame_and_gives_it_back() {
    use packet::TunnelKey;
    use wire::EthAddr;
    for kind in
        [odp::TunnelKind::Vxlan, odp::TunnelKind::Geneve, odp::TunnelKind::Gre, odp::TunnelKind::Erspan]
    {
        let mut b = Bench::new();
        let outer = tunnel::Outer {
            eth_src: EthAddr([2; 6]),
            eth_dst: EthAddr([4; 6]),
            src: 0x0a00_0001,
            dst: 0x0a00_0002,
            is_ipv6: false,
        };
        let key = TunnelKey { id: 77, ttl: 64, flags: TunnelKey::KEY, erspan_ver: 1, ..Default::default() };
        let shape = tunnel::Shape { dst_port: 4789, ..Default::default() };
        let header = tunnel::build(kind, &outer, &key, &shape).unwrap().bytes().to_vec();
        let push = odp::TnlPush { tnl_port: OdpPort(9), out_port: OdpPort(100), kind, header };
        b.dp.apply(Command::SetTunnel { port: OdpPort(9), kind: Some(kind) }).unwrap();
        b.flow(1, on_port(1, 0), vec![Action::TnlPush(Box::new(push)), out(2)]);
        b.flow(2, on_port(2, 0), vec![Action::TnlPop(OdpPort(9))]);
        let mut inside = on_port(9, 0);
        inside.set_exact(slot::tun_id, 77);
        inside.set_exact(slot::tun_src, 0x0a00_0001);
        b.flow(3, inside, vec![out(3)]);
        let carried = b.send(1, &[udp_frame()]).remove(0).1;
        assert_eq!(b.send(2, &[carried]), [(3, udp_frame())], "{kind:?}");
        assert_eq!(b.send(2, &[udp_frame()]), []);
        assert_eq!(b.dropped(DropReason::TunnelDecap), 1);
    }
}

#[test]
fn labels_and_service_headers_go_on_and_come_off() {
    let mut b = Bench::new();
    let push = |lse| Action::PushMpls { lse, eth_type: 0x8847 };
    let pop = |eth_type| Action::PopMpls { eth_type };
    b.flow(
        1,
        on_port(1, 0),
        vec![push(0x0000_a140), push(0x0000_b040), out(2), pop(0x8847), pop(0x800), out(3)],
    );
    let sent = b.send(1, &[udp_frame()]);
    assert_eq!(sent[0].1[12..22], [0x88, 0x47, 0, 0, 0xb0, 0x40, 0, 0, 0xa1, 0x40]);
    assert_eq!(sent[1].1, udp_frame());
    let header = odp::NshFields { ttl: 63, md_type: 1, spi: 0x123456, si: 255, ..Default::default() };
    let nsh = Action::PushNsh(Box::new(odp::PushNsh { header, md2: vec![] }));
    let eth = Action::PushEth { src: Default::default(), dst: wire::EthAddr([9; 6]) };
    b.flow(2, on_port(2, 0), vec![nsh, eth, out(4), Action::PopEth, Action::PopNsh, out(5)]);
    let sent = b.send(2, &[udp_frame()]);
    assert_eq!(sent[0].1[12..22], [0x89, 0x4f, 0x0f, 0xc6, 1, 3, 0x12, 0x34, 0x56, 255]);
    assert_eq!(sent[1].1, udp_frame());
}

#[test]
fn a_ttl_that_ends_goes_another_way() {
    let mut b = Bench::new();
    b.flow(1, on_port(1, 0), vec![Action::DecTtl(vec![out(8)]), out(2)]);
    let f = b.send(1, &[udp_frame()]).remove(0);
    assert_eq!((f.0, f.1[22], wire::checksum::checksum(&f.1[14..34])), (2, 63, 0));
    let mut old = udp_frame();
    old[22] = 1;
    assert_eq!(b.send(1, &[old.clone()]), [(8, old)]);
}

#[test]
fn a_meter_drops_what_is_too_much() {
    let mut b = Bench::new();
    let band = crate::MeterBand { kind: crate::BandKind::Drop, rate: 1, burst: 2 };
    let config = crate::MeterConfig { unit: crate::MeterUnit::Pktps, bands: vec![band] };
    b.dp.apply(Command::SetMeter { id: 5, config: &config }).unwrap();
    b.flow(1, on_port(1, 0), vec![Action::Meter(5), out(2)]);
    assert_eq!(b.send(1, &[udp_frame(), udp_frame(), udp_frame()]).len(), 2);
    assert_eq!(b.dropped(DropReason::Meter), 1);
    let Ok(Reply::Meter(info)) = b.dp.apply(Command::DelMeter(5)) else { panic!() };
    assert_eq!((info.total.packets, info.bands[0].packets, info.bands[0].bytes), (3, 1, 46));
    assert!(b.dp.apply(Command::GetMeter(5)).is_err());
}

#[test]
fn a_bond_sends_by_hash() {
    let mut b = Bench::new();
    let mut members = [OdpPort(2); 256];
    members[128..].fill(OdpPort(3));
    b.dp.apply(Command::SetBond { id: 1, members: &members }).unwrap();
    b.flow(1, on_port(1, 0), vec![Action::LbOutput(1)]);
    let ports: alloc::collections::BTreeSet<u32> = (0..64u16)
        .map(|n| {
            let mut f = udp_frame();
            f[34..36].copy_from_slice(&n.to_be_bytes());
            b.send(1, &[f])[0].0
        })
        .collect();
    assert_eq!(ports, [2, 3].into());
}

/// Flows that rewrite, track and send round again, under ids of their own, of which the last is returned; from ports 1
/// and 3 to port 2.
fn planned(b: &Bench) -> u128 {
    let commit =
        |zone| Action::Ct(Box::new(odp::CtAction { commit: true, zone, ..odp::CtAction::default() }));
    let ct = |commit| Action::Ct(Box::new(odp::CtAction { commit, ..odp::CtAction::default() }));
    let ttl = |ttl| Header::Ipv4 { src: 0, dst: 0, proto: 0, tos: 0, ttl, frag: 0 };
    let set = |n| Action::SetMasked { value: ttl(n), mask: ttl(255) };
    let ports = Action::Set(Header::Udp { src: 7, dst: 8 });
    let out = Action::Output(OdpPort(2));
    let mut id = 0;
    let mut flow = |port: u32, recirc: u32, state: Option<(u8, u8)>, tos: u8, actions: Vec<Action>| {
        id += 1;
        let mut m = Match::ANY;
        m.set_exact(slot::in_port, port.into());
        m.set_exact(slot::recirc_id, recirc.into());
        m.set_exact(slot::eth_type, 0x800);
        m.set_exact(slot::nw_tos, tos.into());
        if let Some((value, mask)) = state {
            m.set_masked(slot::ct_state, value.into(), mask.into());
        }
        b.flow(id, m, actions);
    };
    for port in [1, 3] {
        flow(port, 0, None, 0, vec![ct(false), Action::Recirc(1)]);
        flow(port, 1, Some((0x21, 0x21)), 0, vec![ct(true), set(9), out.clone()]);
        flow(port, 1, Some((0x22, 0x22)), 0, vec![out.clone()]);
        flow(port, 1, Some((0x20, 0x23)), 0, vec![Action::Output(OdpPort(4))]);
        flow(port, 0, None, 4, vec![set(5), ports.clone(), out.clone()]);
        flow(port, 0, None, 8, vec![set(6), ct(true), Action::Recirc(2)]);
        flow(port, 2, None, 8, vec![ports.clone(), out.clone(), set(1), Action::Output(OdpPort(5))]);
        flow(port, 0, None, 12, vec![out.clone(), out.clone()]);
        for (tos, zone) in [(16, 0), (20, 9)] {
            flow(port, 0, None, tos, vec![ct(false), Action::Recirc(3)]);
            flow(port, 3, Some((0x21, 0x21)), tos, vec![commit(zone), out.clone()]);
            flow(port, 3, Some((0x22, 0x22)), tos, vec![out.clone()]);
        }
    }
    id
}

/// A packet of one of few flows, right or damaged.
fn planned_frame() -> impl proptest::strategy::Strategy<Value = (u32, Vec<u8>)> {
    use proptest::prelude::*;
    let damage = prop::option::weighted(0.15, (14usize..46, any::<u8>()));
    let tos = prop::sample::select(vec![0u8, 0, 0, 4, 8, 12, 16, 16, 20, 24]);
    (any::<bool>(), 0u8..3, tos, damage).prop_map(|(reply, client, tos, damage)| {
        let mut f = udp_frame();
        f[15] = tos;
        f[29] += client;
        if reply {
            let (src, dst): ([u8; 4], [u8; 4]) =
                (f[26..30].try_into().unwrap(), f[30..34].try_into().unwrap());
            f[26..30].copy_from_slice(&dst);
            f[30..34].copy_from_slice(&src);
            f[34..38].rotate_left(2);
        }
        f[24..26].fill(0);
        let ip = wire::checksum::checksum(&f[14..34]);
        f[24..26].copy_from_slice(&ip.to_be_bytes());
        let udp = udp_checksum(&f);
        f[40..42].copy_from_slice(&udp.to_be_bytes());
        if let Some((at, value)) = damage {
            f[at] = value;
        }
        (if reply { 3 } else { 1 }, f)
    })
}

proptest::proptest! {
    /// What is done at once, by plans, keys that are carried on and packets that repeat others, is what is done to
    /// packets of which others may have written metadata, which are read and interpreted one by one.
    #[test]
    fn plans_and_trains_change_nothing(
        batches in proptest::collection::vec(
            (proptest::collection::vec((planned_frame(), 1usize..4), 1..12), proptest::bool::weighted(0.7)), 1..6),
    ) {
        let (mut quick, mut slow) = (Bench::new(), Bench::new());
        let last = planned(&quick);
        planned(&slow);
        for (groups, is_from_one_port) in batches {
            let mut frames: Vec<(u32, Vec<u8>)> =
                groups.into_iter().flat_map(|(frame, n)| core::iter::repeat_n(frame, n)).take(BATCH).collect();
            let first = frames[0].0;
            frames.retain(|(port, _)| !is_from_one_port || *port == first);
            for (n, (_, f)) in frames.iter_mut().enumerate() {
                // IPv4's identification, which is in no key, says in which order they came.
                let (old, new) = (wire::bytes::u16_at(f, 18).unwrap(), n as u16);
                let sum = wire::checksum::update_u16(wire::bytes::u16_at(f, 24).unwrap(), old, new);
                f[18..20].copy_from_slice(&new.to_be_bytes());
                f[24..26].copy_from_slice(&sum.to_be_bytes());
            }
            let mut sent: Vec<Vec<(u32, Vec<u8>)>> = Vec::new();
            let mut upcalls = Vec::new();
            for b in [&mut quick, &mut slow] {
                let mut batch = Batch::default();
                for (port, f) in &frames {
                    let (port, packet) = (OdpPort(*port), FlatPacket::try_from_frame(f).unwrap());
                    let pushed = if sent.is_empty() {
                        batch.push_from(port, packet).is_ok()
                    } else {
                        batch.push(PacketMeta { in_port: port, ..Default::default() }, packet).is_ok()
                    };
                    assert!(pushed);
                }
                b.worker.process(&b.dp, &mut PlainHost::without_routes(), NOW, &mut batch);
                let mut out: Vec<(u32, Vec<u8>)> =
                    b.worker.egress().transmits().map(|(port, p)| (port.0, p.frame().to_vec())).collect();
                // A packet that goes on at once does not wait for those behind it, which are of other flows.
                // What is of one flow stays in order.
                out.sort_by_key(|(_, f)| (f[15], f[26..34].to_vec()));
                sent.push(out);
                let mut missed: Vec<_> = b.worker.egress().upcalls().map(|u| (u.meta, u.packet.frame().to_vec())).collect();
                missed.sort_by(|a, b| a.1.cmp(&b.1));
                upcalls.push(missed);
                b.dp.conntrack().maintain(NOW, 0);
            }
            proptest::prop_assert_eq!(&sent[0], &sent[1]);
            proptest::prop_assert_eq!(&upcalls[0], &upcalls[1]);
        }
        for id in 1..=last {
            proptest::prop_assert_eq!(quick.get(id).stats, slow.get(id).stats, "flow {}", id);
        }
        proptest::prop_assert_eq!(quick.dp.conntrack().stats(), slow.dp.conntrack().stats());
        let stats = [&quick, &slow].map(|b| match b.dp.apply(Command::Stats) {
            Ok(Reply::Stats(s)) => (s.hits, s.misses, s.recirculated, s.lost, s.drops),
            _ => panic!("no statistics"),
        });
        proptest::prop_assert_eq!(stats[0], stats[1]);
    }
}

#[test]
fn a_translation_without_a_free_tuple_is_counted() {
    let mut b = Bench::new();
    let nat = odp::Nat {
        kind: Some(odp::NatKind::Src),
        addr: Some((0x0909_0909, 0x0909_0909)),
        port: Some((7, 7)),
        ..odp::Nat::default()
    };
    let ct = odp::CtAction { commit: true, nat: Some(nat), ..odp::CtAction::default() };
    b.flow(1, on_port(1, 0), vec![Action::Ct(Box::new(ct)), out(2)]);
    let mut other = udp_frame();
    other[29] = 9;
    other[24..26].fill(0);
    let sum = wire::checksum::checksum(&other[14..34]);
    other[24..26].copy_from_slice(&sum.to_be_bytes());
    other[40..42].fill(0);
    b.send(1, &[udp_frame()]);
    assert_eq!(b.dropped(DropReason::NatExhausted), 0);
    b.send(1, &[other]);
    assert_eq!(b.dropped(DropReason::NatExhausted), 1);
}
