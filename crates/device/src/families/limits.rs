//! The meter family and the limits of connections.
//!
//! Where it sits: under `families`.

use alloc::vec::Vec;

use ::datapath::{
    BandKind, Command, CommandError, Datapath, MAX_BANDS, MAX_METERS, MeterBand, MeterConfig, MeterUnit,
    Reply,
};
use netlink::{Builder, flags};
use odp::netlink::ct_limit::{self, DEFAULT_ZONE, MAX_LISTED, ZoneLimit};
use odp::netlink::ids;
use odp::netlink::meter::{self as attrs, MeterAttrs};

use super::flow::refusal;
use super::{Answer, Call};
use crate::Errno;
use crate::request::begin;

/// Commands of the meter family.
const FEATURES: u8 = 1;
const METER_SET: u8 = 2;
const METER_DEL: u8 = 3;

#[inline(never)]
pub(super) fn meter<H: ?Sized>(call: &Call<'_, H>) -> Result<Answer, Errno> {
    let command = call.request.command;
    let unreadable = if command == METER_DEL { Errno::Inval } else { Errno::NoMsg };
    let meter = MeterAttrs::decode(call.request.attrs.clone()).map_err(|_| unreadable)?;
    let mut b = Builder::new();
    if command == FEATURES {
        begin(&mut b, ids::METER, &call.header(0), FEATURES);
        attrs::put_features(&mut b, MAX_METERS, MAX_BANDS as u32);
        return Ok(Answer::Message(b));
    }
    let id = meter.id.ok_or(unreadable)?;
    let dp = call.env.datapath;
    let reply = match command {
        METER_SET => {
            set_meter(dp, id, &meter)?;
            read_meter(dp, Command::GetMeter(id))
        }
        METER_DEL => read_meter(dp, Command::DelMeter(id)),
        _ => read_meter(dp, Command::GetMeter(id)),
    };
    begin(&mut b, ids::METER, &call.header(0), command);
    match reply {
        Ok(Reply::Meter(info)) => {
            let bands = info.bands.iter().map(|c| (c.packets, c.bytes));
            attrs::put_counters(&mut b, id, (info.total.packets, info.total.bytes), info.used_ms, bands);
        }
        // What is not there is removed already.
        Err(CommandError::NotFound) if command == METER_DEL => {}
        Err(e) => return Err(refusal(e)),
        Ok(_) => return Err(Errno::Other),
    }
    Ok(Answer::Message(b))
}

#[inline(never)]
fn read_meter(dp: &Datapath, command: Command<'_>) -> Result<Reply, CommandError> {
    dp.apply(command)
}

#[inline(never)]
fn set_meter(dp: &Datapath, id: u32, meter: &MeterAttrs<'_>) -> Result<(), Errno> {
    let config = config(meter)?;
    dp.apply(Command::SetMeter { id, config: &config }).map(|_| ()).map_err(refusal)
}

fn config(meter: &MeterAttrs<'_>) -> Result<MeterConfig, Errno> {
    let list = meter.bands.ok_or(Errno::Inval)?;
    let mut bands = Vec::new();
    for band in attrs::bands(list) {
        let band = band.map_err(|_| Errno::Inval)?;
        if band.kind != attrs::BAND_DROP || bands.len() >= MAX_BANDS {
            return Err(Errno::Inval);
        }
        bands.try_reserve(1).map_err(|_| Errno::NoMem)?;
        bands.push(MeterBand { kind: BandKind::Drop, rate: band.rate, burst: band.burst });
    }
    Ok(MeterConfig { unit: if meter.kbps { MeterUnit::Kbps } else { MeterUnit::Pktps }, bands })
}

const SET: u8 = 1;
const DEL: u8 = 2;

fn zone(n: i32) -> Result<Option<u16>, Errno> {
    match n {
        DEFAULT_ZONE => Ok(None),
        n => u16::try_from(n).map(Some).map_err(|_| Errno::Inval),
    }
}

#[inline(never)]
pub(super) fn ct_limit<H: ?Sized>(call: &Call<'_, H>) -> Result<Answer, Errno> {
    let list = ct_limit::decode(call.request.attrs.clone()).map_err(|_| Errno::Inval)?;
    let ct = call.env.datapath.conntrack();
    let command = call.request.command;
    let mut b = Builder::new();
    if command == SET || command == DEL {
        let list = list.ok_or(Errno::Inval)?;
        // A bad entry changes nothing.
        ct_limit::entries(list).try_for_each(|l| zone(l.zone).map(|_| ()))?;
        for l in ct_limit::entries(list) {
            let limit = (command == SET).then_some(l.limit);
            match zone(l.zone)? {
                Some(zone) => _ = ct.set_zone_limit(zone, limit),
                None => ct.set_default_zone_limit(limit.unwrap_or(0)),
            }
        }
        begin(&mut b, ids::CT_LIMIT, &call.header(0), command);
        return Ok(Answer::Message(b));
    }
    let default = ZoneLimit { zone: DEFAULT_ZONE, limit: ct.default_zone_limit(), count: 0 };
    let of = |l: conntrack::ZoneLimit| ZoneLimit { zone: i32::from(l.zone), limit: l.limit, count: l.count };
    let mut found: Vec<ZoneLimit> = Vec::new();
    let asked = list.filter(|l| !l.is_empty());
    let first = ct_limit::first_zone(&call.request.attrs);
    let limited = || ct.limited_zones(first).take(MAX_LISTED);
    let room = asked.map_or_else(|| limited().count().saturating_add(1), |l| ct_limit::entries(l).count());
    // Zones that get a limit meanwhile wait for the next question.
    found.try_reserve_exact(room).map_err(|_| Errno::NoMem)?;
    match asked {
        Some(list) => {
            for l in ct_limit::entries(list) {
                found.push(zone(l.zone)?.map_or(default, |zone| of(ct.zone_limit(zone))));
            }
        }
        None => {
            found.push(default);
            found.extend(limited().map(of).take(room.saturating_sub(1)));
        }
    }
    begin(&mut b, ids::CT_LIMIT, &call.header(flags::MULTI), command);
    ct_limit::put(&mut b, found.into_iter());
    Ok(Answer::Message(b))
}
