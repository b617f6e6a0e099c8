//! Applications that announce further connections: FTP's data connections, TFTP's transfers.
//!
//! Where it sits: called by `process.rs` for packets of connections that have a helper, and for those that no connection
//! has. Expectations and what is known of helped connections are one small table beside the connections', behind one lock:
//! few packets come here.
//!
//! ~~~text
//!   PORT 10,0,0,1,20,1 ──► expected: server ► client:5121 ──► its SYN: new|rel ── commit ──► a connection, all of it rel
//!        └── translated: PORT 10,9,0,9,20,1; sequence numbers move by what the text grew
//! ~~~
//!
//! I1  An address that is not the announcing end's own is not believed (FTP bounce).
//! I2  At most [`MAX_EXPECTED`] connections are expected, at most [`MAX_HELPED`] have notes; the oldest makes way.
//! I3  The machine of TCP sees each end's own sequence numbers: acknowledgements are moved back before it judges, and
//!     sequence numbers forth after.
//!
//! Context: any worker; never allocates. The lock is taken within a shard's, never around it.
//!
//! Spec: ovs-actions(7), `alg`; RFC 959, 1350, 2428. Next: `alg/ftp.rs`.

mod ftp;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use sync::SpinLock;
use wire::checksum::Sum;
use wire::tcp::{ACK, TcpRef};
use wire::{bytes, ip, tcp};

use crate::action::{Alg, CtAction, CtPacket, Nat, NatKind};
use crate::config::NoMemory;
use crate::extract::{Facts, Kind, Layout};
use crate::rewrite::{Delta, Stored, checksum_state, update};
use crate::slab::ConnRef;
use crate::tcp::Side;
use crate::tuple::Tuple;

use ftp::Form;
pub use ftp::MAX_TEXT;

/// Connections expected at most.
const MAX_EXPECTED: usize = 1024;
/// Helped connections of which something is noted, at most.
const MAX_HELPED: usize = 4096;
/// Places of the notes in which one connection's may be.
const WAYS: usize = 8;
/// How long an expected connection may take to come.
const EXPECT_MS: u64 = 30_000;
/// Ports tried for an announcement whose own is taken.
const PORT_TRIES: u16 = 64;
const READ_REQUEST: u16 = 1;
const WRITE_REQUEST: u16 = 2;

/// A text in a packet that has to be another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Where it is in the frame.
    pub at: u16,
    /// How long it is.
    pub len: u16,
    /// Where the IP header is.
    pub l3: u16,
    /// Where TCP's is.
    pub l4: u16,
    form: Form,
    address: u128,
    port: u16,
    is_ipv6: bool,
}

impl Edit {
    /// What it has to be, and how long that is.
    pub fn text(&self) -> Option<([u8; MAX_TEXT], usize)> {
        ftp::written(self.form, self.address, self.port, self.is_ipv6)
    }
}

/// A connection that another has announced, as it is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// Its packets' tuple; any source port.
    pub tuple: Tuple,
    /// The original direction of the one that announced it.
    pub parent: Tuple,
    /// The mark that it will have.
    pub mark: u32,
    /// The label that it will have.
    pub label: u128,
}

/// A connection that was announced.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    /// Its packets' tuple; any source port.
    tuple: Tuple,
    expires: u64,
    /// The original direction of the one that announced it.
    pub parent: Tuple,
    pub mark: u32,
    pub label: u128,
    /// What is translated of it.
    nat: Option<(NatKind, u128, Option<u16>)>,
}

impl Expected {
    fn is(&self, t: &Tuple, now_ms: u64) -> bool {
        self.expires > now_ms && self.tuple == Tuple { src_port: 0, ..*t }
    }

    /// The action with which its connection is committed.
    pub fn action(&self, action: &CtAction) -> CtAction {
        let nat = action.nat.map(|_| match self.nat {
            Some((kind, address, port)) => Nat {
                kind: Some(kind),
                addr: Some((address, address)),
                is_ipv6: self.tuple.is_ipv6,
                port: port.map(|p| (p, p)),
                ..Nat::default()
            },
            None => Nat::default(),
        });
        CtAction { nat, alg: None, ..*action }
    }
}

/// By how much the sequence numbers of one direction have moved: before a place, and from it on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Skew {
    place: u32,
    before: i32,
    after: i32,
}

impl Skew {
    /// What is to be added to a sequence number as its sender gave it.
    fn of(&self, seq: u32) -> i32 {
        if (seq.wrapping_sub(self.place) as i32) > 0 { self.after } else { self.before }
    }

    /// What was added to a sequence number that comes back acknowledged.
    fn of_ack(&self, ack: u32) -> i32 {
        let moved = self.place.wrapping_add_signed(self.before);
        if (ack.wrapping_sub(moved) as i32) > 0 { self.after } else { self.before }
    }

