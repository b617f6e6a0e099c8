//! Where each field lives in a flow key: one table, from which the key's accessors are made.
//!
//! Where it sits: below [`crate::FlowKey`] and the registry in `fields.rs`.
//!
//! A key is an array of 64-bit words, so that hashing, masking and comparing are word loops. A [`Slot`] is a run of
//! bits within a word, or two words for what has more than 64 bits (the first word is the high part). The words are in
//! the order in which lookups read them: metadata, then L2, then L3, then L4 ([`STAGES`]).

/// A place in a flow key: `bits` bits of word `word`, `shift` from its low end; more than 64 bits are the low ones of two
/// words, high first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot {
    /// Index of the (first) word.
    pub word: u8,
    /// Bits below the slot in its word.
    pub shift: u8,
    /// Width, up to 128; a slot of no bits reads as zero and takes nothing.
    pub bits: u8,
}

impl Slot {
    /// The low `bits` bits of the slot, as the field of a part of it.
    pub const fn low(self, bits: u8) -> Slot {
        Slot { bits, ..self }
    }

    /// `bits` bits of the slot, `from` above its low end.
    pub const fn part(self, from: u8, bits: u8) -> Slot {
        Slot { word: self.word, shift: self.shift + from, bits }
    }

    /// All-ones of the slot's width.
    pub const fn max(self) -> u128 {
        if self.bits == 128 { u128::MAX } else { (1 << self.bits) - 1 }
    }
}

/// First word after each stage of a lookup: metadata, L2, L3, L4.
pub const STAGES: [usize; 4] = [71, 76, 89, 91];

/// Words of a flow key.
pub const FLOW_WORDS: usize = 91;

