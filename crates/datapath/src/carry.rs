//! Into tunnels and out of them: `tnl_push`, `tnl_pop`, and `set(tunnel(…))` with an output to a port that is a tunnel's.
//!
//! Where it sits: called by `execute`. For an output the header is made here, of the packet's tunnel fields and of what
//! the host says of the way there; `tnl_push` carries one that was made with the flow. Both are built and pushed by
//! `tunnel`.
//!
//! Next: `tunnel/src/build.rs`, `host.rs`.

use ::core::sync::atomic::Ordering;
use alloc::boxed::Box;

use odp::TunnelKind;
use packet::{DropReason, L4Checksum, OdpPort, PacketBuf, PacketMeta, Segments, TunnelKey};
use tunnel::{Header, Outer, Reassembled, Shape};
use wire::eth;
use wire::tunnel::{geneve, gtpu, stt, vxlan};

use crate::execute::Executor;
use crate::{Exit, Host, NextHop, TunnelDst, rewrite};

/// TTL of outer headers for which the flow gives none.
const TTL: u8 = 64;
/// UDP port of RFC 7510's tunnels.
const BAREUDP_PORT: u16 = 6635;

/// The transport port that a protocol's packets go to unless the flow says otherwise.
fn usual_port(kind: TunnelKind) -> u16 {
    match kind {
        TunnelKind::Vxlan => vxlan::PORT,
        TunnelKind::Geneve => geneve::PORT,
        TunnelKind::Gtpu => gtpu::PORT,
        TunnelKind::BareUdp => BAREUDP_PORT,
        TunnelKind::Stt => stt::PORT,
        _ => 0,
    }
}

