//! Reading a list of actions: the inverse of [`super::ActionList`].
//!
//! Where it sits: `dpctl/add-flow` and its like, and scenarios. What is read is not valid yet ([`crate::validate()`]).
//!
//! The text does not say everything: `add_mpls` reads as a label before the Ethernet header, a drop has no code, a
//! probability has tenths of a percent, and a cookie of `psample` has no leading zeros.
//!
//! Spec: ovs-dpctl(8), and the text that `dpctl/dump-flows` prints.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};

use packet::OdpPort;
use wire::{EthAddr, eth, nsh};

use super::headers::parse_push;
use super::read::PortOf;
use super::scan::{hex, member, number, part, skip_separators};
use super::set::parse_set;
use crate::cookie::{Controller, FlowSample, SampleSide, SlowPath};
use crate::{
    Action, Cookie, CtAction, HashAlg, MAX_DEPTH, MplsLayer, Nat, NatKind, NshFields, Psample, PushNsh,
    Userspace,
};

/// The text is no list of actions from here on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActionSyntax<'a>(pub &'a str);

impl fmt::Display for ActionSyntax<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "syntax error at {}", self.0)
    }
}

impl core::error::Error for ActionSyntax<'_> {}

/// Reads a list of actions; `port_of` gives the number of a port that is named. `drop` alone is the empty list.
pub fn parse_actions<'a>(text: &'a str, port_of: PortOf<'_>) -> Result<Vec<Action>, ActionSyntax<'a>> {
    list(text, port_of, 0)
}

fn list<'a>(text: &'a str, port_of: PortOf<'_>, depth: usize) -> Result<Vec<Action>, ActionSyntax<'a>> {
    let mut out = Vec::new();
    let mut rest = skip_separators(text);
    while !rest.is_empty() {
        let wrong = ActionSyntax(rest);
        let (name, inner, tail) = member(rest).ok_or(wrong)?;
        let read = Nested { port_of, depth: depth + 1 };
        let action = match inner {
            None => bare(name).or_else(|| port(name, port_of)),
            Some(inner) => read.action(name, inner),
        };
        out.push(action.ok_or(wrong)?);
        rest = tail;
    }
    if out == [Action::Drop(0)] {
        out.clear();
    }
    Ok(out)
}

fn bare(name: &str) -> Option<Action> {
    Some(match name {
        "drop" => Action::Drop(0),
        "pop_vlan" => Action::PopVlan,
        "pop_eth" => Action::PopEth,
        "pop_nsh" => Action::PopNsh,
        "ct" => Action::Ct(Box::default()),
        "ct_clear" => Action::CtClear,
        _ => return None,
    })
}

fn port(name: &str, port_of: PortOf<'_>) -> Option<Action> {
    number(name, 32).map(|n| n as u32).or_else(|| port_of(name)).map(|n| Action::Output(OdpPort(n)))
}

fn u32_of(text: &str) -> Option<u32> {
    number(text, 32).map(|n| n as u32)
}

fn u16_of(text: &str) -> Option<u16> {
    number(text, 16).map(|n| n as u16)
}

/// Calls `each` with every part of a group.
fn parts<'a>(inner: &'a str, mut each: impl FnMut(&'a str, &'a str) -> Option<()>) -> Option<()> {
    let mut rest = inner;
    while !rest.is_empty() {
        let (name, value, tail) = part(rest)?;
        each(name, value)?;
        rest = tail.trim_start();
    }
    Some(())
}

/// Reads actions that may have lists inside.
struct Nested<'p> {
    port_of: PortOf<'p>,
    depth: usize,
}

