//! The flow family: megaflows.
//!
//! Where it sits: under `families`. A flow is named by its identifier; one that came without gets one made from its match,
//! and is found by its key as well.

use alloc::vec::Vec;

use ::datapath::{Command, CommandError, FlowInfo, FlowPut, PutMode, Reply};
use ::flow::Match;
use netlink::{Attr, Builder, Header, flags};
use odp::netlink::flow::{self as attrs, FlowAttrs, FlowCounters};
use odp::netlink::ids::{self, cmd};
use odp::netlink::{AttrError, AttrErrorKind, actions::take_actions};
use odp::{Action, Ufid};

use super::{Answer, Call, Probe};
use crate::flows;
use crate::handle::Listing;
use crate::request::{begin, begin_done};
use crate::{Env, Errno, Status, VportHost};

/// Flows that are only tried, at most.
const MAX_PROBES: usize = 64;

#[inline(never)]
pub(super) fn transact<H: VportHost + ?Sized>(call: &Call<'_, H>) -> Result<Answer, Errno> {
    let flow = FlowAttrs::decode(call.request.attrs.clone()).map_err(|e| errno(&e))?;
    match call.request.command {
        cmd::NEW | cmd::SET => put(call, &flow),
        cmd::DEL if flow.is_empty() => flush(call),
        cmd::DEL => del(call, &flow),
        _ => get(call, &flow),
    }
}

// apart from its caller: a reply has room for all counters, and kernel frames are small
#[inline(never)]
fn flush<H: ?Sized>(call: &Call<'_, H>) -> Result<Answer, Errno> {
    call.env.datapath.apply(Command::FlushFlows).map_err(refusal)?;
    let mut b = Builder::new();
    begin(&mut b, ids::FLOW, &call.header(0), cmd::DEL);
    Ok(Answer::Message(b))
}

pub(crate) fn errno(e: &AttrError) -> Errno {
    if e.kind == AttrErrorKind::NoMemory { Errno::NoMem } else { Errno::Inval }
}

pub(crate) fn refusal(e: CommandError) -> Errno {
    match e {
        CommandError::InvalidActions(_) | CommandError::InvalidMeter => Errno::Inval,
        CommandError::Exists => Errno::Exist,
        CommandError::NotFound => Errno::NoEnt,
        CommandError::Full => Errno::FBig,
        CommandError::NoMemory => Errno::NoMem,
        CommandError::NotSupported => Errno::NotSup,
    }
}

/// Room for one flow on the heap: a match is too large for a kernel's stack.
#[inline(never)]
fn room() -> Result<Vec<FlowPut>, Errno> {
    let mut one = Vec::new();
    one.try_reserve_exact(1).map_err(|_| Errno::NoMem)?;
    one.push(FlowPut { ufid: Ufid(0), matched: Match::ANY, actions: Vec::new(), mode: PutMode::Create });
    Ok(one)
}

/// The one flow of a reply.
fn first(reply: &Reply) -> Result<&FlowInfo, Errno> {
    match reply {
        Reply::Flows { flows, .. } => flows.first().ok_or(Errno::NoEnt),
        _ => Err(Errno::NoEnt),
    }
}

/// Finds the flow that a request names.
#[inline(never)]
fn find<H: ?Sized>(call: &Call<'_, H>, flow: &FlowAttrs<'_>) -> Result<Reply, Errno> {
    let dp = call.env.datapath;
    if let Some(ufid) = flow.ufid {
        return dp.apply(Command::GetFlow(ufid)).map_err(refusal);
    }
    let mut one = room()?;
    let m = &mut one.first_mut().ok_or(Errno::NoMem)?.matched;
    flow.take_match(m).map_err(|e| errno(&e))?;
    match dp.apply(Command::FindFlow(m)) {
        // Without a mask, the flow that a packet with this key hits is meant.
        Err(CommandError::NotFound) if flow.mask.is_none() => {
            dp.apply(Command::LookupFlow(&m.key)).map_err(refusal)
        }
        other => other.map_err(refusal),
    }
}

