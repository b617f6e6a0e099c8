//! Packets to and from user space (`OVS_PACKET_ATTR_*`).
//!
//! Where it sits: upcalls and EXECUTE.

use alloc::boxed::Box;
use alloc::vec::Vec;

use netlink::{Attr, Attrs, Builder};
use packet::TunnelKey;

use super::{AttrError, actions, header, key, nest, sized, tunnel};
use crate::Action;

mod attr {
    pub const PACKET: u16 = 1;
    pub const KEY: u16 = 2;
    pub const ACTIONS: u16 = 3;
    pub const USERDATA: u16 = 4;
    pub const EGRESS_TUN_KEY: u16 = 5;
    pub const PROBE: u16 = 8;
    pub const MRU: u16 = 9;
    pub const LEN: u16 = 10;
    pub const HASH: u16 = 11;
    pub const UPCALL_PID: u16 = 12;
}

/// The attributes of a message with a packet, as far as they are there.
#[derive(Clone, Copy, Debug, Default)]
pub struct PacketAttrs<'a> {
    /// The frame.
    pub packet: Option<&'a [u8]>,
    /// Nested key.
    pub key: Option<Attr<'a>>,
    /// Nested actions.
    pub actions: Option<Attr<'a>>,
    /// What a `userspace` action gave.
    pub userdata: Option<&'a [u8]>,
    /// Nested tunnel key of an output.
    pub egress_tunnel: Option<Attr<'a>>,
    /// Only to see whether it would be accepted.
    pub probe: bool,
    /// Largest fragment of a reassembled packet.
    pub mru: Option<u16>,
    /// Length before truncation.
    pub len: Option<u32>,
    /// A hash of the flow from hardware.
    pub hash: Option<u64>,
    /// Who gets upcalls of what is executed.
    pub upcall_pid: Option<u32>,
}

impl<'a> PacketAttrs<'a> {
    /// Reads a message's attributes.
    pub fn decode(attrs: Attrs<'a>) -> Result<PacketAttrs<'a>, AttrError> {
        let mut out = PacketAttrs::default();
        for a in attrs {
            let a = a?;
            match a.kind {
                attr::PACKET => out.packet = Some(a.payload),
                attr::KEY => out.key = Some(a),
                attr::ACTIONS => out.actions = Some(a),
                attr::USERDATA => out.userdata = Some(a.payload),
                attr::EGRESS_TUN_KEY => out.egress_tunnel = Some(a),
                attr::PROBE => out.probe = true,
                attr::MRU => out.mru = Some(sized(a, a.u16())?),
                attr::LEN => out.len = Some(sized(a, a.u32())?),
                attr::HASH => out.hash = Some(sized(a, a.u64())?),
                attr::UPCALL_PID => out.upcall_pid = Some(sized(a, a.u32())?),
                _ => {}
            }
        }
        Ok(out)
    }

    /// The outer headers that the packet would leave with, if they are told.
    pub fn take_egress_tunnel(&self) -> Result<Option<Box<TunnelKey>>, AttrError> {
        self.egress_tunnel.map(header::take_tunnel).transpose()
    }

    /// The actions, if they are told.
    pub fn take_actions(&self) -> Result<Option<Vec<Action>>, AttrError> {
        self.actions.map(|a| actions::take_actions(a.nested())).transpose()
    }
}

/// Adds a key.
pub fn put_key(b: &mut Builder, k: &flow::FlowKey) {
    nest(b, attr::KEY, |b| key::put_key(b, k));
}

/// Adds actions.
pub fn put_actions(b: &mut Builder, list: &[Action]) {
    nest(b, attr::ACTIONS, |b| actions::put_actions(b, list));
}

/// Adds what a `userspace` action gave.
pub fn put_userdata(b: &mut Builder, userdata: &[u8]) {
    b.put(attr::USERDATA, userdata);
}

/// Adds the tunnel key of an output.
pub fn put_egress_tunnel(b: &mut Builder, t: &TunnelKey) {
    tunnel::put(b, attr::EGRESS_TUN_KEY, t);
}

/// Adds the largest fragment's length.
pub fn put_mru(b: &mut Builder, mru: u16) {
    b.put_u16(attr::MRU, mru);
}

/// Adds the length before truncation.
pub fn put_len(b: &mut Builder, len: u32) {
    b.put_u32(attr::LEN, len);
}

/// Adds a hash.
pub fn put_hash(b: &mut Builder, hash: u64) {
    b.put_u64(attr::HASH, hash);
}

/// Adds a frame of `len` bytes that `fill` writes.
pub fn put_frame(b: &mut Builder, len: usize, fill: impl FnOnce(&mut [u8])) {
    b.put_with(attr::PACKET, len, fill);
}

/// Adds the frame.
pub fn put_packet(b: &mut Builder, frame: &[u8]) {
    b.put(attr::PACKET, frame);
}
