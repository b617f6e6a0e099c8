//! Packets through the core: flows are put, batches processed, upcalls executed, tables dumped.
//!
//! Where it sits: called by `exercise`; the same calls that a driver makes.

use alloc::{boxed::Box, vec, vec::Vec};
use core::fmt::Write;

use conntrack::{DumpCursor, Entry, Flush};
use datapath::{Command, Config, Datapath, FlowPut, PlainHost, PutMode, Reply, Worker};
use flow::Match;
use odp::{Action, CtAction, HashAlg, Header, Nat, NatKind, Ufid, text::ActionList};
use packet::{Batch, FlatPacket, Now, OdpPort, PacketBuf, PacketMeta};

use crate::bytes::frame;

/// A number that depends on all answers; 0 if memory was short.
pub(crate) fn exercise(seed: u64) -> u64 {
    run(seed).unwrap_or(0)
}

fn run(seed: u64) -> Option<u64> {
    let dp = datapath(seed)?;
    let mut worker = worker(seed)?;
    let mut sum = 0;
    for round in 0..3 {
        sum ^= process(&dp, &mut worker, seed ^ round)?;
        sum ^= u64::from(put(&dp, seed, round)?);
    }
    sum ^= housekeeping(&dp, seed)?;
    Some(sum ^ listing(&dp)?)
}

#[inline(never)]
pub(crate) fn datapath(seed: u64) -> Option<Box<Datapath>> {
    sync::try_box_with(|| flat_datapath(seed))
}

#[inline(never)]
fn flat_datapath(seed: u64) -> Option<Datapath> {
    Datapath::try_new(&Config { seed, ..Config::default() })
}

#[inline(never)]
fn worker(seed: u64) -> Option<Box<Worker<FlatPacket>>> {
    sync::try_box_with(|| Worker::try_new(seed))
}

/// A batch in, whatever comes out; what misses is executed as the switch would have it.
#[inline(never)]
fn process(dp: &Datapath, worker: &mut Worker<FlatPacket>, seed: u64) -> Option<u64> {
    let mut batch = Batch::try_new()?;
    let now = Now::default();
    (0..8).try_for_each(|number| receive(&mut batch, seed, number))?;
    worker.process(dp, &mut PlainHost::without_routes(), now, &mut batch);
    let mut sum = worker
        .egress()
        .transmits()
        .fold(0, |sum, (port, packet)| sum + u64::from(port.0) + packet.len() as u64);
    let missed = missed(worker)?;
    sum += missed.len() as u64;
    missed.into_iter().for_each(|packet| execute(dp, worker, packet));
    Some(sum + worker.egress().transmits().count() as u64)
}

#[inline(never)]
fn execute(dp: &Datapath, worker: &mut Worker<FlatPacket>, packet: (PacketMeta, FlatPacket)) {
    worker.execute(
        dp,
        &mut PlainHost::without_routes(),
        Now::default(),
        packet,
        &[Action::Output(OdpPort(9))],
    );
}

/// The packets that no flow matched.
#[inline(never)]
fn missed(worker: &mut Worker<FlatPacket>) -> Option<Vec<(PacketMeta, FlatPacket)>> {
    let mut packets = Vec::new();
    packets.try_reserve_exact(packet::BATCH).ok()?;
    // Taken where they lie: an upcall by value fills a kernel frame.
    worker.egress().take_upcalls(|upcall| {
        if packets.len() < packets.capacity() {
            packets.push((upcall.meta, core::mem::take(&mut upcall.packet)));
        }
    });
    Some(packets)
}

#[inline(never)]
fn receive(batch: &mut Batch<FlatPacket>, seed: u64, number: u32) -> Option<()> {
    let meta = PacketMeta { in_port: OdpPort(number), ..PacketMeta::default() };
    batch.push(meta, frame(seed.wrapping_add(u64::from(number)))?).ok()
}

