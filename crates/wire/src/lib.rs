//! Header views and owned forms of the protocols a switch touches, and their checksums.
//!
//! Where it sits: the lowest layer. `flow` reads headers with it, `odp` and `datapath` rewrite them, tests build
//! packets with it. It knows nothing of flows, ports or OpenFlow.
//!
//! Each protocol has a module with its constants and two forms of its header: a *view* over bytes that judges
//! nothing but length, and, where code builds headers, a small owned form that is emitted. Byte order exists only
//! in here: what leaves this crate is a host-order number.
//!
//! Next: `udp`, the smallest header; then `flow/src/extract.rs`, which reads them all.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod bytes;
pub mod checksum;

pub mod eth;

pub mod arp;
pub mod ip;
pub mod ipv4;
pub mod ipv6;
pub mod mpls;
pub mod nsh;

pub mod icmp;
pub mod icmpv6;
pub mod sctp;
pub mod tcp;
pub mod tunnel;
pub mod udp;

pub use eth::EthAddr;
