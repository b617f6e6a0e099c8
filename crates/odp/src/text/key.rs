//! The text form of a datapath flow key, with or without mask.
//!
//! Where it sits: upcall logs print keys without a mask ([`KeyText`]), dumps print megaflows ([`FlowText`]).
//!
//! The order of the groups is Open vSwitch 3.2's and later: recirc_id, dp_hash, skb_priority, tunnel, in_port,
//! skb_mark, ct_state …, packet_type, eth, …

use core::fmt;

use flow::extract::options_of;
use flow::{FlowKey, Match, Slot, Wildcards, slot};
use packet::OdpPort;
use wire::{eth, mpls};

use super::actions::Hex;
use super::{Names, Parts, TCP_FLAGS, TUNNEL_FLAGS, flags};

/// A key without mask: every group that the packet has.
pub struct KeyText<'a>(pub &'a FlowKey);

/// A megaflow: only what it matches, `recirc_id` always.
pub struct FlowText<'a>(pub &'a Match);

/// How much of a megaflow is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Extent {
    /// What it matches.
    #[default]
    Matched,
    /// What it does not match as well, with a mask of zero.
    Everything,
}

/// A megaflow as dumps are asked for it.
pub struct FlowDump<'a> {
    /// The megaflow.
    pub matched: &'a Match,
    /// How much of it.
    pub extent: Extent,
    /// Names of ports, if they are wanted.
    pub names: Option<Names<'a>>,
}

impl fmt::Display for KeyText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Groups { key: self.0, wc: None, extent: Extent::Matched, names: None, f, sep: "" }.all()
    }
}

impl fmt::Display for FlowText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        FlowDump { matched: self.0, extent: Extent::Matched, names: None }.fmt(f)
    }
}

impl fmt::Display for FlowDump<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FlowDump { matched, extent, names } = *self;
        Groups { key: &matched.key, wc: Some(&matched.wc), extent, names, f, sep: "" }.all()
    }
}

struct Groups<'a, 'f> {
    key: &'a FlowKey,
    wc: Option<&'a Wildcards>,
    extent: Extent,
    names: Option<Names<'a>>,
    f: &'a mut fmt::Formatter<'f>,
    sep: &'static str,
}

impl Groups<'_, '_> {
    /// Value and mask of a slot; the mask is all ones where the key has none.
    fn get(&self, s: Slot) -> (u64, u64) {
        (self.key.get(s) as u64, self.wc.map_or(s.max() as u64, |wc| wc.get(s) as u64))
    }

    fn get128(&self, s: Slot) -> (u128, u128) {
        (self.key.get(s), self.wc.map_or(u128::MAX, |wc| wc.get(s)))
    }

    fn eth_addr(&self, s: Slot) -> (wire::EthAddr, wire::EthAddr) {
        let (v, m) = self.get(s);
        (wire::EthAddr::from_u64(v), wire::EthAddr::from_u64(m))
    }

    fn is_whole(&self) -> bool {
        self.extent == Extent::Everything
    }

    fn matched(&self, slots: &[Slot]) -> bool {
        self.is_whole() || self.wc.is_none_or(|wc| slots.iter().any(|s| wc.get(*s) != 0))
    }

    fn open(&mut self, name: &str) -> fmt::Result {
        let sep = core::mem::replace(&mut self.sep, ",");
        write!(self.f, "{sep}{name}(")
    }

    fn close(&mut self) -> fmt::Result {
        self.f.write_str(")")
    }

    /// A group with one hexadecimal number.
    fn number(&mut self, name: &str, s: Slot) -> fmt::Result {
        let (v, m) = self.get128(s);
        if m == 0 && !self.is_whole() {
            return Ok(());
        }
        self.open(name)?;
        write!(self.f, "{}", Hex(v))?;
        if m & s.max() != s.max() {
            write!(self.f, "/{}", Hex(m & s.max()))?;
        }
        self.close()
    }

    /// A group of parts.
    fn parts(&mut self, name: &str, write: impl FnOnce(&mut Parts<'_, '_>) -> fmt::Result) -> fmt::Result {
        self.open(name)?;
        let all = self.is_whole();
        write(&mut Parts { f: self.f, sep: "", all })?;
        self.close()
    }

