//! The workloads by which the core's speed is told, each a datapath in its steady state and packets that keep it there.
//!
//! Where it sits: shared by the measurement (`benches/core.rs`) and the test that nothing allocates
//! (`tests/allocations.rs`). The names are those of docs/performance.md.

#[path = "../../../classifier/benches/shapes/mod.rs"]
mod shapes;

use std::sync::Arc;

use classifier::RuleTable;
use datapath::{
    Command, Config, Datapath, Exit, FlowInfo, FlowPut, Host, NextHop, PutMode, Reply, TunnelDst, Worker,
};
use flow::{Match, Wildcards, ct_state, slot};
use odp::{Action, CtAction, Header, TnlPush, TunnelKind, Ufid};
use packet::{BATCH, Batch, FlatPacket, Instant, Now, OdpPort, TunnelKey};
use shapes::Shape;
use tunnel::Outer;
use wire::EthAddr;

/// A case: its name, and what it does.
pub const CASES: [(&str, Make); 15] = [
    ("one", |c| c.flows(1, udp_to_port)),
    ("l2", |c| c.flows(1, on_port)),
    ("flows-1k", |c| c.flows(1_000, four_tuple)),
    ("flows-10k", |c| c.flows(10_000, four_tuple)),
    ("flows-100k", |c| c.flows(100_000, four_tuple)),
    ("masks-20", |c| c.flows(10_000, twenty_masks)),
    ("ct-1k", |c| c.connections(1000)),
    ("ct-100k", |c| c.connections(100_000)),
    ("rewrite", Case::rewriting),
    ("vxlan-push", Case::pushing),
    ("vxlan-out", Case::sending_out),
    ("vxlan-pop", Case::popping),
    ("acl-10k", |c| c.classified(Shape::Acl)),
    ("fw-10k", |c| c.classified(Shape::Fw)),
    ("ipc-10k", |c| c.classified(Shape::Ipc)),
];

/// The host's own port, by which what goes into tunnels enters.
const HOST: OdpPort = OdpPort(4);

/// Makes a case in a fresh one.
pub type Make = fn(&mut Case);

/// Frames that wait to be sent: buffers go round, so that a steady state takes no memory.
struct Pool(Vec<FlatPacket>);

impl Host<FlatPacket> for Pool {
    fn try_clone(&mut self, packet: &FlatPacket) -> Option<FlatPacket> {
        let mut copy = self.0.pop()?;
        copy.reset(FlatPacket::HEADROOM);
        copy.append(packet.frame()).then_some(copy)
    }
    fn alloc(&mut self, _len: usize, headroom: usize) -> Option<FlatPacket> {
        let mut fresh = self.0.pop()?;
        fresh.reset(headroom);
        Some(fresh)
    }
    fn next_hop(&mut self, _dst: &TunnelDst<'_>) -> NextHop {
        let exit = Exit::Enters { tag: None };
        NextHop::Via { port: HOST, exit, eth_src: EthAddr([6; 6]), eth_dst: EthAddr([8; 6]), src: 1 }
    }
}

/// A datapath with its flows, and the frames that go round.
pub struct Case {
    dp: Arc<Datapath>,
    worker: Worker<FlatPacket>,
    pool: Pool,
    batch: Batch<FlatPacket>,
    frames: Vec<Vec<u8>>,
    /// Frames that were sent once before, and their ports.
    before: Vec<(u32, Vec<u8>)>,
    next: usize,
    now: Now,
    /// Packets that came out.
    pub sent: u64,
}

/// A case without its datapath.
#[allow(dead_code, reason = "the driver's measurement's alone")]
pub struct Workload {
    /// The flows of the datapath.
    pub flows: Vec<FlowInfo>,
    /// The frames that go round.
    pub frames: Vec<Vec<u8>>,
    /// Frames that are sent once before, and their ports.
    pub before: Vec<(u32, Vec<u8>)>,
}

/// A 60-byte UDP frame with right checksums.
fn frame(src: u32, dst: u32, ports: (u16, u16)) -> Vec<u8> {
    frame_of(17, src, dst, ports)
}

/// The same of UDP or TCP.
fn frame_of(proto: u8, src: u32, dst: u32, ports: (u16, u16)) -> Vec<u8> {
    let mut f = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    f.extend([0x45, 0, 0, 46, 0, 1, 0, 0, 64, proto, 0, 0]);
    f.extend(src.to_be_bytes());
    f.extend(dst.to_be_bytes());
    f.extend(ports.0.to_be_bytes());
    f.extend(ports.1.to_be_bytes());
    match proto {
        6 => f.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0]),
        _ => f.extend([0, 26, 0, 0]),
    }
    f.resize(60, 0x5a);
    let ip = wire::checksum::checksum(&f[14..34]);
    f[24..26].copy_from_slice(&ip.to_be_bytes());
    let sum = wire::checksum::pseudo_v4(src, dst, proto, 26).bytes(&f[34..]).finish();
    let at = if proto == 6 { 50 } else { 40 };
    f[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    f
}

