//! Bundles: messages that take effect together, or not at all.
//!
//! Where it sits: `requests.rs` hands in what controllers say about bundles; the messages in one are carried out as they
//! are outside.
//!
//! I1  A bundle whose commit fails has changed nothing, and its controller knows which message failed and why.
//!
//! Spec: OpenFlow 1.5.1 section 6.9; the errors are Open vSwitch's.

use ofproto::FlowChange;
use openflow::OfpError;
use openflow::msg::{BundleAdd, BundleControl, BundleCtrl, BundleFlags, Limits, Message, PortMod};

use crate::core::{BridgeState, ConnId, State, Switch};
use crate::packets::Prepared;
use crate::requests::Asked;

/// Most bundles that one connection may have open.
const MAX_BUNDLES: usize = 16;
/// Most messages of one bundle.
const MAX_MESSAGES: usize = 1 << 20;

/// A bundle that is open, or closed and not yet committed.
#[derive(Default)]
pub(crate) struct Bundle {
    flags: u16,
    closed: bool,
    /// The messages, and their bytes for the error that may answer one.
    messages: Vec<(Message, Vec<u8>)>,
}

/// What a commit did and has yet to do.
#[derive(Default)]
struct Committed {
    changes: Vec<FlowChange>,
    ports: Vec<PortMod>,
    packets: Vec<Prepared>,
}

impl Switch {
    /// Carries out what is said about a bundle; packets to be sent come back with the answer.
    pub(crate) fn bundle_control(
        &self,
        state: &mut State,
        ctrl: &BundleControl,
        asked: &Asked<'_>,
    ) -> Result<(Message, Vec<Prepared>), OfpError> {
        let bridge = state.bridges.get_mut(asked.bridge).ok_or(OfpError::OFPBRC_EPERM)?;
        let mut packets = Vec::new();
        match ctrl.ctrl {
            BundleCtrl::OpenRequest => bridge.open_bundle(asked.id, ctrl)?,
            BundleCtrl::CloseRequest => bridge.open_one(asked.id, ctrl.bundle_id, ctrl.flags)?.closed = true,
            BundleCtrl::DiscardRequest => {
                let bundles = &mut bridge.conn(asked.id)?.bundles;
                bundles.remove(&ctrl.bundle_id).ok_or(OfpError::OFPBFC_BAD_ID)?;
            }
            BundleCtrl::CommitRequest => packets = self.commit(state, ctrl, asked)?,
            _ => return Err(OfpError::OFPBFC_BAD_TYPE),
        }
        let reply = ctrl.ctrl.reply().ok_or(OfpError::OFPBFC_BAD_TYPE)?;
        Ok((Message::BundleControl(BundleControl { ctrl: reply, ..*ctrl }), packets))
    }

    fn commit(
        &self,
        state: &mut State,
        ctrl: &BundleControl,
        asked: &Asked<'_>,
    ) -> Result<Vec<Prepared>, OfpError> {
        let bridge = state.bridges.get_mut(asked.bridge).ok_or(OfpError::OFPBRC_EPERM)?;
        let bundle = bridge.conn(asked.id)?.bundles.remove(&ctrl.bundle_id).ok_or(OfpError::OFPBFC_BAD_ID)?;
        if bundle.flags != ctrl.flags {
            return Err(OfpError::OFPBFC_BAD_FLAGS);
        }
        let before = bridge.ofproto.checkpoint();
        let mut done = Committed::default();
        for (message, bytes) in &bundle.messages {
            if let Err(error) = self.carry_out(state, message, asked, &mut done) {
                let bridge = state.bridges.get_mut(asked.bridge).ok_or(OfpError::OFPBRC_EPERM)?;
                bridge.ofproto.restore(before);
                bridge.conn(asked.id)?.conn.refuse_bytes(bytes, error);
                return Err(OfpError::OFPBFC_MSG_FAILED);
            }
        }
        let bridge = state.bridges.get_mut(asked.bridge).ok_or(OfpError::OFPBRC_EPERM)?;
        done.ports.iter().for_each(|pm| bridge.apply_port_mod(pm));
        bridge.tell_changes(&done.changes, Some(asked.cause()), asked.now);
        self.shared.publish(state);
        Ok(done.packets)
    }

    fn carry_out(
        &self,
        state: &mut State,
        message: &Message,
        asked: &Asked<'_>,
        done: &mut Committed,
    ) -> Result<(), OfpError> {
        if let Message::PacketOut(po) = message {
            // It meets the tables as the messages before it left them.
            let view = self.shared.view_of(state);
            done.packets.push(self.prepare_packet_out(view, asked.bridge, po)?);
            return Ok(());
        }
        let bridge = state.bridges.get_mut(asked.bridge).ok_or(OfpError::OFPBRC_EPERM)?;
        match message {
            Message::FlowMod(fm) => done.changes.extend(bridge.ofproto.flow_mod(fm, asked.now)?),
            Message::GroupMod(gm) => done.changes.extend(bridge.ofproto.group_mod(gm, asked.now)?),
            Message::PortMod(pm) => {
                bridge.check_port_mod(pm)?;
                done.ports.push(*pm);
            }
            _ => return Err(OfpError::OFPBFC_MSG_UNSUP),
        }
        Ok(())
    }
}

impl BridgeState {
    fn open_bundle(&mut self, id: ConnId, ctrl: &BundleControl) -> Result<(), OfpError> {
        let bundles = &mut self.conn(id)?.bundles;
        if bundles.remove(&ctrl.bundle_id).is_some() {
            return Err(OfpError::OFPBFC_BAD_ID);
        }
        if bundles.len() >= MAX_BUNDLES {
            return Err(OfpError::OFPBFC_OUT_OF_BUNDLES);
        }
        if BundleFlags::from_bits(ctrl.flags).is_none() {
            return Err(OfpError::OFPBFC_BAD_FLAGS);
        }
        bundles.insert(ctrl.bundle_id, Bundle { flags: ctrl.flags, ..Bundle::default() });
        Ok(())
    }

    /// A bundle that is open and has these flags; one that is not is given up.
    fn open_one(&mut self, id: ConnId, bundle_id: u32, flags: u16) -> Result<&mut Bundle, OfpError> {
        let bundles = &mut self.conn(id)?.bundles;
        let bundle = bundles.get(&bundle_id).ok_or(OfpError::OFPBFC_BAD_ID)?;
        let error = match bundle {
            b if b.closed => Some(OfpError::OFPBFC_BUNDLE_CLOSED),
            b if b.flags != flags => Some(OfpError::OFPBFC_BAD_FLAGS),
            _ => None,
        };
        if let Some(error) = error {
            bundles.remove(&bundle_id);
            return Err(error);
        }
        bundles.get_mut(&bundle_id).ok_or(OfpError::OFPBFC_BAD_ID)
    }

    /// Puts a message into a bundle, which need not have been opened.
    pub(crate) fn bundle_add(&mut self, id: ConnId, add: &BundleAdd) -> Result<(), OfpError> {
        let (_, inner) = openflow::msg::decode(&add.message, &Limits::default())?;
        if !self.conn(id)?.bundles.contains_key(&add.bundle_id) {
            let ctrl =
                BundleControl { bundle_id: add.bundle_id, ctrl: BundleCtrl::OpenRequest, flags: add.flags };
            self.open_bundle(id, &ctrl)?;
        }
        let bundle = self.open_one(id, add.bundle_id, add.flags)?;
        if bundle.messages.len() >= MAX_MESSAGES {
            return Err(OfpError::OFPBFC_MSG_TOO_MANY);
        }
        bundle.messages.push((inner, add.message.clone()));
        Ok(())
    }
}
