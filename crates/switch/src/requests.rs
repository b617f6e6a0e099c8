//! Controllers' requests: which part of the switch answers each.
//!
//! Where it sits: `vswitchd` hands in the messages of each connection and writes what [`Switch::take_output`] gives.
//! What a request does is in the file of its subject; this one sorts them, and refuses what a secondary may not ask.
//!
//! Spec: OpenFlow 1.5.1 section 7.3. Next: `connections.rs`, `flows.rs`, `bundles.rs`, `packets.rs`, `groups.rs`,
//! `meters.rs`, `tables.rs`, `monitors.rs`.

use std::sync::Arc;

use ofproto::Rule;
use openflow::conn::Request;
use openflow::msg::{AggregateStats, FlowStatsRequest, Message, PortMod, PortReason, Role, TableFeatures};
use openflow::{OfpError, OfpPort, Version};
use packet::Now;
use wire::EthAddr;

use crate::core::{BridgeState, Conn, ConnId, State, Switch, locked};
use crate::describe::port_desc;
use crate::flows::{flow_stats, selection};
use crate::monitors::Cause;
use crate::packets::Prepared;

/// A request, and who asked when.
pub(crate) struct Asked<'a> {
    pub bridge: &'a str,
    pub id: ConnId,
    pub request: &'a Request,
    pub version: Version,
    pub now: Now,
}

impl Asked<'_> {
    /// What monitors are told of changes that the request makes.
    pub fn cause(&self) -> Cause {
        Cause { conn: self.id, xid: self.request.header.xid }
    }
}

/// The answer to a request, and packets to be sent once nothing is locked.
#[derive(Default)]
struct Answer {
    reply: Option<Message>,
    packets: Vec<Prepared>,
}

impl Answer {
    fn reply(message: Message) -> Answer {
        Answer { reply: Some(message), packets: Vec::new() }
    }
}

impl Switch {
    /// One whole message of a controller.
    pub fn handle_message(&self, id: ConnId, bytes: &[u8], now: Now) {
        self.shared.tell_time(now);
        let mut state = locked(&self.shared.state);
        let Some(name) =
            state.bridges.iter().find(|(_, b)| b.conns.contains_key(&id)).map(|(n, _)| n.clone())
        else {
            return;
        };
        let Some(c) = state.bridges.get_mut(&name).and_then(|b| b.conns.get_mut(&id)) else { return };
        let before = c.conn.version();
        let request = c.conn.handle_message(bytes, now.mono);
        if before != c.conn.version() {
            // An old controller wants packets without a rule.
            self.shared.publish(&mut state);
        }
        drop(state);
        let Some(request) = request else { return };
        if counts_packets(&request.message) {
            self.collect();
        }
        let version = Version::from_wire(request.header.version).unwrap_or(Version::V10);
        let asked = Asked { bridge: &name, id, request: &request, version, now };
        let answer = self.answer(&asked);
        let packets = self.send_answer(&asked, answer);
        packets.into_iter().for_each(|p| self.send_packet(p));
    }

    fn send_answer(&self, asked: &Asked<'_>, answer: Result<Answer, OfpError>) -> Vec<Prepared> {
        let mut state = locked(&self.shared.state);
        let conn = state.bridges.get_mut(asked.bridge).and_then(|b| b.conns.get_mut(&asked.id));
        let Some(Conn { conn, .. }) = conn else { return Vec::new() };
        match answer {
            Ok(Answer { reply, packets }) => {
                if let Some(reply) = reply
                    && let Err(e) = conn.reply(asked.request, &reply)
                {
                    conn.refuse(asked.request, e);
                }
                packets
            }
            Err(e) => {
                conn.refuse(asked.request, e);
                Vec::new()
            }
        }
    }

    fn answer(&self, asked: &Asked<'_>) -> Result<Answer, OfpError> {
        let mut state = locked(&self.shared.state);
        let bridge = state.bridges.get_mut(asked.bridge).ok_or(OfpError::OFPBRC_EPERM)?;
        let message = &asked.request.message;
        if changes(message) && bridge.conn(asked.id)?.role == Role::Secondary {
            return Err(match asked.version {
                Version::V10 | Version::V11 => OfpError::OFPBRC_EPERM,
                _ => OfpError::OFPBRC_IS_SECONDARY,
            });
        }
        match message {
            Message::FlowMod(_)
            | Message::GroupMod(_)
            | Message::PortMod(_)
            | Message::TableMod(_)
            | Message::TlvTableMod(_) => {
                bridge.change(asked)?;
                self.shared.rules_changed(asked.now);
                self.shared.publish(&mut state);
                Ok(Answer::default())
            }
            Message::MeterMod(mm) => {
                self.meter_mod(&mut state, mm, asked)?;
                self.shared.publish(&mut state);
                Ok(Answer::default())
            }
            Message::BundleControl(ctrl) => {
                let (reply, packets) = self.bundle_control(&mut state, ctrl, asked)?;
                Ok(Answer { reply: Some(reply), packets })
            }
            Message::BundleAdd(add) => bridge.bundle_add(asked.id, add).map(|()| Answer::default()),
            Message::PacketOut(po) => {
                let view = self.shared.view();
                drop(state);
                Ok(Answer { reply: None, packets: vec![self.prepare_packet_out(view, asked.bridge, po)?] })
            }
            Message::Resume(packet_in) => {
                let view = self.shared.view();
                drop(state);
                let packets = vec![self.prepare_resumed(view, asked, packet_in)?];
                Ok(Answer { reply: None, packets })
            }
            _ => self.tell(&mut state, asked),
        }
    }