    /// From the segment that begins at `seq` on, `by` more is added.
    fn grow(&mut self, seq: u32, by: i32) {
        // What is sent again has been counted.
        let is_later = (seq.wrapping_sub(self.place) as i32) > 0;
        if *self == Skew::default() || is_later {
            *self = Skew { place: seq, before: self.after, after: self.after.wrapping_add(by) };
        }
    }
}

/// What is known of a connection that is helped, or came of one that is.
#[derive(Clone, Copy, Debug)]
struct Note {
    conn: u32,
    generation: u32,
    used: u64,
    skew: [Skew; 2],
    parent: Option<Tuple>,
}

impl Note {
    const FREE: Note = Note {
        conn: u32::MAX,
        generation: 0,
        used: 0,
        skew: [Skew { place: 0, before: 0, after: 0 }; 2],
        parent: None,
    };
}

impl Note {
    const fn skew(&self, side: Side) -> Skew {
        let [orig, reply] = self.skew;
        match side {
            Side::Orig => orig,
            Side::Reply => reply,
        }
    }

    const fn skew_of_other(&self, side: Side) -> Skew {
        match side {
            Side::Orig => self.skew(Side::Reply),
            Side::Reply => self.skew(Side::Orig),
        }
    }

    const fn skew_mut(&mut self, side: Side) -> &mut Skew {
        let [orig, reply] = &mut self.skew;
        match side {
            Side::Orig => orig,
            Side::Reply => reply,
        }
    }
}

/// Which connection: where it is, and its generation.
pub(crate) type Id = (ConnRef, u32);

#[derive(Debug)]
struct Table {
    expected: Vec<Expected>,
    notes: Vec<Note>,
}

/// What helpers know.
#[derive(Debug)]
pub(crate) struct Algs {
    table: SpinLock<Table>,
    /// Connections expected: zero is the usual case.
    expected: AtomicU32,
}

/// A connection that is helped, and a packet of it.
pub(crate) struct Helped<'a> {
    pub id: Id,
    pub alg: Alg,
    pub side: Side,
    pub orig: Tuple,
    pub reply: Tuple,
    pub mark: u32,
    pub label: u128,
    pub facts: &'a Facts,
    /// Addresses of this packet were translated.
    pub translated: bool,
}

impl Algs {
    pub fn new() -> Result<Algs, NoMemory> {
        let (mut expected, mut notes) = (Vec::new(), Vec::new());
        expected.try_reserve_exact(MAX_EXPECTED).map_err(|_| NoMemory)?;
        notes.try_reserve_exact(MAX_HELPED).map_err(|_| NoMemory)?;
        notes.resize(MAX_HELPED, Note::FREE);
        Ok(Algs { table: SpinLock::new(Table { expected, notes }), expected: AtomicU32::new(0) })
    }

    /// The announcement of the connection that a packet with tuple `t` begins.
    pub fn expected(&self, t: &Tuple, now_ms: u64) -> Option<Expected> {
        if self.expected.load(Ordering::Relaxed) == 0 {
            return None;
        }
        self.find_expected(t, now_ms)
    }

    // apart from the question whether there is any
    #[inline(never)]
    fn find_expected(&self, t: &Tuple, now_ms: u64) -> Option<Expected> {
        self.table.lock().expected.iter().find(|e| e.is(t, now_ms)).copied()
    }

    /// The first expected connection from place `at` on, and the next place.
    #[inline(never)]
    pub fn nth_expected(&self, at: usize, now_ms: u64) -> Option<(Expectation, usize)> {
        let table = self.table.lock();
        let mut rest = (at..).zip(table.expected.get(at..)?);
        let (at, e) = rest.find(|(_, e)| e.expires > now_ms)?;
        let Expected { tuple, parent, mark, label, .. } = *e;
        Some((Expectation { tuple, parent, mark, label }, at.saturating_add(1)))
    }

    /// An expected connection is there.
    #[inline(never)]
    pub fn arrived(&self, t: &Tuple, id: Id, parent: &Tuple, now_ms: u64) {
        let mut table = self.table.lock();
        table.expected.retain(|e| !e.is(t, now_ms) && e.expires > now_ms);
        self.expected.store(table.expected.len() as u32, Ordering::Relaxed);
        if let Some(note) = table.note(id, now_ms) {
            note.parent = Some(*parent);
        }
    }

    /// The original direction of the connection that announced this one.
    pub fn parent(&self, id: Id) -> Option<Tuple> {
        self.table.lock().find(id)?.parent
    }

