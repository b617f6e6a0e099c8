//! NDIS as the extension wants it.
//!
//! Where it sits: implements `switch-ext`'s traits over `ndis`'s types; no decision is made here.

use alloc::vec::Vec;
use core::ops::Range;

use core::ffi::c_void;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use datapath::{Address, End};
use device::{Device, Handle, Queue};
use ndis::{
    BLOCK, BlockPool, IpAddress, LONG_BLOCK, Level, Origin, PortNic, Switch, Utf16, WorkItem, unicode,
};
use ndis_sys::*;
use packet::{Instant, Now};
use switch_ext::{
    Destination, Facts, Hop, Info, NicId, NoHop, Outcome, Platform, Reason, SendFlags, Snapshot,
};
use sync::RwSpin;
use wire::EthAddr;

use crate::door::Door;
use crate::module::{find_ways, send_flags};
use crate::oid;

/// Blocks for the longest frames: those that are put together, and those on their way.
const LONG_BLOCKS: usize = 64;

/// A switch, memory, and the way to user space.
pub struct SwitchHost {
    pub(crate) switch: Switch,
    pub(crate) blocks: BlockPool,
    /// Blocks for the longest frames, once somebody wants such.
    pub(crate) long_blocks: RwSpin<Option<BlockPool>>,
    pub(crate) door: &'static Door,
    /// User space sees this switch: there is one that it sees.
    pub(crate) is_seen: AtomicBool,
    /// Looks for ways at PASSIVE_LEVEL.
    pub(crate) work: WorkItem,
    /// The module, for whom the work is.
    pub(crate) module: AtomicPtr<c_void>,
}

/// A block of the pool.
pub struct Block(ndis::Block);

impl switch_ext::Block for Block {
    fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        self.0.bytes_mut()
    }
}

/// A frame of a packet.
#[derive(Clone)]
pub struct View(ndis::View);

impl switch_ext::View for View {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn copy_out(&self, off: usize, out: &mut [u8]) -> usize {
        self.0.copy_out(off, out)
    }

    fn starts_with(&self, bytes: &[u8]) -> bool {
        self.0.starts_with(bytes)
    }
}

/// Packets in order.
#[derive(Default)]
pub struct Packets(pub(crate) ndis::Chain);

impl switch_ext::Chain<ndis::Nbl> for Packets {
    fn pop(&mut self) -> Option<ndis::Nbl> {
        self.0.pop()
    }

