//! The machine of ICMP and ICMPv6 queries: asked or answered.
//!
//! Where it sits: called by `process.rs` like `tcp.rs`. Errors have no connection of their own: they belong to that of
//! the packet they quote.

use wire::{icmp, icmpv6};

use crate::tcp::Side;
use crate::timeout::Timeout;
use crate::tuple::Tuple;

/// Asked or answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IcmpState {
    /// Requests only.
    First,
    /// Answered.
    Reply,
}

impl IcmpState {
    /// True if a connection may begin with a message of this type: a request.
    pub(crate) const fn may_begin_with(t: &Tuple) -> bool {
        if t.is_ipv6 {
            t.icmp_type == icmpv6::ECHO_REQUEST
        } else {
            matches!(t.icmp_type, icmp::ECHO_REQUEST | icmp::TIMESTAMP | icmp::INFO_REQUEST)
        }
    }

    /// The state after a message of that side.
    pub(crate) const fn on(self, from: Side) -> IcmpState {
        match from {
            Side::Reply => IcmpState::Reply,
            Side::Orig => self,
        }
    }

    /// True once it is answered.
    pub(crate) const fn is_established(self) -> bool {
        matches!(self, IcmpState::Reply)
    }

    pub(crate) const fn lifetime(self) -> Timeout {
        match self {
            IcmpState::First => Timeout::IcmpFirst,
            IcmpState::Reply => Timeout::IcmpReply,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::format;

    use super::*;

    #[test]
    fn table() {
        let row = |s: IcmpState| {
            format!("{s:?}: {:?} {:?}; {:?}", s.on(Side::Orig), s.on(Side::Reply), s.lifetime())
        };
        assert_eq!(
            [IcmpState::First, IcmpState::Reply].map(row),
            ["First: First Reply; IcmpFirst", "Reply: Reply Reply; IcmpReply"]
        );
    }
}
