//! Families, versions, commands: the numbers both sides have compiled in.
//!
//! Where it sits: `device` and its clients. Unlike Linux's kernel, the device registers no families: ids are fixed.

/// Bytes of `struct ovs_header` (the datapath's number) behind the generic netlink header.
pub const OVS_HEADER_LEN: usize = 4;

/// A generic netlink family of the device: its id, and the version of its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// `nlmsg_type`.
    pub id: u16,
    /// `genlmsghdr.version`.
    pub version: u8,
}

/// Sockets' properties, waiting, subscriptions.
pub const CONTROL: Family = Family { id: 0x11, version: 1 };
/// The datapath.
pub const DATAPATH: Family = Family { id: 0x12, version: 2 };
/// Packets to and from user space.
pub const PACKET: Family = Family { id: 0x13, version: 1 };
/// Ports.
pub const VPORT: Family = Family { id: 0x14, version: 1 };
/// Megaflows.
pub const FLOW: Family = Family { id: 0x15, version: 1 };
/// Devices behind ports.
pub const NETDEV: Family = Family { id: 0x16, version: 1 };
/// Limits of connections.
pub const CT_LIMIT: Family = Family { id: 0x18, version: 1 };
/// Meters.
pub const METER: Family = Family { id: 0x19, version: 1 };

/// What connection tracking is set to: ours, where Open vSwitch's driver has no words for it.
pub const CT_SETTING: Family = Family { id: 0x1a, version: 1 };
/// What was dropped and why, and every counter of a port: ours as well.
pub const COUNTS: Family = Family { id: 0x1b, version: 1 };

/// nfnetlink's types of connection tracking: subsystem 1.
pub mod ctnetlink {
    /// A connection, in replies and events.
    pub const NEW: u16 = 0x0100;
    /// Lists connections.
    pub const GET: u16 = 0x0101;
    /// Removes connections, or tells of it.
    pub const DELETE: u16 = 0x0102;
}

/// Commands of most families.
pub mod cmd {
    /// Makes.
    pub const NEW: u8 = 1;
    /// Removes.
    pub const DEL: u8 = 2;
    /// Reads, or lists.
    pub const GET: u8 = 3;
    /// Changes.
    pub const SET: u8 = 4;
}

/// Commands of `ovs_packet`.
pub mod packet_cmd {
    /// No megaflow matched.
    pub const MISS: u8 = 1;
    /// A `userspace` action.
    pub const ACTION: u8 = 2;
    /// Executes actions on a packet.
    pub const EXECUTE: u8 = 3;
}

/// Commands of the control family.
pub mod control_cmd {
    /// Waits for an event.
    pub const PEND: u8 = 0;
    /// Waits for an upcall.
    pub const PEND_PACKET: u8 = 1;
    /// Joins or leaves a group of events.
    pub const MC_SUBSCRIBE: u8 = 2;
    /// Begins or ends to receive upcalls.
    pub const PACKET_SUBSCRIBE: u8 = 3;
    /// Reads an event.
    pub const EVENT_NOTIFY: u8 = 4;
    /// Reads an upcall.
    pub const READ_NOTIFY: u8 = 5;
    /// Sets the protocol of a handle.
    pub const SOCK_PROP: u8 = 6;
}

/// Attributes of the control family; they begin at zero.
pub mod control_attr {
    /// u32: group of events.
    pub const MCAST_GRP: u16 = 0;
    /// u8: join or leave.
    pub const MCAST_JOIN: u16 = 1;
    /// u8: begin or end.
    pub const PACKET_SUBSCRIBE: u16 = 2;
    /// u32: the handle's own number.
    pub const PACKET_PID: u16 = 3;
    /// u32, of the other set: protocol.
    pub const SOCK_PROTO: u16 = 0;
    /// u32: the handle's own number.
    pub const SOCK_PID: u16 = 1;
}

/// Generic netlink, as a handle's protocol.
pub const NETLINK_GENERIC: u32 = 16;
/// nfnetlink, as a handle's protocol.
pub const NETLINK_NETFILTER: u32 = 12;
