//! The Hyper-V extension in a switch of memory: packets with frames, blocks, destinations and out-of-band tags, without NDIS.
//!
//! Where it sits: everything of the driver that forwards, under the simplest system that keeps `Platform`'s promises, and its
//! device, by which ports are bound and upcalls come. The whole driver, with NDIS around it, is `hyperv-sim`'s.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datapath::{Command, CommandError, Reply};
use device::{Device, Handle, Queue, VportHost, Written};
use flow::FlowKey;
use netlink::{Attrs, Builder, GenlHeader, Header, Messages, flags};
use odp::Action;
use odp::netlink::ids::{self, Family, cmd, control_attr, control_cmd, packet_cmd};
use odp::netlink::key::take_key;
use odp::netlink::packet::PacketAttrs;
use odp::netlink::vport::{VportAttrs, VportKind};
use packet::{Instant, Now, OdpPort, PacketMeta};
use switch_ext::{
    Decision, Destination, Facts, Info, NicId, NicInfo, NicKind, Oid, Outcome, Platform, Policy, PortInfo,
    PortKind, Reason, SendFlags, Setup, Snapshot,
};
use wire::EthAddr;

use crate::{Host, Passed};

/// An extension with an adapter for each port.
pub struct Extension {
    driver: switch_ext::Extension<Memory>,
    /// User space's end of the device.
    handle: Handle,
}

/// A packet: one frame.
struct Nbl {
    bytes: Arc<[u8]>,
    source: NicId,
    info: Info,
    to: Vec<Destination>,
    own: bool,
}

#[derive(Clone)]
struct View(Arc<[u8]>);

impl switch_ext::View for View {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn copy_out(&self, off: usize, out: &mut [u8]) -> usize {
        let from = self.0.get(off..).unwrap_or_default();
        let n = from.len().min(out.len());
        out[..n].copy_from_slice(&from[..n]);
        n
    }

    fn starts_with(&self, bytes: &[u8]) -> bool {
        self.0.starts_with(bytes)
    }
}

struct Block(Box<[u8]>);

impl switch_ext::Block for Block {
    fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

#[derive(Default)]
struct Chain(VecDeque<Nbl>);

impl switch_ext::Chain<Nbl> for Chain {
    fn pop(&mut self) -> Option<Nbl> {
        self.0.pop_front()
    }

