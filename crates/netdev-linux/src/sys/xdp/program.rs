//! The XDP program of a device: it sends what a receive queue receives to that queue's socket.
//!
//! Where it sits: one for each port of type afxdp; assembled here, so that no compiler and no object file is needed.
//!
//! ~~~text
//!   r2 = ctx->rx_queue_index
//!   return bpf_redirect_map(sockets, r2, XDP_PASS)      queues without a socket stay with the kernel
//! ~~~
//!
//! Spec: bpf(2), linux/bpf.h; the kernel's bpf/standardization/instruction-set.
#![allow(unsafe_code)] // bpf(2)

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::check;

const BPF_MAP_CREATE: i64 = 0;
const BPF_MAP_UPDATE_ELEM: i64 = 2;
const BPF_PROG_LOAD: i64 = 5;
const BPF_LINK_CREATE: i64 = 28;

const BPF_MAP_TYPE_XSKMAP: u32 = 17;
const BPF_PROG_TYPE_XDP: u32 = 6;
const BPF_XDP: u32 = 37;
const BPF_FUNC_REDIRECT_MAP: u32 = 51;
const BPF_PSEUDO_MAP_FD: u8 = 1;
const XDP_PASS: u32 = 2;
/// Offset of `rx_queue_index` in `struct xdp_md`.
const RX_QUEUE_INDEX: u16 = 16;

// Instructions: a load of 32 bits, of a 64-bit constant (two slots), of a small one; call; exit.
const LDX_W: u8 = 0x61;
const LD_DW: u8 = 0x18;
const MOV_K: u8 = 0xb7;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;

/// Where in the device's path the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attach {
    /// In the driver, before there is a socket buffer (`XDP_FLAGS_DRV_MODE`).
    Driver,
    /// In the kernel's stack, for every driver (`XDP_FLAGS_SKB_MODE`).
    Generic,
}

/// A program that runs as long as this lives.
pub(crate) struct Program {
    map: OwnedFd,
    _link: OwnedFd,
}

/// `union bpf_attr`, as far as it is used here.
type Attr = [u64; 16];

/// Two 32-bit fields, the first in front.
fn pair(first: u32, second: u32) -> u64 {
    let (a, b) = (first.to_ne_bytes(), second.to_ne_bytes());
    u64::from_ne_bytes([a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]])
}

fn bpf(command: i64, attr: &Attr) -> io::Result<i32> {
    // SAFETY: the kernel reads the attribute, whose length is given, and memory that pointers in it name: borrowed by the
    // callers over the call, and as long as the fields beside them say.
    check(unsafe { libc::syscall(libc::SYS_bpf, command, attr.as_ptr(), size_of::<Attr>()) } as i32)
}

fn bpf_fd(command: i64, attr: &Attr) -> io::Result<OwnedFd> {
    let fd = bpf(command, attr)?;
    // SAFETY: these commands return a descriptor, which nobody else has yet.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn instruction(code: u8, dst: u8, src: u8, offset: u16, constant: u32) -> u64 {
    let (offset, constant) = (offset.to_ne_bytes(), constant.to_ne_bytes());
    let registers = if cfg!(target_endian = "little") { src << 4 | dst } else { dst << 4 | src };
    u64::from_ne_bytes([
        code,
        registers,
        offset[0],
        offset[1],
        constant[0],
        constant[1],
        constant[2],
        constant[3],
    ])
}

impl Program {
    /// Attaches a program to the device `ifindex`, which has at most `queues` sockets.
    pub fn attach(ifindex: u32, queues: u32, how: Attach) -> io::Result<Program> {
        let mut attr: Attr = [0; 16];
        // map_type, key_size, value_size, max_entries
        attr[0] = pair(BPF_MAP_TYPE_XSKMAP, 4);
        attr[1] = pair(4, queues.max(1));
        let map = bpf_fd(BPF_MAP_CREATE, &attr)?;

        let code = [
            instruction(LDX_W, 2, 1, RX_QUEUE_INDEX, 0),
            instruction(LD_DW, 1, BPF_PSEUDO_MAP_FD, 0, map.as_raw_fd() as u32),
            instruction(0, 0, 0, 0, 0),
            instruction(MOV_K, 3, 0, 0, XDP_PASS),
            instruction(CALL, 0, 0, 0, BPF_FUNC_REDIRECT_MAP),
            instruction(EXIT, 0, 0, 0, 0),
        ];
        let mut attr: Attr = [0; 16];
        // prog_type, insn_cnt; insns; license; …; prog_ifindex, expected_attach_type
        attr[0] = pair(BPF_PROG_TYPE_XDP, code.len() as u32);
        attr[1] = code.as_ptr() as u64;
        attr[2] = c"Apache-2.0".as_ptr() as u64;
        attr[8] = pair(0, BPF_XDP);
        let program = bpf_fd(BPF_PROG_LOAD, &attr)?;

        let mut attr: Attr = [0; 16];
        // prog_fd, target_ifindex, attach_type, flags
        attr[0] = pair(program.as_raw_fd() as u32, ifindex);
        let flags = match how {
            Attach::Generic => 1 << 1,
            Attach::Driver => 1 << 2,
        };
        attr[1] = pair(BPF_XDP, flags);
        let link = bpf_fd(BPF_LINK_CREATE, &attr)?;
        Ok(Program { map, _link: link })
    }

    /// Sends the packets of a receive queue to `socket` from now on.
    pub fn steer(&self, queue: u32, socket: BorrowedFd<'_>) -> io::Result<()> {
        let value = socket.as_raw_fd() as u32;
        let mut attr: Attr = [0; 16];
        // map_fd; key; value; flags
        attr[0] = pair(self.map.as_raw_fd() as u32, 0);
        attr[1] = (&raw const queue) as u64;
        attr[2] = (&raw const value) as u64;
        bpf(BPF_MAP_UPDATE_ELEM, &attr).map(drop)
    }
}
