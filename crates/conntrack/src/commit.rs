//! Entering a new connection in the table.
//!
//! Where it sits: called by `process.rs` for a packet that may begin a connection, when the action says `commit`.
//!
//! Untranslated, a connection needs one lock and one index entry, since both directions hash alike. Translated, the
//! tuple of its replies must be free in another shard: both are locked, in the order of their numbers, for each candidate.

use packet::Now;
use sync::SpinGuard;

use crate::action::{CtAction, NatKind};
use crate::conn::{Machine, NewConn};
use crate::counters::Counter;
use crate::extract::{Facts, Kind};
use crate::icmp::IcmpState;
use crate::nat::Candidates;
use crate::other::OtherState;
use crate::shard::{Found, Shard};
use crate::slab::ConnRef;
use crate::table::{Conntrack, Place};
use crate::tcp::TcpConn;
use crate::timeout::Timeout;

/// Why a connection was not entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// A limit, or memory.
    Counted(Counter),
    /// Another worker has just entered it.
    Raced,
    /// The tuple of its replies is in use.
    Taken,
}

/// A connection just entered, with its shard locked.
pub(crate) type Entered<'a> = (SpinGuard<'a, Shard>, ConnRef);

/// The machine of a connection that begins with this packet, and how long it waits for the next.
pub(crate) fn first_machine(facts: &Facts) -> Option<(Machine, Timeout)> {
    match &facts.kind {
        Kind::Tcp(segment) if TcpConn::may_begin_with(segment) => {
            Some((Machine::Tcp(TcpConn::new(segment)), Timeout::TcpFirstPacket))
        }
        Kind::Icmp if IcmpState::may_begin_with(&facts.tuple) => {
            Some((Machine::Icmp(IcmpState::First), Timeout::IcmpFirst))
        }
        Kind::Other => Some((Machine::Other(OtherState::First), Timeout::OtherFirst)),
        Kind::Tcp(_) | Kind::Icmp | Kind::Error(_) => None,
    }
}

impl Conntrack {
    /// Enters the connection that `facts` begin; `None`, counted, if it is refused.
    pub(crate) fn commit(
        &self,
        now: Now,
        facts: &Facts,
        (machine, timeout): (Machine, Timeout),
        action: &CtAction,
    ) -> Option<Entered<'_>> {
        let zone = facts.tuple.zone;
        if let Err(counter) = self.limits.take(zone) {
            self.maintenance.press();
            self.counters.add(counter);
            return None;
        }
        let mut new = NewConn {
            orig: facts.tuple,
            reply: facts.tuple.reversed(),
            machine,
            nat: None,
            action,
            now,
            expires: self.deadline(now.mono.as_millis(), action.timeout_policy, timeout),
        };
        let nat = action.nat.unwrap_or_default();
        let entered = match Candidates::new(&facts.tuple, &nat, self.seed, self.random()) {
            Some(candidates) => self.enter_translated(&mut new, candidates, nat.kind),
            None => self.enter(&new),
        };
        match entered {
            Ok(entered) => {
                self.counters.add(Counter::Created);
                Some(entered)
            }
            Err(refusal) => {
                self.limits.give_back(zone);
                if let Refusal::Counted(counter) = refusal {
                    self.counters.add(counter);
                }
                None
            }
        }
    }

    /// Enters a connection of another table; `None` if it is here already, or there is no room.
    pub(crate) fn enter_restored(&self, new: &NewConn<'_>) -> Option<Entered<'_>> {
        self.enter(new).ok()
    }

    /// Tries one tuple for the replies after the other.
    fn enter_translated(
        &self,
        new: &mut NewConn<'_>,
        candidates: Candidates<'_>,
        kind: Option<NatKind>,
    ) -> Result<Entered<'_>, Refusal> {
        new.nat = kind;
        for to in candidates {
            new.reply = to.reversed();
            match self.enter(new) {
                Err(Refusal::Taken) => {}
                done => return done,
            }
        }
        Err(Refusal::Counted(Counter::NatExhausted))
    }

    /// Enters a connection if neither its packets' nor (translated) its replies' tuple is in use.
    fn enter(&self, new: &NewConn<'_>) -> Result<Entered<'_>, Refusal> {
        const GONE: Refusal = Refusal::Counted(Counter::NoMemory);
        let (orig, reply) = (self.place(&new.orig), self.place(&new.reply));
        let plain = new.reply == new.orig.reversed();
        if orig.shard == reply.shard {
            let mut shard = self.shard(orig.shard).ok_or(GONE)?;
            check_orig(&shard, orig, new)?;
            check_reply(&shard, reply, new)?;
            let conn = self.store(&mut shard, orig, new, if plain { 1 } else { 2 })?;
            if !plain && !shard.index.insert(reply.tag, conn) {
                return Err(undo(&mut shard, orig, conn, new.now));
            }
            return Ok((shard, conn));
        }
        let (low, high) = (orig.shard.min(reply.shard), orig.shard.max(reply.shard));
        let (low, high) = (self.shard(low).ok_or(GONE)?, self.shard(high).ok_or(GONE)?);
        let (mut shard, mut other) = if orig.shard < reply.shard { (low, high) } else { (high, low) };
        check_orig(&shard, orig, new)?;
        check_reply(&other, reply, new)?;
        let conn = self.store(&mut shard, orig, new, 1)?;
        if !other.index.insert(reply.tag, conn) {
            self.maintenance.mark_short(reply.shard);
            return Err(undo(&mut shard, orig, conn, new.now));
        }
        if other.index.is_crowded() {
            self.maintenance.mark_short(reply.shard);
        }
        Ok((shard, conn))
    }

    /// Stores the connection with its first index entry, if there is room for `entries` of them.
    fn store(
        &self,
        shard: &mut Shard,
        at: Place,
        new: &NewConn<'_>,
        entries: usize,
    ) -> Result<ConnRef, Refusal> {
        let full = shard.index.is_full_for(entries);
        let conn = if full { None } else { shard.store(new) };
        if let Some(conn) = conn
            && !shard.index.insert(at.tag, conn)
        {
            return Err(undo(shard, at, conn, new.now));
        }
        if conn.is_none() || !shard.shortage().is_none() {
            self.maintenance.mark_short(at.shard);
        }
        conn.ok_or(Refusal::Counted(Counter::NoMemory))
    }
}

fn check_orig(shard: &Shard, at: Place, new: &NewConn<'_>) -> Result<(), Refusal> {
    match shard.find(at.tag, &new.orig, 0) {
        Found::Here(..) => Err(Refusal::Raced),
        Found::Elsewhere(_) | Found::No => Ok(()),
    }
}

/// A translated tuple must not meet another's; what is in a third shard cannot be looked at here and counts as one.
fn check_reply(shard: &Shard, at: Place, new: &NewConn<'_>) -> Result<(), Refusal> {
    if new.nat.is_some() && shard.find(at.tag, &new.reply, 0) != Found::No {
        return Err(Refusal::Taken);
    }
    Ok(())
}

/// Takes a connection back that found no room for its second entry.
fn undo(shard: &mut Shard, at: Place, conn: ConnRef, now: Now) -> Refusal {
    shard.index.remove(at.tag, conn);
    let _ = shard.free(conn, now);
    Refusal::Counted(Counter::NoMemory)
}