    fn all(mut self) -> fmt::Result {
        self.metadata()?;
        self.ethernet()?;
        let (tci, tci_mask) = self.get(slot::vlan_tci);
        let tagged = tci & u64::from(eth::VLAN_CFI) != 0;
        if !tagged {
            if self.wc.is_some() && tci_mask != 0 && self.get(slot::eth_type).1 == 0 {
                self.parts("vlan", |p| p.hex("tci", (tci, tci_mask), 0xffff))?;
            }
            return self.type_and_payload();
        }
        self.tag(slot::vlan_tpid, slot::vlan_tci)?;
        self.encap_open()?;
        let inner = self.key.vlan2_tci() & eth::VLAN_CFI != 0;
        if inner {
            self.tag(slot::vlan2_tpid, slot::vlan2_tci)?;
            self.encap_open()?;
        }
        self.type_and_payload()?;
        if inner {
            self.close()?;
        }
        self.close()
    }

    fn encap_open(&mut self) -> fmt::Result {
        self.open("encap")?;
        self.sep = "";
        Ok(())
    }

    fn tag(&mut self, tpid: Slot, tci: Slot) -> fmt::Result {
        let (tpid, tpid_mask) = self.get(tpid);
        if tpid_mask != 0 {
            self.open("eth_type")?;
            write!(self.f, "{tpid:#06x}")?;
            self.close()?;
        }
        let (tci, mask) = self.get(tci);
        if mask == 0 {
            return Ok(());
        }
        self.parts("vlan", |p| {
            p.dec("vid", (tci & 0xfff, mask & 0xfff), 0xfff)?;
            p.dec("pcp", (tci >> 13, mask >> 13), 7)
        })
    }

    fn metadata(&mut self) -> fmt::Result {
        self.open("recirc_id")?;
        let (id, mask) = self.get(slot::recirc_id);
        if id == 0 {
            self.f.write_str("0")?
        } else {
            write!(self.f, "{id:#x}")?
        }
        if mask != 0xffff_ffff && mask != 0 {
            write!(self.f, "/{mask:#x}")?;
        }
        self.close()?;
        if self.wc.is_some() || self.key.dp_hash() != 0 {
            self.number("dp_hash", slot::dp_hash)?;
        }
        if self.wc.is_some() || self.key.skb_priority() != 0 {
            self.number("skb_priority", slot::skb_priority)?;
        }
        self.tunnel()?;
        let (port, mask) = self.get(slot::in_port);
        if mask != 0 {
            self.open("in_port")?;
            super::port(self.f, OdpPort(port as u32), self.names)?;
            self.close()?;
        }
        if self.wc.is_some() || self.key.pkt_mark() != 0 {
            self.number("skb_mark", slot::pkt_mark)?;
        }
        self.conntrack()?;
        if self.wc.is_some() && self.get(slot::packet_type).1 != 0 || self.key.packet_type() != 0 {
            let pt = self.key.packet_type();
            self.open("packet_type")?;
            write!(self.f, "ns={},id={}", pt >> 16, PacketTypeId(pt))?;
            self.close()?;
        }
        Ok(())
    }

    fn conntrack(&mut self) -> fmt::Result {
        let (state, mask) = self.get(slot::ct_state);
        let untracked = self.wc.is_none() && state == 0;
        if mask != 0 && !untracked {
            self.open("ct_state")?;
            flags(self.f, &flow::ct_state::NAMES, state, self.wc.map(|_| mask))?;
            self.close()?;
        } else if self.is_whole() {
            self.open("ct_state")?;
            self.f.write_str("0/0")?;
            self.close()?;
        }
        if untracked {
            return Ok(());
        }
        self.number("ct_zone", slot::ct_zone)?;
        self.number("ct_mark", slot::ct_mark)?;
        self.number("ct_label", slot::ct_label)?;
        self.ct_tuple()
    }

    fn ct_tuple(&mut self) -> fmt::Result {
        use slot::{ct_ipv6_dst, ct_ipv6_src, ct_nw_dst, ct_nw_proto, ct_nw_src, ct_tp_dst, ct_tp_src};
        let any = [ct_nw_proto, ct_nw_src, ct_nw_dst, ct_ipv6_src, ct_ipv6_dst, ct_tp_src, ct_tp_dst];
        if self.key.ct_nw_proto() == 0 || !self.matched(&any) {
            return Ok(());
        }
        let ipv6 = self.key.ct_ipv6_src() != 0 || self.key.ct_ipv6_dst() != 0;
        let (v4, v6) = (
            [self.get(ct_nw_src), self.get(ct_nw_dst)].map(|(v, m)| (v as u32, m as u32)),
            [self.get128(ct_ipv6_src), self.get128(ct_ipv6_dst)],
        );
        let (proto, src, dst) = (self.get(ct_nw_proto), self.get(ct_tp_src), self.get(ct_tp_dst));
        self.parts(if ipv6 { "ct_tuple6" } else { "ct_tuple4" }, |p| {
            if ipv6 {
                p.ipv6("src", v6[0])?;
                p.ipv6("dst", v6[1])?;
            } else {
                p.ipv4("src", v4[0])?;
                p.ipv4("dst", v4[1])?;
            }
            p.dec("proto", proto, 0xff)?;
            p.dec("tp_src", src, 0xffff)?;
            p.dec("tp_dst", dst, 0xffff)
        })
    }

