//! Where in nested lists of actions a packet is.
//!
//! Where it sits: `execute` walks lists with it, without recursion; a packet that waits behind a nested list remembers its own.

use odp::{Action, MAX_DEPTH};

/// A place in a tree of lists: the index in each list from the root on.
#[derive(Clone, Copy, Default)]
pub(crate) struct Place {
    index: [u16; MAX_DEPTH + 1],
    /// Bit n: the list at depth n + 1 is `check_pkt_len`'s `if_less_equal`.
    second: u16,
    depth: usize,
}

impl Place {
    /// The list that the place is in.
    pub fn list<'a>(&self, root: &'a [Action]) -> &'a [Action] {
        let mut list = root;
        for (depth, index) in self.index.iter().enumerate().take(self.depth) {
            list = match list.get(usize::from(*index)) {
                Some(
                    Action::Clone(inner) | Action::Sample { actions: inner, .. } | Action::DecTtl(inner),
                ) => inner,
                Some(Action::CheckPktLen { if_greater, if_less_equal, .. }) => {
                    if self.second >> depth & 1 != 0 { if_less_equal } else { if_greater }
                }
                _ => &[],
            };
        }
        list
    }

    /// Its index in its list.
    pub fn at(&self) -> usize {
        self.index.get(self.depth).copied().map_or(0, usize::from)
    }

    /// Moves on to the next action of the list.
    pub fn step(&mut self) {
        if let Some(index) = self.index.get_mut(self.depth) {
            *index = index.saturating_add(1);
        }
    }

    /// Enters the list of the action at this place; false if that is deeper than validation allows.
    pub fn enter(&mut self, second: bool) -> bool {
        if self.depth >= MAX_DEPTH {
            return false;
        }
        self.second = self.second & !(1 << self.depth) | u16::from(second) << self.depth;
        self.depth += 1;
        if let Some(index) = self.index.get_mut(self.depth) {
            *index = 0;
        }
        true
    }
}
