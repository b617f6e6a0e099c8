//! One packet through the tracker.
//!
//! Where it sits: [`Conntrack::process`] is what the datapath calls for every `ct` action.
//!
//! ~~~text
//!   seen before in this zone? ── yes ──────────────────────────────────────┐
//!     │ no                                                                 ▼
//!   extract ── cannot ──► inv      found ──► machine ──► est │ new │ inv ──► translate, mark, label
//!     │                              ▲  └─ over, or the wrong way and force ─┐
//!     └── look up ── yes ────────────┘                                     ▼
//!           └── no ──► may it begin a connection? ── no ──► inv      new, and commit
//! ~~~
//!
//! I1  A packet that passes the same zone twice is judged once: its metadata note the connection.
//! I2  A refusal to enter a connection (limits, memory, no free translation) leaves the packet `new` and untranslated,
//!     as in Open vSwitch; it is counted.
//!
//! Context: any worker; never allocates.
//!
//! Spec: ovs-fields(7), "ct_state"; ovs-actions(7), "The ct action". Next: `tcp.rs`.

use flow::ct_state::{DNAT, EST, INV, NEW, REL, RPL, SNAT, TRK};
use packet::{CtTuple, DropReason, Now, PacketMeta};

use crate::action::{Commit, CtAction, CtPacket, CtVerdict, NatKind, Rewrite};
use crate::alg::{Expected, Helped};
use crate::commit::first_machine;
use crate::conn::{Body, Machine};
use crate::counters::Counter;
use crate::entry::EventKind;
use crate::extract::{Facts, Kind, Verified, extract};
use crate::rewrite::translate;
use crate::shard::Shard;
use crate::slab::ConnRef;
use crate::table::{Conntrack, Hit};
use crate::tcp::{SeqCheck, Side, TcpOutcome};
use crate::timeout::Timeout;
use crate::tuple::Tuple;

/// What a packet is to the connection it was found to belong to.
pub(crate) enum Standing {
    /// Part of it: these bits; it now lives that long, or as long as before.
    Part(u8, Option<Timeout>),
    /// The connection is over; the packet begins another.
    Reopens,
}

impl Conntrack {
    /// Sends a packet through the tracker: sets `meta`'s connection fields, and translates the packet's addresses. Never
    /// allocates.
    #[inline(never)]
    pub fn process(
        &self,
        now: Now,
        meta: &mut PacketMeta,
        packet: &mut CtPacket<'_>,
        action: &CtAction,
    ) -> CtVerdict {
        if let Some(verdict) = self.process_again(now, meta, packet, action) {
            return verdict;
        }
        let before = (meta.ct_state, meta.ct_zone, meta.ct_tuple);
        meta.clear_ct();
        meta.ct_zone = action.zone;
        let mut verified = Verified::default();
        let facts = extract(packet, action.zone, &mut verified);
        self.count_verified(verified);
        let facts = match facts {
            Ok(facts) => facts,
            Err(reason) => {
                if let Some(counter) = reason {
                    self.counters.add(counter);
                }
                return self.invalid(meta);
            }
        };
        let hit =
            self.find_live(now, &facts.tuple).or_else(|| self.find_translated(now, before, &facts, action));
        match hit {
            Some(hit) => self.process_hit(now, meta, packet, action, &facts, hit),
            None => self.process_new(now, meta, packet, action, &facts),
        }
    }

    fn invalid(&self, meta: &mut PacketMeta) -> CtVerdict {
        self.counters.add(Counter::Invalid);
        meta.ct_state = TRK | INV;
        CtVerdict::Pass(Rewrite::None)
    }

    fn count_verified(&self, verified: Verified) {
        if verified.l3 {
            self.counters.add(Counter::L3csumChecked);
        }
        if verified.l4 {
            self.counters.add(Counter::L4csumChecked);
        }
    }

