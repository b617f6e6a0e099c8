//! Linux ports: AF_PACKET, AF_XDP and TAP, with offloads; links by rtnetlink.
//!
//! Where it sits: a daemon makes one [`LinuxDevices`] and registers its openers; `dpif-netdev` opens ports through
//! them. It knows no flows and no bridges.
//!
//! ~~~text
//!   type system           an existing device, through a packet socket and its ring   packet_port
//!   type afxdp            the same, past the kernel's stack (AF_XDP)         xdp_port
//!   type internal, tap    a device that is made, and lives with its handle   tap, or veth where TAP is closed to us
//!                                     │
//!          virtio-net header before each frame, both ways (vnet)  ⇄  packet::Offload
//!                                     │
//!   links: one thread follows rtnetlink; devices ask its table (rtnl)
//! ~~~
//!
//! Checksums and segmentation stay undone as long as they can: a 64 kB super-packet from one port leaves by another
//! as it is, and the kernel behind that port finishes it if it must.
//!
//! Memory is shared with the kernel where that pays: a packet socket's ring (`sys/packet_ring`, made ahead by `ring_stock`), and for AF_XDP one arena for the packets of
//! all ports (`sys/arena`), of which frames are made by the program's allocator, [`PacketMemory`].
//!
//! Invariants
//! I1  Descriptors are non-blocking; a queue call ends when the kernel has nothing (more) to give or to take.
//! I2  A device that vanishes keeps its port: when a device of that name returns, the port uses it.
//! I3  Unsafe code is in `sys`, and behind functions that are safe for every argument.
//!
//! Spec: packet(7), the kernel's networking/af_xdp, rtnetlink(7), the kernel's networking/tuntap; virtio 1.1 §5.1.6. Next: `dpif-netdev/src/lib.rs`.
#![cfg(target_os = "linux")]

mod device;
mod ethtool;
mod losses;
mod packet_port;
mod ring_share;
mod ring_stock;
mod rtnl;
mod sys;
mod tap;
mod veth;
mod vnet;
mod xdp_port;

pub use device::LinuxDevices;
pub use rtnl::{
    Address, FirstHop, Neighbour, NeighbourState, OnChange, Route, RouteRule, RouteTables, Routes, WayChange,
    WayQueries, WayWatch,
};
pub use sys::arena::PacketMemory;
