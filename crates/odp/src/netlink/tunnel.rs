//! Tunnel keys (`OVS_TUNNEL_KEY_ATTR_*`): in flow keys and masks, and in `set(tunnel(…))`.
//!
//! Where it sits: under `key.rs` and `actions.rs`. The numbers begin at zero.
//!
//! A key's id counts as matched if its attribute is in the mask; the key flag (`TunnelKey::KEY`) is the attribute's presence.

use flow::extract::options_of;
use flow::{FlowKey, slot};
use netlink::{Attr, Attrs, Builder};
use packet::{TunnelKey, TunnelOptions};

use super::layout::Mode;
use super::{AttrError, AttrErrorKind, nest, sized};

mod attr {
    pub const ID: u16 = 0;
    pub const IPV4_SRC: u16 = 1;
    pub const IPV4_DST: u16 = 2;
    pub const TOS: u16 = 3;
    pub const TTL: u16 = 4;
    pub const DONT_FRAGMENT: u16 = 5;
    pub const CSUM: u16 = 6;
    pub const OAM: u16 = 7;
    pub const GENEVE_OPTS: u16 = 8;
    pub const TP_SRC: u16 = 9;
    pub const TP_DST: u16 = 10;
    pub const VXLAN_OPTS: u16 = 11;
    pub const IPV6_SRC: u16 = 12;
    pub const IPV6_DST: u16 = 13;
    pub const PAD: u16 = 14;
    pub const ERSPAN_OPTS: u16 = 15;
    pub const GTPU_OPTS: u16 = 17;
}

/// `OVS_VXLAN_EXT_GBP`, u32: flags in the third byte, the policy's id in the low half.
const VXLAN_EXT_GBP: u16 = 1;

const FLAGS: [(u16, u16); 3] =
    [(attr::DONT_FRAGMENT, TunnelKey::DF), (attr::CSUM, TunnelKey::CSUM), (attr::OAM, TunnelKey::OAM)];

/// A tunnel key or its mask, wherever it is stored.
pub(crate) trait Fields {
    fn key(&self) -> TunnelKey;
    fn set_key(&mut self, key: &TunnelKey);
    /// In a mask: how many bytes of options there are matters.
    fn match_options_len(&mut self) {}
}

impl Fields for TunnelKey {
    fn key(&self) -> TunnelKey {
        *self
    }

    fn set_key(&mut self, key: &TunnelKey) {
        *self = *key;
    }
}

impl Fields for FlowKey {
    fn key(&self) -> TunnelKey {
        TunnelKey {
            id: self.tun_id(),
            src: self.tun_src(),
            dst: self.tun_dst(),
            ipv6_src: self.tun_ipv6_src(),
            ipv6_dst: self.tun_ipv6_dst(),
            flags: self.tun_flags(),
            ttl: self.tun_ttl(),
            tos: self.tun_tos(),
            tp_src: self.tun_tp_src(),
            tp_dst: self.tun_tp_dst(),
            gbp_id: self.tun_gbp_id(),
            gbp_flags: self.tun_gbp_flags(),
            erspan_ver: self.tun_erspan_ver(),
            erspan_idx: self.tun_erspan_idx(),
            erspan_dir: self.tun_erspan_dir(),
            erspan_hwid: self.tun_erspan_hwid(),
            gtpu_flags: self.tun_gtpu_flags(),
            gtpu_msgtype: self.tun_gtpu_msgtype(),
            options: options_of(self),
        }
    }