impl Nested<'_> {
    /// A list inside; none that is deeper than validation allows, so that no text overflows the stack.
    fn list(&self, text: &str) -> Option<Vec<Action>> {
        if self.depth > MAX_DEPTH + 1 {
            return None;
        }
        list(text, self.port_of, self.depth).ok()
    }

    fn action(&self, name: &str, inner: &str) -> Option<Action> {
        Some(match name {
            "clone" => Action::Clone(self.list(inner)?),
            "sample" => self.sample(inner)?,
            "check_pkt_len" => self.check_pkt_len(inner)?,
            "dec_ttl" => {
                let ("le_1", list, "") = part(inner)? else { return None };
                Action::DecTtl(self.list(list)?)
            }
            "recirc" => Action::Recirc(u32_of(inner)?),
            "trunc" => Action::Trunc(u32_of(inner)?),
            "meter" => Action::Meter(u32_of(inner)?),
            "lb_output" => Action::LbOutput(u32_of(inner)?),
            "tnl_pop" => Action::TnlPop(OdpPort(u32_of(inner)?)),
            "tnl_push" => Action::TnlPush(Box::new(parse_push(inner)?)),
            "hash" => hash(inner)?,
            "set" => {
                let (name, Some(inner), "") = member(inner)? else { return None };
                parse_set(name, inner)?
            }
            "ct" => Action::Ct(Box::new(ct(inner)?)),
            "userspace" => Action::Userspace(Box::new(userspace(inner)?)),
            "push_vlan" => push_vlan(inner)?,
            "push_mpls" => label(inner, |lse, eth_type| Action::PushMpls { lse, eth_type })?,
            "add_mpls" => {
                label(inner, |lse, eth_type| Action::AddMpls { lse, eth_type, layer: MplsLayer::Ethernet })?
            }
            "pop_mpls" => {
                let ("eth_type", n, "") = part(inner)? else { return None };
                Action::PopMpls { eth_type: u16_of(n)? }
            }
            "push_eth" => push_eth(inner)?,
            "push_nsh" => Action::PushNsh(Box::new(push_nsh(inner)?)),
            "pop_nsh" if inner.is_empty() => Action::PopNsh,
            "psample" => Action::Psample(Box::new(psample(inner)?)),
            _ => return None,
        })
    }

    fn sample(&self, inner: &str) -> Option<Action> {
        let (mut probability, mut actions) = (None, None);
        parts(inner, |name, value| {
            match name {
                "sample" => probability = Some(percent(value)?),
                "actions" => actions = Some(self.list(value)?),
                _ => return None,
            }
            Some(())
        })?;
        Some(Action::Sample { probability: probability?, actions: actions? })
    }

    fn check_pkt_len(&self, inner: &str) -> Option<Action> {
        let (mut len, mut greater, mut less) = (None, None, None);
        parts(inner, |name, value| {
            match name {
                "size" => len = Some(u16_of(value)?),
                "gt" => greater = Some(self.list(value)?),
                "le" => less = Some(self.list(value)?),
                _ => return None,
            }
            Some(())
        })?;
        Some(Action::CheckPktLen { len: len?, if_greater: greater?, if_less_equal: less? })
    }
}

/// `N%` or `N.M%`, as a share of `u32::MAX` rounded to nearest.
fn percent(text: &str) -> Option<u32> {
    let (whole, fraction) = text.strip_suffix('%')?.split_once('.').unwrap_or((text.strip_suffix('%')?, ""));
    // Nine digits behind the point are more than a share of 2^32 has.
    let fraction = fraction.get(..9).unwrap_or(fraction);
    let scale = 10u64.checked_pow(fraction.len() as u32)?;
    let digits =
        |text: &str| if text.is_empty() { Some(0) } else { number(text, 32).filter(|_| !text.contains('x')) };
    let n = digits(whole)?.checked_mul(scale.into())?.checked_add(digits(fraction)?)?;
    let all = u128::from(scale) * 100;
    (n <= all).then(|| ((n * u128::from(u32::MAX) + all / 2) / all) as u32)
}

fn hash(inner: &str) -> Option<Action> {
    let (name, basis, "") = part(inner)? else { return None };
    let alg = match name {
        "hash_l4" => HashAlg::L4,
        "sym_l4" => HashAlg::SymL4,
        _ => return None,
    };
    Some(Action::Hash { alg, basis: if basis.is_empty() { 0 } else { u32_of(basis)? } })
}

fn push_vlan(inner: &str) -> Option<Action> {
    let (mut tpid, mut tci, mut given) = (eth::TYPE_VLAN, eth::VLAN_CFI, 0);
    parts(inner, |name, value| {
        match name {
            "tpid" => tpid = u16_of(value)?,
            "vid" => (tci, given) = (tci & !eth::VLAN_VID_MASK | number(value, 12)? as u16, given | 1),
            "pcp" => (tci, given) = (tci & 0x1fff | (number(value, 3)? as u16) << 13, given | 2),
            "cfi" => tci = tci & !eth::VLAN_CFI | (number(value, 1)? as u16) << 12,
            _ => return None,
        }
        Some(())
    })?;
    (given == 3).then_some(Action::PushVlan { tpid, tci })
}

