//! The text form of datapath actions.
//!
//! Where it sits: `dpctl/dump-flows`, `ofproto/trace` and logs.

use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};

use wire::eth;

use super::{Names, Parts, TUNNEL_FLAGS, flags, port};
use crate::{Action, Cookie, CtAction, HashAlg, Header, Nat, NatKind, Userspace};

/// A list of actions; the empty one is `drop`.
pub struct ActionList<'a>(pub &'a [Action]);

/// A list of actions with ports by their names, where those are known.
pub struct NamedActions<'a> {
    /// The actions.
    pub actions: &'a [Action],
    /// Names of ports, if they are wanted.
    pub names: Option<Names<'a>>,
}

impl fmt::Display for ActionList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        NamedActions { actions: self.0, names: None }.fmt(f)
    }
}

impl fmt::Display for NamedActions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sep = "";
        for action in self.actions {
            f.write_str(sep)?;
            action.show(f, self.names)?;
            sep = ",";
        }
        if self.actions.is_empty() { f.write_str("drop") } else { Ok(()) }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.show(f, None)
    }
}

impl Action {
    fn show(&self, f: &mut fmt::Formatter<'_>, names: Option<Names<'_>>) -> fmt::Result {
        let list = |actions| NamedActions { actions, names };
        match self {
            Action::Output(number) => port(f, *number, names),
            Action::Userspace(u) => userspace(f, u, names),
            Action::Set(header) => {
                f.write_str("set(")?;
                show(f, header, None)?;
                f.write_str(")")
            }
            Action::SetMasked { value, mask } => {
                f.write_str("set(")?;
                show(f, value, Some(mask))?;
                f.write_str(")")
            }
            Action::PushVlan { tpid, tci } => push_vlan(f, *tpid, *tci),
            Action::PopVlan => f.write_str("pop_vlan"),
            Action::Sample { probability, actions } => sample(f, *probability, &list(actions)),
            Action::Recirc(id) => write!(f, "recirc({id:#x})"),
            Action::Hash { alg: HashAlg::L4, basis } => write!(f, "hash(hash_l4({basis}))"),
            Action::Hash { alg: HashAlg::SymL4, basis } => write!(f, "hash(sym_l4({basis}))"),
            Action::Trunc(len) => write!(f, "trunc({len})"),
            Action::Ct(ct) => conntrack(f, ct),
            Action::CtClear => f.write_str("ct_clear"),
            Action::Clone(actions) => write!(f, "clone({})", list(actions)),
            Action::Meter(id) => write!(f, "meter({id})"),
            Action::CheckPktLen { len, if_greater, if_less_equal } => {
                let (gt, le) = (list(if_greater), list(if_less_equal));
                write!(f, "check_pkt_len(size={len},gt({gt}),le({le}))")
            }
            Action::Drop(_) => f.write_str("drop"),
            Action::PushMpls { lse, eth_type } => label(f, "push_mpls", *lse, *eth_type),
            Action::AddMpls { lse, eth_type, .. } => label(f, "add_mpls", *lse, *eth_type),
            Action::PopMpls { eth_type } => write!(f, "pop_mpls(eth_type={eth_type:#x})"),
            Action::PushEth { src, dst } => write!(f, "push_eth(src={src},dst={dst})"),
            Action::PopEth => f.write_str("pop_eth"),
            Action::PushNsh(push) => push_nsh(f, push),
            Action::PopNsh => f.write_str("pop_nsh()"),
            Action::DecTtl(actions) => write!(f, "dec_ttl(le_1({}))", list(actions)),
            Action::Psample(p) => {
                write!(f, "psample(group={}", p.group)?;
                if let Some((last, _)) = p.cookie.split_last() {
                    // As a number: without leading zeros.
                    let mut digits = p.cookie.iter().skip_while(|b| **b == 0);
                    write!(f, ",cookie={:#x}", digits.next().unwrap_or(last))?;
                    digits.try_for_each(|b| write!(f, "{b:02x}"))?;
                }
                f.write_str(")")
            }
            Action::TnlPush(push) => super::tunnel::push(f, push, names),
            Action::TnlPop(number) => {
                f.write_str("tnl_pop(")?;
                port(f, *number, names)?;
                f.write_str(")")
            }
            Action::LbOutput(bond) => write!(f, "lb_output({bond})"),
        }
    }
}

