//! Flow keys and masks as `OVS_KEY_ATTR_*`.
//!
//! Where it sits: flows, upcalls and packets to be executed carry keys; flows carry masks.
//!
//! Which attributes there are follows from the *key*: a tag has ENCAP, an IPv4 type has IPV4. A mask has the attributes of
//! its key with masks in them. Kept from Linux: a key without VLAN attribute is the key of an untagged packet, and its mask
//! matches that, unless the mask itself says otherwise by a VLAN attribute.
//!
//! The normal form: what decodes is the match that was encoded, but
//! - `packet_type` is always matched;
//! - a field that is wider in the key than on the wire (an ICMP type, in a port's place) is matched whole or by its low bits;
//! - a mask over a tunnel's id covers its presence.
//!
//! Spec: linux/openvswitch.h, ovsext 2.11, networking/openvswitch of the kernel's documents.

use flow::{FlowKey, Frag, Match, Wildcards, slot};
use netlink::{Attr, Attrs, Builder, HEADER_LEN, Header};
use packet::{CtTuple, OdpPort, PacketMeta};
use wire::{eth, ip};

use super::layout::{Layout, Mode, attr, layout};
use super::tunnel::{self, Fields};
use super::{AttrError, AttrErrorKind, nest, sized};

/// Labels of an MPLS stack in a key.
const LABELS: [flow::Slot; 3] = [slot::mpls_lse0, slot::mpls_lse1, slot::mpls_lse2];
/// Bottom of stack.
const BOS: u128 = 0x100;
/// `OVS_NSH_KEY_ATTR_*`.
const NSH_BASE: u16 = 1;
const NSH_MD1: u16 = 2;
/// Tags that a key has room for.
const MAX_TAGS: u8 = 2;

/// Adds the attributes of `key`.
pub fn put_key(b: &mut Builder, key: &FlowKey) {
    Put { b, key, values: key, mode: Mode::Value }.all();
}

/// Adds the attributes of the mask of `m`.
pub fn put_mask(b: &mut Builder, m: &Match) {
    Put { b, key: &m.key, values: &m.wc, mode: Mode::Mask }.all();
}

/// Reads a key.
pub fn take_key(attrs: Attrs<'_>, out: &mut FlowKey) -> Result<(), AttrError> {
    *out = FlowKey::ZERO;
    let seen = level(attrs, out, Mode::Value, 0, u8::MAX)?;
    check(seen, out)
}

/// Reads a key and its mask; without a mask, every attribute of the key is matched whole.
pub fn take_match(key: Attrs<'_>, mask: Option<Attrs<'_>>, out: &mut Match) -> Result<(), AttrError> {
    take_key(key.clone(), &mut out.key)?;
    out.wc = Wildcards::NONE;
    let wc = &mut *out.wc;
    let tags = tags_of(&out.key);
    match mask {
        Some(mask) => {
            // A tag that is not mentioned is matched not to be there; one that is is what the mask says.
            for (n, tci) in [slot::vlan_tci, slot::vlan2_tci].into_iter().enumerate() {
                if n == usize::from(tags) {
                    wc.set(tci, u128::MAX);
                }
            }
            level(mask, wc, Mode::Mask, 0, tags)?;
        }
        None => exact(key, &out.key, wc)?,
    }
    wc.set(slot::packet_type, u128::MAX);
    for (value, mask) in out.key.words_mut().iter_mut().zip(out.wc.words()) {
        *value &= mask;
    }
    Ok(())
}

/// What is read where `m` was written: bits of fields that a packet with its key has not are lost on the way.
pub fn as_read(m: &Match) -> Result<Match, AttrError> {
    let written = |put: &dyn Fn(&mut Builder)| {
        let mut b = Builder::new();
        b.begin(&Header::default(), &[]);
        put(&mut b);
        let message = b.finish().ok_or(AttrErrorKind::NoMemory.of(0))?;
        message.get(HEADER_LEN..).map(<[u8]>::to_vec).ok_or(AttrErrorKind::Framing.of(0))
    };
    let (key, mask) = (written(&|b| put_key(b, &m.key))?, written(&|b| put_mask(b, m))?);
    let mut out = Match::ANY;
    take_match(Attrs::new(&key), Some(Attrs::new(&mask)), &mut out)?;
    Ok(out)
}

