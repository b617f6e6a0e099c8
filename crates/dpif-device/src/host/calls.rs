//! What the switch calls: each call as a request of the device, and the reply as the call's result.
//!
//! Where it sits: under `host`, which carries requests out.

use std::collections::BTreeMap;
use std::sync::Arc;

use conntrack::{Conntrack, Entry};
use datapath::{Command, CommandError, DropCounts, FlowInfo, Reply};
use device::counts;
use dpif::{Dpif, DpifError, Port, PortStats, Tracking, UpcallHandler};
use flow::{FlowKey, Match};
use netlink::Builder;
use odp::Action;
use odp::netlink::flow as flow_attrs;
use odp::netlink::ids::{self, cmd, ctnetlink};
use odp::netlink::vport::{VportAttrs, VportKind};
use packet::{FlatPacket, Now, OdpPort, PacketMeta};
use wire::EthAddr;

use super::{DpifDevice, Wanted, lock, port_of, texts_of};
use crate::connection::Failure;
use crate::message::{self, begin, begin_ct, command_error, port_error, reply_attrs};
use crate::receiver::execute;

/// The UDP port at the end of the name of a tunnel's port.
fn tunnel_port(name: &str) -> Option<u16> {
    name.rsplit_once('_')?.1.parse().ok()
}

impl Dpif for DpifDevice {
    fn name(&self) -> &str {
        "system@ovs-system"
    }

    fn routes_tunnels(&self) -> bool {
        let mut said = lock(&self.routes_tunnels);
        if said.is_none() {
            *said = match self.ask(message::want_ways, |_| ()) {
                Ok(()) => Some(true),
                Err(Failure::Errno(_)) => Some(false),
                Err(Failure::Gone | Failure::Status(_)) => None,
            };
        }
        said.unwrap_or(false)
    }

    fn set_upcall_handler(&self, handler: Option<Arc<dyn UpcallHandler>>) {
        *lock(&self.handler) = handler;
        self.start_receivers();
    }

    fn add_port(&self, name: &str, kind: &str, wanted: Option<OdpPort>) -> Result<OdpPort, DpifError> {
        let unknown =
            || DpifError::Device { errno: 97, text: "Address family not supported by protocol".into() };
        let vport_kind =
            VportKind::from_name(if kind == "tap" { "internal" } else { kind }).ok_or_else(unknown)?;
        let pids = self.pids();
        let make = |ids| {
            let mut b = begin(ids::VPORT, cmd::NEW, 0, ids);
            let attrs = VportAttrs {
                number: wanted.map(|n| n.0),
                kind: Some(vport_kind as u32),
                name: Some(name),
                tunnel_port: tunnel_port(name).filter(|_| vport_kind.is_tunnel()),
                pids: Some(&pids),
                ..VportAttrs::default()
            };
            attrs.encode(&mut b);
            b
        };
        let port = self.ask(make, |reply| port_of(&VportAttrs::decode(reply_attrs(reply)).ok()?));
        let number = port.map_err(port_error)?.map(|p| p.number).ok_or(DpifError::NoPort)?;
        lock(&self.ports).insert(number, Wanted { name: name.into(), kind: kind.into(), settings: None });
        Ok(number)
    }

    fn del_port(&self, number: OdpPort) -> Result<(), DpifError> {
        if number == OdpPort::LOCAL {
            return Err(DpifError::Local);
        }
        lock(&self.devices).remove(&number);
        if let Some(port) = lock(&self.ports).remove(&number) {
            lock(&self.port_configs).remove(&port.name);
        }
        let make = |ids| {
            let mut b = begin(ids::VPORT, cmd::DEL, 0, ids);
            VportAttrs { number: Some(number.0), ..VportAttrs::default() }.encode(&mut b);
            b
        };
        self.ask(make, |_| ()).map_err(port_error)
    }

    fn ports(&self) -> Vec<Port> {
        let mut ports = Vec::new();
        let listed = self.dump(
            |ids| begin(ids::VPORT, cmd::GET, netlink::flags::DUMP, ids),
            |attrs| ports.extend(VportAttrs::decode(attrs).ok().as_ref().and_then(port_of)),
        );
        if let Err(e) = listed {
            log::warn!(target: "dpif", "ports cannot be listed ({e:?})");
        }
        ports
    }