    fn tunnel(&mut self) -> fmt::Result {
        let all = [slot::tun_id, slot::tun_src, slot::tun_dst, slot::tun_ipv6_src, slot::tun_ipv6_dst];
        let present = self.key.tun_dst() != 0 || self.key.tun_ipv6_dst() != 0;
        let flag_slots = [slot::tun_flags, slot::tun_tos, slot::tun_ttl, slot::tun_tp_src, slot::tun_tp_dst];
        if !present || !(self.matched(&all) || self.matched(&flag_slots)) {
            return Ok(());
        }
        let [id, src, dst] = [all[0], all[1], all[2]].map(|s| self.get(s));
        let [src6, dst6] = [all[3], all[4]].map(|s| self.get128(s));
        let [flag, tos, ttl, tp_src, tp_dst] = flag_slots.map(|s| self.get(s));
        let (masked, v4) = (self.wc.is_some(), self.key.tun_dst() != 0);
        let (key, wc) = (self.key, self.wc);
        self.parts("tunnel", |p| {
            p.hex("tun_id", id, u64::MAX)?;
            if v4 {
                p.ipv4("src", (src.0 as u32, src.1 as u32))?;
                p.ipv4("dst", (dst.0 as u32, dst.1 as u32))?;
            } else {
                p.ipv6("ipv6_src", src6)?;
                p.ipv6("ipv6_dst", dst6)?;
            }
            p.bare_hex("tos", tos, 0xff)?;
            p.dec("ttl", ttl, 0xff)?;
            p.dec("tp_src", tp_src, 0xffff)?;
            p.dec("tp_dst", tp_dst, 0xffff)?;
            extensions(p, key, wc)?;
            if flag.1 == 0 {
                return Ok(());
            }
            p.sep()?;
            p.f.write_str("flags(")?;
            flags(p.f, &TUNNEL_FLAGS, flag.0, masked.then_some(flag.1))?;
            p.f.write_str(")")
        })
    }

    fn ethernet(&mut self) -> fmt::Result {
        let (src, dst) = (self.eth_addr(slot::eth_src), self.eth_addr(slot::eth_dst));
        if self.key.packet_type() != 0 || !self.matched(&[slot::eth_src, slot::eth_dst]) {
            return Ok(());
        }
        self.parts("eth", |p| {
            p.eth("src", src)?;
            p.eth("dst", dst)
        })
    }

    fn type_and_payload(&mut self) -> fmt::Result {
        let (eth_type, mask) = self.get(slot::eth_type);
        if mask != 0 && eth_type != u64::from(eth::TYPE_NONE) {
            self.open("eth_type")?;
            write!(self.f, "{eth_type:#06x}")?;
            self.close()?;
        }
        match eth_type as u16 {
            eth::TYPE_IPV4 => self.ipv4(),
            eth::TYPE_IPV6 => self.ipv6(),
            eth::TYPE_ARP | eth::TYPE_RARP => self.arp(),
            eth::TYPE_NSH => self.nsh(),
            t if eth::is_mpls(t) => self.mpls(),
            _ => Ok(()),
        }
    }

    fn nsh(&mut self) -> fmt::Result {
        let first =
            [slot::nsh_flags, slot::nsh_ttl, slot::nsh_mdtype, slot::nsh_np, slot::nsh_spi, slot::nsh_si];
        let context = [slot::nsh_c1, slot::nsh_c2, slot::nsh_c3, slot::nsh_c4];
        if !self.matched(&first) && !self.matched(&context) {
            return Ok(());
        }
        let [flags, ttl, md, np, spi, si] = first.map(|s| self.get(s));
        let context = context.map(|s| self.get(s));
        let has_context = self.wc.is_some() || self.key.nsh_mdtype() == wire::nsh::MD_TYPE1;
        self.parts("nsh", |p| {
            p.dec("flags", flags, 0xff)?;
            p.dec("ttl", ttl, 0xff)?;
            p.dec("mdtype", md, 0xff)?;
            p.dec("np", np, 0xff)?;
            p.hex("spi", spi, 0xff_ffff)?;
            p.dec("si", si, 0xff)?;
            if has_context {
                for (name, vm) in ["c1", "c2", "c3", "c4"].iter().zip(context) {
                    p.hex(name, vm, 0xffff_ffff)?;
                }
            }
            Ok(())
        })
    }

