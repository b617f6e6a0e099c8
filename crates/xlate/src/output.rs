//! Sending: to a port, through a patch into another bridge, to many, to controllers.
//!
//! Where it sits: called by actions and by NORMAL.

use odp::Action as OdpAction;
use openflow::OfpPort;
use openflow::actions::{Controller, PacketInReason};

use crate::freeze::{Frozen, FrozenTable, clear_metadata, metadata_of, tunnel_of};
use crate::translate::{Xlate, XlateError};
use crate::{Credit, NodeKind};

impl Xlate<'_> {
    /// The `output` action.
    pub(crate) fn output(&mut self, port: OfpPort, max_len: u16) {
        let in_port = OfpPort(self.flow.in_port());
        match port {
            OfpPort::IN_PORT => self.send(in_port),
            OfpPort::TABLE => self.table(0, in_port, false),
            OfpPort::NORMAL => self.normal(),
            OfpPort::FLOOD => self.send_to_all(|p| !p.no_flood),
            OfpPort::ALL => self.send_to_all(|_| true),
            OfpPort::CONTROLLER => self.controller(&Controller {
                max_len,
                controller_id: 0,
                reason: PacketInReason::Action,
                userdata: Vec::new(),
                pause: false,
                meter_id: 0,
                extended: false,
            }),
            OfpPort::NONE => {}
            _ if port == in_port => {
                self.note(NodeKind::Warning, || "skipping output to input port".into());
            }
            _ => self.send(port),
        }
    }

    fn send_to_all(&mut self, wanted: impl Fn(&crate::Port) -> bool) {
        self.last = false;
        let in_port = self.flow.in_port();
        let bridge = self.bridge;
        let local = bridge.ports.get(&OfpPort::LOCAL);
        let others = bridge.ports.values().filter(|p| p.ofp != OfpPort::LOCAL);
        for port in local.into_iter().chain(others) {
            if port.ofp.0 != in_port && wanted(port) {
                self.send(port.ofp);
            }
        }
    }

    /// Sends out of a port, whichever it is.
    pub(crate) fn send(&mut self, port: OfpPort) {
        let bridge = self.bridge;
        let Some(port) = bridge.ports.get(&port) else {
            return self.note(NodeKind::Warning, || "Nonexistent output port".into());
        };
        if port.no_forward {
            return self.note(NodeKind::Detail, || "OFPPC_NO_FWD set, skipping output".into());
        }
        if let Some((peer_bridge, peer_port)) = port.peer {
            self.out.credits.push(Credit::Sent(port.counters.clone()));
            return self.patch(peer_bridge, peer_port);
        }
        let Some(odp) = port.odp else { return };
        if let Some(tunnel) = &port.tunnel {
            return self.send_to_tunnel(tunnel, odp);
        }
        if self.flow.packet_type() != 0 {
            return self.note(NodeKind::Warning, || {
                "Trying to send non-Ethernet packet through legacy L2 port. Dropping packet.".into()
            });
        }
        if port.ofp == OfpPort::LOCAL {
            if let Some(tunnel) = self.terminates() {
                self.commit();
                return self.out.actions.push(OdpAction::TnlPop(tunnel));
            }
            self.snoop_neighbour();
        }
        self.commit();
        self.out.actions.push(OdpAction::Output(odp));
    }

    /// Goes on in the bridge at the other end of a patch; afterwards all is as before, but for what was sent.
    fn patch(&mut self, peer_bridge: usize, peer_port: OfpPort) {
        let network = self.network;
        let Some(bridge) = network.bridges.get(peer_bridge) else { return };
        let Some(port) = bridge.ports.get(&peer_port) else { return };
        if !self.may_nest() {
            return;
        }
        self.out.credits.push(Credit::Received(port.counters.clone()));
        let above = (self.bridge_index, self.bridge, self.table, self.cookie, self.rule.take());
        let stack = std::mem::take(&mut self.stack);
        let set = std::mem::take(&mut self.action_set);
        (self.bridge_index, self.bridge) = (peer_bridge, bridge);
        self.enter(NodeKind::Bridge, || format!("bridge(\"{}\")", bridge.name));
        self.cloned(|x| {
            clear_metadata(&mut x.flow);
            x.clear_conntrack();
            x.flow.set_in_port(peer_port.0);
            let base = x.base;
            x.change_options(&above.1.rules.options, &bridge.rules.options);
            if !port.no_receive {
                x.table(0, peer_port, true);
                if x.interruption.is_none() {
                    x.run_action_set();
                }
            }
            x.finish_interruption();
            x.return_options(&base, &bridge.rules.options, &above.1.rules.options);
        });
        self.leave();
        (self.bridge_index, self.bridge, self.table, self.cookie, self.rule) = above;
        self.stack = stack;
        self.action_set = set;
        self.end_nest();
    }

    /// Carries out `f`, which makes another packet of the datapath's: of a copy, unless nothing follows.
    pub(crate) fn isolated(&mut self, is_last: bool, f: impl FnOnce(&mut Self)) {
        let (flow, base) = (self.flow, self.base);
        let (exit, conntracked) = (self.exit, self.conntracked);
        let (under_label, pending) = (self.under_label, self.pending.clone());
        let before = std::mem::take(&mut self.out.actions);
        f(self);
        let inside = std::mem::replace(&mut self.out.actions, before);
        // Only an output makes the push worth while.
        let sends = inside.iter().any(|a| !matches!(a, OdpAction::TnlPush(_) | OdpAction::PopEth));
        if sends && is_last {
            self.out.actions.extend(inside);
        } else if sends {
            self.out.actions.push(OdpAction::Clone(inside));
        }
        (self.flow, self.base, self.conntracked) = (flow, base, conntracked);
        (self.under_label, self.pending) = (under_label, pending);
        self.exit = exit || self.out.error.is_some();
    }

    /// Carries out `f`, then has the packet as before. What the datapath cannot take back is done to a copy.
    pub(crate) fn cloned(&mut self, f: impl FnOnce(&mut Self)) {
        let (flow, base) = (self.flow, self.base);
        let (exit, conntracked) = (self.exit, self.conntracked);
        let (under_label, pending) = (self.under_label, self.pending.clone());
        let before = std::mem::take(&mut self.out.actions);
        f(self);
        self.finish_interruption();
        let inside = std::mem::replace(&mut self.out.actions, before);
        if inside.iter().any(is_irreversible) {
            self.base = base;
            self.out.actions.push(OdpAction::Clone(inside));
        } else {
            self.out.actions.extend(inside);
        }
        (self.under_label, self.pending) = (under_label, pending);
        self.flow = flow;
        self.conntracked = conntracked;
        self.exit = exit || self.out.error.is_some();
    }

    /// Sends to controllers: by way of the datapath, so that each packet gets there.
    pub(crate) fn controller(&mut self, action: &Controller) {
        self.commit();
        let state = Frozen { userdata: action.userdata.clone(), ..self.frozen(FrozenTable::Actions) };
        let Some(recirc_id) = self.freeze(state) else { return };
        self.send_to_user_space(action, recirc_id, self.cookie);
    }

    /// Sends the beginning of the packet.
    pub(crate) fn output_truncated(&mut self, port: OfpPort, max_len: u32) {
        let is_patch = |p: &crate::Port| p.peer.is_some();
        if self.bridge.ports.get(&port).is_some_and(is_patch) {
            return self.cloned(|x| {
                x.out.actions.push(OdpAction::Trunc(max_len));
                x.output(port, u16::MAX);
            });
        }
        // The next output is the truncated one: what comes between them is no output.
        self.commit();
        let at = self.out.actions.len();
        self.out.actions.push(OdpAction::Trunc(max_len));
        self.output(port, u16::MAX);
        if self.out.actions.len() == at + 1 {
            self.out.actions.pop();
        }
    }

    /// The state as it is.
    pub(crate) fn frozen(&self, table: FrozenTable) -> Frozen {
        Frozen {
            bridge: self.bridge.name.clone(),
            table,
            metadata: metadata_of(&self.flow),
            tunnel: tunnel_of(&self.flow, &self.base),
            conntracked: self.conntracked,
            stack: self.stack.clone(),
            action_set: self.action_set.clone(),
            userdata: Vec::new(),
            rule_table: self.table,
            frames: Vec::new(),
        }
    }

    /// Keeps a state, and notes that the actions name it.
    pub(crate) fn freeze(&mut self, state: Frozen) -> Option<u32> {
        let id = self.memory.freeze(state);
        match id {
            Some(id) => self.out.frozen.push(id),
            None => self.fail(XlateError::NoRecirculationIds),
        }
        id
    }
}

/// True for actions whose effect on the packet no set action undoes.
fn is_irreversible(action: &OdpAction) -> bool {
    matches!(
        action,
        OdpAction::Ct(_)
            | OdpAction::CtClear
            | OdpAction::TnlPush(_)
            | OdpAction::Meter(_)
            | OdpAction::Trunc(_)
            | OdpAction::PushMpls { .. }
            | OdpAction::PopMpls { .. }
            | OdpAction::AddMpls { .. }
            | OdpAction::PushNsh(_)
            | OdpAction::PopNsh
            | OdpAction::PushEth { .. }
            | OdpAction::PopEth
    )
}
