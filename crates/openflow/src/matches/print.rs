//! The text of a match, as `ovs-ofctl dump-flows` prints it.
//!
//! Where it sits: flow statistics, flow mods in logs, and `ofproto/trace`. The order and the forms are an interface:
//! scripts read them.

use std::fmt::Write;

use flow::{Field, Match};
use wire::eth::{self, VLAN_CFI, VLAN_PCP_MASK, VLAN_VID_MASK};

use crate::text::values::{self, Hex};
use crate::{FlowMod, Names, OfpPort, field};

/// The text of a match with its priority; the default priority is left out.
pub fn format(m: &Match, priority: u16, names: &Names) -> String {
    let mut p = Printer { out: String::new(), m, names };
    if priority != FlowMod::DEFAULT_PRIORITY {
        p.item("priority", priority);
    }
    p.metadata();
    let (skip_type, skip_proto) = p.protocol();
    p.pipeline();
    p.ethernet(skip_type);
    p.network(skip_proto);
    p.transport();
    p.out.pop();
    p.out
}

/// Collects items, each followed by a comma.
struct Printer<'a> {
    out: String,
    m: &'a Match,
    names: &'a Names,
}

impl Printer<'_> {
    fn item(&mut self, name: &str, value: impl std::fmt::Display) {
        // Writing to a string does not fail.
        let _ = write!(self.out, "{name}={value},");
    }

    fn word(&mut self, word: &str) {
        self.out.push_str(word);
        self.out.push(',');
    }

    /// A number in decimal; under a mask, both in hexadecimal.
    fn decimal(&mut self, name: &str, f: Field) {
        let (value, mask) = field::get_masked(f, self.m);
        if mask == field::full_mask(f) {
            self.item(name, value.low());
        } else if !mask.is_empty() {
            self.item(name, format_args!("0x{value:x}/0x{mask:x}"));
        }
    }

    /// A number in hexadecimal.
    fn hex(&mut self, name: &str, f: Field) {
        let (value, mask) = field::get_masked(f, self.m);
        if mask.is_empty() {
            return;
        }
        if field::is_exact(f, self.m) {
            self.item(name, Hex(value));
        } else {
            self.item(name, format_args!("{}/{}", Hex(value), Hex(mask)));
        }
    }

    /// In the field's own form.
    fn own(&mut self, name: &str, f: Field) {
        let (value, mask) = field::get_masked(f, self.m);
        if !mask.is_empty() {
            let _ = write!(self.out, "{name}=");
            values::print(&mut self.out, f.def(), &value, &mask, self.names);
            self.out.push(',');
        }
    }

    /// What the datapath and the connection tracker know of the packet.
    fn metadata(&mut self) {
        self.hex("pkt_mark", Field::PktMark);
        self.hex("recirc_id", Field::RecircId);
        self.hex("dp_hash", Field::DpHash);
        self.decimal("conj_id", Field::ConjId);
        self.hex("skb_priority", Field::SkbPriority);
        if self.m.wc.actset_output() != 0 {
            self.item("actset_output", self.names.port(OfpPort(self.m.key.actset_output())));
        }
        self.own("ct_state", Field::CtState);
        self.decimal("ct_zone", Field::CtZone);
        self.hex("ct_mark", Field::CtMark);
        self.hex("ct_label", Field::CtLabel);
        for f in [Field::CtNwSrc, Field::CtIpv6Src, Field::CtNwDst, Field::CtIpv6Dst] {
            self.own(f.def().name, f);
        }
        for f in [Field::CtNwProto, Field::CtTpSrc, Field::CtTpDst] {
            self.decimal(f.def().name, f);
        }
    }

    /// The packet type and the name of the protocol. Returns whether the Ethernet type, and the IP protocol, have
    /// been said by it.
    fn protocol(&mut self) -> (bool, bool) {
        let (key, wc) = (&self.m.key, &self.m.wc);
        if wc.packet_type() != 0 {
            let pt = key.packet_type();
            if pt != field::PT_ETH {
                self.item("packet_type", values::PacketType(pt));
                return (pt >> 16 == field::PT_NS_ETHERTYPE, false);
            }
            // Matches of the datapath say it, those of OpenFlow mean it.
            if wc.recirc_id() != 0 {
                self.word("eth");
            }
        }
        if wc.eth_type() == 0 {
            return (false, false);
        }
        let proto = if wc.nw_proto() == 0 { None } else { Some(key.nw_proto()) };
        let (word, says_proto) = match (key.eth_type(), proto) {
            (eth::TYPE_IPV4, Some(1)) => ("icmp", true),
            (eth::TYPE_IPV4, Some(2)) => ("igmp", true),
            (eth::TYPE_IPV4, Some(6)) => ("tcp", true),
            (eth::TYPE_IPV4, Some(17)) => ("udp", true),
            (eth::TYPE_IPV4, Some(132)) => ("sctp", true),
            (eth::TYPE_IPV4, _) => ("ip", false),
            (eth::TYPE_IPV6, Some(58)) => ("icmp6", true),
            (eth::TYPE_IPV6, Some(6)) => ("tcp6", true),
            (eth::TYPE_IPV6, Some(17)) => ("udp6", true),
            (eth::TYPE_IPV6, Some(132)) => ("sctp6", true),
            (eth::TYPE_IPV6, _) => ("ipv6", false),
            (eth::TYPE_ARP, _) => ("arp", false),
            (eth::TYPE_RARP, _) => ("rarp", false),
            (eth::TYPE_MPLS, _) => ("mpls", false),
            (eth::TYPE_MPLS_MCAST, _) => ("mplsm", false),
            _ => return (false, false),
        };
        self.word(word);
        (true, says_proto)
    }

    /// Registers, tunnel, metadata, ingress port.
    fn pipeline(&mut self) {
        for n in 0..32 {
            if let Some(def) = Field::by_name(&format!("reg{n}")) {
                self.hex(def.name, def.field);
            }
        }
        self.hex("tun_id", Field::TunId);
        for f in [Field::TunSrc, Field::TunDst, Field::TunIpv6Src, Field::TunIpv6Dst] {
            self.own(f.def().name, f);
        }
        self.decimal("tun_gbp_id", Field::TunGbpId);
        self.hex("tun_gbp_flags", Field::TunGbpFlags);
        self.decimal("tun_tos", Field::TunTos);
        self.decimal("tun_ttl", Field::TunTtl);
        self.decimal("tun_erspan_ver", Field::TunErspanVer);
        self.hex("tun_erspan_idx", Field::TunErspanIdx);
        self.decimal("tun_erspan_dir", Field::TunErspanDir);
        self.hex("tun_erspan_hwid", Field::TunErspanHwid);
        self.hex("gtpu_flags", Field::TunGtpuFlags);
        self.decimal("gtpu_msgtype", Field::TunGtpuMsgtype);
        let (flags, mask) = (self.m.key.tun_flags(), self.m.wc.tun_flags());
        if mask & values::TUNNEL_KEY_FLAGS != 0 {
            self.item("tun_flags", values::tunnel_flags(flags, mask));
        }
        for f in field::options(self.m) {
            if field::is_wild(f, self.m) {
                self.word(f.def().name);
            }
            self.hex(f.def().name, f);
        }
        self.hex("metadata", Field::Metadata);
        if self.m.wc.in_port() != 0 {
            self.item("in_port", self.names.port(OfpPort(self.m.key.in_port())));
        }
    }

    /// The second tag, which flows do not match and packets have.
    fn inner_vlan(&mut self) {
        let (tci, mask) = (self.m.key.vlan2_tci(), self.m.wc.vlan2_tci());
        if mask == u16::MAX && tci & VLAN_CFI != 0 {
            self.item("dl_vlan1", tci & VLAN_VID_MASK);
            self.item("dl_vlan_pcp1", tci >> 13);
        } else if mask != 0 {
            self.item("vlan_tci1", format_args!("0x{tci:04x}"));
        }
    }

    fn vlan(&mut self) {
        let (tci, mask) = (self.m.key.vlan_tci(), self.m.wc.vlan_tci());
        if mask == 0 {
            return;
        }
        let (vid, pcp) = (mask & VLAN_VID_MASK, mask & VLAN_PCP_MASK);
        let whole = (vid == 0 || vid == VLAN_VID_MASK) && (pcp == 0 || pcp == VLAN_PCP_MASK);
        let tagged = mask & tci & VLAN_CFI != 0;
        if tagged && whole && (vid != 0 || pcp != 0) {
            if vid != 0 {
                self.item("dl_vlan", tci & VLAN_VID_MASK);
            }
            if pcp != 0 {
                self.item("dl_vlan_pcp", tci >> 13);
            }
        } else if mask == u16::MAX {
            self.item("vlan_tci", format_args!("0x{tci:04x}"));
        } else {
            self.item("vlan_tci", format_args!("0x{tci:04x}/0x{mask:04x}"));
        }
    }

    fn ethernet(&mut self, skip_type: bool) {
        self.vlan();
        self.inner_vlan();
        self.own("dl_src", Field::EthSrc);
        self.own("dl_dst", Field::EthDst);
        if !skip_type && self.m.wc.eth_type() != 0 {
            self.item("dl_type", format_args!("0x{:04x}", self.m.key.eth_type()));
        }
    }

    fn network(&mut self, skip_proto: bool) {
        let ty = field::eth_type(self.m);
        let arp = matches!(ty, eth::TYPE_ARP | eth::TYPE_RARP);
        let (src, dst) = if arp { ("arp_spa", "arp_tpa") } else { ("nw_src", "nw_dst") };
        if ty == eth::TYPE_IPV6 {
            self.own("ipv6_src", Field::Ipv6Src);
            self.own("ipv6_dst", Field::Ipv6Dst);
            let (label, mask) = field::get_masked(Field::Ipv6Label, self.m);
            match (label.low(), mask.low()) {
                (_, 0) => {}
                (label, 0xf_ffff) => self.item("ipv6_label", format_args!("0x{label:05x}")),
                (label, mask) => self.item("ipv6_label", format_args!("0x{label:05x}/0x{mask:05x}")),
            }
        } else {
            self.own(src, Field::IpSrc);
            self.own(dst, Field::IpDst);
        }
        if !skip_proto {
            self.decimal(if arp { "arp_op" } else { "nw_proto" }, Field::NwProto);
        }
        if arp {
            self.own("arp_sha", Field::ArpSha);
            self.own("arp_tha", Field::ArpTha);
        }
        if ty == eth::TYPE_NSH {
            self.nsh();
        }
        if self.m.wc.nw_tos() & 0xfc != 0 {
            self.item("nw_tos", self.m.key.nw_tos() & 0xfc);
        }
        self.decimal("nw_ecn", Field::NwEcn);
        self.decimal("nw_ttl", Field::NwTtl);
        self.decimal("mpls_label", Field::MplsLabel);
        self.decimal("mpls_tc", Field::MplsTc);
        self.decimal("mpls_ttl", Field::MplsTtl);
        self.decimal("mpls_bos", Field::MplsBos);
        for (name, slot) in [("mpls_lse1", flow::slot::mpls_lse1), ("mpls_lse2", flow::slot::mpls_lse2)] {
            match (self.m.key.get(slot), self.m.wc.get(slot)) {
                (_, 0) => {}
                (lse, 0xffff_ffff) => self.item(name, lse),
                (lse, mask) => self.item(name, format_args!("{lse:#010x}/{mask:#010x}")),
            }
        }
        self.own("nw_frag", Field::IpFrag);
    }

    fn nsh(&mut self) {
        let (flags, mask) = field::get_masked(Field::NshFlags, self.m);
        match mask.low() {
            0 => {}
            0xff => self.item("nsh_flags", flags.low()),
            _ => self.item("nsh_flags", format_args!("0x{flags:02x}/0x{mask:02x}")),
        }
        for f in [Field::NshTtl, Field::NshMdtype, Field::NshNp] {
            self.decimal(f.def().name, f);
        }
        self.prefixed_hex("nsh_spi", Field::NshSpi);
        self.decimal("nsh_si", Field::NshSi);
        for f in [Field::NshC1, Field::NshC2, Field::NshC3, Field::NshC4] {
            self.prefixed_hex(f.def().name, f);
        }
    }

    /// A number in hexadecimal whose zero has a prefix, too.
    fn prefixed_hex(&mut self, name: &str, f: Field) {
        let (value, mask) = field::get_masked(f, self.m);
        if mask == field::full_mask(f) {
            self.item(name, format_args!("0x{value:x}"));
        } else if !mask.is_empty() {
            self.item(name, format_args!("0x{value:x}/0x{mask:x}"));
        }
    }

    fn transport(&mut self) {
        let ty = field::eth_type(self.m);
        let proto = self.m.key.nw_proto();
        let icmp6 = ty == eth::TYPE_IPV6 && proto == 58;
        if icmp6 || ty == eth::TYPE_IPV4 && proto == 1 {
            self.decimal("icmp_type", Field::IcmpType);
            self.decimal("icmp_code", Field::IcmpCode);
        } else {
            self.decimal("tp_src", Field::TcpSrc);
            self.decimal("tp_dst", Field::TcpDst);
        }
        if icmp6 {
            self.own("nd_target", Field::NdTarget);
            self.own("nd_sll", Field::NdSll);
            self.own("nd_tll", Field::NdTll);
            self.decimal("nd_reserved", Field::NdReserved);
            self.decimal("nd_options_type", Field::NdOptionsType);
        } else if matches!(ty, eth::TYPE_IPV4 | eth::TYPE_IPV6) && proto == 6 {
            self.own("tcp_flags", Field::TcpFlags);
        }
    }
}
