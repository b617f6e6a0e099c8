//! Actions that send the packet: output, controller, enqueue, group.

use super::Subfield;
use crate::OfpPort;

/// `output`: to a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Output {
    /// The port.
    pub port: OfpPort,
    /// To the controller: how many bytes of the packet; 65535: all.
    pub max_len: u16,
}

/// `output:field`: to the port whose number a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputReg {
    /// Where the number is.
    pub src: Subfield,
    /// To the controller: how many bytes.
    pub max_len: u16,
}

/// `output(port=,max_len=)`: the first bytes of the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputTrunc {
    /// The port.
    pub port: OfpPort,
    /// Bytes kept, at least 14.
    pub max_len: u32,
}

/// Why a packet goes to a controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PacketInReason {
    /// No flow matched.
    NoMatch = 0,
    /// A flow's action said so.
    Action = 1,
    /// The TTL is invalid.
    InvalidTtl = 2,
    /// An output in the action set.
    ActionSet = 3,
    /// An output in a group bucket.
    Group = 4,
    /// An output in a packet-out.
    PacketOut = 5,
    /// The table-miss flow, where the version tells it from `NoMatch`.
    ExplicitMiss = 6,
    /// No flow matched, from a table that sends to the controller only by implication.
    ImplicitMiss = 7,
}

/// `controller`: to controllers, with everything that can be asked beside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Controller {
    /// How many bytes of the packet; 65535: all.
    pub max_len: u16,
    /// Which controllers.
    pub controller_id: u16,
    /// The reason to give.
    pub reason: PacketInReason,
    /// Bytes to give back.
    pub userdata: Vec<u8>,
    /// Stop the packet, to be resumed by the controller.
    pub pause: bool,
    /// The meter that limits the rate; zero: none.
    pub meter_id: u32,
    /// It arrived as, and goes out as, the newer of its two wire forms, even if the older would do.
    pub extended: bool,
}

/// `enqueue`: to a queue of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enqueue {
    /// The port.
    pub port: OfpPort,
    /// The queue.
    pub queue: u32,
}

/// `group`: through a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group(
    /// The group's number.
    pub u32,
);