fn userspace(f: &mut fmt::Formatter<'_>, u: &Userspace, names: Option<Names<'_>>) -> fmt::Result {
    write!(f, "userspace(pid={}", u.pid)?;
    match Cookie::decode(&u.userdata) {
        Some(cookie) => write!(f, ",{cookie}")?,
        None if u.userdata.is_empty() => {}
        None => {
            f.write_str(",userdata(")?;
            u.userdata.iter().try_for_each(|b| write!(f, "{b:02x}"))?;
            f.write_str(")")?;
        }
    }
    if u.actions {
        f.write_str(",actions")?;
    }
    if let Some(number) = u.tunnel_out_port {
        f.write_str(",tunnel_out_port=")?;
        port(f, number, names)?;
    }
    f.write_str(")")
}

fn label(f: &mut fmt::Formatter<'_>, name: &str, lse: u32, eth_type: u16) -> fmt::Result {
    let (label, tc, ttl) = (lse >> 12, lse >> 9 & 7, lse & 0xff);
    write!(f, "{name}(label={label},tc={tc},ttl={ttl},bos={},eth_type={eth_type:#x})", lse >> 8 & 1)
}

fn push_nsh(f: &mut fmt::Formatter<'_>, push: &crate::PushNsh) -> fmt::Result {
    let h = &push.header;
    write!(
        f,
        "push_nsh(flags={},ttl={},mdtype={},np={},spi={:#x},si={}",
        h.flags, h.ttl, h.md_type, h.next_proto, h.spi, h.si
    )?;
    if h.md_type == wire::nsh::MD_TYPE1 {
        for (i, word) in h.context.iter().enumerate() {
            write!(f, ",c{}={word:#x}", i + 1)?;
        }
    } else if !push.md2.is_empty() {
        f.write_str(",md2=0x")?;
        push.md2.iter().try_for_each(|b| write!(f, "{b:02x}"))?;
    }
    f.write_str(")")
}

fn push_vlan(f: &mut fmt::Formatter<'_>, tpid: u16, tci: u16) -> fmt::Result {
    f.write_str("push_vlan(")?;
    if tpid != eth::TYPE_VLAN {
        write!(f, "tpid={tpid:#06x},")?;
    }
    write!(f, "vid={},pcp={}", tci & eth::VLAN_VID_MASK, tci >> 13)?;
    if tci & eth::VLAN_CFI == 0 {
        f.write_str(",cfi=0")?;
    }
    f.write_str(")")
}

/// The probability in tenths of a percent, rounded to nearest.
fn sample(f: &mut fmt::Formatter<'_>, probability: u32, actions: &NamedActions<'_>) -> fmt::Result {
    let tenths = (u64::from(probability) * 1000 + u64::from(u32::MAX / 2)) / u64::from(u32::MAX);
    write!(f, "sample(sample={}.{}%,actions({actions}))", tenths / 10, tenths % 10)
}

/// A hexadecimal number as C's `%#x` has it: zero without prefix.
pub(super) struct Hex(pub u128);

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { f.write_str("0") } else { write!(f, "{:#x}", self.0) }
    }
}

fn conntrack(f: &mut fmt::Formatter<'_>, ct: &CtAction) -> fmt::Result {
    f.write_str("ct")?;
    let mut sep = "(";
    let mut next = || core::mem::replace(&mut sep, ",");
    if ct.force {
        write!(f, "{}force_commit", next())?;
    } else if ct.commit {
        write!(f, "{}commit", next())?;
    }
    if ct.zone != 0 {
        write!(f, "{}zone={}", next(), ct.zone)?;
    }
    if let Some((value, mask)) = ct.mark {
        write!(f, "{}mark={}/{mask:#x}", next(), Hex(value.into()))?;
    }
    if let Some((value, mask)) = ct.label {
        write!(f, "{}label={}", next(), Hex(value))?;
        if mask != u128::MAX {
            write!(f, "/{mask:#x}")?;
        }
    }
    if let Some(helper) = &ct.helper {
        write!(f, "{}helper={helper}", next())?;
    }
    if let Some(timeout) = &ct.timeout {
        write!(f, "{}timeout={timeout}", next())?;
    }
    if let Some(nat_params) = &ct.nat {
        f.write_str(next())?;
        nat(f, nat_params)?;
    }
    if sep == "," { f.write_str(")") } else { Ok(()) }
}

