//! The TCP machine: two endpoints' states, moved by what their segments do, and the window each may send in.
//!
//! Where it sits: called by `process.rs` with a segment of an existing connection, and once when one is made. It knows
//! segments ([`TcpSegment`]) but no packets.
//!
//! ~~~text
//!              its segment            the peer's ACK              its FIN           the peer's ACK
//!   CLOSED ────────────────► SYN_SENT ──────────────► ESTABLISHED ───────► CLOSING ──────────────► FIN_WAIT_2
//!      any state ── a RST of either ──► TIME_WAIT
//! ~~~
//!
//! Each endpoint has its own state ([`TcpState`]; those that the table never enters exist for their numbers), so a
//! connection is a pair, and the pair says how long it lives ([`lifetime`]).
//!
//! Windows: of each endpoint we know the end of what it sent (`seqlo`), the end of what its peer lets it send
//! (`seqhi`) and the largest window it announced. A segment is in window if it ends before `seqhi`, begins no more than
//! one window of the peer before `seqlo`, and acknowledges neither data long gone nor data far ahead; a RST has to name
//! the next byte, give or take one. Around the beginning and after the end of a connection, and for those picked up
//! in mid-stream, a wider band is accepted. (Guido van Rooij, "Real Stateful TCP Packet Filtering in IP Filter".)
//!
//! Spec: RFC 9293, RFC 7323 (window scale); Open vSwitch's userspace datapath.

use wire::tcp::{self, ACK, FIN, PSH, RST, SYN, TcpRef, URG};

use crate::entry::{TcpInfo, TcpState};
use crate::save::{Put, Take};
use crate::timeout::Timeout;

/// What a segment says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TcpSegment {
    pub seq: u32,
    pub ack: u32,
    pub window: u16,
    pub flags: u16,
    /// Bytes of payload.
    pub payload: u32,
    /// Shift of the window scale option.
    pub wscale: Option<u8>,
}

impl TcpSegment {
    /// The segment of `len` bytes with this header; `None` if the header does not fit. The window scale is read where
    /// it means something: with a SYN.
    #[inline]
    pub fn read(h: &TcpRef<'_>, len: usize) -> Option<TcpSegment> {
        let header = h.header_len();
        if header < tcp::HEADER_LEN || header > len {
            return None;
        }
        let flags = h.flags();
        Some(TcpSegment {
            seq: h.seq(),
            ack: h.ack(),
            window: h.window(),
            flags,
            payload: (len - header) as u32,
            wscale: if flags & SYN != 0 { h.window_scale() } else { None },
        })
    }

    const fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// True for a SYN that opens: without ACK.
    const fn opens(&self) -> bool {
        self.flags & (SYN | ACK) == SYN
    }

    /// Flags that no endpoint sends together, or alone.
    const fn is_nonsense(&self) -> bool {
        if self.has(SYN) {
            self.has(RST) || self.has(FIN)
        } else if self.has(ACK) {
            false
        } else {
            !self.has(RST) || self.has(FIN) || self.has(PSH) || self.has(URG)
        }
    }

    /// Sequence numbers that it takes up.
    fn span(&self) -> u32 {
        self.payload.wrapping_add(u32::from(self.has(SYN))).wrapping_add(u32::from(self.has(FIN)))
    }
}

/// What an endpoint's state reacts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TcpEvent {
    /// It sent a segment.
    Sent,
    /// It sent a FIN.
    SentFin,
    /// Its peer sent an ACK.
    Acknowledged,
    /// Either end sent a RST.
    Reset,
}

impl TcpState {
    /// The state after `event`.
    pub(crate) const fn on(self, event: TcpEvent) -> TcpState {
        match (event, self) {
            (TcpEvent::Sent, TcpState::Closed | TcpState::Listen) => TcpState::SynSent,
            (TcpEvent::SentFin, s) if (s as u8) < TcpState::Closing as u8 => TcpState::Closing,
            (TcpEvent::Acknowledged, TcpState::SynSent) => TcpState::Established,
            (TcpEvent::Acknowledged, TcpState::Closing) => TcpState::FinWait2,
            (TcpEvent::Reset, _) => TcpState::TimeWait,
            (_, unmoved) => unmoved,
        }
    }
}

