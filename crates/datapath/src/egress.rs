//! What a batch leaves behind: packets to transmit, and packets for the switch.
//!
//! Where it sits: filled by `execute`, drained by the host after `Worker::process` returns.

use alloc::boxed::Box;
use alloc::vec::Vec;

use flow::FlowKey;
use odp::{Action, Ufid};
use packet::{OdpPort, PacketMeta, TunnelKey};

/// Why a packet goes to the switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpcallKind {
    /// No megaflow matched.
    Miss,
    /// A `userspace` action, of the flow with this identifier (none if executed on command).
    Action {
        /// The flow.
        flow: Option<Ufid>,
        /// Its `userdata`, whole.
        userdata: Vec<u8>,
        /// What few actions ask for.
        more: Option<Box<More>>,
    },
}

/// What few `userspace` actions ask for, or bring about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct More {
    /// The outer headers that the packet would leave with by the tunnel's port that the action names.
    pub tunnel: Option<Box<TunnelKey>>,
    /// The list that has the action, if it is wanted.
    pub actions: Option<Vec<Action>>,
    /// Bytes of the packet before it was cut, if it was.
    pub whole_len: Option<u32>,
}

/// A packet for the switch.
#[derive(Debug)]
pub struct Upcall<B> {
    /// Why.
    pub kind: UpcallKind,
    /// The packet's key as it is now.
    pub key: FlowKey,
    /// What is known of it.
    pub meta: PacketMeta,
    /// The packet.
    pub packet: B,
}

/// The queues that a worker fills; both are bounded by what was reserved.
#[derive(Debug)]
pub(crate) struct Queues<B> {
    pub transmits: Vec<(OdpPort, B)>,
    pub upcalls: Vec<Upcall<B>>,
}

/// Transmits of one batch: 32 packets flooded to 64 ports.
pub(crate) const TRANSMITS: usize = 2048;
/// Upcalls of one batch and its recirculations.
pub(crate) const UPCALLS: usize = 128;

impl<B> Queues<B> {
    pub fn try_new() -> Option<Queues<B>> {
        let (mut transmits, mut upcalls) = (Vec::new(), Vec::new());
        transmits.try_reserve_exact(TRANSMITS).ok()?;
        upcalls.try_reserve_exact(UPCALLS).ok()?;
        Some(Queues { transmits, upcalls })
    }

    /// Queues a packet; false, and the packet is gone, if the queue is full.
    #[must_use]
    #[inline(always)]
    pub fn transmit(&mut self, port: OdpPort, packet: B) -> bool {
        // What was reserved, at least `TRANSMITS`; it never grows.
        let room = self.transmits.len() < self.transmits.capacity();
        if room {
            self.transmits.push((port, packet));
        }
        room
    }

    /// Queues packets for one port, in order, as many as there is room for; returns how many had none, and are gone.
    #[must_use]
    #[inline(always)]
    pub fn transmit_all(&mut self, port: OdpPort, packets: impl ExactSizeIterator<Item = B>) -> usize {
        let lost = packets.len().saturating_sub(self.transmits.capacity() - self.transmits.len());
        if lost == 0 {
            self.transmits.extend(packets.map(|packet| (port, packet)));
        } else {
            packets.for_each(|packet| _ = self.transmit(port, packet));
        }
        lost
    }

    /// Queues an upcall; false, and the packet is gone, if the queue is full.
    #[must_use]
    pub fn upcall(&mut self, kind: UpcallKind, (key, meta): (&FlowKey, &PacketMeta), packet: B) -> bool {
        let room = self.upcalls.len() < UPCALLS;
        if room {
            // Key and metadata are copied to their place: on the way they would fill a kernel frame.
            self.upcalls.push(Upcall { kind, key: FlowKey::ZERO, meta: PacketMeta::default(), packet });
            if let Some(last) = self.upcalls.last_mut() {
                (last.key, last.meta) = (*key, *meta);
            }
        }
        room
    }
}

/// What the host takes from a worker after a batch. What it does not take stays for the next time.
pub struct Egress<'a, B>(pub(crate) &'a mut Queues<B>);

impl<B> Egress<'_, B> {
    /// Packets to transmit, in order.
    pub fn transmits(&mut self) -> impl Iterator<Item = (OdpPort, B)> + '_ {
        self.0.transmits.drain(..)
    }

    /// Calls `f` with each packet for the switch where it lies, in order, and drops them: one alone is larger than a
    /// frame of a kernel's stack may be.
    pub fn take_upcalls(&mut self, f: impl FnMut(&mut Upcall<B>)) {
        self.0.upcalls.iter_mut().for_each(f);
        self.0.upcalls.clear();
    }

    /// Packets for the switch, in order.
    pub fn upcalls(&mut self) -> impl Iterator<Item = Upcall<B>> + '_ {
        self.0.upcalls.drain(..)
    }
}