fn nat(f: &mut fmt::Formatter<'_>, n: &Nat) -> fmt::Result {
    f.write_str("nat")?;
    let Some(kind) = n.kind else { return Ok(()) };
    f.write_str(match kind {
        NatKind::Src => "(src",
        NatKind::Dst => "(dst",
    })?;
    if let Some((lo, hi)) = n.addr {
        f.write_str("=")?;
        nat_addr(f, lo, n)?;
        if hi != lo {
            f.write_str("-")?;
            nat_addr(f, hi, n)?;
        }
    }
    if let Some((lo, hi)) = n.port {
        write!(f, "{}{lo}", if n.addr.is_some() { ":" } else { "=:" })?;
        if hi != lo {
            write!(f, "-{hi}")?;
        }
    }
    for (set, name) in [(n.persistent, "persistent"), (n.hash, "hash"), (n.random, "random")] {
        if set {
            write!(f, ",{name}")?;
        }
    }
    f.write_str(")")
}

fn nat_addr(f: &mut fmt::Formatter<'_>, addr: u128, n: &Nat) -> fmt::Result {
    match (n.is_ipv6, n.port.is_some()) {
        (false, _) => write!(f, "{}", Ipv4Addr::from_bits(addr as u32)),
        (true, false) => write!(f, "{}", Ipv6Addr::from_bits(addr)),
        (true, true) => write!(f, "[{}]", Ipv6Addr::from_bits(addr)),
    }
}