    /// Moves a packet's acknowledgement back to what its receiver counts.
    #[inline(never)]
    pub fn adjust_ack(&self, id: Id, side: Side, packet: &mut CtPacket<'_>, facts: &mut Facts) {
        let Kind::Tcp(segment) = &mut facts.kind else { return };
        let skew = self.table.lock().find(id).map(|note| note.skew_of_other(side));
        let Some(skew) = skew.filter(|skew| *skew != Skew::default() && segment.flags & ACK != 0) else {
            return;
        };
        let by = skew.of_ack(segment.ack).wrapping_neg();
        segment.ack = segment.ack.wrapping_add_signed(by);
        let _ = put_number(packet, facts.layout, tcp::OFF_ACK, segment.ack);
        let _ = move_sack(packet, facts.layout, |edge| {
            edge.wrapping_add_signed(skew.of_ack(edge).wrapping_neg())
        });
    }

    /// Moves a packet's sequence number forth, and reads what it announces: true if bytes of the packet changed; and the
    /// text that has to change.
    #[inline(never)]
    pub fn look(&self, now_ms: u64, packet: &mut CtPacket<'_>, h: &Helped<'_>) -> (bool, Option<Edit>) {
        match (&h.facts.kind, h.alg) {
            (Kind::Tcp(segment), Alg::Ftp) => {
                let seq = segment.seq;
                let skew = self.table.lock().find(h.id).map(|note| note.skew(h.side));
                let edit = self.ftp(now_ms, packet, h, seq);
                let by = skew.map_or(0, |skew| skew.of(seq));
                if by != 0 {
                    let _ = put_number(packet, h.facts.layout, tcp::OFF_SEQ, seq.wrapping_add_signed(by));
                }
                (by != 0, edit)
            }
            (Kind::Other, Alg::Tftp) if h.side == Side::Orig && h.facts.tuple.proto == ip::PROTO_UDP => {
                let opcode =
                    bytes::u16_at(packet.head, h.facts.layout.l4.saturating_add(wire::udp::HEADER_LEN));
                if matches!(opcode, Some(READ_REQUEST | WRITE_REQUEST)) {
                    // The server answers from a port of its own.
                    let nat = (h.reply.dst != h.orig.src || h.reply.dst_port != h.orig.src_port)
                        .then_some((NatKind::Dst, h.orig.src, Some(h.orig.src_port)))
                        .or((h.reply.src != h.orig.dst).then_some((NatKind::Src, h.orig.dst, None)));
                    self.expect(now_ms, h, h.reply, h.reply.dst_port, nat);
                }
                (false, None)
            }
            _ => (false, None),
        }
    }

    fn ftp(&self, now_ms: u64, packet: &CtPacket<'_>, h: &Helped<'_>, seq: u32) -> Option<Edit> {
        let Layout { l3, l4, end } = h.facts.layout;
        let header = TcpRef::parse(packet.head.get(l4..end)?)?.header_len();
        let payload = l4.checked_add(header)?;
        let found = ftp::announced(packet.head.get(payload..end)?, h.side, h.orig.is_ipv6)?;
        let (own, other) = match h.side {
            Side::Orig => (h.orig.src, &h.reply),
            Side::Reply => (h.reply.src, &h.orig),
        };
        // I1
        if found.address.is_some_and(|a| a != own) {
            return None;
        }
        // What the other end knows the announcing one by.
        let seen = other.dst;
        let nat = match h.side {
            _ if seen != own => Some((NatKind::Dst, own, Some(found.port))),
            Side::Orig => (h.reply.src != h.orig.dst).then_some((NatKind::Src, h.orig.dst, None)),
            Side::Reply => (h.reply.dst != h.orig.src).then_some((NatKind::Src, h.reply.dst, None)),
        };
        let port = self.expect(now_ms, h, *other, found.port, nat)?;
        if !h.translated || (seen, port) == (own, found.port) {
            return None;
        }
        let edit = Edit {
            at: u16::try_from(payload + found.text.start).ok()?,
            len: found.text.len() as u16,
            l3: u16::try_from(l3).ok()?,
            l4: u16::try_from(l4).ok()?,
            form: found.form,
            address: seen,
            port,
            is_ipv6: h.orig.is_ipv6,
        };
        let grows = edit.text()?.1 as i32 - i32::from(edit.len);
        if grows != 0 {
            self.table.lock().note(h.id, now_ms)?.skew_mut(h.side).grow(seq, grows);
        }
        Some(edit)
    }