    fn port_by_name(&self, name: &str) -> Option<Port> {
        let port = self.vport(VportAttrs { name: Some(name), ..VportAttrs::default() })?;
        // Ports of an earlier life are found here before they are used.
        let wanted = || Wanted { name: port.name.clone(), kind: port.kind.clone(), settings: None };
        lock(&self.ports).entry(port.number).or_insert_with(wanted);
        Some(port)
    }

    fn set_port_options(&self, number: OdpPort, options: &BTreeMap<String, String>) -> Result<(), DpifError> {
        let settings = texts_of(options);
        let last = lock(&self.ports).get(&number).and_then(|port| port.settings.clone());
        if last.as_ref() == Some(&settings) { Ok(()) } else { self.set_port(number, settings) }
    }

    fn port_hw_addr(&self, number: OdpPort) -> EthAddr {
        self.netdev(number).and_then(|d| d.mac().ok()).unwrap_or_default()
    }

    fn port_stats(&self, number: OdpPort) -> Result<PortStats, DpifError> {
        let counters = self.port_counters(number);
        if !counters.is_empty() {
            let find = |name: &str| counters.iter().find(|(n, _)| n == name).map(|(_, n)| *n);
            return Ok(PortStats::named(find));
        }
        let make = |ids| {
            let mut b = begin(ids::VPORT, cmd::GET, 0, ids);
            VportAttrs { number: Some(number.0), ..VportAttrs::default() }.encode(&mut b);
            b
        };
        let stats = self.ask(make, |reply| VportAttrs::decode(reply_attrs(reply)).ok()?.stats);
        let s = stats.map_err(port_error)?.ok_or(DpifError::NoPort)?;
        Ok(PortStats {
            rx_packets: Some(s.rx_packets),
            tx_packets: Some(s.tx_packets),
            rx_bytes: Some(s.rx_bytes),
            tx_bytes: Some(s.tx_bytes),
            rx_errors: Some(s.rx_errors),
            tx_errors: Some(s.tx_errors),
            rx_dropped: Some(s.rx_dropped),
            tx_dropped: Some(s.tx_dropped),
            ..PortStats::default()
        })
    }

    fn drops(&self) -> DropCounts {
        self.counts(None, counts::take_drops).unwrap_or_default()
    }

    fn port_drops(&self, number: OdpPort) -> DropCounts {
        self.counts(Some(number), counts::take_drops).unwrap_or_default()
    }

    fn apply(&self, command: Command<'_>) -> Result<Reply, CommandError> {
        let done = |result: Result<(), Failure>, actions: &[Action]| {
            result.map(|()| Reply::Done).map_err(|e| command_error(e, actions))
        };
        match command {
            Command::PutFlow(put) => done(self.ask(|ids| message::put_flow(put, ids), |_| ()), &put.actions),
            Command::DelFlow(ufid) => self.one_flow(|ids| message::one_flow(cmd::DEL, ufid, ids)),
            Command::GetFlow(ufid) => self.one_flow(|ids| message::one_flow(cmd::GET, ufid, ids)),
            Command::FindFlow(m) => self.one_flow(|ids| find_flow(m, ids)),
            Command::LookupFlow(key) => self.one_flow(|ids| lookup_flow(key, ids)),
            Command::FlushFlows => done(self.ask(|ids| begin(ids::FLOW, cmd::DEL, 0, ids), |_| ()), &[]),
            Command::DumpFlows { cursor, max } => {
                // The device's dumps are one handle's: a part is cut out of a whole one.
                let mut flows = Vec::new();
                self.flows(|flow| flows.push(flow)).map_err(|e| command_error(e, &[]))?;
                let (all, from) = (flows.len(), cursor as usize);
                let flows: Vec<FlowInfo> = flows.into_iter().skip(from).take(max).collect();
                let end = from + flows.len();
                Ok(Reply::Flows { flows, next: (end < all).then_some(end as u32) })
            }
            Command::Stats => self.totals().map(Reply::Stats).map_err(|e| command_error(e, &[])),
            Command::SetMeter { id, config } => {
                done(self.ask(|ids| message::set_meter(id, config, ids), |_| ()), &[]).inspect(|_| {
                    lock(&self.meters).insert(id, config.clone());
                })
            }
            Command::GetMeter(id) => {
                self.one_meter(|ids| message::one_meter(message::meter_cmd::GET, id, ids))
            }
            Command::DelMeter(id) => {
                self.one_meter(|ids| message::one_meter(message::meter_cmd::DEL, id, ids))
            }
            // The device knows tunnels by their ports' types, and sorts by itself.
            Command::SetTunnel { .. } | Command::SortMasks => Ok(Reply::Done),
            Command::SetTunnelPorts { low, high } => {
                done(self.ask(|ids| message::set_tunnel_ports((low, high), ids), |_| ()), &[]).inspect(|_| {
                    *lock(&self.tunnel_ports) = Some((low, high));
                })
            }
            Command::SetFlowLimit(_) | Command::SetBond { .. } | Command::DelBond(_) => {
                Err(CommandError::NotSupported)
            }
        }
    }