fn label(inner: &str, action: fn(u32, u16) -> Action) -> Option<Action> {
    let (mut lse, mut eth_type) = (0, None);
    parts(inner, |name, value| {
        let (shift, bits) = match name {
            "label" => (12, 20),
            "tc" => (9, 3),
            "bos" => (8, 1),
            "ttl" => (0, 8),
            "eth_type" => {
                eth_type = Some(u16_of(value)?);
                return Some(());
            }
            _ => return None,
        };
        lse |= (number(value, bits)? as u32) << shift;
        Some(())
    })?;
    Some(action(lse, eth_type?))
}

fn push_eth(inner: &str) -> Option<Action> {
    let (mut src, mut dst) = (None, None);
    parts(inner, |name, value| {
        let address: EthAddr = value.parse().ok()?;
        match name {
            "src" => src = Some(address),
            "dst" => dst = Some(address),
            _ => return None,
        }
        Some(())
    })?;
    Some(Action::PushEth { src: src?, dst: dst? })
}

fn push_nsh(inner: &str) -> Option<PushNsh> {
    let mut h = NshFields {
        ttl: 63,
        md_type: nsh::MD_TYPE1,
        next_proto: nsh::NP_ETHERNET,
        si: 255,
        ..NshFields::default()
    };
    let mut md2 = Vec::new();
    parts(inner, |name, value| {
        match name {
            "flags" => h.flags = number(value, 8)? as u8,
            "ttl" => h.ttl = number(value, 8)? as u8,
            "mdtype" => h.md_type = number(value, 8)? as u8,
            "np" => h.next_proto = number(value, 8)? as u8,
            "spi" => h.spi = number(value, 24)? as u32,
            "si" => h.si = number(value, 8)? as u8,
            "md2" => md2 = hex(value)?,
            _ => {
                let n: usize = name.strip_prefix('c')?.parse().ok()?;
                *h.context.get_mut(n.checked_sub(1)?)? = u32_of(value)?;
            }
        }
        Some(())
    })?;
    Some(PushNsh { header: h, md2 })
}

fn psample(inner: &str) -> Option<Psample> {
    let (mut group, mut cookie) = (None, Vec::new());
    parts(inner, |name, value| {
        match name {
            "group" => group = Some(u32_of(value)?),
            "cookie" => cookie = hex(value)?,
            _ => return None,
        }
        Some(())
    })?;
    Some(Psample { group: group?, cookie })
}

fn userspace(inner: &str) -> Option<Userspace> {
    let (mut u, mut pid) = (Userspace::default(), None);
    parts(inner, |name, value| {
        match name {
            "pid" => pid = Some(u32_of(value)?),
            "userdata" => u.userdata = hex(value)?,
            "slow_path" => u.userdata = Cookie::SlowPath(slow_path(value)?).encode(),
            "controller" => u.userdata = Cookie::Controller(controller(value)?).encode(),
            "flow_sample" => u.userdata = Cookie::FlowSample(flow_sample(value)?).encode(),
            "actions" => u.actions = true,
            "tunnel_out_port" => u.tunnel_out_port = Some(OdpPort(u32_of(value)?)),
            _ => return None,
        }
        Some(())
    })?;
    Some(Userspace { pid: pid?, ..u })
}

fn slow_path(text: &str) -> Option<SlowPath> {
    let words = text.split(',').filter(|word| !word.is_empty());
    words.map(SlowPath::named).try_fold(SlowPath::default(), |all, one| Some(SlowPath(all.0 | one?.0)))
}

fn flow_sample(inner: &str) -> Option<FlowSample> {
    let mut side = SampleSide::Unsaid;
    let (mut probability, mut words) = (None, [None; 4]);
    let [set, domain, point, port] = &mut words;
    parts(inner, |name, value| {
        match name {
            "probability" => probability = Some(u16_of(value)?),
            "collector_set_id" => *set = Some(u32_of(value)?),
            "obs_domain_id" => *domain = Some(u32_of(value)?),
            "obs_point_id" => *point = Some(u32_of(value)?),
            "output_port" => *port = Some(u32_of(value)?),
            "ingress" => side = SampleSide::Ingress,
            "egress" => side = SampleSide::Egress,
            _ => return None,
        }
        Some(())
    })?;
    let [set, domain, point, port] = words;
    Some(FlowSample {
        probability: probability?,
        collector_set_id: set?,
        obs_domain_id: domain?,
        obs_point_id: point?,
        output_port: OdpPort(port?),
        side,
    })
}