    /// Answers to questions that change nothing but the connection itself.
    fn tell(&self, state: &mut State, asked: &Asked<'_>) -> Result<Answer, OfpError> {
        let bridge = state.bridges.get_mut(asked.bridge).ok_or(OfpError::OFPBRC_EPERM)?;
        Ok(Answer::reply(match &asked.request.message {
            Message::PortStatsRequest(port) => {
                Message::PortStatsReply(self.port_stats(bridge, *port, asked.now)?)
            }
            Message::MeterStatsRequest(id) => {
                Message::MeterStatsReply(self.meter_stats(bridge, *id, asked.now)?)
            }
            Message::MeterFeaturesRequest => Message::MeterFeaturesReply(self.meter_features()),
            Message::CtFlushZone(zone) => {
                self.flush_zone(*zone, asked.now);
                return Ok(Answer::default());
            }
            Message::CtFlush(what) => {
                self.flush_connections(what, asked.now);
                return Ok(Answer::default());
            }
            _ => {
                let reply = bridge.answer(asked)?;
                return Ok(Answer { reply, packets: Vec::new() });
            }
        }))
    }
}

/// True for requests whose answers count packets.
fn counts_packets(message: &Message) -> bool {
    matches!(
        message,
        Message::FlowStatsRequest(_)
            | Message::AggregateRequest(_)
            | Message::TableStatsRequest
            | Message::GroupStatsRequest(_)
            | Message::FlowMod(_)
    )
}

/// True for requests that a secondary may not make.
fn changes(message: &Message) -> bool {
    matches!(
        message,
        Message::FlowMod(_)
            | Message::GroupMod(_)
            | Message::MeterMod(_)
            | Message::TableMod(_)
            | Message::PortMod(_)
            | Message::PacketOut(_)
            | Message::BundleControl(_)
            | Message::BundleAdd(_)
            | Message::TlvTableMod(_)
            | Message::CtFlush(_)
            | Message::CtFlushZone(_)
    )
}

impl BridgeState {
    pub(crate) fn conn(&mut self, id: ConnId) -> Result<&mut Conn, OfpError> {
        self.conns.get_mut(&id).ok_or(OfpError::OFPBRC_EPERM)
    }

    /// Carries out a request that changes the bridge.
    fn change(&mut self, asked: &Asked<'_>) -> Result<(), OfpError> {
        match &asked.request.message {
            Message::FlowMod(fm) => {
                let changes = self.ofproto.flow_mod(fm, asked.now)?;
                self.tell_changes(&changes, Some(asked.cause()), asked.now);
            }
            Message::GroupMod(gm) => {
                let changes = self.ofproto.group_mod(gm, asked.now)?;
                self.tell_changes(&changes, Some(asked.cause()), asked.now);
                self.forward_request(asked.id, &asked.request.bytes, 0);
            }
            Message::PortMod(pm) => {
                self.check_port_mod(pm)?;
                self.apply_port_mod(pm);
            }
            Message::TableMod(tm) => self.table_mod(tm, asked.version)?,
            Message::TlvTableMod(change) => self.ofproto.change_options(change)?,
            _ => return Err(OfpError::OFPBRC_BAD_TYPE),
        }
        Ok(())
    }