/// How long a connection in these two states lives; the order of the two does not matter.
pub(crate) fn lifetime(a: TcpState, b: TcpState) -> Timeout {
    let (less, more) = if a < b { (a, b) } else { (b, a) };
    if less >= TcpState::FinWait2 {
        Timeout::TcpClosed
    } else if less >= TcpState::Closing {
        Timeout::TcpFinWait
    } else if less < TcpState::Established {
        Timeout::TcpOpening
    } else if more >= TcpState::Closing {
        Timeout::TcpClosing
    } else {
        Timeout::TcpEstablished
    }
}

/// What is known of an endpoint's window scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Scale(u8);

impl Scale {
    /// Its SYN had no option, or was not seen yet.
    const NONE: Scale = Scale(0);
    /// The connection was picked up after its SYN.
    const UNKNOWN: Scale = Scale(0x40);
    /// The largest shift of RFC 7323.
    const MAX: u8 = 14;

    const fn of(option: Option<u8>) -> Scale {
        match option {
            Some(shift) => Scale(0x80 | if shift > Scale::MAX { Scale::MAX } else { shift }),
            None => Scale::NONE,
        }
    }

    const fn is_known(self) -> bool {
        self.0 & 0x80 != 0
    }

    const fn shift(self) -> u8 {
        self.0 & 0x0f
    }
}

/// One endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Peer {
    /// End of what it has sent.
    seqlo: u32,
    /// End of what it may send.
    seqhi: u32,
    /// The largest window it announced, unscaled.
    max_win: u16,
    scale: Scale,
    state: TcpState,
}

/// A tracked TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TcpConn {
    orig: Peer,
    reply: Peer,
}

/// What a segment did to its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TcpOutcome {
    /// Part of it; it now lives that long.
    Part(Timeout),
    /// Part of it, though out of window: its lifetime is left alone.
    Tolerated,
    /// The opening SYN again.
    StillNew(Timeout),
    /// No part of it.
    Invalid,
    /// A SYN after the end: this connection is over and another begins.
    Reopens,
}

/// Bytes that an ACK may go back: the largest unscaled window and a packet.
const MAX_ACK_SKEW: i32 = 0xffff + 1500;

/// How far `a` is after `b` on the circle of sequence numbers; negative if before.
const fn after(a: u32, b: u32) -> i32 {
    a.wrapping_sub(b) as i32
}

const fn at_least_one(n: u32) -> u32 {
    if n == 0 { 1 } else { n }
}

impl TcpConn {
    /// Writes both ends.
    pub(crate) fn save(&self, to: &mut Put<'_>) {
        for peer in [&self.orig, &self.reply] {
            to.u32(peer.seqlo);
            to.u32(peer.seqhi);
            to.u16(peer.max_win);
            to.u8(peer.scale.0);
            to.u8(peer.state as u8);
        }
    }

    /// Reads what [`TcpConn::save`] wrote.
    pub(crate) fn restore(from: &mut Take<'_>) -> Option<TcpConn> {
        let mut peer = || {
            Some(Peer {
                seqlo: from.u32()?,
                seqhi: from.u32()?,
                max_win: from.u16()?,
                scale: Scale(from.u8()?),
                state: *TcpState::ALL.get(usize::from(from.u8()?))?,
            })
        };
        Some(TcpConn { orig: peer()?, reply: peer()? })
    }

    /// True if a connection may begin with `segment`: with a SYN, or in mid-stream, but not with a SYN+ACK.
    pub(crate) const fn may_begin_with(segment: &TcpSegment) -> bool {
        !segment.is_nonsense() && segment.flags & (SYN | ACK) != SYN | ACK
    }

