//! Validation of action lists: what passes is executed without further checks.
//!
//! Where it sits: called when a flow is installed and when a packet is sent with actions; a bad list is refused whole
//! (EINVAL at the device) and nothing changes.

use core::mem::discriminant;

use wire::{eth, nsh};

use crate::{Action, Header};

/// How deep lists may nest (`sample`, `clone`, `check_pkt_len`).
pub const MAX_DEPTH: usize = 8;

/// Why a list of actions cannot be executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidActions {
    /// Lists nest deeper than [`MAX_DEPTH`].
    TooDeep,
    /// `set_masked` with a value and a mask of different groups.
    MaskOfOtherGroup,
    /// `set_masked` of a group that is only ever written whole.
    Unmaskable,
    /// A field that cannot be written is written.
    ReadOnlyField,
    /// A pushed tag with another TPID than 802.1Q's or 802.1ad's, or without the CFI bit.
    BadVlan,
    /// `trunc` to less than an Ethernet header.
    BadTruncation,
    /// `ct` with a translation but without `commit`, an empty range, or marks without `commit`.
    BadCt,
    /// A recirculation id of zero.
    BadRecirc,
    /// A label with another type than MPLS's.
    BadMpls,
    /// A network service header with an unknown MD type, or TLVs that do not fit.
    BadNsh,
    /// `psample` with a cookie over 16 bytes.
    BadPsample,
    /// `tnl_push` of what are no headers.
    BadTunnelHeader,
    /// `userspace` with more user data than a message carries.
    BadUserdata,
    /// `ct` with a helper that does not exist.
    BadHelper,
}

/// Checks a list of actions.
pub fn validate(actions: &[Action]) -> Result<(), InvalidActions> {
    list(actions, 0)
}

fn list(actions: &[Action], depth: usize) -> Result<(), InvalidActions> {
    if depth > MAX_DEPTH {
        return Err(InvalidActions::TooDeep);
    }
    actions.iter().try_for_each(|a| one(a, depth))
}

fn one(action: &Action, depth: usize) -> Result<(), InvalidActions> {
    match action {
        Action::Sample { .. } | Action::Clone(_) | Action::DecTtl(_) | Action::CheckPktLen { .. } => {
            action.lists().iter().try_for_each(|inside| list(inside, depth + 1))
        }
        Action::SetMasked { value, mask } => {
            if discriminant(value) != discriminant(mask) {
                return Err(InvalidActions::MaskOfOtherGroup);
            }
            if matches!(mask, Header::Tunnel(_)) {
                return Err(InvalidActions::Unmaskable);
            }
            writable(mask)
        }
        Action::PushVlan { tpid, tci } if !eth::is_vlan(*tpid) || tci & eth::VLAN_CFI == 0 => {
            Err(InvalidActions::BadVlan)
        }
        Action::Trunc(len) if (*len as usize) < eth::HEADER_LEN => Err(InvalidActions::BadTruncation),
        Action::Recirc(0) => Err(InvalidActions::BadRecirc),
        Action::PushMpls { eth_type, .. } | Action::AddMpls { eth_type, .. } if !eth::is_mpls(*eth_type) => {
            Err(InvalidActions::BadMpls)
        }
        Action::PushNsh(push) => nsh(push),
        Action::Psample(p) if p.cookie.len() > MAX_COOKIE => Err(InvalidActions::BadPsample),
        Action::TnlPush(push) if !(MIN_HEADER..=MAX_HEADER).contains(&push.header.len()) => {
            Err(InvalidActions::BadTunnelHeader)
        }
        Action::Userspace(u) if u.userdata.len() > MAX_USERDATA => Err(InvalidActions::BadUserdata),
        Action::Ct(ct) if ct.helper.as_deref().is_some_and(|h| !matches!(h, "ftp" | "tftp")) => {
            Err(InvalidActions::BadHelper)
        }
        Action::Ct(ct) => {
            let commits = ct.commit || ct.force;
            let nat = ct.nat.as_ref();
            let ranges = nat.is_none_or(|n| {
                n.addr.is_none_or(|(lo, hi)| lo <= hi) && n.port.is_none_or(|(lo, hi)| lo <= hi)
            });
            let kind = nat.is_none_or(|n| n.kind.is_some() || (n.addr.is_none() && n.port.is_none()));
            if ranges && kind && (commits || nat.is_none_or(|n| n.kind.is_none())) {
                Ok(())
            } else {
                Err(InvalidActions::BadCt)
            }
        }
        _ => Ok(()),
    }
}

/// Most bytes of a sample's cookie.
const MAX_COOKIE: usize = 16;
/// Most bytes of user data: one attribute.
const MAX_USERDATA: usize = 65_000;
/// Fewest bytes of a tunnel's headers: Ethernet and IPv4.
const MIN_HEADER: usize = eth::HEADER_LEN + wire::ipv4::HEADER_LEN;
/// Most bytes of a tunnel's headers.
const MAX_HEADER: usize = 512;

fn nsh(push: &crate::PushNsh) -> Result<(), InvalidActions> {
    let fits = match push.header.md_type {
        nsh::MD_TYPE1 => push.md2.is_empty(),
        nsh::MD_TYPE2 => push.md2.len().is_multiple_of(4) && push.md2.len() <= nsh::MAX_LEN - nsh::BASE_LEN,
        _ => false,
    };
    if fits { Ok(()) } else { Err(InvalidActions::BadNsh) }
}

/// Refuses a mask over fields that no action may write; a whole set carries those as the flow has them.
fn writable(mask: &Header) -> Result<(), InvalidActions> {
    match mask {
        Header::Ipv4 { proto: 0, frag: 0, .. } | Header::Ipv6 { proto: 0, frag: 0, .. } => Ok(()),
        Header::Ipv4 { .. } | Header::Ipv6 { .. } => Err(InvalidActions::ReadOnlyField),
        Header::Nsh(mask) if mask.md_type != 0 || mask.next_proto != 0 => Err(InvalidActions::ReadOnlyField),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CtAction;
    use alloc::boxed::Box;
    use alloc::vec;
    use packet::OdpPort;

    #[test]
    fn nesting_is_bounded() {
        let mut list = vec![Action::Output(OdpPort(1))];
        for _ in 0..MAX_DEPTH {
            list = vec![Action::Clone(list)];
        }
        assert_eq!(validate(&list), Ok(()));
        assert_eq!(validate(&[Action::Clone(list)]), Err(InvalidActions::TooDeep));
    }

    #[test]
    fn misfits_are_refused() {
        let masked = |value, mask| validate(&[Action::SetMasked { value, mask }]);
        let tcp = Header::Tcp { src: 1, dst: 0 };
        assert_eq!(
            masked(tcp.clone(), Header::Udp { src: 1, dst: 0 }),
            Err(InvalidActions::MaskOfOtherGroup)
        );
        assert_eq!(masked(tcp.clone(), tcp), Ok(()));
        let ip = Header::Ipv4 { src: 0, dst: 0, proto: 1, tos: 0, ttl: 0, frag: 0 };
        assert_eq!(masked(ip.clone(), ip), Err(InvalidActions::ReadOnlyField));
        assert_eq!(validate(&[Action::PushVlan { tpid: 0x800, tci: 0x1001 }]), Err(InvalidActions::BadVlan));
        let nat = crate::Nat { kind: Some(crate::NatKind::Src), ..Default::default() };
        let ct = CtAction { nat: Some(nat), ..Default::default() };
        assert_eq!(validate(&[Action::Ct(Box::new(ct))]), Err(InvalidActions::BadCt));
    }
}