    fn push(&mut self, nbl: Nbl) {
        self.0.push_back(nbl);
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The system around the extension.
struct Memory {
    now_ms: AtomicU64,
    sent: Mutex<Vec<Nbl>>,
    device: Device,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adapters that the switch has, bound or not.
const ADAPTERS: Range<u32> = 1..16;
/// Room for the largest upcall.
const UPCALL: usize = 80 << 10;
/// Bytes of a block: those of the driver's.
const BLOCK: usize = 2048;

impl Platform for Memory {
    type Nbl = Nbl;
    type View = View;
    type Block = Block;
    type Chain = Chain;
    type Level = ();
    type Shared<'a> = Vec<u8>;

    fn now(&self) -> Now {
        let ms = self.now_ms.load(Ordering::Relaxed);
        Now { mono: Instant::from_millis(ms), wall_ms: ms }
    }

    fn raise(&self) {}

    fn processor(&self) -> usize {
        0
    }

    fn block(&self) -> Option<Block> {
        Some(Block(vec![0; BLOCK].into()))
    }

    fn block_of(&self, len: usize) -> Option<Block> {
        Some(Block(vec![0; len.max(BLOCK)].into()))
    }

    fn fill_long_blocks(&self) -> bool {
        true
    }

    fn facts(&self, nbl: &Nbl) -> Facts {
        Facts { source: nbl.source, native: false, safe_size: None, frames: 1, info: nbl.info }
    }

    fn view(&self, nbl: &Nbl, index: u16) -> Option<View> {
        (index == 0).then(|| View(nbl.bytes.clone()))
    }

    fn is_own(&self, nbl: &Nbl) -> bool {
        nbl.own
    }

    fn add_destinations(&self, nbl: &mut Nbl, to: &[Destination]) -> bool {
        nbl.to.extend_from_slice(to);
        true
    }

    fn set_outcome(&self, _nbl: &mut Nbl, _outcome: Outcome) {}

    fn report(&self, _nbl: &Nbl, _source: NicId, _reason: Reason) {}

    fn share(&self, view: &View, off: usize, len: usize) -> Option<Vec<u8>> {
        Some(view.0.get(off..off + len)?.to_vec())
    }

    fn assemble(
        &self,
        pieces: &mut Vec<(Block, Range<usize>)>,
        shared: Option<Vec<u8>>,
        source: Option<NicId>,
        info: Info,
    ) -> Option<Nbl> {
        let own = pieces.drain(..).flat_map(|(block, range)| block.0[range].to_vec());
        let bytes: Vec<u8> = own.chain(shared.unwrap_or_default()).collect();
        Some(Nbl { bytes: bytes.into(), source: source.unwrap_or_default(), info, to: Vec::new(), own: true })
    }

    // Whoever shares data here has a copy.
    fn park(&self, nbl: Nbl) -> Option<Nbl> {
        Some(nbl)
    }

    fn free(&self, _nbl: Nbl) -> Option<Nbl> {
        None
    }

    fn send(&self, chain: Chain, _flags: SendFlags) {
        locked(&self.sent).extend(chain.0);
    }

    fn complete(&self, _chain: Chain, _single_source: bool) {}

    fn pause_complete(&self) {}

    fn device(&self) -> Option<&Device> {
        Some(&self.device)
    }

    // Nobody waits: whoever wants upcalls asks.
    fn wake(&self, _: Handle, _: Queue) {}

    fn end_waits(&self) {}

    // A host without a network of its own.
    fn want_ways(&self) {}

    fn interface(&self, _: &[u8; 16]) -> Option<u64> {
        None
    }

    fn addresses(&self, _: &mut dyn FnMut(datapath::Address, u64)) -> bool {
        true
    }

    fn hop(&self, _: &datapath::End) -> Result<switch_ext::Hop, switch_ext::NoHop> {
        Err(switch_ext::NoHop::NoWay)
    }

    fn snapshot(&self) -> Option<Snapshot> {
        let port = |id: u32| PortInfo { id, kind: PortKind::Synthetic, name: name(id), validation: false };
        let nic = |id: u32| {
            let given = EthAddr([2, 0, 0, 0, 0, id as u8]);
            let (id, mac) = (NicId { port: id, index: 0 }, EthAddr::ZERO);
            (
                NicInfo {
                    id,
                    kind: NicKind::Synthetic,
                    name: "adapter".into(),
                    mac,
                    given,
                    mtu: 1500,
                    guid: [0; 16],
                },
                true,
            )
        };
        Some(Snapshot {
            active: true,
            ports: ADAPTERS.map(port).collect(),
            policies: Vec::new(),
            nics: ADAPTERS.map(nic).collect(),
        })
    }
}

fn name(port: u32) -> String {
    format!("vm{port}")
}

/// A packet's frame as its receiver sees it: with the tag that came beside it.
fn delivered(nbl: &Nbl) -> Vec<u8> {
    let mut bytes = nbl.bytes.to_vec();
    if nbl.info.vlan != 0 {
        let (priority, dei, id) = (nbl.info.vlan & 7, nbl.info.vlan >> 3 & 1, nbl.info.vlan >> 4 & 0xfff);
        let [high, low] = ((priority << 13 | dei << 12 | id) as u16).to_be_bytes();
        bytes.splice(12..12, [0x81, 0, high, low]);
    }
    bytes
}

/// A message of user space.
fn message(pid: u32, family: Family, command: u8, number: u32, fill: impl FnOnce(&mut Builder)) -> Vec<u8> {
    let mut b = Builder::new();
    let header = Header { kind: family.id, flags: flags::REQUEST, seq: 1, pid };
    let [c, v, r0, r1] = GenlHeader { command, version: family.version }.emit();
    let [n0, n1, n2, n3] = number.to_ne_bytes();
    b.begin(&header, &[c, v, r0, r1, n0, n1, n2, n3]);
    fill(&mut b);
    b.finish().expect("it fits a message")
}

/// What an upcall's message tells: port, frame, and whether a flow was wanting.
fn upcall(bytes: &[u8]) -> Option<(u32, Vec<u8>, bool)> {
    let message = Messages::new(bytes).next()?.ok()?;
    let (genl, rest) = GenlHeader::split(message.payload)?;
    let a = PacketAttrs::decode(Attrs::new(rest.get(4..)?)).ok()?;
    let mut key = FlowKey::ZERO;
    take_key(a.key?.nested(), &mut key).ok()?;
    Some((key.in_port(), a.packet?.to_vec(), genl.command == packet_cmd::MISS))
}

impl Extension {
    /// An extension that runs, with these ports bound.
    ///
    /// # Panics
    /// When it does not start.
    pub fn new(ports: &[u32]) -> Extension {
        let memory = Memory {
            now_ms: AtomicU64::new(0),
            sent: Mutex::default(),
            device: Device::try_new(device::Config::default()).expect("memory"),
        };
        let setup = Setup { processors: 1, config: super::config() };
        let driver = switch_ext::Extension::try_new(memory, &setup).expect("memory");
        assert!(driver.restart(), "the extension does not start");
        driver.find_ways();
        let device = &driver.platform().device;
        let handle = device.open().expect("a handle is free");
        let pid = device.pid(handle).expect("it is open");
        let subscribe = message(pid, ids::CONTROL, control_cmd::PACKET_SUBSCRIBE, 0, |b| {
            b.put_u8(control_attr::PACKET_SUBSCRIBE, 1);
            b.put_u32(control_attr::PACKET_PID, pid);
        });
        assert_eq!(device.write(driver.env(), handle, &subscribe), Ok(Written::Done));
        let extension = Extension { driver, handle };
        ports.iter().for_each(|port| extension.bind(*port));
        extension
    }

    /// Binds an adapter, and has its upcalls come to our handle.
    fn bind(&self, port: u32) {
        let device = &self.driver.platform().device;
        let pid = device.pid(self.handle).expect("it is open");
        let (name, pids) = (name(port), pid.to_ne_bytes());
        let new = message(pid, ids::VPORT, cmd::NEW, 0, |b| {
            let (number, kind) = (Some(port), Some(VportKind::Netdev as u32));
            let (name, pids) = (Some(name.as_str()), Some(&pids[..]));
            VportAttrs { number, kind, name, pids, ..VportAttrs::default() }.encode(b);
        });
        let mut reply = [0; 1024];
        let bound = device.transact(self.driver.env(), self.handle, &new, &mut reply);
        let refused = Messages::new(&reply).next().and_then(Result::ok).and_then(|m| m.error());
        assert!(bound.is_ok() && refused.is_none(), "port {port}: {bound:?} {refused:?}");
    }

    /// The switch gives a port a policy.
    ///
    /// # Panics
    /// When it is refused.
    pub fn police(&self, port: u32, policy: Policy) {
        let Decision::Forward(after) = self.driver.handle_oid(Oid::PolicyWanted(port, policy)) else {
            panic!("a policy of port {port} is refused");
        };
        self.driver.oid_done(after, true);
    }

    fn collect(&self) -> Passed {
        let (mut back, mut passed) = (Chain::default(), Passed::default());
        let mut bytes = vec![0; UPCALL];
        while let Ok(n @ 1..) = self.driver.platform().device.read_packet(self.handle, &mut bytes) {
            passed.up.push(upcall(&bytes[..n]).expect("an upcall that can be read"));
        }
        for nbl in std::mem::take(&mut *locked(&self.driver.platform().sent)) {
            let frame = delivered(&nbl);
            passed.out.extend(nbl.to.iter().map(|to| (to.0.port, frame.clone())));
            back.0.push_back(nbl);
        }
        self.driver.send_complete(back, false);
        passed
    }
}

impl Host for Extension {
    fn name(&self) -> &'static str {
        "the extension"
    }

    fn set_time(&mut self, ms: u64) {
        self.driver.platform().now_ms.store(ms, Ordering::Relaxed);
    }

    fn limit_connections(&mut self, most: u32, zone: Option<u16>) {
        super::limit_connections(self.driver.env().datapath.conntrack(), most, zone);
    }

    fn deafen(&mut self) {
        self.driver.platform().device.close(self.handle);
    }

    fn apply(&mut self, command: Command<'_>) -> Result<Reply, CommandError> {
        if let Command::SetTunnel { port, kind: Some(_) } = &command {
            // The driver has no tunnels' ports yet: an adapter gives this one somebody to send its upcalls to.
            self.bind(port.0);
        }
        self.driver.env().datapath.apply(command)
    }

    fn receive(&mut self, packets: Vec<(u32, Vec<u8>)>) -> Passed {
        let nbl = |(port, bytes): (u32, Vec<u8>)| {
            let source = NicId { port, index: 0 };
            Nbl { bytes: bytes.into(), source, info: Info::default(), to: Vec::new(), own: false }
        };
        self.driver.ingress(Chain(packets.into_iter().map(nbl).collect()));
        self.collect()
    }

    fn execute(&mut self, (port, bytes): (u32, Vec<u8>), actions: &[Action]) -> Result<Passed, CommandError> {
        odp::validate(actions).map_err(CommandError::InvalidActions)?;
        let meta = PacketMeta { in_port: OdpPort(port), ..PacketMeta::default() };
        VportHost::execute(&self.driver, &meta, &bytes, actions).expect("the extension runs");
        Ok(self.collect())
    }
}
