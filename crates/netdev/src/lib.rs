//! The port as hosts see it: queues, link state, statistics; dummy and null devices.
//!
//! Where it sits: a host of the datapath (`dpif-netdev`) opens devices here and moves packets through their queues;
//! the switch reads their state for the database and for OpenFlow. Real devices are elsewhere (`netdev-linux`) and
//! come in through [`Registry`]. Nothing here knows flows, bridges or the database.
//!
//! ~~~text
//!   control:  Netdev (shared, any thread)          MAC, MTU, admin state, link, counters, options
//!                │ queues()
//!   packets:  RxQueue / TxQueue (one owner each)    batches of 32, never blocking
//! ~~~
//!
//! A device is opened once by name and type and shared ([`std::sync::Arc`]); its queues are taken out once by the
//! thread that polls it. What a device's hardware cannot do to a packet (segmentation, checksums) its transmit queue
//! has done by [`offload`] in software: whoever hands it packets need not ask.
//!
//! Invariants
//! I1  A queue call never blocks and never fails: what could not be sent is counted under a drop reason.
//! I2  Every queue is bounded; every buffer comes from a bounded [`BufferPool`].
//!
//! Next: `netdev-linux/src/lib.rs`, then `dpif-netdev/src/lib.rs`.

mod device;
pub mod dummy;
mod error;
mod features;
mod null;
pub mod offload;
pub mod pcap;
mod playback;
mod pool;
mod registry;
mod stats;
mod vport;

pub use device::{
    AdminState, Netdev, Options, Polling, QueueCounts, Queues, RxDrops, RxQueue, TxDrops, TxQueue,
};
pub use error::NetdevError;
pub use features::{Duplex, Features, LinkFeatures};
pub use null::NullNetdev;
pub use playback::PcapNetdev;
pub use pool::BufferPool;
pub use registry::{OpenNetdev, Registry};
pub use stats::NetdevStats;
pub use vport::vport_opener;

/// The frames that move through netdevs: flat, with headroom, from a [`BufferPool`].
pub type Frame = packet::FlatPacket;

/// A batch of frames.
pub type FrameBatch = packet::Batch<Frame>;
