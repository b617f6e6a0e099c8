//! Connections as ctnetlink tells them: dumps, removal, events; and back, for clients.
//!
//! Where it sits: beside `families`; public because the other end of the device decodes with it.
//!
//! TCP states are numbered as ovsext 6.9 has them, which is not Linux's numbering.

use alloc::vec::Vec;
use core::time::Duration;

use conntrack::{Alg, Counters, DumpCursor, Entry, Event, EventKind, Flush, TcpInfo, TcpState, Tuple};
use netlink::{Attr, Attrs, Builder, Header, flags};
use odp::netlink::ids::ctnetlink;

use crate::families::{Answer, Call};
use crate::handle::Listing;
use crate::request::{Request, begin_nf};
use crate::{Env, Errno, Status};

mod attr {
    pub const TUPLE_ORIG: u16 = 1;
    pub const TUPLE_REPLY: u16 = 2;
    pub const STATUS: u16 = 3;
    pub const PROTOINFO: u16 = 4;
    pub const HELP: u16 = 5;
    pub const TIMEOUT: u16 = 7;
    pub const MARK: u16 = 8;
    pub const COUNTERS_ORIG: u16 = 9;
    pub const COUNTERS_REPLY: u16 = 10;
    pub const TUPLE_MASTER: u16 = 14;
    pub const ZONE: u16 = 18;
    pub const TIMESTAMP: u16 = 20;
    pub const LABELS: u16 = 22;
}

mod tuple_attr {
    pub const IP: u16 = 1;
    pub const PROTO: u16 = 2;
}

const AF_INET: u8 = 2;
/// Windows' number, and Linux's.
const AF_INET6: u8 = if cfg!(windows) { 23 } else { 10 };

const WINDOW_SCALE: u16 = 1;
const LIBERAL: u16 = 8;

fn family_of(t: &Tuple) -> u8 {
    if t.is_ipv6 { AF_INET6 } else { AF_INET }
}

fn nest(b: &mut Builder, kind: u16, fill: impl FnOnce(&mut Builder)) {
    let nest = b.begin_plain_nest(kind);
    fill(b);
    b.end_nest(nest);
}

/// Adds a tuple.
pub fn put_tuple(b: &mut Builder, kind: u16, t: &Tuple) {
    nest(b, kind, |b| {
        nest(b, tuple_attr::IP, |b| {
            if t.is_ipv6 {
                b.put_be128(3, t.src);
                b.put_be128(4, t.dst);
            } else {
                b.put_be32(1, t.src as u32);
                b.put_be32(2, t.dst as u32);
            }
        });
        nest(b, tuple_attr::PROTO, |b| {
            b.put_u8(1, t.proto);
            if t.is_icmp() {
                let first = if t.is_ipv6 { 7 } else { 4 };
                b.put_be16(first, t.src_port);
                b.put_u8(first.saturating_add(1), t.icmp_type);
                b.put_u8(first.saturating_add(2), t.icmp_code);
            } else {
                b.put_be16(2, t.src_port);
                b.put_be16(3, t.dst_port);
            }
        });
    });
}

/// Adds the original direction of a connection that a request names.
pub fn put_orig(b: &mut Builder, t: &Tuple) {
    put_tuple(b, attr::TUPLE_ORIG, t);
}

/// Adds the zone that a request names.
pub fn put_zone(b: &mut Builder, zone: u16) {
    b.put_be16(attr::ZONE, zone);
}

fn put_counters(b: &mut Builder, kind: u16, c: &Counters) {
    nest(b, kind, |b| {
        b.put_be64(1, c.packets);
        b.put_be64(2, c.bytes);
    });
}

