//! The datapath as the switch sees it, over the device.
//!
//! Where it sits: what the switch commands becomes messages, and messages of the device become upcalls. It is what a dpif of
//! the daemon on Windows does.
//!
//! Spec: ovsext 1.12 and 2.

use std::sync::{Arc, Mutex, PoisonError};

use conntrack::Conntrack;
use datapath::{
    BandKind, Command, CommandError, FlowInfo, FlowPut, FlowStats, MeterBand, MeterConfig, MeterUnit, More,
    PutMode, Reply, Stats, Upcall, UpcallKind,
};
use device::counts;
use dpif::{Dpif, DpifError, Port, PortStats, UpcallHandler};
use flow::{FlowKey, Match};
use netlink::{Attrs, Builder, GenlHeader, Messages, flags};
use odp::Action;
use odp::netlink::actions::take_actions;
use odp::netlink::datapath::DpAttrs;
use odp::netlink::flow::{self as flow_attrs, FlowAttrs};
use odp::netlink::ids::{self, cmd, packet_cmd};
use odp::netlink::key::{meta_of, take_key};
use odp::netlink::meter::{self, Band};
use odp::netlink::packet::{self as packet_attrs, PacketAttrs};
use odp::netlink::vport::{VportAttrs, VportKind};
use packet::{FlatPacket, OdpPort, PacketBuf, PacketMeta};

use crate::channel::{Channel, Failure};
use crate::world::{broken, rule};

/// The extension, through its device.
pub(crate) struct OverDevice {
    /// For commands.
    pub channel: Channel,
    /// The number of the channel that gets upcalls.
    pub upcalls: u32,
    handler: Mutex<Option<Arc<dyn UpcallHandler>>>,
}

/// The error number of what makes no sense.
const EINVAL: i32 = 22;
/// Sets a meter.
const SET_METER: u8 = 2;

fn refused(failure: Failure) -> CommandError {
    match failure {
        Failure::Errno(17) => CommandError::Exists,
        Failure::Errno(12) => CommandError::NoMemory,
        Failure::Errno(27) => CommandError::Full,
        _ => CommandError::NotFound,
    }
}

/// A flow as a message has it.
fn flow_of(attrs: &[u8]) -> Option<FlowInfo> {
    let a = FlowAttrs::decode(Attrs::new(attrs)).ok()?;
    let mut matched = Match::ANY;
    a.take_match(&mut matched).ok()?;
    let actions = a.actions.map_or(Ok(Vec::new()), |list| take_actions(list.nested())).ok()?;
    let c = a.counters();
    let tcp_flags = u16::from(c.tcp_flags);
    let stats = FlowStats { packets: c.packets, bytes: c.bytes, used_ms: c.used_ms, tcp_flags };
    Some(FlowInfo { ufid: a.ufid?, matched, actions, stats })
}

fn flows(attrs: impl IntoIterator<Item = Vec<u8>>) -> Reply {
    let each = |a: Vec<u8>| flow_of(&a).unwrap_or_else(|| broken("a flow of the device that cannot be read"));
    Reply::Flows { flows: attrs.into_iter().map(each).collect(), next: None }
}

impl OverDevice {
    /// Commands go through `channel`; upcalls go to the channel of the number `upcalls`.
    pub fn new(channel: Channel, upcalls: u32) -> OverDevice {
        OverDevice { channel, upcalls, handler: Mutex::new(None) }
    }

