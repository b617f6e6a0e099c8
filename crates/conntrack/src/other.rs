//! The machine of UDP and every protocol without a better one: who has sent.
//!
//! Where it sits: called by `process.rs` like `tcp.rs`.
//!
//! ~~~text
//!   FIRST ── original ──► MULTIPLE          new, until the other side answers
//!     └──────── reply ──────┴──► BIDIRECTIONAL     established
//! ~~~

use crate::tcp::Side;
use crate::timeout::Timeout;

/// Who has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OtherState {
    /// One packet.
    First,
    /// More, of the same side.
    Multiple,
    /// Both sides.
    Bidirectional,
}

impl OtherState {
    #[cfg(test)]
    const ALL: [OtherState; 3] = [OtherState::First, OtherState::Multiple, OtherState::Bidirectional];

    /// The state after a packet of that side.
    pub(crate) const fn on(self, from: Side) -> OtherState {
        match (self, from) {
            (_, Side::Reply) => OtherState::Bidirectional,
            (OtherState::First, Side::Orig) => OtherState::Multiple,
            (unmoved, Side::Orig) => unmoved,
        }
    }

    /// True once both sides have sent.
    pub(crate) const fn is_established(self) -> bool {
        matches!(self, OtherState::Bidirectional)
    }

    pub(crate) const fn lifetime(self) -> Timeout {
        match self {
            OtherState::First => Timeout::OtherFirst,
            OtherState::Multiple => Timeout::OtherMultiple,
            OtherState::Bidirectional => Timeout::OtherBidirectional,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::format;

    use super::*;

    #[test]
    fn table() {
        let row = |s: OtherState| {
            format!("{s:?}: {:?} {:?}; {:?}", s.on(Side::Orig), s.on(Side::Reply), s.lifetime())
        };
        assert_eq!(
            OtherState::ALL.map(row),
            [
                "First: Multiple Bidirectional; OtherFirst",
                "Multiple: Multiple Bidirectional; OtherMultiple",
                "Bidirectional: Bidirectional Bidirectional; OtherBidirectional",
            ]
        );
    }
}