    /// The labels one after the other; with masks unless all of all labels matters.
    fn mpls(&mut self) -> fmt::Result {
        const LABELS: [Slot; 3] = [slot::mpls_lse0, slot::mpls_lse1, slot::mpls_lse2];
        let labels = LABELS.map(|s| self.get(s)).map(|(lse, mask)| (lse as u32, mask as u32));
        // Of a packet the labels end at the bottom of the stack, of a match with the last one that it looks at.
        let last = match self.wc {
            None => labels.iter().position(|(lse, _)| lse & mpls::BOTTOM != 0).or(Some(labels.len() - 1)),
            Some(_) => labels.iter().rposition(|(_, mask)| *mask != 0),
        };
        let Some(labels) = last.and_then(|last| labels.get(..=last)) else { return Ok(()) };
        let is_exact = labels.iter().all(|(_, mask)| *mask == u32::MAX);
        self.parts("mpls", |p| {
            for (lse, mask) in labels {
                for (name, shift, max) in
                    [("label", 12, 0xfffff), ("tc", 9, 7), ("ttl", 0, 0xff), ("bos", 8, 1)]
                {
                    write!(p.f, "{}{name}={}", p.sep, lse >> shift & max)?;
                    p.sep = ",";
                    let mask = mask >> shift & max;
                    match max {
                        _ if is_exact => {}
                        1 | 7 => write!(p.f, "/{mask}")?,
                        _ => write!(p.f, "/{mask:#x}")?,
                    }
                }
            }
            Ok(())
        })
    }

    fn arp(&mut self) -> fmt::Result {
        let slots = [slot::nw_src, slot::nw_dst, slot::nw_proto, slot::arp_sha, slot::arp_tha];
        if !self.matched(&slots) {
            return Ok(());
        }
        let [sip, tip] = [slot::nw_src, slot::nw_dst].map(|s| self.get(s)).map(|(v, m)| (v as u32, m as u32));
        let op = self.get(slot::nw_proto);
        let op_exact = if self.wc.is_some() { 0xffff } else { 0xff };
        let [sha, tha] = [slot::arp_sha, slot::arp_tha].map(|s| self.eth_addr(s));
        self.parts("arp", |p| {
            p.ipv4("sip", sip)?;
            p.ipv4("tip", tip)?;
            p.dec("op", op, op_exact)?;
            p.eth("sha", sha)?;
            p.eth("tha", tha)
        })
    }

    fn ipv4(&mut self) -> fmt::Result {
        let slots = [slot::nw_proto, slot::nw_tos, slot::nw_ttl];
        if !self.matched(&[slot::nw_src, slot::nw_dst, slot::nw_frag]) && !self.matched(&slots) {
            return Ok(());
        }
        let [src, dst] = [slot::nw_src, slot::nw_dst].map(|s| self.get(s)).map(|(v, m)| (v as u32, m as u32));
        let [proto, tos, ttl] = slots.map(|s| self.get(s));
        let frag = self.frag();
        self.parts("ipv4", |p| {
            p.ipv4("src", src)?;
            p.ipv4("dst", dst)?;
            p.dec("proto", proto, 0xff)?;
            p.bare_hex("tos", tos, 0xff)?;
            p.dec("ttl", ttl, 0xff)?;
            p.frag(frag)
        })?;
        self.transport()
    }

    fn ipv6(&mut self) -> fmt::Result {
        let slots = [slot::ipv6_label, slot::nw_proto, slot::nw_tos, slot::nw_ttl];
        if !self.matched(&[slot::ipv6_src, slot::ipv6_dst, slot::nw_frag]) && !self.matched(&slots) {
            return Ok(());
        }
        let [src, dst] = [slot::ipv6_src, slot::ipv6_dst].map(|s| self.get128(s));
        let [label, proto, tos, ttl] = slots.map(|s| self.get(s));
        let frag = self.frag();
        self.parts("ipv6", |p| {
            p.ipv6("src", src)?;
            p.ipv6("dst", dst)?;
            p.bare_hex("label", (label.0, label.1 & 0xfffff), 0xfffff)?;
            p.dec("proto", proto, 0xff)?;
            p.bare_hex("tclass", tos, 0xff)?;
            p.dec("hlimit", ttl, 0xff)?;
            p.frag(frag)
        })?;
        self.transport()
    }

    fn frag(&self) -> (u8, u8) {
        let (v, m) = self.get(slot::nw_frag);
        (v as u8, m as u8)
    }

