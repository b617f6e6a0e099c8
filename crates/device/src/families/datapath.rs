//! The datapath family: its name, its totals, what user space can take.
//!
//! Where it sits: under `families`. The datapath is its host's; it is neither made nor removed here.

use core::sync::atomic::Ordering::Relaxed;

use ::datapath::{Command, Datapath, Reply};
use netlink::{Builder, Header};
use odp::netlink::datapath::{DpAttrs, DpStats, MegaflowStats, features};
use odp::netlink::ids::{self, cmd};

use super::flow::refusal;
use super::{Answer, Call};
use crate::request::begin;
use crate::{DATAPATH_NAME, Device, Env, Errno, Status, VportHost};

#[inline(never)]
pub(super) fn transact<H: VportHost + ?Sized>(call: &Call<'_, H>) -> Result<Answer, Errno> {
    let attrs = DpAttrs::decode(call.request.attrs.clone()).map_err(|_| Errno::Inval)?;
    let named = attrs.name.map(|n| n == DATAPATH_NAME);
    match (call.request.command, named) {
        (cmd::NEW, Some(true)) => return Err(Errno::Exist),
        (cmd::NEW, None) => return Err(Errno::Inval),
        (cmd::GET, None) if call.request.dp_ifindex == 0 => {}
        (cmd::GET | cmd::SET, Some(true)) => {}
        (cmd::SET, _) => return Err(Errno::NotSup),
        _ => return Err(Errno::NoDev),
    }
    if call.request.command == cmd::SET
        && let Some(user_features) = attrs.user_features
    {
        let of_host = if call.env.host.routes_tunnels() { features::ROUTES_TUNNELS } else { 0 };
        if user_features & !(SUPPORTED | of_host) != 0 {
            return Err(Errno::NotSup);
        }
        call.device.user_features.store(user_features, Relaxed);
    }
    if call.request.command == cmd::SET
        && let Some(config) = attrs.other_config
    {
        call.env.host.set_config(None, config)?;
    }
    if call.request.command == cmd::SET
        && let Some((low, high)) = attrs.tunnel_ports
    {
        set_tunnel_ports(call.env.datapath, low, high)?;
    }
    let mut b = Builder::new();
    message(&mut b, call.device, call.env.datapath, &call.header(0))?;
    Ok(Answer::Message(b))
}

// apart from its caller: a reply has room for all counters, and kernel frames are small
#[inline(never)]
fn set_tunnel_ports(dp: &Datapath, low: u16, high: u16) -> Result<(), Errno> {
    if low == 0 || low > high {
        return Err(Errno::Inval);
    }
    dp.apply(Command::SetTunnelPorts { low, high }).map(|_| ()).map_err(refusal)
}

/// Features that the device has: payloads need no alignment, ports have arrays of receivers.
const SUPPORTED: u32 = features::UNALIGNED | features::VPORT_PIDS;

fn message(b: &mut Builder, device: &Device, dp: &Datapath, header: &Header) -> Result<(), Errno> {
    let Ok(Reply::Stats(s)) = dp.apply(Command::Stats) else { return Err(Errno::Other) };
    begin(b, ids::DATAPATH, header, cmd::GET);
    let attrs = DpAttrs {
        name: Some(DATAPATH_NAME),
        stats: Some(DpStats { hit: s.hits, missed: s.misses, lost: s.lost, flows: s.flows }),
        megaflow_stats: Some(MegaflowStats {
            mask_hit: s.masks_searched,
            masks: u32::try_from(s.masks).unwrap_or(u32::MAX),
            cache_hits: s.cache_hits,
        }),
        user_features: Some(device.user_features.load(Relaxed)),
        ..DpAttrs::default()
    };
    attrs.encode(b);
    Ok(())
}

#[inline(never)]
pub(super) fn dump<H: ?Sized>(
    device: &Device,
    env: Env<'_, H>,
    header: &Header,
    out: &mut [u8],
) -> Result<usize, Status> {
    let mut b = Builder::new();
    message(&mut b, device, env.datapath, header).map_err(|_| Status::NoResources)?;
    crate::device::copy(&b.finish().ok_or(Status::NoResources)?, out)
}
