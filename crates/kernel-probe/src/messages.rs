//! The pseudo device, with messages made of the seed.
//!
//! Where it sits: beside `packets`; it drags in every family of the device.

use alloc::vec::Vec;

use crate::packets;
use datapath::{Upcall, UpcallKind};
use device::{Device, Env, Errno, Handle, NetdevInfo, PortRef, Progress, Queue, Ticket, VportHost};
use flow::FlowKey;
use odp::Action;
use odp::netlink::vport::{VportKind, VportStats};
use packet::{FlatPacket, Now, OdpPort, PacketMeta};

struct NoPorts;

impl VportHost for NoPorts {
    fn open_port(&self, port: &PortRef<'_>, _: Ticket) -> Progress<Result<(), Errno>> {
        if port.number.0.is_multiple_of(2) { Progress::Later } else { Progress::Done(Ok(())) }
    }

    fn close_port(&self, _: &PortRef<'_>, _: Ticket) -> Progress<Result<(), Errno>> {
        Progress::Done(Ok(()))
    }

    fn port_stats(&self, _: OdpPort) -> VportStats {
        VportStats::default()
    }

    fn netdev(&self, _: &str) -> Option<NetdevInfo> {
        None
    }

    fn execute(&self, _: &PacketMeta, _: &[u8], _: &[Action]) -> Result<(), Errno> {
        Ok(())
    }

    fn wake(&self, _: Handle, _: Queue) {}
}

/// Bytes that nobody can foresee, of `len`.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut n = seed | 1;
    let next = move || {
        n ^= n << 13;
        n ^= n >> 7;
        n ^= n << 17;
        n as u8
    };
    core::iter::repeat_with(next).take(len).collect()
}

/// Sends one message by every operation.
#[inline(never)]
fn one(device: &Device, env: Env<'_, NoPorts>, handle: Handle, bytes: &[u8], out: &mut [u8]) -> u64 {
    let done = device.transact(env, handle, bytes, out).is_ok();
    let written = device.write(env, handle, bytes).is_ok();
    let read = device.read(env, handle, out).unwrap_or(1);
    u64::from(done) ^ u64::from(written) << 1 ^ read as u64
}

#[inline(never)]
fn upcall(device: &Device, frame: &[u8]) -> u64 {
    let Some(packet) = FlatPacket::try_from_frame(frame) else { return 0 };
    // In a list it is made where it lies: a box's value is on the stack once, and kernel frames are small.
    let mut made = Vec::new();
    if made.try_reserve_exact(1).is_ok() {
        made.push(Upcall { kind: UpcallKind::Miss, key: FlowKey::ZERO, meta: PacketMeta::default(), packet });
    }
    made.first().map_or(0, |upcall| queue(device, upcall))
}

#[inline(never)]
fn queue(device: &Device, upcall: &Upcall<FlatPacket>) -> u64 {
    u64::from(device.upcall(&NoPorts, upcall))
}

/// Sends each operation messages and folds the answers.
#[inline(never)]
pub fn exercise(seed: u64) -> u64 {
    let (Some(device), Some(dp)) = (Device::try_new(device::Config::default()), packets::datapath(seed))
    else {
        return 1;
    };
    let env = Env { datapath: &dp, host: &NoPorts, now: Now::default() };
    let Ok(handle) = device.open() else { return 2 };
    let local = PortRef { number: OdpPort::LOCAL, kind: VportKind::Internal, name: "p", tunnel_port: None };
    let mut answer = device.adopt_port(&local).map_or(3, |p| u64::from(p.0));
    let mut out = noise(seed, 4096);
    for n in 0..64 {
        let bytes = noise(seed.wrapping_add(n), 256);
        answer = answer.rotate_left(3) ^ one(&device, env, handle, &bytes, &mut out);
    }
    device.port_event(&NoPorts, &local, 1);
    device.publish_connections(env);
    answer ^= upcall(&device, &out);
    answer ^= device.read_packet(handle, &mut out).unwrap_or(5) as u64;
    device.close(handle);
    answer
}