    /// A packet that has passed this zone already: its connection is noted, its state stands.
    fn process_again(
        &self,
        now: Now,
        meta: &mut PacketMeta,
        packet: &mut CtPacket<'_>,
        action: &CtAction,
    ) -> Option<CtVerdict> {
        if meta.ct_conn == 0 || meta.ct_zone != action.zone || action.commit == Commit::Force {
            return None;
        }
        let conn = ConnRef::from_number(meta.ct_conn as u32);
        let mut shard = self.shard(conn.shard())?;
        let body = shard.body(conn)?;
        if body.generation != (meta.ct_conn >> 32) as u32 || body.zone != action.zone {
            return None;
        }
        let translated = meta.ct_state & (SNAT | DNAT) != 0;
        let mut rewrite = Rewrite::None;
        if action.nat.is_some() && !translated && body.nat().is_some() {
            let facts = extract(packet, action.zone, &mut Verified::default()).ok()?;
            let side = if meta.ct_state & RPL != 0 { Side::Reply } else { Side::Orig };
            match nat(&mut shard, conn, side, packet, &facts) {
                Some(bits) => meta.ct_state |= bits,
                None => return Some(CtVerdict::Drop(DropReason::InvalidAction)),
            }
            rewrite = Rewrite::Nat;
        }
        self.annotate(now, meta, action, &mut shard, conn, EventKind::Update);
        Some(CtVerdict::Pass(rewrite))
    }

