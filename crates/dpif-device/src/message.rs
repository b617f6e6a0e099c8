//! Requests and what their replies say: typed commands to and from messages.
//!
//! Where it sits: between `host` and `connection`. Attributes are `odp::netlink`'s.

use datapath::{CommandError, FlowPut, MeterConfig, MeterCount, MeterInfo, MeterUnit, PutMode};
use device::Errno;
use dpif::DpifError;
use netlink::{Attrs, Builder, GenlHeader, Header, flags};
use odp::netlink::datapath::{DpAttrs, features};
use odp::netlink::flow::{self as flow_attrs};
use odp::netlink::ids::{self, Family, cmd};
use odp::netlink::meter::{self as meter_attrs, Band, MeterAttrs};
use odp::{Action, Ufid};

use crate::connection::Failure;

/// Bytes of the generic netlink header and the datapath's number.
const FAMILY_HEADER: usize = 8;

/// A message of a family of generic netlink.
pub(crate) fn begin(family: Family, command: u8, extra: u16, (pid, seq): (u32, u32)) -> Builder {
    let mut b = Builder::new();
    let [c, v, r0, r1] = GenlHeader { command, version: family.version }.emit();
    let header = Header { kind: family.id, flags: flags::REQUEST | extra, seq, pid };
    b.begin(&header, &[c, v, r0, r1, 0, 0, 0, 0]);
    b
}

/// A message about connections.
pub(crate) fn begin_ct(kind: u16, extra: u16, (pid, seq): (u32, u32)) -> Builder {
    let mut b = Builder::new();
    b.begin(&Header { kind, flags: flags::REQUEST | extra, seq, pid }, &[0; FAMILY_HEADER]);
    b
}

/// The attributes behind a message's headers.
pub(crate) fn attrs(payload: &[u8]) -> Attrs<'_> {
    Attrs::new(payload.get(FAMILY_HEADER..).unwrap_or_default())
}

/// The attributes of a reply with one message.
pub(crate) fn reply_attrs(reply: &[u8]) -> Attrs<'_> {
    let message = netlink::Messages::new(reply).next().and_then(Result::ok);
    attrs(message.map_or(&[], |m| m.payload))
}

/// Asks that the datapath finds the way of tunnels; one that cannot refuses.
pub(crate) fn want_ways(ids: (u32, u32)) -> Builder {
    let mut b = begin(ids::DATAPATH, cmd::SET, 0, ids);
    let user_features = Some(features::VPORT_PIDS | features::ROUTES_TUNNELS);
    DpAttrs { name: Some(device::DATAPATH_NAME), user_features, ..DpAttrs::default() }.encode(&mut b);
    b
}

/// Asks that threads are set up so.
pub(crate) fn configure(config: &[u8], ids: (u32, u32)) -> Builder {
    let mut b = begin(ids::DATAPATH, cmd::SET, 0, ids);
    let attrs =
        DpAttrs { name: Some(device::DATAPATH_NAME), other_config: Some(config), ..DpAttrs::default() };
    attrs.encode(&mut b);
    b
}

/// Asks that tunnels over UDP use source ports from the first to the second.
pub(crate) fn set_tunnel_ports(ports: (u16, u16), ids: (u32, u32)) -> Builder {
    let mut b = begin(ids::DATAPATH, cmd::SET, 0, ids);
    let attrs =
        DpAttrs { name: Some(device::DATAPATH_NAME), tunnel_ports: Some(ports), ..DpAttrs::default() };
    attrs.encode(&mut b);
    b
}

