//! Receivers: threads that take upcalls from the device and answer them.
//!
//! Where it sits: started by `host`, while somebody answers upcalls. Each has a handle of its own; ports name all of them,
//! and the datapath chooses one by the packet's flow.
//!
//! ~~~text
//! wait ─► read ─► handler ─► put flow, execute (sent together) ─► both replies ─► read … until the queue is empty ─► wait
//! ~~~

use std::path::Path;
use std::sync::Arc;

use datapath::{FlowPut, More, UpcallKind};
use device::carrier::Operation;
use dpif::{Upcall, UpcallHandler};
use flow::{FlowKey, Match};
use netlink::{Builder, GenlHeader, Messages};
use odp::Action;
use odp::netlink::ids::{self, control_attr, control_cmd, packet_cmd};
use odp::netlink::key::{meta_of, take_key};
use odp::netlink::packet::{self as packet_attrs, PacketAttrs};
use packet::{FlatPacket, PacketMeta};

use crate::connection::{Connection, Failure, OpenError, finished};
use crate::handle_thread::{HandleThread, Turn};
use crate::host::{Clock, Waker};
use crate::message::{attrs, begin, put_flow};

/// Subscribes to upcalls and starts to answer them. `gone` is called if the other process goes.
pub(crate) fn start(
    path: &Path,
    handler: Arc<dyn UpcallHandler>,
    clock: Clock,
    gone: Waker,
) -> Result<HandleThread, OpenError> {
    let make = |connection| Answering { connection, handler, clock, fresh: Vec::new() };
    HandleThread::start(path, "upcalls", subscribe, make, gone)
}

fn subscribe(connection: &mut Connection) -> Result<(), Failure> {
    let mut b = begin(ids::CONTROL, control_cmd::PACKET_SUBSCRIBE, 0, connection.next_ids());
    b.put_u8(control_attr::PACKET_SUBSCRIBE, 1);
    b.put_u32(control_attr::PACKET_PID, connection.pid);
    connection.write(b)
}

struct Answering {
    connection: Connection,
    handler: Arc<dyn UpcallHandler>,
    clock: Clock,
    /// Megaflows installed since the queue was last empty: packets behind them need no other.
    fresh: Vec<Match>,
}

impl Turn for Answering {
    /// Answers one upcall, or waits for the next.
    fn turn(&mut self) -> Result<(), Failure> {
        let message = self.connection.call(Operation::ReadPacket, &[])?;
        if message.is_empty() {
            self.fresh.clear();
            let wait = begin(ids::CONTROL, control_cmd::PEND_PACKET, 0, self.connection.next_ids());
            return self.connection.write(wait);
        }
        // What cannot be read is of no use to anybody.
        match decode(message) {
            Some(upcall) => self.answer(upcall),
            None => Ok(()),
        }
    }
}

impl Answering {
    fn answer(&mut self, upcall: Upcall) -> Result<(), Failure> {
        let mut verdict = self.handler.handle(&upcall, (self.clock)());
        let known = upcall.kind == UpcallKind::Miss && self.fresh.iter().any(|m| m.matches(&upcall.key));
        let put = verdict.megaflow.take().filter(|_| !known);
        let mut sent = 0;
        if let Some(put) = &put {
            self.send_put(put)?;
            sent += 1;
        }
        if odp::validate(&verdict.actions).is_err() {
            log::warn!(target: "dpif", "upcall answered with actions that cannot be executed");
        } else {
            // Without actions too: it is the datapath that counts what is dropped.
            let ids = self.connection.next_ids();
            let request = execute(&upcall.key, &upcall.meta, upcall.packet.frame(), &verdict.actions, ids);
            // A packet that fits no message came by none.
            if let Ok(bytes) = finished(request) {
                self.connection.send(Operation::Transact, &bytes)?;
                sent += 1;
            }
        }
        for n in 0..sent {
            match self.connection.receive_reply() {
                Ok(_) if n == 0 && put.is_some() => self.fresh.extend(put.as_ref().map(|p| p.matched)),
                Ok(_) => {}
                Err(Failure::Gone) => return Err(Failure::Gone),
                Err(e) => log::debug!(target: "dpif", "answer to an upcall refused ({e:?})"),
            }
        }
        Ok(())
    }

    fn send_put(&mut self, put: &FlowPut) -> Result<(), Failure> {
        let ids = self.connection.next_ids();
        let bytes = finished(put_flow(put, ids))?;
        self.connection.send(Operation::Transact, &bytes)
    }
}

/// Executes actions on a frame whose key is known as far as the frame does not say it.
pub(crate) fn execute(
    key: &FlowKey,
    meta: &PacketMeta,
    frame: &[u8],
    actions: &[Action],
    ids: (u32, u32),
) -> Builder {
    let mut b = begin(ids::PACKET, packet_cmd::EXECUTE, 0, ids);
    packet_attrs::put_packet(&mut b, frame);
    packet_attrs::put_key(&mut b, key);
    packet_attrs::put_actions(&mut b, actions);
    if meta.mru != 0 {
        packet_attrs::put_mru(&mut b, meta.mru);
    }
    if meta.rss_hash != 0 {
        packet_attrs::put_hash(&mut b, meta.rss_hash.into());
    }
    b
}

/// Reads an upcall; `None` for what is none.
fn decode(bytes: &[u8]) -> Option<Upcall> {
    let message = Messages::new(bytes).next()?.ok()?;
    let (genl, _) = GenlHeader::split(message.payload)?;
    let upcall = PacketAttrs::decode(attrs(message.payload)).ok()?;
    let mut key = FlowKey::ZERO;
    take_key(upcall.key?.nested(), &mut key).ok()?;
    let mut meta = meta_of(&key);
    meta.mru = upcall.mru.unwrap_or(0);
    meta.rss_hash = upcall.hash.unwrap_or(0) as u32;
    let kind = match genl.command {
        packet_cmd::MISS => UpcallKind::Miss,
        packet_cmd::ACTION => UpcallKind::Action {
            flow: None,
            userdata: upcall.userdata.unwrap_or_default().to_vec(),
            more: Some(More {
                tunnel: upcall.take_egress_tunnel().ok()?,
                actions: upcall.take_actions().ok()?,
                whole_len: upcall.len,
            })
            .filter(|more| *more != More::default())
            .map(Box::new),
        },
        _ => return None,
    };
    Some(Upcall { kind, key, meta, packet: FlatPacket::try_from_frame(upcall.packet?)? })
}