/// What is known of a packet with this key beside its bytes.
pub fn meta_of(key: &FlowKey) -> PacketMeta {
    let mut meta = PacketMeta::default();
    store_meta(key, &mut meta);
    meta
}

/// The same, written to where default metadata lie.
#[inline(never)]
pub fn store_meta(key: &FlowKey, meta: &mut PacketMeta) {
    let is_v6 = key.ct_ipv6_src() != 0 || key.ct_ipv6_dst() != 0;
    let has_tuple = is_v6 || key.ct_nw_src() != 0 || key.ct_nw_dst() != 0 || key.ct_nw_proto() != 0;
    let mapped = |a: u32| 0xffff << 32 | u128::from(a);
    let tuple = CtTuple {
        src: if is_v6 { key.ct_ipv6_src() } else { mapped(key.ct_nw_src()) },
        dst: if is_v6 { key.ct_ipv6_dst() } else { mapped(key.ct_nw_dst()) },
        tp_src: key.ct_tp_src(),
        tp_dst: key.ct_tp_dst(),
        proto: key.ct_nw_proto(),
        is_ipv6: is_v6,
    };
    meta.in_port = OdpPort(key.in_port());
    (meta.recirc_id, meta.dp_hash) = (key.recirc_id(), key.dp_hash());
    (meta.skb_priority, meta.skb_mark) = (key.skb_priority(), key.pkt_mark());
    (meta.ct_state, meta.ct_zone) = (key.ct_state(), key.ct_zone());
    (meta.ct_mark, meta.ct_label) = (key.ct_mark(), key.ct_label());
    meta.ct_tuple = has_tuple.then_some(tuple);
    meta.tunnel = Fields::key(key);
    meta.packet_type = key.packet_type();
}

/// Tags of a key.
fn tags_of(key: &FlowKey) -> u8 {
    let tagged = |tci: u16| tci & eth::VLAN_CFI != 0;
    match (tagged(key.vlan_tci()), tagged(key.vlan2_tci())) {
        (false, _) => 0,
        (true, false) => 1,
        (true, true) => MAX_TAGS,
    }
}

/// Labels of a key: to the bottom of the stack, or all that there is room for.
fn labels_of(key: &FlowKey) -> usize {
    let bottom = LABELS.iter().position(|s| key.get(*s) & BOS != 0);
    bottom.map_or(LABELS.len(), |at| at.saturating_add(1))
}

/// The attribute of a key's transport header.
fn l4_of(key: &FlowKey) -> Option<u16> {
    if key.nw_frag() & Frag::LATER != 0 {
        return None;
    }
    match (key.eth_type(), key.nw_proto()) {
        (eth::TYPE_IPV4 | eth::TYPE_IPV6, ip::PROTO_TCP) => Some(attr::TCP),
        (eth::TYPE_IPV4 | eth::TYPE_IPV6, ip::PROTO_UDP) => Some(attr::UDP),
        (eth::TYPE_IPV4 | eth::TYPE_IPV6, ip::PROTO_SCTP) => Some(attr::SCTP),
        (eth::TYPE_IPV4, ip::PROTO_ICMP) => Some(attr::ICMP),
        (eth::TYPE_IPV6, ip::PROTO_ICMPV6) => Some(attr::ICMPV6),
        _ => None,
    }
}

const ND_SOLICIT: u16 = 135;
const ND_ADVERT: u16 = 136;

fn is_nd(key: &FlowKey) -> bool {
    l4_of(key) == Some(attr::ICMPV6) && matches!(key.tp_src(), ND_SOLICIT | ND_ADVERT) && key.tp_dst() == 0
}

/// Writes attributes: `key` says which, `values` what is in them.
struct Put<'a, 'b> {
    b: &'b mut Builder,
    key: &'a FlowKey,
    values: &'a FlowKey,
    mode: Mode,
}

impl Put<'_, '_> {
    fn put(&mut self, kind: u16) {
        if let Some(l) = layout(kind) {
            l.put(self.b, self.values, self.mode);
        }
    }

    /// An attribute that may be left out when it says nothing.
    fn put_if_any(&mut self, kind: u16) {
        if layout(kind).is_some_and(|l| l.any(self.values)) {
            self.put(kind);
        }
    }