    /// The connection that begins with `segment`.
    pub(crate) fn new(segment: &TcpSegment) -> TcpConn {
        let syn = segment.has(SYN);
        let scale = if syn { Scale::of(segment.wscale) } else { Scale::UNKNOWN };
        let window = if segment.window == 0 { 1 } else { segment.window };
        let orig = Peer {
            seqlo: segment.seq,
            seqhi: segment.seq.wrapping_add(segment.span()).wrapping_add(1),
            // The window of a SYN is not scaled; what is stored will be.
            max_win: window.div_ceil(1 << scale.shift()),
            scale,
            state: TcpState::SynSent,
        };
        let scale = if syn { Scale::NONE } else { Scale::UNKNOWN };
        TcpConn { orig, reply: Peer { seqlo: 0, seqhi: 1, max_win: 1, scale, state: TcpState::Closed } }
    }

    /// Takes a segment of the original (or, with `reply`, the other) direction.
    pub(crate) fn handle_segment(&mut self, segment: &TcpSegment, from: Side, check: SeqCheck) -> TcpOutcome {
        let (src, dst) = match from {
            Side::Orig => (&mut self.orig, &mut self.reply),
            Side::Reply => (&mut self.reply, &mut self.orig),
        };
        if segment.is_nonsense() {
            return TcpOutcome::Invalid;
        }
        if segment.opens() {
            if src.state >= TcpState::FinWait2 && dst.state >= TcpState::FinWait2 {
                (src.state, dst.state) = (TcpState::Closed, TcpState::Closed);
                return TcpOutcome::Reopens;
            }
            if src.state <= TcpState::SynSent {
                src.state = src.state.on(TcpEvent::Sent);
                return TcpOutcome::StillNew(Timeout::TcpFirstPacket);
            }
        }
        let mut flight = Flight::new(segment, src, dst);
        if flight.is_first {
            flight.introduce(segment, src, dst);
        }
        flight.settle_ack(segment, src, dst);
        if check == SeqCheck::Off || flight.in_window(segment, src, dst) {
            flight.advance(src, dst);
            move_states(segment, src, dst, |peer| peer.on(TcpEvent::Acknowledged));
            TcpOutcome::Part(lifetime(src.state, dst.state))
        } else if flight.in_wide_band(src, dst) {
            flight.advance(src, dst);
            // An ACK out of window establishes nothing.
            move_states(segment, src, dst, |peer| peer);
            TcpOutcome::Tolerated
        } else {
            TcpOutcome::Invalid
        }
    }

    /// What dumps show.
    pub(crate) fn info(&self) -> TcpInfo {
        let shift = |p: &Peer| p.scale.is_known().then_some(p.scale.shift());
        TcpInfo {
            state_orig: self.orig.state,
            state_reply: self.reply.state,
            wscale_orig: shift(&self.orig),
            wscale_reply: shift(&self.reply),
            mid_stream: self.orig.scale == Scale::UNKNOWN,
        }
    }
}

/// The direction of a packet of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Orig,
    Reply,
}

/// Whether segments out of window are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SeqCheck {
    On,
    Off,
}

fn move_states(
    segment: &TcpSegment,
    src: &mut Peer,
    dst: &mut Peer,
    acknowledge: impl Fn(TcpState) -> TcpState,
) {
    if segment.has(SYN) {
        src.state = src.state.on(TcpEvent::Sent);
    }
    if segment.has(FIN) {
        src.state = src.state.on(TcpEvent::SentFin);
    }
    if segment.has(ACK) {
        dst.state = acknowledge(dst.state);
    }
    if segment.has(RST) {
        (src.state, dst.state) = (src.state.on(TcpEvent::Reset), dst.state.on(TcpEvent::Reset));
    }
}

/// A segment measured against both endpoints.
struct Flight {
    /// Where its bytes begin and end; for a segment without any, where the sender already was.
    seq: u32,
    end: u32,
    /// What it acknowledges; for a segment that does not, what the peer has sent.
    ack: u32,
    /// Its window in the unit in which the sender's largest is kept.
    window: u32,
    /// Shifts of the sender's and the receiver's windows.
    src_shift: u8,
    dst_shift: u8,
    /// It is the first of its sender.
    is_first: bool,
}

