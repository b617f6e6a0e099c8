//! A queue of messages in a fixed piece of memory.
//!
//! Where it sits: each handle has one for events and one for upcalls, from the moment it subscribes.
//!
//! ~~~text
//! │ len │ message │ len │ message │ …free… │     positions wrap around the end
//!   ▲ head                          ▲ head + used
//! ~~~

use alloc::vec::Vec;

/// Bytes of a message's length.
const LEN: usize = 4;

/// A bounded queue of messages.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    memory: Vec<u8>,
    head: usize,
    used: usize,
}

/// What a reader gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Popped {
    Empty,
    /// The first message has this many bytes, more than there is room for; it stays.
    TooLong(usize),
    Message(usize),
}

impl Ring {
    /// A queue of `bytes`; `None` if memory is short.
    pub fn try_new(bytes: usize) -> Option<Ring> {
        let mut memory = Vec::new();
        memory.try_reserve_exact(bytes).ok()?;
        memory.resize(bytes, 0);
        Some(Ring { memory, head: 0, used: 0 })
    }

    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Appends a message; false, and no change, if it does not fit.
    #[must_use]
    pub fn push(&mut self, message: &[u8]) -> bool {
        let Ok(len) = u32::try_from(message.len()) else { return false };
        let need = message.len().saturating_add(LEN);
        if need > self.memory.len().saturating_sub(self.used) {
            return false;
        }
        self.put(&len.to_ne_bytes());
        self.put(message);
        true
    }

    fn put(&mut self, bytes: &[u8]) {
        let size = self.memory.len();
        let at = self.head.saturating_add(self.used) % size.max(1);
        let first = bytes.len().min(size.saturating_sub(at));
        let (one, two) = bytes.split_at_checked(first).unwrap_or((bytes, &[]));
        if let Some(to) = self.memory.get_mut(at..).and_then(|m| m.get_mut(..one.len())) {
            to.copy_from_slice(one);
        }
        if let Some(to) = self.memory.get_mut(..two.len()) {
            to.copy_from_slice(two);
        }
        self.used = self.used.saturating_add(bytes.len());
    }

    fn copy(&self, from: usize, out: &mut [u8]) {
        let size = self.memory.len().max(1);
        let at = self.head.saturating_add(from) % size;
        let first = out.len().min(size.saturating_sub(at));
        let Some((one, two)) = out.split_at_mut_checked(first) else { return };
        if let Some(bytes) = self.memory.get(at..).and_then(|m| m.get(..one.len())) {
            one.copy_from_slice(bytes);
        }
        if let Some(bytes) = self.memory.get(..two.len()) {
            two.copy_from_slice(bytes);
        }
    }

    /// Takes the first message out, if it fits into `out`.
    pub fn pop(&mut self, out: &mut [u8]) -> Popped {
        if self.is_empty() {
            return Popped::Empty;
        }
        let mut len = [0; LEN];
        self.copy(0, &mut len);
        let len = u32::from_ne_bytes(len) as usize;
        let Some(out) = out.get_mut(..len) else { return Popped::TooLong(len) };
        self.copy(LEN, out);
        let taken = len.saturating_add(LEN);
        self.head = self.head.saturating_add(taken) % self.memory.len().max(1);
        self.used = self.used.saturating_sub(taken);
        Popped::Message(len)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::vec;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The ring is a queue of messages that holds as much as fits.
        #[test]
        fn it_is_a_queue(steps in prop::collection::vec(prop::option::of(0usize..40), 0..200)) {
            let mut ring = Ring::try_new(100).unwrap();
            let mut model: VecDeque<Vec<u8>> = VecDeque::new();
            for (n, step) in steps.into_iter().enumerate() {
                match step {
                    Some(len) => {
                        let message = vec![n as u8; len];
                        let used: usize = model.iter().map(|m| m.len() + LEN).sum();
                        let fits = used + len + LEN <= 100;
                        prop_assert_eq!(ring.push(&message), fits);
                        if fits {
                            model.push_back(message);
                        }
                    }
                    None => {
                        let mut out = [0; 20];
                        match (ring.pop(&mut out), model.front()) {
                            (Popped::Empty, None) => {}
                            (Popped::TooLong(n), Some(m)) if m.len() > 20 => {
                                prop_assert_eq!(n, m.len());
                                let mut out = [0; 40];
                                prop_assert_eq!(ring.pop(&mut out), Popped::Message(n));
                                prop_assert_eq!(&out[..n], &model.pop_front().unwrap()[..]);
                            }
                            (Popped::Message(n), Some(m)) => {
                                prop_assert_eq!(&out[..n], &m[..]);
                                model.pop_front();
                            }
                            other => prop_assert!(false, "{other:?}"),
                        }
                    }
                }
                prop_assert_eq!(ring.is_empty(), model.is_empty());
            }
        }
    }
}