    fn set_key(&mut self, t: &TunnelKey) {
        self.set_tun_id(t.id);
        self.set_tun_src(t.src);
        self.set_tun_dst(t.dst);
        self.set_tun_ipv6_src(t.ipv6_src);
        self.set_tun_ipv6_dst(t.ipv6_dst);
        self.set_tun_flags(t.flags);
        self.set_tun_ttl(t.ttl);
        self.set_tun_tos(t.tos);
        self.set_tun_tp_src(t.tp_src);
        self.set_tun_tp_dst(t.tp_dst);
        self.set_tun_gbp_id(t.gbp_id);
        self.set_tun_gbp_flags(t.gbp_flags);
        self.set_tun_erspan_ver(t.erspan_ver);
        self.set_tun_erspan_idx(t.erspan_idx);
        self.set_tun_erspan_dir(t.erspan_dir);
        self.set_tun_erspan_hwid(t.erspan_hwid);
        self.set_tun_gtpu_flags(t.gtpu_flags);
        self.set_tun_gtpu_msgtype(t.gtpu_msgtype);
        self.set_tun_opts_len(t.options.bytes().len() as u8);
        slot::TUN_OPTS.iter().zip(t.options.words()).for_each(|(slot, word)| self.set(*slot, word));
    }

    fn match_options_len(&mut self) {
        self.set_tun_opts_len(u8::MAX);
    }
}

/// True if any tunnel field of a mask is significant.
pub(crate) fn any(mask: &FlowKey) -> bool {
    mask.words().iter().take(usize::from(slot::skb_priority.word)).any(|w| *w != 0)
        || mask.get(slot::tun_gtpu_flags) != 0
        || mask.get(slot::tun_gtpu_msgtype) != 0
        || mask.get(slot::tun_opts_len) != 0
}

/// Adds the tunnel part of a key's mask: of its options, as much as the key has.
pub(crate) fn put_mask(b: &mut Builder, kind: u16, mask: &FlowKey, key: &FlowKey) {
    let mut t = mask.key();
    let len = usize::from(key.tun_opts_len());
    let whole = t.options.bytes().get(..len).and_then(TunnelOptions::new);
    t.options = whole.unwrap_or(t.options);
    nest(b, kind, |b| {
        fields(b, &t, Mode::Mask);
        if mask.tun_opts_len() != 0 {
            b.put(attr::GENEVE_OPTS, t.options.bytes());
        }
    });
}

/// Adds a tunnel key.
pub(crate) fn put(b: &mut Builder, kind: u16, key: &impl Fields) {
    let t = key.key();
    nest(b, kind, |b| {
        fields(b, &t, Mode::Value);
        if !t.options.bytes().is_empty() {
            b.put(attr::GENEVE_OPTS, t.options.bytes());
        }
    });
}

fn fields(b: &mut Builder, t: &TunnelKey, mode: Mode) {
    // The attribute of an id that is there but not looked at says that its presence matters.
    if t.flags & TunnelKey::KEY != 0 || (mode == Mode::Mask && t.id != 0) {
        b.put_be64(attr::ID, t.id);
    }
    if t.src != 0 {
        b.put_be32(attr::IPV4_SRC, t.src);
    }
    if t.dst != 0 {
        b.put_be32(attr::IPV4_DST, t.dst);
    }
    if t.ipv6_src != 0 {
        b.put_be128(attr::IPV6_SRC, t.ipv6_src);
    }
    if t.ipv6_dst != 0 {
        b.put_be128(attr::IPV6_DST, t.ipv6_dst);
    }
    if t.tos != 0 {
        b.put_u8(attr::TOS, t.tos);
    }
    b.put_u8(attr::TTL, t.ttl);
    for (kind, _) in FLAGS.iter().filter(|(_, flag)| t.flags & flag != 0) {
        b.put_flag(*kind);
    }
    if t.tp_src != 0 {
        b.put_be16(attr::TP_SRC, t.tp_src);
    }
    if t.tp_dst != 0 {
        b.put_be16(attr::TP_DST, t.tp_dst);
    }
    if t.gbp_id != 0 || t.gbp_flags != 0 {
        nest(b, attr::VXLAN_OPTS, |b| {
            b.put_u32(VXLAN_EXT_GBP, u32::from(t.gbp_flags) << 16 | u32::from(t.gbp_id));
        });
    }
    if t.erspan_ver != 0 || t.erspan_idx != 0 || t.erspan_dir != 0 || t.erspan_hwid != 0 {
        b.put(attr::ERSPAN_OPTS, &erspan(t));
    }
    if t.gtpu_flags != 0 || t.gtpu_msgtype != 0 {
        b.put(attr::GTPU_OPTS, &[t.gtpu_flags, t.gtpu_msgtype]);
    }
}