/// What every megaflow of Open vSwitch matches of an IPv4 packet.
fn base() -> Match {
    let mut m = Match::ANY;
    m.set_exact(slot::in_port, 1);
    m.set_exact(slot::recirc_id, 0);
    m.set_exact(slot::packet_type, 0);
    m.set_exact(slot::eth_type, 0x800);
    m.set_exact(slot::nw_frag, 0);
    m
}

const SRC: u32 = 0x0a00_0001;
const DST: u32 = 0x0a80_0001;

/// Frame and match of flow `n`.
type Flow = fn(n: u32) -> (Vec<u8>, Match);

fn on_port(_: u32) -> (Vec<u8>, Match) {
    (frame(SRC, DST, (1000, 2000)), base())
}

fn udp_to_port(_: u32) -> (Vec<u8>, Match) {
    let mut m = base();
    m.set_exact(slot::nw_proto, 17);
    m.set_exact(slot::nw_dst, DST.into());
    m.set_exact(slot::tp_dst, 2000);
    (frame(SRC, DST, (1000, 2000)), m)
}

fn four_tuple(n: u32) -> (Vec<u8>, Match) {
    let (src, dst, ports) = (SRC + n, DST + n % 7, (1000 + n as u16 % 5000, 2000));
    let mut m = base();
    m.set_exact(slot::nw_proto, 17);
    m.set_exact(slot::nw_src, src.into());
    m.set_exact(slot::nw_dst, dst.into());
    m.set_exact(slot::tp_src, ports.0.into());
    m.set_exact(slot::tp_dst, ports.1.into());
    (frame(src, dst, ports), m)
}

/// Every flow under one of twenty masks, none in the way of another.
fn twenty_masks(n: u32) -> (Vec<u8>, Match) {
    let (mask, src) = (n % 20, SRC + n);
    let mut m = base();
    m.set_exact(slot::nw_proto, 17);
    m.set_exact(slot::nw_src, src.into());
    m.set_masked(slot::nw_dst, DST.into(), (u32::MAX << mask).into());
    (frame(src, DST, (1000, 2000)), m)
}

impl Case {
    /// The case of that name.
    pub fn of(name: &str) -> Option<Case> {
        let (_, make) = CASES.iter().find(|(known, _)| *known == name)?;
        let mut case = Case::empty();
        make(&mut case);
        Some(case)
    }

    /// The same datapath and packets, for another worker.
    #[allow(dead_code, reason = "the measurement's alone")]
    pub fn beside(&self) -> Case {
        Case { dp: self.dp.clone(), frames: self.frames.clone(), ..Case::empty() }
    }

    /// The same datapath, and every other packet, which this one does not send any more.
    #[allow(dead_code, reason = "the measurement's alone")]
    pub fn split(&mut self) -> Case {
        let every_other = |frames: &[Vec<u8>], first| frames.iter().skip(first).step_by(2).cloned().collect();
        let other = Case { frames: every_other(&self.frames, 1), ..self.beside() };
        (self.frames, self.next) = (every_other(&self.frames, 0), 0);
        other
    }

    /// What another host needs to carry the same.
    #[allow(dead_code, reason = "the driver's measurement's alone")]
    pub fn workload(self) -> Workload {
        let all = self.dp.apply(Command::DumpFlows { cursor: 0, max: usize::MAX });
        let Ok(Reply::Flows { flows, .. }) = all else { panic!("flows cannot be dumped") };
        Workload { flows, frames: self.frames, before: self.before }
    }

    fn empty() -> Case {
        let config = Config { flow_limit: 1_000_000, ..Config::default() };
        let pool = (0..4 * BATCH).filter_map(|_| FlatPacket::try_with_capacity(256, FlatPacket::HEADROOM));
        Case {
            dp: Arc::new(Datapath::try_new(&config).expect("memory for tables")),
            worker: Worker::try_new(1).expect("memory for a worker"),
            pool: Pool(pool.collect()),
            batch: Batch::try_new().expect("memory for a batch"),
            frames: Vec::new(),
            before: Vec::new(),
            next: 0,
            now: Now { mono: Instant::from_millis(5000), wall_ms: 0 },
            sent: 0,
        }
    }