    /// Expects a connection from whom `to` comes from, to where it goes, on `port`, or on another if that is somebody
    /// else's; returns which.
    fn expect(
        &self,
        now_ms: u64,
        h: &Helped<'_>,
        to: Tuple,
        port: u16,
        nat: Option<(NatKind, u128, Option<u16>)>,
    ) -> Option<u16> {
        let tuple = Tuple { src_port: 0, dst_port: port, ..to };
        let mut new = Expected {
            tuple,
            expires: now_ms.saturating_add(EXPECT_MS),
            parent: h.orig,
            mark: h.mark,
            label: h.label,
            nat,
        };
        let mut table = self.table.lock();
        table.expected.retain(|e| e.expires > now_ms);
        let changes = matches!(nat, Some((NatKind::Dst, ..)));
        for _ in 0..PORT_TRIES {
            match table.expected.iter().position(|e| e.tuple == new.tuple) {
                Some(at) if table.expected.get(at)?.parent == h.orig => {
                    table.expected.swap_remove(at);
                    break;
                }
                Some(_) if changes => new.tuple.dst_port = new.tuple.dst_port.checked_add(1).unwrap_or(1024),
                Some(_) => return None,
                None => break,
            }
        }
        if table.expected.len() >= MAX_EXPECTED {
            // The one that has waited longest.
            let oldest = table.expected.iter().enumerate().min_by_key(|(_, e)| e.expires)?.0;
            table.expected.swap_remove(oldest);
        }
        table.expected.push(new);
        self.expected.store(table.expected.len() as u32, Ordering::Relaxed);
        Some(new.tuple.dst_port)
    }
}

impl Table {
    /// The places in which a connection's note may be.
    fn ways(conn: u32) -> core::ops::Range<usize> {
        let hash = u64::from(conn).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let first = (hash as usize % (MAX_HELPED / WAYS)) * WAYS;
        first..first + WAYS
    }

    fn find(&self, (conn, generation): Id) -> Option<Note> {
        let ways = self.notes.get(Table::ways(conn.number()))?;
        ways.iter().find(|n| n.conn == conn.number() && n.generation == generation).copied()
    }

    /// The note of a connection; if it has none, in the place of the one that was used longest ago.
    fn note(&mut self, (conn, generation): Id, now_ms: u64) -> Option<&mut Note> {
        let range = Table::ways(conn.number());
        let is = |n: &Note| n.conn == conn.number() && n.generation == generation;
        let ways = self.notes.get(range.clone()).unwrap_or_default();
        let found = ways.iter().position(is);
        let oldest = || ways.iter().enumerate().min_by_key(|(_, n)| n.used).map_or(0, |(at, _)| at);
        let at = range.start + found.unwrap_or_else(oldest);
        let note = self.notes.get_mut(at)?;
        if found.is_none() {
            *note = Note { conn: conn.number(), generation, ..Note::FREE };
        }
        note.used = now_ms;
        Some(note)
    }
}

/// Stores a number of a TCP header and brings its checksum up to date.
fn put_number(packet: &mut CtPacket<'_>, at: Layout, off: usize, new: u32) -> Option<()> {
    let place = at.l4.checked_add(off)?;
    let old = bytes::u32_at(packet.head, place)?;
    bytes::put(packet.head, place, &new.to_be_bytes())?;
    summed(packet, at, |delta| delta.number(old, new))
}

/// Brings the checksum of a TCP header up to date, unless it is yet to be summed over what changed.
fn summed(packet: &mut CtPacket<'_>, at: Layout, change: impl FnOnce(&mut Delta)) -> Option<()> {
    let stored = checksum_state(packet.l4_checksum, at.l4);
    if stored == Stored::Partial {
        return Some(());
    }
    let mut delta = Delta::default();
    change(&mut delta);
    update(packet.head, at.l4.checked_add(tcp::OFF_CHECKSUM)?, delta, stored)
}

/// Changes the edges of blocks that a packet acknowledges selectively (RFC 2018).
fn move_sack(packet: &mut CtPacket<'_>, at: Layout, moved: impl Fn(u32) -> u32) -> Option<()> {
    const SACK: u8 = 5;
    let header = TcpRef::parse(packet.head.get(at.l4..)?)?.header_len();
    let options = at.l4.checked_add(tcp::HEADER_LEN)?..at.l4.checked_add(header)?;
    let before = Sum::new().bytes(packet.head.get(options.clone())?);
    let mut place = options.start;
    while place < options.end {
        let kind = bytes::u8_at(packet.head, place)?;
        let len = match kind {
            0 => break,
            1 => 1,
            _ => usize::from(bytes::u8_at(packet.head, place + 1)?),
        };
        if len == 0 || place + len > options.end {
            break;
        }
        if kind == SACK {
            for edge in (place + 2..(place + len).saturating_sub(3)).step_by(4) {
                let new = moved(bytes::u32_at(packet.head, edge)?);
                bytes::put(packet.head, edge, &new.to_be_bytes())?;
            }
        }
        place += len;
    }
    let after = Sum::new().bytes(packet.head.get(options)?);
    summed(packet, at, |delta| delta.replace(before, after))
}
