//! What a packet is: the buffer trait, batches, offload metadata, and the reasons for which packets are dropped.
//!
//! Where it sits: above `wire`, below everything that handles packets. It knows no flow keys and no ports' names.
//!
//! A packet in the core is a pair: a [`PacketMeta`] (where it came from, what is known of it) and a buffer `B` of
//! the host's own kind behind [`PacketBuf`] (a slice of a ring, an NBL, a `Vec`). Packets move in [`Batch`]es of at
//! most [`BATCH`].
//!
//! Invariants
//! I1  A packet never causes an error: what cannot be forwarded ends with a [`DropReason`], and each has a counter.
//! I2  Nothing here grows on the packet path: a buffer that cannot grow in place says so and the packet is dropped.
//!
//! Next: `wire/src/udp.rs`, the smallest header, then `flow/src/extract.rs`.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]
extern crate alloc;

mod batch;
mod buf;
mod drop;
mod flat;
mod meta;
mod offload;
mod segment;
mod time;

pub use batch::{BATCH, Batch, InPlace, MetaMut};
pub use buf::PacketBuf;
pub use drop::DropReason;
pub use flat::FlatPacket;
pub use meta::{CtTuple, OdpPort, PacketMeta, TunnelKey, TunnelOption, TunnelOptions};
pub use offload::{L4Checksum, Offload, Segmentation, SegmentationKind};
pub use segment::Segments;
pub use time::{Instant, Now};