    fn all(&mut self) {
        self.metadata();
        if self.key.packet_type() == 0 {
            self.put(attr::ETHERNET);
        }
        self.put_if_any(attr::PACKET_TYPE);
        self.tagged(0);
    }

    fn metadata(&mut self) {
        self.put(attr::RECIRC_ID);
        self.put_if_any(attr::DP_HASH);
        self.put_if_any(attr::PRIORITY);
        if self.key.tun_dst() != 0 || self.key.tun_ipv6_dst() != 0 || tunnel::any(self.values) {
            match self.mode {
                Mode::Value => tunnel::put(self.b, attr::TUNNEL, self.values),
                Mode::Mask => tunnel::put_mask(self.b, attr::TUNNEL, self.values, self.key),
            }
        }
        self.put(attr::IN_PORT);
        self.put_if_any(attr::SKB_MARK);
        for kind in [attr::CT_STATE, attr::CT_ZONE, attr::CT_MARK, attr::CT_LABELS] {
            self.put_if_any(kind);
        }
        let v6 = self.values.ct_ipv6_src() != 0 || self.values.ct_ipv6_dst() != 0;
        let v4 = self.values.ct_nw_src() != 0 || self.values.ct_nw_dst() != 0;
        if v6 || (!v4 && self.key.eth_type() == eth::TYPE_IPV6) {
            self.put_if_any(attr::CT_ORIG_TUPLE_IPV6);
        } else {
            self.put_if_any(attr::CT_ORIG_TUPLE_IPV4);
        }
    }

    /// The headers from tag `depth` on.
    fn tagged(&mut self, depth: u8) {
        let (tpid, tci) = match depth {
            0 => (slot::vlan_tpid, slot::vlan_tci),
            1 => (slot::vlan2_tpid, slot::vlan2_tci),
            _ => return self.untagged(),
        };
        if tags_of(self.key) > depth {
            self.b.put_be16(attr::ETHERTYPE, self.values.get(tpid) as u16);
            self.b.put_be16(attr::VLAN, self.values.get(tci) as u16);
            let nest = self.b.begin_plain_nest(attr::ENCAP);
            self.tagged(depth.saturating_add(1));
            self.b.end_nest(nest);
            return;
        }
        // What is left out is matched not to be there.
        if self.mode == Mode::Mask && self.values.get(tci) != tci.max() {
            self.b.put_be16(attr::VLAN, self.values.get(tci) as u16);
        }
        self.untagged();
    }

    fn untagged(&mut self) {
        if self.mode == Mode::Mask || self.key.eth_type() != eth::TYPE_NONE {
            self.b.put_be16(attr::ETHERTYPE, self.values.eth_type());
        }
        match self.key.eth_type() {
            eth::TYPE_IPV4 => self.put(attr::IPV4),
            eth::TYPE_IPV6 => self.put(attr::IPV6),
            eth::TYPE_ARP | eth::TYPE_RARP => self.put(attr::ARP),
            eth::TYPE_NSH => self.nsh(),
            t if eth::is_mpls(t) => self.mpls(),
            _ => {}
        }
        let Some(l4) = l4_of(self.key) else { return };
        self.put(l4);
        if l4 == attr::TCP {
            self.put(attr::TCP_FLAGS);
        }
        if is_nd(self.key) {
            self.put(attr::ND);
            self.put_if_any(attr::ND_EXTENSIONS);
        }
    }

    fn mpls(&mut self) {
        let mut bytes = [0; 4 * LABELS.len()];
        let n = labels_of(self.key);
        for (slot, to) in LABELS.iter().zip(bytes.chunks_exact_mut(4)).take(n) {
            to.copy_from_slice(&(self.values.get(*slot) as u32).to_be_bytes());
        }
        self.b.put(attr::MPLS, bytes.get(..n.saturating_mul(4)).unwrap_or_default());
    }