/// Adds a connection, in the order of the interface.
pub fn put_entry(b: &mut Builder, e: &Entry) {
    put_tuple(b, attr::TUPLE_ORIG, &e.orig);
    put_tuple(b, attr::TUPLE_REPLY, &e.reply);
    put_counters(b, attr::COUNTERS_ORIG, &e.orig_counters);
    put_counters(b, attr::COUNTERS_REPLY, &e.reply_counters);
    if e.orig.zone != 0 {
        b.put_be16(attr::ZONE, e.orig.zone);
    }
    if e.mark != 0 {
        b.put_be32(attr::MARK, e.mark);
    }
    b.put(attr::LABELS, &e.label.to_ne_bytes());
    if !e.timeout.is_zero() {
        b.put_be32(attr::TIMEOUT, u32::try_from(e.timeout.as_secs()).unwrap_or(u32::MAX));
    }
    if let Some(tcp) = &e.tcp {
        nest(b, attr::PROTOINFO, |b| nest(b, 1, |b| put_tcp(b, tcp)));
    }
    if let Some(alg) = e.alg {
        nest(b, attr::HELP, |b| b.put_str(1, alg.name()));
    }
    if let Some(parent) = &e.parent {
        put_tuple(b, attr::TUPLE_MASTER, parent);
    }
    b.put_be32(attr::STATUS, 0);
    nest(b, attr::TIMESTAMP, |b| {
        b.put_be64(1, e.start_ms.saturating_mul(1_000_000));
        if e.stop_ms != 0 {
            b.put_be64(2, e.stop_ms.saturating_mul(1_000_000));
        }
    });
}

/// Both ends' states share a byte: the original direction's is the interface's; the reply's stands behind the flags.
fn put_tcp(b: &mut Builder, tcp: &TcpInfo) {
    let flags = |scale: Option<u8>| {
        (u16::from(scale.is_some()) * WINDOW_SCALE) | (u16::from(tcp.mid_stream) * LIBERAL)
    };
    b.put_u8(1, tcp.state_orig as u8);
    b.put_u8(2, tcp.wscale_orig.unwrap_or(0));
    b.put_u8(3, tcp.wscale_reply.unwrap_or(0));
    b.put_u16(4, flags(tcp.wscale_orig));
    b.put_u16(5, flags(tcp.wscale_reply));
    // not the original's: it has one state for both ends
    b.put_u8(16, tcp.state_reply as u8);
}

fn take_tcp(attrs: Attrs<'_>) -> TcpInfo {
    let byte = |kind| attrs.find(kind).and_then(Attr::u8);
    let flags = |kind| attrs.find(kind).and_then(Attr::u16).unwrap_or(0);
    let state = |kind| byte(kind).and_then(|n| TcpState::ALL.get(usize::from(n)).copied());
    let scale = |kind, has| byte(kind).filter(|_| flags(has) & WINDOW_SCALE != 0);
    let state_orig = state(1).unwrap_or_default();
    TcpInfo {
        state_orig,
        state_reply: state(16).unwrap_or(state_orig),
        wscale_orig: scale(2, 4),
        wscale_reply: scale(3, 5),
        mid_stream: flags(4) & LIBERAL != 0,
    }
}

/// Reads a tuple; `None` if it is none.
pub(crate) fn take_tuple(a: Attr<'_>, zone: u16) -> Option<Tuple> {
    let (ip, proto) = (a.nested().find(tuple_attr::IP)?, a.nested().find(tuple_attr::PROTO)?);
    let (ip, proto) = (ip.nested(), proto.nested());
    let v4 = |kind| ip.find(kind).and_then(Attr::be32).map(u128::from);
    let v6 = |kind| ip.find(kind).and_then(Attr::be128);
    let (src, dst, is_ipv6) = match (v4(1), v4(2)) {
        (Some(src), Some(dst)) => (src, dst, false),
        _ => (v6(3)?, v6(4)?, true),
    };
    let port = |kind| proto.find(kind).and_then(Attr::be16);
    let byte = |kind| proto.find(kind).and_then(Attr::u8);
    let mut t = Tuple { src, dst, zone, is_ipv6, proto: byte(1)?, ..Tuple::default() };
    if t.is_icmp() {
        let first = if is_ipv6 { 7 } else { 4 };
        let id = port(first)?;
        (t.src_port, t.dst_port) = (id, id);
        (t.icmp_type, t.icmp_code) = (byte(first.saturating_add(1))?, byte(first.saturating_add(2))?);
    } else {
        (t.src_port, t.dst_port) = (port(2).unwrap_or(0), port(3).unwrap_or(0));
    }
    Some(t)
}

