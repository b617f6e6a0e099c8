//! Controllers' connections: who is there, in which role, and what they are told without asking.
//!
//! Where it sits: `vswitchd` connects sockets to it; every part of the switch tells its events through it.
//!
//! Spec: OpenFlow 1.5.1 sections 6.3 and 7.4.

use std::collections::BTreeMap;

use openflow::conn::SwitchConn;
use openflow::msg::{
    AsyncKind, FragMode, Message, PortReason, PortStatus, Role, RoleMessage, RoleReason, RoleStatus,
    SwitchConfig,
};
use openflow::{OfpError, OfpPort, Version};

use crate::core::{BridgeState, Conn, ConnId, ControllerKind, Switch, locked};
use crate::describe::port_desc;

impl Switch {
    /// A controller connected to a bridge; its HELLO is in the output. `None` if there is no such bridge.
    pub fn connect(&self, bridge: &str, kind: ControllerKind) -> Option<ConnId> {
        let mut state = locked(&self.shared.state);
        state.next_conn += 1;
        let id = ConnId(state.next_conn);
        let b = state.bridges.get_mut(bridge)?;
        let mut conn = SwitchConn::new(b.config.versions, id.0 as u32);
        conn.set_limits(OfpPort::MAX.0, ofproto::N_VISIBLE_TABLES);
        let miss_send_len = if kind == ControllerKind::Primary { 128 } else { 0 };
        let config = SwitchConfig { frag: FragMode::Normal, invalid_ttl_to_controller: false, miss_send_len };
        let (bundles, monitors) = (BTreeMap::new(), BTreeMap::new());
        let conn = Conn { conn, role: Role::Equal, kind, config, bundles, monitors };
        b.conns.insert(id, conn);
        Some(id)
    }

    /// A controller went.
    pub fn disconnect(&self, id: ConnId) {
        let mut state = locked(&self.shared.state);
        for bridge in state.bridges.values_mut() {
            bridge.conns.remove(&id);
        }
        self.shared.publish(&mut state);
    }

    /// Bytes to be sent to a controller.
    pub fn take_output(&self, id: ConnId) -> Vec<u8> {
        let mut state = locked(&self.shared.state);
        let conn = state.bridges.values_mut().find_map(|b| b.conns.get_mut(&id));
        conn.map(|c| c.conn.take_output()).unwrap_or_default()
    }

    /// True if a connection cannot go on, or is none of the switch's.
    pub fn is_broken(&self, id: ConnId) -> bool {
        let state = locked(&self.shared.state);
        state.bridges.values().find_map(|b| b.conns.get(&id)).is_none_or(|c| c.conn.is_broken())
    }

    /// The version that a connection agreed on.
    pub fn version(&self, id: ConnId) -> Option<Version> {
        let state = locked(&self.shared.state);
        state.bridges.values().find_map(|b| b.conns.get(&id)).and_then(|c| c.conn.version())
    }

    /// Asks a silent controller whether it is there.
    pub fn probe(&self, id: ConnId) {
        let mut state = locked(&self.shared.state);
        if let Some(c) = state.bridges.values_mut().find_map(|b| b.conns.get_mut(&id)) {
            c.conn.probe();
        }
    }

    /// The role of a controller.
    pub fn role(&self, id: ConnId) -> Option<Role> {
        let state = locked(&self.shared.state);
        state.bridges.values().find_map(|b| b.conns.get(&id)).map(|c| c.role)
    }
}

impl Conn {
    /// True if the controller wants messages of a kind and for a reason.
    pub(crate) fn wants(&self, kind: AsyncKind, reason: u32) -> bool {
        let config = self.conn.async_config();
        let masks = if self.role == Role::Secondary { &config.secondary } else { &config.primary };
        self.conn.version().is_some() && masks.get(kind as usize).is_some_and(|m| m >> reason & 1 != 0)
    }
}

impl BridgeState {
    pub(crate) fn set_role(&mut self, id: ConnId, r: &RoleMessage) -> Result<RoleMessage, OfpError> {
        if let Some(generation) = r.generation_id
            && r.role != Role::NoChange
        {
            if self.generation.is_some_and(|g| (generation.wrapping_sub(g) as i64) < 0) {
                return Err(OfpError::OFPRRFC_STALE);
            }
            self.generation = Some(generation);
        }
        let generation_id = self.generation;
        if r.role == Role::Primary {
            let status = RoleStatus {
                role: Role::Secondary,
                reason: RoleReason::PrimaryRequest,
                generation_id: generation_id.unwrap_or(u64::MAX),
            };
            for (_, other) in self.conns.iter_mut().filter(|(i, c)| **i != id && c.role == Role::Primary) {
                // Whether it is told is asked of the role that it had.
                let told = other.wants(AsyncKind::RoleStatus, RoleReason::PrimaryRequest as u32);
                other.role = Role::Secondary;
                if told {
                    // Versions without the message go without it.
                    let _ = other.conn.send(&Message::RoleStatus(status));
                }
            }
        }
        let c = self.conn(id)?;
        if r.role != Role::NoChange {
            c.role = r.role;
        }
        Ok(RoleMessage { role: c.role, generation_id })
    }

    pub(crate) fn tell_port(&mut self, ofp: OfpPort, reason: PortReason) {
        let Some(p) = self.ports.get(&ofp) else { return };
        let bit = reason as u32;
        let status = Message::PortStatus(PortStatus { desc: port_desc(ofp, p), reason });
        for c in self
            .conns
            .values_mut()
            .filter(|c| c.kind == ControllerKind::Primary || c.config.miss_send_len != 0)
        {
            if c.wants(AsyncKind::PortStatus, bit) {
                let _ = c.conn.send(&status);
            }
        }
    }

    /// Shows the other controllers that want to see it what one of them did to groups or meters.
    pub(crate) fn forward_request(&mut self, from: ConnId, request: &[u8], reason: u32) {
        for (id, c) in &mut self.conns {
            if *id != from && c.wants(AsyncKind::RequestForward, reason) {
                let _ = c.conn.forward(request);
            }
        }
    }
}
