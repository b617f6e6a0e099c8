//! Ports (`OVS_VPORT_ATTR_*`).
//!
//! Where it sits: requests, replies and events of the vport family.

use netlink::{Attr, Attrs, Builder};

use super::{AttrError, AttrErrorKind, nest, sized};

mod attr {
    pub const PORT_NO: u16 = 1;
    pub const TYPE: u16 = 2;
    pub const NAME: u16 = 3;
    pub const OPTIONS: u16 = 4;
    pub const UPCALL_PID: u16 = 5;
    pub const STATS: u16 = 6;
    /// Ours: what the port's device is set to.
    pub const SETTINGS: u16 = 32;
    /// Ours: how its queues are served.
    pub const OTHER_CONFIG: u16 = 33;
}

/// `OVS_TUNNEL_ATTR_DST_PORT`, in the machine's byte order.
const DST_PORT: u16 = 1;

/// Bytes of the longest name, with its closing zero.
pub const MAX_NAME: usize = 256;

/// Type of a port (`enum ovs_vport_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
#[allow(missing_docs, reason = "the names say it, and are the interface's")]
pub enum VportKind {
    Netdev = 1,
    Internal = 2,
    Gre = 3,
    Vxlan = 4,
    Geneve = 5,
    Stt = 106,
    Erspan = 107,
    Ip6Erspan = 108,
    Ip6Gre = 109,
    Gtpu = 110,
    Bareudp = 111,
    Srv6 = 112,
    Afxdp = 113,
    AfxdpNonpmd = 114,
}

impl VportKind {
    /// Every type, with its name in `Interface.type`.
    pub const NAMES: [(VportKind, &'static str); 14] = [
        (VportKind::Netdev, "system"),
        (VportKind::Internal, "internal"),
        (VportKind::Gre, "gre"),
        (VportKind::Vxlan, "vxlan"),
        (VportKind::Geneve, "geneve"),
        (VportKind::Stt, "stt"),
        (VportKind::Erspan, "erspan"),
        (VportKind::Ip6Erspan, "ip6erspan"),
        (VportKind::Ip6Gre, "ip6gre"),
        (VportKind::Gtpu, "gtpu"),
        (VportKind::Bareudp, "bareudp"),
        (VportKind::Srv6, "srv6"),
        (VportKind::Afxdp, "afxdp"),
        (VportKind::AfxdpNonpmd, "afxdp-nonpmd"),
    ];

    /// The type of a number.
    pub fn from_number(n: u32) -> Option<VportKind> {
        Self::NAMES.into_iter().map(|(kind, _)| kind).find(|kind| *kind as u32 == n)
    }

    /// Its name in `Interface.type`.
    pub fn name(self) -> &'static str {
        Self::NAMES.into_iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }

    /// The type of a name in `Interface.type`.
    pub fn from_name(name: &str) -> Option<VportKind> {
        Self::NAMES.into_iter().find(|(_, n)| *n == name).map(|(kind, _)| kind)
    }

    /// True for a tunnel: there is no device behind it.
    pub fn is_tunnel(self) -> bool {
        !matches!(self, VportKind::Netdev | VportKind::Internal | VportKind::Afxdp | VportKind::AfxdpNonpmd)
    }
}

/// Counters of a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct VportStats {
    pub rx_packets: u64,
    pub tx_packets: u64,
    pub rx_bytes: u64,
    pub tx_bytes: u64,
    pub rx_errors: u64,
    pub tx_errors: u64,
    pub rx_dropped: u64,
    pub tx_dropped: u64,
}

impl VportStats {
    fn words(&self) -> [u64; 8] {
        [
            self.rx_packets,
            self.tx_packets,
            self.rx_bytes,
            self.tx_bytes,
            self.rx_errors,
            self.tx_errors,
            self.rx_dropped,
            self.tx_dropped,
        ]
    }

