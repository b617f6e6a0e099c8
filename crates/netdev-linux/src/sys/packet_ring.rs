//! The receive ring of a packet socket: packets in memory that the kernel shares, so that reading them takes no call.
//!
//! Where it sits: under `packet_port`, beside the socket that it belongs to. The kernel copies a packet into it in its sender's
//! time, and is done with it there.
//!
//! ~~~text
//!   slot (2 kB): | status, lengths, tag | address | mark | virtio-net header | frame ...        |
//!                0                      32        56     at the frame's start - 10              2048
//! ~~~
//!
//! A packet that is longer than a slot waits whole in the socket's queue, and its slot says so.
//!
//! I1  Slots are filled in order, and given back in order; one whose status has USER is ours, any other the kernel's.
//! I2  What is read next stands in the first slot's mark, in the shared memory: a process that is handed the socket goes on
//!     there, and so does the one that handed it over if the other gives up.
//!
//! Spec: the kernel's networking/packet_mmap, version 2 (version 3 hands over whole blocks, so that packets wait for
//! others, or for a timer); packet(7).
#![allow(unsafe_code)] // a frame's bytes in shared memory

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU32, Ordering};

use super::VNET_LEN;
use super::mapping::{Mapping, Plain};
use super::packet_socket::{PacketSocket, Received, stripped_vlan};

/// Slots: at a million packets a second, what arrives in a millisecond.
const SLOTS: u32 = 1024;
/// Bytes of a slot: room for packets of the usual MTU behind everything that is before them.
const SLOT: usize = 2048;
/// Bytes that the kernel allocates in one piece.
const BLOCK: usize = 64 << 10;
/// Bytes of a ring.
pub(crate) const RING_BYTES: usize = SLOTS as usize * SLOT;
/// Where the mark is, and bytes before each frame that the kernel leaves to us for it.
const MARK: u64 = 56;
const RESERVED: libc::c_int = 16;

// linux/if_packet.h.
const VERSION_2: libc::c_int = libc::tpacket_versions::TPACKET_V2 as libc::c_int;
const STATUS_KERNEL: u32 = 0;
const STATUS_USER: u32 = 1;
const STATUS_COPY: u32 = 1 << 1;

/// What a slot begins with: `struct tpacket2_hdr`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Header {
    status: u32,
    len: u32,
    captured: u32,
    mac: u16,
    net: u16,
    sec: u32,
    nsec: u32,
    vlan_tci: u16,
    vlan_tpid: u16,
    padding: u32,
}

// SAFETY: plain integers, and no padding that is not named.
unsafe impl Plain for Header {}

/// A ring, mapped. One thread reads it.
pub(crate) struct PacketRing {
    mapping: Mapping,
}

/// The packet that is next.
pub(crate) enum Front<'a> {
    /// What came with it, and its bytes.
    Here(Received, &'a [u8]),
    /// It waits in the socket's queue.
    Queued,
}

impl PacketRing {
    /// Gives a ring to `socket`, which is bound to no device yet: what arrives from now on is in the ring.
    ///
    /// # Errors
    /// The kernel has no memory, or no rings; packets go into the socket's queue then.
    pub(crate) fn give_to(socket: &PacketSocket) -> io::Result<PacketRing> {
        let request = libc::tpacket_req {
            tp_block_size: BLOCK as u32,
            tp_block_nr: (RING_BYTES / BLOCK) as u32,
            tp_frame_size: SLOT as u32,
            tp_frame_nr: SLOTS,
        };
        // Packets that are longer than a slot are queued.
        let queue_longer: libc::c_int = 1;
        socket.set(libc::SOL_PACKET, libc::PACKET_VERSION, &VERSION_2)?;
        socket.set(libc::SOL_PACKET, libc::PACKET_RESERVE, &RESERVED)?;
        socket.set(libc::SOL_PACKET, libc::PACKET_COPY_THRESH, &queue_longer)?;
        socket.set(libc::SOL_PACKET, libc::PACKET_RX_RING, &request)?;
        PacketRing::map(socket)
    }

    /// The ring that another process gave to `socket`; `None` if it gave none.
    ///
    /// # Errors
    /// There is a ring, and not of our kind: nobody would read it.
    pub(crate) fn of(socket: &PacketSocket) -> io::Result<Option<PacketRing>> {
        match socket.get::<libc::c_int>(libc::PACKET_VERSION)? {
            VERSION_2 => PacketRing::map(socket).map(Some),
            _ => Ok(None),
        }
    }

    fn map(socket: &PacketSocket) -> io::Result<PacketRing> {
        let mapping = Mapping::shared(socket.as_fd(), RING_BYTES, 0)?;
        mapping.counter(MARK).ok_or(io::ErrorKind::InvalidData)?;
        Ok(PacketRing { mapping })
    }

    /// The number of the slot that is next.
    fn mark(&self) -> &AtomicU32 {
        self.mapping.counter(MARK).expect("looked for when the ring was mapped")
    }

    /// The slot `n` behind the next: where it is, and its status.
    #[inline]
    fn slot(&self, n: usize) -> Option<(u64, &AtomicU32)> {
        let at = self.mark().load(Ordering::Relaxed) as usize + n;
        let start = (at % SLOTS as usize * SLOT) as u64;
        Some((start, self.mapping.counter(start)?))
    }

    /// The next packet; `None` if none has arrived.
    #[inline]
    pub(crate) fn front(&self) -> Option<Front<'_>> {
        let (start, status) = self.slot(0)?;
        let status = status.load(Ordering::Acquire);
        if status & STATUS_USER == 0 {
            return None;
        }
        if status & STATUS_COPY != 0 {
            return Some(Front::Queued);
        }
        let header: Header = self.mapping.load(start);
        let (mac, len) = (usize::from(header.mac), header.captured as usize);
        let whole = mac >= VNET_LEN && len <= SLOT && mac + len <= SLOT;
        let (from, all) = if whole { (mac - VNET_LEN, VNET_LEN + len) } else { (0, 0) };
        // SAFETY: the slot is ours (I1) until `give_back`, which nobody can call while the bytes are borrowed.
        let bytes = unsafe { self.mapping.bytes(start + from as u64, all) }.unwrap_or_default();
        let (vnet, frame) = bytes.split_first_chunk().unwrap_or((&[0; VNET_LEN], &[]));
        let vlan = stripped_vlan(status, header.vlan_tpid, header.vlan_tci);
        let truncated = !whole || header.captured < header.len;
        Some(Front::Here(Received { vnet: *vnet, vlan, truncated }, frame))
    }

    /// How many packets, at most `max`, wait in the socket's queue before one that does not.
    pub(crate) fn queued(&self, max: usize) -> usize {
        let is_queued = |n: &usize| {
            let status = self.slot(*n).map_or(0, |(_, status)| status.load(Ordering::Acquire));
            status & (STATUS_USER | STATUS_COPY) == STATUS_USER | STATUS_COPY
        };
        (0..max).take_while(is_queued).count()
    }

    /// Gives the kernel the next `n` slots, which were ours, back.
    #[inline]
    pub(crate) fn give_back(&mut self, n: usize) {
        for at in 0..n {
            if let Some((_, status)) = self.slot(at) {
                status.store(STATUS_KERNEL, Ordering::Release);
            }
        }
        let next = (self.mark().load(Ordering::Relaxed) as usize + n) % SLOTS as usize;
        self.mark().store(next as u32, Ordering::Relaxed);
    }
}
