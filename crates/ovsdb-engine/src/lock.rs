//! Locks that clients hold on names.
//!
//! Where it sits: one table per server; sessions ask, the server sends the notifications that come out.
//!
//! ~~~text
//! lock   ─► nobody has it: owner      somebody has it: last in the queue
//! steal  ─► owner at once; the owner before loses it and stands first in the queue
//! unlock ─► the first in the queue becomes owner and is told
//! ~~~
//! I1  A session waits for a name once at most.
//!
//! Spec: RFC 7047 section 4.1.8 to 4.1.10.

use std::collections::{HashMap, VecDeque};

/// A client's session.
pub type SessionId = u64;

/// What a session has to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LockEvent {
    /// It owns the lock now.
    Locked(SessionId, String),
    /// Somebody took the lock away.
    Stolen(SessionId, String),
}

/// Whether a session got the lock at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granted {
    /// It owns it.
    Now,
    /// It is in the queue.
    Later,
}

/// A session may issue one lock request per name before it unlocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlreadyRequested;

/// What a session has of the locks that it asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// Names that it owns, in order.
    pub held: Vec<String>,
    /// Names that it waits for, in order.
    pub waiting: Vec<String>,
    /// Names that it stole and that were stolen from it, in order.
    pub lost: Vec<String>,
}

/// How a session asked for a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Lock,
    Steal,
}

/// All locks.
#[derive(Debug, Default)]
pub struct LockTable {
    /// Per name the owner, then those who wait.
    locks: HashMap<String, VecDeque<(SessionId, How)>>,
}

impl LockTable {
    /// Asks for a lock.
    pub fn lock(&mut self, session: SessionId, name: &str) -> Result<Granted, AlreadyRequested> {
        let queue = self.queue(session, name)?;
        queue.push_back((session, How::Lock));
        Ok(if queue.len() == 1 { Granted::Now } else { Granted::Later })
    }

    /// Takes a lock, from its owner if there is one.
    pub fn steal(&mut self, session: SessionId, name: &str) -> Result<Vec<LockEvent>, AlreadyRequested> {
        let queue = self.queue(session, name)?;
        let victim = queue.front().map(|(victim, _)| LockEvent::Stolen(*victim, name.to_owned()));
        queue.push_front((session, How::Steal));
        Ok(victim.into_iter().collect())
    }

    /// Where a session that has not asked for a lock yet may ask for it.
    fn queue(
        &mut self,
        session: SessionId,
        name: &str,
    ) -> Result<&mut VecDeque<(SessionId, How)>, AlreadyRequested> {
        let queue = self.locks.entry(name.to_owned()).or_default();
        if queue.iter().any(|(s, _)| *s == session) { Err(AlreadyRequested) } else { Ok(queue) }
    }

    /// Gives a lock, or the wait for it, up. `None` if the session did not ask for it.
    pub fn unlock(&mut self, session: SessionId, name: &str) -> Option<Vec<LockEvent>> {
        let queue = self.locks.get_mut(name)?;
        let at = queue.iter().position(|(s, _)| *s == session)?;
        queue.remove(at);
        let next = queue.front().filter(|_| at == 0).map(|(next, _)| *next);
        if queue.is_empty() {
            self.locks.remove(name);
        }
        Some(next.map(|next| LockEvent::Locked(next, name.to_owned())).into_iter().collect())
    }

    /// Whether a session owns a lock.
    pub fn owns(&self, session: SessionId, name: &str) -> bool {
        self.locks.get(name).and_then(|queue| queue.front()).is_some_and(|(owner, _)| *owner == session)
    }

    /// What a session has asked for, and what of it it has.
    pub fn claims(&self, session: SessionId) -> Claims {
        let mut claims = Claims::default();
        for (name, queue) in &self.locks {
            let list = match queue.iter().position(|(s, _)| *s == session) {
                Some(0) => &mut claims.held,
                Some(at) if queue[at].1 == How::Lock => &mut claims.waiting,
                Some(_) => &mut claims.lost,
                None => continue,
            };
            list.push(name.clone());
        }
        for list in [&mut claims.held, &mut claims.waiting, &mut claims.lost] {
            list.sort();
        }
        claims
    }

    /// Gives up all that a session asked for.
    pub fn release_all(&mut self, session: SessionId) -> Vec<LockEvent> {
        let names: Vec<String> = self
            .locks
            .iter()
            .filter(|(_, queue)| queue.iter().any(|(s, _)| *s == session))
            .map(|(name, _)| name.clone())
            .collect();
        names.iter().flat_map(|name| self.unlock(session, name).unwrap_or_default()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queue_steal_and_release() {
        let mut locks = LockTable::default();
        assert_eq!(locks.lock(1, "a"), Ok(Granted::Now));
        assert_eq!(locks.lock(1, "a"), Err(AlreadyRequested));
        assert_eq!(locks.lock(2, "a"), Ok(Granted::Later));
        assert_eq!(locks.steal(3, "a"), Ok(vec![LockEvent::Stolen(1, "a".into())]));
        assert!(locks.owns(3, "a") && !locks.owns(1, "a"));
        assert_eq!(locks.steal(4, "a"), Ok(vec![LockEvent::Stolen(3, "a".into())]));
        let names = |list: &[String]| list.join(" ");
        let claims = |session| {
            let Claims { held, waiting, lost } = locks.claims(session);
            [names(&held), names(&waiting), names(&lost)]
        };
        assert_eq!(claims(4), ["a", "", ""]);
        assert_eq!(claims(3), ["", "", "a"]);
        assert_eq!(claims(1), ["", "a", ""]);
        assert_eq!(locks.unlock(4, "a"), Some(vec![LockEvent::Locked(3, "a".into())]));
        assert_eq!(locks.unlock(3, "a"), Some(vec![LockEvent::Locked(1, "a".into())]));
        assert_eq!(locks.unlock(3, "a"), None);
        assert_eq!(locks.release_all(1), vec![LockEvent::Locked(2, "a".into())]);
        assert_eq!(locks.release_all(2), vec![]);
        assert_eq!(locks.lock(4, "a"), Ok(Granted::Now));
    }
}