    /// Who answers upcalls.
    pub fn handler(&self) -> Option<Arc<dyn UpcallHandler>> {
        self.handler.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn flow(
        &self,
        command: u8,
        flags: u16,
        fill: impl FnOnce(&mut Builder),
    ) -> Result<Vec<u8>, CommandError> {
        self.channel.ask(ids::FLOW, command, flags, fill).map_err(refused)
    }

    fn put(&self, put: &FlowPut) -> Result<Reply, CommandError> {
        let (command, flags) = match put.mode {
            PutMode::Create => (cmd::NEW, flags::CREATE),
            PutMode::CreateOrModify => (cmd::NEW, 0),
            PutMode::Modify | PutMode::ModifyAndZero => (cmd::SET, 0),
        };
        let done = self.channel.ask(ids::FLOW, command, flags, |b| {
            flow_attrs::put_ufid(b, put.ufid);
            flow_attrs::put_key(b, &put.matched);
            flow_attrs::put_mask(b, &put.matched);
            flow_attrs::put_actions(b, &put.actions);
            if put.mode == PutMode::ModifyAndZero {
                flow_attrs::put_clear(b);
            }
        });
        done.map(|_| Reply::Done).map_err(|failure| match odp::validate(&put.actions) {
            Err(why) if failure == Failure::Errno(EINVAL) => CommandError::InvalidActions(why),
            _ => refused(failure),
        })
    }

    fn set_meter(&self, id: u32, config: &MeterConfig) -> Result<Reply, CommandError> {
        let band = |b: &MeterBand| match b.kind {
            BandKind::Drop => {
                Some(Band { kind: meter::BAND_DROP, rate: b.rate, burst: b.burst, stats: (0, 0) })
            }
            // The device has no words for others.
            BandKind::DscpRemark(_) => None,
        };
        let bands: Option<Vec<Band>> = config.bands.iter().map(band).collect();
        let bands = bands.ok_or(CommandError::NotSupported)?;
        let set = self.channel.ask(ids::METER, SET_METER, 0, |b| {
            meter::put_meter(b, id, config.unit == MeterUnit::Kbps, &bands);
        });
        set.map(|_| Reply::Done).map_err(refused)
    }

    fn stats(&self) -> Result<Reply, CommandError> {
        let reply = self.channel.ask(ids::DATAPATH, cmd::GET, 0, |_| {}).map_err(refused)?;
        let s = DpAttrs::decode(Attrs::new(&reply)).ok().and_then(|a| a.stats).unwrap_or_default();
        let (hits, misses, lost, flows) = (s.hit, s.missed, s.lost, s.flows);
        let counts = self.channel.ask(ids::COUNTS, cmd::GET, 0, |_| {}).map_err(refused)?;
        let drops = counts::take_drops(Attrs::new(&counts));
        Ok(Reply::Stats(Stats { hits, misses, lost, flows, drops, ..Stats::default() }))
    }
}

/// An upcall as a message has it.
pub(crate) fn upcall_of(bytes: &[u8]) -> Option<Upcall<FlatPacket>> {
    let message = Messages::new(bytes).next()?.ok()?;
    rule(message.header.kind == ids::PACKET.id, "something else than a packet among the upcalls");
    let (genl, rest) = GenlHeader::split(message.payload)?;
    let a = PacketAttrs::decode(Attrs::new(rest.get(4..)?)).ok()?;
    let mut key = FlowKey::ZERO;
    take_key(a.key?.nested(), &mut key).ok()?;
    let kind = match genl.command {
        packet_cmd::MISS => UpcallKind::Miss,
        _ => UpcallKind::Action {
            flow: None,
            userdata: a.userdata.unwrap_or_default().to_vec(),
            more: Some(More {
                tunnel: a.take_egress_tunnel().ok()?,
                actions: a.take_actions().ok()?,
                whole_len: a.len,
            })
            .filter(|more| *more != More::default())
            .map(Box::new),
        },
    };
    Some(Upcall { kind, key, meta: meta_of(&key), packet: FlatPacket::try_from_frame(a.packet?)? })
}

impl Dpif for OverDevice {
    fn name(&self) -> &str {
        "system@ovs-system"
    }

    fn routes_tunnels(&self) -> bool {
        true
    }

    fn set_upcall_handler(&self, handler: Option<Arc<dyn UpcallHandler>>) {
        *self.handler.lock().unwrap_or_else(PoisonError::into_inner) = handler;
    }

    fn add_port(&self, name: &str, kind: &str, wanted: Option<OdpPort>) -> Result<OdpPort, DpifError> {
        let kind = VportKind::from_name(kind).unwrap_or(VportKind::Internal);
        // The transport port of a tunnel is at the end of its port's name.
        let tunnel_port = name.rsplit_once('_').filter(|_| kind.is_tunnel());
        let tunnel_port = tunnel_port.and_then(|(_, port)| port.parse().ok());
        let reply = self.channel.ask(ids::VPORT, cmd::NEW, 0, |b| {
            let pids = self.upcalls.to_ne_bytes();
            let (kind, name, pids) = (Some(kind as u32), Some(name), Some(&pids[..]));
            let number = wanted.map(|n| n.0);
            VportAttrs { number, kind, name, tunnel_port, pids, ..VportAttrs::default() }.encode(b);
        });
        let reply = reply.map_err(|e| match e {
            Failure::Errno(17) => DpifError::Exists,
            Failure::Errno(16) => DpifError::Busy,
            Failure::Errno(errno) => DpifError::Device { errno, text: "refused by the device".into() },
            Failure::Status(_) => DpifError::NoPort,
        })?;
        let number = VportAttrs::decode(Attrs::new(&reply)).ok().and_then(|a| a.number);
        number.map(OdpPort).ok_or(DpifError::NoPort)
    }