    fn execute(&self, meta: PacketMeta, packet: FlatPacket, actions: &[Action]) -> Result<(), CommandError> {
        odp::validate(actions).map_err(CommandError::InvalidActions)?;
        let mut key = FlowKey::ZERO;
        flow::extract(&meta, packet.frame(), packet.frame().len(), flow::DEFAULT_VLAN_LIMIT, &mut key);
        let sent = self.ask(|ids| execute(&key, &meta, packet.frame(), actions, ids), |_| ());
        sent.map_err(|e| command_error(e, actions))
    }

    fn conntrack(&self) -> Option<&Conntrack> {
        None
    }

    fn tracking(&self) -> Option<&dyn Tracking> {
        Some(self)
    }

    fn for_each_connection(&self, _now: Now, zone: Option<u16>, each: &mut dyn FnMut(&Entry)) {
        let make = |ids| {
            let mut b = begin_ct(ctnetlink::GET, netlink::flags::DUMP, ids);
            zone.into_iter().for_each(|zone| device::ct::put_zone(&mut b, zone));
            b
        };
        let listed = self.dump(make, |attrs| device::ct::take_entry(&attrs).iter().for_each(&mut *each));
        if let Err(e) = listed {
            log::warn!(target: "dpif", "connections cannot be listed ({e:?})");
        }
    }

    fn flush_connections(&self, _now: Now, zone: Option<u16>) -> Option<usize> {
        let make = |ids| {
            let mut b = begin_ct(ctnetlink::DELETE, 0, ids);
            zone.into_iter().for_each(|zone| device::ct::put_zone(&mut b, zone));
            b
        };
        if let Err(e) = self.ask(make, |_| ()) {
            log::warn!(target: "dpif", "connections cannot be flushed ({e:?})");
        }
        None
    }

    fn flush_connections_if(&self, now: Now, wanted: &dyn Fn(&Entry) -> bool) -> usize {
        let mut meant = Vec::new();
        self.for_each_connection(now, None, &mut |e| meant.extend(wanted(e).then_some(e.orig)));
        let mut ended = 0;
        for orig in meant {
            let make = |ids| {
                let mut b = begin_ct(ctnetlink::DELETE, 0, ids);
                device::ct::put_orig(&mut b, &orig);
                device::ct::put_zone(&mut b, orig.zone);
                b
            };
            // One that ended meanwhile is not ended by us.
            ended += usize::from(self.ask(make, |_| ()).is_ok());
        }
        ended
    }

    fn for_each_flow(&self, each: &mut dyn FnMut(FlowInfo)) {
        if let Err(e) = self.flows(each) {
            log::warn!(target: "dpif", "flows cannot be listed ({e:?})");
        }
    }
}

fn find_flow(m: &Match, ids: (u32, u32)) -> Builder {
    let mut b = begin(ids::FLOW, cmd::GET, 0, ids);
    flow_attrs::put_key(&mut b, m);
    flow_attrs::put_mask(&mut b, m);
    b
}

fn lookup_flow(key: &FlowKey, ids: (u32, u32)) -> Builder {
    let mut b = begin(ids::FLOW, cmd::GET, 0, ids);
    flow_attrs::put_key(&mut b, &Match { key: *key, wc: Match::ANY.wc });
    b
}
