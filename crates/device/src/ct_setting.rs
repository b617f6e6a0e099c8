//! What connection tracking is set to: numbers and timeout policies; the fragments that wait, and the connections that others have
//! announced; and back, for clients.
//!
//! Where it sits: beside `families`; public because the other end of the device, and whoever takes a datapath over, reads and
//! writes the same attributes.
//!
//! Open vSwitch's driver has no words for any of it: the family is ours. A client of that driver never asks for it.
//!
//! ~~~text
//! GET   settings (1…8: u32 each), POLICY of each that differs from the defaults, COUNTS of both families, WAITS
//! SET   settings and POLICY, as many as are to change; POLICY without seconds goes back to the defaults
//! dump  WAITING, one a message; then EXPECTED, one a message
//! ~~~

use conntrack::{
    Conntrack, Expectation, FragmentCounts, FragmentStatus, MAX_TIMEOUT_POLICIES, Name, Setting, TIMEOUTS,
    TimeoutPolicy, Waiting,
};
use netlink::{Attr, Attrs, Builder, Header};
use odp::netlink::ids::{self, cmd};

use crate::ct::{put_tuple, take_tuple};
use crate::families::{Answer, Call};
use crate::handle::Listing;
use crate::request::begin;
use crate::{Env, Errno, Status};

mod attr {
    /// Nested: the number of a policy, and its seconds.
    pub const POLICY: u16 = 16;
    /// u32: fragments that wait.
    pub const WAITS: u16 = 17;
    /// Five u64, of IPv4: held, sent on, too small, overlapping, dropped.
    pub const COUNTS_IPV4: u16 = 18;
    /// The same of IPv6.
    pub const COUNTS_IPV6: u16 = 19;
    /// Nested: a datagram of which fragments are missing.
    pub const WAITING: u16 = 20;
    /// Nested: a connection that was announced and has not come.
    pub const EXPECTED: u16 = 21;
}

mod policy_attr {
    /// u16.
    pub const ID: u16 = 1;
    /// Eleven u32, in the order of `conntrack::Timeout`.
    pub const SECONDS: u16 = 2;
}

mod waiting_attr {
    pub const SRC: u16 = 1;
    pub const DST: u16 = 2;
    pub const ID: u16 = 3;
    pub const RECIRC_ID: u16 = 4;
    pub const ZONE: u16 = 5;
    pub const PROTO: u16 = 6;
    pub const FLAGS: u16 = 7;
    pub const FRAGMENTS: u16 = 8;
}

mod expected_attr {
    /// A tuple, as connections have it.
    pub const TUPLE: u16 = 1;
    /// The tuple of the connection that announced it.
    pub const PARENT: u16 = 2;
    pub const ZONE: u16 = 3;
    pub const MARK: u16 = 4;
    pub const LABEL: u16 = 5;
}

const IS_IPV6: u8 = 1;
const HAS_FIRST: u8 = 2;
const HAS_LAST: u8 = 4;

/// Adds a setting.
pub fn put_setting(b: &mut Builder, setting: Setting, value: u32) {
    b.put_u32(setting as u16, value);
}

/// The value of a setting, if the message has it.
pub fn take_setting(attrs: &Attrs<'_>, setting: Setting) -> Option<u32> {
    attrs.find(setting as u16).and_then(Attr::u32)
}

/// Adds a timeout policy; `None` means the defaults.
pub fn put_policy(b: &mut Builder, id: u16, policy: Option<&TimeoutPolicy>) {
    let nest = b.begin_plain_nest(attr::POLICY);
    b.put_u16(policy_attr::ID, id);
    if let Some(policy) = policy {
        b.put(policy_attr::SECONDS, policy.seconds().map(u32::to_ne_bytes).as_flattened());
    }
    b.end_nest(nest);
}

/// The timeout policies of a message by number; `None` stands for the defaults, an error for what is none.
pub fn policies(attrs: Attrs<'_>) -> impl Iterator<Item = Result<(u16, Option<TimeoutPolicy>), Errno>> {
    attrs.flatten().filter(|a| a.kind == attr::POLICY).map(|a| take_policy(&a.nested()).ok_or(Errno::Inval))
}