#[inline(never)]
fn put<H: VportHost + ?Sized>(call: &Call<'_, H>, flow: &FlowAttrs<'_>) -> Result<Answer, Errno> {
    let is_new = call.request.command == cmd::NEW;
    let mut one = room()?;
    let put = one.first_mut().ok_or(Errno::NoMem)?;
    let existing = if is_new { None } else { Some(find(call, flow)?) };
    match (&existing, flow.key) {
        (Some(reply), _) => {
            let info = first(reply)?;
            take_over(put, info);
        }
        (None, _) => {
            flow.take_match(&mut put.matched).map_err(|e| errno(&e))?;
            put.ufid = flow.ufid.unwrap_or_else(|| Ufid::of(&put.matched));
        }
    }
    put.actions = match (flow.actions, &existing) {
        (Some(list), _) => take_actions(list.nested()).map_err(|e| errno(&e))?,
        (None, Some(reply)) => odp::try_copy(&first(reply)?.actions).ok_or(Errno::NoMem)?,
        // No actions at all are not an empty list, which drops.
        (None, None) => return Err(Errno::Inval),
    };
    put.mode = match (is_new, flow.clear) {
        (false, false) => PutMode::Modify,
        (false, true) => PutMode::ModifyAndZero,
        (true, _) if call.request.header.flags & (flags::CREATE | flags::EXCL) != 0 => PutMode::Create,
        (true, _) => PutMode::CreateOrModify,
    };
    let ufid = put.ufid;
    if flow.probe && is_new {
        return probe(call, one);
    }
    install(call, put)?;
    changed(call, ufid)
}

/// The answer to a change that was made.
#[inline(never)]
fn changed<H: ?Sized>(call: &Call<'_, H>, ufid: Ufid) -> Result<Answer, Errno> {
    let reply = call.env.datapath.apply(Command::GetFlow(ufid)).map_err(refusal)?;
    Ok(Answer::Message(brief(call, first(&reply)?)))
}

/// Names an existing flow.
#[inline(never)]
fn take_over(put: &mut FlowPut, info: &FlowInfo) {
    put.ufid = info.ufid;
    put.matched.clone_from(&info.matched);
}

#[inline(never)]
fn install<H: ?Sized>(call: &Call<'_, H>, put: &mut FlowPut) -> Result<(), Errno> {
    call.env.datapath.apply(Command::PutFlow(put)).map(|_| ()).map_err(refusal)
}

/// Keeps a flow that is only tried apart from those that packets hit.
#[inline(never)]
fn probe<H: ?Sized>(call: &Call<'_, H>, flow: Vec<FlowPut>) -> Result<Answer, Errno> {
    let put = flow.first().ok_or(Errno::NoMem)?;
    odp::validate(&put.actions).map_err(|_| Errno::Inval)?;
    let mut b = Builder::new();
    begin(&mut b, ids::FLOW, &call.header(0), cmd::NEW);
    attrs::put_ufid(&mut b, put.ufid);
    attrs::put_key(&mut b, &put.matched);
    attrs::put_counters(&mut b, &FlowCounters::default());
    let mut probes = call.device.probes.lock();
    if probes.len() >= MAX_PROBES {
        return Err(Errno::NoSpc);
    }
    probes.try_reserve(1).map_err(|_| Errno::NoMem)?;
    probes.push(Probe { handle: call.handle, flow });
    Ok(Answer::Message(b))
}

/// Reads or removes a flow that is only tried; `None` if the request names none such.
#[inline(never)]
fn probed<H: ?Sized>(call: &Call<'_, H>, flow: &FlowAttrs<'_>) -> Result<Option<Answer>, Errno> {
    if call.device.probes.lock().is_empty() {
        return Ok(None);
    }
    let mut one = room()?;
    let wanted = &mut one.first_mut().ok_or(Errno::NoMem)?.matched;
    if flow.ufid.is_none() {
        flow.take_match(wanted).map_err(|e| errno(&e))?;
    }
    let mut probes = call.device.probes.lock();
    let is_it = |p: &Probe| match (flow.ufid, p.flow.first()) {
        (Some(ufid), Some(put)) => put.ufid == ufid,
        (None, Some(put)) => put.matched == *wanted,
        _ => false,
    };
    let Some(at) = probes.iter().position(is_it) else { return Ok(None) };
    let mut b = Builder::new();
    begin(&mut b, ids::FLOW, &call.header(0), call.request.command);
    if let Some(put) = probes.get(at).and_then(|p| p.flow.first()) {
        attrs::put_ufid(&mut b, put.ufid);
        attrs::put_key(&mut b, &put.matched);
        attrs::put_mask(&mut b, &put.matched);
        attrs::put_counters(&mut b, &FlowCounters::default());
        attrs::put_actions(&mut b, &put.actions);
    }
    if call.request.command == cmd::DEL {
        probes.remove(at);
    }
    Ok(Some(Answer::Message(b)))
}

