//! What the extension needs of the system around it.
//!
//! Where it sits: implemented by `ovsext` over `ndis`. Everything that touches a packet's memory, a pool or a level is
//! behind these traits.
//!
//! Packets are values that are not copied: whoever has one must give it to [`Platform::send`], [`Platform::complete`] or
//! [`Platform::free`]; one whose data others share is set aside by [`Platform::park`] until they are freed.

use alloc::vec::Vec;
use core::ops::Range;

use datapath::{Address, End};
use device::{Device, Handle, Queue};
use packet::Now;
use wire::EthAddr;

use crate::{Info, NicId, NicInfo, Policy, PortInfo};

/// Memory of fixed size from a pool that was filled in advance; goes back when dropped.
pub trait Block {
    /// Its bytes; of usual blocks always as many.
    fn bytes(&self) -> &[u8];
    /// Its bytes, to be written.
    fn bytes_mut(&mut self) -> &mut [u8];
}

/// One frame of a received packet, to be read. Keeps the packet's memory: a packet with a view of it cannot be given away.
pub trait View: Clone {
    /// Bytes of the frame.
    fn len(&self) -> usize;
    /// True for a frame without bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Copies the bytes from `off` on to `out`; returns how many there were to copy.
    fn copy_out(&self, off: usize, out: &mut [u8]) -> usize;
    /// True if the frame begins with `bytes`.
    fn starts_with(&self, bytes: &[u8]) -> bool;
}

/// Packets in order, linked through their own memory.
pub trait Chain<N>: Default {
    /// Takes the first.
    fn pop(&mut self) -> Option<N>;
    /// Appends one.
    fn push(&mut self, nbl: N);
    /// True if there is none.
    fn is_empty(&self) -> bool;
}

/// What is known of a received packet beside its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The adapter it came from.
    pub source: NicId,
    /// The switch forwards it by itself; it is passed on untouched.
    pub native: bool,
    /// Bytes from the start that no guest can write; `None` if that is all of them.
    pub safe_size: Option<u16>,
    /// Frames in it.
    pub frames: u16,
    /// What hardware did or is to do.
    pub info: Info,
}

/// What the host says of a tunnel's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Its interface.
    pub interface: u64,
    /// The neighbour's address.
    pub eth: EthAddr,
    /// The address to send from (IPv4 in the low 32 bits).
    pub from: u128,
}

/// Why the host does not say a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHop {
    /// There is none.
    NoWay,
    /// Its memory is short: it may be asked again.
    NoMemory,
}

/// Where a packet is to go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Destination(pub NicId);

/// How a received packet ends that is not sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A copy of it went on.
    Delivered,
    /// It was dropped.
    Dropped,
    /// Memory was short.
    Resources,
    /// The extension does not run.
    Paused,
}

/// Why a packet ended here, for the switch's own counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It came from an adapter that no bridge has.
    UnknownSource,
    /// The flow says so, or a table was full.
    Dropped,
    /// Its port's policy forbids it.
    Refused,
    /// It went to the switch in user space.
    ToUserSpace,
    /// No destination could be added.
    NoDestination,
    /// The extension is paused.
    Paused,
}

/// What holds of all packets that are sent together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendFlags {
    /// All come from one adapter.
    pub single_source: bool,
    /// Each has exactly one destination, and it is the same.
    pub destination_group: bool,
}

/// The switch's ports and adapters as they are.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// False before the switch is active: then the lists are empty.
    pub active: bool,
    /// Ports.
    pub ports: Vec<PortInfo>,
    /// Policies, each with its port.
    pub policies: Vec<(u32, Policy)>,
    /// Adapters, with whether each is connected.
    pub nics: Vec<(NicInfo, bool)>,
}