    fn del_port(&self, number: OdpPort) -> Result<(), DpifError> {
        let del = self.channel.ask(ids::VPORT, cmd::DEL, 0, |b| {
            VportAttrs { number: Some(number.0), ..VportAttrs::default() }.encode(b);
        });
        del.map(drop).map_err(|_| DpifError::NoPort)
    }

    fn ports(&self) -> Vec<Port> {
        let port = |attrs: &Vec<u8>| {
            let a = VportAttrs::decode(Attrs::new(attrs)).ok()?;
            let kind = "system".into();
            Some(Port { number: OdpPort(a.number?), name: a.name?.into(), kind, config: Vec::new() })
        };
        let vports = Channel::dump(ids::VPORT).unwrap_or_default();
        vports.iter().filter_map(port).collect()
    }

    fn port_stats(&self, number: OdpPort) -> Result<PortStats, DpifError> {
        let get = self.channel.ask(ids::VPORT, cmd::GET, 0, |b| {
            VportAttrs { number: Some(number.0), ..VportAttrs::default() }.encode(b);
        });
        let reply = get.map_err(|_| DpifError::NoPort)?;
        let s = VportAttrs::decode(Attrs::new(&reply)).ok().and_then(|a| a.stats).ok_or(DpifError::NoPort)?;
        let [rx_packets, rx_bytes, tx_packets, tx_bytes] =
            [s.rx_packets, s.rx_bytes, s.tx_packets, s.tx_bytes].map(Some);
        Ok(PortStats { rx_packets, rx_bytes, tx_packets, tx_bytes, ..PortStats::default() })
    }

    fn apply(&self, command: Command<'_>) -> Result<Reply, CommandError> {
        match command {
            Command::PutFlow(put) => self.put(put),
            Command::DelFlow(ufid) => {
                self.flow(cmd::DEL, 0, |b| flow_attrs::put_ufid(b, ufid)).map(|one| flows([one]))
            }
            Command::GetFlow(ufid) => {
                self.flow(cmd::GET, 0, |b| flow_attrs::put_ufid(b, ufid)).map(|one| flows([one]))
            }
            Command::FindFlow(m) => self
                .flow(cmd::GET, 0, |b| {
                    flow_attrs::put_key(b, m);
                    flow_attrs::put_mask(b, m);
                })
                .map(|one| flows([one])),
            Command::FlushFlows => self.flow(cmd::DEL, 0, |_| {}).map(|_| Reply::Done),
            // A dump is one of the device's, whole.
            Command::DumpFlows { .. } => Channel::dump(ids::FLOW).map(flows).map_err(refused),
            Command::Stats => self.stats(),
            Command::SetMeter { id, config } => self.set_meter(id, config),
            // The device knows tunnels by their ports' types, and sorts by itself.
            Command::SortMasks | Command::SetTunnel { .. } => Ok(Reply::Done),
            // Nothing in the simulation's bridges comes to this.
            Command::LookupFlow(_)
            | Command::GetMeter(_)
            | Command::DelMeter(_)
            | Command::SetFlowLimit(_)
            | Command::SetTunnelPorts { .. }
            | Command::SetBond { .. }
            | Command::DelBond(_) => Err(CommandError::NotFound),
        }
    }

    fn execute(&self, meta: PacketMeta, packet: FlatPacket, actions: &[Action]) -> Result<(), CommandError> {
        let mut key = FlowKey::ZERO;
        flow::extract::extract(&meta, packet.head(), packet.len(), 2, &mut key);
        let done = self.channel.ask(ids::PACKET, packet_cmd::EXECUTE, 0, |b| {
            packet_attrs::put_key(b, &key);
            packet_attrs::put_actions(b, actions);
            packet_attrs::put_packet(b, packet.frame());
        });
        done.map(drop).map_err(refused)
    }

    fn conntrack(&self) -> Option<&Conntrack> {
        None
    }
}
