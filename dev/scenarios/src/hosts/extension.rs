//! The Hyper-V extension in a switch of memory: packets with frames, blocks, destinations and out-of-band tags, without NDIS.
//!
//! Where it sits: everything of the driver that forwards, under the simplest system that keeps `Platform`'s promises. The
//! whole driver, with NDIS around it, is `hyperv-sim`'s.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datapath::{Command, CommandError, Reply, UpcallKind};
use flow::FlowKey;
use odp::Action;
use packet::{FlatPacket, Instant, Now, OdpPort, PacketMeta};
use switch_ext::{
    Destination, Facts, Info, NicId, NicInfo, NicKind, Outcome, Platform, PortInfo, PortKind, Reason,
    SendFlags, Setup, Snapshot,
};
use wire::EthAddr;

use crate::{Host, Passed};

/// An extension with an adapter for each port.
pub struct Extension(switch_ext::Extension<Memory>);

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
    ports: Vec<u32>,
    now_ms: AtomicU64,
    sent: Mutex<Vec<Nbl>>,
    up: Mutex<Vec<(u32, Vec<u8>, bool)>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes of a block: those of the driver's.
const BLOCK: usize = 2048;

impl Platform for Memory {
    type Nbl = Nbl;
    type View = View;
    type Block = Block;
    type Chain = Chain;
    type Level = ();

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

    fn assemble(
        &self,
        pieces: &mut Vec<(Block, Range<usize>)>,
        source: Option<NicId>,
        info: Info,
    ) -> Option<Nbl> {
        let bytes: Vec<u8> = pieces.drain(..).flat_map(|(block, range)| block.0[range].to_vec()).collect();
        Some(Nbl { bytes: bytes.into(), source: source.unwrap_or_default(), info, to: Vec::new(), own: true })
    }

    fn free(&self, _nbl: Nbl) {}

    fn send(&self, chain: Chain, _flags: SendFlags) {
        locked(&self.sent).extend(chain.0);
    }

    fn complete(&self, _chain: Chain, _single_source: bool) {}

    fn pause_complete(&self) {}

    fn upcall(&self, kind: UpcallKind, _key: &FlowKey, meta: &PacketMeta, packet: FlatPacket) -> bool {
        locked(&self.up).push((meta.in_port.0, packet.frame().to_vec(), kind == UpcallKind::Miss));
        true
    }

    fn snapshot(&self) -> Option<Snapshot> {
        let port =
            |id: &u32| PortInfo { id: *id, kind: PortKind::Synthetic, name: name(*id), validation: false };
        let nic = |id: &u32| {
            let (id, mac) = (NicId { port: *id, index: 0 }, EthAddr::ZERO);
            (NicInfo { id, kind: NicKind::Synthetic, name: "adapter".into(), mac, mtu: 1500 }, true)
        };
        Some(Snapshot {
            active: true,
            ports: self.ports.iter().map(port).collect(),
            nics: self.ports.iter().map(nic).collect(),
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

impl Extension {
    /// An extension that runs, with these ports bound.
    ///
    /// # Panics
    /// When it does not start.
    pub fn new(ports: &[u32]) -> Extension {
        let memory = Memory {
            ports: ports.into(),
            now_ms: AtomicU64::new(0),
            sent: Mutex::default(),
            up: Mutex::default(),
        };
        let setup = Setup { processors: 1, config: super::config() };
        let extension = switch_ext::Extension::try_new(memory, &setup).expect("memory");
        assert!(extension.restart(), "the extension does not start");
        for port in ports {
            extension.bind(&name(*port), Some(OdpPort(*port))).expect("the adapter is there");
        }
        Extension(extension)
    }

    fn collect(&self) -> Passed {
        let mut back = Chain::default();
        let mut passed =
            Passed { up: std::mem::take(&mut *locked(&self.0.platform().up)), ..Passed::default() };
        for nbl in std::mem::take(&mut *locked(&self.0.platform().sent)) {
            let frame = delivered(&nbl);
            passed.out.extend(nbl.to.iter().map(|to| (to.0.port, frame.clone())));
            back.0.push_back(nbl);
        }
        self.0.send_complete(back, false);
        passed
    }
}

impl Host for Extension {
    fn name(&self) -> &'static str {
        "the extension"
    }

    fn set_time(&mut self, ms: u64) {
        self.0.platform().now_ms.store(ms, Ordering::Relaxed);
    }

    fn apply(&mut self, command: Command<'_>) -> Result<Reply, CommandError> {
        self.0.apply(command)
    }

    fn receive(&mut self, packets: Vec<(u32, Vec<u8>)>) -> Passed {
        let nbl = |(port, bytes): (u32, Vec<u8>)| {
            let source = NicId { port, index: 0 };
            Nbl { bytes: bytes.into(), source, info: Info::default(), to: Vec::new(), own: false }
        };
        self.0.ingress(Chain(packets.into_iter().map(nbl).collect()));
        self.collect()
    }

    fn execute(&mut self, (port, bytes): (u32, Vec<u8>), actions: &[Action]) -> Result<Passed, CommandError> {
        let meta = PacketMeta { in_port: OdpPort(port), ..PacketMeta::default() };
        let packet = FlatPacket::try_from_frame(&bytes).expect("memory");
        self.0.execute(meta, packet, actions)?;
        Ok(self.collect())
    }
}