/// A group of a set action: whole, or what the mask covers.
fn show(f: &mut fmt::Formatter<'_>, value: &Header, mask: Option<&Header>) -> fmt::Result {
    macro_rules! pairs {
        ($variant:ident { $($field:ident),+ }) => {{
            let Header::$variant { $($field),+ } = value else { return Ok(()) };
            let values = ($(*$field,)+);
            let masks = match mask {
                Some(Header::$variant { $($field),+ }) => Some(($(*$field,)+)),
                _ => None,
            };
            (values, masks)
        }};
    }
    let wide = |v: u64, m: Option<u64>, max: u64| (v, m.unwrap_or(max));
    let open = |f: &mut fmt::Formatter<'_>, name: &str| write!(f, "{name}(");
    match value {
        Header::Priority(v) => return write!(f, "skb_priority({v:#x})"),
        Header::Mark(v) => {
            write!(f, "skb_mark({v:#x}")?;
            if let Some(Header::Mark(m)) = mask
                && *m != u32::MAX
            {
                write!(f, "/{m:#x}")?;
            }
        }
        Header::Tunnel(t) => return tunnel(f, t),
        Header::Ethernet { .. } => {
            let ((src, dst), m) = pairs!(Ethernet { src, dst });
            let (ms, md) = m.unwrap_or((wire::EthAddr::BROADCAST, wire::EthAddr::BROADCAST));
            open(f, "eth")?;
            let mut p = Parts::new(f);
            p.eth("src", (src, ms))?;
            p.eth("dst", (dst, md))?;
        }
        Header::Vlan { tci } => {
            let mask = if let Some(Header::Vlan { tci }) = mask { *tci } else { 0xffff };
            open(f, "vlan")?;
            let mut p = Parts::new(f);
            p.dec("vid", (u64::from(tci & 0xfff), u64::from(mask & 0xfff)), 0xfff)?;
            p.dec("pcp", (u64::from(tci >> 13), u64::from(mask >> 13)), 7)?;
        }
        Header::Mpls { lse } => {
            let mask = if let Some(Header::Mpls { lse }) = mask { *lse } else { u32::MAX };
            open(f, "mpls")?;
            let mut p = Parts::new(f);
            for (name, shift, max) in [("label", 12, 0xfffff), ("tc", 9, 7), ("ttl", 0, 0xff), ("bos", 8, 1)]
            {
                p.dec(name, (u64::from(lse >> shift & max), u64::from(mask >> shift & max)), u64::from(max))?;
            }
        }
        Header::Ipv4 { .. } => {
            let ((src, dst, proto, tos, ttl, frag), m) = pairs!(Ipv4 { src, dst, proto, tos, ttl, frag });
            let m = m.unwrap_or((u32::MAX, u32::MAX, 0xff, 0xff, 0xff, 0xff));
            open(f, "ipv4")?;
            let mut p = Parts::new(f);
            p.ipv4("src", (src, m.0))?;
            p.ipv4("dst", (dst, m.1))?;
            p.dec("proto", (proto.into(), m.2.into()), 0xff)?;
            p.bare_hex("tos", (tos.into(), m.3.into()), 0xff)?;
            p.dec("ttl", (ttl.into(), m.4.into()), 0xff)?;
            p.frag((frag, m.5))?;
        }
        Header::Ipv6 { .. } => {
            let ((src, dst, label, proto, tclass, hlimit, frag), m) =
                pairs!(Ipv6 { src, dst, label, proto, tclass, hlimit, frag });
            let m = m.unwrap_or((u128::MAX, u128::MAX, 0xfffff, 0xff, 0xff, 0xff, 0xff));
            open(f, "ipv6")?;
            let mut p = Parts::new(f);
            p.ipv6("src", (src, m.0))?;
            p.ipv6("dst", (dst, m.1))?;
            p.bare_hex("label", (label.into(), m.2.into()), 0xfffff)?;
            p.dec("proto", (proto.into(), m.3.into()), 0xff)?;
            p.bare_hex("tclass", (tclass.into(), m.4.into()), 0xff)?;
            p.dec("hlimit", (hlimit.into(), m.5.into()), 0xff)?;
            p.frag((frag, m.6))?;
        }
        Header::Tcp { src, dst } | Header::Udp { src, dst } | Header::Sctp { src, dst } => {
            let (name, m) = match (value, mask) {
                (Header::Tcp { .. }, Some(Header::Tcp { src, dst })) => ("tcp", Some((*src, *dst))),
                (Header::Udp { .. }, Some(Header::Udp { src, dst })) => ("udp", Some((*src, *dst))),
                (Header::Sctp { .. }, Some(Header::Sctp { src, dst })) => ("sctp", Some((*src, *dst))),
                (Header::Tcp { .. }, _) => ("tcp", None),
                (Header::Udp { .. }, _) => ("udp", None),
                _ => ("sctp", None),
            };
            open(f, name)?;
            let mut p = Parts::new(f);
            p.dec("src", wide((*src).into(), m.map(|m| m.0.into()), 0xffff), 0xffff)?;
            p.dec("dst", wide((*dst).into(), m.map(|m| m.1.into()), 0xffff), 0xffff)?;
        }
        Header::Icmp { kind, code } | Header::Icmpv6 { kind, code } => {
            let m = match mask {
                Some(Header::Icmp { kind, code } | Header::Icmpv6 { kind, code }) => Some((*kind, *code)),
                _ => None,
            };
            open(f, if matches!(value, Header::Icmp { .. }) { "icmp" } else { "icmpv6" })?;
            let mut p = Parts::new(f);
            p.dec("type", wide((*kind).into(), m.map(|m| m.0.into()), 0xff), 0xff)?;
            p.dec("code", wide((*code).into(), m.map(|m| m.1.into()), 0xff), 0xff)?;
        }
        Header::Arp { .. } => {
            let ((sip, tip, op, sha, tha), m) = pairs!(Arp { sip, tip, op, sha, tha });
            let all = wire::EthAddr::BROADCAST;
            let m = m.unwrap_or((u32::MAX, u32::MAX, 0xffff, all, all));
            open(f, "arp")?;
            let mut p = Parts::new(f);
            p.ipv4("sip", (sip, m.0))?;
            p.ipv4("tip", (tip, m.1))?;
            p.dec("op", (op.into(), m.2.into()), 0xffff)?;
            p.eth("sha", (sha, m.3))?;
            p.eth("tha", (tha, m.4))?;
        }
        Header::Nd { .. } => {
            let ((target, sll, tll), m) = pairs!(Nd { target, sll, tll });
            let all = wire::EthAddr::BROADCAST;
            let m = m.unwrap_or((u128::MAX, all, all));
            open(f, "nd")?;
            let mut p = Parts::new(f);
            p.ipv6("target", (target, m.0))?;
            p.eth("sll", (sll, m.1))?;
            p.eth("tll", (tll, m.2))?;
        }
        Header::Nsh(v) => {
            let m = if let Some(Header::Nsh(m)) = mask { *m } else { crate::NshFields::ALL };
            open(f, "nsh")?;
            let mut p = Parts::new(f);
            p.dec("flags", (v.flags.into(), m.flags.into()), 3)?;
            p.dec("ttl", (v.ttl.into(), m.ttl.into()), 0x3f)?;
            p.dec("mdtype", (v.md_type.into(), m.md_type.into()), 0xff)?;
            p.dec("np", (v.next_proto.into(), m.next_proto.into()), 0xff)?;
            p.hex("spi", (v.spi.into(), m.spi.into()), 0xff_ffff)?;
            p.dec("si", (v.si.into(), m.si.into()), 0xff)?;
            for ((name, v), m) in ["c1", "c2", "c3", "c4"].iter().zip(v.context).zip(m.context) {
                p.hex(name, (v.into(), m.into()), 0xffff_ffff)?;
            }
        }
        Header::NdExtensions { reserved, kind } => {
            let m = match mask {
                Some(Header::NdExtensions { reserved, kind }) => (*reserved, *kind),
                _ => (u32::MAX, 0xff),
            };
            open(f, "nd_ext")?;
            let mut p = Parts::new(f);
            p.hex("nd_reserved", ((*reserved).into(), m.0.into()), 0xffff_ffff)?;
            p.dec("nd_options_type", ((*kind).into(), m.1.into()), 0xff)?;
        }
    }
    f.write_str(")")
}