    fn read(a: Attr<'_>) -> Option<VportStats> {
        let mut words = [0; 8];
        if a.payload.len() != 64 {
            return None;
        }
        for (word, bytes) in words.iter_mut().zip(a.payload.chunks_exact(8)) {
            *word = u64::from_ne_bytes(bytes.try_into().ok()?);
        }
        let [rx_packets, tx_packets, rx_bytes, tx_bytes, rx_errors, tx_errors, rx_dropped, tx_dropped] =
            words;
        Some(VportStats {
            rx_packets,
            tx_packets,
            rx_bytes,
            tx_bytes,
            rx_errors,
            tx_errors,
            rx_dropped,
            tx_dropped,
        })
    }
}

/// The attributes of a message about a port, as far as they are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VportAttrs<'a> {
    /// Its number.
    pub number: Option<u32>,
    /// Its type's number.
    pub kind: Option<u32>,
    /// Its name.
    pub name: Option<&'a str>,
    /// Options are there.
    pub has_options: bool,
    /// Destination port of a tunnel.
    pub tunnel_port: Option<u16>,
    /// Who gets its upcalls: 32-bit numbers in a row.
    pub pids: Option<&'a [u8]>,
    /// Its counters.
    pub stats: Option<VportStats>,
    /// What its device is to be set to: texts `KEY=VALUE`, each with a zero behind it.
    pub settings: Option<&'a [u8]>,
    /// How its queues are to be served: the same of `Interface.other_config`.
    pub other_config: Option<&'a [u8]>,
}

/// The pairs of texts `KEY=VALUE`, each with a zero behind it; `None` for what is none.
pub fn pairs(texts: &[u8]) -> impl Iterator<Item = Option<(&str, &str)>> {
    let texts = texts.split(|b| *b == 0).filter(|text| !text.is_empty());
    texts.map(|text| core::str::from_utf8(text).ok()?.split_once('='))
}

impl<'a> VportAttrs<'a> {
    /// Reads a message's attributes.
    pub fn decode(attrs: Attrs<'a>) -> Result<VportAttrs<'a>, AttrError> {
        let mut out = VportAttrs::default();
        for a in attrs {
            let a = a?;
            match a.kind {
                attr::PORT_NO => out.number = Some(sized(a, a.u32())?),
                attr::TYPE => out.kind = Some(sized(a, a.u32())?),
                attr::NAME => {
                    let fits = !a.payload.is_empty() && a.payload.len() <= MAX_NAME;
                    out.name = Some(a.str().filter(|_| fits).ok_or(AttrErrorKind::Value.of(a.kind))?);
                }
                attr::OPTIONS => {
                    out.has_options = true;
                    for option in a.nested() {
                        let option = option?;
                        if option.kind == DST_PORT {
                            out.tunnel_port = Some(sized(option, option.u16())?);
                        }
                    }
                }
                attr::UPCALL_PID => {
                    let whole = !a.payload.is_empty() && a.payload.len().is_multiple_of(4);
                    out.pids = Some(sized(a, whole.then_some(a.payload))?);
                }
                attr::SETTINGS => out.settings = Some(a.payload),
                attr::OTHER_CONFIG => out.other_config = Some(a.payload),
                attr::STATS => out.stats = Some(sized(a, VportStats::read(a))?),
                _ => {}
            }
        }
        Ok(out)
    }

    /// Adds the attributes, in the order of replies.
    pub fn encode(&self, b: &mut Builder) {
        if let Some(n) = self.number {
            b.put_u32(attr::PORT_NO, n);
        }
        if let Some(kind) = self.kind {
            b.put_u32(attr::TYPE, kind);
        }
        if let Some(name) = self.name {
            b.put_str(attr::NAME, name);
        }
        if let Some(port) = self.tunnel_port {
            nest(b, attr::OPTIONS, |b| b.put_u16(DST_PORT, port));
        }
        if let Some(pids) = self.pids {
            b.put(attr::UPCALL_PID, pids);
        }
        if let Some(stats) = &self.stats {
            b.put(attr::STATS, stats.words().map(u64::to_ne_bytes).as_flattened());
        }
        if let Some(settings) = self.settings {
            b.put(attr::SETTINGS, settings);
        }
        if let Some(config) = self.other_config {
            b.put(attr::OTHER_CONFIG, config);
        }
    }
}
