//! The hypervisor at the other end of the wire, where hypervisors are joined by a tunnel: what its machine sends comes in the
//! tunnel's headers, and what is for its machine is to come in them.
//!
//! Where it sits: between the guest at the wire and the wire. It knows one tunnel, and is strict about it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use odp::TunnelKind;
use packet::{FlatPacket, TunnelKey};
use tunnel::{Outer, Shape};
use wire::EthAddr;
use wire::tunnel::{geneve, vxlan};

use crate::guest::{sum, transport};
use crate::scenario::Tunnel;
use crate::stt::{self, Stt};
use crate::world::{Random, World, rule};

/// The tunnel's number.
pub(crate) const KEY: u64 = 77;

/// Who is where: the simulated host, the other hypervisor beyond a router, and the router on the host's link.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    pub host: IpAddr,
    pub far: IpAddr,
    pub router: IpAddr,
}

impl Ends {
    /// Those of a tunnel.
    pub fn of(tunnel: Tunnel) -> Ends {
        if tunnel.is_ipv6 {
            let ip = |link: u128, low| IpAddr::V6(Ipv6Addr::from_bits(link << 96 | low));
            Ends { host: ip(0xfd00_0009, 1), far: ip(0xfd00_0010, 2), router: ip(0xfe80_0000, 0xfe) }
        } else {
            let ip = |bits: u32| IpAddr::V4(Ipv4Addr::from_bits(bits));
            Ends { host: ip(0xc0a8_0901), far: ip(0xac10_0002), router: ip(0xc0a8_09fe) }
        }
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => a.to_bits().into(),
        IpAddr::V6(a) => a.to_bits(),
    }
}

/// The tunnel as the other end has it.
#[derive(Clone, Debug)]
pub(crate) struct Far {
    pub tunnel: Tunnel,
    /// Address of the next hop, which is all that the host sees.
    pub mac: [u8; 6],
    /// Address of the host's adapter.
    pub host_mac: [u8; 6],
    /// Frames that came out of the tunnel.
    pub arrived: u64,
    /// When the next hop was last replaced.
    pub replaced: u64,
    /// Since when frames go to one whom the host has told to be no longer the next hop, if they do.
    pub astray: Option<u64>,
    /// Parts of frames, with STT.
    pub stt: Stt,
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
        TunnelKind::Stt => stt::PORT,
        _ => 0,
    }
}

impl Far {
    /// The other end of a tunnel.
    pub fn new(tunnel: Tunnel, mac: [u8; 6], host_mac: [u8; 6]) -> Far {
        Far { tunnel, mac, host_mac, arrived: 0, replaced: 0, astray: None, stt: Stt::default() }
    }

    /// Another next hop takes the place of the one that was.
    pub fn replace_next_hop(&mut self, now: u64) {
        self.mac[5] += 1;
        (self.replaced, self.astray) = (now, None);
    }

    /// A machine's frames in the tunnel's headers.
    pub fn encapsulate(&mut self, frames: Vec<Vec<u8>>, random: &mut Random) -> Vec<Vec<u8>> {
        let (Tunnel { kind, is_ipv6 }, ends) = (self.tunnel, Ends::of(self.tunnel));
        // Over IPv6 datagrams have a checksum.
        let flags = TunnelKey::KEY | if is_ipv6 { TunnelKey::CSUM } else { 0 };
        let key = TunnelKey { id: KEY, flags, ttl: 64, ..TunnelKey::default() };
        let (eth_src, eth_dst) = (EthAddr(self.mac), EthAddr(self.host_mac));
        let outer = Outer { eth_src, eth_dst, src: bits(ends.far), dst: bits(ends.host), is_ipv6 };
        let shape = Shape { dst_port: port_of(kind), ..Shape::default() };
        let header = tunnel::build(kind, &outer, &key, &shape).expect("a header of the kind");
        if kind == TunnelKind::Stt {
            let ip = if is_ipv6 { 54 } else { 34 };
            return self.stt.encapsulate(&header.bytes()[..ip], frames, KEY, random);
        }
        let push = |frame: &Vec<u8>| {
            let mut packet = FlatPacket::try_from_frame(frame).expect("memory");
            tunnel::push(&mut packet, header.bytes(), 50_000 + u16::from(frame[frame.len() - 1]))
                .expect("room");
            packet.frame().to_vec()
        };
        frames.iter().map(push).collect()
    }

    /// What one of the tunnel's packets brings.
    fn take(&mut self, frame: &[u8]) -> Vec<Vec<u8>> {
        let (Tunnel { kind, is_ipv6 }, ends) = (self.tunnel, Ends::of(self.tunnel));
        let popped = match kind {
            TunnelKind::Stt => tunnel::stt::ends(frame).map(|key| (key, 0)),
            _ => tunnel::pop(kind, frame).map(|popped| (popped.key, popped.len)),
        };
        rule(popped.is_some(), "something else than the tunnel's packets comes to its end");
        let Some((key, len)) = popped else { return Vec::new() };
        let (src, dst) =
            if is_ipv6 { (key.ipv6_src, key.ipv6_dst) } else { (key.src.into(), key.dst.into()) };
        let right = (src, dst, key.tp_dst) == (bits(ends.host), bits(ends.far), port_of(kind));
        rule(
            right && frame.get(6..12) == Some(&self.host_mac),
            "a packet of another tunnel comes to its end",
        );
        if is_ipv6 && key.tp_dst != 0 && kind != TunnelKind::Stt {
            let pseudo = sum(&frame[22..54], 17 + (frame.len() - 54) as u32);
            let whole = key.flags & TunnelKey::CSUM != 0 && sum(&frame[54..], pseudo.into()) == 0xffff;
            rule(whole, "a datagram over IPv6 without its checksum");
        }
        // Packets of different conversations take different ways.
        rule(key.tp_dst == 0 || key.tp_src >= 0x8000, "a tunnel's source port is none");
        let inside = match (kind, transport(frame)) {
            (TunnelKind::Stt, Some(at)) => self.stt.decapsulate(frame, at, KEY),
            _ => {
                rule(key.id == KEY, "a packet of another tunnel comes to its end");
                vec![frame[len..].to_vec()]
            }
        };
        self.arrived += inside.len() as u64;
        inside
    }
}

/// What a frame of the wire brings to the machine behind the other hypervisor; the driver has known it no earlier than `since`.
pub(crate) fn decapsulate(w: &mut World, frame: &[u8], since: u64) -> Vec<Vec<u8>> {
    let notice = if w.fail_one_in == 0 { NOTICE_NS } else { SHORT_OF_MEMORY_NS };
    let Some(far) = w.far.as_mut() else { return Vec::new() };
    if frame.get(..6) != Some(&far.mac) {
        if frame.get(..5) == far.mac.get(..5) && since > far.replaced {
            // The first tells the driver to ask anew, if nothing else does.
            let first = *far.astray.get_or_insert(since);
            rule(
                since.saturating_sub(first) < notice,
                "the host's changes are not noticed: packets go where nobody is",
            );
        }
        return Vec::new();
    }
    far.astray = None;
    far.take(frame)
}