/// Services of the system. Functions that give a packet away may call back into the extension before they return.
pub trait Platform: Sized + Send + Sync + 'static {
    /// A packet.
    type Nbl: Send;
    /// One frame of it.
    type View: View + Send;
    /// Memory.
    type Block: Block + Send;
    /// Packets in order.
    type Chain: Chain<Self::Nbl> + Send;
    /// A part of a received packet that a packet of ours shares; keeps the received one as a view does.
    type Shared<'a>
    where
        Self: 'a;
    /// Holds the processor at DISPATCH_LEVEL until dropped.
    type Level;

    /// The time.
    fn now(&self) -> Now;
    /// Raises to DISPATCH_LEVEL.
    fn raise(&self) -> Self::Level;
    /// The number of this processor; at DISPATCH_LEVEL it stays the same.
    fn processor(&self) -> usize;
    /// A block of the usual size; `None` if the pool is empty.
    fn block(&self) -> Option<Self::Block>;
    /// A block of at least `len` bytes; `None` if there is none.
    fn block_of(&self, len: usize) -> Option<Self::Block>;
    /// Has blocks for the longest frames from now on; false if memory is short.
    fn fill_long_blocks(&self) -> bool;

    /// What is known of a packet.
    fn facts(&self, nbl: &Self::Nbl) -> Facts;
    /// A view of frame `index`.
    fn view(&self, nbl: &Self::Nbl, index: u16) -> Option<Self::View>;
    /// True for a packet that [`Platform::assemble`] made.
    fn is_own(&self, nbl: &Self::Nbl) -> bool;
    /// Commits destinations; false, and none is committed, if memory is short.
    fn add_destinations(&self, nbl: &mut Self::Nbl, to: &[Destination]) -> bool;
    /// Sets how a packet ended.
    fn set_outcome(&self, nbl: &mut Self::Nbl, outcome: Outcome);
    /// Tells the switch that the extension ended a packet that came from `source`.
    fn report(&self, nbl: &Self::Nbl, source: NicId, reason: Reason);
    /// The `len` bytes of a received frame from `off` on, to be shared; `None` if that cannot be done now.
    fn share(&self, view: &Self::View, off: usize, len: usize) -> Option<Self::Shared<'_>>;
    /// Makes a packet of `pieces`, each a block with the range of its bytes, and of what it shares behind them; takes them all
    /// out, also if it fails.
    fn assemble(
        &self,
        pieces: &mut Vec<(Self::Block, Range<usize>)>,
        shared: Option<Self::Shared<'_>>,
        source: Option<NicId>,
        info: Info,
    ) -> Option<Self::Nbl>;
    /// Sets a received packet aside until the packets that share its data are freed; returned at once if there are none.
    #[must_use]
    fn park(&self, nbl: Self::Nbl) -> Option<Self::Nbl>;
    /// Frees a packet of ours; returns the received one that was set aside for it, if nobody shares its data any more.
    #[must_use]
    fn free(&self, nbl: Self::Nbl) -> Option<Self::Nbl>;
    /// Passes packets on.
    fn send(&self, chain: Self::Chain, flags: SendFlags);
    /// Gives received packets back; all of one source if `single_source`.
    fn complete(&self, chain: Self::Chain, single_source: bool);
    /// Ends a pause that was pending.
    fn pause_complete(&self);

    /// The device by which user space sees this switch; `None` if it sees another.
    fn device(&self) -> Option<&Device>;
    /// Notes that whoever waits for a queue need not wait any longer; may be called with locks held.
    fn wake(&self, handle: Handle, queue: Queue);
    /// Ends the waits that were noted; called with no lock held.
    fn end_waits(&self);
    /// Has [`crate::Extension::find_ways`] called soon, at PASSIVE_LEVEL; may be called with locks held.
    fn want_ways(&self);
    /// The host's number of an interface by its GUID. PASSIVE_LEVEL.
    fn interface(&self, guid: &[u8; 16]) -> Option<u64>;
    /// Calls `each` with every address of the host's and its interface; false if that failed. PASSIVE_LEVEL.
    fn addresses(&self, each: &mut dyn FnMut(Address, u64)) -> bool;
    /// The first hop on the host's way to a tunnel's end; may wait for an answer from there. PASSIVE_LEVEL.
    fn hop(&self, end: &End) -> Result<Hop, NoHop>;
    /// Asks the switch for its ports and adapters; `None` if that failed. PASSIVE_LEVEL.
    fn snapshot(&self) -> Option<Snapshot>;
}