    fn flow(&self, matched: &Match, actions: Vec<Action>) {
        let ufid = Ufid(u128::from(datapath_flows(&self.dp)) + 1);
        let mut put = FlowPut { ufid, matched: *matched, actions, mode: PutMode::Create };
        self.dp.apply(Command::PutFlow(&mut put)).expect("a flow that fits");
    }

    fn flows(&mut self, n: u32, flow: Flow) {
        for i in 0..n {
            let (frame, matched) = flow(i);
            self.flow(&matched, vec![Action::Output(OdpPort(2))]);
            self.frames.push(frame);
        }
        self.settle();
    }

    fn rewriting(&mut self) {
        let (frame, matched) = udp_to_port(0);
        let eth = |dst| Header::Ethernet { src: EthAddr([0; 6]), dst };
        let ip = |dst, ttl| Header::Ipv4 { src: 0, dst, proto: 0, tos: 0, ttl, frag: 0 };
        let actions = vec![
            Action::SetMasked { value: eth(EthAddr([6; 6])), mask: eth(EthAddr([0xff; 6])) },
            Action::SetMasked { value: ip(0x0b00_0001, 63), mask: ip(u32::MAX, 255) },
            Action::Output(OdpPort(2)),
        ];
        self.flow(&matched, actions);
        self.frames.push(frame);
        self.settle();
    }

    /// What is set of a tunnel.
    fn tunnel() -> TunnelKey {
        TunnelKey { id: 7, dst: 2, flags: TunnelKey::KEY | TunnelKey::DF, ttl: 64, ..TunnelKey::default() }
    }

    /// The headers of that tunnel.
    fn header() -> Vec<u8> {
        let key = Case::tunnel();
        let outer =
            Outer { eth_src: EthAddr([6; 6]), eth_dst: EthAddr([8; 6]), src: 1, dst: 2, is_ipv6: false };
        let shape = tunnel::Shape { dst_port: wire::tunnel::vxlan::PORT, ..tunnel::Shape::default() };
        let header = tunnel::build(TunnelKind::Vxlan, &outer, &key, &shape).expect("headers that fit");
        header.bytes().to_vec()
    }

    /// Packets that go into a VXLAN tunnel.
    fn pushing(&mut self) {
        let (frame, matched) = udp_to_port(0);
        let push = TnlPush {
            tnl_port: OdpPort(9),
            out_port: OdpPort(2),
            kind: TunnelKind::Vxlan,
            header: Case::header(),
        };
        self.flow(&matched, vec![Action::TnlPush(Box::new(push)), Action::Output(OdpPort(2))]);
        self.frames.push(frame);
        self.settle();
    }

    /// Packets that go into one whose way the host knows.
    fn sending_out(&mut self) {
        let tunnel = OdpPort(9);
        self.dp.apply(Command::SetTunnel { port: tunnel, kind: Some(TunnelKind::Vxlan) }).expect("room");
        let (frame, matched) = udp_to_port(0);
        let set = Action::Set(Header::Tunnel(Box::new(Case::tunnel())));
        self.flow(&matched, vec![set, Action::Output(tunnel)]);
        let mut outer = base();
        outer.set_exact(slot::in_port, HOST.0.into());
        self.flow(&outer, vec![Action::Output(OdpPort(2))]);
        self.frames.push(frame);
        self.settle();
    }

    /// Packets that come out of one.
    fn popping(&mut self) {
        let tunnel = OdpPort(9);
        self.dp.apply(Command::SetTunnel { port: tunnel, kind: Some(TunnelKind::Vxlan) }).expect("room");
        let (frame, mut inner) = udp_to_port(0);
        let mut carried = FlatPacket::try_from_frame(&frame).expect("memory for a packet");
        tunnel::push(&mut carried, &Case::header(), 50_000).expect("room for headers");
        self.flow(&base(), vec![Action::TnlPop(tunnel)]);
        inner.set_exact(slot::in_port, tunnel.0.into());
        inner.set_exact(slot::tun_id, 7);
        inner.set_exact(slot::tun_src, 1);
        inner.set_exact(slot::tun_dst, 2);
        self.flow(&inner, vec![Action::Output(OdpPort(2))]);
        self.frames.push(carried.frame().to_vec());
        self.settle();
    }