fn take_policy(attrs: &Attrs<'_>) -> Option<(u16, Option<TimeoutPolicy>)> {
    let id = attrs.find(policy_attr::ID)?.u16().filter(|id| *id < MAX_TIMEOUT_POLICIES)?;
    let Some(bytes) = attrs.find(policy_attr::SECONDS) else { return Some((id, None)) };
    let (words, []) = bytes.payload.as_chunks::<4>() else { return None };
    let words: &[[u8; 4]; TIMEOUTS] = words.try_into().ok()?;
    Some((id, Some(TimeoutPolicy::of_seconds(words.map(u32::from_ne_bytes)))))
}

/// Adds everything that a table is set to: what [`apply`] takes.
pub fn put_all(b: &mut Builder, table: &Conntrack) {
    for setting in Setting::ALL {
        put_setting(b, setting, table.setting(setting));
    }
    for (id, policy) in table.timeout_policies() {
        put_policy(b, id, Some(&policy));
    }
}

/// Sets a table to what a message says. What is no setting or no policy changes nothing; a value that a setting cannot have
/// leaves those behind it as they were.
pub fn apply(table: &Conntrack, attrs: &Attrs<'_>) -> Result<(), Errno> {
    let settings = || Setting::ALL.into_iter().filter_map(|s| Some((s, attrs.find(s as u16)?)));
    settings().try_for_each(|(_, a)| a.u32().map(|_| ()).ok_or(Errno::Inval))?;
    policies(attrs.clone()).try_for_each(|p| p.map(|_| ()))?;
    for (setting, value) in settings().filter_map(|(s, a)| Some((s, a.u32()?))) {
        if !table.set(setting, value) {
            return Err(Errno::Inval);
        }
    }
    for (id, policy) in policies(attrs.clone()).flatten() {
        table.set_timeout_policy(id, policy.as_ref());
    }
    Ok(())
}

fn put_counts(b: &mut Builder, kind: u16, c: &FragmentCounts) {
    let words = [c.accepted, c.completed, c.too_small, c.overlapped, c.purged];
    b.put(kind, words.map(u64::to_ne_bytes).as_flattened());
}

fn take_counts(attrs: &Attrs<'_>, kind: u16) -> Option<FragmentCounts> {
    let (words, []) = attrs.find(kind)?.payload.as_chunks::<8>() else { return None };
    let words: &[[u8; 8]; 5] = words.try_into().ok()?;
    let [accepted, completed, too_small, overlapped, purged] = words.map(u64::from_ne_bytes);
    Some(FragmentCounts { accepted, completed, too_small, overlapped, purged })
}

/// What a message says of fragments; `None` if it does not.
pub fn take_fragments(attrs: &Attrs<'_>) -> Option<FragmentStatus> {
    Some(FragmentStatus {
        waits: attrs.find(attr::WAITS)?.u32()?,
        counts: [take_counts(attrs, attr::COUNTS_IPV4)?, take_counts(attrs, attr::COUNTS_IPV6)?],
    })
}

fn put_waiting(b: &mut Builder, w: &Waiting) {
    let nest = b.begin_plain_nest(attr::WAITING);
    b.put_be128(waiting_attr::SRC, w.name.src);
    b.put_be128(waiting_attr::DST, w.name.dst);
    b.put_u32(waiting_attr::ID, w.name.id);
    b.put_u32(waiting_attr::RECIRC_ID, w.name.recirc_id);
    b.put_u16(waiting_attr::ZONE, w.name.zone);
    b.put_u8(waiting_attr::PROTO, w.name.proto);
    let flag = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
    let flags = flag(w.name.is_ipv6, IS_IPV6) | flag(w.has_first, HAS_FIRST) | flag(w.has_last, HAS_LAST);
    b.put_u8(waiting_attr::FLAGS, flags);
    b.put_u32(waiting_attr::FRAGMENTS, u32::try_from(w.fragments).unwrap_or(u32::MAX));
    b.end_nest(nest);
}