/// Calls `$then!` with the list of all slots: `name, set_name: type = word, shift, bits, "doc";`.
macro_rules! with_slots {
    ($then:ident) => {
        $then! {
            tun_id, set_tun_id: u64 = 0, 0, 64, "Tunnel key.";
            tun_src, set_tun_src: u32 = 1, 32, 32, "Outer IPv4 source.";
            tun_dst, set_tun_dst: u32 = 1, 0, 32, "Outer IPv4 destination.";
            tun_ipv6_src, set_tun_ipv6_src: u128 = 2, 0, 128, "Outer IPv6 source.";
            tun_ipv6_dst, set_tun_ipv6_dst: u128 = 4, 0, 128, "Outer IPv6 destination.";
            tun_flags, set_tun_flags: u16 = 6, 48, 16, "Outer flags (`packet::TunnelKey`).";
            tun_ttl, set_tun_ttl: u8 = 6, 40, 8, "Outer TTL.";
            tun_tos, set_tun_tos: u8 = 6, 32, 8, "Outer TOS.";
            tun_tp_src, set_tun_tp_src: u16 = 6, 16, 16, "Outer UDP source port.";
            tun_tp_dst, set_tun_tp_dst: u16 = 6, 0, 16, "Outer UDP destination port.";
            tun_gbp_id, set_tun_gbp_id: u16 = 7, 48, 16, "VXLAN group policy id.";
            tun_gbp_flags, set_tun_gbp_flags: u8 = 7, 40, 8, "VXLAN group policy flags.";
            tun_erspan_ver, set_tun_erspan_ver: u8 = 7, 32, 8, "ERSPAN version.";
            tun_erspan_idx, set_tun_erspan_idx: u32 = 7, 12, 20, "ERSPAN index.";
            tun_erspan_dir, set_tun_erspan_dir: u8 = 7, 7, 1, "ERSPAN direction.";
            tun_erspan_hwid, set_tun_erspan_hwid: u8 = 7, 0, 6, "ERSPAN hardware id.";
            tun_gtpu_flags, set_tun_gtpu_flags: u8 = 8, 56, 8, "GTP-U flags.";
            tun_gtpu_msgtype, set_tun_gtpu_msgtype: u8 = 8, 48, 8, "GTP-U message type.";
            tun_opts_len, set_tun_opts_len: u8 = 8, 40, 8, "Bytes of Geneve options.";
            skb_priority, set_skb_priority: u32 = 8, 0, 32, "Queueing priority.";
            metadata, set_metadata: u64 = 9, 0, 64, "OpenFlow's metadata register.";
            reg0, set_reg0: u32 = 10, 32, 32, "Register 0.";
            reg1, set_reg1: u32 = 10, 0, 32, "Register 1.";
            reg2, set_reg2: u32 = 11, 32, 32, "Register 2.";
            reg3, set_reg3: u32 = 11, 0, 32, "Register 3.";
            reg4, set_reg4: u32 = 12, 32, 32, "Register 4.";
            reg5, set_reg5: u32 = 12, 0, 32, "Register 5.";
            reg6, set_reg6: u32 = 13, 32, 32, "Register 6.";
            reg7, set_reg7: u32 = 13, 0, 32, "Register 7.";
            reg8, set_reg8: u32 = 14, 32, 32, "Register 8.";
            reg9, set_reg9: u32 = 14, 0, 32, "Register 9.";
            reg10, set_reg10: u32 = 15, 32, 32, "Register 10.";
            reg11, set_reg11: u32 = 15, 0, 32, "Register 11.";
            reg12, set_reg12: u32 = 16, 32, 32, "Register 12.";
            reg13, set_reg13: u32 = 16, 0, 32, "Register 13.";
            reg14, set_reg14: u32 = 17, 32, 32, "Register 14.";
            reg15, set_reg15: u32 = 17, 0, 32, "Register 15.";
            reg16, set_reg16: u32 = 18, 32, 32, "Register 16.";
            reg17, set_reg17: u32 = 18, 0, 32, "Register 17.";
            reg18, set_reg18: u32 = 19, 32, 32, "Register 18.";
            reg19, set_reg19: u32 = 19, 0, 32, "Register 19.";
            reg20, set_reg20: u32 = 20, 32, 32, "Register 20.";
            reg21, set_reg21: u32 = 20, 0, 32, "Register 21.";
            reg22, set_reg22: u32 = 21, 32, 32, "Register 22.";
            reg23, set_reg23: u32 = 21, 0, 32, "Register 23.";
            reg24, set_reg24: u32 = 22, 32, 32, "Register 24.";
            reg25, set_reg25: u32 = 22, 0, 32, "Register 25.";
            reg26, set_reg26: u32 = 23, 32, 32, "Register 26.";
            reg27, set_reg27: u32 = 23, 0, 32, "Register 27.";
            reg28, set_reg28: u32 = 24, 32, 32, "Register 28.";
            reg29, set_reg29: u32 = 24, 0, 32, "Register 29.";
            reg30, set_reg30: u32 = 25, 32, 32, "Register 30.";
            reg31, set_reg31: u32 = 25, 0, 32, "Register 31.";
            in_port, set_in_port: u32 = 26, 32, 32, "Ingress port: OpenFlow's number in OpenFlow tables, the datapath's in datapath flows.";
            pkt_mark, set_pkt_mark: u32 = 26, 0, 32, "Linux's packet mark (skb_mark).";
            dp_hash, set_dp_hash: u32 = 27, 32, 32, "Hash computed by the datapath.";
            recirc_id, set_recirc_id: u32 = 27, 0, 32, "Recirculation id.";
            ct_state, set_ct_state: u8 = 28, 56, 8, "Connection state bits ([`crate::ct_state`]).";
            ct_zone, set_ct_zone: u16 = 28, 32, 16, "Connection tracking zone.";
            ct_nw_proto, set_ct_nw_proto: u8 = 28, 24, 8, "IP protocol of the connection's original direction.";
            ct_mark, set_ct_mark: u32 = 29, 32, 32, "Connection mark.";
            actset_output, set_actset_output: u32 = 29, 0, 32, "Output port in the action set.";
            ct_label, set_ct_label: u128 = 30, 0, 128, "Connection label.";
            ct_nw_src, set_ct_nw_src: u32 = 32, 32, 32, "IPv4 source of the original direction.";
            ct_nw_dst, set_ct_nw_dst: u32 = 32, 0, 32, "IPv4 destination of the original direction.";
            ct_ipv6_src, set_ct_ipv6_src: u128 = 33, 0, 128, "IPv6 source of the original direction.";
            ct_ipv6_dst, set_ct_ipv6_dst: u128 = 35, 0, 128, "IPv6 destination of the original direction.";
            ct_tp_src, set_ct_tp_src: u16 = 37, 48, 16, "Source port of the original direction.";
            ct_tp_dst, set_ct_tp_dst: u16 = 37, 32, 16, "Destination port of the original direction.";
            conj_id, set_conj_id: u32 = 37, 0, 32, "Conjunction id.";
            packet_type, set_packet_type: u32 = 38, 32, 32, "Packet type: namespace and type; zero is Ethernet.";
            tun_opts0, set_tun_opts0: u128 = 39, 0, 128, "Geneve options, bytes 0 to 15.";
            tun_opts1, set_tun_opts1: u128 = 41, 0, 128, "Geneve options, bytes 16 to 31.";
            tun_opts2, set_tun_opts2: u128 = 43, 0, 128, "Geneve options, bytes 32 to 47.";
            tun_opts3, set_tun_opts3: u128 = 45, 0, 128, "Geneve options, bytes 48 to 63.";
            tun_opts4, set_tun_opts4: u128 = 47, 0, 128, "Geneve options, bytes 64 to 79.";
            tun_opts5, set_tun_opts5: u128 = 49, 0, 128, "Geneve options, bytes 80 to 95.";
            tun_opts6, set_tun_opts6: u128 = 51, 0, 128, "Geneve options, bytes 96 to 111.";
            tun_opts7, set_tun_opts7: u128 = 53, 0, 128, "Geneve options, bytes 112 to 127.";
            tun_opts8, set_tun_opts8: u128 = 55, 0, 128, "Geneve options, bytes 128 to 143.";
            tun_opts9, set_tun_opts9: u128 = 57, 0, 128, "Geneve options, bytes 144 to 159.";
            tun_opts10, set_tun_opts10: u128 = 59, 0, 128, "Geneve options, bytes 160 to 175.";
            tun_opts11, set_tun_opts11: u128 = 61, 0, 128, "Geneve options, bytes 176 to 191.";
            tun_opts12, set_tun_opts12: u128 = 63, 0, 128, "Geneve options, bytes 192 to 207.";
            tun_opts13, set_tun_opts13: u128 = 65, 0, 128, "Geneve options, bytes 208 to 223.";
            tun_opts14, set_tun_opts14: u128 = 67, 0, 128, "Geneve options, bytes 224 to 239.";
            tun_opts15, set_tun_opts15: u128 = 69, 0, 128, "Geneve options, bytes 240 to 255.";
            eth_dst, set_eth_dst: EthAddr = 71, 16, 48, "Ethernet destination.";
            eth_type, set_eth_type: u16 = 71, 0, 16, "Ethernet type of the payload, after any VLAN tags; `wire::eth::TYPE_NONE` without one.";
            eth_src, set_eth_src: EthAddr = 72, 16, 48, "Ethernet source.";
            vlan_tpid, set_vlan_tpid: u16 = 73, 48, 16, "Outer VLAN tag: TPID, zero without a tag.";
            vlan_tci, set_vlan_tci: u16 = 73, 32, 16, "Outer VLAN tag: TCI with `VLAN_CFI` set, zero without a tag.";
            vlan2_tpid, set_vlan2_tpid: u16 = 73, 16, 16, "Second VLAN tag: TPID.";
            vlan2_tci, set_vlan2_tci: u16 = 73, 0, 16, "Second VLAN tag: TCI with `VLAN_CFI` set.";
            mpls_lse0, set_mpls_lse0: u32 = 74, 32, 32, "Top MPLS label stack entry.";
            mpls_lse1, set_mpls_lse1: u32 = 74, 0, 32, "Second MPLS label stack entry.";
            mpls_lse2, set_mpls_lse2: u32 = 75, 32, 32, "Third MPLS label stack entry.";
            nw_src, set_nw_src: u32 = 76, 32, 32, "IPv4 source, or ARP's sender protocol address.";
            nw_dst, set_nw_dst: u32 = 76, 0, 32, "IPv4 destination, or ARP's target protocol address.";
            ipv6_src, set_ipv6_src: u128 = 77, 0, 128, "IPv6 source.";
            ipv6_dst, set_ipv6_dst: u128 = 79, 0, 128, "IPv6 destination.";
            ipv6_label, set_ipv6_label: u32 = 81, 32, 32, "IPv6 flow label (20 bits).";
            nw_proto, set_nw_proto: u8 = 81, 24, 8, "IP protocol, or the low 8 bits of ARP's opcode.";
            nw_tos, set_nw_tos: u8 = 81, 16, 8, "IP TOS or traffic class: DSCP and ECN.";
            nw_ttl, set_nw_ttl: u8 = 81, 8, 8, "IP TTL or hop limit.";
            nw_frag, set_nw_frag: u8 = 81, 0, 8, "Fragment bits ([`crate::Frag`]).";
            arp_sha, set_arp_sha: EthAddr = 82, 16, 48, "ARP sender hardware address, or ND source link-layer address.";
            tcp_flags, set_tcp_flags: u16 = 82, 0, 16, "TCP flags (12 bits).";
            arp_tha, set_arp_tha: EthAddr = 83, 16, 48, "ARP target hardware address, or ND target link-layer address.";
            nd_target, set_nd_target: u128 = 84, 0, 128, "Neighbour discovery target.";
            nsh_flags, set_nsh_flags: u8 = 86, 56, 8, "NSH flags.";
            nsh_ttl, set_nsh_ttl: u8 = 86, 48, 8, "NSH TTL.";
            nsh_mdtype, set_nsh_mdtype: u8 = 86, 40, 8, "NSH metadata type.";
            nsh_np, set_nsh_np: u8 = 86, 32, 8, "NSH next protocol.";
            nsh_spi, set_nsh_spi: u32 = 86, 8, 24, "NSH service path id.";
            nsh_si, set_nsh_si: u8 = 86, 0, 8, "NSH service index.";
            nsh_c1, set_nsh_c1: u32 = 87, 32, 32, "NSH context 1.";
            nsh_c2, set_nsh_c2: u32 = 87, 0, 32, "NSH context 2.";
            nsh_c3, set_nsh_c3: u32 = 88, 32, 32, "NSH context 3.";
            nsh_c4, set_nsh_c4: u32 = 88, 0, 32, "NSH context 4.";
            tp_src, set_tp_src: u16 = 89, 48, 16, "TCP, UDP or SCTP source port, or ICMP type.";
            tp_dst, set_tp_dst: u16 = 89, 32, 16, "TCP, UDP or SCTP destination port, or ICMP code.";
            nd_reserved, set_nd_reserved: u32 = 89, 0, 32, "Reserved field of neighbour discovery.";
            nd_options_type, set_nd_options_type: u8 = 90, 56, 8, "First option type of neighbour discovery.";
            igmp_group, set_igmp_group: u32 = 90, 24, 32, "IGMP group.";
        }
    };
}
pub(crate) use with_slots;

macro_rules! slot_consts {
    ($($name:ident, $set:ident: $ty:ident = $word:literal, $shift:literal, $bits:literal, $doc:literal;)+) => {
        $(
            #[doc = $doc]
            #[allow(non_upper_case_globals, reason = "slots carry their field's name")]
            pub const $name: Slot = Slot { word: $word, shift: $shift, bits: $bits };
        )+
    };
}
with_slots!(slot_consts);

/// Fields of the network service header.
pub const NSH: [Slot; 10] =
    [nsh_flags, nsh_ttl, nsh_mdtype, nsh_np, nsh_spi, nsh_si, nsh_c1, nsh_c2, nsh_c3, nsh_c4];

/// Tunnel options, sixteen bytes each.
pub const TUN_OPTS: [Slot; 16] = [
    tun_opts0, tun_opts1, tun_opts2, tun_opts3, tun_opts4, tun_opts5, tun_opts6, tun_opts7, tun_opts8,
    tun_opts9, tun_opts10, tun_opts11, tun_opts12, tun_opts13, tun_opts14, tun_opts15,
];