    /// The megaflows that 20,000 packets make of 10,000 rules of a shape.
    fn classified(&mut self, shape: Shape) {
        let rules = shapes::rules(shape, 10_000, 1);
        let mut table = RuleTable::new(1);
        for rule in &rules {
            table.insert(&rule.matched, rule.priority, ());
        }
        for key in shapes::trace(&rules, 20_000, 1) {
            let mut wc = Wildcards::NONE;
            table.lookup(&key, Some(&mut wc));
            let mut matched = base();
            for (slot, bits) in [
                (slot::nw_src, wc.nw_src().into()),
                (slot::nw_dst, wc.nw_dst().into()),
                (slot::nw_proto, 0xff),
                (slot::tp_src, wc.tp_src().into()),
                (slot::tp_dst, wc.tp_dst().into()),
            ] {
                let bits: u128 = bits;
                matched.set_masked(slot, key.get(slot) & bits, bits);
            }
            let ufid = Ufid(self.frames.len() as u128 + 1);
            let actions = vec![Action::Output(OdpPort(2))];
            let mut put = FlowPut { ufid, matched, actions, mode: PutMode::Create };
            // Most packets are of a megaflow that another has made.
            let _ = self.dp.apply(Command::PutFlow(&mut put));
            let ports = (key.tp_src(), key.tp_dst());
            self.frames.push(frame_of(key.nw_proto(), key.nw_src(), key.nw_dst(), ports));
        }
        self.settle();
    }

    /// `n` UDP connections, each seen in both directions.
    fn connections(&mut self, n: u32) {
        let (trk, est) = (u128::from(ct_state::TRK), u128::from(ct_state::TRK | ct_state::EST));
        let ct = |commit| Action::Ct(Box::new(CtAction { commit, ..CtAction::default() }));
        let mut first = base();
        first.set_masked(slot::ct_state, 0, trk);
        self.flow(&first, vec![ct(false), Action::Recirc(1)]);
        for port in [1, 3] {
            for (state, actions) in
                [(est, vec![Action::Output(OdpPort(2))]), (trk, vec![ct(true), Action::Output(OdpPort(2))])]
            {
                let mut m = base();
                m.set_exact(slot::recirc_id, 1);
                m.set_exact(slot::in_port, port);
                m.set_masked(slot::ct_state, state, est);
                self.flow(&m, actions);
            }
        }
        let mut back = first;
        back.set_exact(slot::in_port, 3);
        self.flow(&back, vec![ct(false), Action::Recirc(1)]);
        let there = |i| frame(SRC + i, DST, (1000, 2000));
        let back = |i| frame(DST, SRC + i, (2000, 1000));
        // A batch at a time, each way, so that the table keeps up.
        for some in (0..n).collect::<Vec<_>>().chunks(BATCH) {
            for (port, frames) in [
                (1, some.iter().map(|i| there(*i)).collect::<Vec<_>>()),
                (3, some.iter().map(|i| back(*i)).collect()),
            ] {
                self.before.extend(frames.iter().map(|frame| (port, frame.clone())));
                (self.frames, self.next) = (frames, 0);
                self.run_on(OdpPort(port), 1);
                while self.dp.conntrack().maintain(self.now, 0) {}
            }
        }
        self.frames = (0..n).map(there).collect();
        self.settle();
    }

    /// Every packet once or twice, until nothing but the steady state is left.
    fn settle(&mut self) {
        let batches = 2 * self.frames.len().div_ceil(BATCH) + 2;
        for _ in 0..batches {
            self.run(1);
            self.dp.conntrack().maintain(self.now, 0);
        }
        self.next = 0;
    }

    /// Sends `batches` full batches through.
    pub fn run(&mut self, batches: u64) {
        self.run_on(OdpPort(1), batches);
    }

    fn run_on(&mut self, port: OdpPort, batches: u64) {
        for _ in 0..batches {
            self.fill(port);
            self.worker.process(&self.dp, &mut self.pool, self.now, &mut self.batch);
            let mut egress = self.worker.egress();
            for (_, packet) in egress.transmits() {
                self.pool.0.push(packet);
                self.sent += 1;
            }
            egress.take_upcalls(|upcall| {
                self.pool.0.push(std::mem::take(&mut upcall.packet));
            });
        }
    }

    /// Makes `batches` full batches, and does nothing with them.
    pub fn run_floor(&mut self, batches: u64) {
        for _ in 0..batches {
            self.fill(OdpPort(1));
            for packet in self.batch.drain_bufs() {
                self.pool.0.push(packet);
            }
        }
    }

    fn fill(&mut self, port: OdpPort) {
        while !self.batch.is_full() {
            let Some(mut packet) = self.pool.0.pop() else { break };
            packet.reset(FlatPacket::HEADROOM);
            let frame = &self.frames[self.next];
            self.next = if self.next + 1 == self.frames.len() { 0 } else { self.next + 1 };
            assert!(packet.append(frame));
            assert!(self.batch.push_from(port, packet).is_ok());
        }
    }
}

fn datapath_flows(dp: &Datapath) -> u64 {
    match dp.apply(Command::Stats) {
        Ok(Reply::Stats(stats)) => stats.flows,
        _ => 0,
    }
}
