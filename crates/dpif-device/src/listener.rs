//! The listener: a thread that hears which adapters come and go.
//!
//! Where it sits: started by `host` beside the receivers. What it hears is kept in [`News`] until the daemon asks; each piece
//! of news wakes the daemon.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use device::carrier::Operation;
use netlink::{GenlHeader, Messages};
use odp::netlink::ids::{self, cmd, control_attr, control_cmd};
use odp::netlink::vport::{VportAttrs, VportKind};

use crate::connection::{Connection, Failure, OpenError};
use crate::handle_thread::{HandleThread, Turn};
use crate::host::{Waker, lock};
use crate::message::{attrs, begin};

/// The group of events about ports.
const PORTS: u32 = 101;
/// The number of an adapter that is no port (ovsext 1.9).
const UNBOUND: u32 = u16::MAX as u32;
/// Adapters that are remembered at most; a host has a few hundred.
const MAX_ADAPTERS: usize = 4096;

/// What was heard and not yet asked for.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// An adapter came, went or changed that is no port: one that could not be opened may be opened now.
    pub is_new: bool,
    /// Adapters of virtual machines that nobody has bound.
    pub unbound: BTreeSet<String>,
}

/// Starts to listen. `gone` is called if the other process goes.
pub(crate) fn start(
    path: &Path,
    news: Arc<Mutex<News>>,
    waker: Waker,
    gone: Waker,
) -> Result<HandleThread, OpenError> {
    let make = |connection| Listening { connection, news, waker };
    HandleThread::start(path, "events", subscribe, make, gone)
}

fn subscribe(connection: &mut Connection) -> Result<(), Failure> {
    let mut b = begin(ids::CONTROL, control_cmd::MC_SUBSCRIBE, 0, connection.next_ids());
    b.put_u32(control_attr::MCAST_GRP, PORTS);
    b.put_u8(control_attr::MCAST_JOIN, 1);
    connection.write(b)
}

struct Listening {
    connection: Connection,
    news: Arc<Mutex<News>>,
    waker: Waker,
}

impl Turn for Listening {
    fn turn(&mut self) -> Result<(), Failure> {
        let message = self.connection.call(Operation::ReadEvent, &[])?;
        if message.is_empty() {
            let wait = begin(ids::CONTROL, control_cmd::PEND, 0, self.connection.next_ids());
            return self.connection.write(wait);
        }
        hear(&mut lock(&self.news), message);
        if lock(&self.news).is_new {
            (self.waker)();
        }
        Ok(())
    }
}

/// Takes an event in. Ports that come and go do so because of the daemon itself, most of the time.
fn hear(news: &mut News, event: &[u8]) {
    let Some(Ok(message)) = Messages::new(event).next() else { return };
    let Some((genl, _)) = GenlHeader::split(message.payload) else { return };
    let Ok(port) = VportAttrs::decode(attrs(message.payload)) else { return };
    let (Some(number), Some(name)) = (port.number, port.name) else { return };
    news.is_new |= number == UNBOUND;
    let of_machine = number == UNBOUND && port.kind == Some(VportKind::Netdev as u32);
    if genl.command == cmd::NEW && of_machine && news.unbound.len() < MAX_ADAPTERS {
        news.unbound.insert(name.to_owned());
    } else {
        news.unbound.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(command: u8, number: u32, kind: VportKind, name: &str) -> Vec<u8> {
        let mut b = begin(ids::VPORT, command, 0, (0, 0));
        let (number, kind, name) = (Some(number), Some(kind as u32), Some(name));
        VportAttrs { number, kind, name, ..VportAttrs::default() }.encode(&mut b);
        b.finish().unwrap()
    }

    #[test]
    fn only_adapters_of_machines_that_nobody_has_bound_are_remembered() {
        let mut news = News::default();
        let netdev = VportKind::Netdev;
        hear(&mut news, &[1, 2, 3]);
        hear(&mut news, &event(cmd::NEW, 7, netdev, "vm3"));
        assert!(!news.is_new, "a port is the daemon's own");
        hear(&mut news, &event(cmd::NEW, UNBOUND, netdev, "vm1"));
        hear(&mut news, &event(cmd::NEW, UNBOUND, netdev, "vm2"));
        hear(&mut news, &event(cmd::NEW, UNBOUND, VportKind::Internal, "host"));
        hear(&mut news, &event(cmd::SET, UNBOUND, netdev, "Ethernet0"));
        assert_eq!(news.unbound.iter().collect::<Vec<_>>(), ["vm1", "vm2"]);
        hear(&mut news, &event(cmd::NEW, 8, netdev, "vm1"));
        hear(&mut news, &event(cmd::DEL, UNBOUND, netdev, "vm2"));
        assert!(news.unbound.is_empty() && news.is_new);
    }
}