/// A flow to be put.
pub(crate) fn put_flow(put: &FlowPut, ids: (u32, u32)) -> Builder {
    let (command, extra) = match put.mode {
        PutMode::Create => (cmd::NEW, flags::CREATE | flags::EXCL),
        PutMode::CreateOrModify => (cmd::NEW, 0),
        PutMode::Modify | PutMode::ModifyAndZero => (cmd::SET, 0),
    };
    let mut b = begin(ids::FLOW, command, extra, ids);
    flow_attrs::put_ufid(&mut b, put.ufid);
    if command == cmd::NEW {
        flow_attrs::put_key(&mut b, &put.matched);
        flow_attrs::put_mask(&mut b, &put.matched);
    }
    flow_attrs::put_actions(&mut b, &put.actions);
    if put.mode == PutMode::ModifyAndZero {
        flow_attrs::put_clear(&mut b);
    }
    b
}

/// A request about the flow with an identifier.
pub(crate) fn one_flow(command: u8, ufid: Ufid, ids: (u32, u32)) -> Builder {
    let mut b = begin(ids::FLOW, command, 0, ids);
    flow_attrs::put_ufid(&mut b, ufid);
    b
}

/// Commands of the meter family.
pub(crate) mod meter_cmd {
    pub(crate) const SET: u8 = 2;
    pub(crate) const DEL: u8 = 3;
    pub(crate) const GET: u8 = 4;
}

/// A meter to be set.
pub(crate) fn set_meter(id: u32, config: &MeterConfig, ids: (u32, u32)) -> Builder {
    let band = |b: &datapath::MeterBand| Band {
        kind: meter_attrs::BAND_DROP,
        rate: b.rate,
        burst: b.burst,
        stats: (0, 0),
    };
    let bands: Vec<Band> = config.bands.iter().map(band).collect();
    let mut b = begin(ids::METER, meter_cmd::SET, 0, ids);
    meter_attrs::put_meter(&mut b, id, config.unit == MeterUnit::Kbps, &bands);
    b
}

/// A request about the meter with a number.
pub(crate) fn one_meter(command: u8, id: u32, ids: (u32, u32)) -> Builder {
    let mut b = begin(ids::METER, command, 0, ids);
    meter_attrs::put_id(&mut b, id);
    b
}

/// A meter out of a reply; `None` for what is none.
pub(crate) fn meter_info(attrs: Attrs<'_>) -> Option<MeterInfo> {
    let meter = MeterAttrs::decode(attrs).ok()?;
    let count = |(packets, bytes)| MeterCount { packets, bytes };
    let bands = meter.bands.into_iter().flat_map(meter_attrs::bands).flatten();
    Some(MeterInfo {
        total: count(meter.stats?),
        bands: bands.map(|b| count(b.stats)).collect(),
        used_ms: meter.used_ms.unwrap_or(0),
    })
}

/// A refusal, as commands have it. `actions` are those that were sent, if any.
pub(crate) fn command_error(failure: Failure, actions: &[Action]) -> CommandError {
    let Failure::Errno(errno) = failure else { return CommandError::NotSupported };
    match errno {
        Errno::NoEnt => CommandError::NotFound,
        Errno::Exist => CommandError::Exists,
        Errno::FBig => CommandError::Full,
        Errno::NoMem | Errno::NoSpc => CommandError::NoMemory,
        Errno::Inval => match odp::validate(actions) {
            Err(why) => CommandError::InvalidActions(why),
            Ok(()) => CommandError::InvalidMeter,
        },
        _ => CommandError::NotSupported,
    }
}

/// A refusal, as ports have it.
pub(crate) fn port_error(failure: Failure) -> DpifError {
    match failure {
        Failure::Errno(Errno::Exist) => DpifError::Exists,
        Failure::Errno(Errno::Busy) => DpifError::Busy,
        Failure::Errno(errno) if errno.number() < 100 => {
            DpifError::Device { errno: errno.number(), text: errno.to_string() }
        }
        Failure::Errno(errno) => DpifError::Device { errno: 95, text: errno.to_string() },
        Failure::Status(status) => DpifError::Device { errno: 22, text: status.to_string() },
        Failure::Gone => DpifError::Device { errno: 19, text: "the datapath's process is gone".to_owned() },
    }
}