impl Flight {
    fn new(segment: &TcpSegment, src: &Peer, dst: &Peer) -> Flight {
        let (src_shift, dst_shift) = if segment.has(SYN) {
            (0, 0)
        } else if src.scale.is_known() && dst.scale.is_known() {
            (src.scale.shift(), dst.scale.shift())
        } else if src.scale == Scale::UNKNOWN && dst.scale == Scale::UNKNOWN {
            (Scale::MAX, Scale::MAX)
        } else {
            (0, 0)
        };
        Flight {
            seq: segment.seq,
            end: segment.seq.wrapping_add(segment.span()),
            ack: segment.ack,
            window: u32::from(segment.window),
            src_shift,
            dst_shift,
            is_first: src.state < TcpState::SynSent,
        }
    }

    /// The sender's first segment: its scale, its place, and how far it may send.
    fn introduce(&mut self, segment: &TcpSegment, src: &mut Peer, dst: &mut Peer) {
        if segment.has(SYN) && dst.scale.is_known() {
            src.scale = Scale::of(segment.wscale);
            if src.scale.is_known() {
                self.src_shift = src.scale.shift();
                self.dst_shift = dst.scale.shift();
                self.window = self.window.div_ceil(1 << self.src_shift);
            } else {
                // Scaling takes two: the other's window was not scaled either.
                let whole = u32::from(dst.max_win) << dst.scale.shift();
                dst.max_win = u16::try_from(whole).unwrap_or(u16::MAX);
                dst.scale = Scale::NONE;
            }
        }
        src.seqlo = self.seq;
        src.state = src.state.on(TcpEvent::Sent);
        // The limit may be that of a stream picked up in the middle: then it slides with what is sent.
        let limit = self.end.wrapping_add(at_least_one(u32::from(dst.max_win) << self.dst_shift));
        if src.seqhi == 1 || after(limit, src.seqhi) >= 0 {
            src.seqhi = limit;
        }
        self.raise_window(src);
    }

    fn raise_window(&self, src: &mut Peer) {
        src.max_win = src.max_win.max(u16::try_from(self.window).unwrap_or(u16::MAX));
    }

    /// Decides what the segment counts as acknowledging, and where one without bytes is.
    fn settle_ack(&mut self, segment: &TcpSegment, src: &Peer, dst: &Peer) {
        let broken_reset = self.ack == 0 && segment.has(RST);
        if !segment.has(ACK) || broken_reset || dst.state < TcpState::SynSent {
            self.ack = dst.seqlo;
        }
        if self.seq == self.end {
            (self.seq, self.end) = (src.seqlo, src.seqlo);
        }
    }

    fn in_window(&self, segment: &TcpSegment, src: &Peer, dst: &Peer) -> bool {
        let oldest = src.seqlo.wrapping_sub(u32::from(dst.max_win) << self.dst_shift);
        let skew = after(dst.seqlo, self.ack);
        let near = i64::from(skew) >= -i64::from(MAX_ACK_SKEW)
            && i64::from(skew) <= i64::from(MAX_ACK_SKEW) << self.src_shift;
        let exact = matches!(after(segment.seq, src.seqlo), -1..=1);
        after(src.seqhi, self.end) >= 0
            && after(self.seq, oldest) >= 0
            && near
            && (!segment.has(RST) || exact)
    }

    fn in_wide_band(&self, src: &Peer, dst: &Peer) -> bool {
        let loose = dst.state < TcpState::SynSent
            || dst.state >= TcpState::FinWait2
            || src.state >= TcpState::FinWait2;
        let band = MAX_ACK_SKEW as u32;
        loose
            && after(src.seqhi.wrapping_add(band), self.end) >= 0
            && after(self.seq, src.seqlo.wrapping_sub(band)) >= 0
    }

    /// Moves both windows on.
    fn advance(&self, src: &mut Peer, dst: &mut Peer) {
        self.raise_window(src);
        if after(self.end, src.seqlo) > 0 {
            src.seqlo = self.end;
        }
        let limit = self.ack.wrapping_add(self.window << self.src_shift);
        if after(limit, dst.seqhi) >= 0 {
            dst.seqhi = self.ack.wrapping_add(at_least_one(self.window << self.src_shift));
        }
    }
}

#[cfg(test)]
mod tests;
