//! Walks over all connections: dumps and flushes.
//!
//! Where it sits: the datapath's commands call it, in pieces of bounded length.

use packet::Now;

use crate::entry::{DumpCursor, Entry};
use crate::table::{Conntrack, SHARDS};
use crate::tuple::Tuple;

/// Which connections a flush ends; every part that is given has to fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flush {
    /// Those of this zone.
    pub zone: Option<u16>,
    /// The one whose original direction this is (in `zone`, or without one in the tuple's).
    pub orig: Option<Tuple>,
}

/// Entries looked at before a shard's lock is given to others.
const STRIDE: usize = 64;

impl Conntrack {
    /// Copies connections from `cursor` on to `out`, of `zone` if given; returns how many. Zero is the end.
    pub fn dump(&self, now: Now, cursor: &mut DumpCursor, zone: Option<u16>, out: &mut [Entry]) -> usize {
        let mut filled = 0;
        while filled < out.len() && (cursor.shard as usize) < SHARDS {
            let rest = out.get_mut(filled..).unwrap_or_default();
            filled += self.dump_stride(now, cursor, zone, rest);
        }
        filled
    }

    fn dump_stride(&self, now: Now, cursor: &mut DumpCursor, zone: Option<u16>, out: &mut [Entry]) -> usize {
        let Some(mut shard) = self.shard(cursor.shard as u8) else { return 0 };
        let mut filled = 0;
        for _ in 0..STRIDE {
            let Some(slot) = out.get_mut(filled) else { break };
            let Some((conn, next)) = shard.step(cursor.index) else {
                *cursor = DumpCursor { shard: cursor.shard + 1, index: 0 };
                break;
            };
            cursor.index = next;
            let entry = conn.and_then(|conn| shard.entry(conn, now));
            let wanted = |e: &Entry| zone.is_none_or(|z| z == e.orig.zone) && !e.timeout.is_zero();
            if let Some(mut entry) = entry.filter(wanted) {
                entry.parent = conn.and_then(|conn| self.parent(&mut shard, conn));
                *slot = entry;
                filled += 1;
            }
        }
        filled
    }

    /// Ends connections; returns how many.
    pub fn flush(&self, now: Now, what: &Flush) -> usize {
        match &what.orig {
            Some(orig) => {
                let orig = Tuple { zone: what.zone.unwrap_or(orig.zone), ..*orig };
                usize::from(self.flush_tuple(now, &orig))
            }
            None => self.flush_if(now, |e| what.zone.is_none_or(|z| z == e.orig.zone)),
        }
    }

    /// Ends the connections for which `wanted` says so; returns how many. `wanted` is called with a shard locked and
    /// must not call the table.
    pub fn flush_if(&self, now: Now, wanted: impl Fn(&Entry) -> bool) -> usize {
        let mut ended = 0;
        for n in 0..=u8::MAX {
            let mut at = 0;
            while let Some(shard) = self.shard(n) {
                let Some((conn, next)) = shard.step(at) else { break };
                at = next;
                let Some(conn) = conn else { continue };
                if shard.entry(conn, now).is_some_and(|e| wanted(&e)) && self.end(shard, conn, now) {
                    ended += 1;
                }
            }
        }
        ended
    }

    fn flush_tuple(&self, now: Now, orig: &Tuple) -> bool {
        self.find(orig)
            .is_some_and(|hit| hit.side == crate::tcp::Side::Orig && self.end(hit.shard, hit.conn, now))
    }
}
