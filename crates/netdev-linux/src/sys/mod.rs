//! What needs unsafe code: packet sockets' batches and rings, AF_XDP, and device control by ioctl.
//!
//! Where it sits: at the bottom of this crate. Each function is safe for every argument: pointers that the kernel
//! gets come from slices and arrays that outlive the call and are as long as the kernel may write.

pub(crate) mod arena;
mod control;
mod mapping;
mod packet_ring;
mod packet_socket;
pub(crate) mod xdp;

pub(crate) use control::{
    driver_info, link_settings, tun_attach, tun_flags, tun_set_header_size, tun_set_offload,
};
pub(crate) use packet_ring::{Front, PacketRing, RING_BYTES};
pub(crate) use packet_socket::{PacketSocket, Received};

/// Bytes of the virtio-net header before each frame.
pub(crate) const VNET_LEN: usize = 10;
