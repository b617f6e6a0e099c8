//! The hypervisor at the other end of the wire, where hypervisors are joined by a tunnel: what its machine sends comes in the
//! tunnel's headers, and what is for its machine is to come in them.
//!
//! Where it sits: between the guest at the wire and the wire. It knows one tunnel, and is strict about it.

use odp::TunnelKind;
use packet::{FlatPacket, TunnelKey};
use tunnel::{Outer, Shape};
use wire::EthAddr;
use wire::tunnel::{geneve, vxlan};

use crate::world::{World, rule};

/// Address of the simulated host.
pub(crate) const HOST: u32 = 0xc0a8_0901;
/// The other hypervisor's, beyond a router.
pub(crate) const FAR: u32 = 0xac10_0002;
/// The router's address on the host's link.
pub(crate) const ROUTER: u32 = 0xc0a8_09fe;
/// The tunnel's number.
pub(crate) const KEY: u64 = 77;

/// The tunnel as the other end has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Far {
    pub kind: TunnelKind,
    /// Address of the next hop, which is all that the host sees.
    pub mac: [u8; 6],
    /// Address of the host's adapter.
    pub host_mac: [u8; 6],
    /// Frames that came out of the tunnel.
    pub arrived: u64,
    /// When a frame last went to one who is no longer the next hop, if one has.
    pub astray: Option<u64>,
}

/// How long the driver may go on sending to a next hop that the host has said is gone; and where memory is short, for the
/// host as well: it asks anew once a second.
const NOTICE_NS: u64 = 2_000_000_000;
const SHORT_OF_MEMORY_NS: u64 = 6_000_000_000;

/// The transport port of a kind of tunnel.
pub(crate) fn port_of(kind: TunnelKind) -> u16 {
    match kind {
        TunnelKind::Vxlan => vxlan::PORT,
        TunnelKind::Geneve => geneve::PORT,
        _ => 0,
    }
}

impl Far {
    /// A machine's frame in the tunnel's headers.
    pub fn encapsulate(&self, frame: &[u8]) -> Vec<u8> {
        let key = TunnelKey { id: KEY, flags: TunnelKey::KEY, ttl: 64, ..TunnelKey::default() };
        let (eth_src, eth_dst) = (EthAddr(self.mac), EthAddr(self.host_mac));
        let outer = Outer { eth_src, eth_dst, src: FAR.into(), dst: HOST.into(), is_ipv6: false };
        let shape = Shape { dst_port: port_of(self.kind), ..Shape::default() };
        let header = tunnel::build(self.kind, &outer, &key, &shape).expect("a header of the kind");
        let mut packet = FlatPacket::try_from_frame(frame).expect("memory");
        tunnel::push(&mut packet, header.bytes(), 50_000 + u16::from(frame[frame.len() - 1])).expect("room");
        packet.frame().to_vec()
    }
}

/// What a frame of the wire brings to the machine behind the other hypervisor.
pub(crate) fn decapsulate(w: &mut World, frame: &[u8]) -> Option<Vec<u8>> {
    let (now, notice) = (w.now_ns, if w.fail_one_in == 0 { NOTICE_NS } else { SHORT_OF_MEMORY_NS });
    let far = w.far.as_mut()?;
    if frame.get(..6) != Some(&far.mac) {
        if frame.get(..5) == far.mac.get(..5) {
            // The first tells the driver to ask anew, if nothing else does.
            let since = *far.astray.get_or_insert(now);
            rule(now - since < notice, "the host's changes are not noticed: packets go where nobody is");
        }
        return None;
    }
    far.astray = None;
    let far = *far;
    let popped = tunnel::pop(far.kind, frame);
    rule(popped.is_some(), "something else than the tunnel's packets comes to its end");
    let popped = popped?;
    let (key, port) = (popped.key, port_of(far.kind));
    let ends = (key.src, key.dst, key.tp_dst, key.id) == (HOST, FAR, port, KEY);
    rule(ends && frame.get(6..12) == Some(&far.host_mac), "a packet of another tunnel comes to its end");
    // Packets of different conversations take different ways.
    rule(port == 0 || key.tp_src >= 0x8000, "a tunnel's source port is none");
    if let Some(far) = &mut w.far {
        far.arrived += 1;
    }
    frame.get(popped.len..).map(<[u8]>::to_vec)
}