    /// Finds a connection that has not expired; one that has is ended.
    fn find_live(&self, now: Now, t: &Tuple) -> Option<Hit<'_>> {
        let mut hit = self.find(t)?;
        if hit.shard.body(hit.conn)?.expires > now.mono.as_millis() {
            return Some(hit);
        }
        if self.end(hit.shard, hit.conn, now) {
            self.counters.add(Counter::Expired);
        }
        None
    }

    /// Finds the connection of a packet that this zone has translated, and that comes back without a note of it (through
    /// user space): its addresses no longer tell, but its metadata do.
    fn find_translated(
        &self,
        now: Now,
        (state, zone, tuple): (u8, u16, Option<CtTuple>),
        facts: &Facts,
        action: &CtAction,
    ) -> Option<Hit<'_>> {
        let tuple =
            tuple.filter(|_| state & (SNAT | DNAT) != 0 && zone == action.zone && action.nat.is_none())?;
        let mut t = Tuple::from_ct_tuple(&tuple, zone);
        if t.is_icmp() {
            (t.src_port, t.dst_port) = (facts.tuple.src_port, facts.tuple.dst_port);
        }
        let hit = self.find_live(now, &t)?;
        let side = if state & RPL != 0 { Side::Reply } else { Side::Orig };
        Some(Hit { side, ..hit })
    }

    fn process_hit(
        &self,
        now: Now,
        meta: &mut PacketMeta,
        packet: &mut CtPacket<'_>,
        action: &CtAction,
        facts: &Facts,
        mut hit: Hit<'_>,
    ) -> CtVerdict {
        let helped = hit.shard.body(hit.conn).filter(|b| b.is_helped()).map(|b| (hit.conn, b.generation));
        let mut acknowledged;
        let facts = match helped {
            Some(id) => {
                acknowledged = *facts;
                self.algs.adjust_ack(id, hit.side, packet, &mut acknowledged);
                &acknowledged
            }
            None => facts,
        };
        let standing = match (action.commit, hit.side, hit.shard.body(hit.conn)) {
            (Commit::Force, Side::Reply, _) => Standing::Reopens,
            (_, side, Some(body)) => judge(body, &facts.kind, side, self.seq_check()),
            (_, _, None) => Standing::Reopens,
        };
        let Standing::Part(state, timeout) = standing else {
            self.end(hit.shard, hit.conn, now);
            return self.process_new(now, meta, packet, action, facts);
        };
        meta.ct_state = TRK | state;
        if state & INV != 0 {
            self.counters.add(Counter::Invalid);
        }
        let mut translates = false;
        if let Some(body) = hit.shard.body(hit.conn) {
            body.count(hit.side, packet.len);
            if let Some(timeout) = timeout {
                body.expires = self.deadline(now.mono.as_millis(), body.policy, timeout);
            }
            translates = action.nat.is_some() && body.nat().is_some();
            if body.is_related() {
                meta.ct_state |= REL;
            }
        }
        let mut rewrite = Rewrite::None;
        if translates {
            match nat(&mut hit.shard, hit.conn, hit.side, packet, facts) {
                Some(bits) => meta.ct_state |= bits,
                None => return CtVerdict::Drop(DropReason::InvalidAction),
            }
            rewrite = Rewrite::Nat;
        }
        if helped.is_some() && state & INV == 0 {
            rewrite = self.help(now, (&mut hit.shard, hit.conn, hit.side), packet, facts, rewrite);
        }
        self.annotate(now, meta, action, &mut hit.shard, hit.conn, EventKind::Update);
        CtVerdict::Pass(rewrite)
    }

    #[inline(never)]
    fn process_new(
        &self,
        now: Now,
        meta: &mut PacketMeta,
        packet: &mut CtPacket<'_>,
        action: &CtAction,
        facts: &Facts,
    ) -> CtVerdict {
        meta.ct_tuple = Some(facts.tuple.to_ct_tuple());
        let Some(machine) = first_machine(facts) else {
            return self.invalid(meta);
        };
        meta.ct_state = TRK | NEW;
        match self.algs.expected(&facts.tuple, now.mono.as_millis()) {
            None => self.begin(now, meta, packet, (action, None), (facts, machine)),
            Some(e) => {
                meta.ct_state |= REL;
                (meta.ct_mark, meta.ct_label, meta.ct_tuple) =
                    (e.mark, e.label, Some(e.parent.to_ct_tuple()));
                let action = e.action(action);
                self.begin(now, meta, packet, (&action, Some(&e)), (facts, machine))
            }
        }
    }

    /// Enters the connection of a packet that is the first of it, if the action says so.
    // apart from `process_new`, which has an announcement on its stack: kernel frames are small
    #[inline(never)]
    fn begin(
        &self,
        now: Now,
        meta: &mut PacketMeta,
        packet: &mut CtPacket<'_>,
        (action, expected): (&CtAction, Option<&Expected>),
        (facts, machine): (&Facts, (Machine, Timeout)),
    ) -> CtVerdict {
        if action.commit == Commit::No {
            return CtVerdict::Pass(Rewrite::None);
        }
        let Some((mut shard, conn)) = self.commit(now, facts, machine, action) else {
            return CtVerdict::Pass(Rewrite::None);
        };
        let mut translates = false;
        if let Some(body) = shard.body(conn) {
            body.count(Side::Orig, packet.len);
            translates = body.nat().is_some();
            if let Some(e) = expected {
                body.set_related();
                body.mark = e.mark;
                body.set_label(e.label);
                let id = (conn, body.generation);
                self.algs.arrived(&facts.tuple, id, &e.parent, now.mono.as_millis());
            }
        }
        let mut rewrite = Rewrite::None;
        if translates {
            match nat(&mut shard, conn, Side::Orig, packet, facts) {
                Some(bits) => meta.ct_state |= bits,
                None => {
                    self.end(shard, conn, now);
                    return CtVerdict::Drop(DropReason::InvalidAction);
                }
            }
            rewrite = Rewrite::Nat;
        }
        self.annotate(now, meta, action, &mut shard, conn, EventKind::New);
        if action.alg.is_some() {
            rewrite = self.help(now, (&mut shard, conn, Side::Orig), packet, facts, rewrite);
        }
        CtVerdict::Pass(rewrite)
    }

    /// The original direction of the connection that announced this one.
    pub(crate) fn parent(&self, shard: &mut Shard, conn: ConnRef) -> Option<Tuple> {
        let body = shard.body(conn).filter(|body| body.is_related())?;
        self.algs.parent((conn, body.generation))
    }

    /// Has the helper of a connection look at a packet of it.
    // apart: few connections have one
    #[inline(never)]
    fn help(
        &self,
        now: Now,
        (shard, conn, side): (&mut Shard, ConnRef, Side),
        packet: &mut CtPacket<'_>,
        facts: &Facts,
        rewrite: Rewrite,
    ) -> Rewrite {
        let Some((orig, reply)) = shard.tuples(conn) else { return rewrite };
        let Some(body) = shard.body(conn) else { return rewrite };
        let Some(alg) = body.alg() else { return rewrite };
        let helped = Helped {
            id: (conn, body.generation),
            alg,
            side,
            orig,
            reply,
            mark: body.mark,
            label: body.label(),
            facts,
            translated: rewrite == Rewrite::Nat,
        };
        match self.algs.look(now.mono.as_millis(), packet, &helped) {
            (_, Some(edit)) => Rewrite::Payload(edit),
            (true, None) => Rewrite::Nat,
            (false, None) => rewrite,
        }
    }

    /// Sets the connection's mark and label as the action says, and the packet's metadata from the connection.
    fn annotate(
        &self,
        now: Now,
        meta: &mut PacketMeta,
        action: &CtAction,
        shard: &mut Shard,
        conn: ConnRef,
        event: EventKind,
    ) {
        let Some((orig, _)) = shard.tuples(conn) else { return };
        let Some(body) = shard.body(conn) else { return };
        let before = (body.mark, body.label());
        if let Some((value, mask)) = action.mark {
            body.mark = value & mask | body.mark & !mask;
        }
        if let Some((value, mask)) = action.label {
            body.set_label(value & mask | body.label() & !mask);
        }
        meta.ct_zone = action.zone;
        (meta.ct_mark, meta.ct_label) = (body.mark, body.label());
        let (generation, is_related) = (body.generation, body.is_related());
        let parent = if is_related { self.algs.parent((conn, generation)) } else { None };
        meta.ct_tuple = Some(parent.unwrap_or(orig).to_ct_tuple());
        meta.ct_conn = u64::from(body.generation) << 32 | u64::from(conn.number());
        let raised = match event {
            EventKind::New => body.wants_new_event(),
            _ => before != (body.mark, body.label()) && body.wants_update_event(),
        };
        if raised
            && self.events.is_on()
            && let Some(entry) = shard.entry(conn, now)
        {
            self.raise(event, &entry);
        }
    }
}