/// Reads a datagram that waits out of a message of a dump; `None` if it is none.
pub fn take_waiting(attrs: &Attrs<'_>) -> Option<Waiting> {
    let w = attrs.find(attr::WAITING)?.nested();
    let find = |kind| w.find(kind);
    let flags = find(waiting_attr::FLAGS)?.u8()?;
    let name = Name {
        src: find(waiting_attr::SRC)?.be128()?,
        dst: find(waiting_attr::DST)?.be128()?,
        id: find(waiting_attr::ID)?.u32()?,
        recirc_id: find(waiting_attr::RECIRC_ID)?.u32()?,
        zone: find(waiting_attr::ZONE)?.u16()?,
        proto: find(waiting_attr::PROTO)?.u8()?,
        is_ipv6: flags & IS_IPV6 != 0,
    };
    let fragments = usize::try_from(find(waiting_attr::FRAGMENTS)?.u32()?).ok()?;
    Some(Waiting { name, fragments, has_first: flags & HAS_FIRST != 0, has_last: flags & HAS_LAST != 0 })
}

fn put_expected(b: &mut Builder, e: &Expectation) {
    let nest = b.begin_plain_nest(attr::EXPECTED);
    put_tuple(b, expected_attr::TUPLE, &e.tuple);
    put_tuple(b, expected_attr::PARENT, &e.parent);
    b.put_u16(expected_attr::ZONE, e.tuple.zone);
    b.put_u32(expected_attr::MARK, e.mark);
    b.put(expected_attr::LABEL, &e.label.to_ne_bytes());
    b.end_nest(nest);
}

/// Reads a connection that was announced out of a message of a dump; `None` if it is none.
pub fn take_expected(attrs: &Attrs<'_>) -> Option<Expectation> {
    let e = attrs.find(attr::EXPECTED)?.nested();
    let zone = e.find(expected_attr::ZONE)?.u16()?;
    Some(Expectation {
        tuple: take_tuple(e.find(expected_attr::TUPLE)?, zone)?,
        parent: take_tuple(e.find(expected_attr::PARENT)?, zone)?,
        mark: e.find(expected_attr::MARK)?.u32()?,
        label: u128::from_ne_bytes(e.find(expected_attr::LABEL)?.payload.try_into().ok()?),
    })
}

#[inline(never)]
pub(crate) fn transact<H: ?Sized>(call: &Call<'_, H>) -> Result<Answer, Errno> {
    let table = call.env.datapath.conntrack();
    let mut b = Builder::new();
    begin(&mut b, ids::CT_SETTING, &call.header(0), call.request.command);
    if call.request.command == cmd::SET {
        apply(table, &call.request.attrs)?;
        return Ok(Answer::Message(b));
    }
    put_all(&mut b, table);
    let FragmentStatus { waits, counts: [ipv4, ipv6] } = table.fragments().status(call.env.now);
    b.put_u32(attr::WAITS, waits);
    put_counts(&mut b, attr::COUNTS_IPV4, &ipv4);
    put_counts(&mut b, attr::COUNTS_IPV6, &ipv6);
    Ok(Answer::Message(b))
}

/// One datagram of a dump; behind the last, one connection that was announced.
#[inline(never)]
pub(crate) fn dump<H: ?Sized>(
    env: Env<'_, H>,
    header: &Header,
    at: usize,
    out: &mut [u8],
) -> Result<(usize, Option<Listing>), Status> {
    let Some((waiting, next)) = env.datapath.conntrack().fragments().waiting(at) else {
        return dump_expected(env, header, 0, out);
    };
    let n = written(header, |b| put_waiting(b, &waiting), out)?;
    Ok((n, Some(Listing::Waiting(next))))
}

/// One connection of a dump that was announced.
#[inline(never)]
pub(crate) fn dump_expected<H: ?Sized>(
    env: Env<'_, H>,
    header: &Header,
    at: usize,
    out: &mut [u8],
) -> Result<(usize, Option<Listing>), Status> {
    let Some((expectation, next)) = env.datapath.conntrack().expectation(at, env.now) else {
        return Ok((0, None));
    };
    let n = written(header, |b| put_expected(b, &expectation), out)?;
    Ok((n, Some(Listing::Expected(next))))
}

/// Writes a message of a dump; returns its length.
fn written(header: &Header, fill: impl FnOnce(&mut Builder), out: &mut [u8]) -> Result<usize, Status> {
    let mut b = Builder::new();
    begin(&mut b, ids::CT_SETTING, header, cmd::GET);
    fill(&mut b);
    crate::device::copy(&b.finish().ok_or(Status::NoResources)?, out)
}