    fn transport(&mut self) -> fmt::Result {
        let (src, dst) = (self.get(slot::tp_src), self.get(slot::tp_dst));
        let v6 = self.key.eth_type() == eth::TYPE_IPV6;
        let ports = [slot::tp_src, slot::tp_dst];
        if self.key.nw_frag() & flow::Frag::LATER != 0 || self.get(slot::nw_proto).1 == 0 {
            return Ok(());
        }
        let (name, a, b, max) = match (self.key.nw_proto(), v6) {
            (6, _) => ("tcp", "src", "dst", 0xffff),
            (17, _) => ("udp", "src", "dst", 0xffff),
            (132, _) => ("sctp", "src", "dst", 0xffff),
            (1, false) => ("icmp", "type", "code", 0xff),
            (58, true) => ("icmpv6", "type", "code", 0xff),
            _ => return Ok(()),
        };
        let cut = |(v, m): (u64, u64)| (v & max, m & max);
        if self.matched(&ports) {
            self.parts(name, |p| {
                p.dec(a, cut(src), max)?;
                p.dec(b, cut(dst), max)
            })?;
        }
        match (name, self.key.tp_src()) {
            ("tcp", _) => self.tcp_flags(),
            ("icmpv6", 135 | 136) => self.nd(),
            _ => Ok(()),
        }
    }

    fn tcp_flags(&mut self) -> fmt::Result {
        let (value, mask) = self.get(slot::tcp_flags);
        if mask & 0xfff == 0 {
            return Ok(());
        }
        self.open("tcp_flags")?;
        let partial = self.wc.is_some() && mask & 0xfff != 0xfff;
        flags(self.f, &TCP_FLAGS, value, partial.then_some(mask))?;
        self.close()
    }

    fn nd(&mut self) -> fmt::Result {
        if self.matched(&[slot::nd_target, slot::arp_sha, slot::arp_tha]) {
            let target = self.get128(slot::nd_target);
            let [sll, tll] = [slot::arp_sha, slot::arp_tha].map(|s| self.eth_addr(s));
            self.parts("nd", |p| {
                p.ipv6("target", target)?;
                p.eth("sll", sll)?;
                p.eth("tll", tll)
            })?;
        }
        let [reserved, kind] = [slot::nd_reserved, slot::nd_options_type].map(|s| self.get(s));
        let has_any = self.wc.is_some() || (reserved.0, kind.0) != (0, 0);
        if !has_any || !self.matched(&[slot::nd_reserved, slot::nd_options_type]) {
            return Ok(());
        }
        self.parts("nd_ext", |p| {
            p.hex("nd_reserved", reserved, 0xffff_ffff)?;
            p.dec("nd_options_type", kind, 0xff)
        })
    }
}

/// What a tunnel's protocol has beside key and addresses.
fn extensions(p: &mut Parts<'_, '_>, key: &FlowKey, wc: Option<&Wildcards>) -> fmt::Result {
    let mask = |s: Slot| wc.map_or(s.max(), |wc| wc.get(s));
    let all = |slots: &[Slot]| slots.iter().any(|s| key.get(*s) & mask(*s) != 0);
    if all(&[slot::tun_gbp_id, slot::tun_gbp_flags]) {
        p.sep()?;
        write!(p.f, "vxlan(gbp(id={},flags={}))", key.tun_gbp_id(), Hex(key.tun_gbp_flags().into()))?;
    }
    if all(&[slot::tun_opts_len]) {
        p.sep()?;
        p.f.write_str("geneve(")?;
        super::tunnel::options(p.f, options_of(key).iter())?;
        p.f.write_str(")")?;
    }
    if all(&[slot::tun_erspan_ver]) {
        p.sep()?;
        match key.tun_erspan_ver() {
            1 => write!(p.f, "erspan(ver=1,idx={:#x})", key.tun_erspan_idx())?,
            _ => write!(p.f, "erspan(ver=2,dir={},hwid={:#x})", key.tun_erspan_dir(), key.tun_erspan_hwid())?,
        }
    }
    if all(&[slot::tun_gtpu_flags, slot::tun_gtpu_msgtype]) {
        p.sep()?;
        write!(p.f, "gtpu(flags={:#x},msgtype={})", key.tun_gtpu_flags(), key.tun_gtpu_msgtype())?;
    }
    Ok(())
}

/// The type part of a packet type: decimal zero, otherwise hexadecimal.
struct PacketTypeId(u32);

impl fmt::Display for PacketTypeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 & 0xffff {
            0 => f.write_str("0"),
            id => write!(f, "{id:#x}"),
        }
    }
}