impl<B: PacketBuf, H: Host<B>> Executor<'_, B, H> {
    /// The protocol of the tunnel that an output to `port` sends into, if it does.
    pub fn tunnel_of(&self, port: OdpPort) -> Option<TunnelKind> {
        if self.meta.tunnel.flags & TunnelKey::SEND == 0 {
            return None;
        }
        self.dp.tunnels.read().kind(port)
    }

    /// What the packet's outer headers are to have, and the way there.
    #[inline(always)]
    fn outer_of(&mut self, buf: &B, kind: TunnelKind, key: &mut TunnelKey) -> NextHop {
        *key = self.meta.tunnel;
        key.flags &= !TunnelKey::SEND;
        if key.tp_src == 0 {
            key.tp_src = self.dp.tunnels.read().source_port(self.flow_hash(buf));
        }
        if key.tp_dst == 0 {
            key.tp_dst = usual_port(kind);
        }
        if key.ttl == 0 {
            key.ttl = TTL;
        }
        let hop = self.host.next_hop(&TunnelDst { key, mark: self.meta.skb_mark });
        match hop {
            NextHop::Via { src, .. } if key.ipv6_dst != 0 && key.ipv6_src == 0 => key.ipv6_src = src,
            NextHop::Via { src, .. } if key.ipv6_dst == 0 && key.src == 0 => key.src = src as u32,
            _ => {}
        }
        hop
    }

    /// The outer headers that the packet would leave with by a port, boxed; nothing if the port is no tunnel's, or memory is
    /// short.
    #[inline(never)]
    pub fn egress_tunnel(&mut self, buf: &B, port: OdpPort) -> Option<Box<TunnelKey>> {
        let kind = self.tunnel_of(port)?;
        let mut key = sync::try_box(TunnelKey::default())?;
        self.outer_of(buf, kind, &mut key);
        Some(key)
    }

    /// Sends a packet into a tunnel.
    #[inline(never)]
    pub fn tunnel_output(&mut self, mut buf: B, kind: TunnelKind) {
        let mut key = TunnelKey::default();
        let (to, outer) = match self.outer_of(&buf, kind, &mut key) {
            NextHop::Via { port, exit, eth_src, eth_dst, .. } => {
                let is_ipv6 = key.ipv6_dst != 0;
                let (src, dst) = if is_ipv6 {
                    (key.ipv6_src, key.ipv6_dst)
                } else {
                    (u128::from(key.src), u128::from(key.dst))
                };
                ((port, exit), Outer { eth_src, eth_dst, src, dst, is_ipv6 })
            }
            NextHop::NoRoute => return self.drop(DropReason::TunnelRoutingFailed),
            NextHop::Resolving => return self.drop(DropReason::TunnelNeighCacheMiss),
        };
        if let Some(len) = self.trunc {
            buf.truncate(len as usize);
        }
        let is_super = buf.offload().segment.is_some();
        let may_stay = kind == TunnelKind::Stt || self.host.segments_inside_tunnels();
        if needs_cutting(kind, &buf) || is_super && !may_stay {
            return self.cut(&buf, |x, piece| x.carry(piece, kind, &key, &outer, to));
        }
        self.carry(buf, kind, &key, &outer, to);
    }

    /// Makes the headers, pushes them and transmits.
    // apart from `tunnel_output`: the headers lie on the stack, and kernel frames are small
    #[inline(never)]
    fn carry(
        &mut self,
        mut buf: B,
        kind: TunnelKind,
        key: &TunnelKey,
        outer: &Outer,
        (port, exit): (OdpPort, Exit),
    ) {
        if !self.host.finish_for_tunnel(&mut buf, kind) {
            return self.drop(DropReason::TunnelEncap);
        }
        let shape = Shape {
            dst_port: key.tp_dst,
            gbp: (key.gbp_id, key.gbp_flags) != (0, 0),
            packet_type: self.meta.packet_type,
            ..Shape::default()
        };
        let mut header = Header::default();
        if !tunnel::build_into(&mut header, kind, outer, key, &shape) {
            return self.drop(DropReason::TunnelHeaderBuildFailed);
        }
        let way = Way { kind, header: header.bytes(), src_port: key.tp_src, out_port: port };
        if let Err(reason) = self.encapsulate(&mut buf, &way) {
            return self.drop(reason);
        }
        match exit {
            Exit::Enters { tag } => self.enter_from(buf, port, tag),
            Exit::Leaves => {
                if !self.queues.transmit(port, buf) {
                    self.drop(DropReason::WorklistFull);
                }
            }
        }
    }

    /// Has a packet looked up as one that came from `port`; what is left of the list goes on with what it had.
    #[inline(never)]
    fn enter_from(&mut self, mut buf: B, port: OdpPort, tag: Option<u16>) {
        if let Some(tci) = tag
            && let Err(reason) = rewrite::push_vlan(&mut buf, eth::TYPE_VLAN, tci)
        {
            return self.drop(reason);
        }
        let waits = match self.meta.skb_mark {
            0 => self.waiting.push_from(port, buf),
            skb_mark => {
                let meta = PacketMeta { in_port: port, skb_mark, ..PacketMeta::default() };
                self.waiting.push_like(&meta, buf)
            }
        };
        if waits.is_err() {
            self.drop(DropReason::WorklistFull);
        }
    }

    /// Pushes a tunnel's headers, and numbers the packet where they have a place for it.
    pub fn encapsulate(&mut self, buf: &mut B, way: &Way<'_>) -> Result<(), DropReason> {
        let pushed = if way.kind == TunnelKind::Stt {
            let id = self.dp.sequence.fetch_add(1, Ordering::Relaxed);
            tunnel::stt::push(buf, way.header, way.src_port, id, self.host.mtu(way.out_port))
        } else {
            tunnel::push(buf, way.header, way.src_port)
        };
        pushed.map_err(|e| match e {
            tunnel::PushError::NoHeadroom => DropReason::NoHeadroom,
            tunnel::PushError::Malformed | tunnel::PushError::Nested => DropReason::TunnelEncap,
        })?;
        // Packets of a GRE or ERSPAN tunnel are numbered.
        if let Some(at) = tunnel::sequence_at(way.header) {
            let number = self.dp.sequence.fetch_add(1, Ordering::Relaxed);
            // The place lies in what was just pushed.
            let _ = wire::bytes::put(buf.head_mut(), at, &number.to_be_bytes());
        }
        Ok(())
    }

    /// Cuts a super-packet up and gives each piece to `f`.
    #[inline(never)]
    pub fn cut(&mut self, buf: &B, mut f: impl FnMut(&mut Self, B)) {
        let Some(cuts) = Segments::of(buf.head(), buf.len(), buf.offload()) else {
            return self.drop(DropReason::TunnelEncap);
        };
        for index in 0..cuts.count() {
            match self.piece(buf, &cuts, index) {
                Some(piece) => f(self, piece),
                None => self.drop(DropReason::NoMemory),
            }
        }
    }

    fn piece(&mut self, buf: &B, cuts: &Segments, index: usize) -> Option<B> {
        let body = cuts.body(index);
        let len = cuts.headers() + body.len();
        let mut piece = self.host.alloc(0, len + tunnel::MAX_HEADER)?;
        piece.comes_of(buf);
        piece.push_front(len)?;
        let to = piece.head_mut();
        // Hosts whose packets lie in others' memory may not get at it: nothing is sent that was not read.
        let headers = buf.copy_out(0, to.get_mut(..cuts.headers())?);
        let rest = buf.copy_out(body.start, to.get_mut(cuts.headers()..)?);
        ((headers, rest) == (cuts.headers(), body.len())).then_some(())?;
        let l4 = cuts.finish(to, index)?;
        piece.offload_mut().l4 = l4;
        Some(piece)
    }

    /// Takes a tunnel's headers off; what was inside recirculates as the tunnel port's.
    #[inline(never)]
    pub fn tunnel_pop(&mut self, mut buf: B, port: OdpPort) {
        let kind = self.dp.tunnels.read().kind(port);
        if kind == Some(TunnelKind::Stt) {
            return self.stt_pop(buf, port);
        }
        let Some(popped) = kind.and_then(|kind| tunnel::pop(kind, buf.head())) else {
            return self.drop(DropReason::TunnelDecap);
        };
        // A partial checksum is the inner packet's, or else of headers that go.
        if let L4Checksum::Partial { start, .. } = buf.offload().l4
            && usize::from(start) < popped.len
        {
            buf.offload_mut().l4 = L4Checksum::Unknown;
        }
        if !buf.pull_front(popped.len) {
            return self.drop(DropReason::TunnelDecap);
        }
        buf.offload_mut().outer = 0;
        self.popped(buf, port, &popped.key, popped.packet_type);
    }

    /// Takes a segment of an STT tunnel.
    #[inline(never)]
    fn stt_pop(&mut self, mut buf: B, port: OdpPort) {
        // Where it lies: a copy more, and the kernel frame is too large.
        let mut parsed = tunnel::stt::parse(&mut buf);
        let Some(segment) = &mut parsed else {
            return self.drop(DropReason::TunnelDecap);
        };
        let host = &mut *self.host;
        let done = self.stt.add(self.now.mono, (port, segment), buf, |room| host.alloc(0, room));
        let lost = self.stt.take_lost();
        (0..lost.timed_out).for_each(|_| self.drop(DropReason::SttTimeout));
        (0..lost.evicted).for_each(|_| self.drop(DropReason::SttNoRoom));
        let mut frame = match done {
            Reassembled::Whole(frame) => frame,
            Reassembled::Waits => return,
            Reassembled::NoMemory => return self.drop(DropReason::NoMemory),
            Reassembled::Scattered => return self.drop(DropReason::SttNoRoom),
        };
        let Some(id) = tunnel::stt::strip(&mut frame) else {
            return self.drop(DropReason::TunnelDecap);
        };
        segment.key.id = id;
        segment.key.flags |= TunnelKey::KEY;
        self.popped(frame, port, &segment.key, 0);
    }

    fn popped(&mut self, buf: B, port: OdpPort, key: &TunnelKey, packet_type: u32) {
        self.meta.clear_ct();
        self.meta.tunnel = *key;
        self.meta.packet_type = packet_type;
        self.meta.in_port = port;
        self.recirc(buf, 0);
    }
}

