//! What becomes of a batch: packets to send on, packets to give back.
//!
//! Where it sits: filled by a lane under its lock, carried out by the extension when no lock is held.
//!
//! Spec: NDIS_SEND_FLAGS_SWITCH_SINGLE_SOURCE and …_DESTINATION_GROUP; a wrong flag makes the switch lose packets.

use crate::NicId;
use crate::platform::{Chain, Destination, Platform, SendFlags};

/// Packets to be given away.
pub(crate) struct Plan<P: Platform> {
    /// To be sent on, with destinations.
    pub send: Group<P>,
    /// To be sent on untouched: the switch forwards them by itself.
    pub native: Group<P>,
    /// To be given back.
    pub done: Group<P>,
}

impl<P: Platform> Default for Plan<P> {
    fn default() -> Self {
        Plan { send: Group::default(), native: Group::default(), done: Group::default() }
    }
}

/// Packets in order, and what they have in common.
pub(crate) struct Group<P: Platform> {
    chain: P::Chain,
    shared: Shared,
}

impl<P: Platform> Default for Group<P> {
    fn default() -> Self {
        Group { chain: P::Chain::default(), shared: Shared::default() }
    }
}

impl<P: Platform> Group<P> {
    /// Appends a packet from `source` with destinations `to`.
    pub fn push(&mut self, nbl: P::Nbl, source: NicId, to: &[Destination]) {
        self.shared.add(source, to);
        self.chain.push(nbl);
    }

    /// Appends all of `other`, in order.
    pub fn append(&mut self, mut other: Group<P>) {
        self.shared.join(other.shared);
        while let Some(nbl) = other.chain.pop() {
            self.chain.push(nbl);
        }
    }

    /// The packets, if there are any.
    pub fn take(self) -> Option<(P::Chain, SendFlags)> {
        (!self.chain.is_empty()).then_some((self.chain, self.shared.flags()))
    }
}

/// What packets have in common.
#[derive(Clone, Copy, Debug, Default)]
struct Shared {
    first: Option<(NicId, Option<Destination>)>,
    sources_differ: bool,
    destinations_differ: bool,
}

impl Shared {
    fn add(&mut self, source: NicId, to: &[Destination]) {
        let only = if let [one] = to { Some(*one) } else { None };
        self.join(Shared {
            first: Some((source, only)),
            sources_differ: false,
            destinations_differ: only.is_none(),
        });
    }

    /// Takes in what others have in common.
    fn join(&mut self, other: Shared) {
        let Some((source, only)) = other.first else { return };
        let (first_source, first_to) = *self.first.get_or_insert((source, only));
        self.sources_differ |= other.sources_differ || source != first_source;
        self.destinations_differ |= other.destinations_differ || only != first_to;
    }

    fn flags(&self) -> SendFlags {
        SendFlags {
            single_source: self.first.is_some() && !self.sources_differ,
            destination_group: self.first.is_some() && !self.destinations_differ,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nic(port: u32) -> NicId {
        NicId { port, index: 0 }
    }

    fn flags(packets: &[(u32, &[u32])]) -> (bool, bool) {
        let mut shared = Shared::default();
        for (source, to) in packets {
            let to: alloc::vec::Vec<_> = to.iter().map(|p| Destination(nic(*p))).collect();
            shared.add(nic(*source), &to);
        }
        (shared.flags().single_source, shared.flags().destination_group)
    }

    #[test]
    fn flags_hold_for_all_or_are_not_set() {
        assert_eq!(flags(&[(1, &[2]), (1, &[2])]), (true, true));
        assert_eq!(flags(&[(1, &[2]), (3, &[2])]), (false, true));
        assert_eq!(flags(&[(1, &[2]), (1, &[4])]), (true, false));
        assert_eq!(flags(&[(1, &[2, 4]), (1, &[2, 4])]), (true, false), "a group has one destination each");
        assert_eq!(flags(&[(1, &[]), (1, &[])]), (true, false));
    }

    #[test]
    fn groups_joined_have_in_common_what_all_have() {
        let all: [(u32, &[u32]); 5] = [(1, &[2]), (1, &[2]), (3, &[2]), (1, &[4]), (1, &[2, 4])];
        let shared = |packets: &[(u32, &[u32])]| {
            let mut shared = Shared::default();
            for (source, to) in packets {
                let to: alloc::vec::Vec<_> = to.iter().map(|p| Destination(nic(*p))).collect();
                shared.add(nic(*source), &to);
            }
            shared
        };
        for (from, end) in (0..all.len()).flat_map(|from| (from..=all.len()).map(move |end| (from, end))) {
            for middle in from..=end {
                let mut joined = shared(&all[from..middle]);
                joined.join(shared(&all[middle..end]));
                assert_eq!(joined.flags(), shared(&all[from..end]).flags(), "{from} {middle} {end}");
            }
        }
    }
}