    fn answer(&mut self, asked: &Asked<'_>) -> Result<Option<Message>, OfpError> {
        let (id, now) = (asked.id, asked.now);
        Ok(Some(match &asked.request.message {
            Message::FeaturesRequest => Message::FeaturesReply(self.features()),
            Message::BarrierRequest => Message::BarrierReply,
            Message::GetConfigRequest => Message::GetConfigReply(self.conn(id)?.config),
            Message::SetConfig(config) => {
                self.conn(id)?.config = *config;
                return Ok(None);
            }
            Message::DescRequest => Message::DescReply(self.desc()),
            Message::FlowStatsRequest(r) => {
                let rules = self.selected(r)?;
                Message::FlowStatsReply(rules.iter().map(|r| flow_stats(r, now)).collect())
            }
            Message::AggregateRequest(r) => {
                let rules = self.selected(r)?;
                Message::AggregateReply(AggregateStats {
                    packet_count: rules.iter().map(|r| r.state.packets()).sum(),
                    byte_count: rules.iter().map(|r| r.state.bytes()).sum(),
                    flow_count: rules.len() as u32,
                })
            }
            Message::PortDescRequest(port) => Message::PortDescReply(
                self.ports
                    .iter()
                    .filter(|(ofp, _)| *port == OfpPort::NONE || *ofp == port)
                    .map(|(ofp, p)| port_desc(*ofp, p))
                    .collect(),
            ),
            Message::GroupStatsRequest(id) => {
                Message::GroupStatsReply(self.ofproto.current().group_stats(*id, now))
            }
            Message::GroupDescRequest(id) => {
                let groups = self.ofproto.current().groups_named(*id);
                Message::GroupDescReply(groups.map(|g| g.described()).collect())
            }
            Message::GroupFeaturesRequest => Message::GroupFeaturesReply(ofproto::group_features()),
            Message::MeterConfigRequest(id) => Message::MeterConfigReply(self.meter_configs(*id)?),
            Message::RoleRequest(r) => Message::RoleReply(self.set_role(id, r)?),
            Message::GetAsyncRequest => Message::GetAsyncReply(*self.conn(id)?.conn.async_config()),
            Message::FlowMonitorRequest(wanted) => Message::FlowMonitorReply(self.add_monitors(id, wanted)?),
            Message::FlowMonitorCancel(monitor) => {
                self.cancel_monitor(id, *monitor)?;
                return Ok(None);
            }
            _ => return self.answer_about_tables(asked),
        }))
    }

    fn answer_about_tables(&mut self, asked: &Asked<'_>) -> Result<Option<Message>, OfpError> {
        Ok(Some(match &asked.request.message {
            Message::TableStatsRequest => Message::TableStatsReply(self.table_stats(asked.version)),
            Message::TlvTableRequest => Message::TlvTableReply(self.ofproto.current().options.described()),
            Message::TableDescRequest => Message::TableDescReply(self.table_descs()),
            Message::TableFeaturesRequest(wanted) if wanted.is_empty() => {
                let last = ofproto::N_VISIBLE_TABLES - 1;
                let features = |id| TableFeatures::of_switch(id, last, asked.version);
                Message::TableFeaturesReply((0..ofproto::N_VISIBLE_TABLES).map(features).collect())
            }
            Message::QueueStatsRequest(q) => {
                self.check_queue_port(q.port)?;
                Message::QueueStatsReply(Vec::new())
            }
            Message::QueueConfigRequest(q) => {
                self.check_queue_port(q.port)?;
                Message::QueueConfigReply(q.port, Vec::new())
            }
            // The connection itself acted on these; or they need no answer.
            Message::SetAsync(_)
            | Message::SetFlowFormat(_)
            | Message::FlowModTableId(_)
            | Message::SetPacketInFormat(_)
            | Message::SetControllerId(_)
            | Message::FlowAge
            | Message::Error(_)
            | Message::EchoReply(_)
            | Message::BarrierReply => return Ok(None),
            _ => return Err(openflow::msg::refusal(asked.request.header.raw)),
        }))
    }

    /// The rules that a request for statistics means.
    fn selected(&self, r: &FlowStatsRequest) -> Result<Vec<Arc<Rule>>, OfpError> {
        let current = self.ofproto.current();
        let mut wanted = selection(r);
        if let Some(bound) = current.options.bound(&wanted.matcher)? {
            wanted.matcher = bound;
        }
        Ok(wanted.rules(current))
    }

    /// Refuses questions about queues of a port that is not there.
    fn check_queue_port(&self, port: OfpPort) -> Result<(), OfpError> {
        if port == OfpPort::NONE || self.ports.contains_key(&port) {
            Ok(())
        } else {
            Err(OfpError::OFPQOFC_BAD_PORT)
        }
    }

    /// Says whether a port mod may be carried out.
    pub(crate) fn check_port_mod(&self, pm: &PortMod) -> Result<(), OfpError> {
        let p = self.ports.get(&pm.port).ok_or(OfpError::OFPPMFC_BAD_PORT)?;
        if pm.hw_addr != EthAddr::ZERO && pm.hw_addr != p.config.hw_addr {
            return Err(OfpError::OFPPMFC_BAD_HW_ADDR);
        }
        Ok(())
    }

    /// Carries out a port mod that was checked.
    pub(crate) fn apply_port_mod(&mut self, pm: &PortMod) {
        let Some(p) = self.ports.get_mut(&pm.port) else { return };
        let flags = p.flags & !pm.mask | pm.config & pm.mask;
        if std::mem::replace(&mut p.flags, flags) != flags {
            self.tell_port(pm.port, PortReason::Modify);
        }
    }
}
