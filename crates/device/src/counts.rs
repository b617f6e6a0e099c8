//! What was dropped, by reason, and what the device behind a port counts and says of itself; and back, for clients.
//!
//! Where it sits: beside `families`; public because the other end of the device reads the same attributes.
//!
//! Open vSwitch's driver has no words for any of it: the family is ours. A client of that driver asks and is refused.
//!
//! ~~~text
//! GET            DROP of each reason that has dropped packets of the datapath
//! GET PORT_NO    DROP of each reason of that port, COUNTER of each that its host keeps, STATUS of each that it knows
//! ~~~
//!
//! Reasons and counters go by their names: the two processes may be of different versions.

use datapath::{Command, Datapath, DropCounts, Reply};
use netlink::{Attr, Attrs, Builder};
use odp::netlink::ids;
use packet::{DropReason, OdpPort};

use crate::families::{Answer, Call};
use crate::request::begin;
use crate::{Errno, VportHost};

mod attr {
    /// u32: the port that is asked about.
    pub const PORT_NO: u16 = 1;
    /// Nested: a reason's name and how many packets it dropped.
    pub const DROP: u16 = 2;
    /// Nested: a counter's name, as in `Interface.statistics`, and its value.
    pub const COUNTER: u16 = 3;
    /// Nested: a key of `Interface.status`, and its value.
    pub const STATUS: u16 = 4;
}

mod count_attr {
    pub const NAME: u16 = 1;
    /// u64.
    pub const COUNT: u16 = 2;
    pub const TEXT: u16 = 3;
}

/// Asks about a port.
pub fn put_port(b: &mut Builder, number: OdpPort) {
    b.put_u32(attr::PORT_NO, number.0);
}

fn put_count(b: &mut Builder, kind: u16, name: &str, count: u64) {
    let nest = b.begin_plain_nest(kind);
    b.put_str(count_attr::NAME, name);
    b.put_u64(count_attr::COUNT, count);
    b.end_nest(nest);
}

fn counts<'a>(attrs: Attrs<'a>, kind: u16) -> impl Iterator<Item = (&'a str, u64)> {
    attrs.flatten().filter(move |a| a.kind == kind).filter_map(|a| {
        let count = a.nested();
        let find = |kind| count.find(kind);
        Some((find(count_attr::NAME).and_then(Attr::str)?, find(count_attr::COUNT).and_then(Attr::u64)?))
    })
}

/// The dropped packets of a reply; a reason that is not known here is left out.
pub fn take_drops(attrs: Attrs<'_>) -> DropCounts {
    let mut drops = DropCounts::default();
    for (name, n) in counts(attrs, attr::DROP) {
        if let Some(reason) = DropReason::ALL.iter().find(|reason| reason.name() == name) {
            drops.add(*reason, n);
        }
    }
    drops
}

/// The counters of a reply: names as in `Interface.statistics`.
pub fn counters(attrs: Attrs<'_>) -> impl Iterator<Item = (&str, u64)> {
    counts(attrs, attr::COUNTER)
}

/// What is known of a port's device, by keys of `Interface.status`.
pub fn status(attrs: Attrs<'_>) -> impl Iterator<Item = (&str, &str)> {
    attrs.flatten().filter(|a| a.kind == attr::STATUS).filter_map(|a| {
        let known = a.nested();
        let find = |kind| known.find(kind).and_then(Attr::str);
        Some((find(count_attr::NAME)?, find(count_attr::TEXT)?))
    })
}

fn put_drops(b: &mut Builder, drops: &DropCounts) {
    for (reason, n) in drops.iter().filter(|(_, n)| *n != 0) {
        put_count(b, attr::DROP, reason.name(), n);
    }
}

// apart from each other and from their caller: either has room for all counters, and kernel frames are small
#[inline(never)]
fn put_total(b: &mut Builder, datapath: &Datapath) -> Result<(), Errno> {
    let Ok(Reply::Stats(stats)) = datapath.apply(Command::Stats) else { return Err(Errno::Other) };
    put_drops(b, &stats.drops);
    Ok(())
}

#[inline(never)]
fn put_port_drops(b: &mut Builder, datapath: &Datapath, number: OdpPort) {
    put_drops(b, &datapath.port_drops(number));
}

#[inline(never)]
pub(crate) fn transact<H: VportHost + ?Sized>(call: &Call<'_, H>) -> Result<Answer, Errno> {
    let asked = call.request.attrs.find(attr::PORT_NO).map(|a| a.u32().map(OdpPort).ok_or(Errno::Inval));
    let asked = asked.transpose()?;
    if asked.is_some_and(|number| call.device.port(number).is_none()) {
        return Err(Errno::NoDev);
    }
    let mut b = Builder::new();
    begin(&mut b, ids::COUNTS, &call.header(0), call.request.command);
    match asked {
        None => put_total(&mut b, call.env.datapath)?,
        Some(number) => {
            put_port_drops(&mut b, call.env.datapath, number);
            call.env.host.for_each_counter(number, &mut |name, n| put_count(&mut b, attr::COUNTER, name, n));
            call.env.host.for_each_status(number, &mut |key, text| {
                let nest = b.begin_plain_nest(attr::STATUS);
                b.put_str(count_attr::NAME, key);
                b.put_str(count_attr::TEXT, text);
                b.end_nest(nest);
            });
        }
    }
    Ok(Answer::Message(b))
}