    fn nsh(&mut self) {
        let v = self.values;
        let path = v.nsh_spi() << 8 | u32::from(v.nsh_si());
        let [p0, p1, p2, p3] = path.to_be_bytes();
        let base = [v.nsh_flags(), v.nsh_ttl(), v.nsh_mdtype(), v.nsh_np(), p0, p1, p2, p3];
        let mut md1 = [0; 16];
        let context = [v.nsh_c1(), v.nsh_c2(), v.nsh_c3(), v.nsh_c4()];
        for (to, c) in md1.chunks_exact_mut(4).zip(context) {
            to.copy_from_slice(&c.to_be_bytes());
        }
        nest(self.b, attr::NSH, |b| {
            b.put(NSH_BASE, &base);
            if context != [0; 4] {
                b.put(NSH_MD1, &md1);
            }
        });
    }
}

/// Attributes seen, one bit each.
type Seen = u64;

/// Reads the attributes behind `depth` tags; `tags` is how many the key has, if that is known already.
fn level(attrs: Attrs<'_>, out: &mut FlowKey, mode: Mode, depth: u8, tags: u8) -> Result<Seen, AttrError> {
    let (tpid, tci) = match depth {
        0 => (slot::vlan_tpid, slot::vlan_tci),
        _ => (slot::vlan2_tpid, slot::vlan2_tci),
    };
    let mut seen: Seen = 0;
    let (mut ether_type, mut encap) = (None, None);
    for a in attrs {
        let a = a?;
        seen |= 1u64.checked_shl(u32::from(a.kind)).unwrap_or(0);
        match a.kind {
            attr::ETHERTYPE => ether_type = Some(sized(a, a.be16())?),
            attr::VLAN if depth < MAX_TAGS => out.set(tci, u128::from(sized(a, a.be16())?)),
            attr::ENCAP => encap = Some(a),
            attr::TUNNEL => tunnel::take(a.nested(), out, mode)?,
            attr::MPLS => take_mpls(a, out)?,
            attr::NSH => take_nsh(a, out)?,
            kind => layout(kind).ok_or(AttrErrorKind::Unknown.of(kind))?.take(a, out, mode)?,
        }
    }
    let tagged = match mode {
        Mode::Value => out.get(tci) as u16 & eth::VLAN_CFI != 0,
        Mode::Mask => tags > depth,
    };
    if tagged && depth < MAX_TAGS {
        out.set(tpid, u128::from(ether_type.unwrap_or(0)));
        let inner = match (encap, mode) {
            (Some(encap), _) => encap,
            (None, Mode::Mask) => return Ok(seen),
            (None, Mode::Value) => return Err(AttrErrorKind::Prerequisite.of(attr::VLAN)),
        };
        return Ok(seen | level(inner.nested(), out, mode, depth.saturating_add(1), tags)?);
    }
    if let Some(encap) = encap.filter(|e| !e.payload.is_empty()) {
        return Err(AttrErrorKind::Prerequisite.of(encap.kind));
    }
    // Without a type, the frame has a length there.
    let none = if mode == Mode::Value { eth::TYPE_NONE } else { 0 };
    out.set_eth_type(ether_type.unwrap_or(none));
    Ok(seen)
}

fn take_mpls(a: Attr<'_>, out: &mut FlowKey) -> Result<(), AttrError> {
    let n = a.payload.len() / 4;
    if n == 0 || !a.payload.len().is_multiple_of(4) {
        return Err(AttrErrorKind::Size.of(a.kind));
    }
    if n > LABELS.len() {
        return Err(AttrErrorKind::Value.of(a.kind));
    }
    for (slot, bytes) in LABELS.iter().zip(a.payload.chunks_exact(4)) {
        let lse = bytes.try_into().map_or(0, u32::from_be_bytes);
        out.set(*slot, u128::from(lse));
    }
    Ok(())
}

fn take_nsh(a: Attr<'_>, out: &mut FlowKey) -> Result<(), AttrError> {
    for inner in a.nested() {
        let inner = inner?;
        match (inner.kind, inner.payload) {
            (NSH_BASE, [flags, ttl, mdtype, np, p0, p1, p2, si]) => {
                out.set_nsh_flags(*flags);
                out.set_nsh_ttl(*ttl);
                out.set_nsh_mdtype(*mdtype);
                out.set_nsh_np(*np);
                out.set_nsh_spi(u32::from_be_bytes([0, *p0, *p1, *p2]));
                out.set_nsh_si(*si);
            }
            (NSH_MD1, bytes) if bytes.len() == 16 => {
                let slots = [slot::nsh_c1, slot::nsh_c2, slot::nsh_c3, slot::nsh_c4];
                for (slot, c) in slots.into_iter().zip(bytes.chunks_exact(4)) {
                    out.set(slot, u128::from(c.try_into().map_or(0, u32::from_be_bytes)));
                }
            }
            (NSH_BASE | NSH_MD1, _) => return Err(AttrErrorKind::Size.of(a.kind)),
            _ => return Err(AttrErrorKind::Unknown.of(a.kind)),
        }
    }
    Ok(())
}