/// What a packet is to its connection.
#[inline(always)]
pub(crate) fn judge(body: &mut Body, kind: &Kind, side: Side, check: SeqCheck) -> Standing {
    let reply = if side == Side::Reply { RPL } else { 0 };
    let est = |timeout| Standing::Part(EST | reply, Some(timeout));
    let part = |established: bool, timeout| {
        if established { est(timeout) } else { Standing::Part(NEW, Some(timeout)) }
    };
    match (&mut body.machine, kind) {
        (_, Kind::Error(_)) => Standing::Part(REL | reply, None),
        (Machine::Tcp(tcp), Kind::Tcp(segment)) => match tcp.handle_segment(segment, side, check) {
            TcpOutcome::Part(timeout) => est(timeout),
            TcpOutcome::Tolerated => Standing::Part(EST | reply, None),
            TcpOutcome::StillNew(timeout) => Standing::Part(NEW, Some(timeout)),
            TcpOutcome::Invalid => Standing::Part(INV, None),
            TcpOutcome::Reopens => Standing::Reopens,
        },
        (Machine::Icmp(icmp), _) => {
            *icmp = icmp.on(side);
            part(icmp.is_established(), icmp.lifetime())
        }
        (Machine::Other(other), _) => {
            *other = other.on(side);
            part(other.is_established(), other.lifetime())
        }
        // The tuple has the protocol, so these never meet.
        (Machine::Tcp(_), _) => Standing::Part(INV, None),
    }
}

/// Translates a packet of a translated connection; the bits it gets, or `None` if its bytes are unusable.
fn nat(shard: &mut Shard, conn: ConnRef, side: Side, packet: &mut CtPacket<'_>, facts: &Facts) -> Option<u8> {
    let (orig, reply) = shard.tuples(conn)?;
    let kind = shard.body(conn)?.nat()?;
    let to = if side == Side::Orig { reply.reversed() } else { orig.reversed() };
    if !translate(packet, facts, &to) {
        return None;
    }
    // What is the source in one direction is the destination in the other.
    Some(if (kind == NatKind::Src) == (side == Side::Orig) { SNAT } else { DNAT })
}