    fn push(&mut self, nbl: ndis::Nbl) {
        self.0.push(nbl);
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn port_nic(id: NicId) -> PortNic {
    PortNic { port: id.port, nic: id.index }
}

static UNKNOWN_SOURCE: Utf16<30> = Utf16::new(b"port is not part of any bridge");
static DROPPED: Utf16<21> = Utf16::new(b"dropped by the bridge");
static REFUSED: Utf16<28> = Utf16::new(b"forbidden by a port's policy");
static TO_USER_SPACE: Utf16<25> = Utf16::new(b"packet went to user space");
static NO_DESTINATION: Utf16<27> = Utf16::new(b"adding a destination failed");
static PAUSED: Utf16<23> = Utf16::new(b"the extension is paused");

impl Platform for SwitchHost {
    type Nbl = ndis::Nbl;
    type View = View;
    type Block = Block;
    type Chain = Packets;
    type Shared<'a> = ndis::Shared<'a>;
    type Level = Level;

    fn now(&self) -> Now {
        Now { mono: Instant(ndis::interrupt_time()), wall_ms: ndis::system_time() }
    }

    fn raise(&self) -> Level {
        Level::raise()
    }

    fn processor(&self) -> usize {
        ndis::processor()
    }

    fn block(&self) -> Option<Block> {
        self.blocks.take().map(Block)
    }

    fn block_of(&self, len: usize) -> Option<Block> {
        if len <= BLOCK {
            return self.block();
        }
        let blocks = self.long_blocks.read();
        blocks.as_ref().filter(|_| len <= LONG_BLOCK)?.take().map(Block)
    }

    fn fill_long_blocks(&self) -> bool {
        if self.long_blocks.read().is_some() {
            return true;
        }
        let mut filled = BlockPool::try_new(self.switch.filter(), LONG_BLOCKS, LONG_BLOCK);
        // One that another processor has filled meanwhile stays, and ours goes, unlocked.
        let mut place = self.long_blocks.write();
        if place.is_none() {
            core::mem::swap(&mut *place, &mut filled);
        }
        let is_filled = place.is_some();
        drop(place);
        is_filled
    }

    fn facts(&self, nbl: &ndis::Nbl) -> Facts {
        let detail = nbl.detail();
        Facts {
            source: NicId { port: u32::from(detail.source_port()), index: u16::from(detail.source_nic()) },
            native: detail.native_forwarding(),
            safe_size: (!detail.data_is_safe()).then(|| detail.safe_size()),
            frames: nbl.frames(),
            info: Info {
                checksum: nbl.info(TcpIpChecksumNetBufferListInfo),
                large_send: nbl.info(TcpLargeSendNetBufferListInfo),
                vlan: nbl.info(Ieee8021QNetBufferListInfo),
            },
        }
    }

    fn view(&self, nbl: &ndis::Nbl, index: u16) -> Option<View> {
        nbl.view(index).map(View)
    }

    fn is_own(&self, nbl: &ndis::Nbl) -> bool {
        self.switch.is_own(nbl)
    }

    fn add_destinations(&self, nbl: &mut ndis::Nbl, to: &[Destination]) -> bool {
        self.switch.add_destinations(nbl, to.iter().map(|to| port_nic(to.0)))
    }

    fn set_outcome(&self, nbl: &mut ndis::Nbl, outcome: Outcome) {
        nbl.set_status(match outcome {
            Outcome::Delivered => NDIS_STATUS_SUCCESS,
            Outcome::Dropped => NDIS_STATUS_FAILURE,
            Outcome::Resources => NDIS_STATUS_RESOURCES,
            Outcome::Paused => NDIS_STATUS_PAUSED,
        });
    }

    fn report(&self, nbl: &ndis::Nbl, source: NicId, reason: Reason) {
        let text = match reason {
            Reason::UnknownSource => unicode(&UNKNOWN_SOURCE),
            Reason::Dropped => unicode(&DROPPED),
            Reason::Refused => unicode(&REFUSED),
            Reason::ToUserSpace => unicode(&TO_USER_SPACE),
            Reason::NoDestination => unicode(&NO_DESTINATION),
            Reason::Paused => unicode(&PAUSED),
        };
        self.switch.report(nbl, source.port, &text);
    }

    fn share(&self, view: &View, off: usize, len: usize) -> Option<ndis::Shared<'_>> {
        self.switch.share(&view.0, off, len)
    }

    fn assemble(
        &self,
        pieces: &mut Vec<(Block, Range<usize>)>,
        shared: Option<ndis::Shared<'_>>,
        source: Option<NicId>,
        info: Info,
    ) -> Option<ndis::Nbl> {
        let slots = [
            (TcpIpChecksumNetBufferListInfo, info.checksum),
            (TcpLargeSendNetBufferListInfo, info.large_send),
            (Ieee8021QNetBufferListInfo, info.vlan),
        ];
        let blocks = pieces.drain(..).map(|(block, range)| (block.0, range));
        let origin = Origin { source: source.map(port_nic), info: &slots };
        self.switch.assemble(blocks, shared, origin)
    }

    fn park(&self, nbl: ndis::Nbl) -> Option<ndis::Nbl> {
        nbl.park()
    }

    fn free(&self, nbl: ndis::Nbl) -> Option<ndis::Nbl> {
        self.switch.free(nbl)
    }

    fn send(&self, chain: Packets, flags: SendFlags) {
        self.switch.send(chain.0, send_flags(flags));
    }

    fn complete(&self, chain: Packets, single_source: bool) {
        let flags = if single_source { NDIS_SEND_COMPLETE_FLAGS_SWITCH_SINGLE_SOURCE } else { 0 };
        self.switch.complete(chain.0, flags);
    }

    fn pause_complete(&self) {
        self.switch.pause_complete();
    }

    fn device(&self) -> Option<&Device> {
        self.is_seen.load(Ordering::Acquire).then_some(&self.door.device)
    }

    fn wake(&self, handle: Handle, queue: Queue) {
        self.door.wake(handle, queue);
    }

    fn end_waits(&self) {
        self.door.end_waits();
    }

    fn want_ways(&self) {
        let module = self.module.load(Ordering::Acquire);
        if !module.is_null() {
            // SAFETY: the module outlives the work: detaching stops it first.
            unsafe { self.work.ask(find_ways, module) }
        }
    }

    fn interface(&self, guid: &[u8; 16]) -> Option<u64> {
        ndis::interface(guid)
    }

    fn addresses(&self, each: &mut dyn FnMut(Address, u64)) -> bool {
        ndis::addresses(|a, interface| each(Address { bits: a.bits, is_ipv6: a.is_ipv6 }, interface))
    }

    fn hop(&self, end: &End) -> Result<Hop, NoHop> {
        let ip = |a: Address| IpAddress { bits: a.bits, is_ipv6: a.is_ipv6 };
        let hop = ndis::next_hop(ip(end.to), Some(end.from).filter(|from| from.bits != 0).map(ip));
        let hop = hop.map_err(|why| match why {
            ndis::NoHop::NoWay => NoHop::NoWay,
            ndis::NoHop::NoMemory => NoHop::NoMemory,
        })?;
        Ok(Hop { interface: hop.interface, eth: EthAddr(hop.eth), from: hop.from.bits })
    }

    fn snapshot(&self) -> Option<Snapshot> {
        oid::snapshot(&self.switch)
    }
}