#[inline(never)]
fn del<H: ?Sized>(call: &Call<'_, H>, flow: &FlowAttrs<'_>) -> Result<Answer, Errno> {
    if let Some(answer) = probed(call, flow)? {
        return Ok(answer);
    }
    let ufid = match flow.ufid {
        Some(ufid) => ufid,
        None => first(&find(call, flow)?)?.ufid,
    };
    let reply = call.env.datapath.apply(Command::DelFlow(ufid)).map_err(refusal)?;
    Ok(Answer::Message(brief(call, first(&reply)?)))
}

#[inline(never)]
fn get<H: ?Sized>(call: &Call<'_, H>, flow: &FlowAttrs<'_>) -> Result<Answer, Errno> {
    if let Some(answer) = probed(call, flow)? {
        return Ok(answer);
    }
    let reply = find(call, flow)?;
    let mut b = Builder::new();
    begin(&mut b, ids::FLOW, &call.header(0), cmd::GET);
    flows::put(&mut b, first(&reply)?, flow.omit);
    Ok(Answer::Message(b))
}

/// The answer to a change: which flow, and its counters.
#[inline(never)]
fn brief<H: ?Sized>(call: &Call<'_, H>, info: &FlowInfo) -> Builder {
    let mut b = Builder::new();
    begin(&mut b, ids::FLOW, &call.header(0), call.request.command);
    attrs::put_ufid(&mut b, info.ufid);
    attrs::put_key(&mut b, &info.matched);
    attrs::put_counters(&mut b, &flows::counters(info));
    b
}

/// The message of the flow at a number, or of the first behind it, and the number of the next; no message if there is none.
#[inline(never)]
fn listed<H: ?Sized>(
    env: Env<'_, H>,
    header: &Header,
    cursor: u32,
    omitted: u32,
) -> Option<(Option<Vec<u8>>, Option<u32>)> {
    let Ok(Reply::Flows { flows, next }) = env.datapath.apply(Command::DumpFlows { cursor, max: 1 }) else {
        return None;
    };
    let Some(info) = flows.first() else { return Some((None, next)) };
    let mut b = Builder::new();
    begin(&mut b, ids::FLOW, header, cmd::GET);
    flows::put(&mut b, info, omitted);
    Some((Some(b.finish()?), next))
}

/// As many flows as fit, and as memory is there for; the end is said in a message of its own, where it fits.
#[inline(never)]
pub(super) fn dump<H: ?Sized>(
    env: Env<'_, H>,
    header: &Header,
    mut next: Option<u32>,
    omitted: u32,
    out: &mut [u8],
) -> Result<(usize, Option<Listing>), Status> {
    let mut written = 0usize;
    let more = |next| Some(Listing::Flows { next, omit: omitted });
    while let Some(cursor) = next {
        // What was written is kept, and where nothing was, it may be tried again.
        let stop = |status| if written == 0 { Err(status) } else { Ok((written, more(next))) };
        let Some((message, after)) = listed(env, header, cursor, omitted) else {
            return stop(Status::NoResources);
        };
        if let Some(message) = message {
            let Some(to) = out.get_mut(written..).and_then(|o| o.get_mut(..message.len())) else {
                // One that never fits must not look like the end.
                return stop(Status::InvalidLength);
            };
            to.copy_from_slice(&message);
            written = written.saturating_add(message.len());
        }
        next = after;
    }
    let done = begin_done(header);
    match out.get_mut(written..).and_then(|o| o.get_mut(..done.len())) {
        Some(to) => {
            to.copy_from_slice(&done);
            Ok((written.saturating_add(done.len()), None))
        }
        None => Ok((written, more(None))),
    }
}

/// The nested list of an attribute, as actions that may be executed.
pub(super) fn valid_actions(list: Attr<'_>) -> Result<Vec<Action>, Errno> {
    let actions = take_actions(list.nested()).map_err(|e| errno(&e))?;
    odp::validate(&actions).map_err(|_| Errno::Inval)?;
    Ok(actions)
}