fn controller(inner: &str) -> Option<Controller> {
    let mut c = Controller::default();
    parts(inner, |name, value| {
        match name {
            "reason" => c.reason = number(value, 8)? as u8,
            "dont_send" => c.dont_send = number(value, 1)? != 0,
            "continuation" => c.continuation = number(value, 1)? != 0,
            "recirc_id" => c.recirc_id = u32_of(value)?,
            "rule_cookie" => c.rule_cookie = number(value, 64)? as u64,
            "controller_id" => c.controller_id = u16_of(value)?,
            "max_len" => c.max_len = u16_of(value)?,
            _ => return None,
        }
        Some(())
    })?;
    Some(c)
}

fn ct(inner: &str) -> Option<CtAction> {
    let mut ct = CtAction::default();
    let masked = |text: &str, bits| {
        let (value, mask) = text.split_once('/').map_or((text, None), |(value, mask)| (value, Some(mask)));
        let all = u128::MAX >> (128 - bits);
        Some((number(value, bits)?, mask.map_or(Some(all), |mask| number(mask, bits))?))
    };
    parts(inner, |name, value| {
        match name {
            "commit" => ct.commit = true,
            // The list says it once; the interface has both bits.
            "force_commit" => (ct.commit, ct.force) = (true, true),
            "zone" => ct.zone = u16_of(value)?,
            "mark" => {
                ct.mark = masked(value, 32).map(|(value, mask)| (value as u32, mask as u32)).map(Some)?
            }
            "label" => ct.label = Some(masked(value, 128)?),
            "helper" => ct.helper = Some(value.into()),
            "timeout" => ct.timeout = Some(value.into()),
            "nat" => ct.nat = Some(nat(value)?),
            _ => return None,
        }
        Some(())
    })?;
    Some(ct)
}

fn nat(inner: &str) -> Option<Nat> {
    let mut nat = Nat::default();
    parts(inner, |name, value| {
        match name {
            "src" | "dst" if nat.kind.is_none() => {
                nat.kind = Some(if name == "src" { NatKind::Src } else { NatKind::Dst });
                if !value.is_empty() {
                    nat_range(value, &mut nat)?;
                }
            }
            "persistent" => nat.persistent = true,
            "hash" => nat.hash = true,
            "random" => nat.random = true,
            _ => return None,
        }
        Some(())
    })?;
    let choice = nat.persistent || nat.hash || nat.random;
    (nat.kind.is_some() || !choice).then_some(nat)
}

/// `ADDR[-ADDR][:PORT[-PORT]]`; IPv6 addresses in brackets if ports follow.
fn nat_range(text: &str, nat: &mut Nat) -> Option<()> {
    let (addrs, ports) = match (text.starts_with('['), text.rfind("]:"), text.split_once(':')) {
        (true, Some(at), _) => (text.get(..=at)?, text.get(at + 2..)),
        (false, _, Some((addrs, ports))) if !ports.contains(':') => (addrs, Some(ports)),
        _ => (text, None),
    };
    if let Some(ports) = ports {
        let (low, high) = ports.split_once('-').unwrap_or((ports, ports));
        nat.port = Some((u16_of(low)?, u16_of(high)?));
    }
    if addrs.is_empty() {
        return Some(());
    }
    let (low, high) = addrs.split_once('-').unwrap_or((addrs, addrs));
    let bare = |text: &str| {
        Some(
            text.strip_prefix('[')
                .map_or(Some(text), |text| text.strip_suffix(']'))?
                .parse::<Ipv6Addr>()
                .ok()?
                .to_bits(),
        )
    };
    let v4 = |text: &str| text.parse::<Ipv4Addr>().ok().map(|a| u128::from(a.to_bits()));
    (nat.addr, nat.is_ipv6) = match (v4(low), v4(high)) {
        (Some(low), Some(high)) => (Some((low, high)), false),
        _ => (Some((bare(low)?, bare(high)?)), true),
    };
    Some(())
}

#[cfg(test)]
mod tests;
