//! What the core may ask its host in the middle of a packet.
//!
//! Where it sits: implemented by each host beside its buffers, those with routes over [`crate::Ways`]; [`PlainHost`] is the one with nothing around it. None of these may
//! block or send.

use odp::TunnelKind;
use packet::{FlatPacket, OdpPort, PacketBuf, TunnelKey};
use wire::EthAddr;

/// Services of the host.
pub trait Host<B> {
    /// A copy of a packet for a second output; `None` if memory is short.
    fn try_clone(&mut self, packet: &B) -> Option<B>;

    /// An empty buffer for `len` bytes behind `headroom`; `None` if memory is short.
    fn alloc(&mut self, len: usize, headroom: usize) -> Option<B>;

    /// Hands a sampled packet to the listeners of `group`, where the host has such.
    fn sample(&mut self, _group: u32, _cookie: &[u8], _packet: &B) {}

    /// Bytes of an IP packet that leave by a port in one piece: STT's frames are cut to fit.
    fn mtu(&self, _port: OdpPort) -> u16 {
        1500
    }

    /// True if a super-packet may go into a tunnel: whoever sends it cuts it up with its outer headers. STT's frames are
    /// cut up as if they were TCP's.
    fn segments_inside_tunnels(&self) -> bool {
        true
    }

    /// Finishes what was left to hardware that does not look inside a tunnel of `kind`; false if that cannot be done.
    fn finish_for_tunnel(&mut self, _packet: &mut B, _kind: TunnelKind) -> bool {
        true
    }

    /// The next hop towards a tunnel's end point.
    fn next_hop(&mut self, dst: &TunnelDst<'_>) -> NextHop;
}

/// Where a tunnelled packet is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelDst<'a> {
    /// Outer headers as far as the flow sets them.
    pub key: &'a TunnelKey,
    /// The packet's mark, by which the host may choose its route.
    pub mark: u32,
}

/// The answer to [`Host::next_hop`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextHop {
    /// Send from this port with these addresses.
    Via {
        /// Egress port; or the host's own port, where flows say which way its packets go.
        port: OdpPort,
        /// Which of the two it is.
        exit: Exit,
        /// Source address of the frame.
        eth_src: EthAddr,
        /// Destination address of the frame.
        eth_dst: EthAddr,
        /// Source address of the tunnel (IPv4 in the low 32 bits).
        src: u128,
    },
    /// There is no route.
    NoRoute,
    /// The neighbour is being resolved; the packet is dropped.
    Resolving,
}

/// How a packet goes on that has got a tunnel's headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Out of the port.
    Leaves,
    /// Through the flows, as one that came from the port: with this tag of IEEE 802.1Q, if the port puts one on what the host
    /// sends.
    Enters {
        /// Priority and VLAN.
        tag: Option<u16>,
    },
}

/// The plainest host: packets in memory of their own, and one next hop for every tunnel. It drives the core where there are
/// no devices.
#[derive(Clone, Copy, Debug)]
pub struct PlainHost {
    /// The way to every tunnel's end.
    pub next_hop: NextHop,
}

impl PlainHost {
    /// One that knows no way.
    pub const fn without_routes() -> PlainHost {
        PlainHost { next_hop: NextHop::NoRoute }
    }
}

impl Host<FlatPacket> for PlainHost {
    fn try_clone(&mut self, packet: &FlatPacket) -> Option<FlatPacket> {
        let mut copy = FlatPacket::try_from_frame(packet.frame())?;
        *copy.offload_mut() = *packet.offload();
        Some(copy)
    }

    fn alloc(&mut self, len: usize, headroom: usize) -> Option<FlatPacket> {
        FlatPacket::try_with_capacity(len, headroom)
    }

    fn next_hop(&mut self, _dst: &TunnelDst<'_>) -> NextHop {
        self.next_hop
    }
}