/// Headers to push, and where the packet goes then.
pub(crate) struct Way<'a> {
    pub kind: TunnelKind,
    pub header: &'a [u8],
    pub src_port: u16,
    pub out_port: OdpPort,
}

/// True if the packet has to be cut up before it goes into a tunnel of `kind`.
pub(crate) fn needs_cutting<B: PacketBuf>(kind: TunnelKind, buf: &B) -> bool {
    kind == TunnelKind::Stt && buf.offload().segment.is_some() && !tunnel::stt::carries(buf)
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use alloc::vec;
    use alloc::vec::Vec;

    use flow::{Match, slot};
    use odp::{Action, Header, TnlPush, Ufid};
    use packet::{Batch, FlatPacket, Instant, Now};
    use wire::EthAddr;

    use super::*;
    use crate::{Command, Config, Datapath, FlowPut, More, PutMode, Reply, UpcallKind, Worker};

    const SRC: EthAddr = EthAddr([6, 0, 0, 0, 0, 1]);
    const DST: EthAddr = EthAddr([6, 0, 0, 0, 0, 2]);
    const TUNNEL: OdpPort = OdpPort(9);
    const WAY_OUT: OdpPort = OdpPort(2);

    /// Knows one way, or none.
    struct Ways(NextHop);

    impl Host<FlatPacket> for Ways {
        fn try_clone(&mut self, packet: &FlatPacket) -> Option<FlatPacket> {
            Some(packet.clone())
        }
        fn alloc(&mut self, len: usize, headroom: usize) -> Option<FlatPacket> {
            FlatPacket::try_with_capacity(len, headroom)
        }
        fn next_hop(&mut self, dst: &TunnelDst<'_>) -> NextHop {
            assert_eq!(dst.key.flags & TunnelKey::SEND, 0, "a mark of the datapath's own");
            self.0
        }
    }

    const WAY: NextHop =
        NextHop::Via { port: WAY_OUT, exit: Exit::Leaves, eth_src: SRC, eth_dst: DST, src: 0x0101_0101 };
    const ENTRY: OdpPort = OdpPort(5);

    fn way_in(tag: Option<u16>) -> NextHop {
        let exit = Exit::Enters { tag };
        NextHop::Via { port: ENTRY, exit, eth_src: SRC, eth_dst: DST, src: 0x0101_0101 }
    }

    struct Bench {
        dp: Datapath,
        worker: Worker<FlatPacket>,
        ways: Ways,
    }

    impl Bench {
        fn new(kind: TunnelKind, hop: NextHop) -> Bench {
            let dp = Datapath::try_new(&Config::default()).unwrap();
            dp.apply(Command::SetTunnel { port: TUNNEL, kind: Some(kind) }).unwrap();
            Bench { dp, worker: Worker::try_new(1).unwrap(), ways: Ways(hop) }
        }

        fn flow(&self, port: u32, actions: Vec<Action>) {
            let mut matched = Match::ANY;
            matched.set_exact(slot::in_port, port.into());
            let mut put =
                FlowPut { ufid: Ufid(port.into()), matched, actions, mode: PutMode::CreateOrModify };
            self.dp.apply(Command::PutFlow(&mut put)).unwrap();
        }

        fn send(&mut self, port: u32, frame: &[u8]) -> Vec<(u32, Vec<u8>)> {
            let sent = self.send_packet(port, FlatPacket::try_from_frame(frame).unwrap());
            sent.iter().map(|(port, p)| (port.0, p.frame().to_vec())).collect()
        }

        fn send_packet(&mut self, port: u32, packet: FlatPacket) -> Vec<(OdpPort, FlatPacket)> {
            let mut batch = Batch::default();
            let meta = PacketMeta { in_port: OdpPort(port), ..PacketMeta::default() };
            batch.push(meta, packet).unwrap();
            let now = Now { mono: Instant::from_millis(5000), wall_ms: 0 };
            self.worker.process(&self.dp, &mut self.ways, now, &mut batch);
            self.worker.egress().transmits().collect()
        }

        fn dropped(&self, reason: DropReason) -> u64 {
            let Ok(Reply::Stats(stats)) = self.dp.apply(Command::Stats) else { panic!("no statistics") };
            stats.drops.get(reason)
        }
    }

    fn frame() -> Vec<u8> {
        let mut f = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
        f.extend([0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        f.extend([0x10, 0, 0, 53, 0, 8, 0, 0]);
        f
    }

    fn set(key: TunnelKey) -> Action {
        Action::Set(Header::Tunnel(Box::new(key)))
    }

    const KEY: TunnelKey = TunnelKey {
        id: 77,
        src: 0,
        dst: 0x0101_0102,
        ipv6_src: 0,
        ipv6_dst: 0,
        flags: TunnelKey::KEY | TunnelKey::DF,
        ttl: 33,
        tos: 4,
        tp_src: 0,
        tp_dst: 0,
        gbp_id: 0,
        gbp_flags: 0,
        erspan_ver: 1,
        erspan_idx: 3,
        erspan_dir: 0,
        erspan_hwid: 0,
        gtpu_flags: 0,
        gtpu_msgtype: 0,
        options: packet::TunnelOptions::NONE,
    };

    #[test]
    fn both_styles_put_the_same_bytes_on_the_wire() {
        let kinds = [
            TunnelKind::Vxlan,
            TunnelKind::Geneve,
            TunnelKind::Gre,
            TunnelKind::Erspan,
            TunnelKind::Gtpu,
            TunnelKind::Stt,
        ];
        let v6 = TunnelKey { dst: 0, ipv6_dst: 0x2001 << 112 | 2, flags: KEY.flags | TunnelKey::CSUM, ..KEY };
        for (kind, key) in kinds.map(|kind| (kind, KEY)).into_iter().chain([(TunnelKind::Vxlan, v6)]) {
            let is_ipv6 = key.ipv6_dst != 0;
            let dst = if is_ipv6 { key.ipv6_dst } else { key.dst.into() };
            let outer = Outer { eth_src: SRC, eth_dst: DST, src: 0x0101_0101, dst, is_ipv6 };
            let shape = Shape { dst_port: usual_port(kind), ..Shape::default() };
            let header = tunnel::build(kind, &outer, &key, &shape).unwrap().bytes().to_vec();
            let push = TnlPush { tnl_port: TUNNEL, out_port: WAY_OUT, kind, header };
            // Each numbers its own packets.
            let (mut by_port, mut by_push) = (Bench::new(kind, WAY), Bench::new(kind, NextHop::NoRoute));
            by_port.flow(1, vec![set(key), Action::Output(TUNNEL)]);
            by_push.flow(1, vec![Action::TnlPush(Box::new(push)), Action::Output(WAY_OUT)]);
            for _ in 0..2 {
                let sent = by_port.send(1, &frame());
                assert_eq!(sent.len(), 1, "{kind:?}");
                assert_eq!(sent, by_push.send(1, &frame()), "{kind:?}");
            }
        }
    }

    #[test]
    fn the_flow_says_what_it_wants_of_the_header() {
        let mut b = Bench::new(TunnelKind::Vxlan, WAY);
        let key = TunnelKey { src: 0x0909_0909, tp_src: 7, tp_dst: 8472, gbp_id: 5, ttl: 0, ..KEY };
        b.flow(1, vec![set(key), Action::Output(TUNNEL), Action::Output(OdpPort(3))]);
        let sent = b.send(1, &frame());
        let outer = &sent[0].1;
        assert_eq!((sent[0].0, outer[22], &outer[26..30]), (2, 64, &[9, 9, 9, 9][..]));
        assert_eq!((&outer[34..38], &outer[42..46]), (&[0, 7, 0x21, 0x18][..], &[0x88, 0, 0, 5][..]));
        assert_eq!(sent[1], (3, frame()), "other ports are no tunnels");
    }

    #[test]
    fn flows_of_the_hosts_port_say_which_way_a_tunnels_packets_go() {
        let mut b = Bench::new(TunnelKind::Vxlan, WAY);
        b.flow(1, vec![set(KEY), Action::Output(TUNNEL)]);
        let direct = b.send(1, &frame());
        let mut b = Bench::new(TunnelKind::Vxlan, way_in(None));
        b.flow(1, vec![set(KEY), Action::Output(TUNNEL), Action::Output(OdpPort(3))]);
        b.flow(ENTRY.0, vec![Action::Output(WAY_OUT)]);
        let mut sent = b.send(1, &frame());
        sent.sort();
        assert_eq!(sent, [direct[0].clone(), (3, frame())], "the rest of the list has the packet as it was");
    }

    #[test]
    fn flows_see_the_tag_that_the_hosts_port_puts_on() {
        for kind in [TunnelKind::Vxlan, TunnelKind::Stt] {
            let mut b = Bench::new(kind, WAY);
            b.flow(1, vec![set(KEY), Action::Output(TUNNEL)]);
            let direct = b.send(1, &frame()).remove(0).1;
            let mut b = Bench::new(kind, way_in(Some(3 << 13 | 5)));
            b.flow(1, vec![set(KEY), Action::Output(TUNNEL), Action::Output(OdpPort(3))]);
            let mut matched = Match::ANY;
            matched.set_exact(slot::in_port, ENTRY.0.into());
            matched.set_exact(slot::vlan_tci, (eth::VLAN_CFI | 3 << 13 | 5).into());
            let actions = vec![Action::Output(WAY_OUT)];
            let mut put = FlowPut { ufid: Ufid(9), matched, actions, mode: PutMode::CreateOrModify };
            b.dp.apply(Command::PutFlow(&mut put)).unwrap();
            let mut sent = b.send(1, &frame());
            sent.sort();
            let tagged = [&direct[..12], &[0x81, 0, 0x60, 5], &direct[12..]].concat();
            assert_eq!(sent, [(WAY_OUT.0, tagged), (3, frame())], "{kind:?}: what goes on has no tag");
        }
    }

    #[test]
    fn without_a_way_packets_are_counted() {
        let mut b = Bench::new(TunnelKind::Vxlan, NextHop::NoRoute);
        b.flow(1, vec![set(KEY), Action::Output(TUNNEL)]);
        assert_eq!((b.send(1, &frame()), b.dropped(DropReason::TunnelRoutingFailed)), (vec![], 1));
        b.ways.0 = NextHop::Resolving;
        assert_eq!((b.send(1, &frame()), b.dropped(DropReason::TunnelNeighCacheMiss)), (vec![], 1));
        let mut b = Bench::new(TunnelKind::Srv6, WAY);
        b.flow(1, vec![set(KEY), Action::Output(TUNNEL)]);
        assert_eq!((b.send(1, &frame()), b.dropped(DropReason::TunnelHeaderBuildFailed)), (vec![], 1));
    }

    #[test]
    fn a_super_packet_crosses_an_stt_tunnel_in_segments_that_come_in_any_order() {
        let mut b = Bench::new(TunnelKind::Stt, WAY);
        b.flow(1, vec![set(KEY), Action::Output(TUNNEL)]);
        b.flow(2, vec![Action::TnlPop(TUNNEL)]);
        b.flow(TUNNEL.0, vec![Action::Output(OdpPort(3))]);
        let mut udp = frame();
        udp.extend((0..4000u32).map(|i| i as u8));
        udp[16..18].copy_from_slice(&4028u16.to_be_bytes());
        udp[38..40].copy_from_slice(&4008u16.to_be_bytes());
        let mut p = FlatPacket::try_from_frame(&udp).unwrap();
        let size = packet::Segmentation { kind: packet::SegmentationKind::Udp, size: 2500, ecn: false };
        p.offload_mut().segment = Some(size);
        let frames = b.send_packet(1, p);
        assert_eq!(frames.len(), 2, "the header has no place for datagrams of equal size: each goes alone");
        let mut out = Vec::new();
        for (port, frame) in &frames {
            assert_eq!(*port, WAY_OUT);
            let cuts =
                Segments::of(frame.frame(), frame.len(), frame.offload()).expect("larger than the MTU");
            for i in (0..cuts.count()).rev() {
                let mut f = frame.frame()[..cuts.headers()].to_vec();
                f.extend_from_slice(&frame.frame()[cuts.body(i)]);
                cuts.finish(&mut f, i).unwrap();
                assert!(f.len() <= 1514);
                out.extend(b.send(2, &f));
            }
        }
        assert_eq!(out.iter().map(|(port, f)| (*port, f.len())).collect::<Vec<_>>(), [(3, 2542), (3, 1542)]);
        assert_eq!([&out[0].1[42..], &out[1].1[42..]].concat(), udp[42..]);
        let stray = frames[0].1.frame()[..200].to_vec();
        assert_eq!(
            (b.send(2, &stray), b.dropped(DropReason::TunnelDecap)),
            (vec![], 1),
            "shorter than it says"
        );
    }

    #[test]
    fn user_space_is_told_the_headers_that_a_packet_would_leave_with() {
        let mut b = Bench::new(TunnelKind::Vxlan, WAY);
        let told = |port: Option<OdpPort>, actions| {
            let userspace = odp::Userspace { userdata: vec![7], tunnel_out_port: port, actions, pid: 0 };
            Action::Userspace(Box::new(userspace))
        };
        let list = vec![told(Some(TUNNEL), false), set(KEY), Action::Trunc(30), told(Some(TUNNEL), true)];
        b.flow(1, list.clone());
        b.send(1, &frame());
        let upcalls: Vec<_> = b.worker.egress().upcalls().map(|u| (u.kind, u.packet.len())).collect();
        let [(first, 42), (second, 30)] = &upcalls[..] else { panic!("{upcalls:?}") };
        let kind = |more| UpcallKind::Action { flow: Some(Ufid(1)), userdata: vec![7], more };
        assert_eq!(*first, kind(None), "no headers are set yet");
        let UpcallKind::Action { more: Some(more), .. } = second else { panic!("{second:?}") };
        let tp_src = more.tunnel.as_ref().unwrap().tp_src;
        let sent = TunnelKey { src: 0x0101_0101, tp_src, tp_dst: vxlan::PORT, ..KEY };
        let expected = More { tunnel: Some(Box::new(sent)), actions: Some(list), whole_len: Some(42) };
        assert_eq!(**more, expected);
        assert!((32768..=61000).contains(&tp_src));
    }

    #[test]
    fn fields_that_were_received_are_not_sent_with() {
        let mut b = Bench::new(TunnelKind::Vxlan, WAY);
        b.flow(1, vec![set(KEY), Action::Output(TUNNEL)]);
        let carried = b.send(1, &frame()).remove(0).1;
        b.flow(2, vec![Action::TnlPop(TUNNEL)]);
        b.flow(TUNNEL.0, vec![Action::Output(TUNNEL)]);
        assert_eq!(b.send(2, &carried), [(TUNNEL.0, frame())], "as it came out");
    }
}
