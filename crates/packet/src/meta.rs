//! What is known of a packet beside its bytes.
//!
//! Where it sits: hosts fill it at receive, tunnels and conntrack add to it, key extraction reads it, recirculation
//! carries it on.

/// A datapath port number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OdpPort(pub u32);

impl OdpPort {
    /// The datapath's own port (Open vSwitch's `ODPP_LOCAL`).
    pub const LOCAL: OdpPort = OdpPort(0);
    /// No port.
    pub const NONE: OdpPort = OdpPort(u32::MAX);
}

impl core::fmt::Display for OdpPort {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

/// The outer headers of a tunnelled packet: received, or to be sent. Addresses are zero where unused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TunnelKey {
    /// The key, VNI or segment id.
    pub id: u64,
    /// Outer IPv4 source.
    pub src: u32,
    /// Outer IPv4 destination.
    pub dst: u32,
    /// Outer IPv6 source.
    pub ipv6_src: u128,
    /// Outer IPv6 destination.
    pub ipv6_dst: u128,
    /// [`TunnelKey::DF`] and its like.
    pub flags: u16,
    /// Outer TTL or hop limit.
    pub ttl: u8,
    /// Outer TOS or traffic class.
    pub tos: u8,
    /// Outer UDP source port.
    pub tp_src: u16,
    /// Outer UDP destination port.
    pub tp_dst: u16,
    /// VXLAN group policy id.
    pub gbp_id: u16,
    /// VXLAN group policy flags.
    pub gbp_flags: u8,
    /// ERSPAN version: 1 or 2; zero without ERSPAN.
    pub erspan_ver: u8,
    /// ERSPAN version 1: the index (20 bits).
    pub erspan_idx: u32,
    /// ERSPAN version 2: the mirrored traffic's direction.
    pub erspan_dir: u8,
    /// ERSPAN version 2: the hardware's id (6 bits).
    pub erspan_hwid: u8,
    /// GTP-U flags.
    pub gtpu_flags: u8,
    /// GTP-U message type.
    pub gtpu_msgtype: u8,
    /// Geneve options.
    pub options: TunnelOptions,
}

/// Geneve options as they are on the wire: each has a class, a type, a length in words, and so much data.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TunnelOptions {
    len: u8,
    /// Zero from `len` on.
    bytes: [u8; TunnelOptions::ROOM],
}

impl Default for TunnelOptions {
    fn default() -> Self {
        TunnelOptions::NONE
    }
}

impl core::fmt::Debug for TunnelOptions {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("TunnelOptions").field(&self.bytes()).finish()
    }
}

impl TunnelOptions {
    /// Most bytes of options that a packet can have, headers included (RFC 8926 §3.4: 63 words).
    pub const MAX: usize = 252;
    const ROOM: usize = 256;
    /// No options.
    pub const NONE: TunnelOptions = TunnelOptions { len: 0, bytes: [0; TunnelOptions::ROOM] };

    /// The options `bytes`; `None` if they are too long or no whole words.
    pub fn new(bytes: &[u8]) -> Option<TunnelOptions> {
        let mut options = TunnelOptions::NONE;
        options.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        options.len = u8::try_from(bytes.len()).ok().filter(|n| n.is_multiple_of(4))?;
        Some(options)
    }

    /// The options' bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// The bytes with the unused ones, which are zero, as sixteen numbers.
    pub fn words(&self) -> impl Iterator<Item = u128> + '_ {
        self.bytes.as_chunks().0.iter().map(|word| u128::from_be_bytes(*word))
    }

    /// The options of which [`TunnelOptions::words`] are the first `len` bytes.
    pub fn from_words(words: impl IntoIterator<Item = u128>, len: u8) -> TunnelOptions {
        let mut options = TunnelOptions::NONE;
        options.len = len.min(TunnelOptions::MAX as u8) & !3;
        for (to, from) in options.bytes.chunks_exact_mut(16).zip(words) {
            to.copy_from_slice(&from.to_be_bytes());
        }
        if let Some(rest) = options.bytes.get_mut(usize::from(options.len)..) {
            rest.fill(0);
        }
        options
    }

    /// The options one by one; a list that contradicts itself ends early.
    pub fn iter(&self) -> impl Iterator<Item = TunnelOption<'_>> {
        let mut rest = self.bytes();
        core::iter::from_fn(move || {
            let (head, tail) = rest.split_first_chunk::<4>()?;
            let [class_high, class_low, kind, len] = *head;
            let (data, tail) = tail.split_at_checked(usize::from(len & 0x1f) * 4)?;
            rest = tail;
            Some(TunnelOption { class: u16::from_be_bytes([class_high, class_low]), kind, data })
        })
    }
}

/// One Geneve option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelOption<'a> {
    /// Who defined it.
    pub class: u16,
    /// Its type; the highest bit says that it is critical.
    pub kind: u8,
    /// Its data: whole words, at most 124 bytes.
    pub data: &'a [u8],
}

impl TunnelKey {
    /// Don't fragment.
    pub const DF: u16 = 1;
    /// The outer checksum is, or is to be, filled in.
    pub const CSUM: u16 = 2;
    /// The key is present.
    pub const KEY: u16 = 4;
    /// OAM frame (Geneve).
    pub const OAM: u16 = 8;
    /// The fields are those to send with, not those that were received; known to the datapath alone.
    pub const SEND: u16 = 0x8000;

    /// True if there are outer headers.
    pub fn is_set(&self) -> bool {
        self.dst != 0 || self.ipv6_dst != 0
    }
}

/// The original direction's addresses of a tracked packet; IPv4 addresses are IPv4-mapped (`::ffff:a.b.c.d`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CtTuple {
    /// Source address.
    pub src: u128,
    /// Destination address.
    pub dst: u128,
    /// Source port, or the ICMP type.
    pub tp_src: u16,
    /// Destination port, or the ICMP code.
    pub tp_dst: u16,
    /// IP protocol.
    pub proto: u8,
    /// True if the addresses are IPv6.
    pub is_ipv6: bool,
}

/// What is known of a packet beside its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketMeta {
    /// The port it came in by.
    pub in_port: OdpPort,
    /// Zero, or the id under which a `recirc` action sent it round again.
    pub recirc_id: u32,
    /// Zero, or the hash that a `hash` action computed.
    pub dp_hash: u32,
    /// Queueing priority.
    pub skb_priority: u32,
    /// Linux's packet mark.
    pub skb_mark: u32,
    /// `flow::ct_state` bits; zero before any `ct` action.
    pub ct_state: u8,
    /// The zone of the last `ct` action.
    pub ct_zone: u16,
    /// The connection's mark.
    pub ct_mark: u32,
    /// The connection's label.
    pub ct_label: u128,
    /// The connection's original direction, if tracked.
    pub ct_tuple: Option<CtTuple>,
    /// The connection tracker's own note of the connection it found, or zero; of no meaning to others.
    pub ct_conn: u64,
    /// The outer headers it came in with, or is to leave with.
    pub tunnel: TunnelKey,
    /// Zero, or the frame's namespace and type if it is not Ethernet.
    pub packet_type: u32,
    /// A hash of the flow from hardware, or zero.
    pub rss_hash: u32,
    /// The largest fragment of a reassembled packet, or zero.
    pub mru: u16,
}

impl PacketMeta {
    /// Forgets what connection tracking found: the packet is untracked again.
    pub fn clear_ct(&mut self) {
        (self.ct_state, self.ct_zone, self.ct_mark, self.ct_label) = (0, 0, 0, 0);
        (self.ct_tuple, self.ct_conn) = (None, 0);
    }
}