fn tunnel(f: &mut fmt::Formatter<'_>, t: &packet::TunnelKey) -> fmt::Result {
    f.write_str("tunnel(")?;
    let mut p = Parts::new(f);
    if t.flags & packet::TunnelKey::KEY != 0 {
        p.hex("tun_id", (t.id, u64::MAX), u64::MAX)?;
    }
    if t.src != 0 {
        p.ipv4("src", (t.src, u32::MAX))?;
    }
    if t.dst != 0 {
        p.ipv4("dst", (t.dst, u32::MAX))?;
    }
    if t.ipv6_src != 0 {
        p.ipv6("ipv6_src", (t.ipv6_src, u128::MAX))?;
    }
    if t.ipv6_dst != 0 {
        p.ipv6("ipv6_dst", (t.ipv6_dst, u128::MAX))?;
    }
    if t.tos != 0 {
        p.bare_hex("tos", (t.tos.into(), 0xff), 0xff)?;
    }
    p.dec("ttl", (t.ttl.into(), 0xff), 0xff)?;
    if t.tp_src != 0 {
        p.dec("tp_src", (t.tp_src.into(), 0xffff), 0xffff)?;
    }
    if t.tp_dst != 0 {
        p.dec("tp_dst", (t.tp_dst.into(), 0xffff), 0xffff)?;
    }
    if t.gbp_id != 0 || t.gbp_flags != 0 {
        p.sep()?;
        write!(p.f, "vxlan(gbp(id={},flags={}))", t.gbp_id, Hex(t.gbp_flags.into()))?;
    }
    if t.options != packet::TunnelOptions::NONE {
        p.sep()?;
        p.f.write_str("geneve(")?;
        super::tunnel::options(p.f, t.options.iter())?;
        p.f.write_str(")")?;
    }
    match t.erspan_ver {
        1 => {
            p.sep()?;
            write!(p.f, "erspan(ver=1,idx={:#x})", t.erspan_idx)?;
        }
        2 => {
            p.sep()?;
            write!(p.f, "erspan(ver=2,dir={},hwid={:#x})", t.erspan_dir, t.erspan_hwid)?;
        }
        _ => {}
    }
    if t.gtpu_flags != 0 || t.gtpu_msgtype != 0 {
        p.sep()?;
        write!(p.f, "gtpu(flags={:#x},msgtype={})", t.gtpu_flags, t.gtpu_msgtype)?;
    }
    p.sep()?;
    f.write_str("flags(")?;
    flags(f, &TUNNEL_FLAGS, t.flags.into(), None)?;
    f.write_str("))")
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::boxed::Box;
    use alloc::string::ToString;
    use alloc::vec;
    use packet::OdpPort;

    fn check(action: Action, text: &str) {
        assert_eq!(action.to_string(), text);
    }

    #[test]
    fn actions_read_as_open_vswitch_prints_them() {
        check(Action::PushVlan { tpid: 0x8100, tci: 0x7009 }, "push_vlan(vid=9,pcp=3)");
        check(Action::PushVlan { tpid: 0x88a8, tci: 0x1009 }, "push_vlan(tpid=0x88a8,vid=9,pcp=0)");
        check(Action::Recirc(16), "recirc(0x10)");
        check(
            Action::Sample { probability: u32::MAX / 2, actions: vec![Action::Output(OdpPort(3))] },
            "sample(sample=50.0%,actions(3))",
        );
        let nat = Nat {
            kind: Some(NatKind::Src),
            addr: Some((0x0a000001, 0x0a000002)),
            port: Some((5, 6)),
            random: true,
            ..Default::default()
        };
        let ct = CtAction {
            commit: true,
            zone: 7,
            mark: Some((1, u32::MAX)),
            nat: Some(nat),
            ..Default::default()
        };
        check(
            Action::Ct(Box::new(ct)),
            "ct(commit,zone=7,mark=0x1/0xffffffff,nat(src=10.0.0.1-10.0.0.2:5-6,random))",
        );
        check(Action::Ct(Box::default()), "ct");
        let ttl = |ttl| Header::Ipv4 { src: 0, dst: 0, proto: 0, tos: 0, ttl, frag: 0 };
        check(Action::SetMasked { value: ttl(63), mask: ttl(255) }, "set(ipv4(ttl=63))");
        assert_eq!(ActionList(&[]).to_string(), "drop");
    }
}