/// Reads a connection out of a message's attributes; `None` if they are none.
pub fn take_entry(attrs: &Attrs<'_>) -> Option<Entry> {
    let find = |kind| attrs.find(kind);
    let zone = find(attr::ZONE).and_then(Attr::be16).unwrap_or(0);
    let tuple = |kind| find(kind).and_then(|a| take_tuple(a, zone));
    let count = |kind| {
        let word = |n| find(kind).and_then(|a| a.nested().find(n)).and_then(Attr::be64).unwrap_or(0);
        Counters { packets: word(1), bytes: word(2) }
    };
    let time = |n| find(attr::TIMESTAMP).and_then(|a| a.nested().find(n)).and_then(Attr::be64).unwrap_or(0);
    let label = find(attr::LABELS).and_then(|a| a.payload.try_into().ok()).map_or(0, u128::from_ne_bytes);
    let seconds = find(attr::TIMEOUT).and_then(Attr::be32).unwrap_or(0);
    Some(Entry {
        orig: tuple(attr::TUPLE_ORIG)?,
        reply: tuple(attr::TUPLE_REPLY)?,
        mark: find(attr::MARK).and_then(Attr::be32).unwrap_or(0),
        label,
        timeout: Duration::from_secs(u64::from(seconds)),
        orig_counters: count(attr::COUNTERS_ORIG),
        reply_counters: count(attr::COUNTERS_REPLY),
        start_ms: time(1) / 1_000_000,
        stop_ms: time(2) / 1_000_000,
        tcp: find(attr::PROTOINFO).and_then(|a| a.nested().find(1)).map(|a| take_tcp(a.nested())),
        alg: find(attr::HELP).and_then(|a| a.nested().find(1)).and_then(Attr::str).and_then(Alg::parse),
        parent: tuple(attr::TUPLE_MASTER),
    })
}

/// What a request to remove connections names; `None` if a part of it makes no sense.
fn wanted(request: &Request<'_>) -> Option<Flush> {
    let zone = match request.attrs.find(attr::ZONE) {
        Some(a) => Some(a.be16()?),
        None => None,
    };
    let orig = match request.attrs.find(attr::TUPLE_ORIG) {
        Some(a) => Some(take_tuple(a, zone.unwrap_or(0))?),
        None => None,
    };
    Some(Flush { zone, orig })
}

/// Removes connections.
#[inline(never)]
pub(crate) fn delete<H: ?Sized>(call: &Call<'_, H>) -> Result<Answer, Errno> {
    let what = wanted(call.request).ok_or(Errno::Inval)?;
    let ended = call.env.datapath.conntrack().flush(call.env.now, &what);
    if what.orig.is_some() && ended == 0 {
        return Err(Errno::NoEnt);
    }
    let header = Header {
        kind: ctnetlink::DELETE,
        flags: 0,
        seq: call.request.header.seq,
        pid: call.request.header.pid,
    };
    let mut b = Builder::new();
    begin_nf(&mut b, &header, call.request.nf_family);
    Ok(Answer::Message(b))
}

/// What a dump of connections lists.
pub(crate) fn listing(request: &Request<'_>) -> Listing {
    Listing::Connections {
        at: DumpCursor::default(),
        family: Some(request.nf_family).filter(|f| *f != 0),
        zone: request.attrs.find(attr::ZONE).and_then(Attr::be16),
    }
}

/// One connection of a dump.
#[inline(never)]
pub(crate) fn dump<H: ?Sized>(
    env: Env<'_, H>,
    header: &Header,
    mut at: DumpCursor,
    (family, zone): (Option<u8>, Option<u16>),
    out: &mut [u8],
) -> Result<(usize, Option<Listing>), Status> {
    let mut one = [Entry::default()];
    loop {
        if env.datapath.conntrack().dump(env.now, &mut at, zone, &mut one) == 0 {
            return Ok((0, None));
        }
        let [e] = &one;
        if family.is_some_and(|f| f != family_of(&e.orig)) {
            continue;
        }
        let mut b = Builder::new();
        let header = Header { kind: ctnetlink::NEW, flags: header.flags | flags::CREATE, ..*header };
        begin_nf(&mut b, &header, family_of(&e.orig));
        put_entry(&mut b, e);
        let n = crate::device::copy(&b.finish().ok_or(Status::NoResources)?, out)?;
        return Ok((n, Some(Listing::Connections { at, family, zone })));
    }
}

/// The message of an event for the handle with number `pid`.
pub(crate) fn event(event: &Event, pid: u32) -> Option<Vec<u8>> {
    let (kind, flags) = match event.kind {
        EventKind::New => (ctnetlink::NEW, flags::CREATE),
        EventKind::Update => (ctnetlink::NEW, 0),
        EventKind::Destroy => (ctnetlink::DELETE, 0),
    };
    let mut b = Builder::new();
    begin_nf(&mut b, &Header { kind, flags, seq: 0, pid }, family_of(&event.entry.orig));
    put_entry(&mut b, &event.entry);
    b.finish()
}
