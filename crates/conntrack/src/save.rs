//! A connection as bytes, for another table on the same machine: nothing of it is lost on the way.
//!
//! Where it sits: a datapath that hands its work to a successor saves each connection, and the successor restores it. Times are
//! of the machine's monotonic clock, which both read; all numbers are in its byte order, and in the order of [`Record`].
//!
//! A record says which version of this form it is; a table refuses others.

use packet::Now;

use crate::action::{Alg, CtAction, NatKind};
use crate::conn::{Body, Machine, NewConn, SavedFlags};
use crate::entry::{Counters, DumpCursor};
use crate::icmp::IcmpState;
use crate::other::OtherState;
use crate::table::{Conntrack, SHARDS};
use crate::tcp::TcpConn;
use crate::tuple::Tuple;

/// Bytes of a saved connection.
pub const SAVED_LEN: usize = 224;
/// The version of this form.
const VERSION: u8 = 1;

/// A saved connection.
pub type Record = [u8; SAVED_LEN];

/// Writes numbers one behind the other.
pub(crate) struct Put<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl Put<'_> {
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        if let Some(to) = self.out.get_mut(self.at..).and_then(|o| o.get_mut(..bytes.len())) {
            to.copy_from_slice(bytes);
        }
        self.at = self.at.saturating_add(bytes.len());
    }

    pub(crate) fn u32(&mut self, n: u32) {
        self.bytes(&n.to_ne_bytes());
    }

    pub(crate) fn u16(&mut self, n: u16) {
        self.bytes(&n.to_ne_bytes());
    }

    pub(crate) fn u8(&mut self, n: u8) {
        self.bytes(&[n]);
    }

    fn tuple(&mut self, t: &Tuple) {
        self.bytes(&t.src.to_ne_bytes());
        self.bytes(&t.dst.to_ne_bytes());
        self.u16(t.src_port);
        self.u16(t.dst_port);
        self.u16(t.zone);
        [t.proto, u8::from(t.is_ipv6), t.icmp_type, t.icmp_code].into_iter().for_each(|n| self.u8(n));
    }
}

/// Reads what [`Put`] wrote; `None` past the end.
pub(crate) struct Take<'a>(&'a [u8]);

impl Take<'_> {
    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*bytes)
    }

    fn u128(&mut self) -> Option<u128> {
        self.bytes().map(u128::from_ne_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.bytes().map(u64::from_ne_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.bytes().map(u32::from_ne_bytes)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.bytes().map(u16::from_ne_bytes)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.bytes().map(u8::from_ne_bytes)
    }

    fn tuple(&mut self) -> Option<Tuple> {
        Some(Tuple {
            src: self.u128()?,
            dst: self.u128()?,
            src_port: self.u16()?,
            dst_port: self.u16()?,
            zone: self.u16()?,
            proto: self.u8()?,
            is_ipv6: self.u8()? != 0,
            icmp_type: self.u8()?,
            icmp_code: self.u8()?,
        })
    }
}

const TCP: u8 = 0;
const OTHER: u8 = 1;
const ICMP: u8 = 2;

fn put_machine(to: &mut Put<'_>, machine: &Machine) {
    match machine {
        Machine::Tcp(tcp) => {
            to.u8(TCP);
            tcp.save(to);
        }
        Machine::Other(state) => {
            to.u8(OTHER);
            to.u8(*state as u8);
        }
        Machine::Icmp(state) => {
            to.u8(ICMP);
            to.u8(*state as u8);
        }
    }
}

fn take_machine(from: &mut Take<'_>) -> Option<Machine> {
    Some(match from.u8()? {
        TCP => Machine::Tcp(TcpConn::restore(from)?),
        OTHER => Machine::Other(match from.u8()? {
            0 => OtherState::First,
            1 => OtherState::Multiple,
            2 => OtherState::Bidirectional,
            _ => return None,
        }),
        ICMP => Machine::Icmp(match from.u8()? {
            0 => IcmpState::First,
            1 => IcmpState::Reply,
            _ => return None,
        }),
        _ => return None,
    })
}

fn put(orig: &Tuple, reply: &Tuple, body: &Body) -> Record {
    let mut record = [0; SAVED_LEN];
    let mut to = Put { out: &mut record, at: 0 };
    to.u8(VERSION);
    to.tuple(orig);
    to.tuple(reply);
    to.bytes(&body.expires.to_ne_bytes());
    to.bytes(&body.start_ms.to_ne_bytes());
    to.bytes(&body.label().to_ne_bytes());
    for c in &body.counters {
        to.bytes(&c.packets.to_ne_bytes());
        to.bytes(&c.bytes.to_ne_bytes());
    }
    to.u32(body.mark);
    to.u16(body.policy);
    to.u8(body.saved_flags().0);
    put_machine(&mut to, &body.machine);
    record
}

impl Conntrack {
    /// The next connections from `cursor` on, as records, to `each`; false at the end. Connections that have ended are left out.
    pub fn save(&self, now: Now, cursor: &mut DumpCursor, mut each: impl FnMut(&Record)) -> bool {
        let Some(mut shard) =
            u8::try_from(cursor.shard).ok().filter(|n| usize::from(*n) < SHARDS).and_then(|n| self.shard(n))
        else {
            return false;
        };
        let mut at = 0;
        while let Some((conn, next)) = shard.step(at) {
            at = next;
            let Some(conn) = conn else { continue };
            let Some((orig, reply)) = shard.tuples(conn) else { continue };
            if let Some(body) = shard.body(conn)
                && body.expires > now.mono.as_millis()
            {
                each(&put(&orig, &reply, body));
            }
        }
        *cursor = DumpCursor { shard: cursor.shard.saturating_add(1), index: 0 };
        true
    }

    /// Enters a saved connection; false if it is none of this version, is there already, or finds no room.
    pub fn restore(&self, now: Now, record: &[u8]) -> bool {
        self.take(now, record).is_some()
    }

    fn take(&self, now: Now, record: &[u8]) -> Option<()> {
        let mut from = Take(record);
        if from.u8()? != VERSION {
            return None;
        }
        let (orig, reply) = (from.tuple()?, from.tuple()?);
        let (expires, start_ms, label) = (from.u64()?, from.u64()?, from.u128()?);
        let mut count = || Some(Counters { packets: from.u64()?, bytes: from.u64()? });
        let counters = [count()?, count()?];
        let (mark, policy, flags) = (from.u32()?, from.u16()?, SavedFlags(from.u8()?));
        let machine = take_machine(&mut from)?;
        let action = CtAction { alg: flags.alg(), timeout_policy: policy, ..CtAction::default() };
        let nat = flags.nat();
        let new = NewConn { orig, reply, machine, nat, action: &action, now, expires };
        // Between packets this is the host's to do.
        if self.wants_maintenance() {
            self.maintain(now, 0);
        }
        self.limits.take(orig.zone).ok()?;
        let Some((mut shard, conn)) = self.enter_restored(&new) else {
            self.limits.give_back(orig.zone);
            return None;
        };
        let body = shard.body(conn)?;
        (body.start_ms, body.counters, body.mark) = (start_ms, counters, mark);
        body.set_label(label);
        body.set_saved_flags(flags);
        Some(())
    }
}

/// The parts of the flags that a restored connection is made from.
impl SavedFlags {
    fn alg(self) -> Option<Alg> {
        self.as_body().alg()
    }

    fn nat(self) -> Option<NatKind> {
        self.as_body().nat()
    }
}