/// `struct erspan_metadata`: version; the index of version 1; timestamp, group, hardware id and direction of version 2.
fn erspan(t: &TunnelKey) -> [u8; 12] {
    let [v0, v1, v2, v3] = u32::from(t.erspan_ver).to_ne_bytes();
    let [i0, i1, i2, i3] = t.erspan_idx.to_be_bytes();
    let (high, low) = (t.erspan_hwid >> 4 & 3, t.erspan_hwid & 0xf);
    [v0, v1, v2, v3, i0, i1, i2, i3, 0, 0, high, t.erspan_dir << 3 | low << 4]
}

fn take_erspan(a: Attr<'_>, t: &mut TunnelKey) -> Option<()> {
    let [v0, v1, v2, v3, i0, i1, i2, i3, _, _, high, low] = *a.payload.first_chunk::<12>()?;
    t.erspan_ver = u32::from_ne_bytes([v0, v1, v2, v3]).try_into().ok()?;
    t.erspan_idx = u32::from_be_bytes([i0, i1, i2, i3]) & 0xf_ffff;
    t.erspan_dir = low >> 3 & 1;
    t.erspan_hwid = (high & 3) << 4 | low >> 4;
    // Only one of both parts has a meaning in a key.
    if t.erspan_ver == 2 {
        t.erspan_idx = 0;
    }
    Some(())
}

/// Reads `OVS_KEY_ATTR_TUNNEL`.
pub(crate) fn take(attrs: Attrs<'_>, out: &mut impl Fields, mode: Mode) -> Result<(), AttrError> {
    let mut t = TunnelKey::default();
    let mut has_options = false;
    for a in attrs {
        let a = a?;
        has_options |= a.kind == attr::GENEVE_OPTS;
        one(a, &mut t)?;
    }
    out.set_key(&t);
    if has_options && mode == Mode::Mask {
        out.match_options_len();
    }
    Ok(())
}

fn one(a: Attr<'_>, t: &mut TunnelKey) -> Result<(), AttrError> {
    match a.kind {
        attr::ID => {
            t.id = sized(a, a.be64())?;
            t.flags |= TunnelKey::KEY;
        }
        attr::IPV4_SRC => t.src = sized(a, a.be32())?,
        attr::IPV4_DST => t.dst = sized(a, a.be32())?,
        attr::IPV6_SRC => t.ipv6_src = sized(a, a.be128())?,
        attr::IPV6_DST => t.ipv6_dst = sized(a, a.be128())?,
        attr::TOS => t.tos = sized(a, a.u8())?,
        attr::TTL => t.ttl = sized(a, a.u8())?,
        attr::TP_SRC => t.tp_src = sized(a, a.be16())?,
        attr::TP_DST => t.tp_dst = sized(a, a.be16())?,
        attr::VXLAN_OPTS => {
            for ext in a.nested() {
                let ext = ext?;
                if ext.kind != VXLAN_EXT_GBP {
                    return Err(AttrErrorKind::Unknown.of(a.kind));
                }
                let gbp = sized(ext, ext.u32())?;
                (t.gbp_id, t.gbp_flags) = (gbp as u16, (gbp >> 16) as u8);
            }
        }
        attr::GENEVE_OPTS => {
            t.options = TunnelOptions::new(a.payload).ok_or(AttrErrorKind::Value.of(a.kind))?;
        }
        attr::ERSPAN_OPTS => sized(a, take_erspan(a, t))?,
        attr::GTPU_OPTS => match a.payload {
            [flags, msgtype] => (t.gtpu_flags, t.gtpu_msgtype) = (*flags, *msgtype),
            _ => return Err(AttrErrorKind::Size.of(a.kind)),
        },
        attr::PAD => {}
        kind => {
            let flag = FLAGS.iter().find(|(k, _)| *k == kind).map(|(_, flag)| *flag);
            t.flags |= flag.ok_or(AttrErrorKind::Unknown.of(kind))?;
        }
    }
    Ok(())
}
