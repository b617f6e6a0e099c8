//! The switch's requests, decided as data.
//!
//! Where it sits: `ovsext` parses a request into an [`Oid`], asks [`crate::Extension::handle_oid`], and does what the
//! [`Decision`] says. It forwards everything that is not vetoed, always as a clone.
//!
//! I1  What must be forwarded (connect, disconnect, delete, teardown, updates) is never vetoed, whatever fails here.
//! I2  Something that comes counts once the switch agreed; something that goes counts before the switch is told.
//!
//! Spec: OID_SWITCH_* in the Windows Driver Kit's documentation.

use crate::{NicId, NicInfo, Policy, PolicyKind, PortInfo};

/// A request of the switch.
#[derive(Debug, PartialEq, Eq)]
pub enum Oid {
    /// A port is to be made.
    PortCreate(PortInfo),
    /// A port's description changed.
    PortUpdated(PortInfo),
    /// A port is about to go.
    PortTeardown(u32),
    /// A port goes.
    PortDelete(u32),
    /// An adapter is to be made.
    NicCreate(NicInfo),
    /// An adapter's packets begin to flow.
    NicConnect(NicId),
    /// An adapter's description changed.
    NicUpdated(NicInfo),
    /// An adapter's packets end.
    NicDisconnect(NicId),
    /// An adapter goes.
    NicDelete(NicId),
    /// A port is to have a policy, in place of the one of this kind that it may have.
    PolicyWanted(u32, Policy),
    /// A port's policy of a kind goes.
    PolicyGone(u32, PolicyKind),
    /// A port is to have a policy that nobody would enforce.
    UnknownPolicy,
    /// An adapter is to have a virtual function of hardware, past the extension.
    AllocateVf,
    /// A creation, or a policy, that could not be parsed for want of memory.
    NoMemory,
    /// Anything else.
    Other,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Veto {
    /// Memory is short; the switch may ask again.
    Resources,
    /// Nobody would enforce it.
    NotSupported,
    /// Packets would pass by the extension.
    Failure,
}

/// What is to be done with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Pass it on.
    Forward(After),
    /// Complete it with an error.
    Veto(Veto),
}

/// What counts once the switch has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Nothing.
    Nothing,
    /// A port is there, if the switch agreed.
    Port(u32),
    /// An adapter is there, if the switch agreed.
    Nic(NicId),
    /// An adapter is connected, if the switch agreed.
    Connected(NicId),
    /// A port has the policy that was asked for, if the switch agreed.
    Policy,
}

impl After {
    /// As two numbers, for the few bytes that a request has for its issuer.
    pub const fn to_words(self) -> [u32; 2] {
        match self {
            After::Nothing => [0, 0],
            After::Port(id) => [1, id],
            After::Nic(id) => [2 | (id.index as u32) << 16, id.port],
            After::Connected(id) => [3 | (id.index as u32) << 16, id.port],
            After::Policy => [4, 0],
        }
    }

    /// The reverse of [`After::to_words`].
    pub const fn from_words([kind, port]: [u32; 2]) -> After {
        let id = NicId { port, index: (kind >> 16) as u16 };
        match kind & 0xffff {
            1 => After::Port(port),
            2 => After::Nic(id),
            3 => After::Connected(id),
            4 => After::Policy,
            _ => After::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_carry_every_case() {
        let id = NicId { port: 0x1234_5678, index: 31 };
        for after in [After::Nothing, After::Port(7), After::Nic(id), After::Connected(id), After::Policy] {
            assert_eq!(After::from_words(after.to_words()), after);
        }
    }
}
