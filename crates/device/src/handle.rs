//! What the device keeps for each handle.
//!
//! Where it sits: a slot each in `device.rs`, behind a lock of its own.

use alloc::vec::Vec;

use conntrack::DumpCursor;
use odp::netlink::ids;

use crate::ring::Ring;

/// An open instance of the device. Stale handles are recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle {
    pub(crate) index: u16,
    pub(crate) generation: u32,
}

/// Most slots: an index has this many bits in a pid.
pub(crate) const MAX_HANDLES: usize = 512;

impl Handle {
    /// The handle's number in messages: never zero, and not used again before its slot was opened eight million times.
    pub const fn pid(self) -> u32 {
        (self.generation << 9 | self.index as u32).wrapping_add(1)
    }

    /// The handle of a number, open or not.
    pub const fn of_pid(pid: u32) -> Handle {
        let n = pid.wrapping_sub(1);
        Handle { index: (n as usize % MAX_HANDLES) as u16, generation: n >> 9 }
    }
}

/// What a dump lists, and where it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listing {
    /// The one datapath.
    Datapath,
    /// Ports from this number on.
    Vports(u32),
    /// Megaflows from this slot on, without some parts; `None` when only the end is left to say.
    Flows { next: Option<u32>, omit: u32 },
    /// Connections.
    Connections { at: DumpCursor, family: Option<u8>, zone: Option<u16> },
    /// Datagrams that wait for fragments, from this place on; then connections that were announced.
    Waiting(usize),
    /// Connections that were announced, from this place on.
    Expected(usize),
}

/// A dump under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dump {
    pub seq: u32,
    pub listing: Listing,
}

/// A queue with what belongs to it.
#[derive(Debug, Default)]
pub(crate) struct Waited {
    pub ring: Ring,
    /// Somebody waits for the queue to fill.
    pub waiting: bool,
}

/// A handle's state.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    pub is_open: bool,
    pub generation: u32,
    /// 16 or 12; zero before SOCK_PROP.
    pub protocol: u32,
    pub dump: Option<Dump>,
    /// Groups of events: 0x3f of ports, or bits of connections.
    pub groups: u32,
    pub events: Option<Waited>,
    pub packets: Option<Waited>,
    /// Where upcalls are written before they are queued.
    pub scratch: Vec<u8>,
}

/// Every event of ports.
pub(crate) const VPORT_EVENTS: u32 = 0x3f;
/// Connections' events.
pub(crate) const CT_NEW: u32 = 1;
/// A connection is gone.
pub(crate) const CT_DESTROY: u32 = 2;
/// A connection changed.
pub(crate) const CT_UPDATE: u32 = 4;

impl Slot {
    /// It subscribed to events about ports.
    pub fn hears_of_ports(&self) -> bool {
        self.protocol != ids::NETLINK_NETFILTER && self.groups & VPORT_EVENTS != 0
    }

    /// The groups that joining `group` subscribes to.
    pub fn groups_of(&self, group: u32) -> u32 {
        match (self.protocol, group) {
            (ids::NETLINK_NETFILTER, 1) => CT_NEW,
            (ids::NETLINK_NETFILTER, 2) => CT_UPDATE,
            (ids::NETLINK_NETFILTER, 3) => CT_DESTROY,
            (ids::NETLINK_NETFILTER, _) => 0,
            _ => VPORT_EVENTS,
        }
    }
}