/// One flow for each kind of action, each matching one bit of what the frames hold.
#[inline(never)]
fn put(dp: &Datapath, seed: u64, round: u64) -> Option<u32> {
    let actions = actions(seed);
    odp::validate(&actions).ok()?;
    let mut flows = Vec::new();
    flows.try_reserve_exact(1).ok()?;
    let ufid = Ufid(u128::from(round));
    flows.push(FlowPut { ufid, matched: Match::ANY, actions, mode: PutMode::CreateOrModify });
    let flow = flows.first_mut()?;
    flow.matched.set_masked(flow::slot::in_port, u128::from(round), 3);
    dp.apply(Command::PutFlow(flow)).ok()?;
    Some(1)
}

#[inline(never)]
fn actions(seed: u64) -> Vec<Action> {
    let word = seed as u32;
    let nat = Nat {
        kind: Some(NatKind::Src),
        addr: Some((u128::from(word), u128::from(word) + 9)),
        port: Some((1000, 2000)),
        ..Nat::default()
    };
    let ct = CtAction {
        commit: true,
        zone: word as u16,
        mark: Some((word, 255)),
        nat: Some(nat),
        ..CtAction::default()
    };
    vec![
        Action::Set(Header::Priority(word)),
        Action::PushVlan { tpid: 0x8100, tci: word as u16 | 0x1000 },
        Action::PopVlan,
        Action::Clone(vec![Action::Trunc(64), Action::Output(OdpPort(word))]),
        Action::Sample { probability: word, actions: vec![Action::Userspace(Box::default())] },
        Action::CheckPktLen { len: word as u16, if_greater: vec![Action::CtClear], if_less_equal: vec![] },
        Action::Hash { alg: HashAlg::L4, basis: word },
        Action::Ct(Box::new(ct)),
        Action::PushMpls { lse: word, eth_type: 0x8847 },
        Action::PopMpls { eth_type: 0x0800 },
        Action::PopEth,
        Action::PushNsh(Box::new(odp::PushNsh {
            header: odp::NshFields { md_type: 1, ..Default::default() },
            md2: vec![],
        })),
        Action::PopNsh,
        Action::PushEth { src: wire::EthAddr([2; 6]), dst: wire::EthAddr([4; 6]) },
        Action::Meter(word),
        Action::DecTtl(vec![]),
        Action::LbOutput(word),
        Action::TnlPush(Box::new(odp::TnlPush {
            tnl_port: OdpPort(1),
            out_port: OdpPort(2),
            kind: odp::TunnelKind::Vxlan,
            header: vec![word as u8; 50],
        })),
        Action::TnlPop(OdpPort(1)),
        Action::Recirc(word & 1),
    ]
}

#[inline(never)]
fn housekeeping(dp: &Datapath, seed: u64) -> Option<u64> {
    let now = Now::default();
    let conntrack = dp.conntrack();
    conntrack.maintain(now, 100);
    conntrack.set_zone_limit(seed as u16, Some(10));
    let mut entries = Vec::new();
    entries.try_reserve_exact(16).ok()?;
    entries.resize(16, Entry::default());
    let found = conntrack.dump(now, &mut DumpCursor::default(), None, &mut entries);
    let flushed = conntrack.flush(now, &Flush::default());
    dp.apply(Command::SortMasks).ok()?;
    let Ok(Reply::Stats(stats)) = dp.apply(Command::Stats) else { return None };
    Some((found + flushed) as u64 + stats.hits + stats.misses)
}

/// Dumps the flows as text into nothing but its length, and as netlink attributes.
#[inline(never)]
fn listing(dp: &Datapath) -> Option<u64> {
    let Ok(Reply::Flows { flows, .. }) = dp.apply(Command::DumpFlows { cursor: 0, max: 100 }) else {
        return None;
    };
    let mut length = Length(0);
    let mut message = netlink::Builder::new();
    message.begin(&netlink::Header::default(), &[]);
    for flow in &flows {
        write!(length, "{} {}", flow.ufid, ActionList(&flow.actions)).ok()?;
        message.put_u64(1, flow.stats.packets);
    }
    let bytes = message.finish()?;
    let messages = netlink::Messages::new(&bytes).count();
    dp.apply(Command::FlushFlows).ok()?;
    Some(length.0 + messages as u64)
}

struct Length(u64);

impl Write for Length {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.0 += text.len() as u64;
        Ok(())
    }
}
