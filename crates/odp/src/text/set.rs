//! Reading the groups that `set(…)` writes: the same groups as in keys, as a [`Header`] and its mask.
//!
//! Where it sits: part of the actions' text. [`super::read`] reads the group; here it becomes what an action carries.

use flow::FlowKey;

use super::read::parse_group;
use crate::netlink::tunnel::Fields;
use crate::{Action, Header, NshFields};

/// What is inside of `set(…)`: written whole if every bit of the group is given, else as far as it is.
pub(super) fn parse_set(name: &str, inner: &str) -> Option<Action> {
    let group = parse_group(name, inner)?;
    let mut value = header(name, &group.key)?;
    if let Header::Tunnel(mut key) = value {
        if group.wc.tun_id() != 0 {
            key.flags |= packet::TunnelKey::KEY;
        }
        return Some(Action::Set(Header::Tunnel(key)));
    }
    let mut all = FlowKey::ZERO;
    all.words_mut().fill(u64::MAX);
    let mut mask = header(name, &group.wc)?;
    let whole = header(name, &all)? == mask;
    if let (Header::Arp { op, .. }, Header::Arp { op: mask, .. }) = (&mut value, &mut mask) {
        // The key has the opcode's low byte; a mask over all of it is one over the opcode.
        (*op, *mask) = (*op, if *mask == 0xff { 0xffff } else { *mask });
    }
    Some(if whole { Action::Set(value) } else { Action::SetMasked { value, mask } })
}

/// The group called `name` of a key.
fn header(name: &str, k: &FlowKey) -> Option<Header> {
    let (src, dst) = (k.tp_src(), k.tp_dst());
    let (kind, code) = (src as u8, dst as u8);
    Some(match name {
        "skb_priority" => Header::Priority(k.skb_priority()),
        "skb_mark" => Header::Mark(k.pkt_mark()),
        "tunnel" => Header::Tunnel(alloc::boxed::Box::new(Fields::key(k))),
        "eth" => Header::Ethernet { src: k.eth_src(), dst: k.eth_dst() },
        "vlan" => Header::Vlan { tci: k.vlan_tci() },
        "mpls" => Header::Mpls { lse: k.mpls_lse0() },
        "ipv4" => Header::Ipv4 {
            src: k.nw_src(),
            dst: k.nw_dst(),
            proto: k.nw_proto(),
            tos: k.nw_tos(),
            ttl: k.nw_ttl(),
            frag: frag(k),
        },
        "ipv6" => Header::Ipv6 {
            src: k.ipv6_src(),
            dst: k.ipv6_dst(),
            label: k.ipv6_label() & 0xf_ffff,
            proto: k.nw_proto(),
            tclass: k.nw_tos(),
            hlimit: k.nw_ttl(),
            frag: frag(k),
        },
        "tcp" => Header::Tcp { src, dst },
        "udp" => Header::Udp { src, dst },
        "sctp" => Header::Sctp { src, dst },
        "icmp" => Header::Icmp { kind, code },
        "icmpv6" => Header::Icmpv6 { kind, code },
        "arp" => Header::Arp {
            sip: k.nw_src(),
            tip: k.nw_dst(),
            op: k.nw_proto().into(),
            sha: k.arp_sha(),
            tha: k.arp_tha(),
        },
        "nd" => Header::Nd { target: k.nd_target(), sll: k.arp_sha(), tll: k.arp_tha() },
        "nd_ext" => Header::NdExtensions { reserved: k.nd_reserved(), kind: k.nd_options_type() },
        "nsh" => Header::Nsh(NshFields {
            flags: k.nsh_flags() & NshFields::ALL.flags,
            ttl: k.nsh_ttl() & NshFields::ALL.ttl,
            spi: k.nsh_spi(),
            si: k.nsh_si(),
            context: [k.nsh_c1(), k.nsh_c2(), k.nsh_c3(), k.nsh_c4()],
            ..NshFields::default()
        }),
        _ => return None,
    })
}

/// The interface's numbers for fragments (`OVS_FRAG_TYPE_*`) from the key's bits; a mask stays one.
fn frag(k: &FlowKey) -> u8 {
    match k.nw_frag() {
        3 => 2,
        bits => bits,
    }
}
