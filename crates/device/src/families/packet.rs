//! The packet family: packets that user space sends.
//!
//! Where it sits: under `families`. Upcalls, the other direction, are in `device.rs`.

use ::flow::FlowKey;
use netlink::Builder;
use odp::netlink::ids::{self, packet_cmd};
use odp::netlink::key::{store_meta, take_key};
use odp::netlink::packet::PacketAttrs;
use packet::PacketMeta;
use wire::eth;

use super::{Answer, Call, flow};
use crate::request::begin;
use crate::{Errno, VportHost};

#[inline(never)]
pub(super) fn execute<H: VportHost + ?Sized>(call: &Call<'_, H>) -> Result<Answer, Errno> {
    let attrs = PacketAttrs::decode(call.request.attrs.clone()).map_err(|e| flow::errno(&e))?;
    let (Some(frame), Some(key), Some(list)) = (attrs.packet, attrs.key, attrs.actions) else {
        return Err(Errno::Inval);
    };
    if frame.len() < eth::HEADER_LEN {
        return Err(Errno::Inval);
    }
    let mut meta = PacketMeta::default();
    metadata(key, &mut meta)?;
    meta.mru = attrs.mru.unwrap_or(0);
    meta.rss_hash = attrs.hash.unwrap_or(0) as u32;
    let actions = flow::valid_actions(list)?;
    call.env.host.execute(&meta, frame, &actions)?;
    let mut b = Builder::new();
    begin(&mut b, ids::PACKET, &call.header(0), packet_cmd::EXECUTE);
    Ok(Answer::Message(b))
}

#[inline(never)]
fn metadata(key: netlink::Attr<'_>, meta: &mut PacketMeta) -> Result<(), Errno> {
    let mut out = FlowKey::ZERO;
    take_key(key.nested(), &mut out).map_err(|e| flow::errno(&e))?;
    store_meta(&out, meta);
    Ok(())
}