/// Makes everything significant that the key's attributes say, and what their absence says.
fn exact(attrs: Attrs<'_>, key: &FlowKey, wc: &mut FlowKey) -> Result<(), AttrError> {
    for kind in
        [attr::RECIRC_ID, attr::IN_PORT, attr::CT_STATE, attr::CT_ZONE, attr::CT_MARK, attr::CT_LABELS]
    {
        layout(kind).into_iter().for_each(|l: &Layout| l.fill(wc));
    }
    // Every tunnel field: the words before the priority, what shares its word, and the options.
    wc.words_mut().iter_mut().take(usize::from(slot::tun_erspan_ver.word)).for_each(|w| *w = u64::MAX);
    for s in [
        slot::tun_gbp_id,
        slot::tun_gbp_flags,
        slot::tun_erspan_ver,
        slot::tun_erspan_idx,
        slot::tun_erspan_dir,
        slot::tun_erspan_hwid,
        slot::tun_gtpu_flags,
        slot::tun_gtpu_msgtype,
        slot::tun_opts_len,
    ] {
        wc.set(s, s.max());
    }
    if key.tun_opts_len() != 0 {
        slot::TUN_OPTS.iter().for_each(|s| wc.set(*s, s.max()));
    }
    wc.set(slot::eth_type, u128::MAX);
    wc.set(slot::vlan_tci, u128::MAX);
    if tags_of(key) > 0 {
        wc.set(slot::vlan_tpid, u128::MAX);
        wc.set(slot::vlan2_tci, u128::MAX);
    }
    if tags_of(key) > 1 {
        wc.set(slot::vlan2_tpid, u128::MAX);
    }
    fill_given(attrs, wc, 0)
}

fn fill_given(attrs: Attrs<'_>, wc: &mut FlowKey, depth: u8) -> Result<(), AttrError> {
    for a in attrs {
        let a = a?;
        match a.kind {
            attr::ENCAP if depth < MAX_TAGS => fill_given(a.nested(), wc, depth.saturating_add(1))?,
            attr::MPLS => LABELS.iter().take(a.payload.len() / 4).for_each(|s| wc.set(*s, s.max())),
            attr::NSH => slot::NSH.iter().for_each(|s| wc.set(*s, s.max())),
            kind => layout(kind).into_iter().for_each(|l| l.fill(wc)),
        }
    }
    Ok(())
}

/// Checks that the attributes of a key go together.
fn check(seen: Seen, key: &FlowKey) -> Result<(), AttrError> {
    let has = |kind: u16| seen & 1u64.checked_shl(u32::from(kind)).unwrap_or(0) != 0;
    let l3 = [
        (attr::IPV4, key.eth_type() == eth::TYPE_IPV4),
        (attr::IPV6, key.eth_type() == eth::TYPE_IPV6),
        (attr::ARP, matches!(key.eth_type(), eth::TYPE_ARP | eth::TYPE_RARP)),
        (attr::MPLS, eth::is_mpls(key.eth_type())),
        (attr::NSH, key.eth_type() == eth::TYPE_NSH),
    ];
    let l4 = l4_of(key);
    let l4 =
        [attr::TCP, attr::UDP, attr::SCTP, attr::ICMP, attr::ICMPV6].map(|kind| (kind, l4 == Some(kind)));
    let rest = [
        (attr::TCP_FLAGS, has(attr::TCP)),
        (attr::ND, has(attr::ICMPV6)),
        (attr::ND_EXTENSIONS, has(attr::ND)),
    ];
    match l3.into_iter().chain(l4).chain(rest).find(|(kind, fits)| has(*kind) && !fits) {
        Some((kind, _)) => Err(AttrErrorKind::Prerequisite.of(kind)),
        None => Ok(()),
    }
}
