//! AF_XDP: packets from a device's receive queue into memory of ours, and out of it, without the kernel's stack.
//!
//! Where it sits: under `xdp_port`. From the bottom: `ring` (a ring of the kernel's), `held` (frames that the
//! kernel has), `umem` (the memory that they lie in, as the kernel knows it), `socket` (one receive queue's), `program` (what sends the device's packets to the sockets).
//!
//! Spec: the kernel's networking/af_xdp, linux/if_xdp.h; bpf(2).

mod held;
mod program;
mod ring;
mod socket;
mod umem;

pub(crate) use program::{Attach, Program};
pub(crate) use socket::{Bind, Counters, FRAME_MAX, Loss, Statistics, XdpRx, XdpTx, open};
pub(crate) use umem::release_stopped;

fn check(rc: i32) -> std::io::Result<i32> {
    if rc < 0 { Err(std::io::Error::last_os_error()) } else { Ok(rc) }
}
